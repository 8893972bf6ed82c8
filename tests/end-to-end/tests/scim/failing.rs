//! A service provider that takes nothing, or not everything.

use axum::http::StatusCode;
use rollcall_core::by_hand::Decision;
use rollcall_end_to_end::scim::ScimMeets;
use serde_json::json;

use crate::{HOUR_MS, Provided};

/// More accounts than may fail one after the other before a telling ends.
const FAILING: usize = 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_account_that_always_fails_holds_up_nobody() {
    let it = Provided::start(60).await;
    it.provider.fails_for([it.enabled(1)[0].to_string()]);
    it.sync_and_tell().await;
    let accounts = it.provider.accounts().await.unwrap();
    let on = it.world.active().await.unwrap();
    assert_eq!(accounts.len(), on - 1);
    let told = it.world.store.scim(&it.tenant).await.unwrap();
    assert_eq!((told.failed_in_a_row, told.left), (0, 1));
    // He is told of again before long.
    let head = it.world.store.head(&it.tenant).await.unwrap();
    assert!(head.scim_due_at_ms.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_down_for_an_hour_loses_nothing_and_doubles_nothing() {
    let it = Provided::told(40).await;
    let ids = it.enabled(2);
    it.provider.is_down(true);
    it.set_enabled(ids[0], false);
    it.world.tenant.directory().add_people(5);
    it.sync_and_tell().await;
    let failed = it.world.store.scim(&it.tenant).await.unwrap();
    assert!(failed.failed_in_a_row > 0);
    // It is left in peace until it is time.
    let before = it.provider.requests();
    it.tell().await;
    assert_eq!(it.provider.requests(), before);
    it.set_enabled(ids[1], false);
    it.world.sync().await.unwrap();
    it.pass(HOUR_MS);
    it.tell().await;
    it.provider.is_down(false);
    it.pass(HOUR_MS);
    it.settle().await;
    it.equals().await;
    let told = it.world.store.scim(&it.tenant).await.unwrap();
    assert_eq!((told.failed_in_a_row, told.left), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_accounts_that_always_fail_end_a_telling_and_hold_up_nobody_for_good() {
    let it = Provided::start(40).await;
    let failing = it.enabled(FAILING);
    it.provider
        .fails_for(failing.iter().map(ToString::to_string));
    it.world.sync().await.unwrap();
    // A telling that they end leaves them for the last of the next.
    for _ in 0..2 {
        it.tell().await;
        it.pass(HOUR_MS);
    }
    let accounts = it.provider.accounts().await.unwrap();
    let on = it.world.active().await.unwrap();
    assert_eq!(accounts.len(), on - FAILING);
    it.provider.fails_for([]);
    it.settle().await;
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_forbids_is_left_in_peace_and_told_when_it_allows_again() {
    let it = Provided::start(12).await;
    it.provider.meets([ScimMeets::Forbidden; 60]);
    it.world.sync().await.unwrap();
    it.tell().await;
    let failed = it.world.store.scim(&it.tenant).await.unwrap();
    assert_eq!(failed.failed_in_a_row, 1);
    assert_eq!(it.provider.accounts().await.unwrap().len(), 0);
    let before = it.provider.requests();
    it.tell().await;
    assert_eq!(it.provider.requests(), before);
    it.provider.meets([]);
    it.pass(HOUR_MS);
    it.settle().await;
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_end_are_not_read_and_nobody_gets_two_accounts() {
    let it = Provided::start(12).await;
    it.provider.meets([ScimMeets::Flood; 16]);
    it.sync_and_tell().await;
    let failed = it.world.store.scim(&it.tenant).await.unwrap();
    assert_ne!(failed.left, 0);
    it.pass(HOUR_MS);
    it.settle().await;
    it.equals().await;
}

/// A gateway that wants a log-in answers in the provider's place, or one that takes requests for later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_does_not_speak_of_the_change_is_none_and_it_is_told_again() {
    for says in [
        ScimMeets::Says(StatusCode::OK, "<html>Log in</html>"),
        ScimMeets::Says(StatusCode::ACCEPTED, ""),
    ] {
        let it = Provided::told(12).await;
        let id = it.enabled(1)[0];
        it.provider.meets([says]);
        it.set_enabled(id, false);
        it.sync_and_tell().await;
        assert_eq!(it.account(id).await.unwrap()["active"], true);
        let told = it.world.store.scim(&it.tenant).await.unwrap();
        assert_eq!((told.failed_in_a_row, told.left), (1, 1));
        it.settle().await;
        it.equals().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_users_account_that_is_given_for_a_new_one_is_nobodys_and_he_gets_his_own() {
    let it = Provided::told(12).await;
    let id = it.world.tenant.directory().add_people(1)[0];
    // Nobody has an account of his: the third request creates it.
    let nothing = ScimMeets::Nothing;
    let anothers = r#"{"id":"hr-account","externalId":"hr-7"}"#;
    let given = ScimMeets::Says(StatusCode::OK, anothers);
    it.provider.meets([nothing, nothing, given]);
    it.sync_and_tell().await;
    assert_eq!(it.account(id).await, None);
    let told = it.world.store.scim(&it.tenant).await.unwrap();
    assert_eq!((told.failed_in_a_row, told.left), (0, 1));
    it.settle().await;
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_off_goes_off_though_his_new_login_name_is_anothers_and_the_rest_is_told_later() {
    let it = Provided::told(12).await;
    let id = it.enabled(1)[0];
    let schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"];
    let anothers = json!({ "schemas": schemas, "userName": "taken@contoso.com",
        "externalId": "hr-7", "active": true });
    let anothers = it.provider.create(anothers).await.unwrap();
    it.set_enabled(id, false);
    it.rename(id, "taken@contoso.com", "Taken");
    it.sync_and_tell().await;
    let account = it.account(id).await.unwrap();
    assert_eq!(account["active"], false);
    assert_ne!(account["userName"], "taken@contoso.com");
    let told = it.world.store.scim(&it.tenant).await.unwrap();
    assert_eq!((told.failed_in_a_row, told.left), (0, 1));
    it.provider
        .delete(anothers["id"].as_str().unwrap())
        .await
        .unwrap();
    it.settle().await;
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_found_by_the_token_of_another_workspace_is_told_of_again() {
    let it = Provided::told(12).await;
    let [leaver, renamed] = it.enabled(2)[..] else {
        panic!("nobody is on");
    };
    it.provider.is_elsewhere(true);
    it.set_enabled(leaver, false);
    it.rename(renamed, "another@contoso.com", "Another");
    it.sync_and_tell().await;
    let told = it.world.store.scim(&it.tenant).await.unwrap();
    assert_eq!((told.failed_in_a_row, told.left), (0, 2));
    it.provider.is_elsewhere(false);
    it.settle().await;
    assert_eq!(it.account(leaver).await.unwrap()["active"], false);
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_deleted_is_taken_for_gone_an_hour_after_it_was_missed() {
    let it = Provided::told(12).await;
    let [leaver, renamed] = it.enabled(2)[..] else {
        panic!("nobody is on");
    };
    for id in [leaver, renamed] {
        let account = it.account(id).await.unwrap();
        it.provider
            .delete(account["id"].as_str().unwrap())
            .await
            .unwrap();
    }
    it.set_enabled(leaver, false);
    it.rename(renamed, "another@contoso.com", "Another");
    it.sync_and_tell().await;
    assert_eq!(it.account(renamed).await, None);
    // A change in between is no reason to believe it.
    it.rename(renamed, "yet-another@contoso.com", "Another");
    it.sync_and_tell().await;
    assert_eq!(it.account(renamed).await, None);
    it.pass(HOUR_MS);
    it.settle().await;
    assert_eq!(it.account(renamed).await.unwrap()["active"], true);
    assert_eq!(it.account(leaver).await, None);
    it.equals().await;
    let told = it.world.store.scim(&it.tenant).await.unwrap();
    assert_eq!((told.failed_in_a_row, told.left), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_of_a_tenant_that_was_removed_is_told_nothing() {
    let it = Provided::told(12).await;
    it.decide(it.enabled(1)[0], Decision::Deactivate).await;
    assert!(it.world.store.remove_tenant(&it.tenant).await.unwrap());
    let before = it.provider.requests();
    it.tell().await;
    assert_eq!(it.provider.requests(), before);
}
