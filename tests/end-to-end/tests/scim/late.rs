//! Requests without an answer, and those that come late.

use std::collections::BTreeSet;

use rollcall_core::by_hand::Decision;
use rollcall_end_to_end::scim::ScimMeets;
use rollcall_end_to_end::{Handler, TENANT, call_once, sqs_event};
use rollcall_store::SCIM_LEASE_MS;
use serde_json::json;
use uuid::Uuid;

use crate::{HOUR_MS, Provided, Slow};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_makes_no_second_account() {
    let it = Provided::start(12).await;
    it.world.sync().await.unwrap();
    it.provider.meets([ScimMeets::LostAnswer; 60]);
    it.tell().await;
    it.provider.meets([]);
    it.pass(HOUR_MS);
    it.settle().await;
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_may_still_come_is_waited_for_under_whatever_name_and_no_second_one_is_made()
 {
    for meets in [ScimMeets::Late, ScimMeets::LostAnswer] {
        let it = Provided::told(12).await;
        let id = it.world.tenant.directory().add_people(1)[0];
        // Nobody has an account of his: the third request creates it.
        let nothing = ScimMeets::Nothing;
        it.provider.meets([nothing, nothing, meets]);
        it.sync_and_tell().await;
        it.world
            .tenant
            .directory()
            .rename(id, "another@contoso.com", "Another")
            .unwrap();
        it.sync_and_tell().await;
        if meets == ScimMeets::Late {
            assert_eq!(it.account(id).await, None);
            assert_eq!(it.provider.late().await.unwrap(), 1);
        }
        it.pass(HOUR_MS);
        it.settle().await;
        it.equals().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_a_dead_sender_asked_for_is_waited_for_as_well() {
    let it = Provided::told(12).await;
    let id = it.world.tenant.directory().add_people(1)[0];
    it.provider
        .meets([ScimMeets::Nothing, ScimMeets::Nothing, ScimMeets::Hangs]);
    // Whoever tells first, in the run or after it, hangs and dies.
    let sync = async {
        it.sync_and_tell().await;
    };
    tokio::select! {
        () = sync => panic!("nothing hung"),
        () = it.provider.hangs() => {}
    }
    it.rename(id, "another@contoso.com", "Another");
    it.pass(SCIM_LEASE_MS);
    it.sync_and_tell().await;
    assert_eq!(it.account(id).await, None);
    assert_eq!(it.provider.late().await.unwrap(), 1);
    it.pass(HOUR_MS);
    it.settle().await;
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_late_request_undoes_is_told_once_more_though_he_changed_in_between() {
    let it = Provided::told(12).await;
    let id = it.enabled(1)[0];
    // The first of three attempts is on its way, the second is taken.
    it.provider.meets([ScimMeets::Late]);
    it.rename(id, "late@contoso.com", "Late");
    it.sync_and_tell().await;
    it.set_enabled(id, false);
    it.sync_and_tell().await;
    assert_eq!(it.account(id).await.unwrap()["active"], false);
    assert_eq!(it.provider.late().await.unwrap(), 1);
    assert_eq!(it.account(id).await.unwrap()["active"], true);
    it.settle().await;
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_comes_late_has_not_the_last_word() {
    let it = Provided::told(12).await;
    let id = it.enabled(1)[0];
    // That he is on, under another name, is on its way until he is off.
    it.provider.meets([ScimMeets::Late; 3]);
    it.rename(id, "late@contoso.com", "Late");
    it.sync_and_tell().await;
    it.set_enabled(id, false);
    it.sync_and_tell().await;
    assert_eq!(it.account(id).await.unwrap()["active"], false);
    assert_eq!(it.provider.late().await.unwrap(), 3);
    assert_eq!(it.account(id).await.unwrap()["active"], true);
    it.pass(HOUR_MS);
    it.settle().await;
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_telling_whose_time_is_up_is_gone_on_with_at_once() {
    let it = Provided::start(100).await;
    it.provider.is_down(true);
    it.world.sync().await.unwrap();
    it.provider.is_down(false);
    let on = it.world.active().await.unwrap();
    let slow = it.world.ambient.with_clock(Slow(HOUR_MS.into()));
    let event = sqs_event(&json!({ "tell": TENANT }));
    let answer = call_once(it.world.app_at(&slow), Handler::Finalizer, event).await;
    assert_eq!(answer.unwrap(), json!({ "batchItemFailures": [] }));
    let told = it.provider.accounts().await.unwrap().len();
    assert!(told > 0 && told < on, "{told} of {on}");
    // Nobody waits for its lease.
    it.pass(HOUR_MS);
    it.tell().await;
    it.equals().await;
}

/// Each telling would begin with those who changed since the last one, and never come to the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_changes_between_all_tellings_keeps_nobody_from_being_told_of() {
    const TELLINGS_MAX: u64 = 24;
    let it = Provided::start(100).await;
    it.provider.is_down(true);
    it.world.sync().await.unwrap();
    it.provider.is_down(false);
    let on = it.world.active().await.unwrap();
    let mut known = BTreeSet::new();
    for telling in 1..=TELLINGS_MAX {
        let slow = it
            .world
            .ambient
            .with_clock(Slow((telling * HOUR_MS).into()));
        let event = sqs_event(&json!({ "tell": TENANT }));
        let answer = call_once(it.world.app_at(&slow), Handler::Finalizer, event).await;
        assert_eq!(answer.unwrap(), json!({ "batchItemFailures": [] }));
        for account in it.provider.accounts().await.unwrap() {
            let id: Uuid = account["externalId"].as_str().unwrap().parse().unwrap();
            let is_on = account["active"] == true;
            known.insert(id);
            it.decide(
                id,
                if is_on {
                    Decision::Deactivate
                } else {
                    Decision::Activate
                },
            )
            .await;
        }
        if known.len() == on {
            return;
        }
    }
    panic!("{} of {on} were told of", known.len());
}
