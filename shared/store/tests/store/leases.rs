//! Who gets a lease, and when.

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::batch::BatchState;
use rollcall_core::ids::RunRef;
use rollcall_core::run::RunState;
use rollcall_store::{AcquiredBatch, AcquiredRun, ChainEnd, RunStep, StoreError};

use crate::values::{created, last_page, page_before_others};
use crate::wire::Wire;
use crate::world::{LEASE_MS, START_MS, World, batch_key, commit, n, s};

#[tokio::test]
async fn a_runs_lease_is_exclusive_until_it_lapses_and_each_grant_has_a_higher_token() {
    let world = World::start().await;
    let run = world.started("t").await;
    let first = world.lease(&run, RunStep::Enumerate, "first").await;
    assert_eq!((first.token(), first.lease_ms()), (1, LEASE_MS));

    world.clock.advance_ms(LEASE_MS - 1);
    for owner in ["second", "first"] {
        let acquired = world.store.acquire_run(&run, RunStep::Enumerate, owner);
        assert!(matches!(acquired.await.unwrap(), AcquiredRun::Busy));
    }
    world.clock.advance_ms(1);
    let second = world.lease(&run, RunStep::GiveUp, "second").await;
    assert_eq!(second.token(), 2);
    let stored = world.store.run(&run).await.unwrap().unwrap().lease.unwrap();
    assert_eq!((stored.owner.as_str(), stored.token), ("second", 2));
    assert_eq!(stored.until_ms, world.now_ms() + LEASE_MS);
}

#[tokio::test]
async fn a_batchs_lease_is_exclusive_until_it_lapses_and_each_grant_has_a_higher_token() {
    let world = World::start().await;
    let (run, first) = world.working("t", &["a"]).await;
    assert_eq!((first.token(), first.lease_ms()), (1, LEASE_MS));

    world.clock.advance_ms(LEASE_MS - 1);
    for owner in ["second", "worker"] {
        let acquired = world.store.acquire_batch(run.run(), 1, 1, owner).await;
        assert!(matches!(acquired.unwrap(), AcquiredBatch::Busy));
    }
    world.clock.advance_ms(1);
    let second = world.batch_lease(run.run(), 1, 1, "second").await;
    assert_eq!(second.token(), 2);
}

#[tokio::test]
async fn a_lease_that_is_kept_runs_on() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    world.clock.advance_ms(LEASE_MS - 1);
    world.store.keep_run(&run).await.unwrap();
    world.store.keep_batch(&batch).await.unwrap();
    world.clock.advance_ms(LEASE_MS - 1);
    let acquired = world.store.acquire_run(run.run(), RunStep::Finalize, "o");
    assert!(matches!(acquired.await.unwrap(), AcquiredRun::Busy));
    let acquired = world.store.acquire_batch(run.run(), 1, 1, "o").await;
    assert!(matches!(acquired.unwrap(), AcquiredBatch::Busy));
}

#[tokio::test]
async fn a_lease_that_is_given_back_is_free_at_once() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    world.store.release_run(&run).await.unwrap();
    world.store.release_batch(&batch).await.unwrap();
    let next = world.lease(run.run(), RunStep::Finalize, "other").await;
    assert_eq!(next.token(), 2);
    let next = world.batch_lease(run.run(), 1, 1, "other").await;
    assert_eq!(next.token(), 2);
}

#[tokio::test]
async fn a_write_is_right_by_its_token_and_not_by_the_clock() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    // Lapsed long ago, and taken over by nobody.
    world.clock.advance_ms(LEASE_MS * 100);
    let writes = [created(run.run(), "a")];
    assert_eq!(world.store.write_users(&batch, &writes).await, Ok(()));
    assert_eq!(world.store.begin_finalizing(&run).await, Ok(()));
}

#[tokio::test]
async fn a_lease_that_was_given_back_is_free_for_a_clock_that_is_behind() {
    let world = World::start().await;
    world.clock.advance_ms(60_000);
    let (run, batch) = world.working("t", &["a"]).await;
    world.store.release_run(&run).await.unwrap();
    world.store.release_batch(&batch).await.unwrap();
    for lease in [
        world.store.run(run.run()).await.unwrap().unwrap().lease,
        world
            .store
            .batch(run.run(), 1, 1)
            .await
            .unwrap()
            .unwrap()
            .lease,
    ] {
        assert!(lease.unwrap().has_lapsed(START_MS));
    }
}

#[tokio::test]
async fn each_step_of_the_enumeration_renews_its_lease() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let until = async || {
        let run = world.store.run(lease.run()).await.unwrap().unwrap();
        run.lease.unwrap().until_ms
    };
    let start = ChainEnd::start(1);
    world.clock.advance_ms(10);
    let next = world
        .store
        .new_generation(&lease, &start, None)
        .await
        .unwrap();
    assert_eq!(until().await, START_MS + 10 + LEASE_MS);
    world.clock.advance_ms(10);
    let end = commit(&world.store, &lease, &next, &page_before_others()).await;
    assert_eq!(until().await, START_MS + 20 + LEASE_MS);
    // The seal gives it back, so that the finalizer need not wait, whatever its clock says.
    commit(&world.store, &lease, &end.unwrap(), &last_page())
        .await
        .unwrap();
    assert_eq!(until().await, 0);
    world.clock.advance_ms(10);
    world.store.begin_finalizing(&lease).await.unwrap();
    assert_eq!(until().await, START_MS + 30 + LEASE_MS);
}

#[tokio::test]
async fn a_run_or_batch_that_is_not_there_is_unknown_and_not_free() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let missing: RunRef = "t/2".parse().unwrap();
    let acquired = world.store.acquire_run(&missing, RunStep::Enumerate, "o");
    assert!(matches!(acquired.await.unwrap(), AcquiredRun::Unknown));
    let acquired = world.store.acquire_batch(lease.run(), 1, 1, "o").await;
    assert!(matches!(acquired.unwrap(), AcquiredBatch::Unknown));
}

#[tokio::test]
async fn a_batch_that_is_done_or_revoked_is_over_even_while_its_last_lease_runs() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    world.finish(&batch, 1).await;
    for state in [BatchState::Done, BatchState::Revoked] {
        world.set_batch_state(run.run(), 1, state).await;
        let acquired = world.store.acquire_batch(run.run(), 1, 1, "o").await;
        assert!(matches!(acquired.unwrap(), AcquiredBatch::Over(_)));
    }
}

#[tokio::test]
async fn a_run_in_another_state_says_which() {
    let world = World::start().await;
    let lease = world.draining("t", &[]).await;
    world.clock.advance_ms(LEASE_MS);
    let acquired = world
        .store
        .acquire_run(lease.run(), RunStep::Enumerate, "o");
    match acquired.await.unwrap() {
        AcquiredRun::NotNow(state) => assert_eq!(state, RunState::Draining),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_lease_of_one_run_is_none_of_another() {
    let world = World::start().await;
    let (_, mine) = world.working("mine", &["a"]).await;
    let (theirs_run, theirs) = world.working("theirs", &["a"]).await;
    assert_eq!(mine.token(), theirs.token());
    world.clock.advance_ms(LEASE_MS);
    world.batch_lease(theirs_run.run(), 1, 1, "o").await;
    assert_eq!(world.store.keep_batch(&mine).await, Ok(()));
    let lost = world.store.keep_batch(&theirs).await;
    assert_eq!(lost, Err(StoreError::LostLease));
}

#[tokio::test]
async fn a_batch_that_shows_somebody_again_waits_until_each_earlier_one_is_over_and_none_is_missing()
 {
    let world = World::start().await;
    let run = world.draining("t", &["a"]).await;
    let (_, first) = world.items_of("batch").await.remove(0);
    let put = async |page: u32, state: BatchState, repeats: bool| {
        let mut copy = first.clone();
        copy.insert("sk".into(), s(&batch_key(run.run(), 1, page).1));
        copy.insert("page".into(), n(page.into()));
        copy.insert("state".into(), s(state.name()));
        copy.insert("repeats".into(), AttributeValue::Bool(repeats));
        world.put(copy).await;
    };
    // More than one look has.
    let last = 62;
    for page in (2..last).filter(|page| *page != 30) {
        put(page, BatchState::Done, false).await;
    }
    put(last, BatchState::Pending, true).await;
    let wire = Wire::default();
    let acquire = async || {
        let store = world.store_on(&wire);
        store.acquire_batch(run.run(), 1, last, "w").await.unwrap()
    };
    put(last - 1, BatchState::Leased, false).await;
    assert!(matches!(acquire().await, AcquiredBatch::Waits));
    // It looks no further than to one that is open.
    assert_eq!(wire.sent("Query"), 1);
    put(last - 1, BatchState::Revoked, false).await;
    put(30, BatchState::Done, false).await;
    assert!(
        matches!(acquire().await, AcquiredBatch::Waits),
        "page 1 is open"
    );
    put(1, BatchState::Done, false).await;
    world.lose(&batch_key(run.run(), 1, 30)).await;
    assert!(
        matches!(acquire().await, AcquiredBatch::Waits),
        "page 30 is missing"
    );
    put(30, BatchState::Done, false).await;
    assert!(matches!(acquire().await, AcquiredBatch::Granted(..)));
}
