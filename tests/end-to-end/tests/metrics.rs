//! The metrics that the functions write beside their log lines: they say what the tables say, and
//! name nobody.

#![expect(clippy::unwrap_used, reason = "what does not work here fails the test")]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use rollcall_core::run::RunState;
use rollcall_end_to_end::World;
use rollcall_graph_emulator::{Paging, Population};
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

const USERS: usize = 60;
const PAGE_USERS: usize = 20;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The sums of all values, by metric and dimension, as CloudWatch makes them.
#[derive(Default)]
struct Sums(BTreeMap<String, f64>);

impl Sums {
    fn of(text: &str) -> Self {
        let mut sums = Self::default();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            let by: Vec<_> = directive["Dimensions"][0].as_array().unwrap().to_vec();
            let by: Vec<_> = by.iter().map(|it| text_of(&line[text_of(it)])).collect();
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = text_of(&metric["Name"]);
                let values = line[&name].as_array().unwrap();
                let sum: f64 = values.iter().map(|it| it.as_f64().unwrap()).sum();
                *sums
                    .0
                    .entry([&[name][..], &by].concat().join("/"))
                    .or_default() += sum;
            }
        }
        sums
    }

    fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default() as u64
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// One test alone: a process has one layer of metrics.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_what_the_tables_say_and_name_nobody() {
    let population = Population {
        guests: 0.0,
        disabled: 0.0,
        ..Population::new("contoso.com", 23, USERS)
    };
    let guards =
        json!({ "guards": { "deactivations_max": 8, "deactivations_percent_max": 100.0 } });
    let world = World::start_with(population, &guards).await.unwrap();
    world.tenant.set_paging(Paging {
        page_size_max: PAGE_USERS,
        ..world.tenant.paging()
    });
    let sink = Sink::default();
    let writer = sink.clone();
    let layer =
        rollcall_telemetry::metrics(&world.ambient, "Rollcall/test", move || writer.clone());
    tracing_subscriber::registry().with(layer).init();

    let mut runs = vec![world.sync().await.unwrap()];
    let users: Vec<_> = world.tenant.directory().users().cloned().collect();
    let disable = |from: usize, count: usize| {
        for user in &users[from..from + count] {
            let mut directory = world.tenant.directory();
            directory.set_account_enabled(user.id, Some(false)).unwrap();
        }
    };
    disable(0, 3);
    world.tenant.directory().soft_delete(users[3].id).unwrap();
    world.tenant.directory().purge(users[4].id).unwrap();
    runs.push(world.sync().await.unwrap());
    disable(10, 9);
    world
        .graph()
        .play("users page 2 2 times: status 429".parse().unwrap());
    let held = world.sync().await.unwrap();
    assert_eq!(held.state, RunState::Held);
    world.graph().clear_faults();
    runs.push(world.approve(&held).await.unwrap());
    world
        .graph()
        .play("users page 2 always: denied".parse().unwrap());
    assert_eq!(world.sync().await.unwrap().state, RunState::Failed);

    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    let sums = Sums::of(&text);
    let total = |of: fn(&rollcall_store::RunTotals) -> u64| -> u64 {
        runs.iter().map(|it| of(it.totals.as_ref().unwrap())).sum()
    };
    for (name, value) in [
        ("RunsCompleted/full", 3),
        ("HeldRuns", 1),
        ("UsersHeld", held.held.as_ref().unwrap().deactivations),
        ("FailedRuns", 1),
        ("FailedRuns/graph_denied", 1),
        ("GraphThrottled", held.usage.graph.throttled),
        ("UsersSeen/full", total(|it| it.users_seen)),
        ("UsersCreated", total(|it| it.changes.created)),
        ("UsersUpdated", total(|it| it.changes.updated)),
        ("UsersDeactivated", total(|it| it.deactivated.total())),
        (
            "UsersDeactivated/disabled",
            total(|it| it.deactivated.disabled),
        ),
        (
            "UsersDeactivated/deleted",
            total(|it| it.deactivated.deleted),
        ),
        (
            "UsersKept/awaiting_confirmation",
            total(|it| it.kept.awaiting_confirmation),
        ),
    ] {
        assert_eq!(sums.get(name), value, "{name} of {:?}", sums.0);
    }
    // The one who was not found is so again in the run that is held.
    assert_eq!(sums.get("UsersDeactivated"), 3 + 1 + 9 + 1);
    assert!(sums.0.contains_key("SinceCompleted"), "{:?}", sums.0);

    let names = users.iter().flat_map(|user| {
        let texts = [&user.user_principal_name, &user.mail, &user.display_name];
        texts
            .into_iter()
            .flatten()
            .cloned()
            .chain([user.id.to_string()])
    });
    let secrets = [
        world.tenant.client_secret().to_owned(),
        "@".into(),
        "Bearer".into(),
        "eyJ".into(),
    ];
    for mark in names.chain(secrets) {
        assert!(!text.contains(&mark), "{mark} is in a metric");
    }
}
