//! What people decide about users.

use rollcall_core::by_hand::Decision;
use rollcall_core::status::{Reason, Status, StoredUser};
use rollcall_store::{Act, BatchLease, ByHand, Decided, StoreError};

use crate::values::{changed, created, id};
use crate::wire::Wire;
use crate::world::World;

/// A tenant with one user, whom a worker wrote.
async fn with_one_user() -> (World, BatchLease, StoredUser) {
    let world = World::start().await;
    let (_, batch) = world.working("t", &["a"]).await;
    let write = created(batch.run(), "a");
    let one = std::slice::from_ref(&write);
    world.store.write_users(&batch, one).await.unwrap();
    (world, batch, write.after)
}

#[tokio::test]
async fn a_decision_stands_in_the_history_with_who_decided() {
    let (world, batch, user) = with_one_user().await;
    let (store, tenant) = (&world.store, &batch.run().tenant);
    let decided = store.decide(tenant, &user.id, Decision::Deactivate, "grace");
    let Ok(Decided::Written(off)) = decided.await else {
        panic!("not written");
    };
    assert_eq!((off.status, off.reason), (Status::Inactive, Reason::Manual));
    // A sync goes on mirroring him.
    let renamed = changed(batch.run(), &off, |user| user.display_name = None);
    let one = std::slice::from_ref(&renamed);
    store.write_users(&batch, one).await.unwrap();
    let released = store.decide(tenant, &user.id, Decision::Release, "ada");
    let Ok(Decided::Written(now)) = released.await else {
        panic!("not written");
    };
    let history = store.history(tenant, &now).await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|entry| (entry.run, entry.by_hand.clone(), entry.before.as_ref()))
        .collect();
    let by = |by: &str, decision| {
        let by = by.to_owned();
        let act = Act::Decided(decision);
        Some(ByHand { by, act })
    };
    let expected = [
        (None, by("ada", Decision::Release), Some(&renamed.after)),
        (Some(1), None, Some(&off)),
        (None, by("grace", Decision::Deactivate), Some(&user)),
        (Some(1), None, None),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_decision_that_changes_nothing_writes_nothing() {
    let (world, batch, user) = with_one_user().await;
    let (store, tenant) = (&world.store, &batch.run().tenant);
    let before = world.dump().await;
    let released = store.decide(tenant, &user.id, Decision::Release, "ada");
    assert_eq!(released.await, Ok(Decided::Same(user)));
    let nobody = id("nobody");
    let nobody = store
        .decide(tenant, &nobody, Decision::Activate, "ada")
        .await;
    assert_eq!(nobody, Ok(Decided::Unknown));
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn a_decision_about_a_user_who_changes_meanwhile_is_made_on_what_he_is_now() {
    let (world, batch, user) = with_one_user().await;
    let wire = Wire::default();
    let renamed = changed(batch.run(), &user, |user| {
        user.display_name = Some("New".into());
    });
    let (store, write) = (world.store.clone(), renamed.clone());
    let of = batch.run().tenant.clone();
    wire.before("TransactWriteItems", async move {
        let one = std::slice::from_ref(&write);
        store.write_users(&batch, one).await.unwrap();
    });
    let decided = world
        .store_on(&wire)
        .decide(&of, &user.id, Decision::Deactivate, "ada")
        .await;
    let Ok(Decided::Written(off)) = decided else {
        panic!("{decided:?}");
    };
    assert_eq!(off.display_name.as_deref(), Some("New"));
    assert_eq!(off.version, renamed.after.version + 1);
}

#[tokio::test]
async fn no_worker_switches_on_or_off_at_the_version_before_a_decision() {
    let (world, batch, user) = with_one_user().await;
    let (store, tenant) = (&world.store, &batch.run().tenant);
    let late = changed(batch.run(), &user, |user| user.mail = None);
    let decided = store
        .decide(tenant, &user.id, Decision::Deactivate, "ada")
        .await;
    assert!(matches!(decided, Ok(Decided::Written(_))), "{decided:?}");
    let written = store.write_users(&batch, std::slice::from_ref(&late)).await;
    assert_eq!(written, Err(StoreError::Changed { what: "a user" }));
}

#[tokio::test]
async fn with_every_decision_it_is_written_that_the_provider_is_to_be_told() {
    let (world, batch, user) = with_one_user().await;
    let tenant = &batch.run().tenant;
    let due = async || world.store.head(tenant).await.unwrap().scim_due_at_ms;
    assert_eq!(due().await, None);
    // As it is when the command dies right after it.
    let wire = Wire::default();
    wire.lose_answer("TransactWriteItems");
    for decision in [Decision::Deactivate, Decision::Activate, Decision::Release] {
        world.clock.advance_ms(1_000);
        let store = world.store_on(&wire);
        let decided = store.decide(tenant, &user.id, decision, "ada").await;
        assert!(decided.is_ok(), "{decision:?}: {decided:?}");
        assert_eq!(due().await, Some(world.now_ms()), "{decision:?}");
    }
}

/// A run that is under way may have sorted him while the person's word stood.
#[tokio::test]
async fn whoever_is_released_is_decided_about_by_a_full_run_that_begins_afterwards() {
    let (world, batch, user) = with_one_user().await;
    let (store, run) = (&world.store, batch.run());
    for (decision, due) in [
        (Decision::Deactivate, None),
        (Decision::Release, Some(run.run + 1)),
    ] {
        let decided = store.decide(&run.tenant, &user.id, decision, "ada").await;
        assert!(matches!(decided, Ok(Decided::Written(_))), "{decided:?}");
        let head = store.head(&run.tenant).await.unwrap();
        assert_eq!(head.full_due, due, "{decision:?}");
    }
}
