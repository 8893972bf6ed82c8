//! Isolation: whoever was called for one tenant reads and writes nothing of another, asks for no token of
//! another, and shows nobody's token but its own.

use rollcall_graph::Request;
use serde_json::Value;
use uuid::Uuid;

use crate::lambda::Invocation;
use crate::world::World;

/// Looks at a request to DynamoDB: no key of it is another tenant's.
pub(crate) fn touches(world: &World, invocation: &Invocation, body: &str) {
    let others = world.tenants.iter().map(|tenant| tenant.name.as_str());
    for other in others.filter(|name| !invocation.called_for.is_for(name)) {
        // Most name nobody: to read them all would take longer.
        if !body.contains(other) {
            continue;
        }
        let request: Value = serde_json::from_str(body).unwrap_or_default();
        if let Some(key) = key_of(&request, other) {
            let detail = format!("{key} (by {}#{})", invocation.function, invocation.id);
            world.violate("isolation: nothing of another tenant is touched", detail);
        }
    }
}

/// A text in a request that has a tenant's name where keys have it.
fn key_of<'a>(request: &'a Value, tenant: &str) -> Option<&'a str> {
    match request {
        Value::String(text) => text
            .split('#')
            .any(|part| part == tenant)
            .then_some(text.as_str()),
        Value::Array(all) => all.iter().find_map(|it| key_of(it, tenant)),
        Value::Object(all) => all.values().find_map(|it| key_of(it, tenant)),
        _ => None,
    }
}

/// Looks at a request to Graph.
pub(crate) fn asks(world: &World, invocation: &Invocation, request: &Request) {
    let path = request.url().path();
    let whose = match path.strip_suffix("/oauth2/v2.0/token") {
        Some(directory) => Uuid::try_parse(directory.trim_start_matches('/')).ok(),
        None => bearer(request).and_then(|bearer| world.graph.whose(bearer)),
    };
    let whose = whose.and_then(|directory| world.tenant_by_directory(directory));
    let Some(tenant) = whose.map(|index| &world.tenants[index]) else {
        return;
    };
    if !invocation.called_for.is_for(&tenant.name) {
        let detail = format!(
            "a token of {} (by {}#{})",
            tenant.name, invocation.function, invocation.id
        );
        world.violate("isolation: a token is its tenant's alone", detail);
    }
}

fn bearer(request: &Request) -> Option<&str> {
    let header = request.headers().get("authorization")?;
    header.to_str().ok()?.strip_prefix("Bearer ")
}
