//! What happens between a read and the write that follows it. A lease is read as free first, and
//! written then: whatever came in between has to be seen by the condition.

use rollcall_store::{AcquiredBatch, AcquiredRun, RunLease, RunStep};

use crate::wire::Wire;
use crate::world::{LEASE_MS, World};

/// Asks for a run's lease, while `meanwhile` happens after the run was read.
async fn acquire_run_while(
    world: &World,
    lease: &RunLease,
    meanwhile: impl Future<Output = ()> + Send + 'static,
) -> AcquiredRun {
    let wire = Wire::default();
    wire.before("UpdateItem", meanwhile);
    let store = world.store_on(&wire);
    let acquired = store.acquire_run(lease.run(), RunStep::Enumerate, "late");
    let acquired = acquired.await.unwrap();
    assert!(wire.is_done());
    acquired
}

/// The same for batch 1/1.
async fn acquire_batch_while(
    world: &World,
    lease: &RunLease,
    meanwhile: impl Future<Output = ()> + Send + 'static,
) -> AcquiredBatch {
    let wire = Wire::default();
    wire.before("TransactWriteItems", meanwhile);
    let store = world.store_on(&wire);
    let acquired = store.acquire_batch(lease.run(), 1, 1, "late").await;
    assert!(wire.is_done());
    acquired.unwrap()
}

#[tokio::test]
async fn of_two_who_want_a_runs_first_lease_one_gets_it() {
    let world = World::start().await;
    let run = world.started("t").await;
    let wire = Wire::default();
    let (other, its_run) = (world.clone(), run.clone());
    wire.before("UpdateItem", async move {
        other.lease(&its_run, RunStep::Enumerate, "early").await;
    });
    let store = world.store_on(&wire);
    let acquired = store.acquire_run(&run, RunStep::Enumerate, "late").await;
    assert!(matches!(acquired.unwrap(), AcquiredRun::Busy));
    let stored = world.store.run(&run).await.unwrap().unwrap().lease.unwrap();
    assert_eq!((stored.owner.as_str(), stored.token), ("early", 1));
}

#[tokio::test]
async fn of_two_who_want_a_batchs_first_lease_one_gets_it() {
    let world = World::start().await;
    let lease = world.draining("t", &["a"]).await;
    let (other, run) = (world.clone(), lease.run().clone());
    let acquired = acquire_batch_while(&world, &lease, async move {
        other.batch_lease(&run, 1, 1, "early").await;
    });
    assert!(matches!(acquired.await, AcquiredBatch::Busy));
    let stored = world.store.batch(lease.run(), 1, 1).await.unwrap().unwrap();
    assert_eq!(stored.lease.unwrap().owner, "early");
}

#[tokio::test]
async fn a_lapsed_run_lease_that_its_holder_renews_at_the_last_moment_is_not_taken() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    world.clock.advance_ms(LEASE_MS);
    let (other, its_lease) = (world.clone(), lease.clone());
    let acquired = acquire_run_while(&world, &lease, async move {
        other.store.keep_run(&its_lease).await.unwrap();
    });
    assert!(matches!(acquired.await, AcquiredRun::Busy));
    assert_eq!(world.store.keep_run(&lease).await, Ok(()));
}

#[tokio::test]
async fn a_lapsed_batch_lease_that_its_holder_renews_at_the_last_moment_is_not_taken() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    world.clock.advance_ms(LEASE_MS);
    let (other, its_lease) = (world.clone(), batch.clone());
    let acquired = acquire_batch_while(&world, &run, async move {
        other.store.keep_batch(&its_lease).await.unwrap();
    });
    assert!(matches!(acquired.await, AcquiredBatch::Busy));
    assert_eq!(world.store.keep_batch(&batch).await, Ok(()));
}

/// Otherwise two grants would have one token, and the first of them could still write.
#[tokio::test]
async fn a_run_lease_that_was_taken_and_given_back_meanwhile_is_not_granted_under_its_token() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    world.clock.advance_ms(LEASE_MS);
    let (other, run) = (world.clone(), lease.run().clone());
    let acquired = acquire_run_while(&world, &lease, async move {
        let between = other.lease(&run, RunStep::Enumerate, "between").await;
        other.store.release_run(&between).await.unwrap();
    });
    assert!(matches!(acquired.await, AcquiredRun::Busy));
    let next = world.lease(lease.run(), RunStep::Enumerate, "next").await;
    assert_eq!(next.token(), 3);
}

/// Nor is it under one's own name, if the token is another one.
#[tokio::test]
async fn a_later_grant_under_the_same_name_is_not_the_one_that_was_asked_for() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    world.clock.advance_ms(LEASE_MS);
    let (other, run) = (world.clone(), lease.run().clone());
    let acquired = acquire_run_while(&world, &lease, async move {
        let between = other.lease(&run, RunStep::Enumerate, "late").await;
        other.store.release_run(&between).await.unwrap();
        other.lease(&run, RunStep::Enumerate, "late").await;
    });
    assert!(matches!(acquired.await, AcquiredRun::Busy));
}

/// The batch is still open, so "there is nothing to do" would be the wrong answer as well.
#[tokio::test]
async fn a_batch_lease_that_was_taken_and_given_back_meanwhile_is_busy_and_not_over() {
    let world = World::start().await;
    let (run, _) = world.working("t", &["a"]).await;
    world.clock.advance_ms(LEASE_MS);
    let (other, its_run) = (world.clone(), run.run().clone());
    let acquired = acquire_batch_while(&world, &run, async move {
        let between = other.batch_lease(&its_run, 1, 1, "between").await;
        other.store.release_batch(&between).await.unwrap();
    });
    assert!(matches!(acquired.await, AcquiredBatch::Busy));
    let next = world.batch_lease(run.run(), 1, 1, "next").await;
    assert_eq!(next.token(), 3);
}
