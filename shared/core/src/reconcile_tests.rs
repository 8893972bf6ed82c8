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
fn who_left_the_scope_disabled_is_not_taken_for_enabled_by_a_delta_that_has_him_back() {
    let (stored, scope) = (created(&user("a")), Scope::default());
    let left = GraphUser {
        account_enabled: Some(false),
        ..guest("a")
    };
    let decision = context(&scope, 1, 4).decide(&left, Some(&stored));
    assert_eq!(decision.candidate.unwrap().reason, Reason::OutOfScope);
    let waits = decision.write.unwrap();
    assert_eq!((waits.status, waits.in_scope), (Status::Active, true));
    assert!(!is_unchanged(&left, &scope, Some(&waits.standing())));
    let off = off(&waits, Reason::OutOfScope, 7, 1_000);
    assert!(is_unchanged(&left, &scope, Some(&off.standing())));
    let back = crate::delta::DeltaUser {
        user_type: Some(user("a").user_type),
        ..crate::delta::DeltaUser::new(stored.id.clone())
    };
    let seen = back.whole(Some(&off), &crate::user::AttributeMap::new());
    let decision = context(&scope, 2, 0).decide(&seen, Some(&off));
    let write = decision.write.unwrap();
    assert_eq!(
        (write.status, write.reason),
        (Status::Inactive, Reason::Disabled)
    );
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

/// The index that the enumerator knows him by may be behind: the worker reads him as he is.
#[test]
fn whoever_a_person_decided_about_is_left_to_a_worker_that_reads_him() {
    let seen = user("a");
    let decided = StoredUser {
        reason: Reason::Manual,
        ..created(&seen)
    };
    let (scope, standing) = (Scope::default(), decided.standing());
    assert!(!is_unchanged(&seen, &scope, Some(&standing)));
    let decision = context(&scope, 1, 0).decide(&seen, Some(&decided));
    assert_eq!(decision, Decision::default());
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
