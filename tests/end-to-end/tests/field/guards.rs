//! A plan that is too large, by a filter or in earnest.

use rollcall_core::guard::GuardKind;
use rollcall_core::run::RunState;
use rollcall_core::status::{Reason, Status};
use rollcall_end_to_end::World;
use rollcall_store::RunRecord;
use serde_json::{Value, json};

use crate::{DELETED, PRESENT, change, ids, mends, standing, sync_with_nobody_off, synced};

/// The run is held by the percent guard at its default, and nobody is off.
async fn is_held_for(world: &World, deactivations: u64) -> RunRecord {
    let run = sync_with_nobody_off(world).await;
    assert_eq!(run.state, RunState::Held, "{run:?}");
    let held = run.held.clone().unwrap();
    assert_eq!(held.deactivations, deactivations);
    assert_eq!(
        (held.trip.guard, held.trip.limit),
        (GuardKind::Percent, 5.0)
    );
    assert!(!held.plan.is_empty());
    run
}

/// firezone#10898: a limit on deletions held back a sync that was right, and was raised from 25 % to 75 % for
/// everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_leave_in_earnest_waits_and_nothing_else_waits_with_it() {
    let world = synced(100, &json!({})).await;
    let leavers = ids(&world)[..12].to_vec();
    for id in &leavers {
        world.tenant.directory().soft_delete(*id).unwrap();
    }
    let joined = world.tenant.directory().add_people(1)[0];
    let first = is_held_for(&world, 12).await;
    assert_eq!(standing(&world, joined).await, PRESENT);

    // While it waits, life goes on: the next run has who joined since, and takes the hold over.
    let joined = world.tenant.directory().add_people(1)[0];
    is_held_for(&world, 12).await;
    assert_eq!(standing(&world, joined).await, PRESENT);
    let first = world.store.run(&first.run).await.unwrap().unwrap();
    assert_eq!(first.state, RunState::Superseded);

    // All but three are back: these go, and the limit is for the next large plan what it was.
    for id in &leavers[3..] {
        world.tenant.directory().restore(*id).unwrap();
    }
    let run = mends(&world).await;
    assert_eq!(run.totals.unwrap().deactivated.deleted, 3);
    assert_eq!(standing(&world, leavers[0]).await, DELETED);
    assert_eq!(standing(&world, leavers[3]).await, PRESENT);
    for id in &leavers[3..] {
        world.tenant.directory().soft_delete(*id).unwrap();
    }
    // The next one is meant: it is released, it alone, and the limit is still what it was.
    let meant = is_held_for(&world, 9).await;
    let run = world.approve(&meant).await.unwrap();
    assert_eq!(run.totals.unwrap().deactivated.deleted, 9);
    assert_eq!(standing(&world, leavers[3]).await, DELETED);
    for id in &ids(&world)[..6] {
        world.tenant.directory().soft_delete(*id).unwrap();
    }
    is_held_for(&world, 6).await;
}

fn only(domains: &[&str]) -> Value {
    json!({ "scope": { "domains": domains } })
}

/// authentik#19295: a filter was changed to leave some accounts out, did not work as expected, and all users
/// were deleted, with what belonged to them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_takes_out_more_than_was_meant_is_held_and_can_be_put_right() {
    let world = synced(40, &json!({})).await;
    for (at, id) in ids(&world).into_iter().enumerate() {
        let domain = match at {
            0..3 => "service.example",
            3..20 => "fabrikam.example",
            _ => "contoso.com",
        };
        change(&world, id, |user| {
            user.user_principal_name = Some(format!("user{at}@{domain}"));
        });
    }
    mends(&world).await;
    let before = world.users().await.unwrap();

    // A filter that fits nobody, and one that forgets a domain.
    world.put_settings(&only(&["contoso.con"])).await.unwrap();
    is_held_for(&world, 40).await;
    world.put_settings(&only(&["contoso.com"])).await.unwrap();
    is_held_for(&world, 20).await;
    // It is put back, and nothing was ever done.
    world.put_settings(&json!({})).await.unwrap();
    mends(&world).await;
    assert_eq!(world.users().await.unwrap(), before);

    // The one that was meant takes out three, who are back when it is undone.
    let meant = only(&["contoso.com", "fabrikam.example"]);
    world.put_settings(&meant).await.unwrap();
    let run = world.sync().await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert_eq!(run.totals.unwrap().deactivated.out_of_scope, 3);
    let out = (Status::Inactive, Reason::OutOfScope);
    for (at, id) in ids(&world).into_iter().enumerate() {
        let expected = if at < 3 { out } else { PRESENT };
        assert_eq!(standing(&world, id).await, expected);
    }
    world.put_settings(&json!({})).await.unwrap();
    let run = mends(&world).await;
    assert_eq!(run.totals.unwrap().changes.reactivated, 3);
}
