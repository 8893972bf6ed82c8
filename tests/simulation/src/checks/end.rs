//! The end of a story: the next complete run has left the directory equal to the tenant.

use std::collections::BTreeMap;

use rollcall_graph_emulator::User;
use uuid::Uuid;

use super::Checks;
use crate::item::{Item, Place, Table, flag, number, text};
use crate::mirror::Mirror;
use crate::tenants::SimTenant;
use crate::world::{World, lock};

const LOGIN_NAME: &str = "user_principal_name";
const EQUAL: &str = "oracle: the directory is the tenant's";

/// After faults stop, the next run completes; `false` if it may only be the one after it. A run
/// that sees none of the users who were on before fails by design: in a tenant of a handful, all of
/// them may have left. By the next run those who came are known.
pub(crate) fn completed(world: &World, tenant: &SimTenant, before: u64, may_fail: bool) -> bool {
    let mirror = lock(&world.mirror);
    let pk = format!("run#{}", tenant.name);
    let place = Place::coordination(pk, format!("{:010}", before + 1));
    let run = mirror.get(&place);
    let state = run.map_or("missing", |item| text(item, "state"));
    let why = run.map_or("", |item| text(item, "detail"));
    if may_fail && state == "FAILED" && why.starts_with("none of the") {
        return false;
    }
    if state != "COMPLETED" && !world.is_over() {
        let detail = format!("{}/{} is {state}: {why}", tenant.name, before + 1);
        world.violate("invariant 9: after faults stop a run completes", detail);
    }
    true
}

/// Whether somebody is on who has vanished.
pub(crate) fn active_but_gone(world: &World, tenant: &SimTenant) -> bool {
    let mirror = lock(&world.mirror);
    let directory = tenant.graph.directory();
    users(world, &mirror, tenant)
        .iter()
        .any(|(id, item)| text(item, "status") == "ACTIVE" && directory.get(*id).is_none())
}

fn users<'a>(world: &World, mirror: &'a Mirror, tenant: &SimTenant) -> BTreeMap<Uuid, &'a Item> {
    let prefix = format!("{}#", tenant.name);
    let users = mirror.partitions(Table::Directory, &prefix);
    let mut by_id = BTreeMap::new();
    for (place, item) in users {
        let id = Uuid::try_parse(&place.sk).unwrap_or_default();
        if by_id.insert(id, item).is_some() {
            world.violate(EQUAL, format!("{}: {id} is there twice", tenant.name));
        }
    }
    by_id
}

/// Whether a tenant's last run was told what changed, and completed by it.
pub(crate) fn was_delta(world: &World, tenant: &SimTenant, number: u64) -> bool {
    let mirror = lock(&world.mirror);
    let place = Place::coordination(format!("run#{}", tenant.name), format!("{number:010}"));
    let run = mirror.get(&place);
    let is_delta = run.is_some_and(|item| text(item, "mode") == "delta");
    let state = run.map_or("missing", |item| text(item, "state"));
    if is_delta && state != "COMPLETED" && !world.is_over() {
        let why = run.map_or("", |item| text(item, "detail"));
        let detail = format!("{}/{number} is {state}: {why}", tenant.name);
        world.violate("invariant 9: after faults stop a run completes", detail);
    }
    is_delta
}

/// User by user. Since `sparse_since_ms`, if given, deltas tell no more than what changed: of somebody
/// who was left out before and belongs now, too little. Without a login name he waits for the next
/// full run; with one, what was not told of him does.
pub(crate) fn equals(world: &World, tenant: &SimTenant, sparse_since_ms: Option<u64>) {
    let mirror = lock(&world.mirror);
    let checks = lock(&world.checks);
    let stored = users(world, &mirror, tenant);
    let scope = tenant.scope();
    let oracle = lock(&tenant.oracle);
    let mut wrong = Vec::new();
    for id in stored.keys() {
        if oracle.now(*id).is_none() {
            wrong.push(format!("{id} was never there"));
        }
    }
    for id in oracle.ids() {
        let truth = oracle.now(id);
        let live = truth.and_then(|truth| truth.user.as_ref());
        let in_scope = truth.and_then(|truth| scope.takes(truth)) == Some(true);
        let is_on = in_scope && live.and_then(|user| user.account_enabled) == Some(true);
        match stored.get(&id) {
            None if is_on && sparse_since_ms.is_none() => wrong.push(format!("{id} is lost")),
            None => {}
            Some(item) if text(item, "reason") == "manual" => {}
            Some(item) => {
                let status = if is_on { "ACTIVE" } else { "INACTIVE" };
                if text(item, "status") != status {
                    let reason = text(item, "reason");
                    wrong.push(format!("{id} should be {status}, the reason is {reason}"));
                } else if let Some(user) = live.filter(|_| in_scope)
                    && let Some(name) = differs(item, user)
                    && !(name != LOGIN_NAME
                        && text(item, name).is_empty()
                        && sparse_since_ms.is_some_and(|ms| oracle.was_there_before(id, ms))
                        && was_created_by_delta(&mirror, &checks, &tenant.name, id))
                {
                    wrong.push(format!("{id}: {name} is not the tenant's"));
                }
            }
        }
    }
    if !wrong.is_empty() && !world.is_over() {
        let detail = format!("{}: {}", tenant.name, wrong.join("; "));
        world.violate(EQUAL, detail);
    }
}

/// Whether all that is known of somebody is what deltas told.
fn was_created_by_delta(mirror: &Mirror, checks: &Checks, tenant: &str, id: Uuid) -> bool {
    let id = id.to_string();
    let mut worked = checks.worked.iter();
    worked.any(|(run, users)| {
        let place = Place::coordination(format!("run#{tenant}"), format!("{:010}", run.1));
        let run_item = mirror.get(&place);
        run.0 == tenant
            && users.get(&id) == Some(&"created")
            && run_item.is_some_and(|item| text(item, "mode") == "delta")
    })
}

/// The first attribute that is not as the tenant has it.
fn differs(item: &Item, user: &User) -> Option<&'static str> {
    let texts = [
        (LOGIN_NAME, &user.user_principal_name),
        ("mail", &user.mail),
        ("display_name", &user.display_name),
        ("user_type", &user.user_type),
    ];
    let wrong = texts
        .into_iter()
        .find(|(name, value)| text(item, name) != value.as_deref().unwrap_or_default());
    if let Some((name, _)) = wrong {
        return Some(name);
    }
    if flag(item, "account_enabled") != user.account_enabled {
        return Some("account_enabled");
    }
    number(item, "version").is_none().then_some("version")
}
