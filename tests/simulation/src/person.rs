//! What people of ours do: change a tenant's settings, and decide about users by hand.

use std::future::Future;

use dynoxide::AttributeValue;
use rollcall_core::by_hand::Decision;
use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_store::{Decided, Store};
use serde_json::{Value, json};

use crate::chaos::WireFault;
use crate::item::{Item, Place, Table, number, text};
use crate::stream::tenant_of;
use crate::tenants::SimTenant;
use crate::world::{World, lock};

/// What a write of somebody who is off has in it.
const OFF: &str = "\"INACTIVE\"";

tokio::task_local! {
    static PERSON: ();
}

/// Whether a person makes the current call.
pub(crate) fn calls() -> bool {
    PERSON.try_with(|()| ()).is_ok()
}

/// What a person asks for, over the same network as the functions.
pub(crate) async fn asks<Asked: Future>(asked: Asked) -> Asked::Output {
    PERSON.scope((), asked).await
}

/// What the network does to a person's call. Whoever sits before it does not leave a late one to itself.
pub(crate) fn wire_fault(world: &World, operation: &str) -> Option<WireFault> {
    match world.chaos.wire_fault(&world.dice, operation) {
        Some(WireFault::Late { .. }) => Some(WireFault::LostAfter),
        other => other,
    }
}

/// Stores a tenant's settings as they are now.
pub(crate) async fn put_settings(world: &World, store: &Store, tenant: &SimTenant) {
    let Ok(settings) = tenant.settings() else {
        world.violate(
            "the simulation",
            format!("settings of {} that are none", tenant.name),
        );
        return;
    };
    world.tell(|| format!("{}: the settings change", tenant.name));
    // Somebody else may have changed them at the same moment: then that stands.
    let _ = asks(store.put_tenant(&settings)).await;
}

/// Switches somebody on or off by hand, or gives him back to the syncs.
pub(crate) async fn decide(world: &World, store: &Store, tenant: &SimTenant) {
    let users: Vec<_> = {
        let mirror = lock(&world.mirror);
        let prefix = format!("{}#", tenant.name);
        let users = mirror.partitions(Table::Directory, &prefix);
        // Somebody who is on stays: a run that sees nobody known fails.
        let is_not_anchor = |(place, _): &(&Place, &Item)| place.sk != tenant.anchor.to_string();
        users
            .filter(is_not_anchor)
            .map(|(place, _)| place.clone())
            .collect()
    };
    let decisions = [Decision::Activate, Decision::Deactivate, Decision::Release];
    let decision = world.dice.of(decisions);
    let Some(place) = users.get(world.dice.index(users.len())) else {
        return;
    };
    let (Ok(named), Ok(id)) = (TenantId::new(&tenant.name), ObjectId::new(&place.sk)) else {
        return world.violate("the simulation", format!("{place} is no user"));
    };
    let decided = asks(store.decide(&named, &id, decision, "ada")).await;
    world.tell(|| format!("a person decides {decision:?} about {place}: {decided:?}"));
    if matches!(decided, Ok(Decided::Written(_))) {
        world.mark("users decided about by a person");
    }
}

/// Now and then a person decides about one of these: written past the store, under the same condition on
/// the version, and at once, so that it comes between a function's read and its write.
pub(crate) fn meddle(world: &World, places: &[Place]) {
    if places.is_empty() || !world.chaos.decides_by_hand(&world.dice) {
        return;
    }
    let is_anchor = |place: &Place| {
        let mut anchors = world.tenants.iter().map(|tenant| tenant.anchor.to_string());
        anchors.any(|anchor| anchor == place.sk)
    };
    let users: Vec<_> = {
        let mirror = lock(&world.mirror);
        let places = places.iter().filter(|place| !is_anchor(place));
        places
            .filter_map(|place| Some((place.clone(), mirror.get(place)?.clone())))
            .collect()
    };
    if let Some((place, item)) = users.get(world.dice.index(users.len())) {
        put(world, place, item);
    }
}

/// The users whom a request reads, to write them soon.
pub(crate) fn read_users(request: &[u8]) -> Vec<Place> {
    let directory = Table::Directory.name();
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let keys = request["RequestItems"][directory]["Keys"].clone();
    let keys: Vec<Item> = serde_json::from_value(keys).unwrap_or_default();
    keys.iter().map(|key| Place::of(directory, key)).collect()
}

/// The users whom a transaction has just switched off: they call.
pub(crate) fn switched_off(world: &World, request: &[u8]) -> Vec<Place> {
    // Most transactions switch nobody off, and to parse them is a fiftieth of a seed's time.
    if !String::from_utf8_lossy(request).contains(OFF) {
        return Vec::new();
    }
    let directory = Table::Directory.name();
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let actions = request["TransactItems"].as_array().cloned();
    let puts = actions
        .unwrap_or_default()
        .into_iter()
        .filter_map(|action| {
            let put = &action["Put"];
            let item: Item = serde_json::from_value(put["Item"].clone()).ok()?;
            (put["TableName"] == directory).then(|| Place::of(directory, &item))
        });
    let mirror = lock(&world.mirror);
    let is_off = |place: &Place| {
        let item = mirror.get(place);
        item.is_some_and(|item| {
            text(item, "status") == "INACTIVE" && item.contains_key("status_run")
        })
    };
    puts.filter(is_off).collect()
}

fn put(world: &World, place: &Place, item: &Item) {
    let status = world.dice.of(["ACTIVE", "INACTIVE"]);
    world.tell(|| format!("a person makes {place} {status}"));
    world.mark("users decided about by a person");
    let version = number(item, "version").unwrap_or_default();
    let mut after = item.clone();
    let mut set = |name: &str, value| after.insert(name.to_owned(), value);
    set("status", AttributeValue::S(status.into()));
    set("reason", AttributeValue::S("manual".into()));
    set("status_at", AttributeValue::N(world.now_ms().to_string()));
    set("version", AttributeValue::N((version + 1).to_string()));
    after.remove("status_run");
    let whose = world.tenant(tenant_of(place));
    let tells = whose.filter(|tenant| tenant.has_provider());
    // The index, by which providers are told, is written with the user.
    if let Some(AttributeValue::B(standing)) = after.get_mut("standing")
        && let Some(told) = standing.first_chunk_mut()
    {
        *told = [status.as_bytes()[0], b'm'];
    }
    let put = json!({ "Put": {
        "TableName": place.table.name(),
        "Item": after,
        "ConditionExpression": "version = :version",
        "ExpressionAttributeValues": { ":version": { "N": version.to_string() } },
    }});
    let request = json!({ "TransactItems": [put] }).to_string();
    crate::database::apply(world, "TransactWriteItems", request.as_bytes(), None);
    if let Some(tenant) = tells {
        wants_told_at_once(world, tenant);
    }
}

/// As the store has a tenant's service provider told, and past it.
fn wants_told_at_once(world: &World, tenant: &SimTenant) {
    let request = json!({
        "TableName": Table::Coordination.name(),
        "Key": { "pk": { "S": format!("head#{}", tenant.name) }, "sk": { "S": "head" } },
        "UpdateExpression": "SET scim_due_at = :now",
        "ConditionExpression": "attribute_exists(pk)",
        "ExpressionAttributeValues": { ":now": { "N": world.now_ms().to_string() } },
    });
    crate::database::apply(world, "UpdateItem", request.to_string().as_bytes(), None);
}
