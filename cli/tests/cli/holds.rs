//! Plans that wait for a person: found, released by their hash, dropped.

use rollcall_graph_emulator::{Emulator, Tenant};
use serde_json::{Value, json};

use crate::support::{Local, SECRET, emulator, entry, members, users};

/// A tenant whose second run is held, since 10 of 100 are disabled.
async fn held() -> (Emulator, Tenant, Local, Value) {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 100, 50);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    local.call("sync").with(0);
    assert_eq!(local.call("hold list --json").with(0).stdout, "");
    let none = local.call("hold list").with(0);
    assert_eq!(none.stdout, "No plan waits for a person.\n");
    for user in users(&tenant).iter().take(10) {
        let off = Some(false);
        tenant
            .directory()
            .set_account_enabled(user.id, off)
            .unwrap();
    }
    let run = local.call("sync --json").with(3).object();
    (emulator, tenant, local, run)
}

fn plan(run: &Value) -> String {
    run["held"]["plan"].as_str().unwrap().to_owned()
}

fn active(local: &Local) -> usize {
    let active = local.call("user list --status ACTIVE --json").with(0);
    active.objects().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_plan_is_listed_with_what_can_be_done_and_released_by_its_hash() {
    let (_emulator, _tenant, local, run) = held().await;
    assert_eq!(local.call("hold list --json").with(0).object(), run);
    let listed = local.call("hold list --tenant contoso").with(0).stdout;
    let approve = format!("hold approve contoso/2 --plan {}", plan(&run));
    for part in [
        "percent",
        &format!("rollcall {approve}"),
        "rollcall hold reject contoso/2",
        "rollcall run show contoso/2",
    ] {
        assert!(listed.contains(part), "{part} in {listed}");
    }
    let show = local.call("run show contoso/2 --json").with(0).object();
    let waiting = show["evidence"][0]["id"].as_str().unwrap().to_owned();
    let explained = local.call(&format!("explain contoso {waiting}")).with(0);
    for part in [
        "is ACTIVE since",
        "A plan to switch the user off waits for a person: that of run contoso/2, which is HELD.",
    ] {
        let said = &explained.stdout;
        assert!(said.contains(part), "{part} in {said}");
    }
    let short = &plan(&run)[..12];
    let refused = local
        .call(&format!("hold approve contoso/2 --plan {short}"))
        .with(2);
    assert!(refused.stderr.contains(&plan(&run)), "{}", refused.stderr);
    assert_eq!(active(&local), 100);

    let released = local.call(&format!("{approve} --json")).with(0).object();
    assert_eq!(
        (&released["run"], &released["state"]),
        (&json!(2), &json!("COMPLETED"))
    );
    assert_eq!(released["deactivated_by"]["disabled"], 10);
    assert_eq!(released["held"], json!(null));
    assert!(released["approved"]["by"].is_string());
    assert_eq!(active(&local), 90);

    let off = local.call("user list --status INACTIVE --json").with(0);
    let id = off.objects()[0]["id"].as_str().unwrap().to_owned();
    let explained = local.call(&format!("explain contoso {id}")).with(0).stdout;
    for part in [
        "Run contoso/2 switched the user off at",
        "; when approved: disabled, request ",
        " had approved its plan at ",
    ] {
        assert!(explained.contains(part), "{part} in {explained}");
    }

    let again = local.call(&approve).with(2);
    assert!(
        again.stderr.contains("COMPLETED, not HELD"),
        "{}",
        again.stderr
    );
    assert_eq!(local.call("hold list --json").with(0).stdout, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_plan_switches_nobody_off_and_the_next_run_holds_its_own() {
    let (_emulator, _tenant, local, run) = held().await;
    let rejected = local.call("hold reject contoso/2 --json").with(0).object();
    assert_eq!(rejected["state"], "REJECTED");
    assert_eq!(rejected["held"], run["held"]);
    assert!(rejected["rejected"]["by"].is_string());
    assert_eq!(active(&local), 100);
    let approve = format!("hold approve contoso/2 --plan {}", plan(&run));
    let refused = local.call(&approve).with(2);
    assert!(
        refused.stderr.contains("REJECTED, not HELD"),
        "{}",
        refused.stderr
    );

    let next = local.call("sync --json").with(3).object();
    assert_ne!(plan(&next), plan(&run));
    // An older hash releases no newer plan.
    let old = local.call(&format!("hold approve contoso/3 --plan {}", plan(&run)));
    old.with(2);
    let dropped = local.call("hold reject contoso/3").with(0);
    assert!(dropped.stdout.contains("is dropped"), "{}", dropped.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_about_what_is_not_there_is_bad_input() {
    let (_emulator, _tenant, local, _run) = held().await;
    for (args, told) in [
        (
            "hold approve contoso/9 --plan abc",
            "there is no run contoso/9",
        ),
        ("hold reject contoso/9", "there is no run contoso/9"),
        ("hold reject contoso/1", "COMPLETED, not HELD"),
        (
            "hold approve fabrikam/1 --plan abc",
            "there is no tenant fabrikam",
        ),
        ("hold list --tenant fabrikam", "there is no tenant fabrikam"),
        ("hold approve contoso/2", "--plan"),
        ("hold approve contoso --plan abc", "contoso"),
    ] {
        let ended = local.call(args).with(2);
        assert!(ended.stderr.contains(told), "{args}: {}", ended.stderr);
    }
    assert_eq!(active(&local), 100);
}
