//! Taking a run's change of one user back.

use crate::status::StoredUser;

/// The user as he was before, in a version of its own: what he was in between stays in his history.
/// It counts as a person's decision, for it was one who asked for it.
#[must_use]
pub fn reverted(now: &StoredUser, before: &StoredUser) -> StoredUser {
    let version = now.version + 1;
    StoredUser {
        version,
        decided_version: Some(version),
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

    #[test]
    fn whoever_is_taken_back_is_as_before_but_for_the_version() {
        let context = SightingContext {
            run: 1,
            order: order(1, 1, 0),
            scope: &Scope::default(),
            now_ms: 1,
        };
        let before = context.decide(&user("a"), None).write.unwrap();
        let now = StoredUser {
            status: Status::Inactive,
            reason: Reason::Deleted,
            status_run: Some(2),
            version: 2,
            ..before.clone()
        };
        let after = reverted(&now, &before);
        assert_eq!((after.version, after.decided_version), (3, Some(3)));
        let as_before = StoredUser {
            version: before.version,
            decided_version: before.decided_version,
            ..after
        };
        assert_eq!(as_before, before);
    }
}
