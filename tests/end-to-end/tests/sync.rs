//! A tenant over several runs: first sync, nothing new, a day of changes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use std::collections::BTreeSet;

use rollcall_core::ids::ObjectId;
use rollcall_core::run::RunState;
use rollcall_core::status::{Reason, Status};
use rollcall_end_to_end::{Handler, World, object_id, sqs_event};
use rollcall_graph_emulator::{Paging, Population};
use serde_json::json;
use uuid::Uuid;

/// Everybody is an enabled member, so that counts are round.
fn plain(users: usize) -> Population {
    Population {
        guests: 0.0,
        disabled: 0.0,
        ..Population::new("contoso.com", 7, users)
    }
}

async fn ids_with(world: &World, status: Status, reason: Reason) -> BTreeSet<ObjectId> {
    let users = world.users().await.unwrap();
    users
        .into_values()
        .filter(|user| user.status == status && user.reason == reason)
        .map(|user| user.id)
        .collect()
}

fn ids(of: &[Uuid]) -> BTreeSet<ObjectId> {
    of.iter().map(|id| object_id(*id).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_sync_stores_everybody_in_scope_and_a_second_one_writes_nobody() {
    let world = World::start_with(Population::new("contoso.com", 3, 2_500), &json!({}))
        .await
        .unwrap();
    let first = world.sync().await.unwrap();
    assert_eq!(first.state, RunState::Completed, "{first:?}");
    let users = world.users().await.unwrap();
    let truth: Vec<_> = world.tenant.directory().users().cloned().collect();
    for user in &truth {
        let stored = users.get(&object_id(user.id).unwrap());
        match (user.user_type.as_deref(), user.account_enabled) {
            (Some("Member"), Some(true)) => assert_eq!(stored.unwrap().status, Status::Active),
            (Some("Member"), Some(false)) => {
                assert_eq!(stored.unwrap().reason, Reason::Disabled);
            }
            _ => assert_eq!(stored, None),
        }
    }
    let totals = first.totals.unwrap();
    assert_eq!(totals.users_seen, 2_500);
    assert_eq!(totals.changes.created, users.len() as u64);

    let second = world.sync().await.unwrap();
    assert_eq!(second.state, RunState::Completed);
    let totals = second.totals.unwrap();
    assert_eq!(totals.changes.total(), 0);
    assert_eq!(totals.unchanged(), 2_500);
    assert_eq!(world.users().await.unwrap(), users);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_changes_changes_exactly_those_who_changed() {
    let world = World::start_with(plain(2_500), &json!({})).await.unwrap();
    world.sync().await.unwrap();
    let before = world.users().await.unwrap();
    let everyone: Vec<Uuid> = world.tenant.directory().users().map(|u| u.id).collect();
    let (in_bin, rest) = everyone.split_at(5);
    let (without_trace, rest) = rest.split_at(5);
    let (disabled, rest) = rest.split_at(10);
    let (renamed, _) = rest.split_at(10);
    let joiners = {
        let mut directory = world.tenant.directory();
        for id in in_bin {
            directory.soft_delete(*id).unwrap();
        }
        for id in without_trace {
            directory.purge(*id).unwrap();
        }
        for id in disabled {
            directory.set_account_enabled(*id, Some(false)).unwrap();
        }
        for id in renamed {
            let name = format!("renamed.{}@contoso.com", id.simple());
            directory.rename(*id, &name, "New Name").unwrap();
        }
        directory.add_people(10)
    };

    let second = world.sync().await.unwrap();
    assert_eq!(second.state, RunState::Completed, "{second:?}");
    let totals = second.totals.unwrap();
    assert_eq!(totals.changes.created, 10);
    assert_eq!(totals.changes.updated, 10);
    assert_eq!(totals.deactivated.deleted, 5);
    assert_eq!(totals.deactivated.disabled, 10);
    assert_eq!(totals.deactivated.not_found, 0);
    assert_eq!(totals.kept.awaiting_confirmation, 5);
    assert_eq!(
        ids_with(&world, Status::Inactive, Reason::Deleted).await,
        ids(in_bin)
    );
    assert_eq!(
        ids_with(&world, Status::Inactive, Reason::Disabled).await,
        ids(disabled)
    );
    let after = world.users().await.unwrap();
    let touched: BTreeSet<_> = ids(in_bin)
        .into_iter()
        .chain(ids(disabled))
        .chain(ids(renamed))
        .chain(ids(&joiners))
        .collect();
    for (id, user) in &after {
        assert_eq!(touched.contains(id), before.get(id) != Some(user), "{id}");
    }
    let login = format!("RENAMED.{}@Contoso.com", renamed[0].simple());
    let found = world
        .store
        .users_by_login(&"contoso".parse().unwrap(), &login)
        .await
        .unwrap();
    assert_eq!(found[0].id, object_id(renamed[0]).unwrap());

    world.tenant.directory().restore(in_bin[0]).unwrap();
    let third = world.sync().await.unwrap();
    let totals = third.totals.unwrap();
    assert_eq!(totals.changes.reactivated, 1);
    assert_eq!(totals.deactivated.not_found, 5);
    assert_eq!(
        ids_with(&world, Status::Inactive, Reason::NotFound).await,
        ids(without_trace)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn awkward_paging_changes_nothing_about_the_result() {
    let world = World::start_with(plain(1_200), &json!({})).await.unwrap();
    world.tenant.set_paging(Paging {
        page_size_max: 100,
        empty_every: Some(3),
        short_every: Some(4),
        repeat_every: Some(5),
        ..world.tenant.paging()
    });
    let first = world.sync().await.unwrap();
    assert_eq!(first.state, RunState::Completed, "{first:?}");
    let totals = first.totals.unwrap();
    assert_eq!(totals.users_seen, 1_200);
    assert_eq!(totals.changes.created, 1_200);
    let second = world.sync().await.unwrap();
    assert_eq!(second.totals.unwrap().changes.total(), 0);
    assert_eq!(second.totals.unwrap().deactivated.total(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_copies_of_each_handler_give_the_result_of_one() {
    let one = World::start_with(plain(1_500), &json!({})).await.unwrap();
    let two = World::start_with(plain(1_500), &json!({})).await.unwrap();
    for world in [&one, &two] {
        world.tenant.set_paging(Paging {
            page_size_max: 200,
            ..world.tenant.paging()
        });
    }
    for _ in 0..2 {
        let single = one.sync().await.unwrap();
        let doubled = two.sync_by(&two.app, 2).await.unwrap();
        assert_eq!(doubled.state, RunState::Completed, "{doubled:?}");
        let (single, doubled) = (single.totals.unwrap(), doubled.totals.unwrap());
        assert_eq!(single.changes, doubled.changes);
        assert_eq!(single.deactivated, doubled.deactivated);
        let statuses = |users: std::collections::BTreeMap<ObjectId, _>| -> Vec<_> {
            users
                .into_values()
                .map(|u: rollcall_core::status::StoredUser| {
                    (
                        u.id.clone(),
                        u.status,
                        u.reason,
                        u.version,
                        u.content_hash(),
                    )
                })
                .collect()
        };
        assert_eq!(
            statuses(one.users().await.unwrap()),
            statuses(two.users().await.unwrap())
        );
        for world in [&one, &two] {
            let leavers: Vec<_> = world
                .tenant
                .directory()
                .users()
                .take(4)
                .map(|u| u.id)
                .collect();
            for id in leavers {
                world.tenant.directory().soft_delete(id).unwrap();
            }
        }
    }
}

/// How many rings for the finalizer are in its queue; it takes them out.
async fn rings(world: &World) -> usize {
    let url = &world.aws.queues().finalize.url;
    let mut count = 0;
    loop {
        let receive = world.aws.sqs().receive_message().queue_url(url);
        let received = receive.max_number_of_messages(10).send().await.unwrap();
        if received.messages().is_empty() {
            return count;
        }
        count += received.messages().len();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_finalizer_is_rung_for_at_the_seal_and_by_who_ends_the_last_batch_and_by_nobody_else() {
    let world = World::start_with(plain(600), &json!({})).await.unwrap();
    world.tenant.set_paging(Paging {
        page_size_max: 100,
        ..world.tenant.paging()
    });
    let run = world.start_run(&world.app).await.unwrap();
    let bell = json!({ "tenant": run.tenant, "run": run.run });
    let (enumerator, worker) = (Handler::Enumerator, Handler::Worker);
    world.call(enumerator, sqs_event(&bell)).await.unwrap();
    assert_eq!(rings(&world).await, 1);
    // In any order, so that the last page is not the last batch.
    for (page, expected) in [(6, 0), (2, 0), (1, 0), (5, 0), (4, 0), (3, 1)] {
        let bell = json!({ "tenant": run.tenant, "run": run.run, "generation": 1, "page": page });
        world.call(worker, sqs_event(&bell)).await.unwrap();
        assert_eq!(rings(&world).await, expected, "after page {page}");
    }
    // Whoever ended it may have died before it rang: its message comes again.
    let bell = json!({ "tenant": run.tenant, "run": run.run, "generation": 1, "page": 2 });
    world.call(worker, sqs_event(&bell)).await.unwrap();
    assert_eq!(rings(&world).await, 1);
}

async fn synced_quietly(users: usize) -> World {
    let world = World::start_with(plain(users), &json!({})).await.unwrap();
    world.sync_quietly().await.unwrap();
    world
}

/// Reads: two passes over an index entry of about 100 bytes, each at half a unit for 4 KB, and the pages.
/// Writes: 5 bytes in a page, which a transaction bills twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_user_costs_next_to_nothing() {
    let mut costs = Vec::new();
    for users in [2_000, 6_000] {
        let world = synced_quietly(users).await;
        let before = world.store.capacity();
        world.sync_quietly().await.unwrap();
        let after = world.store.capacity();
        costs.push((
            after.read_units - before.read_units,
            after.write_units - before.write_units,
        ));
    }
    let a_user = |few: f64, many: f64| (many - few) / 4_000.0;
    assert!(a_user(costs[0].0, costs[1].0) <= 0.035, "{costs:?}");
    assert!(a_user(costs[0].1, costs[1].1) <= 0.02, "{costs:?}");
    // What does not depend on the users is no more than a small tenant's share either.
    assert!(costs[0].1 <= 2_000.0 * 0.05, "{costs:?}");
}

/// Read is the page with him, and once the index, in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_user_is_not_read_by_key_before_he_is_written() {
    let mut reads = Vec::new();
    for users in [200, 1_200] {
        let world = synced_quietly(users).await;
        reads.push(world.store.capacity().read_units);
    }
    assert!((reads[1] - reads[0]) / 1_000.0 <= 0.1, "{reads:?}");
}
