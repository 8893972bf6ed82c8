//! A dry run tells what a run would do, and changes nothing.

use rollcall_graph_emulator::Tenant;
use serde_json::json;
use uuid::Uuid;

use crate::support::{Local, SECRET, emulator, entry, members, users};

fn set_enabled(tenant: &Tenant, id: Uuid, enabled: bool) {
    let mut directory = tenant.directory();
    directory.set_account_enabled(id, Some(enabled)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_the_run_after_it_does_and_changes_nothing() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 100, 30);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    let first = local.call("sync --dry-run --json").with(0).object();
    assert_eq!((&first["created"], &first["run"]), (&json!(100), &json!(1)));
    assert_eq!(first["dry_run"], true);
    assert_eq!(first["changes"].as_array().unwrap().len(), 100);
    assert_eq!(local.call("user list --json").with(0).stdout, "");
    assert_eq!(local.call("run list --json").with(0).stdout, "");
    local.call("sync").with(0);

    let everyone = users(&tenant);
    set_enabled(&tenant, everyone[0].id, false);
    tenant.directory().soft_delete(everyone[1].id).unwrap();
    let renamed = everyone[2].id;
    tenant
        .directory()
        .rename(renamed, "new@contoso.com", "New")
        .unwrap();
    let before = local.call("user list --json").with(0).stdout;
    let dry = local.call("sync --dry-run --json").with(0).object();
    assert_eq!(local.call("user list --json").with(0).stdout, before);
    assert_eq!(local.call("run list --json").with(0).objects().len(), 1);
    let changes = dry["changes"].as_array().unwrap();
    assert_eq!(
        changes,
        &[json!({ "id": renamed.to_string(), "change": "updated" })]
    );
    let reason = |id: Uuid| {
        let evidence = dry["evidence"].as_array().unwrap();
        let entry = evidence.iter().find(|it| it["id"] == id.to_string());
        entry.unwrap()["reason"].clone()
    };
    assert_eq!(reason(everyone[0].id), "disabled");
    assert_eq!(reason(everyone[1].id), "deleted");

    let run = local.call("sync --json").with(0).object();
    for field in [
        "run",
        "mode",
        "state",
        "users_seen",
        "updated",
        "unchanged",
        "deactivated_by",
        "kept",
    ] {
        assert_eq!(run[field], dry[field], "{field}");
    }
    assert_eq!(run.get("dry_run"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_which_guard_would_hold_and_leaves_a_hold_that_waits() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 100, 50);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    local.call("sync").with(0);
    let everyone = users(&tenant);
    for user in &everyone[..10] {
        set_enabled(&tenant, user.id, false);
    }
    let dry = local.call("sync --dry-run").with(3);
    for part in [
        "This was a dry run: nothing was changed.",
        "would be HELD: the percent guard found 10 where 5 is the most",
        &everyone[0].id.to_string(),
        "switched off",
    ] {
        assert!(dry.stdout.contains(part), "{part} in {}", dry.stdout);
    }
    assert_eq!(local.call("hold list --json").with(0).stdout, "");
    let held = local.call("sync --json").with(3).object();
    // A full run's plan supersedes the hold; a dry run's does not.
    for user in &everyone[..10] {
        set_enabled(&tenant, user.id, true);
    }
    let dry = local.call("sync --dry-run --json").with(0).object();
    assert_eq!((&dry["run"], &dry["deactivated"]), (&json!(3), &json!(0)));
    assert_eq!(local.call("hold list --json").with(0).object(), held);
}
