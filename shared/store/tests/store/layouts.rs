//! Versions side by side: an item of a newer layout is refused, and what a newer version has added to one of
//! the same layout is left alone.

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::ids::TenantId;
use rollcall_store::{RunStep, StoreError};

use crate::values::{created, id};
use crate::world::{Item, LEASE_MS, World, batch_key, head_key, n, run_key, s};

const NEWER: u64 = 2;

fn refuses_the_newer<T: std::fmt::Debug>(read: Result<T, StoreError>) {
    match read {
        Err(StoreError::Newer {
            item,
            schema,
            known,
        }) => {
            assert_eq!((schema, known), (2, 1), "{item}");
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// The directory's items, past the store.
async fn users(world: &World) -> Vec<Item> {
    let items = world.dump().await.into_iter();
    items
        .filter(|((table, ..), _)| table == "directory")
        .map(|(_, item)| item)
        .collect()
}

#[tokio::test]
async fn a_user_of_a_newer_layout_is_refused_by_every_read() {
    let world = World::start().await;
    let (lease, batch) = world.working("t", &["a"]).await;
    let write = created(lease.run(), "a");
    world.store.write_users(&batch, &[write]).await.unwrap();
    let mut item = users(&world).await.remove(0);
    item.insert("schema".into(), n(NEWER));
    world.put_user(item).await;

    let tenant = TenantId::new("t").unwrap();
    let store = &world.store;
    refuses_the_newer(store.users(&tenant, &[id("a")]).await);
    refuses_the_newer(store.standings(&tenant, |_| ()).await);
}

#[tokio::test]
async fn a_run_head_or_batch_of_a_newer_layout_is_neither_read_nor_written() {
    let world = World::start().await;
    let lease = world.draining("t", &["a"]).await;
    let run = lease.run();
    world.clock.advance_ms(LEASE_MS + 1);
    for key in [run_key(run), head_key("t"), batch_key(run, 1, 1)] {
        world.set(&key, "schema", n(NEWER)).await;
    }
    let before = world.dump().await;

    let store = &world.store;
    refuses_the_newer(store.run(run).await);
    refuses_the_newer(store.acquire_run(run, RunStep::Finalize, "old").await);
    refuses_the_newer(store.acquire_batch(run, 1, 1, "old").await);
    refuses_the_newer(store.batches(run, None).await);
    refuses_the_newer(store.head(&TenantId::new("t").unwrap()).await);

    assert_eq!(world.dump().await, before);
}

/// What the first versions wrote.
#[tokio::test]
async fn an_item_without_a_layout_has_the_first_one() {
    let world = World::start().await;
    let (lease, batch) = world.working("t", &["a"]).await;
    let write = created(lease.run(), "a");
    world.store.write_users(&batch, &[write]).await.unwrap();
    let mut item = users(&world).await.remove(0);
    assert_eq!(item.remove("schema"), Some(n(1)));
    world.put_user(item).await;

    let tenant = TenantId::new("t").unwrap();
    let found = world.store.users(&tenant, &[id("a")]).await.unwrap();
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn what_a_newer_version_has_added_to_a_run_stays_when_this_one_writes_it() {
    let world = World::start().await;
    let lease = world.draining("t", &["a"]).await;
    let key = run_key(lease.run());
    let added = AttributeValue::M([("of".to_owned(), s("tomorrow"))].into());
    world.set(&key, "added", added.clone()).await;
    let batch = world.batch_lease(lease.run(), 1, 1, "worker").await;
    world.finish(&batch, 1).await;
    world.clock.advance_ms(LEASE_MS + 1);

    world.lease(lease.run(), RunStep::Finalize, "old").await;

    let items = world.items_of("run").await;
    let (_, item) = items.iter().find(|(k, _)| *k == key).unwrap();
    assert_eq!(item.get("added"), Some(&added));
}
