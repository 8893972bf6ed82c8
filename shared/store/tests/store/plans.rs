//! Plans: stored once, read back whole, carried out as planned.

use rollcall_core::run::{RunMode, RunState};
use rollcall_core::status::{Reason, Status};
use rollcall_store::{RunLease, StoreError, StoredPlan};

use crate::values::{created, id, other_settings, plan, streak};
use crate::wire::Wire;
use crate::world::{World, n};

async fn store_plan(world: &World, lease: &RunLease, plan: &StoredPlan) -> Result<(), StoreError> {
    let head = world.store.head(&lease.run().tenant).await.unwrap();
    world
        .store
        .store_plan(lease, plan, 1, (RunMode::Full, &head))
        .await
}

async fn read_plan(world: &World, lease: &RunLease) -> Result<Option<StoredPlan>, StoreError> {
    world.store.plan(lease.run()).await
}

/// A plan of about 600 KB.
fn large(lease: &RunLease) -> StoredPlan {
    let users: Vec<_> = (0..6_000)
        .map(|number| (id(&format!("6babcaad-604b-40ac-a9d7-{number:012}")), number))
        .collect();
    plan(lease.run(), &users)
}

#[tokio::test]
async fn a_plan_is_stored_once() {
    let world = World::start().await;
    let lease = world.finalizing("t").await;
    assert_eq!(read_plan(&world, &lease).await, Ok(None));
    let first = plan(lease.run(), &[(id("a"), 3), (id("b"), 4)]);
    assert_eq!(store_plan(&world, &lease, &first).await, Ok(()));
    assert_eq!(read_plan(&world, &lease).await, Ok(Some(first.clone())));
    let stored = Err(StoreError::Changed { what: "the plan" });
    for again in [first.clone(), plan(lease.run(), &[(id("c"), 1)])] {
        assert_eq!(store_plan(&world, &lease, &again).await, stored);
        assert_eq!(read_plan(&world, &lease).await, Ok(Some(first.clone())));
    }
}

#[tokio::test]
async fn an_empty_plan_is_a_plan() {
    let world = World::start().await;
    let lease = world.finalizing("t").await;
    let empty = plan(lease.run(), &[]);
    store_plan(&world, &lease, &empty).await.unwrap();
    assert_eq!(read_plan(&world, &lease).await, Ok(Some(empty)));
}

#[tokio::test]
async fn a_large_plan_is_split_over_items_and_read_back_whole_or_not_at_all() {
    let world = World::start().await;
    let lease = world.finalizing("t").await;
    let large = large(&lease);
    store_plan(&world, &lease, &large).await.unwrap();
    let items = world.items_of("plan").await;
    assert!(items.len() > 2);
    assert_eq!(read_plan(&world, &lease).await, Ok(Some(large)));
    let (manifest, chunks) = items.split_first().unwrap();
    for (key, item) in chunks {
        world.lose(key).await;
        let read = read_plan(&world, &lease).await;
        assert!(matches!(read, Err(StoreError::Corrupt { .. })));
        world.put(item.clone()).await;
    }
    // A count that is too low cuts the plan off.
    for count in [0, chunks.len() as u64 - 1] {
        world.set(&manifest.0, "chunks", n(count)).await;
        let read = read_plan(&world, &lease).await;
        assert!(matches!(read, Err(StoreError::Corrupt { .. })));
    }
}

#[tokio::test]
async fn a_plan_is_void_when_the_tenants_settings_changed() {
    let world = World::start().await;
    let lease = world.finalizing("t").await;
    world.store.put_tenant(&other_settings("t")).await.unwrap();
    let plan = plan(lease.run(), &[(id("a"), 3)]);
    let refused = store_plan(&world, &lease, &plan).await;
    let what = "the tenant's settings";
    assert_eq!(refused, Err(StoreError::Changed { what }));
    assert_eq!(read_plan(&world, &lease).await, Ok(None));
}

#[tokio::test]
async fn a_plan_is_stored_only_while_the_run_finalizes() {
    let world = World::start().await;
    for (number, state) in RunState::ALL.into_iter().enumerate() {
        let lease = world.finalizing(&format!("t{number}")).await;
        world.set_run_state(lease.run(), state).await;
        let plan = plan(lease.run(), &[(id("a"), 3)]);
        let call = store_plan(&world, &lease, &plan);
        let streaks = [(id("a"), streak(1, 1))];
        let record = world.store.record_streaks(&lease, &streaks);
        if state == RunState::Finalizing {
            record.await.unwrap();
            call.await.unwrap();
        } else {
            let (what, lost) = (format!("{state:?}"), StoreError::LostLease);
            world.refuses(&what, &lost, call).await;
            world.refuses(&what, &lost, record).await;
        }
    }
}

/// The lease may be lost at any moment, also between the parts and the manifest.
#[tokio::test]
async fn each_write_of_a_plan_is_under_the_lease() {
    let world = World::start().await;
    let lease = world.finalizing("t").await;
    let large = large(&lease);
    let head = world.store.head(&lease.run().tenant).await.unwrap();
    for survives in 0..3 {
        let wire = Wire::default();
        for _ in 0..survives {
            wire.before("TransactWriteItems", async {});
        }
        let (other, run) = (world.clone(), lease.run().clone());
        wire.before("TransactWriteItems", async move {
            other.set_run_state(&run, RunState::Failed).await;
        });
        let store = world.store_on(&wire);
        let refused = store
            .store_plan(&lease, &large, 1, (RunMode::Full, &head))
            .await;
        assert_eq!(refused, Err(StoreError::LostLease));
        assert_eq!(wire.sent("TransactWriteItems"), survives + 1);
        assert_eq!(world.items_of("plan").await.len(), survives);
        world.set_run_state(lease.run(), RunState::Finalizing).await;
    }
    assert_eq!(read_plan(&world, &lease).await, Ok(None));
}

#[tokio::test]
async fn a_new_plan_supersedes_the_held_one() {
    let world = World::start().await;
    let first = world.finalizing("t").await;
    world.hold(&first).await;
    let second = world.finalizing("t").await;
    let plan = plan(second.run(), &[]);
    store_plan(&world, &second, &plan).await.unwrap();
    assert_eq!(world.run_state(first.run()).await, RunState::Superseded);
    let head = world.store.head(&first.run().tenant).await.unwrap();
    assert_eq!((head.held_run, head.active_run), (None, Some(2)));
}

#[tokio::test]
async fn a_plan_that_would_supersede_another_hold_than_was_read_is_not_stored() {
    let world = World::start().await;
    let first = world.finalizing("t").await;
    world.hold(&first).await;
    let second = world.finalizing("t").await;
    let read = world.store.head(&first.run().tenant).await.unwrap();
    world
        .set(&crate::world::head_key("t"), "held_run", n(9))
        .await;
    let plan = plan(second.run(), &[]);
    let refused = world
        .store
        .store_plan(&second, &plan, 1, (RunMode::Full, &read))
        .await;
    let what = "the tenant's held runs";
    assert_eq!(refused, Err(StoreError::Changed { what }));
    assert_eq!(world.run_state(first.run()).await, RunState::Held);
    assert_eq!(read_plan(&world, &second).await, Ok(None));
}

/// A run that carries out a plan for these users, all of whom it created.
async fn applying(world: &World, names: &[&str]) -> (RunLease, StoredPlan) {
    let (lease, batch) = world.working("t", names).await;
    let writes: Vec<_> = names
        .iter()
        .map(|name| created(lease.run(), name))
        .collect();
    world.store.write_users(&batch, &writes).await.unwrap();
    let counted = names.len() as u64;
    world.finish(&batch, counted).await;
    world.store.begin_finalizing(&lease).await.unwrap();
    let users: Vec<_> = names.iter().map(|name| (id(name), 1)).collect();
    let plan = plan(lease.run(), &users);
    store_plan(world, &lease, &plan).await.unwrap();
    world.store.begin_applying(&lease, 1).await.unwrap();
    (lease, plan)
}

/// Whoever stored the plan died, and a person removed the tenant or gave it a wider scope before the next came.
#[tokio::test]
async fn no_plan_is_begun_under_other_settings_than_it_was_made_by() {
    for is_removed in [true, false] {
        let world = World::start().await;
        let lease = world.finalizing("t").await;
        let tenant = &lease.run().tenant;
        let plan = plan(lease.run(), &[(id("a"), 1)]);
        store_plan(&world, &lease, &plan).await.unwrap();
        if is_removed {
            world.store.remove_tenant(tenant).await.unwrap();
        } else {
            let mut settings = world.store.tenant(tenant).await.unwrap().unwrap().settings;
            settings.scope.guests = !settings.scope.guests;
            world.store.put_tenant(&settings).await.unwrap();
        }
        let changed = StoreError::Changed {
            what: "the tenant's settings",
        };
        let begin = world.store.begin_applying(&lease, 1);
        world.refuses("begin_applying", &changed, begin).await;
    }
}

#[tokio::test]
async fn whom_a_plan_names_is_switched_off_with_his_evidence_in_the_journal() {
    let world = World::start().await;
    let (lease, plan) = applying(&world, &["a", "b"]).await;
    let tenant = &lease.run().tenant;
    let users = world.store.users(tenant, &[id("a")]).await.unwrap();
    let due = [(users[0].clone(), &plan.plan.entries()[0])];
    world.store.deactivate(&lease, &due).await.unwrap();

    let after = world
        .store
        .users(tenant, &[id("a"), id("b")])
        .await
        .unwrap();
    let status = |name| after.iter().find(|u| u.id == id(name)).unwrap().status;
    assert_eq!(
        (status("a"), status("b")),
        (Status::Inactive, Status::Active)
    );
    let off = after.iter().find(|u| u.id == id("a")).unwrap();
    assert_eq!((off.reason, off.status_run), (Reason::Disabled, Some(1)));
    let history = world.store.history(tenant, off).await.unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(
        history[0].evidence.as_deref(),
        Some("seen at 1/1/0, request unknown")
    );
    assert_eq!(history[0].before.as_ref(), Some(&users[0]));
}

#[tokio::test]
async fn a_user_who_is_not_as_he_was_planned_is_not_switched_off() {
    let world = World::start().await;
    let (lease, plan) = applying(&world, &["a", "b"]).await;
    let (a, b) = (&plan.plan.entries()[0], &plan.plan.entries()[1]);
    let changed_error = StoreError::Changed { what: "a user" };
    let tenant = &lease.run().tenant;
    let users = world.store.users(tenant, &[id("a")]).await.unwrap();
    let user = users[0].clone();
    let refused = async |what: &str, due: &[_]| {
        let call = world.store.deactivate(&lease, due);
        world.refuses(what, &changed_error, call).await;
    };
    // Read at another version than is stored, and than was planned.
    let mut later = user.clone();
    later.version = 2;
    refused("a later version", &[(later.clone(), a)]).await;
    // Stored by now at another version than was planned, and read so.
    let key = world
        .dump()
        .await
        .into_iter()
        .find(|((t, _, sk), _)| t == "directory" && sk == "a");
    let (_, mut item) = key.unwrap();
    item.insert("version".into(), n(2));
    world.put_user(item).await;
    refused("as planned, but changed since", &[(user, a)]).await;
    refused("as stored, but not as planned", &[(later, a)]).await;
    // Somebody else's entry.
    let users = world.store.users(tenant, &[id("b")]).await.unwrap();
    let mut other = users[0].clone();
    other.version = 1;
    refused("another's entry", &[(other.clone(), a)]).await;
    world.store.deactivate(&lease, &[(other, b)]).await.unwrap();
}

#[tokio::test]
async fn nobody_is_switched_off_unless_the_run_applies_its_plan() {
    let world = World::start().await;
    let (lease, plan) = applying(&world, &["a"]).await;
    let tenant = &lease.run().tenant;
    let users = world.store.users(tenant, &[id("a")]).await.unwrap();
    let due = [(users[0].clone(), &plan.plan.entries()[0])];
    for state in RunState::ALL {
        world.set_run_state(lease.run(), state).await;
        if state != RunState::Applying {
            let call = world.store.deactivate(&lease, &due);
            let lost = StoreError::LostLease;
            world.refuses(&format!("{state:?}"), &lost, call).await;
        }
    }
    world.set_run_state(lease.run(), RunState::Applying).await;
    world.store.deactivate(&lease, &due).await.unwrap();
}

#[tokio::test]
async fn streaks_are_read_as_they_were_recorded_for_any_number_of_ids() {
    let world = World::start().await;
    let lease = world.finalizing("t").await;
    let streaks: Vec<_> = (0..150)
        .map(|number| (id(&format!("u{number}")), streak(1, 1)))
        .collect();
    world.store.record_streaks(&lease, &streaks).await.unwrap();
    let again = [(id("u7"), streak(1, 2))];
    world.store.record_streaks(&lease, &again).await.unwrap();
    let read = world.store.streaks(&lease.run().tenant).await.unwrap();
    assert_eq!(read.len(), 150);
    assert_eq!(read[&id("u7")], streak(1, 2));
    assert_eq!(read[&id("u8")], streak(1, 1));
}
