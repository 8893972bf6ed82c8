//! Many tenants on one stack: the healthy ones complete whatever the others do, those that keep failing
//! rest with their reason, and a small one does not wait for a large one.
//!
//! `ROLLCALL_TENANTS=1000 ROLLCALL_USERS=500 ROLLCALL_LARGE=200000 cargo test --release --workspace --test
//! tenants` is the size that the system is made for; without them it is one for every day.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where a step fails"
)]

use std::collections::{BTreeMap, VecDeque};

use rollcall_core::ids::TenantId;
use rollcall_core::run::{FailReason, RunState};
use rollcall_end_to_end::town::Town;
use rollcall_end_to_end::{Handler, sqs_event};
use rollcall_graph_emulator::{
    Endpoint, Fault, FaultRule, Matcher, NextLink, Paging, Population, Tenant, TenantSpec, Who,
};
use serde_json::{Value, json};

/// The name of the one large tenant: schedules go through tenants by name, so it is the first.
const LARGE: &str = "a-large-one";
/// How often a run has to fail before its tenant rests.
const FAILURES: usize = 3;
/// How long all runs of a night are waited for, in looks, and how long a look is off the next, in
/// milliseconds: an hour, for the largest size on a small machine.
const LOOKS_MAX: u64 = 72_000;
const LOOK_MS: u64 = 50;

fn size(name: &str, every_day: usize) -> usize {
    std::env::var(name).map_or(every_day, |text| text.parse().unwrap())
}

fn population(seed: u64, users: usize) -> Population {
    Population {
        guests: 0.0,
        disabled: 0.0,
        ..Population::new("shared.example", seed, users)
    }
}

fn small(nth: usize) -> String {
    format!("small-{nth:04}")
}

/// How a tenant fails, what of Graph makes it so, and what of its settings.
type Ill = (FailReason, Vec<(Matcher, Fault)>, Value);

/// How each of those fails that do.
fn ills(graph: &Tenant) -> Vec<Ill> {
    let at = |endpoint| Matcher::endpoint(endpoint).tenant(graph.directory_id());
    let on = |endpoint, fault| vec![(at(endpoint), fault)];
    let link = |link| on(Endpoint::Users, Fault::NextLink(link));
    let none = json!({});
    let no_group = json!({ "scope": { "groups": ["6babcaad-604b-40ac-a9d7-9fd97c0b779f"] } });
    let no_secret = json!({ "credential": { "kind": "secret", "env": "OF_NOBODY" } });
    vec![
        (FailReason::CredentialRejected, vec![], no_secret),
        (
            FailReason::CredentialRejected,
            on(Endpoint::Token, Fault::login_refused()),
            none.clone(),
        ),
        (
            FailReason::GraphDenied,
            on(Endpoint::Users, Fault::Denied),
            none.clone(),
        ),
        (
            FailReason::GraphUnavailable,
            on(Endpoint::Users, Fault::status(503)),
            none.clone(),
        ),
        (
            FailReason::GraphUnavailable,
            on(Endpoint::Users, Fault::throttled(None)),
            none.clone(),
        ),
        (FailReason::GroupUnavailable, vec![], no_group),
        (
            FailReason::UnsafeLink,
            link(NextLink::Exactly(
                "https://elsewhere.invalid/v1.0/users".into(),
            )),
            none.clone(),
        ),
        (
            FailReason::EnumerationUnreliable,
            link(NextLink::Itself),
            none.clone(),
        ),
        (
            FailReason::EmptyEnumeration,
            on(Endpoint::Users, Fault::EmptyEnd),
            none.clone(),
        ),
        (
            FailReason::EnumerationUnreliable,
            on(Endpoint::Users, Fault::NullAccountEnabled(Who::All)),
            none,
        ),
    ]
}

async fn add(town: &mut Town, name: &str, seed: u64, users: usize, page: usize) -> Tenant {
    let spec = TenantSpec {
        paging: Paging {
            page_size_max: page,
            ..Paging::default()
        },
        ..TenantSpec::new(population(seed, users))
    };
    let limits = json!({ "limits": { "graph_retry_seconds_max": 2, "lease_seconds": 60 } });
    town.add(0, name, spec, &limits).await.unwrap()
}

/// Waits until the last run of each tenant has ended, and gives how it did.
async fn ended(town: &Town, names: &[String], run: u64) -> BTreeMap<String, Option<FailReason>> {
    let mut ended = BTreeMap::new();
    for name in names {
        let tenant: TenantId = name.parse().unwrap();
        for look in 0.. {
            let head = town.store.head(&tenant).await.unwrap();
            if head.active_run.is_none() && head.next_run == run + 1 {
                break;
            }
            assert!(look < LOOKS_MAX, "{name}: {head:?}");
            tokio::time::sleep(std::time::Duration::from_millis(LOOK_MS)).await;
        }
        let run = rollcall_core::ids::RunRef { tenant, run };
        let record = town.store.run(&run).await.unwrap().unwrap();
        let is_well = record.state == RunState::Completed;
        assert_eq!(
            is_well,
            record.reason.is_none(),
            "{run}: {:?}",
            record.state
        );
        ended.insert(name.clone(), record.reason);
    }
    ended
}

#[tokio::test]
async fn the_healthy_complete_and_those_that_keep_failing_rest_with_their_reason() {
    let (tenants, users) = (size("ROLLCALL_TENANTS", 100), size("ROLLCALL_USERS", 20));
    let mut town = Town::start(1).await.unwrap();
    add(&mut town, LARGE, 1, size("ROLLCALL_LARGE", 3_000), 999).await;
    let mut healthy = vec![LARGE.to_owned()];
    let mut ill = Vec::new();
    for nth in 0..tenants {
        let name = small(nth);
        let graph = add(&mut town, &name, nth as u64 + 2, users, 999).await;
        let ills = ills(&graph);
        // One in each tenth of them.
        let which = nth / (tenants / ills.len()).max(1);
        let is_first = nth % (tenants / ills.len()).max(1) == 0;
        match ills.into_iter().nth(which).filter(|_| is_first) {
            Some((reason, faults, more)) => {
                for (when, fault) in faults {
                    let rule = FaultRule::forever(when, fault);
                    town.hosts[0].graph().add_fault(rule);
                }
                let mut more = more;
                more["limits"] = json!({ "graph_retry_seconds_max": 1, "lease_seconds": 60 });
                town.put(0, &name, &more).await.unwrap();
                ill.push((name, reason));
            }
            None => healthy.push(name),
        }
    }
    assert_eq!(ill.len(), 10);
    let sick: Vec<_> = ill.iter().map(|it| it.0.clone()).collect();

    let triggers = town.drive().await.unwrap();
    for night in 1..=FAILURES {
        // The healthy ones had enough of it after the first.
        let event = if night == 1 {
            json!({ "schedule": "full", "at": "2026-11-26T02:00:00Z" })
        } else {
            json!({ "schedule": "full", "tenants": sick })
        };
        town.call(Handler::Enumerator, event).await.unwrap();
        let failed = ended(&town, &sick, night as u64).await;
        for (name, reason) in &ill {
            assert_eq!(failed[name], Some(*reason), "{name} in night {night}");
        }
    }
    let well = ended(&town, &healthy, 1).await;
    assert!(well.values().all(Option::is_none), "{well:?}");
    for name in &healthy {
        let all = town.graphs[name].directory().len();
        assert_eq!(town.users(name).await.unwrap().len(), all, "{name}");
    }

    // The next night they are left alone, and the others are not.
    let event = json!({ "schedule": "full", "at": "2026-11-27T02:00:00Z" });
    town.call(Handler::Enumerator, event).await.unwrap();
    ended(&town, &healthy, 2).await;
    triggers.stop().await;
    for name in &sick {
        let tenant: TenantId = name.parse().unwrap();
        let head = town.store.head(&tenant).await.unwrap();
        let record = town.store.tenant(&tenant).await.unwrap().unwrap();
        assert_eq!(head.next_run, FAILURES as u64 + 1, "{name}");
        assert_eq!(head.failed_in_a_row, FAILURES as u64, "{name}");
        assert!(head.rests_until_ms(&record).is_some(), "{name}");
    }
}

/// How many batches are in flight at a time. It is by these that a fair queue tells who is noisy.
const WORKERS: usize = 4;

/// By tenant: how many batches were worked on from the ring for its first batch to the end of its last.
async fn waits(has_large: bool) -> BTreeMap<String, usize> {
    /// How many tenants' pages are read in the time of one batch: the work is what piles up.
    const READ_MEANWHILE: usize = 2;
    let mut town = Town::start(1).await.unwrap();
    let tenants = size("ROLLCALL_SMALL", 40);
    if has_large {
        add(&mut town, LARGE, 1, 3_000, 20).await;
    }
    for nth in 0..tenants {
        add(&mut town, &small(nth), nth as u64 + 2, 3, 999).await;
    }
    let event = json!({ "schedule": "full", "at": "2026-11-26T02:00:00Z" });
    town.call(Handler::Enumerator, event).await.unwrap();
    let queues = town.aws.queues();
    let (mut rung, mut waits) = (BTreeMap::new(), BTreeMap::new());
    let (mut idle, mut worked) = (0, 0);
    let mut in_flight = VecDeque::new();
    // Runs are over for this test when nobody rings any more.
    while idle < 3 {
        idle += 1;
        for _ in 0..READ_MEANWHILE {
            let Some(taken) = take(&town, &queues.enumerate.url).await else {
                break;
            };
            idle = 0;
            if let Some(name) = taken.bell["tenant"].as_str() {
                rung.entry(name.to_owned()).or_insert(worked);
            }
            done(&town, &queues.enumerate.url, Handler::Enumerator, taken).await;
        }
        while in_flight.len() < WORKERS
            && let Some(taken) = take(&town, &queues.batch.url).await
        {
            in_flight.push_back(taken);
        }
        if let Some(taken) = in_flight.pop_front() {
            idle = 0;
            worked += 1;
            let name = taken.bell["tenant"].as_str().unwrap().to_owned();
            waits.insert(name.clone(), worked - rung[&name]);
            done(&town, &queues.batch.url, Handler::Worker, taken).await;
        }
    }
    assert_eq!(waits.len(), tenants + usize::from(has_large));
    waits
}

/// A message that was taken from a queue.
struct Taken {
    bell: Value,
    handle: String,
}

async fn take(town: &Town, url: &str) -> Option<Taken> {
    let received = town.aws.sqs().receive_message().queue_url(url).send();
    let received = received.await.unwrap();
    let message = received.messages().first()?;
    Some(Taken {
        bell: serde_json::from_str(message.body().unwrap()).unwrap(),
        handle: message.receipt_handle().unwrap().to_owned(),
    })
}

async fn done(town: &Town, url: &str, handler: Handler, taken: Taken) {
    let event = sqs_event(&taken.bell);
    town.call(handler, event).await.unwrap();
    let delete = town.aws.sqs().delete_message().queue_url(url);
    delete.receipt_handle(taken.handle).send().await.unwrap();
}

#[tokio::test]
async fn a_small_tenant_waits_at_most_twice_as_long_beside_a_large_one() {
    let (alone, beside) = (waits(false).await, waits(true).await);
    for (name, alone) in &alone {
        let beside = beside[name];
        // What is in flight when it rings, nobody takes back.
        assert!(
            beside <= 2 * alone.max(&WORKERS),
            "{name} waits for {beside} batches beside a large tenant, and for {alone} without it"
        );
    }
    // There is something to wait for, and the large tenant had far more than its turn's worth.
    assert!(alone.values().any(|wait| *wait > 10), "{alone:?}");
    assert!(beside[LARGE] > 100, "{beside:?}");
}

#[tokio::test]
async fn a_tenant_has_as_many_batches_at_a_time_as_its_settings_say() {
    const AT_ONCE: usize = 3;
    const PAGES: usize = 20;
    let mut town = Town::start(1).await.unwrap();
    add(&mut town, LARGE, 1, 2 * PAGES, 2).await;
    let limits = json!({ "limits": { "lease_seconds": 60, "batches_at_once": AT_ONCE } });
    town.put(0, LARGE, &limits).await.unwrap();
    let event = json!({ "schedule": "full", "tenants": [LARGE] });
    town.call(Handler::Enumerator, event).await.unwrap();
    let queues = town.aws.queues();
    let (enumerate, batch) = (&queues.enumerate.url, &queues.batch.url);
    while let Some(taken) = take(&town, enumerate).await {
        done(&town, enumerate, Handler::Enumerator, taken).await;
    }
    let mut worked = 0;
    for _ in 0..=PAGES {
        let mut in_flight = Vec::new();
        while let Some(taken) = take(&town, batch).await {
            in_flight.push(taken);
        }
        assert!(in_flight.len() <= AT_ONCE, "{} at a time", in_flight.len());
        for taken in in_flight.into_iter().rev() {
            done(&town, batch, Handler::Worker, taken).await;
            worked += 1;
        }
    }
    assert_eq!(worked, PAGES);
}
