//! A service provider that a tenant's users are told to.

use rollcall_end_to_end::scim::{SECRET as SCIM_SECRET, TOKEN, TestProvider};
use serde_json::{Value, json};

use crate::support::{Local, SECRET, emulator, entry, members, users};

/// A tenant with a service provider, whose token is in no environment yet.
fn provided(entry: &str, provider: &TestProvider) -> Local {
    let scim = format!(
        "[tenant.scim]\nurl = \"{}\"\ncredential = {{ kind = \"secret\", env = \"{SCIM_SECRET}\" }}\n",
        provider.url()
    );
    Local::with_tenants(&format!("{entry}\n{scim}"), SECRET)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_waits_until_the_service_provider_is_told_and_a_dry_run_tells_nobody() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 20, 30);
    let provider = TestProvider::start().await.unwrap();
    let local = provided(&entry("contoso", &emulator, &tenant), &provider);
    let call = |args: &str| local.call_with((SCIM_SECRET, TOKEN), args);
    call("sync --dry-run").with(0);
    assert_eq!(provider.requests(), 0);
    let checked = call("tenant check contoso --json").with(0).object();
    assert_eq!(
        (&checked["scim"], &checked["ok"]),
        (&json!(true), &json!(true))
    );
    assert!(
        call("tenant show contoso")
            .with(0)
            .stdout
            .contains(&provider.url())
    );

    let synced = call("sync").with(0);
    assert_eq!(synced.stderr.matches("warning").count(), 0, "{synced:?}");
    assert_eq!(provider.accounts().await.unwrap().len(), 20);
    let id = users(&tenant)[0].id.to_string();
    call(&format!("user deactivate contoso {id}")).with(0);
    call("sync").with(0);
    let accounts = provider.accounts().await.unwrap();
    let is_off = |account: &&Value| account["active"] == false;
    let off: Vec<_> = accounts.iter().filter(is_off).collect();
    assert_eq!(off.len(), 1);
    assert_eq!(off[0]["externalId"], id.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_there_is_named_and_the_run_is_none_the_worse() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 5, 30);
    let provider = TestProvider::start().await.unwrap();
    let local = provided(&entry("contoso", &emulator, &tenant), &provider);
    let synced = local.call("sync").with(0);
    assert!(
        synced
            .stderr
            .contains("warning: tenant contoso: its service provider"),
        "{synced:?}"
    );
    assert_eq!(provider.requests(), 0);
    let checked = local.call("tenant check contoso --json").with(4);
    assert_eq!(checked.object()["scim"], false);
    assert!(checked.stderr.contains(SCIM_SECRET), "{checked:?}");
    // What was not told is told once it can be.
    local.call_with((SCIM_SECRET, TOKEN), "sync").with(0);
    assert_eq!(provider.accounts().await.unwrap().len(), 5);
}

#[test]
fn a_service_provider_without_https_or_with_its_token_in_the_file_is_refused() {
    let head = "[[tenant]]\nid = \"contoso\"\ndirectory_id = \"6babcaad-604b-40ac-a9d7-9fd97c0b779f\"\n\
        client_id = \"e46697b1-7d7a-4a7a-9d6c-1c6ac6fb2ea7\"\ncloud = \"global\"\n\
        credential = { kind = \"secret\", env = \"A\" }\n[tenant.scim]\n";
    for (scim, says) in [
        (
            "url = \"http://app.example\"\ncredential = { kind = \"secret\", env = \"A\" }",
            "https",
        ),
        (
            "url = \"https://app.example\"\ncredential = \"hunter2\"",
            "kind = \"secret\"",
        ),
        (
            "url = \"https://app.example\"\ncredential = { kind = \"federated\" }",
            "bearer token",
        ),
        ("url = \"https://app.example\"", "credential"),
    ] {
        let local = Local::new();
        let file = local.file("tenants.toml", format!("{head}{scim}\n"));
        let refused = local.put(&file).with(2);
        assert!(refused.stderr.contains(says), "{refused:?}");
        assert!(!refused.stderr.contains("hunter2"), "{refused:?}");
    }
}
