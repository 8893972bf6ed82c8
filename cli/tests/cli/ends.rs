//! How a sync ends: exit codes, reasons, joining, and a reader that goes away.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use rollcall_graph_emulator::{Endpoint, Fault, FaultRule, Matcher};
use serde_json::json;

use crate::support::{Local, SECRET, emulator, entry, members, users};

#[tokio::test(flavor = "multi_thread")]
async fn of_several_runs_the_worst_end_is_the_exit_code() {
    let emulator = emulator().await;
    let graph = emulator.graph();
    let tenants = [
        ("contoso", members(graph, "contoso.com", 100, 50)),
        ("fabrikam", members(graph, "fabrikam.com", 101, 50)),
        ("adatum", members(graph, "adatum.com", 102, 50)),
    ];
    let entries: String = tenants
        .iter()
        .map(|(id, tenant)| entry(id, &emulator, tenant))
        .collect();
    let local = Local::with_tenants(&entries, SECRET);
    assert_eq!(local.call("sync --json").with(0).objects().len(), 3);

    // 10 of 100 are over the 5 percent, and more than the 5 that pass anyhow.
    for user in users(&tenants[0].1).iter().take(10) {
        tenants[0]
            .1
            .directory()
            .set_account_enabled(user.id, Some(false))
            .unwrap();
    }
    let held = local
        .call("sync --json --tenant contoso --tenant adatum")
        .with(3)
        .objects();
    assert_eq!(held.len(), 2);
    let held = held.iter().find(|run| run["tenant"] == "contoso").unwrap();
    assert_eq!(held["state"], "HELD");
    assert_eq!(held["held"]["guard"], "percent");
    assert_eq!(held["held"]["limit"], 5.0);
    assert_eq!(held["held"]["value"], 10.0);
    assert_eq!(held["held"]["deactivations"], 10);
    assert!(
        held["held"]["plan"]
            .as_str()
            .is_some_and(|hash| hash.len() == 64)
    );
    assert_eq!(held["deactivated"], 0);

    let nobody = Matcher::endpoint(Endpoint::Users).tenant(tenants[1].1.directory_id());
    graph.add_fault(FaultRule::forever(nobody.page(1), Fault::EmptyEnd));
    let ended = local.call("sync --json").with(4);
    let runs = ended.objects();
    let of = |tenant| runs.iter().find(|run| run["tenant"] == tenant).unwrap();
    assert_eq!(of("contoso")["state"], "HELD");
    assert_eq!(of("adatum")["state"], "COMPLETED");
    let failed = of("fabrikam");
    assert_eq!(failed["state"], "FAILED");
    assert_eq!(failed["reason"], "empty_enumeration");
    assert_eq!(failed["held"], json!(null));
    assert!(failed["ended_at"].is_string());
    let table = local.call("run list --tenant fabrikam").with(0);
    assert!(
        table.stdout.contains("empty_enumeration"),
        "{}",
        table.stdout
    );

    let off = local.call("user list --status INACTIVE --json").with(0);
    assert_eq!(off.stdout, "");
    graph.clear_faults();
    local.call("sync --tenant fabrikam").with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_tenants_users_stay_as_they_are() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 20, 50);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    local.call("sync").with(0);
    let before = local.call("user list --json").with(0).stdout;
    local.call("tenant remove contoso").with(0);
    local.call("sync").with(2);
    assert_eq!(
        local
            .call("user list --tenant contoso --json")
            .with(0)
            .stdout,
        before
    );
    assert_eq!(local.call("run list --json").with(0).objects().len(), 1);
}

/// A process that is killed in the middle leaves a lease; the next `sync` waits for it to lapse,
/// joins the run, and the result is as without.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_after_a_killed_one_joins_its_run_and_completes_it() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 300, 50);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    let third_page = Matcher::endpoint(Endpoint::Users).page(3);
    let slow = FaultRule::once(third_page, Fault::Delay { ms: 1_500 });
    emulator.graph().add_fault(slow);
    let mut killed = local
        .command(["sync"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while emulator.graph().requests(Endpoint::Users) < 2 {
        assert!(killed.try_wait().unwrap().is_none());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    killed.kill().unwrap();
    killed.wait().unwrap();

    let ended = local.call("sync --json").with(0);
    let run = ended.object();
    assert_eq!(
        (&run["run"], &run["state"]),
        (&json!(1), &json!("COMPLETED"))
    );
    assert_eq!(run["created"], 300);
    assert!(
        ended
            .stderr
            .contains("contoso/1: was active already; joined"),
        "{}",
        ended.stderr
    );
    let active = local
        .call("user list --status ACTIVE --json")
        .with(0)
        .objects();
    assert_eq!(active.len(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_goes_to_stderr_and_can_be_silenced() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 20, 50);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    let told = local.call("sync").with(0);
    assert!(told.stderr.contains("contoso/1: "), "{}", told.stderr);
    assert!(told.stdout.contains("COMPLETED") && told.stdout.contains("contoso/1"));
    let quiet = local.call("sync -q --json").with(0);
    assert_eq!(quiet.stderr, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_is_no_panic() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 400, 999);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    local.call("sync").with(0);
    let mut listing = local
        .command(["user", "list", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(listing.stdout.take());
    let mut said = String::new();
    listing
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(listing.wait().unwrap().code(), Some(1));
    assert_eq!(said, "");
}
