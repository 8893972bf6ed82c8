//! The embedded DynamoDB, called operation by operation, with the mirror and the checks behind it.

use dynoxide::actions::batch_get_item::BatchGetItemRequest;
use dynoxide::actions::get_item::GetItemRequest;
use dynoxide::actions::query::{QueryRequest, QueryResponse};
use dynoxide::actions::transact_write_items::{TransactWriteItem, TransactWriteItemsRequest};
use dynoxide::actions::update_item::UpdateItemRequest;
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::dynamo::Reply;
use crate::item::{Item, Place, Table, number};
use crate::lambda::Invocation;
use crate::spoiled::spoiled;
use crate::world::{World, lock};

/// The operations that a function may use. Anything else is a violation.
const READS: [&str; 3] = ["GetItem", "Query", "BatchGetItem"];
const WRITES: [&str; 2] = ["UpdateItem", "TransactWriteItems"];
/// Nobody calls these, a person neither.
const DELETES: [&str; 2] = ["DeleteItem", "BatchWriteItem"];

const DELETED: &str = "invariant 5: nothing is deleted";

/// Applies a request as DynamoDB does, and looks at what it did.
pub(crate) fn apply(
    world: &World,
    operation: &str,
    body: &[u8],
    invocation: Option<&Invocation>,
) -> Reply {
    let is_known = READS.contains(&operation) || WRITES.contains(&operation);
    if DELETES.contains(&operation) || (invocation.is_some() && !is_known) {
        world.violate(DELETED, format!("somebody called {operation}"));
    }
    let answer = match operation {
        "GetItem" => call(body, |request| world.database.get_item(request)),
        "Query" => query(world, body),
        "BatchGetItem" => batch_get(world, body),
        "UpdateItem" => update(world, body, invocation),
        "TransactWriteItems" => transact(world, body, invocation),
        "DeleteItem" => call(body, |request| world.database.delete_item(request)),
        "BatchWriteItem" => call(body, |request| world.database.batch_write_item(request)),
        "CreateTable" => call(body, |request| world.database.create_table(request)),
        "UpdateTimeToLive" => call(body, |request| world.database.update_time_to_live(request)),
        other => Err(DynoxideError::ValidationException(format!(
            "the simulation does not know {other}"
        ))),
    };
    match answer {
        Ok(answer) if invocation.is_some() && READS.contains(&operation) => {
            (200, spoiled(world, operation, body, answer))
        }
        Ok(body) => (200, body),
        Err(error) => (error.status_code(), error.to_json().into_bytes()),
    }
}

fn parsed<Request: DeserializeOwned>(body: &[u8]) -> Result<Request, DynoxideError> {
    serde_json::from_slice(body)
        .map_err(|error| DynoxideError::SerializationException(error.to_string()))
}

fn written(answer: &impl Serialize) -> Result<Vec<u8>, DynoxideError> {
    serde_json::to_vec(answer)
        .map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

fn call<Request: DeserializeOwned, Answer: Serialize>(
    body: &[u8],
    run: impl FnOnce(Request) -> Result<Answer, DynoxideError>,
) -> Result<Vec<u8>, DynoxideError> {
    written(&run(parsed(body)?)?)
}

// === Reads ===

/// A query, its answer cut into pages as long partitions are, and behind the writes by moments if
/// it does not ask for consistency.
fn query(world: &World, body: &[u8]) -> Result<Vec<u8>, DynoxideError> {
    let mut request: QueryRequest = parsed(body)?;
    if let Some(page) = world.chaos.query_page(&world.dice) {
        request.limit = Some(page);
    }
    if world
        .chaos
        .loses_list(&world.dice, &String::from_utf8_lossy(body))
    {
        world.tell(|| "!! DynamoDB: the list of batches reads empty".into());
        world.store_lies("fault: the list of batches read empty");
        let empty = json!({ "Items": [], "Count": 0, "ScannedCount": 0 });
        return written(&empty);
    }
    // An index is behind as well. The one by login name is asked by operators alone, who ask again.
    let by_login = request.index_name.as_deref() == Some(rollcall_store::LOGIN_INDEX);
    let is_index = request.index_name.is_some();
    let lags = request.consistent_read != Some(true) && !by_login;
    let table = request.table_name.clone();
    let mut answer = world.database.query(request)?;
    if lags && let Some(lag_ms) = world.chaos.read_lag_ms(&world.dice, is_index) {
        age(world, &table, &mut answer, lag_ms);
    }
    written(&answer)
}

fn age(world: &World, table: &str, answer: &mut QueryResponse, lag_ms: u64) {
    let since_ms = world.now_ms().saturating_sub(lag_ms);
    let mirror = lock(&world.mirror);
    let Some(items) = &mut answer.items else {
        return;
    };
    items.retain_mut(|item| {
        match mirror.lagging(&Place::of(table, item), since_ms) {
            None => true,
            Some(None) => false,
            Some(Some(old)) => {
                // What the query projected is what it gets, as it was.
                let names: Vec<_> = item.keys().cloned().collect();
                let was = |name: String| old.get(&name).cloned().map(|value| (name, value));
                *item = names.into_iter().filter_map(was).collect();
                true
            }
        }
    });
    answer.count = items.len();
}

/// Many items, some of which DynamoDB leaves for the next call.
fn batch_get(world: &World, body: &[u8]) -> Result<Vec<u8>, DynoxideError> {
    let mut request: BatchGetItemRequest = parsed(body)?;
    let mut left = serde_json::Map::new();
    for (table, keys) in &mut request.request_items {
        let Some(kept) = world.chaos.processed_keys(&world.dice, keys.keys.len()) else {
            continue;
        };
        let rest = keys.keys.split_off(kept);
        let rest = json!({ "Keys": rest, "ConsistentRead": keys.consistent_read });
        left.insert(table.clone(), rest);
    }
    request
        .request_items
        .retain(|_, keys| !keys.keys.is_empty());
    let mut answer = if request.request_items.is_empty() {
        json!({ "Responses": {} })
    } else {
        let answer = world.database.batch_get_item(request)?;
        serde_json::to_value(&answer)
            .map_err(|error| DynoxideError::InternalServerError(error.to_string()))?
    };
    if !left.is_empty() {
        answer["UnprocessedKeys"] = Value::Object(left);
    }
    written(&answer)
}

// === Writes ===

fn update(
    world: &World,
    body: &[u8],
    invocation: Option<&Invocation>,
) -> Result<Vec<u8>, DynoxideError> {
    let request: UpdateItemRequest = parsed(body)?;
    let (table, key) = (request.table_name.clone(), request.key.clone());
    let tells_all = request.return_values.as_deref() == Some("ALL_NEW");
    let answer = world.database.update_item(request)?;
    let place = Place::of(&table, &key);
    let after = match &answer.attributes {
        Some(after) if tells_all => Some(after.clone()),
        _ => read_back(&world.database, &table, key)?,
    };
    if let Some(after) = after {
        world.applied(vec![(place, after)], invocation);
    }
    written(&answer)
}

fn transact(
    world: &World,
    body: &[u8],
    invocation: Option<&Invocation>,
) -> Result<Vec<u8>, DynoxideError> {
    let request: TransactWriteItemsRequest = parsed(body)?;
    let items = request.transact_items.clone();
    if items.iter().any(|item| item.delete.is_some()) {
        world.violate(DELETED, "a transaction deletes".to_owned());
    }
    let token = request.client_request_token.clone();
    let answer = world
        .database
        .transact_write_items(request)
        .inspect_err(|error| {
            if somebody_new_is_there(&items, error) {
                world.mark("new users who were there after all");
            }
        })?;
    // A transaction that is asked for again under its token has changed nothing.
    let is_new = token.is_none_or(|token| lock(&world.tokens).insert(token));
    if is_new {
        let mut writes = Vec::with_capacity(items.len());
        for item in items {
            writes.extend(write(&world.database, item)?);
        }
        world.applied(writes, invocation);
    }
    written(&answer)
}

/// Whether a transaction was refused because it puts somebody as new who is not.
fn somebody_new_is_there(items: &[TransactWriteItem], error: &DynoxideError) -> bool {
    let DynoxideError::TransactionCanceledException(_, reasons) = error else {
        return false;
    };
    items.iter().zip(reasons).any(|(item, reason)| {
        let put = item
            .put
            .as_ref()
            .filter(|put| Table::of(&put.table_name) == Table::Directory);
        reason.code == "ConditionalCheckFailed"
            && put.is_some_and(|put| number(&put.item, "version") == Some(1))
    })
}

fn write(
    database: &Database,
    item: TransactWriteItem,
) -> Result<Option<(Place, Item)>, DynoxideError> {
    let TransactWriteItem { put, update, .. } = item;
    if let Some(put) = put {
        let place = Place::of(&put.table_name, &put.item);
        return Ok(Some((place, put.item)));
    }
    if let Some(update) = update {
        let place = Place::of(&update.table_name, &update.key);
        let after = read_back(database, &update.table_name, update.key)?;
        return Ok(after.map(|after| (place, after)));
    }
    Ok(None)
}

fn read_back(database: &Database, table: &str, key: Item) -> Result<Option<Item>, DynoxideError> {
    let request = GetItemRequest {
        table_name: table.to_owned(),
        key,
        consistent_read: Some(true),
        ..GetItemRequest::default()
    };
    Ok(database.get_item(request)?.item)
}

// === For the history ===

/// What a request is about, in short.
pub(crate) fn told(operation: &str, body: &[u8]) -> String {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let place = |value: &Value, key: &str| {
        let table = value["TableName"].as_str().unwrap_or_default();
        let item: Item = serde_json::from_value(value[key].clone()).unwrap_or_default();
        Place::of(table, &item).to_string()
    };
    match operation {
        "TransactWriteItems" => {
            let items = request["TransactItems"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let parts: Vec<_> = items
                .iter()
                .map(|item| match item {
                    it if !it["Put"].is_null() => format!("put {}", place(&it["Put"], "Item")),
                    it if !it["Update"].is_null() => {
                        format!("update {}", place(&it["Update"], "Key"))
                    }
                    it => format!("check {}", place(&it["ConditionCheck"], "Key")),
                })
                .collect();
            parts.join(", ")
        }
        "Query" => request["ExpressionAttributeValues"][":p"]["S"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        "BatchGetItem" => {
            let tables = request["RequestItems"].as_object();
            let count = tables.map_or(0, |tables| {
                let keys = |table: &Value| table["Keys"].as_array().map_or(0, Vec::len);
                tables.values().map(keys).sum()
            });
            format!("{count} keys")
        }
        _ => place(&request, "Key"),
    }
}
