//! `run report`: the page of a run, in a file.

use std::fs;
use std::path::{Path, PathBuf};

use rollcall_graph_emulator::{Emulator, Tenant};
use serde_json::Value;

use crate::support::{Ended, Local, SECRET, emulator, entry, members, users};

struct Night {
    emulator: Emulator,
    tenant: Tenant,
    local: Local,
    folder: tempfile::TempDir,
}

impl Night {
    async fn begin() -> Self {
        let emulator = emulator().await;
        let tenant = members(emulator.graph(), "contoso.com", 100, 25);
        let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
        Self {
            emulator,
            tenant,
            local,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn lines(&self) -> String {
        self.path("lines.json").to_str().unwrap().to_owned()
    }

    fn sync(&self, code: i32) -> Value {
        let lines = self.lines();
        let ended = self.local.run(["sync", "--json", "--logs", &lines]);
        ended.with(code).object()
    }

    fn report(&self, run: &str, out: &Path, more: &[&str]) -> Ended {
        let out = out.to_str().unwrap();
        let args = [&["run", "report", run, "--out", out], more].concat();
        self.local.run(args)
    }

    /// The page of a run; beside it nothing is left.
    fn page(&self, run: &str, more: &[&str]) -> String {
        let out = self.path("report.html");
        let told = self
            .report(run, &out, &[more, &["--json"]].concat())
            .with(0)
            .object();
        let page = fs::read_to_string(&out).unwrap();
        assert_eq!(told["report"], out.to_str().unwrap());
        assert_eq!(told["bytes"], page.len());
        assert_eq!(
            format!("{}/{}", told["tenant"].as_str().unwrap(), told["run"]),
            run
        );
        fs::remove_file(&out).unwrap();
        let left: Vec<_> = fs::read_dir(self.folder.path()).unwrap().collect();
        assert!(left.len() <= 1, "{left:?}");
        page
    }

    fn disable(&self, from: usize, count: usize) -> Vec<String> {
        let users = users(&self.tenant);
        let ids = users[from..from + count].iter().map(|user| {
            let mut directory = self.tenant.directory();
            directory.set_account_enabled(user.id, Some(false)).unwrap();
            user.id.to_string()
        });
        ids.collect()
    }
}

#[track_caller]
fn has(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_end_of_a_run_has_its_page() {
    let night = Night::begin().await;
    night.sync(0);
    let gone = night.disable(0, 4);
    assert_eq!(night.sync(0)["deactivated"], 4);
    let completed = night.page("contoso/2", &[]);
    has(
        &completed,
        &[
            "<h1>Run contoso/2 is <span class=\"state COMPLETED\">COMPLETED</span></h1>",
            "4 users were switched off.",
            "rollcall revert contoso/2 --dry-run",
            "--from-logs LINES",
        ],
    );
    let evidence = night
        .local
        .call("run show contoso/2 --json")
        .with(0)
        .object();
    for entry in evidence["evidence"].as_array().unwrap() {
        let text = entry["evidence"].as_str().unwrap();
        let (_, request) = text.rsplit_once("request ").unwrap();
        has(
            &completed,
            &[
                entry["id"].as_str().unwrap(),
                &format!("request <code>{request}</code>"),
            ],
        );
    }
    assert!(gone.iter().all(|id| completed.contains(id)));

    let waiting = night.disable(10, 10);
    let held = night.sync(3);
    let plan = held["held"]["plan"].as_str().unwrap();
    let page = night.page("contoso/3", &[]);
    has(
        &page,
        &[
            "<span class=\"state HELD\">HELD</span>",
            &format!("rollcall hold approve contoso/3 --plan {plan}"),
            "rollcall hold reject contoso/3",
            "the percent guard found 10.42 where 5 is the most, so 10 deactivations wait for a person",
            "Held in the plan",
        ],
    );
    assert!(waiting.iter().all(|id| page.contains(id)));

    let script = "users page 2 once: status 429\nusers page 3 always: denied";
    night.emulator.graph().play(script.parse().unwrap());
    let failed = night.sync(4);
    assert_eq!(failed["reason"], "graph_denied");
    let lines = night.lines();
    let page = night.page("contoso/4", &["--from-logs", &lines]);
    has(
        &page,
        &[
            "<span class=\"state FAILED\">FAILED</span>",
            "since Microsoft Graph denied the application access",
            "rollcall tenant check contoso",
            "How long answers took",
            "429, too many requests",
            "The log lines say: It failed, since Microsoft Graph denied",
            "batch 1/",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_table_shows_is_told_with_the_command_that_lists_them() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 400, 100);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    local.call("sync").with(0);
    for user in users(&tenant).iter().take(230) {
        let off = Some(false);
        tenant
            .directory()
            .set_account_enabled(user.id, off)
            .unwrap();
    }
    local.call("sync").with(3);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.html");
    let shown = out.to_str().unwrap();
    let told = local
        .run(["run", "report", "contoso/2", "--out", shown])
        .with(0);
    assert!(told.stdout.contains(shown), "{}", told.stdout);
    let page = fs::read_to_string(&out).unwrap();
    assert_eq!(page.matches("waits for a person").count(), 200);
    has(
        &page,
        &["and 30 more: <code>rollcall run show contoso/2</code>"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reported_is_bad_input_and_changes_no_file() {
    let night = Night::begin().await;
    night.sync(0);
    let out = night.path("report.html");
    fs::write(&out, "as it was").unwrap();
    let folder = night.folder.path().to_owned();
    let elsewhere = night.path("nowhere").join("report.html");
    let other = night.path("other.json");
    fs::write(&other, "START RequestId: 5f1c\n").unwrap();
    let other = other.to_str().unwrap();
    let cases = vec![
        ("contoso", &out, vec![], "contoso"),
        ("contoso/9", &out, vec![], "there is no run contoso/9"),
        ("fabrikam/1", &out, vec![], "there is no run fabrikam/1"),
        ("contoso/1", &folder, vec![], "is no file"),
        ("contoso/1", &elsewhere, vec![], "cannot be written"),
        (
            "contoso/1",
            &out,
            vec!["--from-logs", "/nowhere/at/all"],
            "cannot be read",
        ),
        (
            "contoso/1",
            &out,
            vec!["--from-logs", other],
            "no log line about a run",
        ),
    ];
    for (run, out, more, told) in cases {
        let ended = night.report(run, out, &more).with(2);
        assert!(ended.stderr.contains(told), "{told} in {}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
    night.local.call("run report contoso/1").with(2);
    assert_eq!(fs::read_to_string(&out).unwrap(), "as it was");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
    night.report("contoso/1", &out, &[]).with(0);
    assert!(
        fs::read_to_string(&out)
            .unwrap()
            .starts_with("<!DOCTYPE html>")
    );
}

/// A file put in its place would take it away.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_and_is_no_file_stays() {
    let night = Night::begin().await;
    night.sync(0);
    let socket = night.path("socket");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let ended = night.report("contoso/1", &socket, &[]).with(2);
    assert!(ended.stderr.contains("is no file"), "{}", ended.stderr);
    assert!(!fs::metadata(&socket).unwrap().is_file());
    drop(listener);
}

/// As any file of the process is, and not as a temporary one: somebody else is to read it.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_be_read_by_whom_any_file_of_the_process_may() {
    use std::os::unix::fs::PermissionsExt as _;

    let night = Night::begin().await;
    night.sync(0);
    let (out, usual) = (night.path("report.html"), night.path("usual"));
    fs::write(&usual, "").unwrap();
    night.report("contoso/1", &out, &[]).with(0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&out), mode(&usual));
}
