//! Users, their before-images, and the login index.

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::status::{Reason, Status, StoredUser};
use rollcall_store::{
    STANDING_INDEX, StoreError, UserStanding, UserWrite, WRITES_PER_TRANSACTION_MAX,
};

use crate::values::{changed, created, id, new_user};
use crate::wire::Wire;
use crate::world::{World, n, s};

async fn user(world: &World, tenant: &TenantId, name: &str) -> Option<StoredUser> {
    let users = world.store.users(tenant, &[id(name)]).await.unwrap();
    assert!(users.len() <= 1);
    users.into_iter().next()
}

#[tokio::test]
async fn a_user_reads_back_as_he_was_written() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    let full = created(run.run(), "a");
    let mut bare = created(run.run(), "b");
    bare.after = StoredUser {
        status: Status::Inactive,
        reason: Reason::Disabled,
        status_run: None,
        user_principal_name: None,
        mail: None,
        display_name: None,
        account_enabled: None,
        user_type: None,
        in_scope: false,
        attributes: std::collections::BTreeMap::new(),
        last_change: None,
        decided_version: None,
        ..bare.after
    };
    let writes = [full.clone(), bare.clone()];
    world.store.write_users(&batch, &writes).await.unwrap();
    let tenant = &run.run().tenant;
    assert_eq!(user(&world, tenant, "a").await, Some(full.after.clone()));
    assert_eq!(user(&world, tenant, "b").await, Some(bare.after.clone()));
    assert_eq!(user(&world, tenant, "c").await, None);

    let mut all = Vec::new();
    let take = |user| {
        all.push(user);
        Ok(())
    };
    world.store.all_users(tenant, take).await.unwrap();
    all.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(all, [full.after.clone(), bare.after.clone()]);

    let mut standings = Vec::new();
    let take = |standing| standings.push(standing);
    world.store.standings(tenant, take).await.unwrap();
    standings.sort_by(|one: &UserStanding, other| one.id.cmp(&other.id));
    let change = full.after.last_change.map(|last| (last.run, last.kind));
    let expected = [
        (&full.after, change, "contoso.com"),
        (&bare.after, None, ""),
    ];
    let expected = expected.map(|(user, last_change, domain)| UserStanding {
        id: user.id.clone(),
        standing: user.standing(),
        last_change,
        domain: domain.to_owned(),
    });
    assert_eq!(standings, expected);
}

/// A run reads it twice for everybody: what it has of a user is what a run costs.
#[tokio::test]
async fn the_index_that_a_run_streams_has_a_hundred_bytes_of_a_user() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    let mut write = created(run.run(), "a");
    write.after.id = ObjectId::new("6babcaad-604b-40ac-a9d7-9fd97c0b779f").unwrap();
    world.store.write_users(&batch, &[write]).await.unwrap();
    let mut items = Vec::new();
    let scan = world.client.scan().table_name("directory");
    let mut pages = scan
        .index_name(STANDING_INDEX)
        .into_paginator()
        .items()
        .send();
    while let Some(item) = pages.next().await {
        items.push(item.unwrap());
    }
    let [item] = items.as_slice() else {
        panic!("{items:?}");
    };
    let mut names: Vec<_> = item.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["pk", "schema", "sk", "standing"]);
    let bytes = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        _ => 2,
    };
    let sum: usize = item.iter().map(|(name, it)| name.len() + bytes(it)).sum();
    assert!(sum <= 110, "{sum}");
}

#[tokio::test]
async fn a_worker_can_switch_nobody_off() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    let write = created(run.run(), "a");
    world
        .store
        .write_users(&batch, std::slice::from_ref(&write))
        .await
        .unwrap();
    let wire = Wire::default();
    let store = world.store_on(&wire);
    let off = changed(run.run(), &write.after, |u| u.status = Status::Inactive);
    let writes = [created(run.run(), "b"), off];
    let before = world.dump().await;
    let refused = store.write_users(&batch, &writes).await;
    assert!(
        matches!(refused, Err(StoreError::Invalid(_))),
        "{refused:?}"
    );
    assert_eq!(world.dump().await, before);
    assert_eq!(wire.sent("TransactWriteItems"), 0);
}

#[tokio::test]
async fn a_user_who_changed_since_he_was_read_is_not_written() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    let first = created(run.run(), "a");
    let write = async |write: &UserWrite| {
        // Beside another who could be written: all or nothing.
        let writes = [created(run.run(), "b"), write.clone()];
        world.store.write_users(&batch, &writes).await
    };
    let changed_error = StoreError::Changed { what: "a user" };
    let one = [first.clone()];
    world.store.write_users(&batch, &one).await.unwrap();
    world.refuses("again", &changed_error, write(&first)).await;
    let second = changed(run.run(), &first.after, |u| u.mail = None);
    let one = [second.clone()];
    world.store.write_users(&batch, &one).await.unwrap();
    let stale = changed(run.run(), &first.after, |u| u.display_name = None);
    world.refuses("stale", &changed_error, write(&stale)).await;
    let gone = changed(run.run(), &new_user(run.run(), "c"), |u| u.mail = None);
    world.refuses("missing", &changed_error, write(&gone)).await;
}

#[tokio::test]
async fn a_before_image_stands_in_the_transaction_of_its_write() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    let first = created(run.run(), "a");
    let one = [first.clone()];
    world.store.write_users(&batch, &one).await.unwrap();
    let second = changed(run.run(), &first.after, |u| u.mail = None);
    let one = [second.clone()];
    world.store.write_users(&batch, &one).await.unwrap();

    // Two writes of one user in one run keep both.
    let images = world.items_of("journal").await;
    let keys: Vec<_> = images.iter().map(|(key, _)| key.1.as_str()).collect();
    assert_eq!(keys, ["a#0000000000", "a#0000000001"]);
    assert!(!images[0].1.contains_key("before"));
    let image: StoredUser = serde_json::from_str(images[1].1["before"].as_s().unwrap()).unwrap();
    assert_eq!(image, first.after);
}

#[tokio::test]
async fn a_before_image_is_never_written_over_and_without_one_nobody_is_written() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    // In each of the journal's partitions, one of which is the user's.
    for shard in 0..8 {
        let image = [
            ("pk".to_owned(), s(&format!("journal#t#1#{shard}"))),
            ("sk".to_owned(), s("a#0000000000")),
            ("at".to_owned(), n(1)),
        ];
        world.put(image.into()).await;
    }
    let writes = [created(run.run(), "a")];
    let refused = StoreError::Changed {
        what: "a user's before-image",
    };
    let write = world.store.write_users(&batch, &writes);
    world.refuses("write_users", &refused, write).await;
}

#[tokio::test]
async fn a_users_history_is_followed_back_over_runs_and_writes() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    let mut writes = vec![created(run.run(), "a")];
    writes.push(changed(run.run(), &writes[0].after, |u| u.mail = None));
    for write in &writes {
        let one = std::slice::from_ref(write);
        world.store.write_users(&batch, one).await.unwrap();
        world.clock.advance_ms(1_000);
    }
    world.fail(&run).await;
    let (later, batch) = world.working("t", &["a"]).await;
    assert_eq!(later.run().run, 2);
    let third = changed(later.run(), &writes[1].after, |u| u.display_name = None);
    let one = std::slice::from_ref(&third);
    world.store.write_users(&batch, one).await.unwrap();
    writes.push(third);

    let tenant = &run.run().tenant;
    let last = user(&world, tenant, "a").await.unwrap();
    let history = world.store.history(tenant, &last).await.unwrap();
    let found: Vec<_> = history
        .iter()
        .map(|entry| (entry.run, entry.before.as_ref(), &entry.after))
        .collect();
    let expected: Vec<_> = [(2, &writes[2]), (1, &writes[1]), (1, &writes[0])]
        .into_iter()
        .map(|(run, write)| (Some(run), write.before.as_ref(), &write.after))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(history[0].at_ms - history[2].at_ms, 2_000);
    assert!(history.iter().all(|entry| entry.evidence.is_none()));
}

#[tokio::test]
async fn a_transaction_holds_49_users_and_no_more() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    assert_eq!(WRITES_PER_TRANSACTION_MAX, 49);
    let writes: Vec<_> = (0..50)
        .map(|number| created(run.run(), &format!("u{number}")))
        .collect();
    let before = world.dump().await;
    let refused = world.store.write_users(&batch, &writes).await;
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "{refused:?}"
    );
    assert_eq!(world.dump().await, before);
    let written = world.store.write_users(&batch, &writes[..49]).await;
    assert_eq!(written, Ok(()));
    assert_eq!(world.items_of("journal").await.len(), 49);
}

#[tokio::test]
async fn a_user_is_found_by_his_login_name_in_any_case_and_by_the_new_one_after_a_rename() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    let tenant = &run.run().tenant;
    let mut first = created(run.run(), "a");
    first.after.user_principal_name = Some("Zoë.Ärmel@Contoso.com".into());
    let one = [first.clone()];
    world.store.write_users(&batch, &one).await.unwrap();
    let find = async |name: &str| {
        let found = world.store.users_by_login(tenant, name).await.unwrap();
        let ids = found.into_iter().map(|user| user.id);
        ids.collect::<Vec<_>>()
    };
    for name in ["zoë.ärmel@contoso.com", "ZOË.ÄRMEL@CONTOSO.COM"] {
        assert_eq!(find(name).await, [id("a")], "{name}");
    }
    let renamed = changed(run.run(), &first.after, |u| {
        u.user_principal_name = Some("zoe@contoso.com".into());
    });
    // Somebody else gets the name that is free now, and nobody is found by a name that was taken
    // away.
    let mut other = created(run.run(), "b");
    other.after.user_principal_name = Some("Zoë.Ärmel@contoso.com".into());
    let writes = [renamed.clone(), other];
    world.store.write_users(&batch, &writes).await.unwrap();
    assert_eq!(find("zoe@contoso.com").await, [id("a")]);
    assert_eq!(find("zoë.ärmel@contoso.com").await, [id("b")]);
    let nameless = changed(run.run(), &renamed.after, |u| {
        u.user_principal_name = None;
    });
    world.store.write_users(&batch, &[nameless]).await.unwrap();
    assert_eq!(find("zoe@contoso.com").await, []);
    // Nor while the index shows it still.
    let wire = Wire::default();
    let (store, freed) = (world.store.clone(), batch.clone());
    let b = world
        .store
        .users(tenant, &[id("b")])
        .await
        .unwrap()
        .remove(0);
    let without = changed(run.run(), &b, |u| {
        u.user_principal_name = Some("other@contoso.com".into());
    });
    wire.before("BatchGetItem", async move {
        store.write_users(&freed, &[without]).await.unwrap();
    });
    let found = world
        .store_on(&wire)
        .users_by_login(tenant, "zoë.ärmel@contoso.com")
        .await;
    assert!(wire.is_done());
    assert_eq!(found.unwrap(), []);
    // Another tenant's users are not ours.
    let stranger = TenantId::new("t2").unwrap();
    let found = world
        .store
        .users_by_login(&stranger, "zoë.ärmel@contoso.com")
        .await;
    assert_eq!(found.unwrap(), []);
}
