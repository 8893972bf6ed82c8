//! A list that came with a 200 and is not everybody.

use rollcall_core::guard::GuardKind;
use rollcall_core::run::{FailReason, RunState};
use rollcall_end_to_end::World;
use rollcall_end_to_end::lost::Lost;
use rollcall_graph_emulator::{Endpoint, Fault, FaultRule, Matcher, User, Who};
use serde_json::json;
use uuid::Uuid;

use crate::{
    a_day, fails, ids, in_step, mends, pages_of, patient, sync_with_nobody_off, synced, tenant_of,
    users_page,
};

/// ssosync#194: a listing without anybody was believed, everybody was deleted, and the next run made them
/// again without what had been assigned to them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_without_anybody_neither_removes_the_users_nor_makes_them_anew() {
    let world = synced(40, &json!({})).await;
    let before = world.users().await.unwrap();
    let empty = FaultRule::forever(users_page(1), Fault::EmptyEnd);
    world.graph().add_fault(empty);
    fails(&world, FailReason::EmptyEnumeration).await;
    let run = mends(&world).await;
    assert_eq!(run.totals.unwrap().changes.total(), 0);
    assert_eq!(world.users().await.unwrap(), before);
}

/// Takes users out of the tenant without a trace, and gives them to be put back.
fn vanish(world: &World, ids: &[Uuid]) -> Vec<User> {
    let mut directory = world.tenant.directory();
    let users = ids.iter().map(|id| directory.get(*id).unwrap().clone());
    let users: Vec<_> = users.collect();
    for id in ids {
        directory.purge(*id).unwrap();
    }
    users
}

fn are_back(world: &World, users: Vec<User>) {
    let mut directory = world.tenant.directory();
    for user in users {
        directory.add(user).unwrap();
    }
}

/// netbird#4068: over a night all users were deleted and added again; a user should be asked for a few
/// times more before that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_who_are_gone_for_one_night_were_never_off() {
    let world = synced(40, &json!({})).await;
    let before = world.users().await.unwrap();
    let ids = ids(&world);
    // Nearly everybody, by every way of asking: more than may be missing at all.
    let gone = vanish(&world, &ids[4..]);
    let night = sync_with_nobody_off(&world).await;
    assert_eq!(night.state, RunState::Held, "{night:?}");
    assert_eq!(night.held.unwrap().trip.guard, GuardKind::Shrink);
    assert_eq!(night.totals.unwrap().kept.awaiting_confirmation, 36);
    are_back(&world, gone);
    mends(&world).await;
    assert_eq!(world.users().await.unwrap(), before);

    // A few, in two nights with a day between them: never in two runs in a row.
    for _ in 0..2 {
        let gone = vanish(&world, &ids[..3]);
        let night = sync_with_nobody_off(&world).await;
        assert_eq!(night.state, RunState::Completed, "{night:?}");
        assert_eq!(night.totals.unwrap().kept.awaiting_confirmation, 3);
        are_back(&world, gone);
        mends(&world).await;
        assert_eq!(world.users().await.unwrap(), before);
    }
}

/// firezone#9188: requests came back as successful without the data, which was taken for the deletion of
/// all that was missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successful_answer_without_its_data_is_about_nobody() {
    let world = synced(40, &patient()).await;
    let before = world.users().await.unwrap();
    let missing: Vec<_> = ids(&world).into_iter().step_by(2).collect();
    for (missing, state) in [
        (missing[..5].to_vec(), RunState::Completed),
        (missing, RunState::Held),
    ] {
        let (count, left_out) = (missing.len() as u64, Fault::LeftOut(Who::Ids(missing)));
        let rule = FaultRule::forever(Matcher::endpoint(Endpoint::Users), left_out);
        world.graph().add_fault(rule);
        let run = sync_with_nobody_off(&world).await;
        assert_eq!(run.state, state, "{run:?}");
        // Each was asked for by his id, and is there.
        assert_eq!(run.totals.unwrap().kept.contradicted, count);
        assert_eq!(run.held.map_or(0, |held| held.deactivations), 0);
        world.graph().clear_faults();
    }
    for fault in [Fault::NoValue, Fault::NullValue] {
        let rule = FaultRule::forever(users_page(4), fault);
        world.graph().add_fault(rule);
        fails(&world, FailReason::EnumerationUnreliable).await;
        world.graph().clear_faults();
    }
    mends(&world).await;
    assert_eq!(world.users().await.unwrap(), before);
}

/// bitwarden/server#6173: an option meant for debugging removed users en masse, up to a whole organization,
/// and it was easy to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_setting_makes_it_enough_to_be_missing_in_a_list() {
    let as_loose_as_can_be = json!({ "guards": {
        "deactivations_max": 1_000_000,
        "deactivations_percent_max": 100.0,
        "exempt_max": 1_000_000,
        "shrink_percent_max": 100.0,
        "window_percent_max": 100.0,
    } });
    let world = synced(40, &as_loose_as_can_be).await;
    let before = world.users().await.unwrap();
    let missing = ids(&world)[4..].to_vec();
    let left_out = Fault::LeftOut(Who::Ids(missing.clone()));
    let rule = FaultRule::forever(Matcher::endpoint(Endpoint::Users), left_out);
    world.graph().add_fault(rule);
    for _ in 0..3 {
        let run = sync_with_nobody_off(&world).await;
        assert_eq!(run.state, RunState::Completed, "{run:?}");
        assert_eq!(run.totals.unwrap().kept.contradicted, 36);
    }
    world.graph().clear_faults();
    // Nor is one run that does not find them by id either.
    let gone = vanish(&world, &missing);
    let run = sync_with_nobody_off(&world).await;
    assert_eq!(
        run.totals.unwrap().kept.awaiting_confirmation,
        36,
        "{run:?}"
    );
    are_back(&world, gone);
    mends(&world).await;
    assert_eq!(world.users().await.unwrap(), before);
}

/// directory-connector#38: of a group only the first 100 were synced, which is one page, and whoever was
/// added by hand beyond them was removed by the next sync.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_user_beyond_a_page_is_as_much_there_as_the_others() {
    for (users, page_size_max) in [(101, 100), (1_000, 999)] {
        let world = tenant_of(users, &json!({})).await;
        pages_of(&world, page_size_max);
        let first = mends(&world).await;
        assert_eq!(first.last_page, 2, "{first:?}");
        assert_eq!(world.active().await.unwrap(), users);
        let before = world.users().await.unwrap();
        let second = mends(&world).await;
        let totals = second.totals.unwrap();
        assert_eq!(totals.users_seen, users as u64);
        assert_eq!((totals.changes.total(), totals.deactivated.total()), (0, 0));
        assert_eq!(world.users().await.unwrap(), before);
    }
}

/// authentik#25572: now and then a page that had been put aside for a task was not found by it, the page
/// was dropped, and the sync as a whole was reported as successful.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_not_found_again_is_read_once_more_or_fails_the_run() {
    let limits = json!({ "limits": { "graph_retry_seconds_max": 2, "lease_seconds": 1 } });
    let world = synced(40, &limits).await;
    let lost = Lost::page();
    let (_, app) = world.app_over(lost.over(world.aws.dynamodb()));
    let (mut completed, mut failed) = (0, 0);
    // Each of the four pages has work, and is read by its worker; then all are read by the finalizer.
    for nth in 1..=8 {
        for (at, id) in ids(&world).into_iter().enumerate() {
            let mut directory = world.tenant.directory();
            let name = format!("user{at:03}@contoso.com");
            directory.rename(id, &name, &format!("Name {nth}")).unwrap();
        }
        lost.lose(nth);
        let run = world.sync_by(&app, 1).await.unwrap();
        assert!(lost.is_lost(), "read {nth}");
        assert_eq!(world.active().await.unwrap(), 40, "read {nth}: {run:?}");
        if run.state == RunState::Completed {
            completed += 1;
            in_step(&world).await;
        } else {
            failed += 1;
            assert_eq!(run.reason, Some(FailReason::Incomplete), "read {nth}");
        }
    }
    // The worker comes again. The finalizer does not: what it was to prove it cannot.
    assert!(completed >= 4 && failed >= 1, "{completed}, {failed}");
    a_day(&world);
    mends(&world).await;
}
