//! A service provider that takes nothing, or not everything.

use crate::{HOUR_MS, Provided};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_account_that_always_fails_holds_up_nobody() {
    let it = Provided::start(60).await;
    it.provider.fails_for(it.enabled(1)[0].to_string());
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
