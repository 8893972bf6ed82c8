//! Delta runs over HTTP: what changed since the last run, and what a full run is bracketed by.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

mod links;

use rollcall_core::run::{FailReason, RunMode, RunState};
use rollcall_core::status::{Reason, Status, StoredUser};
use rollcall_end_to_end::{World, object_id};
use rollcall_graph_emulator::{
    DELTA_LIFE_MS, Endpoint, Fault, FaultRule, Matcher, Paging, Population,
};
use rollcall_store::RunRecord;
use serde_json::{Value, json};
use uuid::Uuid;

const USERS: usize = 40;

/// A tenant of members in pages of ten that was synced once, with further settings.
async fn synced_with(more: &Value) -> World {
    let population = Population {
        guests: 0.0,
        disabled: 0.0,
        ..Population::new("contoso.com", 5, USERS)
    };
    let world = World::start_with(population, more).await.unwrap();
    world.tenant.set_paging(Paging {
        page_size_max: 10,
        ..world.tenant.paging()
    });
    let run = world.sync().await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    world
}

async fn synced() -> World {
    synced_with(&json!({})).await
}

fn ids(world: &World) -> Vec<Uuid> {
    world
        .tenant
        .directory()
        .users()
        .map(|user| user.id)
        .collect()
}

async fn stored(world: &World, id: Uuid) -> StoredUser {
    let users = world.users().await.unwrap();
    users[&object_id(id).unwrap()].clone()
}

async fn delta(world: &World) -> RunRecord {
    world.graph().clear_log();
    world.sync_in(RunMode::Delta).await.unwrap()
}

async fn link(world: &World, run: &RunRecord) -> Option<String> {
    world.store.head(&run.run.tenant).await.unwrap().delta_link
}

fn disable(world: &World, id: Uuid) {
    let mut directory = world.tenant.directory();
    directory.set_account_enabled(id, Some(false)).unwrap();
}

/// Somebody who is there, and of whom each delta tells again that he is removed.
fn is_told_to_be_removed(world: &World) -> Uuid {
    let id = ids(world)[11];
    let mut directory = world.tenant.directory();
    directory.rename(id, "again@contoso.com", "Again").unwrap();
    let again = Fault::RemovedAgain(rollcall_graph_emulator::Who::Ids(vec![id]));
    let rule = FaultRule::forever(Matcher::endpoint(Endpoint::Delta), again);
    world.graph().add_fault(rule);
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_run_finds_every_kind_of_change_without_reading_the_users() {
    let world = synced().await;
    let ids = ids(&world);
    let joined = {
        let mut directory = world.tenant.directory();
        directory
            .rename(ids[0], "new.name@contoso.com", "New Name")
            .unwrap();
        directory.set_account_enabled(ids[1], Some(false)).unwrap();
        directory.soft_delete(ids[2]).unwrap();
        directory.purge(ids[3]).unwrap();
        directory.add_people(1)[0]
    };
    let run = delta(&world).await;
    assert_eq!(
        (run.mode, run.state),
        (RunMode::Delta, RunState::Completed),
        "{run:?}"
    );
    assert_eq!(world.graph().requests(Endpoint::Users), 0);
    let totals = run.totals.unwrap();
    assert_eq!((totals.changes.created, totals.changes.updated), (1, 1));
    assert_eq!(
        (totals.deactivated.disabled, totals.deactivated.deleted),
        (1, 2)
    );
    let named = stored(&world, ids[0]).await;
    assert_eq!(
        named.user_principal_name.as_deref(),
        Some("new.name@contoso.com")
    );
    let of = |user: StoredUser| (user.status, user.reason);
    assert_eq!(
        of(stored(&world, joined).await),
        (Status::Active, Reason::Present)
    );
    assert_eq!(
        of(stored(&world, ids[1]).await),
        (Status::Inactive, Reason::Disabled)
    );
    assert_eq!(
        of(stored(&world, ids[2]).await),
        (Status::Inactive, Reason::Deleted)
    );
    assert_eq!(
        of(stored(&world, ids[3]).await),
        (Status::Inactive, Reason::Deleted)
    );
    assert_eq!(world.active().await.unwrap(), USERS - 2);

    world.tenant.directory().restore(ids[2]).unwrap();
    let run = delta(&world).await;
    assert_eq!(run.totals.unwrap().changes.reactivated, 1);
    assert_eq!(
        of(stored(&world, ids[2]).await),
        (Status::Active, Reason::Present)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_that_tells_nothing_writes_nobody_and_moves_the_link() {
    let world = synced().await;
    let before = world.users().await.unwrap();
    let run = delta(&world).await;
    assert_eq!((run.mode, run.state), (RunMode::Delta, RunState::Completed));
    assert_eq!(run.totals.unwrap().users_seen, 0);
    assert_eq!(world.users().await.unwrap(), before);
    let next = delta(&world).await;
    assert_ne!(next.delta_from, run.delta_from);
    assert_eq!(next.delta_from, run.delta_to);
    assert_eq!(link(&world, &next).await, next.delta_to);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_delta_run_and_one_of_a_tenant_without_delta_are_full() {
    let world = World::start(USERS).await.unwrap();
    let run = delta(&world).await;
    assert_eq!((run.mode, run.state), (RunMode::Full, RunState::Completed));
    assert!(run.delta_to.is_some());

    world.tenant.set_paging(Paging {
        has_delta: false,
        ..world.tenant.paging()
    });
    for _ in 0..2 {
        let run = world.sync().await.unwrap();
        assert_eq!(
            (run.state, &run.delta_to),
            (RunState::Completed, &None),
            "{run:?}"
        );
        let run = delta(&world).await;
        assert_eq!((run.mode, run.state), (RunMode::Full, RunState::Completed));
    }
}

/// The link is seven days old: the run goes on as a full one, in a generation of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_link_that_is_too_old_makes_a_full_run_and_switches_nobody_off() {
    let world = synced().await;
    disable(&world, ids(&world)[7]);
    world.tenant.set_paging(Paging {
        delta_life_ms: 0,
        ..world.tenant.paging()
    });
    let run = delta(&world).await;
    assert_eq!(
        (run.mode, run.state, run.generation),
        (RunMode::Full, RunState::Completed, 2)
    );
    let totals = run.totals.unwrap();
    assert_eq!((totals.users_seen, totals.deactivated.total()), (40, 1));
    world.tenant.set_paging(Paging {
        delta_life_ms: DELTA_LIFE_MS,
        ..world.tenant.paging()
    });
    assert_eq!(world.sync().await.unwrap().state, RunState::Completed);
    assert_eq!(delta(&world).await.mode, RunMode::Delta);
}

/// Whoever changes behind the scan is told by the delta around it, in the same run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_while_a_full_run_pages_is_found_by_the_same_run() {
    let world = synced().await;
    let first = world
        .tenant
        .directory()
        .users()
        .map(|it| it.id)
        .collect::<Vec<_>>();
    let behind = Matcher::endpoint(Endpoint::Users).page(4);
    let (leaver, disabled) = (first[5], first[6]);
    world
        .graph()
        .after(&world.tenant, behind, move |directory| {
            directory.soft_delete(leaver).unwrap();
            directory
                .set_account_enabled(disabled, Some(false))
                .unwrap();
        });
    let run = world.sync().await.unwrap();
    assert_eq!(
        (run.mode, run.state),
        (RunMode::Full, RunState::Completed),
        "{run:?}"
    );
    assert_eq!(stored(&world, leaver).await.reason, Reason::Deleted);
    assert_eq!(stored(&world, disabled).await.reason, Reason::Disabled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_run_that_fails_leaves_the_link_and_the_next_is_told_the_same() {
    let world = synced().await;
    let id = ids(&world)[9];
    disable(&world, id);
    let fault = FaultRule::forever(Matcher::endpoint(Endpoint::Delta), Fault::Denied);
    world.graph().add_fault(fault);
    let failed = delta(&world).await;
    assert_eq!(
        (failed.state, failed.reason),
        (RunState::Failed, Some(FailReason::GraphDenied))
    );
    assert_eq!(link(&world, &failed).await, failed.delta_from);
    world.graph().clear_faults();
    let run = delta(&world).await;
    assert_eq!((run.mode, run.state), (RunMode::Delta, RunState::Completed));
    assert_eq!(stored(&world, id).await.reason, Reason::Disabled);
}

/// No later delta tells of those who wait, so the next run is a full one, whatever was asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_delta_run_asks_for_a_full_one_which_supersedes_it() {
    let guards = json!({ "guards": { "deactivations_max": 1 } });
    let world = synced_with(&guards).await;
    let gone: Vec<_> = ids(&world)[..2].to_vec();
    gone.iter().for_each(|id| disable(&world, *id));
    let held = delta(&world).await;
    assert_eq!(
        (held.mode, held.state),
        (RunMode::Delta, RunState::Held),
        "{held:?}"
    );
    assert_eq!(link(&world, &held).await, held.delta_to);
    assert_eq!(world.active().await.unwrap(), USERS);

    let full = delta(&world).await;
    assert_eq!((full.mode, full.state), (RunMode::Full, RunState::Held));
    let before = world.store.run(&held.run).await.unwrap().unwrap();
    assert_eq!(before.state, RunState::Superseded);
}

/// A full run's hold is about everybody: a delta run, about a few, leaves it to the person.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_run_does_not_supersede_a_hold() {
    let guards = json!({ "guards": { "deactivations_max": 1 } });
    let world = synced_with(&guards).await;
    let ids = ids(&world);
    ids[..2].iter().for_each(|id| disable(&world, *id));
    let held = world.sync().await.unwrap();
    assert_eq!(held.state, RunState::Held, "{held:?}");
    disable(&world, ids[5]);
    let run = delta(&world).await;
    assert_eq!(
        (run.mode, run.state),
        (RunMode::Delta, RunState::Completed),
        "{run:?}"
    );
    assert_eq!(run.totals.unwrap().deactivated.disabled, 1);
    let still = world.store.run(&held.run).await.unwrap().unwrap();
    assert_eq!(still.state, RunState::Held);
    let full = world.sync().await.unwrap();
    assert_eq!((full.mode, full.state), (RunMode::Full, RunState::Held));
    let before = world.store.run(&held.run).await.unwrap().unwrap();
    assert_eq!(before.state, RunState::Superseded);
}

/// A delta can tell again what was true before. Who is there when he is asked for stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_to_be_removed_and_is_there_stays() {
    let world = synced().await;
    let id = is_told_to_be_removed(&world);
    let run = delta(&world).await;
    assert_eq!((run.mode, run.state), (RunMode::Delta, RunState::Completed));
    let totals = run.totals.unwrap();
    assert_eq!(
        (totals.kept.contradicted, totals.deactivated.total()),
        (1, 0)
    );
    assert_eq!(stored(&world, id).await.status, Status::Active);
}

/// Graph has lost sight of the tenant: nobody is found by id, and so not he either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_whom_a_delta_tells_to_be_removed_nothing_is_believed_while_nobody_is_found_by_id() {
    let world = synced().await;
    let id = is_told_to_be_removed(&world);
    let blind = Fault::LeftOut(rollcall_graph_emulator::Who::All);
    let rule = FaultRule::forever(Matcher::endpoint(Endpoint::GetByIds), blind);
    world.graph().add_fault(rule);
    let run = delta(&world).await;
    assert_eq!((run.mode, run.state), (RunMode::Delta, RunState::Failed));
    assert_eq!(
        run.reason,
        Some(FailReason::EnumerationUnreliable),
        "{run:?}"
    );
    assert_eq!(stored(&world, id).await.status, Status::Active);
}

/// Whoever is disabled, and is told of once more in the same delta without a word about that, is
/// disabled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_about_a_disabled_user_does_not_enable_him() {
    let world = synced().await;
    let ids = ids(&world);
    world.tenant.set_paging(Paging {
        delta_page_size_max: 1,
        delta_sparse: true,
        ..world.tenant.paging()
    });
    let id = ids[13];
    disable(&world, id);
    // Between two pages he changes once more, and moves to the end of the delta.
    disable(&world, ids[14]);
    let first = Matcher::endpoint(Endpoint::Delta).page(1);
    world.graph().after(&world.tenant, first, move |directory| {
        directory.update(id, |user| user.mail = None).unwrap();
    });
    let run = delta(&world).await;
    assert_eq!((run.mode, run.state), (RunMode::Delta, RunState::Completed));
    assert_eq!(run.totals.unwrap().deactivated.disabled, 2, "{run:?}");
    let user = stored(&world, id).await;
    assert_eq!((user.reason, user.mail), (Reason::Disabled, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_mapping_is_told_by_no_delta_that_began_before_it() {
    let world = synced().await;
    world
        .put_settings(&json!({ "attributes": { "team": "department" } }))
        .await
        .unwrap();
    let run = delta(&world).await;
    assert_eq!((run.mode, run.state), (RunMode::Full, RunState::Completed));
    let users = world.users().await.unwrap();
    let with_team = |user: &&StoredUser| user.attributes.contains_key("team");
    assert!(users.values().any(|user| with_team(&user)));
    assert_eq!(delta(&world).await.mode, RunMode::Delta);
}
