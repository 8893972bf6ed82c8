//! The journal: what every user was before a run or a person changed him.

use std::collections::BTreeSet;

use rollcall_core::by_hand::Decision;
use rollcall_core::ids::{ObjectId, RunRef, TenantId};
use rollcall_core::status::StoredUser;

use crate::error::StoreError;
use crate::row::{Item, Row, json, number, text};
use crate::users::UserWrite;
use crate::{Store, Table, keys};

/// How far a user's history is followed back, in changes: a screenful is what a person reads.
const HISTORY_ENTRIES_MAX: usize = 100;

/// Why a user is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cause<'a> {
    /// A batch's sighting of him.
    Sighting,
    /// A plan that was carried out, with the evidence.
    Plan(&'a str),
    /// A person's decision.
    Person { by: &'a str, decision: Decision },
    /// A run's change taken back, because a person asked for it.
    Revert { by: &'a str, reverted: u64 },
}

/// What a person did to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Decided about him alone.
    Decided(Decision),
    /// Took back what this run did.
    Reverted(u64),
}

/// A person's act, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByHand {
    /// Who.
    pub by: String,
    /// What.
    pub act: Act,
}

impl ByHand {
    pub(crate) fn read(row: &Row<'_>) -> Result<Option<Self>, StoreError> {
        let Some(by) = row.text_if_any("by")? else {
            return Ok(None);
        };
        let act = match row.number_if_any("reverted")? {
            Some(run) => Act::Reverted(run),
            None => Act::Decided(row.json("decision")?),
        };
        let by = by.to_owned();
        Ok(Some(Self { by, act }))
    }
}

/// One change of a user, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// The run that made it; `None` if a person did.
    pub run: Option<u64>,
    /// What that person did.
    pub by_hand: Option<ByHand>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The user before; `None` if the run created him.
    pub before: Option<StoredUser>,
    /// The user after.
    pub after: StoredUser,
    /// The evidence, for a change that switched the user off.
    pub evidence: Option<String>,
}

pub(crate) fn journal_item(
    run: &RunRef,
    write: &UserWrite,
    cause: Cause<'_>,
    now_ms: u64,
    ttl_s: u64,
) -> Result<Item, StoreError> {
    let version_before = write.before.as_ref().map_or(0, |before| before.version);
    let mut item = keys::journal(run, &write.after.id, version_before)
        .with([("at", number(now_ms)), ("ttl", number(ttl_s))]);
    if let Some(before) = &write.before {
        item.insert("before".into(), json(before)?);
    }
    match cause {
        Cause::Sighting => {}
        Cause::Plan(evidence) => {
            item.insert("evidence".into(), text(evidence));
        }
        Cause::Person { by, decision } => {
            item.insert("by".into(), text(by));
            item.insert("decision".into(), json(&decision)?);
        }
        Cause::Revert { by, reverted } => {
            item.insert("by".into(), text(by));
            item.insert("reverted".into(), number(reverted));
        }
    }
    Ok(item)
}

/// In whose journal a user's last change is: the run's that made it, or the people's. `None` if he names nobody.
pub(crate) fn writer(tenant: &TenantId, user: &StoredUser) -> Option<RunRef> {
    if user.decided_version == Some(user.version) {
        return Some(keys::by_hand(tenant));
    }
    // Runs only rise, so the last writer is the higher of the two that a user names.
    let run = user.status_run.max(user.last_change.map(|last| last.run))?;
    let tenant = tenant.clone();
    Some(RunRef { tenant, run })
}

impl Store {
    /// Who of these, each with the version that he had before, was switched off by a run: the journal
    /// knows it even of those whom somebody has changed since.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn switched_off(
        &self,
        run: &RunRef,
        users: impl IntoIterator<Item = (&ObjectId, u64)>,
    ) -> Result<BTreeSet<ObjectId>, StoreError> {
        let keys: Vec<_> = users
            .into_iter()
            .map(|(id, version)| keys::journal(run, id, version))
            .collect();
        let mut switched_off = BTreeSet::new();
        for item in self.get_many(Table::Coordination, &keys).await? {
            let row = Row(&item);
            if row.text_if_any("evidence")?.is_some() {
                let sk = row.text("sk")?;
                let id = sk.split_once('#').map_or(sk, |(id, _)| id);
                let id = ObjectId::new(id).map_err(|e| StoreError::Invalid(e.to_string()))?;
                switched_off.insert(id);
            }
        }
        Ok(switched_off)
    }

    /// A user's changes, the latest first, as far back as the journal is kept.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn history(
        &self,
        tenant: &TenantId,
        user: &StoredUser,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let mut entries = Vec::new();
        let mut after = user.clone();
        while entries.len() < HISTORY_ENTRIES_MAX {
            let Some((run, item)) = self.image_before(tenant, &after).await? else {
                break;
            };
            let row = Row(&item);
            let before: Option<StoredUser> = row.json_if_any("before")?;
            entries.push(JournalEntry {
                run: (run > 0).then_some(run),
                by_hand: ByHand::read(&row)?,
                at_ms: row.number("at")?,
                before: before.clone(),
                after,
                evidence: row.text_if_any("evidence")?.map(str::to_owned),
            });
            match before {
                Some(before) => after = before,
                None => break,
            }
        }
        Ok(entries)
    }

    /// The image of what a user was before his last change, and the number of the run that made it,
    /// 0 for a person.
    async fn image_before(
        &self,
        tenant: &TenantId,
        user: &StoredUser,
    ) -> Result<Option<(u64, Item)>, StoreError> {
        let Some(writer) = writer(tenant, user) else {
            return Ok(None);
        };
        let key = keys::journal(&writer, &user.id, user.version.saturating_sub(1));
        let item = self.get(Table::Coordination, &key).await?;
        Ok(item.map(|item| (writer.run, item)))
    }
}
