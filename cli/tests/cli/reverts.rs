//! `revert`: dry run first, then for good.

use serde_json::json;

use crate::support::{Local, SECRET, emulator, entry, members, users};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_taken_back_after_a_dry_run_that_says_whom_it_leaves() {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 60, 25);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    local.call("sync").with(0);
    let everyone = users(&tenant);
    {
        let mut directory = tenant.directory();
        for user in &everyone[..3] {
            directory.set_account_enabled(user.id, Some(false)).unwrap();
        }
        directory
            .rename(everyone[3].id, "wrong@contoso.com", "Wrong")
            .unwrap();
        directory.add_people(1);
    }
    local.call("sync").with(0);
    let kept = everyone[0].id.to_string();
    local.call(&format!("user activate contoso {kept}")).with(0);
    let before = local.call("user list --json").with(0).stdout;

    let dry = local.call("revert contoso/2 --dry-run --json").with(0);
    let dry = dry.object();
    assert_eq!((&dry["restored"], &dry["left"]), (&json!(3), &json!(2)));
    assert_eq!(dry["dry_run"], true);
    assert_eq!(dry["restored_users"].as_array().unwrap().len(), 3);
    assert_eq!(local.call("user list --json").with(0).stdout, before);

    let done = local.call("revert contoso/2 --json").with(0).object();
    for field in ["tenant", "run", "restored", "left"] {
        assert_eq!(done[field], dry[field], "{field}");
    }
    assert_eq!(done["dry_run"], false);
    let left = done["left_users"].as_array().unwrap();
    let why = |id: &str| left.iter().find(|it| it["id"] == id).unwrap()["why"].clone();
    assert_eq!(why(&kept), "changed_since");
    assert!(left.iter().any(|it| it["why"] == "created"), "{left:?}");

    let show = |at: usize| {
        let args = format!("user show contoso {} --json", everyone[at].id);
        local.call(&args).with(0).object()
    };
    for at in [1, 2] {
        let back = show(at);
        assert_eq!(back["status"], "ACTIVE");
        assert_eq!(
            (&back["reason"], &back["version"]),
            (&json!("present"), &json!(3))
        );
    }
    assert_eq!(
        show(3)["display_name"],
        everyone[3].display_name.clone().unwrap()
    );
    assert_eq!(show(0)["reason"], "manual");
    let explained = local.call(&format!("explain contoso {}", everyone[1].id));
    let explained = explained.with(0).stdout;
    assert!(
        explained.contains("took back what run contoso/2 did"),
        "{explained}"
    );

    let again = local.call("revert contoso/2").with(2);
    assert!(
        again.stderr.contains("was taken back before"),
        "{}",
        again.stderr
    );
    let unknown = local.call("revert contoso/9").with(2);
    assert!(
        unknown.stderr.contains("there is no run"),
        "{}",
        unknown.stderr
    );
    // The next run finds what Microsoft 365 says.
    local.call("sync").with(0);
    assert_eq!(show(1)["status"], "INACTIVE");
}
