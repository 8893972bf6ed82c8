//! Whose account is told what.

use std::time::Duration;

use rollcall_core::by_hand::Decision;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Provided;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_user_who_is_on_has_one_account_that_is_as_he_is() {
    let it = Provided::told(30).await;
    it.equals().await;
    let ids = it.enabled(3);
    {
        let mut directory = it.world.tenant.directory();
        directory.set_account_enabled(ids[0], Some(false)).unwrap();
        directory
            .rename(ids[1], "other@contoso.com", "Other")
            .unwrap();
        directory.soft_delete(ids[2]).unwrap();
    }
    it.world.sync().await.unwrap();
    it.settle().await;
    it.equals().await;
    let active = |account: Option<Value>| account.unwrap()["active"].clone();
    assert_eq!(active(it.account(ids[0]).await), false);
    assert_eq!(active(it.account(ids[2]).await), false);
    it.set_enabled(ids[0], true);
    it.world.sync().await.unwrap();
    it.settle().await;
    it.equals().await;
    // Who is as he was told is not told again.
    let before = it.provider.requests();
    it.world.sync().await.unwrap();
    it.settle().await;
    assert_eq!(it.provider.requests(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_provider_is_told_of_those_too_who_are_off() {
    let it = Provided::start(12).await;
    it.world.sync().await.unwrap();
    let id = it.enabled(1)[0];
    it.set_enabled(id, false);
    it.world.sync().await.unwrap();
    // His account there is from the time before.
    let schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"];
    let other = Provided::start(0).await.provider;
    let old = json!({ "schemas": schemas, "userName": "old@contoso.com",
        "externalId": id.to_string(), "active": true });
    other.create(old).await.unwrap();
    it.world.put_settings(&other.settings()).await.unwrap();
    let it = Provided {
        provider: other,
        ..it
    };
    it.want().await;
    it.settle().await;
    assert_eq!(it.account(id).await.unwrap()["active"], false);
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_off_does_not_take_the_account_of_who_has_his_login_name_now() {
    let it = Provided::start(12).await;
    let [leaver, heir] = it.enabled(2)[..] else {
        panic!("nobody is on");
    };
    let name = {
        let mut directory = it.world.tenant.directory();
        let name = directory.get(leaver).unwrap().user_principal_name.clone();
        directory.set_account_enabled(leaver, Some(false)).unwrap();
        name.unwrap()
    };
    let schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"];
    let by_hand = json!({ "schemas": schemas, "userName": name, "active": true });
    it.provider.create(by_hand).await.unwrap();
    it.world.sync().await.unwrap();
    it.settle().await;
    let accounts = it.provider.accounts().await.unwrap();
    let his = accounts.iter().find(|it| it["userName"] == name.as_str());
    assert_eq!(his.unwrap()["active"], true);
    assert_eq!(it.account(leaver).await, None);
    assert_eq!(it.account(heir).await.unwrap()["active"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweeper_tells_what_nobody_rang_for() {
    let it = Provided::told(12).await;
    let id = it.enabled(1)[0];
    it.decide(id, Decision::Deactivate).await;
    let triggers = it.world.drive().await.unwrap();
    for _ in 0..6_000 {
        if it.account(id).await.unwrap()["active"] == false {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    triggers.stop().await;
    assert_eq!(it.account(id).await.unwrap()["active"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_made_by_hand_is_taken_over_and_anothers_is_left_alone() {
    let it = Provided::start(12).await;
    let ids = it.enabled(2);
    let names: Vec<_> = {
        let directory = it.world.tenant.directory();
        let name = |id: &Uuid| directory.get(*id)?.user_principal_name.clone();
        ids.iter().filter_map(name).collect()
    };
    let schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"];
    let by_hand = json!({ "schemas": schemas, "userName": names[0], "active": false });
    let by_hand = it.provider.create(by_hand).await.unwrap();
    let anothers =
        json!({ "schemas": schemas, "userName": names[1], "externalId": "hr-7", "active": true });
    it.provider.create(anothers).await.unwrap();
    it.sync_and_tell().await;
    assert_eq!(it.account(ids[0]).await.unwrap()["id"], by_hand["id"]);
    assert_eq!(it.account(ids[0]).await.unwrap()["active"], true);
    assert_eq!(it.account(ids[1]).await, None);
    let told = it.world.store.scim(&it.tenant).await.unwrap();
    assert_eq!((told.left, told.failed_in_a_row), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_decides_is_told() {
    let it = Provided::told(12).await;
    let id = it.enabled(1)[0];
    it.decide(id, Decision::Deactivate).await;
    it.settle().await;
    assert_eq!(it.account(id).await.unwrap()["active"], false);
    it.equals().await;
}
