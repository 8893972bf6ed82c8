//! What a revert finds in a run's journal: who can be as before, who is left, and whether all of it is
//! still there.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_core::ids::{ObjectId, RunRef};
use rollcall_core::revert::{is_decided_between, reverted};
use rollcall_core::run::RunState;
use rollcall_core::status::StoredUser;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::images::{Image, JournalPlace};
use crate::row::Row;
use crate::runs::RunRecord;
use crate::tenants::Head;
use crate::users::UserWrite;
use crate::{Store, Table, keys};

/// How many images are looked at at once, at most: in a step each user is two actions of its
/// transaction, and two are the revert's own.
pub(crate) const IMAGES_AT_ONCE: i32 = 49;

/// How long before its items may be dropped a run can be reverted last, in milliseconds: a day, in
/// which the revert of any run ends.
const WHOLE_MS_MIN: u64 = 86_400_000;
/// Why a user is left as he is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftAlone {
    /// Somebody changed him since: a later run, a person, another revert. A person may have done so before the run
    /// wrote him last.
    ChangedSince,
    /// The run created him. The directory deletes nobody.
    Created,
}

/// Somebody whom a revert left as he is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Left {
    /// Who.
    pub id: ObjectId,
    /// Why.
    pub why: LeftAlone,
}

/// What a revert would do, or why there can be none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Survey {
    /// There is no such run.
    Unknown,
    /// The run has not ended, or has failed and its batches are not revoked yet.
    Active(RunState),
    /// Its plan waits for a person, who can still approve it.
    Waits,
    /// The run's journal is no longer whole, or not for long.
    NotWhole,
    /// These would be as before, and those left as they are.
    Found {
        /// As before.
        restored: BTreeSet<ObjectId>,
        /// Left.
        left: Vec<Left>,
    },
}

/// One step's users: to be written, and left.
pub(crate) struct Sorted {
    pub(crate) writes: Vec<UserWrite>,
    pub(crate) left: Vec<Left>,
}

impl Store {
    /// What a revert of this run would do now. It writes nothing.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn survey_revert(&self, run: &RunRef) -> Result<Survey, StoreError> {
        let head = self.head(&run.tenant).await?;
        self.survey(run, &head).await
    }

    /// Only a run that writes nothing any more can be taken back: what it wrote behind the revert would
    /// stay.
    pub(crate) async fn survey(&self, run: &RunRef, head: &Head) -> Result<Survey, StoreError> {
        let record = match self.run(run).await? {
            None => return Ok(Survey::Unknown),
            Some(record) if record.state == RunState::Held => return Ok(Survey::Waits),
            Some(record) if !record.state.has_ended() || head.active_run == Some(run.run) => {
                return Ok(Survey::Active(record.state));
            }
            Some(record) => record,
        };
        let whole_until_ms = self.ambient.now_ms() + WHOLE_MS_MIN;
        let may_be_gone = |ttl_s: u64| ttl_s.saturating_mul(1_000) < whole_until_ms;
        if may_be_gone(record.ttl_s) {
            return Ok(Survey::NotWhole);
        }
        let (mut restored, mut left) = (BTreeSet::new(), Vec::new());
        let mut images_by = ImagesBy::default();
        let mut place = JournalPlace::default();
        while !place.is_end() {
            let (images, next) = self.images(run, &place, IMAGES_AT_ONCE).await?;
            // An approval has the run kept for longer than what it wrote before.
            if images.iter().any(|image| may_be_gone(image.ttl_s)) {
                return Ok(Survey::NotWhole);
            }
            images_by.count(&images);
            let sorted = match self.sort_images(run, &place, images).await {
                Err(StoreError::Corrupt { .. }) => return Ok(Survey::NotWhole),
                sorted => sorted?,
            };
            restored.extend(sorted.writes.into_iter().map(|write| write.after.id));
            left.extend(sorted.left);
            place = next;
        }
        if !images_by.are_all_of(&record) {
            return Ok(Survey::NotWhole);
        }
        Ok(Survey::Found { restored, left })
    }

    /// Who of these is as the run left him, and is to be as before; and who is left as he is. Whose images
    /// began before this place was looked at there.
    pub(crate) async fn sort_images(
        &self,
        run: &RunRef,
        place: &JournalPlace,
        images: Vec<Image>,
    ) -> Result<Sorted, StoreError> {
        let mut first: BTreeMap<ObjectId, Option<StoredUser>> = BTreeMap::new();
        for image in images {
            if place.last_user() != Some(image.id.as_str()) && !first.contains_key(&image.id) {
                check_first(run, &image)?;
                first.insert(image.id, image.before);
            }
        }
        let ids: Vec<_> = first.keys().cloned().collect();
        let users = self.users(&run.tenant, &ids).await?;
        let last = users
            .iter()
            .map(|user| keys::journal(run, &user.id, user.version.saturating_sub(1)))
            .collect::<Vec<_>>();
        // Whoever wrote the version that a user has put the image of the one before.
        let mut by_run = BTreeSet::new();
        for item in self.get_many(Table::Coordination, &last).await? {
            by_run.insert(Row(&item).text("sk")?.to_owned());
        }
        let mut sorted = Sorted {
            writes: Vec::new(),
            left: Vec::new(),
        };
        let now_ms = self.ambient.now_ms();
        for (user, key) in users.into_iter().zip(last) {
            let id = user.id.clone();
            match first.remove(&id).flatten() {
                None => sorted.left.push(Left {
                    id,
                    why: LeftAlone::Created,
                }),
                Some(before) if !by_run.contains(&key.sk) || is_decided_between(&before, &user) => {
                    sorted.left.push(Left {
                        id,
                        why: LeftAlone::ChangedSince,
                    });
                }
                Some(before) => sorted.writes.push(UserWrite {
                    after: reverted(&user, &before, now_ms),
                    before: Some(user),
                }),
            }
        }
        Ok(sorted)
    }
}

/// A user's first image by a run has him as somebody else wrote him. If it has him as the run itself
/// did, the images before it are gone.
fn check_first(run: &RunRef, image: &Image) -> Result<(), StoreError> {
    let by_run = |user: &StoredUser| {
        let last = user.last_change.map(|last| last.run);
        let is_decided = user.decided_version == Some(user.version);
        !is_decided && last.max(user.status_run) == Some(run.run)
    };
    if !image.before.as_ref().is_some_and(by_run) {
        return Ok(());
    }
    Err(StoreError::Corrupt {
        item: format!("the journal of run {run}"),
        detail: format!("the first image of user {} is missing", image.id),
    })
}

/// How many images a journal has of each cause.
#[derive(Default)]
struct ImagesBy {
    sighted: BTreeSet<ObjectId>,
    switched_off: u64,
}

impl ImagesBy {
    fn count(&mut self, images: &[Image]) {
        for image in images {
            match image.evidence {
                Some(_) => self.switched_off += 1,
                None => {
                    self.sighted.insert(image.id.clone());
                }
            }
        }
    }

    /// Whether there is an image for each change that the run counted.
    fn are_all_of(&self, record: &RunRecord) -> bool {
        record.totals.is_none_or(|totals| {
            self.sighted.len() as u64 >= totals.changes.total()
                && self.switched_off >= totals.deactivated.total()
        })
    }
}
