//! What a person decides about a user. No sync undoes it before a person gives the user back.

use serde::{Deserialize, Serialize};

use crate::status::{Reason, Status, StoredUser};

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// INACTIVE, whatever Microsoft 365 says.
    Deactivate,
    /// ACTIVE, whatever Microsoft 365 says.
    Activate,
    /// What the sync finds, from the next one on that sees the user.
    Release,
}

/// The user as the person wants him; `None` if that is how he is.
///
/// To release somebody changes no status: the sync that finds another one changes it, with its
/// evidence and under its guards. Whether Microsoft 365 has him enabled is unknown from then on: while a
/// person's word stood, a run may have seen him disabled and left that for a plan in which he never was.
#[must_use]
pub fn decided(user: &StoredUser, decision: Decision, now_ms: u64) -> Option<StoredUser> {
    let (status, reason) = match decision {
        Decision::Deactivate => (Status::Inactive, Reason::Manual),
        Decision::Activate => (Status::Active, Reason::Manual),
        Decision::Release if user.reason == Reason::Manual => (user.status, last_known(user)),
        Decision::Release => return None,
    };
    if (status, reason) == (user.status, user.reason) {
        return None;
    }
    let account_enabled = match decision {
        Decision::Release => None,
        Decision::Activate | Decision::Deactivate => user.account_enabled,
    };
    Some(StoredUser {
        status,
        reason,
        account_enabled,
        status_run: None,
        status_at_ms: now_ms,
        version: user.version + 1,
        decided_version: Some(user.version + 1),
        ..user.clone()
    })
}

/// What the last sighting says for the status that the user has. Where it says nothing for it, he is
/// off and nobody has looked for him since.
fn last_known(user: &StoredUser) -> Reason {
    match user.status {
        Status::Active => Reason::Present,
        Status::Inactive if user.account_enabled == Some(false) => Reason::Disabled,
        Status::Inactive if !user.in_scope => Reason::OutOfScope,
        Status::Inactive => Reason::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::SightingContext;
    use crate::scope::Scope;
    use crate::testing::{order, user};

    const NOW_MS: u64 = 77;

    /// As a sync created him, enabled and in scope.
    fn stored() -> StoredUser {
        let context = SightingContext {
            run: 1,
            order: order(1, 1, 0),
            scope: &Scope::default(),
            now_ms: 1,
        };
        context.decide(&user("a"), None).write.unwrap()
    }

    fn by_hand(status: Status) -> StoredUser {
        StoredUser {
            status,
            reason: Reason::Manual,
            ..stored()
        }
    }

    #[test]
    fn a_decision_is_written_once_with_its_time_and_no_run() {
        let off = decided(&stored(), Decision::Deactivate, NOW_MS).unwrap();
        assert_eq!((off.status, off.reason), (Status::Inactive, Reason::Manual));
        assert_eq!((off.status_run, off.status_at_ms), (None, NOW_MS));
        assert_eq!((off.version, off.decided_version), (2, Some(2)));
        assert_eq!(decided(&off, Decision::Deactivate, NOW_MS + 1), None);
        let on = decided(&off, Decision::Activate, NOW_MS + 2).unwrap();
        assert_eq!((on.status, on.reason), (Status::Active, Reason::Manual));
    }

    #[test]
    fn somebody_who_is_on_by_a_sync_is_kept_on_by_a_person_all_the_same() {
        let on = decided(&stored(), Decision::Activate, NOW_MS).unwrap();
        assert_eq!((on.status, on.reason), (Status::Active, Reason::Manual));
    }

    #[test]
    fn a_release_changes_no_status_and_forgets_whether_the_account_was_enabled() {
        let on = decided(&by_hand(Status::Active), Decision::Release, NOW_MS).unwrap();
        assert_eq!((on.status, on.reason), (Status::Active, Reason::Present));
        assert_eq!(on.account_enabled, None);
        let released = |user: StoredUser| {
            let user = decided(&user, Decision::Release, NOW_MS).unwrap();
            assert_eq!(user.status, Status::Inactive);
            user.reason
        };
        let off = || by_hand(Status::Inactive);
        let account_enabled = Some(false);
        let disabled = StoredUser {
            account_enabled,
            ..off()
        };
        assert_eq!(released(disabled), Reason::Disabled);
        let outside = StoredUser {
            in_scope: false,
            ..off()
        };
        assert_eq!(released(outside), Reason::OutOfScope);
        assert_eq!(released(off()), Reason::NotFound);
    }

    #[test]
    fn nobody_is_released_whom_no_person_holds() {
        assert_eq!(decided(&stored(), Decision::Release, NOW_MS), None);
    }
}
