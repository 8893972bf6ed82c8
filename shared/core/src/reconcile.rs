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
    /// [`Reason::Disabled`] or [`Reason::OutOfScope`].
    pub reason: Reason,
    /// The sighting that says so. It counts only if it is the id's last one.
    pub order: SightingOrder,
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
mod tests {
    use super::*;
    use crate::testing::{guest, order, user};

    fn context(scope: &Scope, page: u32, index: u32) -> SightingContext<'_> {
        SightingContext {
            run: 7,
            order: order(1, page, index),
            scope,
            now_ms: 1_000,
        }
    }

    fn created(user: &GraphUser) -> StoredUser {
        let scope = Scope::default();
        let mut stored = context(&scope, 1, 0).decide(user, None).write.unwrap();
        stored.last_change = None;
        stored
    }

    #[test]
    fn a_new_enabled_user_is_created_active() {
        let decision = context(&Scope::default(), 1, 0).decide(&user("a"), None);
        let write = decision.write.unwrap();
        assert_eq!(
            (write.status, write.reason),
            (Status::Active, Reason::Present)
        );
        assert_eq!(decision.counts, Some(ChangeKind::Created));
    }

    #[test]
    fn a_new_disabled_user_is_stored_inactive_and_a_new_guest_not_at_all() {
        let scope = Scope::default();
        let disabled = GraphUser {
            account_enabled: Some(false),
            ..user("a")
        };
        let write = context(&scope, 1, 0).decide(&disabled, None).write.unwrap();
        assert_eq!(
            (write.status, write.reason),
            (Status::Inactive, Reason::Disabled)
        );
        assert_eq!(
            context(&scope, 1, 0).decide(&guest("g"), None),
            Decision::default()
        );
    }

    #[test]
    fn the_same_again_writes_nothing() {
        let stored = created(&user("a"));
        assert_eq!(
            context(&Scope::default(), 1, 0).decide(&user("a"), Some(&stored)),
            Decision::default()
        );
        assert!(is_unchanged(
            &user("a"),
            &Scope::default(),
            Some(&stored.standing())
        ));
    }

    #[test]
    fn a_worker_never_switches_off_whatever_it_sees() {
        let stored = created(&user("a"));
        let scope = Scope::default();
        for enabled in [None, Some(true), Some(false)] {
            for kind in [None, Some("Member"), Some("Guest")] {
                for name in ["a", "renamed"] {
                    let sighting = GraphUser {
                        account_enabled: enabled,
                        user_type: kind.map(Into::into),
                        user_principal_name: Some(format!("{name}@contoso.com")),
                        ..user("a")
                    };
                    let decision = context(&scope, 1, 0).decide(&sighting, Some(&stored));
                    if let Some(write) = decision.write {
                        assert_eq!(write.status, Status::Active);
                    }
                }
            }
        }
    }

    #[test]
    fn a_disabled_user_is_a_candidate_and_keeps_what_the_plan_will_change() {
        let stored = created(&user("a"));
        let disabled = GraphUser {
            account_enabled: Some(false),
            mail: Some("new@contoso.com".into()),
            ..user("a")
        };
        let decision = context(&Scope::default(), 1, 4).decide(&disabled, Some(&stored));
        let candidate = decision.candidate.unwrap();
        assert_eq!(candidate.reason, Reason::Disabled);
        assert_eq!(candidate.order, order(1, 1, 4));
        let write = decision.write.unwrap();
        assert_eq!(write.account_enabled, Some(true));
        assert_eq!(write.mail.as_deref(), Some("new@contoso.com"));
        // While the plan waits, the user is never "unchanged".
        assert!(!is_unchanged(
            &disabled,
            &Scope::default(),
            Some(&write.standing())
        ));
        // Once it is carried out, he is.
        let off = off(&write, Reason::Disabled, 7, 1_000);
        assert!(is_unchanged(
            &disabled,
            &Scope::default(),
            Some(&off.standing())
        ));
    }

    #[test]
    fn null_is_never_read_as_false() {
        let stored = created(&user("a"));
        let sighting = GraphUser {
            account_enabled: None,
            ..user("a")
        };
        let decision = context(&Scope::default(), 1, 0).decide(&sighting, Some(&stored));
        assert!(decision.unknown && decision.candidate.is_none() && decision.write.is_none());
        assert!(!is_unchanged(
            &sighting,
            &Scope::default(),
            Some(&stored.standing())
        ));
    }

    #[test]
    fn a_person_s_word_is_not_undone_either_way() {
        let scope = Scope::default();
        for (status, enabled) in [(Status::Inactive, true), (Status::Active, false)] {
            let stored = StoredUser {
                status,
                reason: Reason::Manual,
                ..created(&user("a"))
            };
            let sighting = GraphUser {
                account_enabled: Some(enabled),
                display_name: Some("New".into()),
                ..user("a")
            };
            let decision = context(&scope, 1, 0).decide(&sighting, Some(&stored));
            assert_eq!(decision.candidate, None);
            let write = decision.write.unwrap();
            assert_eq!((write.status, write.reason), (status, Reason::Manual));
        }
    }

    #[test]
    fn enabled_again_or_back_in_scope_is_active_again_at_once() {
        let scope = Scope::default();
        for reason in [
            Reason::Disabled,
            Reason::OutOfScope,
            Reason::Deleted,
            Reason::NotFound,
        ] {
            let stored = off(&created(&user("a")), reason, 6, 900);
            let decision = context(&scope, 1, 0).decide(&user("a"), Some(&stored));
            assert_eq!(decision.counts, Some(ChangeKind::Reactivated), "{reason}");
            assert_eq!(decision.write.unwrap().status, Status::Active);
        }
    }

    #[test]
    fn of_two_sightings_in_a_run_the_later_one_stands_in_either_order() {
        let scope = Scope::default();
        let stored = created(&user("a"));
        let early = GraphUser {
            mail: Some("early@contoso.com".into()),
            ..user("a")
        };
        let late = GraphUser {
            mail: Some("late@contoso.com".into()),
            ..user("a")
        };
        let mut counts = Vec::new();
        for sequence in [
            [(1, &early), (2, &late)].as_slice(),
            [(2, &late), (1, &early)].as_slice(),
        ] {
            let mut now = stored.clone();
            let mut counted = 0;
            for (page, sighting) in sequence {
                let decision = context(&scope, *page, 0).decide(sighting, Some(&now));
                counted += u32::from(decision.counts.is_some());
                now = decision.write.unwrap_or(now);
            }
            assert_eq!(now.mail.as_deref(), Some("late@contoso.com"));
            counts.push(counted);
        }
        assert_eq!(counts, [1, 1], "counted once, by whoever wrote first");
    }

    #[test]
    fn a_batch_that_is_worked_through_again_counts_the_same() {
        let scope = Scope::default();
        let first = context(&scope, 3, 5).decide(&user("a"), None);
        let again = context(&scope, 3, 5).decide(&user("a"), first.write.as_ref());
        assert_eq!(again.counts, first.counts);
        assert_eq!(again.write, None);
    }
}
