//! A list is read to its end, or it is an error: never a shorter list.

use rollcall_core::run::RunState;
use rollcall_store::StoreError;
use serde_json::{Value, json};

use crate::values::{created, id, settings};
use crate::wire::Wire;
use crate::world::{World, batch_key, run_key, s};

fn left_unprocessed(names: &[&str]) -> String {
    let keys: Vec<Value> = names
        .iter()
        .map(|name| json!({ "pk": { "S": "t#0" }, "sk": { "S": name } }))
        .collect();
    json!({
        "Responses": { "directory": [] },
        "UnprocessedKeys": { "directory": { "Keys": keys, "ConsistentRead": true } },
    })
    .to_string()
}

#[tokio::test]
async fn a_list_longer_than_one_answer_is_read_to_its_end() {
    let world = World::start().await;
    let lease = world.draining("t", &["a"]).await;
    let (_, item) = world.items_of("batch").await.remove(0);
    for page in 2..=6 {
        let mut copy = item.clone();
        copy.insert("sk".into(), s(&batch_key(lease.run(), 1, page).1));
        // An answer of DynamoDB has at most 1 MB.
        copy.insert("padding".into(), s(&"x".repeat(300_000)));
        world.put(copy).await;
    }
    let wire = Wire::default();
    let batches = world.store_on(&wire).batches(lease.run(), None).await;
    assert_eq!(batches.unwrap().len(), 6);
    assert!(wire.sent("Query") > 1);
}

#[tokio::test]
async fn only_the_batches_of_the_generation_that_was_asked_for_are_read() {
    let world = World::start().await;
    let lease = world.draining("t", &["a"]).await;
    let (_, item) = world.items_of("batch").await.remove(0);
    for generation in [2, 10, 11] {
        let mut copy = item.clone();
        copy.insert("sk".into(), s(&batch_key(lease.run(), generation, 1).1));
        copy.insert("generation".into(), crate::world::n(generation.into()));
        world.put(copy).await;
    }
    for generation in [1, 2, 10] {
        let batches = world.store.batches(lease.run(), Some(generation)).await;
        let found: Vec<_> = batches.unwrap().iter().map(|b| b.generation).collect();
        assert_eq!(found, [generation]);
    }
}

#[tokio::test]
async fn more_keys_than_one_request_takes_are_all_read() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    let names: Vec<_> = (0..130).map(|number| format!("u{number}")).collect();
    for chunk in names.chunks(40) {
        let writes: Vec<_> = chunk.iter().map(|name| created(run.run(), name)).collect();
        world.store.write_users(&batch, &writes).await.unwrap();
    }
    let ids: Vec<_> = names.iter().map(|name| id(name)).collect();
    let users = world.store.users(&run.run().tenant, &ids).await.unwrap();
    assert_eq!(users.len(), names.len());
}

#[tokio::test]
async fn keys_that_dynamodb_left_unprocessed_are_asked_for_again() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    let writes = [created(run.run(), "a")];
    world.store.write_users(&batch, &writes).await.unwrap();
    let users = world.dump().await;
    let ((_, shard, _), _) = users.iter().find(|((t, ..), _)| t == "directory").unwrap();
    let wire = Wire::default();
    for _ in 0..3 {
        let body = left_unprocessed(&["a"]).replace("t#0", shard);
        wire.answer("BatchGetItem", 200, &body);
    }
    let store = world.store_on(&wire);
    let users = store.users(&run.run().tenant, &[id("a")]).await.unwrap();
    assert_eq!(users.len(), 1);
    assert_eq!(wire.sent("BatchGetItem"), 4);
}

#[tokio::test]
async fn keys_that_stay_unprocessed_are_an_error_and_not_a_shorter_list() {
    let world = World::start().await;
    let wire = Wire::default();
    for _ in 0..10 {
        wire.answer("BatchGetItem", 200, &left_unprocessed(&["a"]));
    }
    let tenant = settings("t").id;
    // Each pause is as long as it may be: 25 ms, doubled nine times.
    let store = world.store_that_draws(&wire, u64::MAX);
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let refused = store.users(&tenant, &[id("a")]).await;
    let elapsed_ms = start.elapsed().as_millis();
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(wire.is_done());
    let bound_ms = 25 * ((1 << 9) - 1);
    assert!(
        (bound_ms..bound_ms + 20).contains(&elapsed_ms),
        "{elapsed_ms}"
    );
}

#[tokio::test]
async fn an_item_with_an_odd_or_missing_attribute_is_corrupt_and_says_which() {
    let world = World::start().await;
    let lease = world.draining("t", &["a"]).await;
    let run = run_key(lease.run());
    world.set(&run, "state", s("SLEEPING")).await;
    match world.store.run(lease.run()).await {
        Err(StoreError::Corrupt { item, detail }) => {
            assert_eq!(item, "run#t 0000000001");
            assert!(detail.starts_with("state "), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    world.set_run_state(lease.run(), RunState::Draining).await;
    let batch = batch_key(lease.run(), 1, 1);
    world.set(&batch, "sightings", s("many")).await;
    let batches = world.store.batches(lease.run(), None).await;
    assert!(matches!(batches, Err(StoreError::Corrupt { .. })));
    let (_, mut item) = world.items_of("batch").await.remove(0);
    item.remove("sightings");
    world.put(item).await;
    let batches = world.store.batches(lease.run(), None).await;
    assert!(matches!(batches, Err(StoreError::Corrupt { .. })));
}
