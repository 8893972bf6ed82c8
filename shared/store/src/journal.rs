//! The journal: what every user was before a run changed him.

use std::collections::BTreeSet;

use rollcall_core::ids::{ObjectId, RunRef, TenantId};
use rollcall_core::status::StoredUser;

use crate::error::StoreError;
use crate::row::{Item, Row, json, number, text};
use crate::users::UserWrite;
use crate::{Store, Table, keys};

/// How far a user's history is followed back, in changes: a screenful is what a person reads.
const HISTORY_ENTRIES_MAX: usize = 100;

/// One change of a user, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// The run that made it.
    pub run: u64,
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
    evidence: Option<&str>,
    now_ms: u64,
    ttl_s: u64,
) -> Result<Item, StoreError> {
    let version_before = write.before.as_ref().map_or(0, |before| before.version);
    let mut item = keys::journal(run, &write.after.id, version_before)
        .with([("at", number(now_ms)), ("ttl", number(ttl_s))]);
    if let Some(before) = &write.before {
        item.insert("before".into(), json(before)?);
    }
    if let Some(evidence) = evidence {
        item.insert("evidence".into(), text(evidence));
    }
    Ok(item)
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
            // Runs only rise, so the last writer is the higher of the two that a user names.
            let writer = after.status_run.max(after.last_change.map(|last| last.run));
            let Some(number) = writer else { break };
            let run = RunRef {
                tenant: tenant.clone(),
                run: number,
            };
            let key = keys::journal(&run, &after.id, after.version.saturating_sub(1));
            let Some(item) = self.get(Table::Coordination, &key).await? else {
                break;
            };
            let row = Row(&item);
            let before: Option<StoredUser> = row.json_if_any("before")?;
            entries.push(JournalEntry {
                run: number,
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
}
