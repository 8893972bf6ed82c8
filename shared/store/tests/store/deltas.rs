//! The delta link: how it moves, and when there is none to go on from.

use rollcall_core::page::{NextPage, PagePayload};
use rollcall_core::run::RunMode;
use rollcall_core::window::Window;
use rollcall_store::{ChainEnd, Head, RunLease, RunStep, StartedRun, StoreError, Usage};

use crate::values::{last_page, totals};
use crate::wire::Wire;
use crate::world::{World, commit, head_key, n, s};

/// A run of `t` in its mode that is about to end, with the link that its last page told.
async fn told(world: &World, mode: RunMode, link: Option<&str>) -> RunLease {
    let record = world.tenant("t").await;
    let started = world.store.start_run(&record, mode).await.unwrap();
    let StartedRun::Started(run) = started else {
        panic!("a run is active");
    };
    let lease = world.lease(&run, RunStep::Enumerate, "e").await;
    if world.record(lease.run()).await.mode == RunMode::Full {
        let start = ChainEnd::start(1);
        let bracket = world.store.take_bracket(&lease, &start, link);
        bracket.await.unwrap();
    }
    let page = PagePayload {
        next: NextPage::End {
            delta_link: link.map(str::to_owned),
        },
        ..last_page()
    };
    commit(&world.store, &lease, &ChainEnd::start(1), &page)
        .await
        .unwrap();
    let lease = world.lease(lease.run(), RunStep::Finalize, "f").await;
    world.store.begin_finalizing(&lease).await.unwrap();
    lease
}

async fn head(world: &World, lease: &RunLease) -> Head {
    world.store.head(&lease.run().tenant).await.unwrap()
}

#[tokio::test]
async fn the_delta_link_moves_with_the_end_of_the_run_that_followed_it() {
    let world = World::start().await;
    let full = told(&world, RunMode::Delta, Some("https://g/1")).await;
    assert_eq!(head(&world, &full).await.delta_link, None);
    world.complete(&full).await;
    let after = head(&world, &full).await;
    assert_eq!(after.delta_link.as_deref(), Some("https://g/1"));

    let delta = told(&world, RunMode::Delta, Some("https://g/2")).await;
    let record = world.record(delta.run()).await;
    assert_eq!(
        (record.mode, record.delta_from),
        (RunMode::Delta, after.delta_link)
    );
    // A run that fails leaves the link; the next one begins where it began.
    world.fail(&delta).await;
    let next = told(&world, RunMode::Delta, Some("https://g/3")).await;
    let from = world.record(next.run()).await.delta_from;
    assert_eq!(from.as_deref(), Some("https://g/1"));
    world.complete(&next).await;
    let after = head(&world, &next).await;
    assert_eq!(after.delta_link.as_deref(), Some("https://g/3"));
    // It saw a few, and is nobody's baseline.
    assert_eq!(after.last_full_run, Some(1));
}

#[tokio::test]
async fn the_delta_link_moves_from_where_the_run_began_alone() {
    let world = World::start().await;
    let full = told(&world, RunMode::Full, Some("https://g/1")).await;
    world.complete(&full).await;
    let delta = told(&world, RunMode::Delta, Some("https://g/2")).await;
    let link = s("https://g/elsewhere");
    world.set(&head_key("t"), "delta_link", link).await;
    let record = world.record(delta.run()).await;
    let (totals, usage) = (totals(), Usage::default());
    let window = Window::default();
    let error = StoreError::Changed {
        what: "the tenant's active run",
    };
    let complete = world
        .store
        .complete_run(&delta, &record, (&totals, &window), &usage);
    world.refuses("complete", &error, complete).await;
}

#[tokio::test]
async fn what_a_delta_cannot_tell_again_asks_for_a_full_run() {
    let world = World::start().await;
    let full = told(&world, RunMode::Full, Some("https://g/1")).await;
    world.complete(&full).await;
    // Held: its plan is in no later delta.
    let held = told(&world, RunMode::Delta, Some("https://g/2")).await;
    world.hold(&held).await;
    let after = head(&world, &held).await;
    assert_eq!((after.held_run, after.held_delta_run), (None, Some(2)));
    assert_eq!(after.delta_link.as_deref(), Some("https://g/2"));
    let next = told(&world, RunMode::Delta, None).await;
    assert_eq!(world.record(next.run()).await.mode, RunMode::Full);
    // Without a delta there is no link that another could go on from.
    world.complete(&next).await;
    assert_eq!(head(&world, &next).await.delta_link, None);
}

#[tokio::test]
async fn a_delta_run_that_goes_on_as_a_full_one_and_fails_leaves_a_full_run_owed() {
    let world = World::start().await;
    let full = told(&world, RunMode::Full, Some("https://g/1")).await;
    world.complete(&full).await;
    let tenant = world.tenant("t").await;
    let started = world.store.start_run(&tenant, RunMode::Delta).await;
    let StartedRun::Started(run) = started.unwrap() else {
        panic!("a run is active");
    };
    let lease = world.lease(&run, RunStep::Enumerate, "e").await;
    let begun = ChainEnd::start(1);
    let turned = world.store.new_generation(&lease, &begun, None);
    turned.await.unwrap();
    // Whoever asks for a full run joins it.
    let met = world.store.start_run(&tenant, RunMode::Full).await.unwrap();
    assert_eq!(met, StartedRun::AlreadyActive(run));
    assert!(!head(&world, &lease).await.owes_full());
    world.fail(&lease).await;
    assert!(head(&world, &lease).await.owes_full());
}

#[tokio::test]
async fn no_delta_run_begins_over_a_full_one_that_was_owed_since_it_looked() {
    let world = World::start().await;
    let full = told(&world, RunMode::Full, Some("https://g/1")).await;
    world.complete(&full).await;
    let tenant = world.tenant("t").await;
    let wire = Wire::default();
    let other = world.clone();
    wire.before("TransactWriteItems", async move {
        other.set(&head_key("t"), "full_due", n(2)).await;
    });
    let store = world.store_on(&wire);
    let started = store.start_run(&tenant, RunMode::Delta).await;
    assert!(
        matches!(started, Err(StoreError::Changed { .. })),
        "{started:?}"
    );
    let next = told(&world, RunMode::Delta, None).await;
    assert_eq!(world.record(next.run()).await.mode, RunMode::Full);
}

#[tokio::test]
async fn a_full_run_that_meets_a_delta_run_is_made_up_for() {
    let world = World::start().await;
    let full = told(&world, RunMode::Full, Some("https://g/1")).await;
    world.complete(&full).await;
    let delta = told(&world, RunMode::Delta, Some("https://g/2")).await;
    let tenant = world
        .store
        .tenant(&delta.run().tenant)
        .await
        .unwrap()
        .unwrap();
    let met = world.store.start_run(&tenant, RunMode::Full).await.unwrap();
    assert_eq!(met, StartedRun::AlreadyActive(delta.run().clone()));
    world.complete(&delta).await;
    let next = told(&world, RunMode::Delta, Some("https://g/3")).await;
    assert_eq!(world.record(next.run()).await.mode, RunMode::Full);
    world.complete(&next).await;
    let after = told(&world, RunMode::Delta, Some("https://g/4")).await;
    assert_eq!(world.record(after.run()).await.mode, RunMode::Delta);
}
