//! What Graph told an invocation, and what that one asked: for the checks.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use rollcall_core::ids::ObjectId;
use rollcall_graph::Request;
use rollcall_graph_emulator::Endpoint;
use serde_json::Value;

use crate::checks::failures::ATTEMPT_MS_MAX;
use crate::lambda::{Invocation, Served, ServedNext, Told};
use crate::tenants::GRAPH_RETRY_S_MAX;
use crate::world::{World, lock};

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

/// Whom a request asks for in bulk.
pub(super) fn remember_asked(invocation: &Invocation, endpoint: Endpoint, request: &Request) {
    if matches!(endpoint, Endpoint::Users | Endpoint::Delta) {
        let served = lock(&invocation.served).take();
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
    let body = request
        .body()
        .and_then(|body| body.as_bytes())
        .unwrap_or_default();
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
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
    Served {
        users: users.len() as u64,
        is_first: !is_next,
        decided: decided.count() as u64,
        is_delta: false,
        different: ids.len() as u64,
        next,
    }
}

pub(super) fn remember(
    world: &World,
    invocation: &Invocation,
    endpoint: Endpoint,
    is_next: bool,
    tenant: usize,
    body: &[u8],
) {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let name = world.tenants[tenant].name.clone();
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
            }
        }
        Endpoint::DeletedItems => {
            for user in members(&body["value"]) {
                tell(&user["id"], Told::InBin);
            }
        }
        Endpoint::Batch => {
            for response in members(&body["responses"]) {
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
