//! What the three batch operations share: the rules for the whole, and answers by entry.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::error::{ErrorCode, SqsError};
use crate::request::Entry;

/// How many entries a batch may have.
const ENTRIES_MAX: usize = 10;
/// How long an entry's id may be.
const ID_CHARS_MAX: usize = 80;

/// Refuses a batch that is wrong as a whole; nothing of it is done then.
pub(crate) fn check<E: Entry>(entries: &[E]) -> Result<(), SqsError> {
    if entries.is_empty() {
        return Err(SqsError::new(
            ErrorCode::EmptyBatchRequest,
            format!("There should be at least one {} in the request.", E::NAME),
        ));
    }
    if entries.len() > ENTRIES_MAX {
        return Err(SqsError::new(
            ErrorCode::TooManyEntriesInBatchRequest,
            format!(
                "Maximum number of entries per request are {ENTRIES_MAX}. You have sent {}.",
                entries.len()
            ),
        ));
    }
    let mut seen = BTreeSet::new();
    for id in entries.iter().map(Entry::id) {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=ID_CHARS_MAX).contains(&id.len()) || !id.bytes().all(allowed) {
            return Err(SqsError::new(
                ErrorCode::InvalidBatchEntryId,
                format!(
                    "A batch entry id can only contain alphanumeric characters, hyphens and \
                     underscores. It can be at most {ID_CHARS_MAX} letters long. Got {id:?}."
                ),
            ));
        }
        if !seen.insert(id) {
            return Err(SqsError::new(
                ErrorCode::BatchEntryIdsNotDistinct,
                format!("Id {id} repeated."),
            ));
        }
    }
    Ok(())
}

/// Does each entry on its own and tells which were done: one that fails holds up no other.
pub(crate) fn each<E: Entry>(
    entries: Vec<E>,
    mut act: impl FnMut(E) -> Result<Value, SqsError>,
) -> Value {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        let id = entry.id().to_owned();
        match act(entry) {
            Ok(mut answer) => {
                answer["Id"] = Value::String(id);
                successful.push(answer);
            }
            Err(error) => failed.push(json!({
                "Id": id,
                "SenderFault": true,
                "Code": error.code.query_code(),
                "Message": error.message,
            })),
        }
    }
    json!({ "Successful": successful, "Failed": failed })
}
