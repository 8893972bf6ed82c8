//! Status events: each change of a status is told at least once, a user's in their order, as the items have it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use rollcall_sns_wire::Message;
use serde_json::{Value, json};

use crate::item::{Item, Table, number, text, text_if_any};
use crate::mirror::Change;
use crate::stream::{What, is_of_status, tenant_of};
use crate::tenants::NAME_MARK;
use crate::world::{World, lock};

/// What the application was told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// By group and deduplication id: when the topic took it, in milliseconds since 1970.
    pub(crate) taken_ms: HashMap<(String, String), u64>,
    /// Until then it takes nothing, in milliseconds since 1970.
    pub(crate) topic_is_down_until_ms: u64,
    /// The records that came at least once.
    records: BTreeSet<u64>,
    /// Of each user the highest version, and his status then: what an application goes by.
    users: BTreeMap<(String, String), (u64, String)>,
}

/// Looks at a message that the topic passes on.
pub(crate) fn passed_on(world: &World, message: &Message) {
    let stream = lock(&world.stream);
    let record = stream.of_number(&message.deduplication);
    let Some((number, change, entry)) = record.and_then(|record| match &record.what {
        What::Write(change, entry) => Some((record.number, change, entry.as_ref())),
        What::Oddity(_) => None,
    }) else {
        let detail = format!("{}: {}", message.deduplication, message.body);
        return world.violate("status events: what is told was written", detail);
    };
    if let Some(wrong) = is_other(world, message, change, entry) {
        let detail = format!("{wrong} of {}: {}", change.place, message.body);
        world.violate("status events: what is told was written", detail);
    }
    let mut told = lock(&world.told);
    let earlier = stream.records.iter().filter(|it| it.number < number);
    let left_out = earlier.filter(|it| !told.records.contains(&it.number)).find(
        |it| matches!(&it.what, What::Write(it, _) if it.place == change.place && is_of_status(it)),
    );
    if let Some(left_out) = left_out {
        let detail = format!("{number} of {} before {}", change.place, left_out.number);
        world.violate("status events: a user's come in their order", detail);
    }
    world.mark(if told.records.insert(number) {
        "status events told"
    } else {
        "status events told again"
    });
    let of_body = |name: &str| message.body[name].as_str().unwrap_or_default().to_owned();
    let version = message.body["version"].as_u64().unwrap_or_default();
    let whose = (of_body("tenant"), of_body("id"));
    let known = told.users.entry(whose).or_default();
    if version >= known.0 {
        *known = (version, of_body("status"));
    }
}

fn number_of(item: &Item) -> u64 {
    number(item, "version").unwrap_or_default()
}

/// What a message says otherwise than the items.
fn is_other(
    world: &World,
    message: &Message,
    change: &Change,
    entry: Option<&Item>,
) -> Option<&'static str> {
    let (body, after) = (&message.body, &change.after);
    let tenant = tenant_of(&change.place);
    let before = change.before.as_ref();
    let standing = before.map_or(
        Value::Null,
        |it| json!({ "status": text(it, "status"), "reason": text(it, "reason") }),
    );
    let became = match (before.map(|it| text(it, "status")), text(after, "status")) {
        (None, _) => "created",
        (Some(before), after) if before == after => "reason",
        (_, "ACTIVE") => "switched_on",
        _ => "switched_off",
    };
    let at = i64::try_from(number(after, "status_at").unwrap_or_default());
    let at = Timestamp::from_millisecond(at.unwrap_or_default()).unwrap_or_default();
    let expected = [
        ("schema", json!(1)),
        ("tenant", json!(tenant)),
        ("id", json!(change.place.sk)),
        ("version", json!(number_of(after))),
        ("status", json!(text(after, "status"))),
        ("reason", json!(text(after, "reason"))),
        ("change", json!(became)),
        ("before", standing),
        ("at", json!(at.to_string())),
    ];
    if let Some((name, _)) = expected.iter().find(|(name, value)| body[*name] != *value) {
        return Some(name);
    }
    // And the cause.
    if body.as_object().map_or(0, serde_json::Map::len) != expected.len() + 1 {
        return Some("a field more");
    }
    let filters = ["tenant", "change", "status", "reason"];
    let of_body = filters.map(|name| (name.to_owned(), body[name].as_str().unwrap_or_default()));
    let attributes = message.attributes.iter();
    let attributes: BTreeMap<_, _> = attributes
        .map(|(name, value)| (name.clone(), value.as_str()))
        .collect();
    if attributes != BTreeMap::from(of_body) {
        return Some("an attribute");
    }
    let text = body.to_string();
    if text.contains(NAME_MARK) || text.contains('@') {
        return Some("a name");
    }
    if message.group != format!("{tenant}/{}", change.place.sk) {
        return Some("group");
    }
    // What was read of the journal may not be what was written.
    let is_cause = world.journal_has_lied() || is_cause(&body["cause"], entry, after);
    (!is_cause || !is_of_status(change)).then_some("cause")
}

/// Whether a cause is what the journal has, and all of it.
fn is_cause(cause: &Value, entry: Option<&Item>, after: &Item) -> bool {
    let Some(entry) = entry else {
        return cause.is_null();
    };
    let evidence = text_if_any(entry, "evidence");
    let expected = if let Some(run) = number(entry, "reverted") {
        json!({ "kind": "revert", "run": run })
    } else if entry.contains_key("by") {
        json!({ "kind": "person", "decision": crate::item::json(entry, "decision") })
    } else if let Some(evidence) = evidence {
        let run: Option<u64> = text(entry, "pk")
            .split('#')
            .nth(2)
            .and_then(|it| it.parse().ok());
        json!({ "kind": "plan", "run": run, "evidence": evidence })
    } else {
        let seen = text(after, "sync_order").replace('.', "/");
        json!({ "kind": "sighting", "run": number(after, "sync_run"), "seen": seen })
    };
    *cause == expected
}

/// At the end of the stream each change was told, and who goes by the highest version knows how everybody stands.
pub(crate) fn all(world: &World) {
    let (stream, told) = (lock(&world.stream), lock(&world.told));
    let mirror = lock(&world.mirror);
    for record in &stream.records {
        let What::Write(change, _) = &record.what else {
            continue;
        };
        if is_of_status(change) && !told.records.contains(&record.number) {
            let detail = format!("{} of {}", record.number, change.place);
            return world.violate("status events: each change is told", detail);
        }
    }
    for (place, item) in mirror.partitions(Table::Directory, "") {
        let whose = (tenant_of(place).to_owned(), place.sk.clone());
        let known = told.users.get(&whose).map(|(_, status)| status.as_str());
        if known != Some(text(item, "status")) {
            let detail = format!("{place} is taken for {known:?}");
            return world.violate("status events: the highest version has the say", detail);
        }
    }
}
