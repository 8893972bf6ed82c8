//! What Graph told an invocation, and what that one asked: for the checks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use rollcall_core::ids::ObjectId;
use rollcall_graph::Request;
use rollcall_graph_emulator::Endpoint;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::checks::failures::ATTEMPT_MS_MAX;
use crate::item::{Place, flag, json as json_of, text_if_any};
use crate::lambda::{Invocation, Served, ServedNext, Told};
use crate::oracle::Scope;
use crate::tenants::GRAPH_RETRY_S_MAX;
use crate::world::{World, lock};

/// What a request asks for that its answer does not name.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Whose members.
    group: Option<Uuid>,
    /// By the ids of a batch: whom it asks about, in which groups he is.
    members: BTreeMap<String, ObjectId>,
}

impl Asked {
    pub(super) fn of(request: &Request) -> Self {
        let path = request.url().path();
        let group = path.strip_prefix("/v1.0/groups/");
        let group = group.and_then(|it| it.strip_suffix("/transitiveMembers"));
        let questions = body_of(request)["requests"].take();
        let members = questions.as_array().into_iter().flatten();
        let members = members.filter_map(|question| {
            let user = question["url"].as_str()?.strip_prefix("/users/")?;
            let user = user.strip_suffix("/checkMemberGroups")?;
            Some((
                question["id"].as_str()?.to_owned(),
                ObjectId::new(user).ok()?,
            ))
        });
        Self {
            group: group.and_then(|it| Uuid::try_parse(it).ok()),
            members: members.collect(),
        }
    }
}

fn body_of(request: &Request) -> Value {
    let body = request.body().and_then(|body| body.as_bytes());
    serde_json::from_slice(body.unwrap_or_default()).unwrap_or_default()
}

/// The answer to a batch whose application may not look into any group: it leaves them out of what it
/// says, and nothing else shows.
pub(super) fn without_groups(body: &Bytes) -> Bytes {
    let Ok(mut answer) = serde_json::from_slice::<Value>(body) else {
        return body.clone();
    };
    let responses = answer["responses"].as_array_mut().into_iter().flatten();
    for response in responses {
        let body = &mut response["body"];
        if body["value"].is_array() {
            body["value"] = json!([]);
        }
    }
    Bytes::from(answer.to_string())
}

/// A request is tried for as long as its tenant allows, and not longer.
pub(super) fn is_within_its_budget(
    world: &World,
    invocation: &Invocation,
    endpoint: Endpoint,
    request: &Request,
) {
    if endpoint == Endpoint::Token {
        return;
    }
    let url = request.url().to_string();
    let now_ms = world.now_ms();
    let mut trying = lock(&invocation.trying);
    let since_ms = match &*trying {
        Some((tried, since_ms)) if *tried == url => *since_ms,
        _ => now_ms,
    };
    *trying = Some((url, since_ms));
    let stood_ms = invocation.stood_ms.load(Ordering::Relaxed);
    let allowed_ms = GRAPH_RETRY_S_MAX * 1_000 + ATTEMPT_MS_MAX + stood_ms;
    if now_ms - since_ms > allowed_ms {
        let detail = format!("{endpoint:?} is tried for {} ms", now_ms - since_ms);
        world.violate(
            "invariant 9: a request is given up in its time",
            format!("{detail} (by {}#{})", invocation.function, invocation.id),
        );
    }
}

/// The delta around a full run is begun before its first page is asked for.
pub(super) fn is_bracketed(
    world: &World,
    invocation: &Invocation,
    endpoint: Endpoint,
    is_next: bool,
) {
    let Some((tenant, run)) = &invocation.called_for.run else {
        return;
    };
    if endpoint != Endpoint::Users || is_next {
        return;
    }
    let place = Place::coordination(format!("run#{tenant}"), format!("{run:010}"));
    let is_begun = lock(&world.mirror).get(&place).is_some_and(|run| {
        text_if_any(run, "bracket").is_some() || flag(run, "no_delta") == Some(true)
    });
    if !is_begun {
        let detail = format!("{tenant}/{run} asks for its users before the delta around them");
        world.violate("fine print 12: a full run is within a delta", detail);
    }
}

/// Whom a request asks for in bulk.
pub(super) fn remember_asked(invocation: &Invocation, endpoint: Endpoint, request: &Request) {
    if matches!(endpoint, Endpoint::Users | Endpoint::Delta) {
        let served = lock(&invocation.served).take();
        // It may ask for the next page while it commits this one.
        let in_hand = served.clone().filter(|it| !it.is_committed);
        lock(&invocation.committing).extend(in_hand);
        let mut before = lock(&invocation.served_before);
        if endpoint == Endpoint::Users {
            *before = None;
        } else if served
            .as_ref()
            .is_some_and(|it| !it.is_delta && it.next == ServedNext::LastUsers)
        {
            *before = served;
        }
    }
    if endpoint != Endpoint::GetByIds {
        return;
    }
    let body = body_of(request);
    let ids = body["ids"].as_array().into_iter().flatten();
    let ids = ids.filter_map(|id| ObjectId::new(id.as_str()?).ok());
    lock(&invocation.asked).extend(ids);
}

fn page(users: &[Value], body: &Value, is_next: bool) -> Served {
    let link = |name: &str| body[name].as_str().map(str::to_owned);
    let is_delta = body["@odata.nextLink"]
        .as_str()
        .is_some_and(|link| link.contains("/delta?"));
    let next = match (link("@odata.nextLink"), link("@odata.deltaLink")) {
        (Some(next), _) if is_delta => ServedNext::Delta(next),
        (Some(next), _) => ServedNext::Users(next),
        (None, Some(delta)) => ServedNext::DeltaLink(delta),
        (None, None) => ServedNext::LastUsers,
    };
    let ids: BTreeSet<_> = users.iter().filter_map(|it| it["id"].as_str()).collect();
    let decided = users.iter().filter(|it| it["accountEnabled"].is_boolean());
    let mut enabled = BTreeMap::new();
    for user in users {
        let id = user["id"].as_str().unwrap_or_default().to_owned();
        if user["@removed"].is_object() {
            enabled.remove(&id);
        } else if let Some(told) = user.get("accountEnabled") {
            enabled.insert(id, told.as_bool());
        }
    }
    Served {
        users: users.len() as u64,
        is_first: !is_next,
        decided: decided.count() as u64,
        is_delta: false,
        different: ids.len() as u64,
        enabled,
        next,
        is_committed: false,
    }
}

pub(super) fn remember(
    world: &World,
    invocation: &Invocation,
    (endpoint, asked, is_next): (Endpoint, &Asked, bool),
    tenant: usize,
    body: &[u8],
) {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let name = world.tenants[tenant].name.clone();
    let settings = Place::coordination("tenants".into(), name.clone());
    let scope = lock(&world.mirror)
        .get(&settings)
        .map(|item| Scope::of(&json_of(item, "settings")))
        .unwrap_or_default();
    let mut told = lock(&invocation.told);
    let mut tell = |id: &Value, what: Told| {
        if let Some(id) = id.as_str().and_then(|id| ObjectId::new(id).ok()) {
            told.entry((name.clone(), id)).or_default().push(what);
        }
    };
    let members = |list: &Value| list.as_array().cloned().unwrap_or_default();
    match endpoint {
        Endpoint::Users => {
            // Only a page that is whole is one.
            let served = body["value"].as_array();
            *lock(&invocation.served) = served.map(|users| page(users, &body, is_next));
        }
        Endpoint::Delta => {
            let served = body["value"].as_array();
            for user in served.into_iter().flatten() {
                if user["@removed"].is_object() {
                    tell(&user["id"], Told::Removed);
                }
            }
            *lock(&invocation.served) = served.map(|users| Served {
                is_delta: true,
                ..page(users, &body, is_next)
            });
        }
        Endpoint::GetByIds => {
            for user in members(&body["value"]) {
                tell(&user["id"], Told::Alive(user["accountEnabled"].as_bool()));
                let text = |name: &str| user[name].as_str();
                let takes = scope.takes_stored(text("userType"), text("userPrincipalName"), true);
                tell(&user["id"], Told::Outside(takes.map(|takes| !takes)));
            }
        }
        Endpoint::DeletedItems => {
            for user in members(&body["value"]) {
                tell(&user["id"], Told::InBin);
            }
        }
        Endpoint::GroupMembers => {
            if let Some(group) = asked.group {
                let mut lists = lock(&invocation.listed);
                let list = lists.entry((name, group)).or_default();
                if !is_next {
                    list.users.clear();
                }
                let users = members(&body["value"]).into_iter();
                let users = users.filter(|it| it["@odata.type"] == "#microsoft.graph.user");
                let users: Vec<_> = users
                    .filter_map(|it| ObjectId::new(it["id"].as_str()?).ok())
                    .collect();
                list.ever.extend(users.iter().cloned());
                list.users.extend(users);
                list.is_whole = body["value"].is_array() && body["@odata.nextLink"].is_null();
            }
        }
        Endpoint::Batch => {
            let names_a_group = |it: &Value| !members(&it["body"]["value"]).is_empty();
            let is_vouched = members(&body["responses"]).iter().any(names_a_group);
            for response in members(&body["responses"]) {
                let asked = response["id"].as_str().and_then(|id| asked.members.get(id));
                if let Some(user) = asked {
                    let groups = response["body"]["value"].as_array();
                    if response["status"] == 200 && groups.is_some() {
                        let is_in = groups.is_some_and(|groups| !groups.is_empty());
                        let member = Told::Member { is_in, is_vouched };
                        tell(&user.as_str().into(), member);
                    }
                    continue;
                }
                let is_gone = response["status"] == 404
                    && response["body"]["error"]["code"] == "Request_ResourceNotFound";
                if response["status"] == 200 {
                    let user = &response["body"];
                    tell(&user["id"], Told::Alive(user["accountEnabled"].as_bool()));
                } else if is_gone {
                    let message = response["body"]["error"]["message"].as_str();
                    let id = message.and_then(|text| text.split('\'').nth(1));
                    tell(&id.unwrap_or_default().into(), Told::NotFound);
                }
            }
        }
        _ => {}
    }
}
