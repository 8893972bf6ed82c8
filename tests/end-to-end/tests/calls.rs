//! `infra/calls.json`, which the roles of the functions are made from, lists what the functions do and
//! nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use std::collections::BTreeSet;

use rollcall_core::ids::RunRef;
use rollcall_core::run::{FailReason, RunMode, RunState};
use rollcall_end_to_end::calls::{Calls, Recorder};
use rollcall_end_to_end::scim::TestProvider;
use rollcall_end_to_end::stream::Stream;
use rollcall_end_to_end::topic::TestTopic;
use rollcall_end_to_end::{Handler, TENANT, World, sqs_event};
use rollcall_graph_emulator::{
    Directory, Endpoint, Fault, FaultRule, Matcher, Member, PageTokenError, Paging, Population,
};
use rollcall_store::{AcquiredBatch, RunRecord};
use serde_json::{Value, json};

const USERS: usize = 60;
/// How often a batch is leased before the sweeper gives its run up.
const LEASES_MAX: usize = 20;
/// When an enumerator is interrupted, and how long the page takes that it waits for then.
const INTERRUPTED_MS: u64 = 1_000;
const DELAY_MS: u64 = 1_500;
/// How many records the publisher gets at once.
const RECORDS_MAX: usize = 100;

async fn synced(more: &Value) -> World {
    let population = Population {
        guests: 0.0,
        disabled: 0.0,
        ..Population::new("contoso.com", 29, USERS)
    };
    let world = World::start_with(population, more).await.unwrap();
    world.tenant.set_paging(Paging {
        page_size_max: 10,
        ..world.tenant.paging()
    });
    let run = world.sync().await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    world
}

/// Users join, are renamed and leave in each way.
fn a_day(world: &World) {
    let mut directory = world.tenant.directory();
    let ids: Vec<_> = directory.users().map(|user| user.id).take(4).collect();
    directory
        .rename(ids[0], "renamed@contoso.com", "Renamed")
        .unwrap();
    directory.set_account_enabled(ids[1], Some(false)).unwrap();
    directory.soft_delete(ids[2]).unwrap();
    directory.purge(ids[3]).unwrap();
    directory.add_people(3);
}

async fn completes(world: &World, mode: RunMode) -> RunRecord {
    let run = world.sync_in(mode).await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    run
}

/// Everyday runs of both modes, a user who is not found by two runs, and a list that begins anew.
async fn everyday() -> World {
    let world = synced(&json!({ "limits": { "lease_seconds": 10 } })).await;
    a_day(&world);
    completes(&world, RunMode::Full).await;
    completes(&world, RunMode::Full).await;
    a_day(&world);
    completes(&world, RunMode::Delta).await;
    world.graph().add_fault(FaultRule::times(
        Matcher::endpoint(Endpoint::Users).page(3),
        2,
        Fault::PageToken(PageTokenError::Expired),
    ));
    let run = completes(&world, RunMode::Full).await;
    assert_eq!(run.generation, 2);
    world
}

/// A plan that is held, superseded by the next one, approved, carried out and taken back.
async fn held_and_taken_back() -> World {
    let world = synced(&json!({ "guards": { "deactivations_max": 6 } })).await;
    let leavers: Vec<_> = world.tenant.directory().users().map(|u| u.id).collect();
    for id in leavers.iter().take(8) {
        let mut directory = world.tenant.directory();
        directory.set_account_enabled(*id, Some(false)).unwrap();
    }
    world.tenant.directory().add_people(1);
    assert_eq!(world.sync().await.unwrap().state, RunState::Held);
    // Who is new in the run that is taken back is left by it.
    world.tenant.directory().add_people(1);
    let held = world.sync().await.unwrap();
    assert_eq!(held.state, RunState::Held);
    let run = world.approve(&held).await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");

    world.take_back(&run.run).await.unwrap();
    world
}

/// A service provider that is told.
async fn provided() -> World {
    let provider = TestProvider::start().await.unwrap();
    let world = synced(&provider.settings()).await;
    let event = sqs_event(&json!({ "tell": TENANT }));
    world.call(Handler::Finalizer, event).await.unwrap();
    assert!(!provider.accounts().await.unwrap().is_empty());
    world
}

/// A scope of a group that somebody leaves, in a run that is interrupted and goes on.
async fn grouped() -> World {
    let world = synced(&json!({})).await;
    let (group, ids) = {
        let mut directory = world.tenant.directory();
        let ids: Vec<_> = directory.users().map(|user| user.id).collect();
        let group = directory.add_group();
        for id in &ids {
            directory.add_member(group, Member::User(*id)).unwrap();
        }
        (group, ids)
    };
    let scope = json!({ "groups": [group.to_string()] });
    world
        .put_settings(&json!({ "scope": scope }))
        .await
        .unwrap();
    completes(&world, RunMode::Full).await;
    {
        let mut directory = world.tenant.directory();
        let leaver = Member::User(ids[0]);
        directory.remove_member(group, leaver).unwrap();
    }
    let page = Matcher::endpoint(Endpoint::Users).page(3);
    let run = begun(&world, Some(page)).await;
    let triggers = world.drive().await.unwrap();
    let ended = world.wait(&run).await.unwrap();
    triggers.stop().await;
    assert_eq!(ended.totals.unwrap().deactivated.out_of_scope, 1);
    world
}

/// A run that fails halfway; one that is interrupted, goes on, begins anew and is seen to its end by the
/// sweeper alone; and one whose batch is leased again and again and never done.
async fn interrupted_and_given_up() -> World {
    let limits = json!({ "graph_retry_seconds_max": 6, "lease_seconds": 2, "batches_at_once": 1 });
    let world = synced(&json!({ "limits": limits })).await;
    a_day(&world);
    let page = |page| Matcher::endpoint(Endpoint::Users).page(page);
    let graph = world.graph();
    graph.add_fault(FaultRule::forever(page(3), Fault::status(503)));
    let failed = world.sync().await.unwrap();
    assert_eq!(failed.state, RunState::Failed, "{failed:?}");
    graph.clear_faults();

    let run = begun(&world, Some(page(3))).await;
    sweep(&world).await;
    graph.add_fault(FaultRule::times(
        page(5),
        2,
        Fault::PageToken(PageTokenError::Expired),
    ));
    let bell = json!({ "tenant": run.tenant, "run": run.run });
    world
        .call(Handler::Enumerator, sqs_event(&bell))
        .await
        .unwrap();
    sweep(&world).await;
    let record = world.store.run(&run).await.unwrap().unwrap();
    assert_eq!(record.generation, 2, "{record:?}");
    for page in (1..=record.last_page).rev().chain(1..=record.last_page) {
        let bell = json!({ "tenant": run.tenant, "run": run.run, "generation": 2, "page": page });
        world.call(Handler::Worker, sqs_event(&bell)).await.unwrap();
    }
    sweep(&world).await;
    let triggers = world.drive().await.unwrap();
    let ended = world.wait(&run).await.unwrap();
    triggers.stop().await;
    assert_eq!(ended.state, RunState::Completed, "{ended:?}");

    let run = begun(&world, None).await;
    let record = world.store.run(&run).await.unwrap().unwrap();
    let last = json!({ "tenant": run.tenant, "run": run.run, "generation": 1,
        "page": record.last_page });
    // It has somebody whom an open batch has too, and waits.
    world.call(Handler::Worker, sqs_event(&last)).await.unwrap();
    for _ in 0..LEASES_MAX {
        let acquired = world.store.acquire_batch(&run, 1, 1, "dies").await.unwrap();
        let AcquiredBatch::Granted(lease, _) = acquired else {
            panic!("the batch is not free");
        };
        world.store.release_batch(&lease).await.unwrap();
    }
    sweep(&world).await;
    let failed = world.store.run(&run).await.unwrap().unwrap();
    assert_eq!(failed.reason, Some(FailReason::Incomplete), "{failed:?}");
    sweep(&world).await;
    world
}

/// Begins a run by its enumerator alone: to its end, or until it is interrupted while it waits for a
/// page. Somebody is seen on the first page and, by another name, on the last.
async fn begun(world: &World, slow: Option<Matcher>) -> RunRef {
    let id = world.tenant.directory().users().last().unwrap().id;
    let rename = move |directory: &mut Directory, name: &str| {
        directory.rename(id, name, "Twice").unwrap();
    };
    rename(&mut world.tenant.directory(), "aaa@contoso.com");
    let first_page = Matcher::endpoint(Endpoint::Users).page(1);
    let graph = world.graph();
    graph.after(&world.tenant, first_page, move |directory| {
        rename(directory, "zzz@contoso.com");
    });
    let run = world.start_run(&world.app).await.unwrap();
    let bell = json!({ "tenant": run.tenant, "run": run.run });
    let mut stop_at_ms = u64::MAX;
    if let Some(page) = slow {
        stop_at_ms = world.ambient.now_ms() + INTERRUPTED_MS;
        graph.add_fault(FaultRule::once(page, Fault::Delay { ms: DELAY_MS }));
    }
    let call = world.call_until(Handler::Enumerator, sqs_event(&bell), stop_at_ms);
    call.await.unwrap();
    run
}

async fn sweep(world: &World) {
    let event = json!({ "schedule": "sweep" });
    world.call(Handler::Finalizer, event).await.unwrap();
}

/// A first sync, told to the application.
async fn told() -> World {
    let world = World::start(3).await.unwrap();
    let mut stream = Stream::of_directory(&world).await.unwrap();
    let topic = TestTopic::start().await.unwrap();
    world.sync().await.unwrap();
    let event = stream.next(RECORDS_MAX).await.unwrap().unwrap();
    let outlet = world.outlet(&topic);
    world.publish(&outlet, &event, u64::MAX).await.unwrap();
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_that_the_roles_are_made_from_is_what_the_functions_ask_for() {
    let mut asked = Calls::new();
    let worlds = [
        everyday().await,
        held_and_taken_back().await,
        grouped().await,
        provided().await,
        interrupted_and_given_up().await,
        told().await,
    ];
    for (function, on, action, kinds) in worlds.iter().flat_map(|w| flat(w.recorder.calls())) {
        let of_function = asked.entry(function).or_default();
        let of_place = of_function.entry(on).or_default();
        of_place.entry(action).or_default().extend(kinds);
    }
    assert!(
        asked == *Recorder::listed(),
        "infra/calls.json has to be:\n{}",
        serde_json::to_string_pretty(&asked).unwrap()
    );
}

type Entry = (String, String, String, BTreeSet<String>);

fn flat(calls: Calls) -> Vec<Entry> {
    let mut flat = Vec::new();
    for (function, places) in calls {
        for (on, actions) in places {
            for (action, kinds) in actions {
                flat.push((function.clone(), on.clone(), action, kinds));
            }
        }
    }
    flat
}
