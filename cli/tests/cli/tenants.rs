//! `tenant` commands on tenants that are right.

use serde_json::json;

use crate::support::{Local, SECRET, emulator, entry, members};

const FILE: &str = "\
[[tenant]]
id = \"contoso\"
directory_id = \"6BABCAAD-604b-40ac-a9d7-9fd97c0b779f\"
client_id = \"e46697b1-7d7a-4a7a-9d6c-1c6ac6fb2ea7\"
cloud = \"global\"
credential = { kind = \"secret\", env = \"CONTOSO_SECRET\" }
[tenant.scope]
domains = [\"Contoso.com\"]
[tenant.attributes]
department = \"department\"
";

#[test]
fn a_tenant_is_stored_with_its_defaults_and_each_change_is_a_revision() {
    let local = Local::new();
    let file = local.file("contoso.toml", FILE);
    let put = |file| local.run(["tenant".as_ref(), "put".as_ref(), "--json".as_ref(), file]);
    let told =
        |result, revision| json!({ "tenant": "contoso", "result": result, "revision": revision });
    assert_eq!(put(file.as_os_str()).with(0).object(), told("added", 1));
    assert_eq!(put(file.as_os_str()).with(0).object(), told("same", 1));
    let stored = local.call("tenant show contoso --json").with(0).object();
    assert_eq!(
        stored,
        json!({
            "id": "contoso",
            "directory_id": "6babcaad-604b-40ac-a9d7-9fd97c0b779f",
            "client_id": "e46697b1-7d7a-4a7a-9d6c-1c6ac6fb2ea7",
            "cloud": "global",
            "credential": { "kind": "secret", "env": "CONTOSO_SECRET" },
            "scope": { "guests": false, "domains": ["contoso.com"], "groups": [] },
            "guards": {
                "deactivations_max": 500,
                "deactivations_percent_max": 5.0,
                "exempt_max": 5,
                "shrink_percent_max": 20.0,
                "window_days": 7,
                "window_percent_max": 10.0,
                "absences_confirmed_by": 2,
            },
            "limits": {
                "graph_retry_seconds_max": 300,
                "run_deadline_minutes": 360,
                "lease_seconds": 60,
            },
            "attributes": { "department": "department" },
            "revision": 1,
        })
    );
    let changed = local.file("changed.toml", FILE.replace("\"global\"", "\"china\""));
    assert_eq!(
        put(changed.as_os_str()).with(0).object(),
        told("changed", 2)
    );
    let table = local.call("tenant show contoso").with(0);
    assert!(table.stdout.contains("china") && table.stdout.contains("CONTOSO_SECRET"));
    assert!(local.call("tenant list").with(0).stdout.contains("contoso"));
}

#[test]
fn a_removed_tenant_is_gone_from_the_list_and_can_be_put_again() {
    let local = Local::new();
    let file = local.file("contoso.toml", FILE);
    local.put(&file).with(0);
    local.call("tenant remove contoso").with(0);
    assert_eq!(local.call("tenant list --json").with(0).stdout, "");
    for args in [
        "tenant show contoso",
        "tenant remove contoso",
        "sync --tenant contoso",
    ] {
        let ended = local.call(args).with(2);
        assert!(ended.stderr.contains("was removed"), "{}", ended.stderr);
    }
    local.put(&file).with(0);
    let stored = local.call("tenant show contoso --json").with(0).object();
    assert_eq!(stored["revision"], 3);
}

#[test]
fn a_secret_that_is_not_set_is_named_before_anything_starts() {
    let local = Local::new();
    let file = local.file("contoso.toml", FILE);
    local.put(&file).with(0);
    for args in ["tenant check contoso", "sync", "sync --tenant contoso"] {
        let ended = local.call(args).with(2);
        assert_eq!(ended.stdout, "");
        for word in ["contoso", "CONTOSO_SECRET"] {
            assert!(ended.stderr.contains(word), "{}", ended.stderr);
        }
    }
    assert_eq!(local.call("run list --json").with(0).stdout, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_what_a_sync_would_find_and_changes_nothing() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 30, 20);
    {
        let mut directory = tenant.directory();
        let ids: Vec<_> = directory.users().map(|user| user.id).collect();
        // The scan's first page is by name, so all of a kind are on it or none is told of.
        for id in &ids {
            directory
                .update(*id, |user| user.account_enabled = None)
                .unwrap();
        }
    }
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    let report = local.call("tenant check contoso --json").with(0).object();
    assert_eq!(
        report,
        json!({
            "tenant": "contoso",
            "ok": true,
            "credential": true,
            "permissions": true,
            "delta": true,
            "count": 30,
            "page": {
                "users": 20, "more": true, "in_scope": 0, "disabled": 0, "out_of_scope": 0,
                "unknown": 20,
            },
            "error": null,
        })
    );
    assert_eq!(local.call("run list --json").with(0).stdout, "");
    assert_eq!(local.call("user list --json").with(0).stdout, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_in_a_file_opens_the_directory_and_what_is_wrong_with_it_is_told() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 3, 20);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let params = rcgen::CertificateParams::new(vec!["rollcall.example".into()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let local = Local::new();
    let pem = local.file("contoso.pem", certificate.pem() + &key.serialize_pem());
    let entry = entry("contoso", &emulator, &tenant);
    let (before, rest) = entry.split_once("credential = ").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    let credential = format!("{{ kind = \"certificate\", pem_file = {pem:?} }}");
    let file = format!("{before}credential = {credential}\n{after}");
    local.put(&local.file("contoso.toml", file)).with(0);

    let ended = local.call("tenant check contoso --json").with(4);
    assert!(ended.stderr.contains("AADSTS700027"), "{}", ended.stderr);
    assert!(tenant.upload_certificate(certificate.der()));
    let report = local.call("tenant check contoso --json").with(0).object();
    assert_eq!((&report["ok"], &report["count"]), (&json!(true), &json!(3)));
    let shown = local.call("tenant show contoso").with(0).stdout;
    assert!(
        shown.contains("contoso.pem") && !shown.contains("BEGIN"),
        "{shown}"
    );

    std::fs::write(&pem, certificate.pem()).unwrap();
    let ended = local.call("tenant check contoso").with(2);
    assert!(ended.stderr.contains("private key"), "{}", ended.stderr);
    std::fs::remove_file(&pem).unwrap();
    let ended = local.call("tenant check contoso").with(2);
    assert!(ended.stderr.contains("contoso.pem"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_graph_refuses_ends_with_4_and_the_remedy() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 3, 20);
    let entry = entry("contoso", &emulator, &tenant);

    let wrong_secret = Local::with_tenants(&entry, "wrong");
    let ended = wrong_secret.call("tenant check contoso --json").with(4);
    let report = ended.object();
    assert_eq!(
        (&report["ok"], &report["credential"]),
        (&json!(false), &json!(false))
    );
    assert!(ended.stderr.contains("secret"), "{}", ended.stderr);

    let local = Local::with_tenants(&entry, SECRET);
    emulator
        .graph()
        .play("users always: status 503".parse().unwrap());
    local.call("tenant check contoso --json").with(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_each_cause_and_what_to_do() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 3, 20);
    let entry = entry("contoso", &emulator, &tenant);
    let local = Local::with_tenants(&entry, SECRET);
    let denied = (Some(true), Some(false));
    let rejected = (Some(false), None);
    for (rule, found, told) in [
        (
            "users always: denied",
            denied,
            "application permission User.Read.All,",
        ),
        (
            "deleted always: denied",
            denied,
            "application permission User.Read.All,",
        ),
        (
            "delta always: denied",
            denied,
            "application permission User.Read.All,",
        ),
        (
            "get-by-ids always: denied",
            denied,
            "application permission Directory.Read.All,",
        ),
        (
            "token always: status 401 login 7000222",
            rejected,
            "the client secret has expired",
        ),
        (
            "token always: status 401 login 7000229",
            rejected,
            "grant admin consent",
        ),
        (
            "token always: status 400 login 65001",
            rejected,
            "grant admin consent",
        ),
        (
            "token always: status 401 login 700024",
            rejected,
            "set this machine's clock right",
        ),
        (
            "token always: status 400 login 70021",
            rejected,
            "add a federated credential",
        ),
        (
            "token always: status 400 login 700016",
            rejected,
            "check client_id and directory_id",
        ),
        (
            "token always: status 401 login 7000112",
            rejected,
            "enable it",
        ),
        (
            "token always: status 400 login 53003",
            rejected,
            "conditional access",
        ),
        ("token always: status 400 login 99", rejected, "AADSTS99"),
    ] {
        emulator.graph().clear_faults();
        emulator.graph().play(rule.parse().unwrap());
        let ended = local.call("tenant check contoso --json").with(4);
        let report = ended.object();
        let is = (
            report["credential"].as_bool(),
            report["permissions"].as_bool(),
        );
        assert_eq!((is, &report["ok"]), (found, &json!(false)), "{rule}");
        assert!(ended.stderr.contains(told), "{rule}: {}", ended.stderr);
        assert!(report["error"].as_str().unwrap().contains(told), "{rule}");
    }
    emulator.graph().clear_faults();
    // Another directory's id, which the token service does not know.
    let other = entry.replace(
        &tenant.directory_id().to_string(),
        &uuid::Uuid::nil().to_string(),
    );
    let local = Local::with_tenants(&other, SECRET);
    let ended = local.call("tenant check contoso").with(4);
    assert!(
        ended.stderr.contains("check directory_id and cloud"),
        "{}",
        ended.stderr
    );
}
