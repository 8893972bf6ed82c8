//! Full runs that are owed, and names in a tenant's head of what has expired.

use rollcall_core::run::RunMode;
use rollcall_store::{DueRun, Named, StartedRun, StoreError};

use crate::reverts::Bad;
use crate::wire::Wire;
use crate::world::{World, head_key, n, run_key};

async fn owes_full(world: &World) -> bool {
    let head = world.store.head(&"t".parse().unwrap()).await.unwrap();
    head.owes_full()
}

async fn completes(world: &World) {
    let lease = world.finalizing("t").await;
    world.complete(&lease).await;
}

#[tokio::test]
async fn a_full_run_that_failed_is_owed_until_one_has_ended_well() {
    let world = World::start().await;
    completes(&world).await;
    assert!(!owes_full(&world).await);
    for _ in 0..2 {
        let lease = world.finalizing("t").await;
        world.fail(&lease).await;
        assert!(owes_full(&world).await);
    }
    completes(&world).await;
    assert!(!owes_full(&world).await);
    let lease = world.finalizing("t").await;
    world.hold(&lease).await;
    assert!(!owes_full(&world).await, "its updates stand");
}

/// A delta run from behind the run that was taken back is told nothing of whom Microsoft 365 has otherwise by
/// now, and a full run that is under way may have read him before.
#[tokio::test]
async fn after_a_revert_a_full_run_is_owed_that_begins_after_it() {
    let bad = Bad::new().await;
    bad.begin().await;
    let lease = bad.world.finalizing("t").await;
    bad.go_on().await;
    bad.world.complete(&lease).await;
    assert!(owes_full(&bad.world).await);
    completes(&bad.world).await;
    assert!(!owes_full(&bad.world).await);
}

#[tokio::test]
async fn a_full_run_that_falls_into_a_rest_is_owed_and_a_delta_run_is_not() {
    let world = World::start().await;
    completes(&world).await;
    let tenant = world.tenant("t").await;
    // As after three delta runs.
    let head = head_key("t");
    world.set(&head, "failed_in_a_row", n(3)).await;
    world.set(&head, "failed_at", n(world.now_ms())).await;
    for (fires, is_owed) in [(RunMode::Delta, false), (RunMode::Full, true)] {
        let due = world.store.start_due_run(&tenant, fires, 1_000);
        let due = due.await.unwrap();
        assert!(matches!(due, DueRun::Rests { .. }), "{due:?}");
        assert_eq!(owes_full(&world).await, is_owed, "{fires:?}");
    }
}

// Seed 67805 of the simulation: the active run read as if it were not there.
#[tokio::test]
async fn a_full_run_that_meets_one_that_cannot_be_read_is_owed() {
    let world = World::start().await;
    completes(&world).await;
    let tenant = world.tenant("t").await;
    world.set(&head_key("t"), "active_run", n(9)).await;
    for (fires, is_owed) in [(RunMode::Delta, false), (RunMode::Full, true)] {
        let due = world.store.start_due_run(&tenant, fires, 1_000);
        let due = due.await.unwrap();
        let met = matches!(&due, DueRun::Due(StartedRun::AlreadyActive(run)) if run.run == 9);
        assert!(met, "{due:?}");
        assert_eq!(owes_full(&world).await, is_owed, "{fires:?}");
    }
}

#[tokio::test]
async fn an_occurrence_that_was_had_since_it_was_looked_for_starts_nothing() {
    let world = World::start().await;
    completes(&world).await;
    let tenant = world.tenant("t").await;
    let wire = Wire::default();
    let other = world.clone();
    wire.before("TransactWriteItems", async move {
        for name in ["full_for", "any_for"] {
            other.set(&head_key("t"), name, n(1_000)).await;
        }
    });
    let store = world.store_on(&wire);
    let due = store.start_due_run(&tenant, RunMode::Full, 1_000).await;
    assert!(matches!(due, Err(StoreError::Changed { .. })), "{due:?}");
    let due = store.start_due_run(&tenant, RunMode::Full, 1_000).await;
    assert_eq!(due, Ok(DueRun::NotDue));
}

#[tokio::test]
async fn a_run_that_expired_before_it_ended_stands_in_nobodys_way() {
    let world = World::start().await;
    let run = world.started("t").await;
    let head = |world: &World| {
        let (store, tenant) = (world.store.clone(), run.tenant.clone());
        async move { store.head(&tenant).await.unwrap() }
    };
    assert_eq!(
        world.store.forget_gone(&run, Named::Active).await,
        Ok(false)
    );
    assert_eq!(head(&world).await.active_run, Some(1), "it is there");
    world.lose(&run_key(&run)).await;
    let held = Named::Held(RunMode::Full);
    assert_eq!(world.store.forget_gone(&run, held).await, Ok(false));
    assert_eq!(world.store.forget_gone(&run, Named::Active).await, Ok(true));
    assert_eq!(head(&world).await.active_run, None);
    assert!(owes_full(&world).await);
    completes(&world).await;
}

#[tokio::test]
async fn a_hold_that_expired_undecided_keeps_no_later_run_from_its_plan() {
    let world = World::start().await;
    let lease = world.finalizing("t").await;
    world.hold(&lease).await;
    let run = lease.run();
    let held = Named::Held(RunMode::Full);
    assert_eq!(world.store.forget_gone(run, held).await, Ok(false));
    world.lose(&run_key(run)).await;
    assert_eq!(world.store.forget_gone(run, held).await, Ok(true));
    let head = world.store.head(&run.tenant).await.unwrap();
    assert_eq!((head.held(), head.lapsed(u64::MAX)), (vec![], vec![]));
}

#[tokio::test]
async fn a_revert_that_expired_in_its_middle_keeps_no_other_from_beginning() {
    let bad = Bad::new().await;
    bad.begin().await;
    let (store, run) = (&bad.world.store, bad.run.run());
    assert_eq!(store.forget_gone(run, Named::Reverting).await, Ok(false));
    let (key, _) = bad.world.items_of("revert").await.remove(0);
    bad.world.lose(&key).await;
    assert_eq!(store.forget_gone(run, Named::Reverting).await, Ok(true));
    let head = store.head(&run.tenant).await.unwrap();
    assert_eq!(head.reverting, None);
    bad.begin().await;
    bad.go_on().await;
    bad.is_taken_back().await;
}
