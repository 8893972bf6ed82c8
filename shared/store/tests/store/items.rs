//! What holds for all items: their time to live, what they cost, and that nothing deletes them.

use std::collections::BTreeSet;
use std::path::Path;

use rollcall_core::run::RunMode;
use rollcall_store::{Capacity, RETENTION_DAYS};

use crate::values::{created, id, plan, streak};
use crate::world::{START_MS, World};

const OF_A_RUN: [&str; 6] = ["run", "snapshot", "batch", "page", "plan", "journal"];
const KEPT: [&str; 3] = ["tenants", "head", "streak"];

/// One run with everything that a run can write, held at its end.
async fn whole_run(world: &World) {
    let (lease, batch) = world.working("t", &["a"]).await;
    let writes = [created(lease.run(), "a")];
    world.store.write_users(&batch, &writes).await.unwrap();
    world.finish(&batch, 1).await;
    world.store.begin_finalizing(&lease).await.unwrap();
    let streaks = [(id("gone"), streak(1, 1))];
    world.store.record_streaks(&lease, &streaks).await.unwrap();
    let plan = plan(lease.run(), &[(id("a"), 1)]);
    let head = world.store.head(&lease.run().tenant).await.unwrap();
    let stored = world
        .store
        .store_plan(&lease, &plan, 1, (RunMode::Full, &head));
    stored.await.unwrap();
    world.hold(&lease).await;
}

#[tokio::test]
async fn what_belongs_to_a_run_expires_and_nothing_else_does() {
    let world = World::start().await;
    whole_run(&world).await;
    let not_before_s = START_MS / 1_000 + RETENTION_DAYS * 86_400;
    let mut kinds = BTreeSet::new();
    for ((table, pk, sk), item) in world.dump().await {
        let kind = pk.split('#').next().unwrap().to_owned();
        let ttl = item.get("ttl");
        if table == "directory" || KEPT.contains(&kind.as_str()) {
            assert_eq!(ttl, None, "{table} {pk} {sk}");
        } else {
            let ttl: u64 = ttl.unwrap().as_n().unwrap().parse().unwrap();
            assert!(ttl >= not_before_s, "{pk} {sk} expires at {ttl}");
        }
        if table == "coordination" {
            kinds.insert(kind);
        }
    }
    let all = OF_A_RUN.into_iter().chain(KEPT).map(str::to_owned);
    assert_eq!(kinds, all.collect());
}

#[tokio::test]
async fn the_capacity_that_dynamodb_says_it_consumed_is_counted() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    let before = world.store.capacity();
    assert!(before.read_units > 0.0 && before.write_units > 0.0);

    let store = world.store.metered();
    assert_eq!(store.capacity(), Capacity::default());
    // A strong read of up to 4 KB is one unit, one that may be behind half of it.
    store.run(run.run()).await.unwrap();
    let reads = store.capacity().read_units;
    assert!((reads - 1.0).abs() < f64::EPSILON, "{reads}");
    // Two writes and a check in a transaction, each two units, and the index's own.
    let writes = [created(run.run(), "a")];
    store.write_users(&batch, &writes).await.unwrap();
    let writes = store.capacity().write_units;
    assert!(writes >= 6.0, "{writes}");
    // A clone counts into the same sums.
    store.clone().keep_run(&run).await.unwrap();
    assert!(store.capacity().write_units > writes);
    // The whole counts what its part does, and not the other way round.
    let part = store.capacity();
    let whole = Capacity {
        read_units: before.read_units + part.read_units,
        write_units: before.write_units + part.write_units,
    };
    assert_eq!(world.store.capacity(), whole);
    world.store.keep_run(&run).await.unwrap();
    assert_eq!(store.capacity(), part);
    for read in [
        store.users(&run.run().tenant, &[id("a")]).await.map(drop),
        store.batches(run.run(), None).await.map(drop),
    ] {
        read.unwrap();
    }
    assert!(store.capacity().read_units >= 3.0);
}

/// Nothing that coordinates is ever deleted by code: the words for it are not in the sources.
#[test]
fn no_source_of_the_store_can_delete() {
    let words = [
        "delete_item",
        "batch_write_item",
        "delete_table",
        "execute_statement",
        "execute_transaction",
        "Delete::",
        "DeleteRequest",
        ".delete(",
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.is_file(), "{} is not looked into", path.display());
        let source = std::fs::read_to_string(&path).unwrap();
        let found: Vec<_> = words.iter().filter(|w| source.contains(**w)).collect();
        assert!(found.is_empty(), "{}: {found:?}", path.display());
        read += usize::from(source.contains("Store"));
    }
    assert!(read > 10);
}

#[tokio::test]
async fn expiry_is_switched_on_where_the_store_makes_its_tables() {
    let world = World::start().await;
    let mut enabled = Vec::new();
    for table in ["directory", "coordination"] {
        let asked = world.client.describe_time_to_live().table_name(table);
        let described = asked.send().await.unwrap();
        let expiry = described.time_to_live_description().unwrap();
        enabled.push(expiry.attribute_name().map(str::to_owned));
    }
    assert_eq!(enabled, [None, Some("ttl".to_owned())]);
}
