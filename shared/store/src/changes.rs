//! What the directory's stream tells of: a user before and after a write, and why he was written.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html>

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::ids::{RunRef, TenantId};
use rollcall_core::status::{SightingOrder, StoredUser};

use crate::error::StoreError;
use crate::journal::{Act, ByHand, writer};
use crate::row::{Item, Key, Row};
use crate::users::read_user;
use crate::{Store, Table, keys, layout};

/// One write of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserChange {
    /// Whose user.
    pub tenant: TenantId,
    /// The user before; `None` if the directory did not have him, or had him as nobody can read him.
    pub before: Option<StoredUser>,
    /// The user after.
    pub after: StoredUser,
}

/// Why a user was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeCause {
    /// A run saw him.
    Sighting {
        /// The run's number.
        run: u64,
        /// Where in it.
        order: SightingOrder,
    },
    /// A run switched him off by its plan.
    Plan {
        /// The run's number.
        run: u64,
        /// The evidence about him.
        evidence: String,
    },
    /// A person did something.
    Person(Act),
}

impl UserChange {
    /// What a record of the stream tells, from its images.
    ///
    /// # Errors
    /// [`StoreError::Newer`] for an image of a newer layout, and [`StoreError::Corrupt`] for a user that nobody can
    /// read, naming his key. What he was before may be unreadable: somebody has put it right.
    pub fn read(
        before: Option<&HashMap<String, AttributeValue>>,
        after: &HashMap<String, AttributeValue>,
    ) -> Result<Self, StoreError> {
        layout::check(after)?;
        let before_read = before.map(|item| layout::check(item).and_then(|()| read_user(item)));
        let partition = Row(after).text("pk")?;
        let tenant = partition
            .rsplit_once('#')
            .and_then(|(tenant, _)| TenantId::new(tenant).ok())
            .ok_or_else(|| StoreError::Corrupt {
                item: Row(after).name(),
                detail: "its partition names no tenant".into(),
            })?;
        let user = read_user(after)?;
        if before.is_none() && user.version != 1 {
            // A stream without the images before would tell every user as a new one.
            return Err(StoreError::Corrupt {
                item: Row(after).name(),
                detail: "the image before is missing".into(),
            });
        }
        let before = match before_read {
            Some(Err(problem @ StoreError::Newer { .. })) => return Err(problem),
            before => before.and_then(Result::ok),
        };
        Ok(Self {
            tenant,
            before,
            after: user,
        })
    }

    /// Whether the write changed the user's status, or why he has it; a first write does.
    #[must_use]
    pub fn is_of_status(&self) -> bool {
        let standing = |user: &StoredUser| (user.status, user.reason);
        self.before.as_ref().map(standing) != Some(standing(&self.after))
    }

    /// Whether the write is one of this system's, which raise the version. By hand it may be left as it was; the
    /// journal's entry of it is then of another write.
    fn raises_the_version(&self) -> bool {
        let before = self.before.as_ref();
        before.is_none_or(|before| before.version < self.after.version)
    }
}

impl Store {
    /// Why these users were written, in the same order: `None` where the journal has no entry (any more), and an
    /// error for an entry that cannot be read, which concerns no other.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers, and [`StoreError::Newer`] for an entry of a newer layout.
    pub async fn causes(
        &self,
        changes: &[&UserChange],
    ) -> Result<Vec<Result<Option<ChangeCause>, StoreError>>, StoreError> {
        let writers: Vec<_> = changes
            .iter()
            .map(|change| {
                let writer = writer(&change.tenant, &change.after);
                writer.filter(|_| change.raises_the_version())
            })
            .collect();
        let keys: Vec<_> = changes
            .iter()
            .zip(&writers)
            .map(|(change, writer)| {
                let version_before = change.after.version.saturating_sub(1);
                writer
                    .as_ref()
                    .map(|run| keys::journal(run, &change.after.id, version_before))
            })
            .collect();
        // DynamoDB refuses a key that is asked for twice.
        let wanted: BTreeMap<_, _> = keys.iter().flatten().map(|key| (key.name(), key)).collect();
        let wanted: Vec<_> = wanted.into_values().cloned().collect();
        let found = self.get_many(Table::Coordination, &wanted).await?;
        let found: HashMap<_, _> = found.iter().map(|item| (Row(item).name(), item)).collect();
        let cause = |((change, writer), key): ((&&UserChange, &Option<RunRef>), &Option<Key>)| {
            let (Some(writer), Some(key)) = (writer, key) else {
                return Ok(None);
            };
            let entry = found.get(&key.name());
            entry.map_or(Ok(None), |entry| read_cause(change, writer, entry))
        };
        Ok(changes.iter().zip(&writers).zip(&keys).map(cause).collect())
    }
}

/// Why a user was written, by the journal's entry of it.
fn read_cause(
    change: &UserChange,
    writer: &RunRef,
    entry: &Item,
) -> Result<Option<ChangeCause>, StoreError> {
    let row = Row(entry);
    if let Some(person) = ByHand::read(&row)? {
        return Ok(Some(ChangeCause::Person(person.act)));
    }
    let run = writer.run;
    if let Some(evidence) = row.text_if_any("evidence")? {
        let evidence = evidence.to_owned();
        return Ok(Some(ChangeCause::Plan { run, evidence }));
    }
    let seen = change.after.last_change.filter(|last| last.run == run);
    Ok(seen.map(|last| ChangeCause::Sighting {
        run,
        order: last.order,
    }))
}
