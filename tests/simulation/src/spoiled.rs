//! Items that read otherwise than they were written, for one read: as if somebody had edited them by
//! hand, and put them back. What is spoiled is what its reader can see: a value of another type, a text
//! that is cut off, a part that is missing, a list of batches that does not add up.

use serde_json::{Map, Value, json};

use crate::dice::Dice;
use crate::world::World;

/// Attributes whose texts are one of a few words.
const WORDS: [&str; 4] = ["state", "status", "reason", "mode"];
/// What a batch item counts, and how it is linked to the others.
const COUNTS: [&str; 2] = ["sightings", "counted"];
const LINKS: [&str; 2] = ["digest", "previous"];

/// The answer to a read by a function, spoiled if the weather has it so.
pub(crate) fn spoiled(world: &World, operation: &str, request: &[u8], answer: Vec<u8>) -> Vec<u8> {
    let request = String::from_utf8_lossy(request);
    let is_plan = operation == "GetItem" && request.contains("\"plan#");
    if !world.chaos.spoils(&world.dice, is_plan) {
        return answer;
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(&answer) else {
        return answer;
    };
    let what = match operation {
        "Query" if request.contains("\"batch#") && world.dice.per_mille(500) => {
            spoil_list(&world.dice, &mut value)
        }
        "GetItem" if world.dice.per_mille(200) => lose(&request, &mut value),
        _ => spoil_item(&world.dice, items(&mut value)),
    };
    let Some(what) = what else {
        return answer;
    };
    world.tell(|| format!("!! DynamoDB: {what}"));
    world.store_lies("fault: an item that reads otherwise than it was written");
    value.to_string().into_bytes()
}

/// Everything that the answer has, in its order.
fn items(answer: &mut Value) -> Vec<&mut Map<String, Value>> {
    let Some(answer) = answer.as_object_mut() else {
        return Vec::new();
    };
    let mut items = Vec::new();
    for (name, value) in answer {
        match name.as_str() {
            "Item" => items.extend(value.as_object_mut()),
            "Items" => items.extend(objects(value)),
            "Responses" => {
                for table in value.as_object_mut().into_iter().flatten() {
                    items.extend(objects(table.1));
                }
            }
            _ => {}
        }
    }
    items
}

fn objects(list: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    let list = list.as_array_mut().into_iter().flatten();
    list.filter_map(Value::as_object_mut)
}

/// An attribute of an item has a value that nobody writes there.
fn spoil_item(dice: &Dice, mut items: Vec<&mut Map<String, Value>>) -> Option<String> {
    let index = dice.index(items.len());
    let item = items.get_mut(index)?;
    let place = format!("{} {}", item["pk"]["S"], item["sk"]["S"]);
    if dice.per_mille(100) {
        item.insert("schema".into(), json!({ "N": "99" }));
        return Some(format!("{place} is of a newer layout"));
    }
    let mut names: Vec<_> = item.keys().cloned().collect();
    names.retain(|name| name != "pk" && name != "sk");
    names.sort_unstable();
    let payload = "payload".to_owned();
    let name = if names.contains(&payload) && dice.per_mille(700) {
        &payload
    } else {
        names.get(dice.index(names.len()))?
    };
    let value = item.get_mut(name)?;
    *value = other(dice, name, value);
    Some(format!("{name} of {place} is spoiled"))
}

/// A value that does not fit where this one stands.
fn other(dice: &Dice, name: &str, value: &Value) -> Value {
    let text = value["S"].as_str();
    let is_json = text.is_some_and(|text| text.starts_with(['{', '[']));
    match text {
        Some(text) if is_json && dice.per_mille(500) => {
            let half: String = text.chars().take(text.chars().count() / 2).collect();
            json!({ "S": half })
        }
        Some(_) if WORDS.contains(&name) && dice.per_mille(500) => json!({ "S": "?" }),
        Some(text) if text.contains('.') && name.starts_with("sync_") => {
            json!({ "S": dice.of(["1", "1.x"]) })
        }
        Some(_) => json!({ "N": "7" }),
        None => match (value["N"].as_str(), value["B"].as_str()) {
            (Some(_), _) if dice.per_mille(500) => json!({ "N": "-1" }),
            (_, Some(packed)) if name == "payload" => json!({ "B": turned(dice, packed) }),
            (_, Some(_)) if dice.per_mille(500) => json!({ "B": "" }),
            _ if value["M"].is_object() && dice.per_mille(500) => {
                json!({ "M": { "a": { "N": "7" } } })
            }
            _ => json!({ "S": "?" }),
        },
    }
}

/// Base 64 with one bit of one digit turned. The last digits stay: they carry the padding.
fn turned(dice: &Dice, packed: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let at = dice.index(packed.len().saturating_sub(4));
    let turn = |(index, digit): (usize, u8)| {
        let value = DIGITS.iter().position(|it| *it == digit);
        match value.filter(|_| index == at) {
            Some(value) => char::from(DIGITS[value ^ 1]),
            None => char::from(digit),
        }
    };
    packed.bytes().enumerate().map(turn).collect()
}

/// A part of a page or plan, or a whole item, is not there.
fn lose(request: &str, answer: &mut Value) -> Option<String> {
    let kinds = ["page#", "plan#", "run#", "snapshot#", "head#"];
    let kind = kinds
        .into_iter()
        .find(|kind| request.contains(&format!("\"{kind}")))?;
    answer.as_object_mut()?.remove("Item")?;
    Some(format!("an item of {kind} is not found"))
}

/// A batch is missing from the list, or counts or names what no other one does.
fn spoil_list(dice: &Dice, answer: &mut Value) -> Option<String> {
    let batches = answer["Items"].as_array_mut()?;
    let index = dice.index(batches.len());
    if dice.per_mille(300) && index < batches.len() {
        let lost = batches.remove(index);
        let left = batches.len();
        answer["Count"] = json!(left);
        return Some(format!("batch {} is missing from a list", lost["sk"]["S"]));
    }
    let batch = batches.get_mut(index)?;
    let is_link = dice.per_mille(500);
    let name = dice.of(if is_link { LINKS } else { COUNTS });
    let value = batch.get_mut(name)?;
    if is_link {
        let link = value["S"].as_str()?;
        *value = json!({ "S": turned(dice, link) });
    } else {
        let count: u64 = value["N"].as_str()?.parse().ok()?;
        *value = json!({ "N": (count + 1).to_string() });
    }
    Some(format!("{name} of batch {} is another", batch["sk"]["S"]))
}
