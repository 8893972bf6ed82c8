//! `explain --from-logs` against the truth: runs with faults over the local stack, their lines written
//! as on AWS, and the story that the binary makes of them compared with what the tables hold.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rollcall_core::batch::BatchState;
use rollcall_core::ids::RunRef;
use rollcall_core::run::RunState;
use rollcall_core::status::{Status, StoredUser};
use rollcall_end_to_end::{World, sqs_event};
use rollcall_graph_emulator::{Paging, Population};
use rollcall_store::RunRecord;
use serde_json::{Value, json};

const USERS: usize = 100;
const PAGE_USERS: usize = 25;
/// How often a test looks whether a worker has its lease.
const LOOKS_MAX: u32 = 10_000;

struct Night {
    world: World,
    logs: PathBuf,
    _folder: tempfile::TempDir,
}

impl Night {
    /// A first run has completed; all lines of the process go to one file.
    async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("lines.json");
        let population = Population {
            guests: 0.0,
            disabled: 0.0,
            ..Population::new("contoso.com", 17, USERS)
        };
        let limits = json!({ "limits": { "graph_retry_seconds_max": 3, "lease_seconds": 1 } });
        let world = World::start_with(population, &limits).await.unwrap();
        world.tenant.set_paging(Paging {
            page_size_max: PAGE_USERS,
            ..world.tenant.paging()
        });
        // A test tells of its own panics better than a line does.
        let hook = std::panic::take_hook();
        rollcall_telemetry::init_cli(&world.ambient, -1, Some(File::create(&logs).unwrap()));
        std::panic::set_hook(hook);
        let night = Self {
            world,
            logs,
            _folder: folder,
        };
        assert_eq!(night.sync().await.state, RunState::Completed);
        night
    }

    async fn sync(&self) -> RunRecord {
        self.world.sync().await.unwrap()
    }

    fn play(&self, script: &str) {
        self.world.graph().play(script.parse().unwrap());
    }

    fn heal(&self) {
        self.world.graph().clear_faults();
    }

    /// Every user gets a new display name, so that every page has work.
    fn rename_everybody(&self, name: &str) {
        let mut directory = self.world.tenant.directory();
        let everyone: Vec<_> = directory.users().cloned().collect();
        for user in everyone {
            let login = user.user_principal_name.unwrap();
            directory.rename(user.id, &login, name).unwrap();
        }
    }

    /// Enumerates a run step by step, with no worker about.
    async fn enumerated(&self) -> RunRef {
        let run = self.world.start_run(&self.world.app).await.unwrap();
        let event = sqs_event(&json!({ "tenant": run.tenant, "run": run.run }));
        self.world.app.enumerator(event, u64::MAX).await.unwrap();
        run
    }

    /// A worker that has the lease of a page, and is not driven on.
    async fn begun(&self, run: &RunRef, page: u32) -> impl Future<Output = ()> + use<> {
        let bell = json!({ "tenant": run.tenant, "run": run.run, "generation": 1, "page": page });
        let app = self.world.app.clone();
        let mut worker = Box::pin(async move {
            app.worker(sqs_event(&bell), u64::MAX).await.unwrap();
        });
        for _ in 0..LOOKS_MAX {
            tokio::select! {
                biased;
                () = &mut worker => panic!("the worker was faster than the test"),
                () = tokio::task::yield_now() => {}
            }
            let batches = self.world.store.batches(run, Some(1)).await.unwrap();
            if batches
                .iter()
                .any(|it| it.page == page && it.lease.is_some())
            {
                return worker;
            }
        }
        panic!("the worker got no lease");
    }

    async fn ended(&self, run: &RunRef) -> RunRecord {
        let triggers = self.world.drive().await.unwrap();
        let ended = self.world.wait(run).await.unwrap();
        triggers.stop().await;
        ended
    }

    /// The story of a run, after it was compared with the tables.
    async fn story(&self, run: &RunRef) -> Value {
        let story = told(&self.logs, run);
        self.compare(run, &story).await;
        story
    }

    async fn compare(&self, run: &RunRef, story: &Value) {
        let store = &self.world.store;
        let record = store.run(run).await.unwrap().unwrap();
        assert_eq!(story["state"], record.state.shown_name(), "{story:#}");
        let reason = record.reason.map(|it| it.to_string());
        assert_eq!(story["reason"], json!(reason));
        assert_eq!(story["mode"], record.mode.name());
        assert_eq!(story["generation"], record.generation);
        assert_eq!(story["settings_revision"], record.settings_revision);
        let token = record.lease.as_ref().unwrap().token;
        let leases = story["leases"].as_array().unwrap();
        assert_eq!(leases.last().unwrap()["token"], token);
        let plan = store.plan(run).await.unwrap();
        let hash = plan.as_ref().map(|it| it.plan.hash().to_string());
        assert_eq!(story["plan"]["hash"], json!(hash));
        assert_eq!(
            story["held"]["plan"],
            json!(record.held.as_ref().map(|it| &it.plan))
        );
        self.compare_batches(run, story).await;
        let off = self.switched_off_by(run).await;
        let told: BTreeSet<_> = story["deactivated"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| (text(&it["id"]), text(&it["reason"])))
            .collect();
        assert_eq!(told, off);
        if let Some(totals) = record
            .totals
            .filter(|_| record.state == RunState::Completed)
        {
            assert_eq!(told.len() as u64, totals.deactivated.total());
            assert_eq!(story["users_seen"], totals.users_seen);
            assert_eq!(story["created"], totals.changes.created);
            assert_eq!(story["updated"], totals.changes.updated);
            assert_eq!(story["reactivated"], totals.changes.reactivated);
        }
    }

    /// Whom the directory says the run switched off, and why.
    async fn switched_off_by(&self, run: &RunRef) -> BTreeSet<(String, String)> {
        let users = self.world.users().await.unwrap().into_values();
        let by_it =
            |it: &StoredUser| it.status == Status::Inactive && it.status_run == Some(run.run);
        users
            .filter(by_it)
            .map(|it| (it.id.to_string(), it.reason.to_string()))
            .collect()
    }

    async fn compare_batches(&self, run: &RunRef, story: &Value) {
        let batches = self.world.store.batches(run, None).await.unwrap();
        let pages = story["pages"].as_array().unwrap();
        assert_eq!(pages.len(), batches.len());
        for (page, batch) in pages.iter().zip(&batches) {
            assert_eq!(
                (&page["generation"], &page["page"]),
                (&json!(batch.generation), &json!(batch.page))
            );
            assert_eq!(page["users"], batch.sightings);
            assert_eq!(page["changed"], batch.changed);
            assert_eq!(
                page["state"] == "DONE",
                batch.state == BatchState::Done,
                "{page:#}"
            );
            let stored = batch.lease.as_ref().map(|it| (it.token, it.owner.clone()));
            let told = page["leases"].as_array().unwrap().last();
            let told = told.map(|it| (it["token"].as_u64().unwrap(), text(&it["owner"])));
            assert_eq!(told, stored);
            assert_eq!(page["created"], batch.result.changes.created);
            assert_eq!(page["updated"], batch.result.changes.updated);
            assert_eq!(page["reactivated"], batch.result.changes.reactivated);
            assert_eq!(page["candidates"], batch.result.candidates.len());
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn explain(logs: &Path, more: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(["explain", "--from-logs"])
        .arg(logs)
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn told(logs: &Path, run: &RunRef) -> Value {
    let line = explain(logs, &["--json", "--run", &run.to_string()]);
    serde_json::from_str(&line).unwrap()
}

#[track_caller]
fn names(story: &Value, cause: &str) {
    let said = text(&story["cause"]);
    assert!(said.contains(cause), "{cause} in {said}");
}

/// One night after the other over one stack, so that each finds the lines of those before it too.
#[tokio::test(flavor = "multi_thread")]
async fn the_story_that_the_lines_tell_is_what_the_tables_hold() {
    let night = Night::begin().await;

    night.play("users page 3 once: page-token expired");
    let freshened = night.sync().await;
    let story = night.story(&freshened.run).await;
    names(&story, "1 page link expired and was replaced");
    assert_eq!(story["graph"]["links_freshened"], 1);

    night.heal();
    night.play("users page 3 2 times: page-token expired");
    let restarted = night.sync().await;
    let story = night.story(&restarted.run).await;
    names(&story, "the enumeration began again, up to generation 2");
    assert_eq!(story["generations"][0]["generation"], 2);

    night.heal();
    night.play("users page 2 3 times: status 429");
    let throttled = night.sync().await;
    let story = night.story(&throttled.run).await;
    names(&story, "Microsoft Graph throttled 3 requests");
    assert_eq!(story["graph"]["throttled"], throttled.usage.graph.throttled);

    night.heal();
    night.play("users page 2 always: status 429");
    let failed = night.sync().await;
    assert_eq!(failed.state, RunState::Failed);
    let story = night.story(&failed.run).await;
    names(
        &story,
        "Microsoft Graph throttled the application for longer",
    );

    night.heal();
    late_worker(&night).await;
    killed_worker(&night).await;
    queued(&night).await;
    leavers(&night).await;
    edited_filter(&night).await;
    whole_file(&night);
}

/// A worker is frozen, as Lambda freezes one, and goes on when its batch is in other hands.
async fn late_worker(night: &Night) {
    night.rename_everybody("Late");
    let run = night.enumerated().await;
    let frozen = night.begun(&run, 2).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    night.begun(&run, 2).await.await;
    frozen.await;
    assert_eq!(night.ended(&run).await.state, RunState::Completed);
    let story = night.story(&run).await;
    names(&story, "1 function was late: the lease was lost");
    let leases = &story["pages"][1]["leases"];
    assert_eq!(leases[0]["ended"], "lost");
    assert_eq!(leases[1]["taken_from"], 1);
    assert_eq!(leases[1]["ended"], "done");
}

/// A worker dies with its lease in its hands.
async fn killed_worker(night: &Night) {
    night.rename_everybody("Killed");
    let run = night.enumerated().await;
    drop(night.begun(&run, 3).await);
    assert_eq!(night.ended(&run).await.state, RunState::Completed);
    let story = night.story(&run).await;
    names(&story, "1 function was killed or cut off");
    assert_eq!(story["pages"][2]["leases"][0]["ended"], "taken_over");
}

/// Messages name a run and a page, and hold nothing else.
async fn queued(night: &Night) {
    night.rename_everybody("Queued");
    let run = night.enumerated().await;
    let queues = night.world.aws.queues();
    let mut bodies = 0;
    for url in [
        &queues.enumerate.url,
        &queues.batch.url,
        &queues.finalize.url,
    ] {
        let receive = night.world.aws.sqs().receive_message().queue_url(url);
        let received = receive.max_number_of_messages(10).send().await.unwrap();
        for message in received.messages() {
            let body: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            for (name, value) in body.as_object().unwrap() {
                let is_right = match name.as_str() {
                    "tenant" => value == "contoso",
                    "revert" => value.is_boolean(),
                    "run" | "generation" | "page" | "waits" => value.is_u64(),
                    _ => false,
                };
                assert!(is_right, "{name} in {body}");
            }
            bodies += 1;
        }
    }
    assert!(bodies >= 6, "{bodies}");
    assert_eq!(night.ended(&run).await.state, RunState::Completed);
}

async fn leavers(night: &Night) {
    let users: Vec<_> = night.world.tenant.directory().users().cloned().collect();
    {
        let mut directory = night.world.tenant.directory();
        directory.soft_delete(users[0].id).unwrap();
        directory
            .set_account_enabled(users[1].id, Some(false))
            .unwrap();
        directory.purge(users[2].id).unwrap();
    }
    let run = night.sync().await;
    let story = night.story(&run.run).await;
    names(&story, "nothing went wrong");
    assert_eq!(story["deactivated"].as_array().unwrap().len(), 2);
    assert_eq!(story["awaiting"], json!([users[2].id.to_string()]));
    night
        .world
        .tenant
        .directory()
        .set_account_enabled(users[1].id, Some(true))
        .unwrap();
    let run = night.sync().await;
    let story = night.story(&run.run).await;
    let again = json!([{ "id": users[1].id.to_string(), "reason": "disabled" }]);
    assert_eq!(story["switched_on_again"], again);
}

async fn edited_filter(night: &Night) {
    let edited = json!({ "scope": { "domains": ["elsewhere.com"] } });
    night.world.put_settings(&edited).await.unwrap();
    let held = night.sync().await;
    assert_eq!(held.state, RunState::Held);
    let story = night.story(&held.run).await;
    names(
        &story,
        "the tenant's settings were edited (revision 1 to 2)",
    );
    names(&story, "a person has to decide");

    let approved = night.world.approve(&held).await.unwrap();
    assert_eq!(approved.state, RunState::Completed);
    let story = night.story(&held.run).await;
    assert_eq!(story["held"]["ruling"], "approved");
    names(&story, "It completed after an approval");
}

/// All runs of the file at once; in another order, twice, and wrapped, it tells the same.
fn whole_file(night: &Night) {
    let plain = explain(&night.logs, &["--json"]);
    assert!(plain.lines().count() > 8);
    let lines = std::fs::read_to_string(&night.logs).unwrap();
    let mut mixed: Vec<_> = lines.lines().rev().map(str::to_owned).collect();
    mixed.extend(lines.lines().map(|line| {
        json!({ "@timestamp": "2026-11-25 22:00:00.000", "@message": line }).to_string()
    }));
    mixed.push("START RequestId: 5f1c Version: $LATEST".into());
    let other = night.logs.with_file_name("mixed.json");
    std::fs::write(&other, mixed.join("\n")).unwrap();
    assert_eq!(explain(&other, &["--json"]), plain);
    let text = explain(&other, &[]);
    for part in ["COMPLETED", "FAILED", "taken over from lease 1", "request "] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
