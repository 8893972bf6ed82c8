//! Nothing personal, and no secret, in any log line, error or report. Metrics: `tests/end-to-end/tests/metrics.rs`;
//! queue messages: `cli/tests/told`; panics: `shared/telemetry` and `shared/lambda`.

use std::path::{Path, PathBuf};

use rollcall_graph_emulator::{
    Endpoint, Fault, FaultRule, Graph, Matcher, Population, TenantSpec, User,
};

use crate::support::{Local, SECRET, binary, emulator, entry, members, run_binary, users};

/// What must be nowhere.
struct Marks(Vec<String>);

impl Marks {
    fn of(everybody: &[User]) -> Self {
        let names = everybody.iter().flat_map(|user| {
            let texts = [&user.user_principal_name, &user.mail, &user.display_name];
            texts.into_iter().flatten().cloned().collect::<Vec<_>>()
        });
        let mut marks: Vec<_> = names.collect();
        let fixed = [
            SECRET,
            "Bearer",
            "eyJ",
            "client_assertion",
            "skiptoken",
            "@",
        ];
        marks.extend(fixed.map(str::to_owned));
        Self(marks)
    }

    #[track_caller]
    fn are_nowhere_in(&self, said: &str) {
        for line in said.lines() {
            for mark in &self.0 {
                assert!(!line.contains(mark.as_str()), "{mark} is in {line}");
            }
        }
    }
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("lines.json")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[track_caller]
fn has(said: &str, events: &[&str]) {
    for event in events {
        let part = format!("\"event\":\"{event}\"");
        assert!(said.contains(&part), "there is no {event}");
    }
}

#[test]
fn the_demos_log_lines_carry_no_name_no_address_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let logs = log_file(folder.path());
    let mut demo = binary();
    demo.args(["demo", "-vvv", "--json", "--logs"]).arg(&logs);
    let ended = run_binary(&mut demo).with(0);
    // The same people, made once more.
    let graph = Graph::new(rollcall_ambient::Ambient::system(), "http://127.0.0.1:1");
    let tenants =
        [("contoso.com", 1, 2_000), ("fabrikam.com", 2, 300)].map(|(domain, seed, users)| {
            graph.add_tenant(TenantSpec::new(Population::new(domain, seed, users)))
        });
    let everybody: Vec<_> = tenants.iter().flat_map(users).collect();
    let mut marks = Marks::of(&everybody);
    marks
        .0
        .extend(tenants.iter().map(|it| it.client_secret().to_owned()));
    marks.0.push("O'Brien".into());
    let said = read(&logs);
    has(
        &said,
        &[
            "user_deactivated",
            "user_reactivated",
            "run_failed",
            "run_held",
            "graph_answered",
        ],
    );
    let is_told = |user: &User| said.contains(&user.id.to_string());
    assert!(everybody.iter().any(is_told), "these are other people");
    marks.are_nowhere_in(&said);
    marks.are_nowhere_in(&ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_reverts_and_failures_carry_no_name_no_address_and_no_secret() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 100, 25);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    let folder = tempfile::tempdir().unwrap();
    let logs = log_file(folder.path());
    let mut said = String::new();
    let mut call = |args: &str, code: i32| {
        let args = args.split_whitespace();
        let args = args.chain(["-vv", "--json", "--logs", logs.to_str().unwrap()]);
        let ended = local.run(args).with(code);
        said += &ended.stderr;
        ended
    };
    call("sync", 0);
    let everybody = users(&tenant);
    {
        let mut directory = tenant.directory();
        for user in everybody.iter().take(10) {
            directory.set_account_enabled(user.id, Some(false)).unwrap();
        }
        directory
            .set_account_enabled(everybody[20].id, None)
            .unwrap();
        directory.purge(everybody[21].id).unwrap();
    }
    let held = call("sync", 3).object();
    let plan = held["held"]["plan"].as_str().unwrap();
    call("hold approve contoso/2 --plan nonsense", 2);
    call(&format!("hold approve contoso/2 --plan {plan}"), 0);
    call("revert contoso/2", 0);
    for script in [
        "users page 2 always: denied",
        "users page 2 always: error-for-value",
        "users page 2 always: spliced",
        "users page 2 always: status 400",
        "token always: status 401 login 7000215",
        "users page 2 2 times: page-token expired\nusers page 3 always: status 503 html",
    ] {
        emulator.graph().play(script.parse().unwrap());
        call("sync", 4);
        emulator.graph().clear_faults();
    }
    let unsafe_link = Fault::Redirect {
        to: "https://adele:pw@elsewhere.example/".into(),
    };
    let first = Matcher::endpoint(Endpoint::Users);
    emulator
        .graph()
        .add_fault(FaultRule::forever(first, unsafe_link));
    call("sync", 4);
    let mut marks = Marks::of(&everybody);
    marks.0.push("adele".into());
    let lines = read(&logs);
    has(
        &lines,
        &[
            "hold_approved",
            "plan_released",
            "users_restored",
            "run_failed",
            "generation_restarted",
        ],
    );
    marks.are_nowhere_in(&lines);
    marks.are_nowhere_in(&said);
    reports_have_ids_alone(&local, &logs, marks);
}

/// A page of each run, and the story of its lines; a page has names when it is asked for them.
fn reports_have_ids_alone(local: &Local, logs: &Path, mut marks: Marks) {
    let logs = logs.to_str().unwrap();
    let out = local.folder().join("report.html");
    let out = out.to_str().unwrap();
    marks.are_nowhere_in(&local.run(["explain", "--from-logs", logs]).with(0).stdout);
    // A page has rules of style that begin so.
    marks.0.retain(|mark| mark != "@");
    let runs = local.call("run list --json").with(0).objects();
    assert_eq!(runs.len(), 9);
    for run in runs {
        let run = format!("contoso/{}", run["run"]);
        let report = ["run", "report", &run, "--out", out, "--from-logs", logs];
        local.run(report).with(0);
        marks.are_nowhere_in(&read(Path::new(out)));
    }
    let report = ["run", "report", "contoso/2", "--out", out, "--names"];
    local.run(report).with(0);
    let page = read(Path::new(out));
    assert!(
        marks.0.iter().any(|mark| page.contains(mark.as_str())),
        "{page}"
    );
}

#[test]
fn a_file_for_log_lines_that_cannot_be_written_is_bad_input() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run_binary(binary().args(["demo", "--logs"]).arg(folder.path())).with(2);
    assert!(
        ended.stderr.contains("cannot be written to"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_file_that_tells_of_no_run_or_is_broken_is_bad_input() {
    let local = Local::new();
    let empty = local.file("empty.json", "START RequestId: 5f1c\n");
    let broken = local.file(
        "broken.json",
        "\n{\"event\":\"run_leased\",\"tenant\":\"contoso\",\"ru",
    );
    let (empty, broken) = (empty.to_str().unwrap(), broken.to_str().unwrap());
    for (args, told) in [
        (
            vec!["explain", "--from-logs", empty],
            "no log line about a run",
        ),
        (vec!["explain", "--from-logs", broken], "line 2: "),
        (
            vec!["explain", "--from-logs", "/nowhere/at/all"],
            "cannot be read",
        ),
        (
            vec!["explain", "--from-logs", empty, "--run", "contoso"],
            "contoso",
        ),
        (
            vec!["explain", "contoso", "a", "--from-logs", empty],
            "--from-logs",
        ),
        (vec!["explain", "contoso"], "<USER>"),
        (
            vec!["explain", "contoso", "a", "--run", "contoso/1"],
            "--from-logs",
        ),
    ] {
        let ended = local.run(&args).with(2);
        assert!(ended.stderr.contains(told), "{args:?}: {}", ended.stderr);
    }
}
