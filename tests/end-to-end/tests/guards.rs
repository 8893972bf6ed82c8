//! A plan over a guard ends HELD: its updates stand, its deactivations wait. (firezone#10898: a limit
//! that is too blunt is loosened for good.)
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

/// So many move to another domain, and leave when the directory knows it.
async fn domain_leaves(users: usize) -> (World, RunRecord) {
    let world = synced(json!({})).await;
    let everyone: Vec<_> = world.tenant.directory().users().map(|u| u.id).collect();
    {
        let mut directory = world.tenant.directory();
        for (nth, id) in everyone[..users].iter().enumerate() {
            let name = format!("{nth}@Fabrikam.example");
            directory.rename(*id, &name, "Moved").unwrap();
        }
    }
    assert_eq!(world.sync().await.unwrap().state, RunState::Completed);
    // And one of the others, so that the plan is never a small one.
    let run = leave(&world, users + 1).await;
    (world, run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_that_leaves_as_a_whole_is_held() {
    let (world, run) = domain_leaves(6).await;
    let trip = run.held.unwrap().trip;
    assert_eq!(
        (trip.guard, trip.limit, trip.value),
        (GuardKind::Domain, 5.0, 6.0)
    );
    assert_eq!(world.active().await.unwrap(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_of_a_few_may_leave_as_a_whole() {
    let (world, run) = domain_leaves(5).await;
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert_eq!(world.active().await.unwrap(), 394);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_bleed_is_held_when_the_nights_add_up() {
    let world = synced(json!({})).await;
    // Each night is 5 % of those who are on, which is allowed.
    assert_eq!(leave(&world, 20).await.state, RunState::Completed);
    assert_eq!(leave(&world, 18).await.state, RunState::Completed);
    let run = leave(&world, 17).await;
    let trip = run.held.unwrap().trip;
    assert_eq!((trip.guard, trip.limit), (GuardKind::Window, 10.0));
    assert!((trip.value - 55.0 * 100.0 / 362.0).abs() < 1e-9, "{trip:?}");
    assert_eq!(world.active().await.unwrap(), 362);
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
