//! A holder whose lease was taken over can do nothing any more, and a completed run is never
//! written to again.

use rollcall_core::run::{FailReason, RunMode, RunState};
use rollcall_core::window::Window;
use rollcall_store::{BatchResult, ChainEnd, RunLease, RunStep, StoreError, Usage};

use crate::values::{
    changed, created, held, id, last_page, members_of, new_user, page_before_others, plan, streak,
    totals,
};
use crate::world::{LEASE_MS, World, commit};

/// Every write that a run's lease is for, each refused with nothing written.
async fn nothing_works(world: &World, lease: &RunLease, chain: &ChainEnd) {
    let (store, usage, lost) = (&world.store, Usage::default(), StoreError::LostLease);
    let refused = async |what: &str, call: std::pin::Pin<Box<dyn Future<Output = _> + '_>>| {
        world.refuses(what, &lost, call).await;
    };
    refused("keep", Box::pin(store.keep_run(lease))).await;
    refused("release", Box::pin(store.release_run(lease))).await;
    let page = page_before_others();
    let committed = async { commit(store, lease, chain, &page).await.map(drop) };
    refused("commit", Box::pin(committed)).await;
    let members = members_of(lease.run(), &["a"]);
    let noted = async { store.put_members(lease, &members, &usage).await.map(drop) };
    refused("members", Box::pin(noted)).await;
    let page = last_page();
    let sealed = async { commit(store, lease, chain, &page).await.map(drop) };
    refused("seal", Box::pin(sealed)).await;
    let renewed = async { store.new_generation(lease, chain, None).await.map(drop) };
    refused("new generation", Box::pin(renewed)).await;
    refused("finalize", Box::pin(store.begin_finalizing(lease))).await;
    let head = store.head(&lease.run().tenant).await.unwrap();
    let stored = plan(lease.run(), &[(id("a"), 1)]);
    refused(
        "plan",
        Box::pin(store.store_plan(lease, &stored, 1, (RunMode::Full, &head))),
    )
    .await;
    let streaks = [(id("a"), streak(1, 1))];
    refused("streaks", Box::pin(store.record_streaks(lease, &streaks))).await;
    refused("apply", Box::pin(store.begin_applying(lease, 1))).await;
    let user = new_user(lease.run(), "a");
    let off = [(user, &stored.plan.entries()[0])];
    refused("deactivate", Box::pin(store.deactivate(lease, &off))).await;
    let (totals, window) = (totals(), Window::default());
    let record = store.run(lease.run()).await.unwrap().unwrap();
    let completed = store.complete_run(lease, &record, (&totals, &window), &usage);
    refused("complete", Box::pin(completed)).await;
    let held = held();
    let hold = store.hold_run(lease, &record, (&held, &totals), &usage);
    refused("hold", Box::pin(hold)).await;
    let failed = store.fail_run(lease, FailReason::Deadline, "", &usage);
    refused("fail", Box::pin(failed)).await;
    refused("close", Box::pin(store.close_failed_run(lease))).await;
}

#[tokio::test]
async fn whoever_lost_a_runs_lease_can_write_nothing_in_any_state() {
    let world = World::start().await;
    let states = [
        (RunState::Enumerating, RunStep::Enumerate),
        (RunState::Draining, RunStep::Finalize),
        (RunState::Finalizing, RunStep::Finalize),
        (RunState::Applying, RunStep::Finalize),
        (RunState::Failed, RunStep::GiveUp),
    ];
    // With an open batch, and with none: what revokes batches stops at the first of them.
    let cases = states.into_iter().flat_map(|of| [(of, true), (of, false)]);
    for (number, ((state, step), is_open)) in cases.enumerate() {
        let tenant = format!("t{number}");
        let (old, worker) = world.working(&tenant, &["a"]).await;
        let write = [created(old.run(), "a")];
        world.store.write_users(&worker, &write).await.unwrap();
        if !is_open {
            world.finish(&worker, 1).await;
        }
        let run = world.store.run(old.run()).await.unwrap().unwrap();
        world.set_run_state(old.run(), state).await;
        world.clock.advance_ms(LEASE_MS);
        world.lease(old.run(), step, "other").await;
        nothing_works(&world, &old, &ChainEnd::of(&run)).await;
    }
}

#[tokio::test]
async fn whoever_lost_a_batchs_lease_can_write_nothing() {
    let world = World::start().await;
    let (run, old) = world.working("t", &["a", "b"]).await;
    let user = created(run.run(), "a");
    world
        .store
        .write_users(&old, std::slice::from_ref(&user))
        .await
        .unwrap();
    world.clock.advance_ms(LEASE_MS);
    let new = world.batch_lease(run.run(), 1, 1, "other").await;

    let (store, lost) = (&world.store, StoreError::LostLease);
    world.refuses("keep", &lost, store.keep_batch(&old)).await;
    let release = store.release_batch(&old);
    world.refuses("release", &lost, release).await;
    let (result, usage) = (BatchResult::default(), Usage::default());
    let finish = store.finish_batch(&old, 2, &result, &usage);
    world.refuses("finish", &lost, finish).await;
    let create = [created(run.run(), "b")];
    let write = store.write_users(&old, &create);
    world.refuses("create", &lost, write).await;
    let update = [changed(run.run(), &user.after, |u| u.mail = None)];
    let write = store.write_users(&old, &update);
    world.refuses("update", &lost, write).await;
    // The one who has it can.
    store.write_users(&new, &update).await.unwrap();
    store.finish_batch(&new, 2, &result, &usage).await.unwrap();
}

#[tokio::test]
async fn a_completed_run_is_never_written_to_again() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    let write = [created(run.run(), "a")];
    world.store.write_users(&batch, &write).await.unwrap();
    world.finish(&batch, 1).await;
    let record = world.store.run(run.run()).await.unwrap().unwrap();
    world.store.begin_finalizing(&run).await.unwrap();
    world.complete(&run).await;

    nothing_works(&world, &run, &ChainEnd::of(&record)).await;
    let lost = StoreError::LostLease;
    let write = [changed(run.run(), &write[0].after, |u| u.mail = None)];
    let write = world.store.write_users(&batch, &write);
    world.refuses("write_users", &lost, write).await;
    let keep = world.store.keep_batch(&batch);
    world.refuses("keep_batch", &lost, keep).await;
    world.clock.advance_ms(LEASE_MS * 2);
    for step in [RunStep::Enumerate, RunStep::Finalize, RunStep::GiveUp] {
        let acquired = world.store.acquire_run(run.run(), step, "late").await;
        match acquired.unwrap() {
            rollcall_store::AcquiredRun::NotNow(state) => assert_eq!(state, RunState::Completed),
            other => panic!("{other:?}"),
        }
    }
}
