//! The requests of the JSON protocol, by the names of the API reference.
//!
//! A field that is not listed is refused: it would ask for something that the emulator does not do.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{ErrorCode, SqsError};
use crate::message::AttributeValue;

macro_rules! request {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        pub(crate) struct $name {
            $(#[serde(default)] pub(crate) $field: $kind,)*
        }
    };
}

request!(CreateQueue { queue_name: Option<String>, attributes: BTreeMap<String, String> });
request!(GetQueueUrl { queue_name: Option<String>, queue_owner_a_w_s_account_id: Option<String> });
request!(ListQueues {
    queue_name_prefix: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
});
request!(GetQueueAttributes { queue_url: Option<String>, attribute_names: Vec<String> });
request!(SetQueueAttributes { queue_url: Option<String>, attributes: BTreeMap<String, String> });
request!(PurgeQueue { queue_url: Option<String> });
request!(SendMessage {
    queue_url: Option<String>,
    message_body: Option<String>,
    delay_seconds: Option<i64>,
    message_group_id: Option<String>,
    message_attributes: BTreeMap<String, AttributeValue>,
});
request!(ReceiveMessage {
    queue_url: Option<String>,
    attribute_names: Vec<String>,
    message_system_attribute_names: Vec<String>,
    message_attribute_names: Vec<String>,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
});
request!(DeleteMessage { queue_url: Option<String>, receipt_handle: Option<String> });
request!(ChangeMessageVisibility {
    queue_url: Option<String>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<i64>,
});

/// A batch of any operation.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Batch<E> {
    #[serde(default)]
    pub(crate) queue_url: Option<String>,
    #[serde(default = "Vec::new")]
    pub(crate) entries: Vec<E>,
}

/// What every entry of a batch has.
pub(crate) trait Entry: DeserializeOwned {
    /// The operation's name for its entries, which the service's messages use.
    const NAME: &str;
    fn id(&self) -> &str;
}

macro_rules! entry {
    ($name:ident { $($field:ident: $kind:ty),* $(,)? }) => {
        request!($name { id: String, $($field: $kind),* });
        impl Entry for $name {
            const NAME: &str = stringify!($name);
            fn id(&self) -> &str {
                &self.id
            }
        }
    };
}

entry!(SendMessageBatchRequestEntry {
    message_body: Option<String>,
    delay_seconds: Option<i64>,
    message_group_id: Option<String>,
    message_attributes: BTreeMap<String, AttributeValue>,
});
entry!(DeleteMessageBatchRequestEntry { receipt_handle: Option<String> });
entry!(ChangeMessageVisibilityBatchRequestEntry {
    receipt_handle: Option<String>,
    visibility_timeout: Option<i64>,
});

/// Reads a request's body.
pub(crate) fn parse<R: DeserializeOwned>(body: &[u8]) -> Result<R, SqsError> {
    let refuse = |detail: &str| {
        let message = format!("The request is not what the emulator understands: {detail}");
        SqsError::new(ErrorCode::Serialization, message)
    };
    // serde would take an array for the fields in order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(refuse("the body is not a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| refuse(&error.to_string()))
}

/// A parameter that must be there.
pub(crate) fn required<T>(value: Option<T>, name: &str) -> Result<T, SqsError> {
    value.ok_or_else(|| SqsError::missing(name))
}

/// A number that must be in its range if it is there.
pub(crate) fn in_range(
    value: Option<i64>,
    name: &str,
    min: u64,
    max: u64,
) -> Result<Option<u64>, SqsError> {
    let Some(value) = value else {
        return Ok(None);
    };
    u64::try_from(value)
        .ok()
        .filter(|number| (min..=max).contains(number))
        .map(Some)
        .ok_or_else(|| {
            let reason = format!("Must be between {min} and {max}, if provided.");
            SqsError::invalid_parameter(name, value, &reason)
        })
}
