//! A stack whose runs' lines are kept, and the comparison of their stories with its tables.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use rollcall_core::batch::BatchState;
use rollcall_core::ids::RunRef;
use rollcall_core::run::RunState;
use rollcall_core::status::{Status, StoredUser};
use rollcall_end_to_end::{World, sqs_event};
use rollcall_graph_emulator::{Paging, Population};
use rollcall_store::RunRecord;
use rollcall_sync::App;
use serde_json::{Value, json};

const USERS: usize = 100;
const PAGE_USERS: usize = 25;
/// How often a test looks whether a worker has its lease.
const LOOKS_MAX: u32 = 10_000;

/// The tenant's settings, but for what an emulated tenant has.
pub(crate) fn usual() -> Value {
    json!({ "limits": { "graph_retry_seconds_max": 3, "lease_seconds": 1 } })
}

/// One stack, and the lines of all runs over it.
pub(crate) struct Night {
    pub(crate) world: World,
    pub(crate) logs: PathBuf,
    _folder: tempfile::TempDir,
}

impl Night {
    /// A first run has completed; all lines of the process go to one file.
    pub(crate) async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("lines.json");
        let population = Population {
            guests: 0.0,
            disabled: 0.0,
            ..Population::new("contoso.com", 17, USERS)
        };
        let world = World::start_with(population, &usual()).await.unwrap();
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

    pub(crate) async fn sync(&self) -> RunRecord {
        self.world.sync().await.unwrap()
    }

    pub(crate) fn play(&self, script: &str) {
        self.world.graph().play(script.parse().unwrap());
    }

    pub(crate) fn heal(&self) {
        self.world.graph().clear_faults();
    }

    /// Every user gets a new display name, so that every page has work.
    pub(crate) fn rename_everybody(&self, name: &str) {
        let mut directory = self.world.tenant.directory();
        let everyone: Vec<_> = directory.users().cloned().collect();
        for user in everyone {
            let login = user.user_principal_name.unwrap();
            directory.rename(user.id, &login, name).unwrap();
        }
    }

    /// Enumerates a run step by step, with no worker about.
    pub(crate) async fn enumerated(&self) -> RunRef {
        let run = self.world.start_run(&self.world.app).await.unwrap();
        let event = sqs_event(&json!({ "tenant": run.tenant, "run": run.run }));
        self.world.app.enumerator(event, u64::MAX).await.unwrap();
        run
    }

    /// A run whose enumerator has committed a page, and then dies.
    pub(crate) async fn enumerating(&self) -> RunRef {
        let run = self.world.start_run(&self.world.app).await.unwrap();
        let event = sqs_event(&json!({ "tenant": run.tenant, "run": run.run }));
        let mut enumerator = Box::pin(self.world.app.enumerator(event, u64::MAX));
        for _ in 0..LOOKS_MAX {
            tokio::select! {
                biased;
                _ = &mut enumerator => panic!("the enumerator was faster than the test"),
                () = tokio::task::yield_now() => {}
            }
            let record = self.world.store.run(&run).await.unwrap().unwrap();
            if record.last_page > 0 {
                return run;
            }
        }
        panic!("the enumerator commits nothing");
    }

    /// A worker that has the lease of a page, and is not driven on.
    pub(crate) async fn begun(&self, run: &RunRef, page: u32) -> impl Future<Output = ()> + use<> {
        self.begun_by(self.world.app.clone(), run, page).await
    }

    /// The same for a worker with a clock or a client of its own.
    pub(crate) async fn begun_by(
        &self,
        app: App,
        run: &RunRef,
        page: u32,
    ) -> impl Future<Output = ()> + use<> {
        let bell = json!({ "tenant": run.tenant, "run": run.run, "generation": 1, "page": page });
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

    pub(crate) async fn ended(&self, run: &RunRef) -> RunRecord {
        let triggers = self.world.drive().await.unwrap();
        let ended = self.world.wait(run).await.unwrap();
        triggers.stop().await;
        ended
    }

    /// The story of a run, after it was compared with the tables.
    pub(crate) async fn story(&self, run: &RunRef) -> Value {
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
            // A function that dies right after its commit has no time for a line.
            if !page["committed_at"].is_null() {
                assert_eq!(page["users"], batch.sightings);
                assert_eq!(page["changed"], batch.changed);
            }
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

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

pub(crate) fn explain(logs: &Path, more: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(["explain", "--from-logs"])
        .arg(logs)
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn told(logs: &Path, run: &RunRef) -> Value {
    let line = explain(logs, &["--json", "--run", &run.to_string()]);
    serde_json::from_str(&line).unwrap()
}
