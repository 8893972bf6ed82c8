//! `user deactivate|activate|release` and `explain`.

use serde_json::Value;

use crate::support::{Ended, Local, SECRET, emulator, entry, members, users};

fn standing(user: &Value) -> (&str, &str) {
    let text = |name: &str| user[name].as_str().unwrap_or_default();
    (text("status"), text("reason"))
}

/// Calls the binary as somebody.
fn call_as(local: &Local, name: &str, args: &str) -> Ended {
    let mut command = local.command(args.split_whitespace());
    crate::support::run_binary(command.env("USER", name))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_is_switched_off_by_hand_stays_off_until_released() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 10, 100);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    local.call("sync").with(0);
    let user = users(&tenant)[0].clone();
    let id = user.id;
    let shown = || {
        let shown = local.call(&format!("user show contoso {id} --json"));
        shown.with(0).object()
    };

    let login_name = user.user_principal_name.unwrap().to_uppercase();
    let args = format!("user deactivate contoso {login_name} --json");
    let off = call_as(&local, "grace", &args).with(0).object();
    assert_eq!(standing(&off), ("INACTIVE", "manual"));
    // A sync goes on mirroring the user, and leaves the status.
    tenant
        .directory()
        .rename(id, "new@contoso.com", "New")
        .unwrap();
    local.call("sync").with(0);
    let still = shown();
    assert_eq!(standing(&still), ("INACTIVE", "manual"));
    assert_eq!(still["display_name"], "New");
    assert_eq!(still["history"][1]["by"], "grace");
    assert_eq!(still["history"][1]["run"], Value::Null);

    let said = local.call(&format!("explain contoso {id}")).with(0).stdout;
    assert!(said.contains("grace decided it at"), "{said}");
    assert!(!said.contains("new@"), "{said}");

    call_as(&local, "ada", &format!("user release contoso {id}")).with(0);
    local.call("sync").with(0);
    assert_eq!(standing(&shown()), ("ACTIVE", "present"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_is_kept_on_by_hand_stays_on_though_he_is_gone() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 10, 100);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    local.call("sync").with(0);
    let id = users(&tenant)[0].id;
    local.call(&format!("user activate contoso {id}")).with(0);
    tenant.directory().soft_delete(id).unwrap();
    local.call("sync").with(0);
    let show = format!("user show contoso {id} --json");
    let kept = local.call(&show).with(0).object();
    assert_eq!(standing(&kept), ("ACTIVE", "manual"));

    // Released, he is judged as everybody is, and it is explained by the evidence.
    local.call(&format!("user release contoso {id}")).with(0);
    local.call("sync").with(0);
    let explained = local.call(&format!("explain contoso {id} --json"));
    let explained = explained.with(0);
    // Only `user` commands print the directory.
    assert!(!explained.stdout.contains("contoso.com"), "{explained:?}");
    let explained = explained.object();
    assert_eq!(standing(&explained), ("INACTIVE", "deleted"));
    let said = explained["explanation"].as_str().unwrap();
    for part in [
        "Run contoso/3 switched the user off at",
        "listed in deletedItems, request ",
        "Until then the user was ACTIVE (present).",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_decided_about_who_is_not_there_or_is_not_the_only_one_meant() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 10, 100);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    local.call("sync").with(0);
    let unknown = local
        .call("user deactivate contoso nobody@contoso.com")
        .with(2);
    assert!(
        unknown.stderr.contains("no user with this object id"),
        "{unknown:?}"
    );
    local.call("explain contoso nobody@contoso.com").with(2);
    local.call("user release fabrikam a@contoso.com").with(2);

    let (old, new) = (users(&tenant)[0].clone(), users(&tenant)[1].clone());
    let name = old.user_principal_name.clone().unwrap();
    tenant.directory().soft_delete(old.id).unwrap();
    tenant.directory().rename(new.id, &name, "New").unwrap();
    local.call("sync").with(0);
    let both = local
        .call(&format!("user deactivate contoso {name}"))
        .with(2);
    for id in [old.id, new.id] {
        assert!(both.stderr.contains(&id.to_string()), "{both:?}");
    }
}
