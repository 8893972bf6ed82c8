//! A scope of groups, as a person sees it before the first sync.

use rollcall_graph_emulator::{Emulator, Member, Tenant};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Local, SECRET, emulator, entry, members};

/// A tenant of 30, of whom the first 12 are in a group.
async fn with_group() -> (Emulator, Tenant, Uuid) {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 30, 20);
    let group = {
        let mut directory = tenant.directory();
        let ids: Vec<_> = directory.users().map(|user| user.id).collect();
        let group = directory.add_group();
        for id in &ids[..12] {
            directory.add_member(group, Member::User(*id)).unwrap();
        }
        group
    };
    (emulator, tenant, group)
}

fn local(emulator: &Emulator, tenant: &Tenant, groups: &[Uuid]) -> Local {
    let groups: Vec<_> = groups.iter().map(Uuid::to_string).collect();
    let entry = entry("contoso", emulator, tenant);
    let entry = format!("{entry}[tenant.scope]\ngroups = {groups:?}\n");
    Local::with_tenants(&entry, SECRET)
}

/// How many of the first page, by name, are in the group.
fn on_first_page(tenant: &Tenant, group: Uuid) -> u64 {
    let directory = tenant.directory();
    let mut users: Vec<_> = directory.users().collect();
    users.sort_by_key(|user| {
        let name = user.user_principal_name.as_deref();
        (name.unwrap_or_default().to_lowercase(), user.id)
    });
    let listed = directory.transitive_members(group).unwrap();
    let is_in = |id| listed.contains(&Member::User(id));
    users[..20].iter().filter(|user| is_in(user.id)).count() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn the_groups_of_a_scope_are_shown_and_a_check_tells_who_would_be_in_it() {
    let (emulator, tenant, group) = with_group().await;
    let local = local(&emulator, &tenant, &[group]);
    let stored = local.call("tenant show contoso --json").with(0).object();
    assert_eq!(stored["scope"]["groups"], json!([group.to_string()]));
    let shown = local.call("tenant show contoso").with(0).stdout;
    assert!(shown.contains(&group.to_string()), "{shown}");

    let report = local.call("tenant check contoso --json").with(0).object();
    let found = json!([{
        "group": group.to_string(), "users": 12, "more": false, "problem": null,
    }]);
    assert_eq!(report["groups"], found);
    let in_scope = on_first_page(&tenant, group);
    let page = &report["page"];
    assert_eq!(
        (&page["in_scope"], &page["out_of_scope"], &page["unknown"]),
        (&json!(in_scope), &json!(20 - in_scope), &json!(0)),
        "{page}"
    );
    let table = local.call("tenant check contoso").with(0).stdout;
    assert!(
        table.contains(&format!("users of group {group}")),
        "{table}"
    );
    // A sync finds what the check told.
    let run = local.call("sync --json").with(0).object();
    assert_eq!(run["created"], 12, "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_each_group_that_a_sync_would_fail_for() {
    let (emulator, tenant, group) = with_group().await;
    let (empty, gone) = {
        let mut directory = tenant.directory();
        let (empty, gone) = (directory.add_group(), directory.add_group());
        directory.remove_group(gone).unwrap();
        (empty, gone)
    };
    let local = local(&emulator, &tenant, &[gone, group, empty]);
    let ended = local.call("tenant check contoso --json").with(4);
    let report = ended.object();
    assert_eq!(
        (&report["ok"], &report["credential"]),
        (&json!(false), &json!(true))
    );
    let problems: Vec<_> = report["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["problem"].as_str().unwrap_or_default())
        .collect();
    for (problem, words) in problems.iter().zip(["no such group", "", "no user in it"]) {
        assert!(problem.contains(words), "{problem}");
    }
    assert_eq!(problems[1], "");
    assert!(ended.stderr.contains(&gone.to_string()), "{}", ended.stderr);
    // And so does the sync.
    let run = local.call("sync --json").with(4).object();
    assert_eq!(run["reason"], "group_unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_may_not_read_groups_names_the_permission() {
    let (emulator, tenant, group) = with_group().await;
    let local = local(&emulator, &tenant, &[group]);
    for rule in ["group-members always: denied", "batch-item always: denied"] {
        emulator.graph().clear_faults();
        emulator.graph().play(rule.parse().unwrap());
        let ended = local.call("tenant check contoso --json").with(4);
        let report = ended.object();
        assert_eq!(report["permissions"], Value::Bool(false), "{rule}");
        let told = "application permission GroupMember.Read.All";
        assert!(ended.stderr.contains(told), "{rule}: {}", ended.stderr);
    }
}
