//! The chain of pages: committed all or nothing, read back whole or not at all.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::batch::BatchState;
use rollcall_core::page::{PageDigest, PagePayload};
use rollcall_core::run::RunState;
use rollcall_store::{ChainEnd, RunLease, StoreError};

use crate::values::{last_page, page_before_others, page_of};
use crate::world::{World, batch_key, commit, n, s};

/// So many users seen: some four bytes each, which do not compress.
fn large(users: u64) -> PagePayload {
    let mut key = 1u64;
    let mut seen: Vec<_> = (0..users)
        .map(|_| {
            key = key.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            key >> 18
        })
        .collect();
    seen.sort_unstable();
    PagePayload {
        seen,
        ..last_page()
    }
}

fn page_with_work(names: &[&str]) -> PagePayload {
    PagePayload {
        next: page_before_others().next,
        ..page_of(names)
    }
}

fn changed(what: &'static str) -> StoreError {
    StoreError::Changed { what }
}

#[tokio::test]
async fn pages_are_linked_and_counted_and_the_last_one_seals_the_run() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let start = ChainEnd::start(1);
    let first = page_with_work(&["a", "b"]);
    let end = commit(&world.store, &lease, &start, &first).await.unwrap();
    let run = world.store.run(lease.run()).await.unwrap().unwrap();
    assert_eq!((run.state, run.seal()), (RunState::Enumerating, None));
    assert_eq!(ChainEnd::of(&run), end);
    let last = commit(&world.store, &lease, &end, &last_page()).await;
    let last = last.unwrap();
    let run = world.store.run(lease.run()).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Draining);
    let seal = run.seal().unwrap();
    assert_eq!((seal.generation, seal.pages, seal.sightings), (1, 2, 4));
    assert_eq!(Some(&seal.last_digest), last.digest.as_ref());

    let batches = world.store.batches(lease.run(), Some(1)).await.unwrap();
    // A page with nothing new on it has no work.
    let states: Vec<_> = batches.iter().map(|b| (b.state, b.counted)).collect();
    assert_eq!(
        states,
        [(BatchState::Pending, None), (BatchState::Done, Some(2))]
    );
    assert_eq!(
        (&batches[0].previous, &batches[1].previous),
        (&None, &end.digest)
    );
    let page = world.store.page(lease.run(), 1, 1, &batches[0].digest);
    assert_eq!(page.await.unwrap(), first);
    let page = world.store.page(lease.run(), 1, 2, &batches[1].digest);
    assert_eq!(page.await.unwrap(), last_page());
}

#[tokio::test]
async fn of_two_copies_that_commit_the_same_page_one_does() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let start = ChainEnd::start(1);
    for payload in [page_with_work(&["a"]), page_with_work(&["b"]), last_page()] {
        let committed = async { commit(&world.store, &lease, &start, &payload).await };
        if world.items_of("batch").await.is_empty() {
            committed.await.unwrap();
        } else {
            let lost = StoreError::LostLease;
            world.refuses("the copy", &lost, committed).await;
        }
    }
}

#[tokio::test]
async fn a_page_that_cannot_be_committed_whole_leaves_nothing() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let (start, payload) = (ChainEnd::start(1), last_page());
    // Its batch is there already, as nothing but a fault could bring about.
    let (pk, sk) = batch_key(lease.run(), 1, 1);
    let item = [("pk".to_owned(), s(&pk)), ("sk".to_owned(), s(&sk))];
    world.put(item.into()).await;
    let call = commit(&world.store, &lease, &start, &payload);
    world.refuses("batch", &changed("the batch"), call).await;
    world.lose(&(pk, sk)).await;

    let digest = PageDigest::of(&payload.encode().unwrap());
    let item = [
        ("pk".to_owned(), s("page#t#1")),
        ("sk".to_owned(), s(&format!("001#000001#{digest}#00"))),
    ];
    world.put(item.into()).await;
    let call = commit(&world.store, &lease, &start, &payload);
    world.refuses("page", &changed("the page"), call).await;
}

#[tokio::test]
async fn an_open_batch_is_found_wherever_it_stands_in_its_generation_and_in_no_other() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let run = lease.run();
    let is_open = async |generation| world.store.has_open_batch(run, generation).await.unwrap();
    assert!(!is_open(1).await);
    let start = ChainEnd::start(1);
    let with_work = page_with_work(&["a"]);
    let mut end = commit(&world.store, &lease, &start, &with_work)
        .await
        .unwrap();
    // More pages behind it than one answer has batches, all of them done.
    for _ in 0..60 {
        let page = page_before_others();
        end = commit(&world.store, &lease, &end, &page).await.unwrap();
    }
    assert!(is_open(1).await);
    assert!(!is_open(2).await);
    let batch = world.batch_lease(run, 1, 1, "worker").await;
    assert!(is_open(1).await);
    world.finish(&batch, 1).await;
    assert!(!is_open(1).await);
    commit(&world.store, &lease, &end, &page_of(&["b"]))
        .await
        .unwrap();
    assert!(is_open(1).await);
}

/// The three ways in which a stale end of the chain can look like the real one.
#[tokio::test]
async fn a_page_is_linked_to_the_last_one_of_its_generation_and_to_no_other() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let lost = StoreError::LostLease;
    let page = page_before_others();
    let start = ChainEnd::start(1);
    let first = commit(&world.store, &lease, &start, &page).await.unwrap();
    let refused = async |what: &str, end: &ChainEnd| {
        let call = commit(&world.store, &lease, end, &page);
        world.refuses(what, &lost, call).await;
        let call = world.store.new_generation(&lease, end, None);
        world.refuses(what, &lost, call).await;
    };
    // Another page as the predecessor, or none.
    let mut other = first.clone();
    other.digest = Some(PageDigest::of(b"other"));
    refused("another predecessor", &other).await;
    other.digest = None;
    refused("no predecessor", &other).await;
    // Page 2 is just like page 1, so their digests are the same.
    let second = commit(&world.store, &lease, &first, &page).await.unwrap();
    assert_eq!(first.digest, second.digest);
    refused("the page before", &first).await;
    // The next generation begins with just the same page.
    let start = world
        .store
        .new_generation(&lease, &second, None)
        .await
        .unwrap();
    assert_eq!(start, ChainEnd::start(2));
    let again = commit(&world.store, &lease, &start, &page).await.unwrap();
    assert_eq!((again.page, &again.digest), (1, &first.digest));
    refused("the generation before", &first).await;
    commit(&world.store, &lease, &again, &last_page())
        .await
        .unwrap();
}

#[tokio::test]
async fn nothing_is_committed_after_the_seal() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let end = commit(&world.store, &lease, &ChainEnd::start(1), &last_page()).await;
    let end = end.unwrap();
    let lost = StoreError::LostLease;
    for payload in [last_page(), page_before_others()] {
        let call = commit(&world.store, &lease, &end, &payload);
        world.refuses("commit", &lost, call).await;
    }
    let call = world.store.new_generation(&lease, &end, None);
    world.refuses("new generation", &lost, call).await;
}

#[tokio::test]
async fn a_large_page_is_split_over_items_and_read_back_whole() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let payload = large(200_000);
    let end = commit(&world.store, &lease, &ChainEnd::start(1), &payload).await;
    let digest = end.unwrap().digest.unwrap();
    assert_eq!(world.items_of("page").await.len(), 3);
    let page = world.store.page(lease.run(), 1, 1, &digest).await;
    assert!(page.unwrap() == payload);
}

#[tokio::test]
async fn a_page_larger_than_a_transaction_is_refused_and_not_cut() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let before = world.dump().await;
    let end = commit(&world.store, &lease, &ChainEnd::start(1), &large(1_200_000)).await;
    assert!(matches!(end, Err(StoreError::Invalid(_))), "{end:?}");
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn a_page_that_is_not_whole_is_corrupt_and_never_empty() {
    let world = World::start().await;
    let lease = world.enumerating("t").await;
    let end = commit(&world.store, &lease, &ChainEnd::start(1), &large(200_000)).await;
    let digest = end.unwrap().digest.unwrap();
    let corrupt = async |what: &str, digest: &PageDigest| {
        let page = world.store.page(lease.run(), 1, 1, digest).await;
        let is_corrupt = matches!(page, Err(StoreError::Corrupt { .. }));
        assert!(
            is_corrupt,
            "{what}: {:?}",
            page.map(|page| page.sightings())
        );
    };
    corrupt("another digest", &PageDigest::of(b"other")).await;
    let chunks = world.items_of("page").await;
    for (key, item) in &chunks {
        world.lose(key).await;
        corrupt("a missing part", &digest).await;

        let mut bytes = item["payload"].as_b().unwrap().clone().into_inner();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let mut odd = item.clone();
        let value = AttributeValue::B(Blob::new(bytes));
        odd.insert("payload".into(), value);
        world.put(odd).await;
        corrupt("a changed byte", &digest).await;
        world.put(item.clone()).await;
    }
    // A count that is too low, none, or beyond all bounds.
    for count in [2, 0, 12] {
        for (key, _) in &chunks {
            world.set(key, "chunks", n(count)).await;
        }
        corrupt("a wrong count", &digest).await;
    }
    for (_, item) in chunks {
        world.put(item).await;
    }
    assert!(world.store.page(lease.run(), 1, 1, &digest).await.is_ok());
}

/// Pages 1 to 3 of generation 1: one done, one leased, one waiting.
async fn three_pages(world: &World) -> (RunLease, ChainEnd, rollcall_store::BatchLease) {
    let lease = world.enumerating("t").await;
    let mut end = ChainEnd::start(1);
    for name in ["a", "b", "c"] {
        let page = page_with_work(&[name]);
        end = commit(&world.store, &lease, &end, &page).await.unwrap();
    }
    let done = world.batch_lease(lease.run(), 1, 1, "w").await;
    world.finish(&done, 1).await;
    let open = world.batch_lease(lease.run(), 1, 2, "w").await;
    (lease, end, open)
}

#[tokio::test]
async fn a_new_generation_revokes_what_is_open_and_keeps_what_is_done() {
    let world = World::start().await;
    let (lease, end, open) = three_pages(&world).await;
    let next = world
        .store
        .new_generation(&lease, &end, None)
        .await
        .unwrap();
    assert_eq!(next, ChainEnd::start(2));
    let run = world.store.run(lease.run()).await.unwrap().unwrap();
    assert_eq!(
        (run.state, ChainEnd::of(&run)),
        (RunState::Enumerating, next)
    );

    let batches = world.store.batches(lease.run(), None).await.unwrap();
    let states: Vec<_> = batches.iter().map(|batch| batch.state).collect();
    assert_eq!(
        states,
        [BatchState::Done, BatchState::Revoked, BatchState::Revoked]
    );
    let writes = [crate::values::created(lease.run(), "b")];
    let write = world.store.write_users(&open, &writes);
    let lost = StoreError::LostLease;
    world.refuses("write_users", &lost, write).await;
}

#[tokio::test]
async fn a_new_generation_revokes_nothing_of_a_run_that_no_longer_enumerates() {
    let world = World::start().await;
    let (lease, end, open) = three_pages(&world).await;
    world.set_run_state(lease.run(), RunState::Draining).await;
    let lost = StoreError::LostLease;
    let call = world.store.new_generation(&lease, &end, None);
    world.refuses("new generation", &lost, call).await;
    assert_eq!(world.store.keep_batch(&open).await, Ok(()));
}
