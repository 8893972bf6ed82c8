//! The ends of a run.

use rollcall_core::batch::BatchState;
use rollcall_core::evidence::RequestId;
use rollcall_core::run::{FailReason, RunState};
use rollcall_core::window::Window;
use rollcall_store::{AcquiredBatch, ChainEnd, RunStep, StoreError, Usage};

use crate::values::{created, held, page_before_others, page_of, totals};
use crate::wire::Wire;
use crate::world::{LEASE_MS, START_MS, World, batch_key, commit, fail, head_key, n, s};

#[tokio::test]
async fn a_completed_run_is_the_tenants_last_full_one() {
    let world = World::start().await;
    let lease = world.finalizing("t").await;
    world.clock.advance_ms(5);
    world.complete(&lease).await;
    let head = world.store.head(&lease.run().tenant).await.unwrap();
    assert_eq!((head.active_run, head.held_run), (None, None));
    assert_eq!(
        (head.last_full_run, head.last_full_seen),
        (Some(1), Some(42))
    );
    let run = world.store.run(lease.run()).await.unwrap().unwrap();
    assert_eq!(
        (run.state, run.totals),
        (RunState::Completed, Some(totals()))
    );
    assert_eq!(run.ended_at_ms, Some(START_MS + 5));
}

#[tokio::test]
async fn a_held_run_is_no_baseline_and_the_next_run_may_start() {
    let world = World::start().await;
    let lease = world.finalizing("t").await;
    world.hold(&lease).await;
    let head = world.store.head(&lease.run().tenant).await.unwrap();
    assert_eq!((head.active_run, head.held_run), (None, Some(1)));
    assert_eq!((head.last_full_run, head.last_full_seen), (None, None));
    let run = world.store.run(lease.run()).await.unwrap().unwrap();
    assert_eq!((run.state, run.held), (RunState::Held, Some(held())));
    assert_eq!(world.started("t").await.run, 2);
}

#[tokio::test]
async fn a_run_that_is_not_its_tenants_active_one_cannot_be_completed_or_held() {
    let world = World::start().await;
    let lease = world.finalizing("t").await;
    world.set(&head_key("t"), "active_run", n(2)).await;
    let (totals, usage) = (totals(), Usage::default());
    let window = Window::default();
    let error = StoreError::Changed {
        what: "the tenant's active run",
    };
    let record = world.record(lease.run()).await;
    let complete = world
        .store
        .complete_run(&lease, &record, (&totals, &window), &usage);
    world.refuses("complete", &error, complete).await;
    let held = held();
    let what = (&held, &totals);
    let hold = world.store.hold_run(&lease, &record, what, &usage);
    world.refuses("hold", &error, hold).await;
}

#[tokio::test]
async fn a_failed_run_has_its_open_batches_revoked_and_its_tenant_free() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let mut end = ChainEnd::start(1);
    for name in ["a", "b", "c"] {
        let mut page = page_of(&[name]);
        page.next = page_before_others().next;
        end = commit(&world.store, &lease, &end, &page).await.unwrap();
    }
    let done = world.batch_lease(lease.run(), 1, 1, "w").await;
    let usage = Usage::default();
    world.finish(&done, 1).await;
    let open = world.batch_lease(lease.run(), 1, 2, "w").await;

    let detail = "é".repeat(400);
    let fail = world
        .store
        .fail_run(&lease, FailReason::UnsafeLink, &detail, &usage);
    fail.await.unwrap();
    world.store.close_failed_run(&lease).await.unwrap();
    let run = world.store.run(lease.run()).await.unwrap().unwrap();
    assert_eq!(
        (run.state, run.reason),
        (RunState::Failed, Some(FailReason::UnsafeLink))
    );
    assert_eq!(run.detail.unwrap(), "é".repeat(300));
    let batches = world.store.batches(lease.run(), None).await.unwrap();
    let states: Vec<_> = batches.iter().map(|batch| batch.state).collect();
    assert_eq!(
        states,
        [BatchState::Done, BatchState::Revoked, BatchState::Revoked]
    );
    let writes = [created(lease.run(), "b")];
    let write = world.store.write_users(&open, &writes);
    let lost = StoreError::LostLease;
    world.refuses("write_users", &lost, write).await;
    let head = world.store.head(&lease.run().tenant).await.unwrap();
    assert_eq!((head.active_run, head.last_full_run), (None, None));
    assert_eq!(world.started("t").await.run, 2);
}

#[tokio::test]
async fn a_run_with_more_batches_than_a_transaction_holds_is_given_up_whole() {
    let world = World::start().await;
    let lease = world.draining("t", &["a"]).await;
    let (_, item) = world.items_of("batch").await.remove(0);
    for page in 2..=150u32 {
        let mut copy = item.clone();
        let key = batch_key(lease.run(), 1, page);
        copy.insert("sk".into(), s(&key.1));
        copy.insert("page".into(), n(page.into()));
        world.put(copy).await;
    }
    world.fail(&lease).await;
    let batches = world.store.batches(lease.run(), None).await.unwrap();
    assert_eq!(batches.len(), 150);
    assert!(batches.iter().all(|b| b.state == BatchState::Revoked));
}

/// FAILED comes first, so a worker cannot lease what is revoked only a moment later.
#[tokio::test]
async fn no_batch_is_leased_between_the_failure_of_a_run_and_the_revocation() {
    let world = World::start().await;
    let lease = world.draining("t", &["a"]).await;
    let wire = Wire::default();
    let (other, run) = (world.clone(), lease.run().clone());
    wire.before("Query", async move {
        let acquired = other.store.acquire_batch(&run, 1, 1, "w").await.unwrap();
        assert!(matches!(acquired, AcquiredBatch::Over(_)), "{acquired:?}");
        // Nor is the tenant free before they are.
        let head = other.store.head(&run.tenant).await.unwrap();
        assert_eq!(head.active_run, Some(1));
    });
    let store = world.store_on(&wire);
    fail(&store, &lease).await.unwrap();
    assert!(wire.is_done());
}

#[tokio::test]
async fn giving_up_that_was_interrupted_after_the_failure_is_finished_by_another() {
    let world = World::start().await;
    let (lease, _) = world.working("t", &["a"]).await;
    world.set_run_state(lease.run(), RunState::Failed).await;
    world.clock.advance_ms(LEASE_MS);
    let sweeper = world.lease(lease.run(), RunStep::GiveUp, "sweeper").await;
    let lost = StoreError::LostLease;
    let close = world.store.close_failed_run(&lease);
    world.refuses("the old holder", &lost, close).await;
    // Twice, as a copy would.
    for _ in 0..2 {
        world.store.close_failed_run(&sweeper).await.unwrap();
        let batch = world.batch_state(lease.run(), 1).await;
        assert_eq!(batch, BatchState::Revoked);
        let head = world.store.head(&lease.run().tenant).await.unwrap();
        assert_eq!(head.active_run, None);
    }
}

#[tokio::test]
async fn finishing_an_old_failed_run_leaves_the_next_run_active() {
    let world = World::start().await;
    let lease = world.draining("t", &[]).await;
    world.fail(&lease).await;
    let next = world.started("t").await;
    assert_eq!(world.store.close_failed_run(&lease).await, Ok(()));
    let head = world.store.head(&next.tenant).await.unwrap();
    assert_eq!(head.active_run, Some(next.run));
}

#[tokio::test]
async fn a_run_that_goes_on_cannot_be_closed_as_a_failed_one() {
    let world = World::start().await;
    let lost = StoreError::LostLease;
    for (number, state) in RunState::ALL.into_iter().enumerate() {
        let (lease, batch) = world.working(&format!("t{number}"), &["a"]).await;
        world.set_run_state(lease.run(), state).await;
        let close = world.store.close_failed_run(&lease);
        if state == RunState::Failed {
            close.await.unwrap();
        } else {
            world.refuses(&format!("{state:?}"), &lost, close).await;
            assert_eq!(world.store.keep_batch(&batch).await, Ok(()));
        }
    }
}

#[tokio::test]
async fn what_was_used_adds_up_over_the_steps_of_a_run() {
    let world = World::start().await;
    let lease = world.finalizing("t").await;
    let mut usage = Usage::default();
    usage.graph.requests = 3;
    usage.capacity.write_units = 2.5;
    world.complete(&lease).await;
    let lease = world.enumerating("t").await;
    let page = rollcall_store::PageCommit {
        after: &ChainEnd::start(1),
        payload: &page_before_others(),
        unknown: 4,
        request: &RequestId::default(),
        usage,
        batches_at_once: 8,
    };
    world.store.commit_page(&lease, &page).await.unwrap();
    let fail = world
        .store
        .fail_run(&lease, FailReason::Deadline, "", &usage);
    fail.await.unwrap();
    let run = world.store.run(lease.run()).await.unwrap().unwrap();
    assert_eq!(run.usage.graph.requests, 6);
    assert!((run.usage.capacity.write_units - 5.0).abs() < f64::EPSILON);
    assert_eq!(run.unknown, 4);
}

/// A batch that is not in the list would stay open, and its worker could write on.
#[tokio::test]
async fn a_list_of_batches_that_is_shorter_than_the_chain_is_corrupt_and_frees_nobody() {
    let world = World::start().await;
    let lease = world.draining("t", &["a"]).await;
    world.lose(&batch_key(lease.run(), 1, 1)).await;
    let failed = fail(&world.store, &lease).await;
    assert!(
        matches!(failed, Err(StoreError::Corrupt { .. })),
        "{failed:?}"
    );
    assert_eq!(world.run_state(lease.run()).await, RunState::Failed);
    let head = world.store.head(&lease.run().tenant).await.unwrap();
    assert_eq!(head.active_run, Some(1));
}
