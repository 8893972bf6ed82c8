//! The field: known bugs of other programs that keep users in step with a directory, each replayed as
//! its trigger would look here. A test says whom the run leaves on and off, and that the next healthy
//! run leaves the directory equal to the tenant. `docs/FIELD.md` has the table.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

mod errors;
mod guards;
mod lists;
mod people;
mod restarts;

use std::collections::BTreeSet;

use rollcall_core::run::{FailReason, RunState};
use rollcall_core::status::{Reason, Status, StoredUser};
use rollcall_end_to_end::truth::{differs, switched_off};
use rollcall_end_to_end::{TENANT, World, object_id};
use rollcall_graph_emulator::{Endpoint, Matcher, Paging, Population, User};
use rollcall_store::RunRecord;
use serde_json::{Value, json};
use uuid::Uuid;

/// Active because the tenant has the user.
pub(crate) const PRESENT: (Status, Reason) = (Status::Active, Reason::Present);
/// Inactive because the tenant has the account disabled.
pub(crate) const DISABLED: (Status, Reason) = (Status::Inactive, Reason::Disabled);
/// Inactive because the tenant has the user in the bin.
pub(crate) const DELETED: (Status, Reason) = (Status::Inactive, Reason::Deleted);

/// A tenant of so many enabled members in pages of ten that was not synced yet, with further settings.
pub(crate) async fn tenant_of(users: usize, more: &Value) -> World {
    let population = Population {
        guests: 0.0,
        disabled: 0.0,
        ..Population::new("contoso.com", 23, users)
    };
    let world = World::start_with(population, more).await.unwrap();
    pages_of(&world, 10);
    world
}

/// Settings of a tenant whose requests are tried for long enough that as many attempts are made as an answer
/// may be broken, and that what passes is waited out on a busy machine too.
pub(crate) fn patient() -> Value {
    json!({ "limits": { "graph_retry_seconds_max": 8, "lease_seconds": 2 } })
}

/// A tenant that was synced once.
pub(crate) async fn synced(users: usize, more: &Value) -> World {
    let world = tenant_of(users, more).await;
    let run = world.sync().await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert_eq!(world.active().await.unwrap(), users);
    world
}

/// From now on a page has at most so many users.
pub(crate) fn pages_of(world: &World, page_size_max: usize) {
    world.tenant.set_paging(Paging {
        page_size_max,
        ..world.tenant.paging()
    });
}

/// The tenant's users, in the order of their ids.
pub(crate) fn ids(world: &World) -> Vec<Uuid> {
    let directory = world.tenant.directory();
    directory.users().map(|user| user.id).collect()
}

/// A user as the directory has him.
pub(crate) async fn stored(world: &World, id: Uuid) -> StoredUser {
    let users = world.users().await.unwrap();
    users[&object_id(id).unwrap()].clone()
}

/// Whether a user may log in, and why.
pub(crate) async fn standing(world: &World, id: Uuid) -> (Status, Reason) {
    let user = stored(world, id).await;
    (user.status, user.reason)
}

/// Who has a login name, in any case.
pub(crate) async fn by_login(world: &World, login_name: &str) -> Vec<StoredUser> {
    let tenant = TENANT.parse().unwrap();
    let found = world.store.users_by_login(&tenant, login_name).await;
    found.unwrap()
}

/// Requests for a page of the list of users.
pub(crate) fn users_page(page: u32) -> Matcher {
    Matcher::endpoint(Endpoint::Users).page(page)
}

/// Who changes on an ordinary day.
pub(crate) struct Day {
    pub(crate) joined: Uuid,
    pub(crate) disabled: Uuid,
    pub(crate) deleted: Uuid,
}

/// An ordinary day: one joins, one gets another name, one is disabled and one deleted.
pub(crate) fn a_day(world: &World) -> Day {
    let ids = ids(world);
    let mut directory = world.tenant.directory();
    let name = format!("{}@contoso.com", ids[0].simple());
    directory.rename(ids[0], &name, "Renamed").unwrap();
    directory.set_account_enabled(ids[1], Some(false)).unwrap();
    directory.soft_delete(ids[2]).unwrap();
    Day {
        joined: directory.add_people(1)[0],
        disabled: ids[1],
        deleted: ids[2],
    }
}

/// A run after which nobody is off who was on before it.
pub(crate) async fn sync_with_nobody_off(world: &World) -> RunRecord {
    let before = world.users().await.unwrap();
    let run = world.sync().await.unwrap();
    let after = world.users().await.unwrap();
    assert_eq!(switched_off(&before, &after), [], "{run:?}");
    run
}

/// The run FAILS for this reason, and nobody is off.
pub(crate) async fn fails(world: &World, reason: FailReason) {
    let run = sync_with_nobody_off(world).await;
    let ended = (run.state, run.reason);
    assert_eq!(ended, (RunState::Failed, Some(reason)), "{run:?}");
}

/// Nothing is wrong any more: the next run completes, and leaves the directory equal to the tenant.
pub(crate) async fn mends(world: &World) -> RunRecord {
    world.graph().clear_faults();
    let run = world.sync().await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    in_step(world).await;
    run
}

/// The directory is equal to the tenant.
pub(crate) async fn in_step(world: &World) {
    let users = world.users().await.unwrap();
    assert_eq!(differs(world, &users).unwrap(), None);
}

/// Changes somebody in the tenant.
pub(crate) fn change(world: &World, id: Uuid, change: impl FnOnce(&mut User)) {
    world.tenant.directory().update(id, change).unwrap();
}

/// Every test has its row in the documentation, and every row its test.
#[test]
fn the_table_in_the_documentation_is_that_of_the_tests() {
    let sources = [
        include_str!("errors.rs"),
        include_str!("guards.rs"),
        include_str!("lists.rs"),
        include_str!("people.rs"),
        include_str!("restarts.rs"),
    ];
    let lines = sources.iter().flat_map(|source| source.lines());
    let mut is_test = false;
    let mut tests = BTreeSet::new();
    for line in lines {
        if is_test {
            let name = line.strip_prefix("async fn ").unwrap();
            tests.insert(name.split_once('(').unwrap().0);
        }
        is_test = line.starts_with("#[tokio::test");
    }
    let rows = include_str!("../../../../docs/FIELD.md").lines();
    let names = rows.filter_map(|row| row.strip_suffix("` |")?.rsplit_once('`'));
    let documented: BTreeSet<_> = names.map(|(_, name)| name).collect();
    assert_eq!(documented, tests);
}
