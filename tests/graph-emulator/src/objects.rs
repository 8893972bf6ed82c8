//! Single users, counts, and users by their ids.

use serde::Deserialize;
use uuid::Uuid;

use rollcall_ambient::Ambient;

use crate::answer::{Draft, Entity, GraphError, Members, Page, Raw};
use crate::errors::not_found;
use crate::lists::context;
use crate::request::Query;
use crate::tenant::Tenant;
use crate::user::Item;

/// The most ids that one getByIds takes. Source: "directoryObject: getByIds", section "Request
/// body".
const GET_BY_IDS_MAX: usize = 1_000;

/// `GET /users/{id}`, by object id or by login name.
pub(crate) fn user(
    tenant: &Tenant,
    origin: &str,
    key: &str,
    query: &Query,
) -> Result<Draft, GraphError> {
    let select = query.selected()?;
    let directory = tenant.directory();
    let id = Uuid::try_parse(key)
        .ok()
        .or_else(|| directory.find(key).map(|user| user.id));
    let user = id
        .and_then(|id| directory.shared(id))
        .ok_or_else(|| not_found(key))?;
    Ok(Draft::Entity(Entity {
        context: format!("{}/$entity", context(origin, query)),
        item: Item::of(user),
        select,
    }))
}

/// `GET /users/$count`, which is answered to those only who take a stale one.
pub(crate) fn count(tenant: &Tenant, eventual: bool) -> Result<Draft, GraphError> {
    if !eventual {
        return Err(GraphError::new(
            400,
            "Request_BadRequest",
            "$count is not currently supported.",
        ));
    }
    Ok(Draft::Raw(Raw {
        status: 200,
        content_type: "text/plain",
        headers: Vec::new(),
        body: tenant.directory().len().to_string().into_bytes(),
    }))
}

#[derive(Deserialize)]
struct GetByIds {
    ids: Vec<String>,
    #[serde(default)]
    types: Option<Vec<String>>,
}

/// `POST /directoryObjects/getByIds`: those that are there, in any order.
pub(crate) fn get_by_ids(
    ambient: &Ambient,
    tenant: &Tenant,
    origin: &str,
    query: &Query,
    body: &[u8],
) -> Result<Draft, GraphError> {
    let bad = |message: String| GraphError::new(400, "Request_BadRequest", message);
    let select = query.selected()?;
    let asked: GetByIds = serde_json::from_slice(body)
        .map_err(|error| bad(format!("Invalid body of getByIds: {error}.")))?;
    if asked.ids.len() > GET_BY_IDS_MAX {
        return Err(bad(format!(
            "Number of included identifiers cannot exceed '{GET_BY_IDS_MAX}'."
        )));
    }
    let mut ids = Vec::with_capacity(asked.ids.len());
    for id in &asked.ids {
        let id =
            Uuid::try_parse(id).map_err(|_| bad(format!("Invalid object identifier '{id}'.")))?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let users_wanted = asked.types.is_none_or(|types| {
        types
            .iter()
            .any(|kind| kind == "user" || kind == "directoryObject")
    });
    let directory = tenant.directory();
    let mut items: Vec<Item> = ids
        .into_iter()
        .filter(|_| users_wanted)
        .filter_map(|id| directory.shared(id))
        .map(|user| Item {
            kind: Some("#microsoft.graph.user"),
            ..Item::of(user)
        })
        .collect();
    drop(directory);
    fastrand::Rng::with_seed(ambient.random_u64()).shuffle(&mut items);
    Ok(Draft::Page(Page {
        context: format!("{origin}/v1.0/$metadata#directoryObjects"),
        count: None,
        next_link: None,
        delta_link: None,
        members: Members::Items(items),
        select,
    }))
}
