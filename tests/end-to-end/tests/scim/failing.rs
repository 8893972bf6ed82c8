//! A service provider that takes nothing, or not everything.

use rollcall_core::by_hand::Decision;
use rollcall_end_to_end::scim::ScimMeets;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_of_a_tenant_that_was_removed_is_told_nothing() {
    let it = Provided::told(12).await;
    it.decide(it.enabled(1)[0], Decision::Deactivate).await;
    assert!(it.world.store.remove_tenant(&it.tenant).await.unwrap());
    let before = it.provider.requests();
    it.tell().await;
    assert_eq!(it.provider.requests(), before);
}
