//! The totals of a run.

use serde::{Deserialize, Serialize};

use crate::status::{ChangeKind, Reason};

/// What the workers of one batch, or of a whole run, did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCounts {
    /// Users that were not in the directory.
    pub created: u64,
    /// Users whose attributes changed.
    pub updated: u64,
    /// Users who became ACTIVE again.
    pub reactivated: u64,
}

impl ChangeCounts {
    /// One more of `kind`.
    pub fn count(&mut self, kind: ChangeKind) {
        *match kind {
            ChangeKind::Created => &mut self.created,
            ChangeKind::Updated => &mut self.updated,
            ChangeKind::Reactivated => &mut self.reactivated,
        } += 1;
    }

    /// The sum with another batch's.
    pub fn add(&mut self, other: Self) {
        self.created += other.created;
        self.updated += other.updated;
        self.reactivated += other.reactivated;
    }

    /// All changes together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.created + self.updated + self.reactivated
    }
}

/// Whom a run switched off, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeactivatedBy {
    /// accountEnabled was false.
    pub disabled: u64,
    /// Listed in the deleted items, or removed by a delta.
    pub deleted: u64,
    /// Not found by as many runs as it takes.
    pub not_found: u64,
    /// Outside the scope.
    pub out_of_scope: u64,
}

impl DeactivatedBy {
    /// One more for `reason`; other reasons do not come from a plan.
    pub fn count(&mut self, reason: Reason) {
        match reason {
            Reason::Disabled => self.disabled += 1,
            Reason::Deleted => self.deleted += 1,
            Reason::NotFound => self.not_found += 1,
            Reason::OutOfScope => self.out_of_scope += 1,
            Reason::Present | Reason::Manual => {}
        }
    }

    /// All together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.disabled + self.deleted + self.not_found + self.out_of_scope
    }
}

/// Whom a run kept on although something spoke against it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Not seen, but found alive by id: the scan was wrong.
    pub contradicted: u64,
    /// Not seen and not found, but too few complete runs have said so.
    pub awaiting_confirmation: u64,
    /// A field that decides was null or missing.
    pub unknown: u64,
}
