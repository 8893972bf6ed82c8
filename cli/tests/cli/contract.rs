//! The objects that other programs read, over a few syncs.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Local, SECRET, emulator, entry, members, users};

#[track_caller]
fn has_fields(object: &Value, fields: &str) {
    let found: BTreeSet<_> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let wanted: BTreeSet<_> = fields.split_whitespace().collect();
    assert_eq!(found, wanted);
}

const RUN: &str = "tenant run mode state reason generation pages batches users_seen created updated \
                   reactivated unchanged deactivated deactivated_by kept held graph capacity \
                   started_at ended_at";
const USER: &str = "tenant id status reason status_run status_at user_principal_name mail \
                    display_name account_enabled user_type in_scope version attributes";

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_tells_each_run_as_one_object_and_a_second_one_writes_nothing() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 250, 100);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);

    let first = local.call("sync --json").with(0).object();
    has_fields(&first, RUN);
    has_fields(
        &first["deactivated_by"],
        "disabled deleted not_found out_of_scope",
    );
    has_fields(&first["kept"], "contradicted awaiting_confirmation unknown");
    has_fields(&first["graph"], "requests throttled retried resource_units");
    has_fields(&first["capacity"], "read_units write_units");
    for (field, value) in [
        ("tenant", json!("contoso")),
        ("run", json!(1)),
        ("mode", json!("full")),
        ("state", json!("COMPLETED")),
        ("reason", Value::Null),
        ("generation", json!(1)),
        ("pages", json!(3)),
        ("batches", json!(3)),
        ("users_seen", json!(250)),
        ("created", json!(250)),
        ("unchanged", json!(0)),
        ("deactivated", json!(0)),
        ("held", Value::Null),
    ] {
        assert_eq!(first[field], value, "{field}");
    }
    for time in [&first["started_at"], &first["ended_at"]] {
        let time = time.as_str().unwrap();
        assert!(
            time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(),
            "{time}"
        );
    }
    assert!(first["capacity"]["write_units"].as_f64().unwrap() > 250.0);

    let before = local.call("user list --json").with(0);
    let second = local
        .call("sync --tenant contoso --mode full --json")
        .with(0)
        .object();
    assert_eq!(second["run"], 2);
    assert_eq!(
        (&second["created"], &second["unchanged"]),
        (&json!(0), &json!(250))
    );
    let after = local.call("user list --json").with(0);
    assert_eq!(before.stdout, after.stdout);

    let listed = local.call("run list --json").with(0).objects();
    assert_eq!(listed, [first, second]);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_told_with_all_fields_and_their_history() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 40, 100);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    local.call("sync").with(0);
    let (leaver, renamed) = (users(&tenant)[0].clone(), users(&tenant)[1].clone());
    tenant.directory().soft_delete(leaver.id).unwrap();
    tenant
        .directory()
        .rename(renamed.id, "Zoë.Müller-Neu@contoso.com", "Zoë Neu")
        .unwrap();
    local.call("sync").with(0);

    let listed = local
        .call("user list --tenant contoso --json")
        .with(0)
        .objects();
    assert_eq!(listed.len(), 40);
    listed.iter().for_each(|user| has_fields(user, USER));
    let ids: Vec<_> = listed
        .iter()
        .map(|user| user["id"].as_str().unwrap())
        .collect();
    assert!(ids.is_sorted());
    let off = local
        .call("user list --status inactive --json")
        .with(0)
        .object();
    assert_eq!(off["id"], leaver.id.to_string());
    assert_eq!(
        (&off["status"], &off["reason"]),
        (&json!("INACTIVE"), &json!("deleted"))
    );
    let on = local
        .call("user list --status ACTIVE --json")
        .with(0)
        .objects();
    assert_eq!(on.len(), 39);

    let by_id = local.run(["user", "show", "contoso", &leaver.id.to_string(), "--json"]);
    let by_id = by_id.with(0).object();
    let latest = &by_id["history"][0];
    assert_eq!(latest["change"], "deactivated");
    assert_eq!(latest["run"], 2);
    let evidence = latest["evidence"].as_str().unwrap();
    let request_id = evidence.strip_prefix("listed in deletedItems, request ");
    let request_id = request_id.unwrap_or_else(|| panic!("{evidence}"));
    assert!(uuid::Uuid::parse_str(request_id).is_ok(), "{evidence}");
    assert_eq!(
        latest["changed"]["status"],
        json!({ "from": "ACTIVE", "to": "INACTIVE" })
    );
    assert_eq!(by_id["history"][1]["change"], "created");

    let by_login = local.run([
        "user",
        "show",
        "contoso",
        "ZOË.müller-neu@CONTOSO.com",
        "--json",
    ]);
    let by_login = by_login.with(0).object();
    has_fields(&by_login, &format!("{USER} history"));
    assert_eq!(by_login["id"], renamed.id.to_string());
    assert_eq!(
        by_login["history"][0]["changed"]["user_principal_name"],
        json!({ "from": renamed.user_principal_name, "to": "Zoë.Müller-Neu@contoso.com" })
    );
    let table = local
        .run(["user", "show", "contoso", &renamed.id.to_string()])
        .with(0);
    assert!(table.stdout.contains("Zoë Neu"), "{}", table.stdout);

    let old_name = renamed.user_principal_name.unwrap();
    let ended = local.run(["user", "show", "contoso", &old_name]).with(2);
    assert!(!ended.stderr.contains(&old_name), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_sync_tells_what_changed_and_a_first_one_is_full() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 30, 100);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    let first = local.call("sync --mode delta --json").with(0).object();
    assert_eq!(
        (&first["mode"], &first["created"]),
        (&json!("full"), &json!(30))
    );

    let leaver = users(&tenant)[3].id;
    tenant.directory().soft_delete(leaver).unwrap();
    let told = local.call("sync --mode delta --json").with(0).object();
    for (field, value) in [
        ("mode", json!("delta")),
        ("state", json!("COMPLETED")),
        ("users_seen", json!(0)),
        ("deactivated", json!(1)),
    ] {
        assert_eq!(told[field], value, "{field}");
    }
    assert_eq!(told["deactivated_by"]["deleted"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_shown_with_its_batches_leases_and_evidence() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 40, 15);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    local.call("sync").with(0);
    let leaver = users(&tenant)[3].id;
    tenant
        .directory()
        .set_account_enabled(leaver, Some(false))
        .unwrap();
    let told = local.call("sync --json").with(0).object();

    let first = local.call("run show contoso/1 --json").with(0).object();
    let batches = first["batch_items"].as_array().unwrap();
    assert_eq!(batches.len(), 3);
    for batch in batches {
        has_fields(
            batch,
            "generation page state sightings changed lease created updated reactivated unknown \
             candidates",
        );
        has_fields(&batch["lease"], "owner token until");
        assert_eq!(batch["state"], "DONE");
    }
    let created: u64 = batches.iter().map(|b| b["created"].as_u64().unwrap()).sum();
    assert_eq!(created, 40);
    assert_eq!(first["evidence"], json!([]));

    let second = local.call("run show contoso/2 --json").with(0).object();
    for (field, value) in told.as_object().unwrap() {
        assert_eq!(&second[field], value, "{field}");
    }
    let evidence = second["evidence"].as_array().unwrap();
    assert_eq!(evidence.len(), 1);
    has_fields(&evidence[0], "id reason evidence version");
    assert_eq!(evidence[0]["id"], leaver.to_string());
    assert_eq!(evidence[0]["reason"], "disabled");
    let shown = local.call("run show contoso/2").with(0);
    assert_eq!(shown.stderr, "");
    assert!(
        shown.stdout.contains(&leaver.to_string()),
        "{}",
        shown.stdout
    );
    let (run, plan) = shown.stdout.split_once("The plan:").unwrap();
    for part in [
        "contoso/2 is COMPLETED, a full run",
        "[==============================] ",
        " done\n",
        "1: 1 disabled, 0 deleted, 0 not found, 0 out of scope",
    ] {
        assert!(run.contains(part), "{part} in {run}");
    }
    for line in run.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    // No colour, on a terminal or not, so there is none that `NO_COLOR` could ask to leave out.
    assert!(!run.contains('\u{1b}') && !plan.contains('\u{1b}'));
}
