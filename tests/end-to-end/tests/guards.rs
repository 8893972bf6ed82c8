//! A plan over a guard ends HELD: its updates stand, its deactivations wait.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use rollcall_core::guard::GuardKind;
use rollcall_core::run::RunState;
use rollcall_end_to_end::World;
use rollcall_graph_emulator::Population;
use rollcall_store::RunRecord;
use serde_json::{Value, json};

/// A tenant of 400 that was synced once under these guards.
async fn synced(guards: Value) -> World {
    let population = Population {
        guests: 0.0,
        disabled: 0.0,
        ..Population::new("contoso.com", 13, 400)
    };
    let world = World::start_with(population, &json!({ "guards": guards }))
        .await
        .unwrap();
    assert_eq!(world.sync().await.unwrap().state, RunState::Completed);
    world
}

/// So many leave, and one is renamed.
async fn leave(world: &World, leavers: usize) -> RunRecord {
    {
        let mut directory = world.tenant.directory();
        let everyone: Vec<_> = directory.users().map(|u| u.id).collect();
        for id in &everyone[..leavers] {
            directory.soft_delete(*id).unwrap();
        }
        let last = everyone[everyone.len() - 1];
        let name = format!("renamed{leavers}@contoso.com");
        directory.rename(last, &name, "Renamed").unwrap();
    }
    world.sync().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_deactivations_than_the_count_guard_allows_are_held() {
    let world = synced(json!({ "deactivations_max": 10 })).await;
    let run = leave(&world, 11).await;
    assert_eq!(run.state, RunState::Held, "{run:?}");
    let held = run.held.unwrap();
    assert_eq!(held.trip.guard, GuardKind::Count);
    assert_eq!((held.trip.limit, held.trip.value), (10.0, 11.0));
    assert_eq!(held.deactivations, 11);
    assert_eq!(world.active().await.unwrap(), 400);
    // What is no deactivation stands.
    assert_eq!(run.totals.unwrap().changes.updated, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_deactivations_as_the_count_guard_allows_are_carried_out() {
    let world = synced(json!({ "deactivations_max": 10 })).await;
    let run = leave(&world, 10).await;
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert_eq!(world.active().await.unwrap(), 390);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_larger_share_than_the_percent_guard_allows_is_held() {
    let world = synced(json!({})).await;
    let run = leave(&world, 21).await;
    assert_eq!(run.held.unwrap().trip.guard, GuardKind::Percent);
    assert_eq!(world.active().await.unwrap(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_shrank_is_held_and_the_baseline_stays() {
    let world = synced(json!({})).await;
    let run = leave(&world, 81).await;
    assert_eq!(run.held.unwrap().trip.guard, GuardKind::Shrink);
    assert_eq!(world.active().await.unwrap(), 400);
    // The held run is no baseline: the next one is held for the same, and supersedes it.
    let again = world.sync().await.unwrap();
    assert_eq!(again.held.unwrap().trip.guard, GuardKind::Shrink);
    let first = world.store.run(&run.run).await.unwrap().unwrap();
    assert_eq!(first.state, RunState::Superseded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_after_a_hold_completes_once_the_leavers_are_back() {
    let world = synced(json!({ "deactivations_max": 10 })).await;
    leave(&world, 11).await;
    {
        let mut directory = world.tenant.directory();
        let deleted: Vec<_> = directory.deleted().map(|u| u.id).collect();
        for id in deleted {
            directory.restore(id).unwrap();
        }
    }
    let run = world.sync().await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert_eq!(world.active().await.unwrap(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_change_under_a_run_fail_it() {
    let world = synced(json!({})).await;
    let run = world.start_run(&world.app).await.unwrap();
    world
        .put_settings(&json!({ "guards": { "deactivations_max": 7 } }))
        .await
        .unwrap();
    let triggers = world.drive().await.unwrap();
    let failed = world.wait(&run).await.unwrap();
    triggers.stop().await;
    assert_eq!(
        failed.reason,
        Some(rollcall_core::run::FailReason::SettingsChanged),
        "{failed:?}"
    );
    assert_eq!(world.sync().await.unwrap().state, RunState::Completed);
}
