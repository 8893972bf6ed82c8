//! What a worker does with one sighting. A worker creates, updates and reactivates; it switches
//! nobody off: who should go off becomes a [`Candidate`] for the finalizer.

use serde::{Deserialize, Serialize};

use crate::ids::ObjectId;
use crate::plan::Deactivation;
use crate::scope::Scope;
use crate::status::{
    ChangeKind, Implied, LastChange, Reason, SightingOrder, Status, StoredUser, sighted_hash,
};
use crate::user::GraphUser;

/// A user who should go off for a cause that was seen, not for absence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Who.
    pub id: ObjectId,
    /// [`Reason::Disabled`], [`Reason::OutOfScope`], or [`Reason::Deleted`] by a delta.
    pub reason: Reason,
    /// The sighting that says so. It counts only if it is the id's last one.
    pub order: SightingOrder,
    /// Set when the user is out of scope for the groups alone: a list does not have him.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_groups: bool,
}

/// What to do about one sighting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// The user as he is to be written, if anything changes.
    pub write: Option<StoredUser>,
    /// Under what this run counts the user, if this batch is the one that counts him.
    pub counts: Option<ChangeKind>,
    /// Set when the user should be switched off at the end.
    pub candidate: Option<Candidate>,
    /// Set when a field that decides was null: nothing is changed.
    pub unknown: bool,
}

/// Where a sighting comes from.
#[derive(Debug, Clone, Copy)]
pub struct SightingContext<'a> {
    /// The run's number.
    pub run: u64,
    /// Its place in the run.
    pub order: SightingOrder,
    /// The tenant's scope, as the run snapshotted it.
    pub scope: &'a Scope,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

impl SightingContext<'_> {
    /// Decides about `user`, given what the directory has.
    #[must_use]
    pub fn decide(&self, user: &GraphUser, stored: Option<&StoredUser>) -> Decision {
        let implied = Implied::by(user, self.scope);
        if implied == Implied::Unknown {
            return Decision {
                unknown: true,
                counts: stored.and_then(|stored| self.counted_before(stored)),
                ..Decision::default()
            };
        }
        match stored {
            None => self.first_sighting(user, implied),
            Some(stored) => self.next_sighting(user, implied, stored),
        }
    }

    /// Decides about somebody who is told to be removed. Nothing of him is written: that he is
    /// switched off is the finalizer's.
    #[must_use]
    pub fn decide_removed(&self, stored: Option<&StoredUser>) -> Decision {
        let Some(stored) = stored else {
            return Decision::default();
        };
        Decision {
            counts: self.counted_before(stored),
            candidate: self
                .candidate(Implied::Inactive(Reason::Deleted), stored)
                .filter(|_| !self.is_overtaken(stored)),
            ..Decision::default()
        }
    }

    fn first_sighting(&self, user: &GraphUser, implied: Implied) -> Decision {
        let (status, reason) = match implied {
            Implied::Active => (Status::Active, Reason::Present),
            Implied::Inactive(Reason::Disabled) => (Status::Inactive, Reason::Disabled),
            // Somebody outside the scope whom we do not know is none of our business.
            Implied::Inactive(_) | Implied::Unknown => return Decision::default(),
        };
        let write = StoredUser {
            id: user.id.clone(),
            status,
            reason,
            status_run: Some(self.run),
            status_at_ms: self.now_ms,
            user_principal_name: user.user_principal_name.clone(),
            mail: user.mail.clone(),
            display_name: user.display_name.clone(),
            account_enabled: user.account_enabled,
            user_type: user.user_type.clone(),
            in_scope: true,
            attributes: user.attributes.clone(),
            version: 1,
            last_change: Some(self.change(ChangeKind::Created)),
            decided_version: None,
        };
        Decision {
            write: Some(write),
            counts: Some(ChangeKind::Created),
            ..Decision::default()
        }
    }

    fn next_sighting(&self, user: &GraphUser, implied: Implied, stored: &StoredUser) -> Decision {
        let counted = self.counted_before(stored);
        if self.is_overtaken(stored) {
            // A later sighting of this run is already applied; it has the say.
            return Decision {
                counts: counted,
                ..Decision::default()
            };
        }
        let candidate = self.candidate(implied, stored);
        let candidate = candidate.map(|candidate| Candidate {
            by_groups: self.scope.is_out_by_groups_alone(user),
            ..candidate
        });
        let next = self.applied(user, implied, stored, candidate.is_some());
        let changed = next.standing() != stored.standing();
        if !changed {
            return Decision {
                counts: counted,
                candidate,
                ..Decision::default()
            };
        }
        let kind = if stored.status == Status::Inactive && next.status == Status::Active {
            ChangeKind::Reactivated
        } else {
            ChangeKind::Updated
        };
        // A second change in one run belongs to whoever counted the first.
        let last_change = match stored.last_change {
            Some(last) if last.run == self.run => LastChange {
                order: self.order,
                ..last
            },
            _ => self.change(kind),
        };
        let counts = (last_change.counted_by == self.batch()).then_some(last_change.kind);
        Decision {
            write: Some(StoredUser {
                version: stored.version + 1,
                last_change: Some(last_change),
                ..next
            }),
            counts,
            candidate,
            unknown: false,
        }
    }

    /// The stored user with the sighting applied, all but version and change.
    fn applied(
        &self,
        user: &GraphUser,
        implied: Implied,
        stored: &StoredUser,
        goes_off_later: bool,
    ) -> StoredUser {
        let mut next = StoredUser {
            user_principal_name: user.user_principal_name.clone(),
            mail: user.mail.clone(),
            display_name: user.display_name.clone(),
            user_type: user.user_type.clone(),
            attributes: user.attributes.clone(),
            ..stored.clone()
        };
        if goes_off_later {
            // What makes the user INACTIVE is applied together with the status, by the finalizer:
            // while the plan waits, the user goes on being found as changed.
            if implied == Implied::Inactive(Reason::OutOfScope) && user.account_enabled.is_some() {
                // It is not what makes him so, and when he comes back no delta may tell it again.
                next.account_enabled = user.account_enabled;
            }
            return next;
        }
        next.account_enabled = user.account_enabled;
        next.in_scope = implied != Implied::Inactive(Reason::OutOfScope);
        let implied_status = match implied {
            _ if stored.reason == Reason::Manual => None,
            Implied::Active if stored.status == Status::Inactive => {
                Some((Status::Active, Reason::Present))
            }
            // Still off, for another reason than before.
            Implied::Inactive(reason) if stored.reason != reason => {
                Some((Status::Inactive, reason))
            }
            _ => None,
        };
        if let Some((status, reason)) = implied_status {
            next.status = status;
            next.reason = reason;
            next.status_run = Some(self.run);
            next.status_at_ms = self.now_ms;
        }
        next
    }

    fn candidate(&self, implied: Implied, stored: &StoredUser) -> Option<Candidate> {
        match implied {
            Implied::Inactive(reason)
                if stored.status == Status::Active && stored.reason != Reason::Manual =>
            {
                Some(Candidate {
                    id: stored.id.clone(),
                    reason,
                    order: self.order,
                    by_groups: false,
                })
            }
            _ => None,
        }
    }

    /// Whether this run already applied a later sighting of the user.
    fn is_overtaken(&self, stored: &StoredUser) -> bool {
        stored
            .last_change
            .is_some_and(|last| last.run == self.run && last.order > self.order)
    }

    /// What this batch already counted the user as: a worker that takes a batch over finds the
    /// writes of the one before.
    fn counted_before(&self, stored: &StoredUser) -> Option<ChangeKind> {
        stored
            .last_change
            .filter(|last| last.run == self.run && last.counted_by == self.batch())
            .map(|last| last.kind)
    }

    const fn batch(&self) -> (u32, u32) {
        (self.order.generation, self.order.page)
    }

    const fn change(&self, kind: ChangeKind) -> LastChange {
        LastChange {
            run: self.run,
            order: self.order,
            kind,
            counted_by: self.batch(),
        }
    }
}

/// The user switched off: the one place where ACTIVE becomes INACTIVE in a sync. It takes a
/// [`Deactivation`], which only a plan gives.
#[must_use]
pub fn switched_off(
    stored: &StoredUser,
    deactivation: &Deactivation,
    run: u64,
    now_ms: u64,
) -> StoredUser {
    off(stored, deactivation.reason(), run, now_ms)
}

fn off(stored: &StoredUser, reason: Reason, run: u64, now_ms: u64) -> StoredUser {
    StoredUser {
        status: Status::Inactive,
        reason,
        status_run: Some(run),
        status_at_ms: now_ms,
        // What made the user a candidate is applied with the status: see `SightingContext::decide`.
        account_enabled: if reason == Reason::Disabled {
            Some(false)
        } else {
            stored.account_enabled
        },
        in_scope: stored.in_scope && reason != Reason::OutOfScope,
        version: stored.version + 1,
        ..stored.clone()
    }
}

/// Whether a sighting has nothing to write: the enumerator's question, before any worker's.
#[must_use]
pub fn is_unchanged(
    user: &GraphUser,
    scope: &Scope,
    known: Option<&crate::status::Standing>,
) -> bool {
    let implied = Implied::by(user, scope);
    match known {
        // Not known and outside the scope: would not be stored.
        None => implied == Implied::Inactive(Reason::OutOfScope),
        Some(standing) => {
            let in_scope = implied != Implied::Inactive(Reason::OutOfScope);
            standing.is_unchanged_by(sighted_hash(user, in_scope), implied)
        }
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
