//! SNS on the wire, as far as publishing to a topic goes: for whatever stands in a topic's place in tests.
//! <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>
//!
//! It promises to refuse another request, too many messages, too many bytes, and ids that are there twice, and to
//! answer in SNS's words. It never keeps anything, and knows no fault: what becomes of a message is its caller's to
//! decide.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

/// The most messages of one request, and the most bytes of it.
const MESSAGES_MAX: usize = 10;
const BYTES_MAX: usize = 262_144;

const XMLNS: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its group.
    pub group: String,
    /// What tells a repetition.
    pub deduplication: String,
    /// Its text, read.
    pub body: Value,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

/// The messages of a request to a topic, each under its id.
///
/// # Errors
/// Another request, one to another topic, or one that SNS refuses.
pub fn entries(topic_arn: &str, request: &str) -> Result<Vec<(String, Message)>, String> {
    let mut form: BTreeMap<String, String> = form_urlencoded::parse(request.as_bytes())
        .into_owned()
        .collect();
    let mut take = |name: &str| form.remove(name).ok_or(format!("{name} is missing"));
    if take("Action")? != "PublishBatch" || take("TopicArn")? != topic_arn {
        return Err("another action, or another topic".into());
    }
    let mut entries = Vec::new();
    for number in 1.. {
        let entry = format!("PublishBatchRequestEntries.member.{number}");
        let Ok(id) = take(&format!("{entry}.Id")) else {
            break;
        };
        let mut attributes = BTreeMap::new();
        for number in 1.. {
            let attribute = format!("{entry}.MessageAttributes.entry.{number}");
            let Ok(name) = take(&format!("{attribute}.Name")) else {
                break;
            };
            attributes.insert(name, take(&format!("{attribute}.Value.StringValue"))?);
        }
        let text = take(&format!("{entry}.Message"))?;
        let message = Message {
            group: take(&format!("{entry}.MessageGroupId"))?,
            deduplication: take(&format!("{entry}.MessageDeduplicationId"))?,
            body: serde_json::from_str(&text).map_err(|e| e.to_string())?,
            attributes,
        };
        entries.push((id, message));
    }
    let ids: BTreeSet<_> = entries.iter().map(|(id, _)| id).collect();
    let count = entries.len();
    if count == 0 || count > MESSAGES_MAX || ids.len() < count || request.len() > BYTES_MAX {
        let bytes = request.len();
        return Err(format!("{count} messages, {bytes} bytes"));
    }
    Ok(entries)
}

/// The answer to a request that was taken, or a part of it: the ids of those that were, and of those that were not.
/// Of an id in neither nothing is said.
#[must_use]
pub fn published(taken: &[String], failed: &[String]) -> String {
    let (mut successful, mut not) = (String::new(), String::new());
    // A text takes whatever is written to it.
    for id in taken {
        let _ = write!(
            successful,
            "<member><Id>{id}</Id><MessageId>m-{id}</MessageId></member>"
        );
    }
    for id in failed {
        let _ = write!(
            not,
            "<member><Id>{id}</Id><Code>InternalError</Code><SenderFault>false</SenderFault></member>"
        );
    }
    format!(
        "<PublishBatchResponse xmlns=\"{XMLNS}\"><PublishBatchResult><Successful>{successful}</Successful>\
         <Failed>{not}</Failed></PublishBatchResult></PublishBatchResponse>"
    )
}

/// The answer to a request of which nothing was taken.
#[must_use]
pub fn refusal(code: &str, problem: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"{XMLNS}\"><Error><Type>Receiver</Type><Code>{code}</Code>\
         <Message>{problem}</Message></Error></ErrorResponse>"
    )
}
