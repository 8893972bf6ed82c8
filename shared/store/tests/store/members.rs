//! The members of the scope's groups: noted once a run, under its lease, and read back whole or not
//! at all.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::ids::{ObjectId, RunRef};
use rollcall_core::members::{Members, MembersSeal};
use rollcall_core::page::PageDigest;
use rollcall_core::run::RunState;
use rollcall_store::{ChainEnd, RunStep, StoreError, Usage};

use crate::values::{last_page, members_of};
use crate::world::{LEASE_MS, World, commit, n};

/// More members than one item holds.
fn many(run: &RunRef) -> Members {
    let listed: Vec<_> = (0..50_000)
        .map(|nth| ObjectId::new(&format!("u{nth}")).unwrap())
        .collect();
    let mut members = Members::new();
    members.add(run, &listed);
    members
}

#[tokio::test]
async fn members_are_noted_in_the_run_and_read_back_whole() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    assert_eq!(world.record(lease.run()).await.members, None);
    let members = many(lease.run());
    let noted = world
        .store
        .put_members(&lease, &members, &Usage::default())
        .await;
    let seal = noted.unwrap();
    let record = world.record(lease.run()).await;
    assert_eq!((seal.count, record.members), (50_000, Some(seal.clone())));
    let chunks = world.items_of("members").await;
    assert_eq!(chunks.len(), 3);
    // They go when the run's other items go.
    assert!(
        chunks
            .iter()
            .all(|(_, item)| item["ttl"] == n(record.ttl_s))
    );
    let read = world.store.members(lease.run(), &seal).await.unwrap();
    assert!(read == members);
}

#[tokio::test]
async fn of_two_copies_that_read_the_groups_one_notes_them_and_the_other_goes_on_with_those() {
    let world = World::start().await;
    let first = world.enumerating("t").await;
    let run = first.run().clone();
    let (by_first, by_second) = (members_of(&run, &["a", "b"]), members_of(&run, &["a", "c"]));
    world.clock.advance_ms(LEASE_MS);
    let second = world.lease(&run, RunStep::Enumerate, "second").await;
    let usage = Usage::default();
    // Whoever lost the lease notes nothing, not even a part.
    let lost = StoreError::LostLease;
    let late = world.store.put_members(&first, &by_first, &usage);
    world.refuses("the first copy", &lost, late).await;
    let noted = world.store.put_members(&second, &by_second, &usage).await;
    let seal = noted.unwrap();
    // Nor does anybody note others, or the same again, once they are noted.
    for members in [&by_first, &by_second] {
        let again = world.store.put_members(&second, members, &usage);
        world.refuses("again", &lost, again).await;
    }
    world.clock.advance_ms(LEASE_MS);
    let third = world.lease(&run, RunStep::Enumerate, "third").await;
    let record = world.record(third.run()).await;
    assert_eq!(record.members, Some(seal.clone()));
    assert_eq!(world.store.members(&run, &seal).await, Ok(by_second));
}

#[tokio::test]
async fn parts_that_a_crash_left_are_no_members() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let members = members_of(lease.run(), &["a"]);
    let usage = Usage::default();
    let seal = world.store.put_members(&lease, &members, &usage).await;
    let seal = seal.unwrap();
    let parts = world.items_of("members").await;
    // The same parts without the commit, in the next run.
    world.fail(&lease).await;
    world.store.close_failed_run(&lease).await.unwrap();
    let next = world.enumerating("t").await;
    for (_, mut item) in parts {
        item.insert("pk".into(), AttributeValue::S("members#t#2".into()));
        world.put(item).await;
    }
    assert_eq!(world.record(next.run()).await.members, None);
    let others = members_of(next.run(), &["b"]);
    let noted = world.store.put_members(&next, &others, &usage).await;
    let noted = noted.unwrap();
    assert_ne!(noted.digest, seal.digest);
    assert_eq!(world.store.members(next.run(), &noted).await, Ok(others));
}

#[tokio::test]
async fn members_are_noted_while_the_run_enumerates_and_not_later() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let members = members_of(lease.run(), &["a"]);
    for state in RunState::ALL {
        if state == RunState::Enumerating {
            continue;
        }
        world.set_run_state(lease.run(), state).await;
        let (usage, lost) = (Usage::default(), StoreError::LostLease);
        let late = world.store.put_members(&lease, &members, &usage);
        world.refuses(state.stored_name(), &lost, late).await;
    }
    world
        .set_run_state(lease.run(), RunState::Enumerating)
        .await;
    commit(
        &world.store,
        &lease,
        &ChainEnd::start(1),
        &crate::values::page_before_others(),
    )
    .await
    .unwrap();
    let noted = world
        .store
        .put_members(&lease, &members, &Usage::default())
        .await;
    assert!(noted.is_ok());
    // They are the run's, whatever generation it is in.
    let end = ChainEnd::of(&world.record(lease.run()).await);
    world
        .store
        .new_generation(&lease, &end, None)
        .await
        .unwrap();
    commit(&world.store, &lease, &ChainEnd::start(2), &last_page())
        .await
        .unwrap();
    assert_eq!(
        world.record(lease.run()).await.members,
        Some(noted.unwrap())
    );
}

#[tokio::test]
async fn members_that_are_not_whole_are_corrupt_and_never_nobody() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let usage = Usage::default();
    let members = many(lease.run());
    let noted = world.store.put_members(&lease, &members, &usage).await;
    let seal = noted.unwrap();
    let corrupt = async |what: &str, seal: &MembersSeal| {
        let read = world.store.members(lease.run(), seal).await;
        let is_corrupt = matches!(read, Err(StoreError::Corrupt { .. }));
        assert!(is_corrupt, "{what}: {:?}", read.map(|it| it.count()));
    };
    let others = MembersSeal {
        digest: PageDigest::of(b"other"),
        ..seal.clone()
    };
    corrupt("another digest", &others).await;
    let fewer = MembersSeal {
        count: seal.count - 1,
        ..seal.clone()
    };
    corrupt("another count", &fewer).await;
    let chunks = world.items_of("members").await;
    for (key, item) in &chunks {
        world.lose(key).await;
        corrupt("a missing part", &seal).await;
        let mut odd = item.clone();
        let empty = AttributeValue::B(Blob::new(Vec::new()));
        odd.insert("payload".into(), empty);
        world.put(odd).await;
        corrupt("an empty part", &seal).await;
        world.put(item.clone()).await;
    }
    for count in [2, 0, 501] {
        for (key, _) in &chunks {
            world.set(key, "chunks", n(count)).await;
        }
        corrupt("a wrong count of parts", &seal).await;
    }
}
