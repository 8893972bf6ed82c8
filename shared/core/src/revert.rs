//! Taking a run's change of one user back.

use crate::status::{Reason, StoredUser};

/// Whether a person decided about the user after he was like `before` and before he was like `now`. A run that wrote
/// him twice may have a person's word in between; no sync gives one, takes one back, or changes what it says.
#[must_use]
pub fn is_decided_between(before: &StoredUser, now: &StoredUser) -> bool {
    let word = |user: &StoredUser| (user.reason == Reason::Manual).then_some(user.status);
    before.decided_version != now.decided_version || word(before) != word(now)
}

/// The user as he was before, in a version of its own: what he was in between stays in his history.
/// It counts as a person's decision, for it was one who asked for it; and a status that it changes is set now,
/// in milliseconds since 1970: who was off in between has had no session since he was on before.
#[must_use]
pub fn reverted(now: &StoredUser, before: &StoredUser, now_ms: u64) -> StoredUser {
    let version = now.version + 1;
    let is_set = (now.status, now.reason) != (before.status, before.reason);
    StoredUser {
        version,
        decided_version: Some(version),
        status_at_ms: if is_set { now_ms } else { now.status_at_ms },
        ..before.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::SightingContext;
    use crate::scope::Scope;
    use crate::status::{Reason, Status};
    use crate::testing::{order, user};

    fn created() -> StoredUser {
        let context = SightingContext {
            run: 1,
            order: order(1, 1, 0),
            scope: &Scope::default(),
            now_ms: 1,
        };
        context.decide(&user("a"), None).write.unwrap()
    }

    #[test]
    fn a_person_s_word_is_seen_by_its_version_and_by_what_it_says() {
        let before = created();
        let later = StoredUser {
            version: 9,
            display_name: Some("Other".into()),
            status: Status::Inactive,
            reason: Reason::Disabled,
            ..before.clone()
        };
        assert!(!is_decided_between(&before, &later));
        let given_back = StoredUser {
            decided_version: Some(5),
            ..later.clone()
        };
        assert!(is_decided_between(&before, &given_back));
        // Whoever wrote it past the store has left no version.
        let by_hand = StoredUser {
            reason: Reason::Manual,
            ..later
        };
        assert!(is_decided_between(&before, &by_hand));
        let other_word = StoredUser {
            status: Status::Active,
            ..by_hand.clone()
        };
        assert!(is_decided_between(&by_hand, &other_word));
        assert!(!is_decided_between(&by_hand, &by_hand));
    }

    #[test]
    fn whoever_is_taken_back_is_as_before_but_for_the_version_and_since_when() {
        let before = created();
        let now = StoredUser {
            status: Status::Inactive,
            reason: Reason::Deleted,
            status_run: Some(2),
            version: 2,
            ..before.clone()
        };
        let after = reverted(&now, &before, 7);
        assert_eq!((after.version, after.decided_version), (3, Some(3)));
        assert_eq!(after.status_at_ms, 7);
        let as_before = StoredUser {
            version: before.version,
            decided_version: before.decided_version,
            status_at_ms: before.status_at_ms,
            ..after
        };
        assert_eq!(as_before, before);
        let renamed = StoredUser {
            display_name: Some("Other".into()),
            version: 2,
            ..before.clone()
        };
        let after = reverted(&renamed, &before, 7);
        assert_eq!(after.status_at_ms, before.status_at_ms);
    }
}
