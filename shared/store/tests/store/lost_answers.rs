//! A write is applied, its answer is lost, and the SDK sends it again: the refusal of the second is
//! told from a real one.

use rollcall_core::batch::BatchState;
use rollcall_core::run::{FailReason, RunState};
use rollcall_store::{AcquiredRun, BatchResult, ChainEnd, RunStep, StoreError, Usage};

use crate::values::{created, last_page, page_before_others};
use crate::wire::Wire;
use crate::world::{LEASE_MS, World, commit, granted, granted_batch};

#[tokio::test]
async fn a_runs_lease_whose_answer_was_lost_is_read_back_and_mine() {
    let world = World::start().await;
    let run = world.started("t").await;
    let wire = Wire::default();
    wire.lose_answer("UpdateItem");
    let store = world.store_on(&wire);
    let acquired = store.acquire_run(&run, RunStep::Enumerate, "me").await;
    let lease = granted(acquired.unwrap());
    assert_eq!(wire.sent("UpdateItem"), 2);
    assert_eq!(lease.token(), 1);
    assert_eq!(world.store.keep_run(&lease).await, Ok(()));
}

#[tokio::test]
async fn a_runs_lease_whose_answer_was_lost_and_that_was_taken_over_since_is_not_mine() {
    let world = World::start().await;
    let run = world.started("t").await;
    let wire = Wire::default();
    wire.lose_answer("UpdateItem");
    let (other, its_run) = (world.clone(), run.clone());
    wire.before("UpdateItem", async move {
        other.clock.advance_ms(LEASE_MS);
        other.lease(&its_run, RunStep::Enumerate, "other").await;
    });
    let store = world.store_on(&wire);
    let acquired = store.acquire_run(&run, RunStep::Enumerate, "me").await;
    assert!(matches!(acquired.unwrap(), AcquiredRun::Busy));
    assert!(wire.is_done());
}

#[tokio::test]
async fn a_batch_whose_end_was_written_and_whose_answer_was_lost_is_done() {
    let world = World::start().await;
    let (_, batch) = world.working("t", &["a"]).await;
    let wire = Wire::default();
    wire.lose_answer("UpdateItem");
    let (result, usage) = (BatchResult::default(), Usage::default());
    let store = world.store_on(&wire);
    let finished = store.finish_batch(&batch, 1, &result, &usage).await;
    assert_eq!(finished, Ok(()));
    assert_eq!(wire.sent("UpdateItem"), 2);
    assert_eq!(world.batch_state(batch.run(), 1).await, BatchState::Done);
}

#[tokio::test]
async fn a_batch_that_another_finished_was_not_finished_by_me() {
    let world = World::start().await;
    // Under the same name, too: a name is not the token.
    for (tenant, owner) in [("t1", "other"), ("t2", "worker")] {
        let (run, mine) = world.working(tenant, &["a"]).await;
        world.clock.advance_ms(LEASE_MS);
        let theirs = world.batch_lease(run.run(), 1, 1, owner).await;
        let (result, usage) = (BatchResult::default(), Usage::default());
        world.finish(&theirs, 1).await;
        let late = world.store.finish_batch(&mine, 1, &result, &usage);
        let lost = StoreError::LostLease;
        world.refuses("finish_batch", &lost, late).await;
    }
}

#[tokio::test]
async fn a_transaction_whose_answer_was_lost_is_applied_once() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let wire = Wire::default();
    let store = world.store_on(&wire);
    wire.lose_answer("TransactWriteItems");
    let start = ChainEnd::start(1);
    let end = commit(&store, &lease, &start, &page_before_others()).await;
    let end = end.unwrap();
    assert_eq!((end.page, wire.sent("TransactWriteItems")), (1, 2));
    wire.lose_answer("TransactWriteItems");
    commit(&store, &lease, &end, &crate::values::page_of(&["a"]))
        .await
        .unwrap();
    wire.lose_answer("TransactWriteItems");
    let batch = granted_batch(store.acquire_batch(lease.run(), 1, 2, "w").await.unwrap());
    wire.lose_answer("TransactWriteItems");
    let writes = [created(lease.run(), "a")];
    assert_eq!(store.write_users(&batch, &writes).await, Ok(()));
    wire.lose_answer("TransactWriteItems");
    let usage = Usage::default();
    let failed = store.fail_run(&lease, FailReason::Deadline, "", &usage);
    assert_eq!(failed.await, Ok(()));
    assert!(wire.is_done());
    assert_eq!(store.close_failed_run(&lease).await, Ok(()));
    assert_eq!(world.run_state(lease.run()).await, RunState::Failed);
    assert_eq!(
        world.store.batches(lease.run(), None).await.unwrap().len(),
        2
    );
}

/// Each attempt under a token of its own would be refused by what the first has written, and its
/// writer would take his lease for lost.
#[tokio::test]
async fn a_transaction_whose_answer_was_lost_is_no_refusal_of_the_attempt_after_a_conflict() {
    for meanwhile in [
        crate::conflicts::cancelled(&["TransactionConflict", "None", "None"]),
        r#"{ "__type": "com.amazonaws.dynamodb.v20120810#TransactionInProgressException" }"#.into(),
    ] {
        let world = World::start().await;
        let lease = world.enumerating("t").await;
        let wire = Wire::default();
        let store = world.store_on(&wire);
        wire.lose_answer("TransactWriteItems");
        wire.answer("TransactWriteItems", 400, &meanwhile);
        let committed = commit(&store, &lease, &ChainEnd::start(1), &last_page()).await;
        assert_eq!(committed.map(|end| end.page), Ok(1), "{meanwhile}");
        assert_eq!(wire.sent("TransactWriteItems"), 3);
    }
}

#[tokio::test]
async fn a_renewal_whose_answer_was_lost_is_a_renewal() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    let wire = Wire::default();
    let store = world.store_on(&wire);
    wire.lose_answer("UpdateItem");
    assert_eq!(store.keep_run(&run).await, Ok(()));
    wire.lose_answer("UpdateItem");
    assert_eq!(store.keep_batch(&batch).await, Ok(()));
    assert!(wire.is_done());
}

#[tokio::test]
async fn an_answer_that_is_lost_again_and_again_is_unavailable_and_not_a_refusal() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let wire = Wire::default();
    for _ in 0..3 {
        wire.lose_answer("TransactWriteItems");
    }
    let store = world.store_on(&wire);
    let committed = commit(&store, &lease, &ChainEnd::start(1), &last_page()).await;
    assert!(
        matches!(committed, Err(StoreError::Unavailable(_))),
        "{committed:?}"
    );
    assert_eq!(wire.sent("TransactWriteItems"), 3);
}
