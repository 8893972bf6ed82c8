//! The event that Lambda makes of SQS messages, and what it reads out of the answer.
//!
//! Both as the Lambda Developer Guide has them: "Using Lambda with Amazon SQS" (the example event)
//! and "Handling errors for an SQS event source" (`ReportBatchItemFailures`).

use std::collections::BTreeSet;

use aws_sdk_sqs::types::Message;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The event for messages of the queue with this ARN.
pub(crate) fn event(messages: &[Message], queue_arn: &str) -> Value {
    let region = queue_arn.split(':').nth(3).unwrap_or_default();
    let record = |message: &Message| {
        json!({
            "messageId": message.message_id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "attributes": system_attributes(message),
            "messageAttributes": message_attributes(message),
            "md5OfBody": message.md5_of_body,
            "eventSource": "aws:sqs",
            "eventSourceARN": queue_arn,
            "awsRegion": region,
        })
    };
    json!({ "Records": messages.iter().map(record).collect::<Vec<_>>() })
}

fn system_attributes(message: &Message) -> Value {
    let attributes = message.attributes.iter().flatten();
    attributes
        .map(|(name, value)| (name.as_str().to_owned(), json!(value)))
        .collect::<Map<_, _>>()
        .into()
}

fn message_attributes(message: &Message) -> Value {
    let attributes = message.message_attributes.iter().flatten();
    attributes
        .map(|(name, value)| {
            let mut attribute = json!({
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": value.data_type,
            });
            if let Some(text) = &value.string_value {
                attribute["stringValue"] = json!(text);
            }
            if let Some(bytes) = &value.binary_value {
                attribute["binaryValue"] = json!(STANDARD.encode(bytes));
            }
            (name.clone(), attribute)
        })
        .collect::<Map<_, _>>()
        .into()
}

/// The messages that an answer reports as failed, by id; an error if the whole batch counts as
/// failed, because the answer is not what it should be.
///
/// Nothing, `null` and an object without failures mean that all is done. A failure without an id,
/// or with the id of another batch, makes all fail: better twice than never.
pub(crate) fn failed_ids<'a>(
    answer: &'a Value,
    sent: &BTreeSet<&str>,
) -> Result<BTreeSet<&'a str>, &'static str> {
    let failures = match answer {
        Value::Null => return Ok(BTreeSet::new()),
        Value::Object(answer) => match answer.get("batchItemFailures") {
            None | Some(Value::Null) => return Ok(BTreeSet::new()),
            Some(Value::Array(failures)) => failures,
            Some(_) => return Err("batchItemFailures is not a list"),
        },
        _ => return Err("the answer is not an object"),
    };
    failures
        .iter()
        .map(|failure| match failure.get("itemIdentifier") {
            Some(Value::String(id)) if sent.contains(id.as_str()) => Ok(id.as_str()),
            Some(Value::String(_)) => Err("an itemIdentifier is not of this batch"),
            _ => Err("an item of batchItemFailures has no itemIdentifier"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(answer: Value) -> Result<Vec<String>, &'static str> {
        let sent = BTreeSet::from(["a", "b"]);
        let failed = failed_ids(&answer, &sent)?;
        Ok(failed.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn an_answer_without_failures_means_that_all_is_done() {
        for answer in [
            Value::Null,
            json!({}),
            json!({ "batchItemFailures": null }),
            json!({ "batchItemFailures": [] }),
            json!({ "statusCode": 200 }),
        ] {
            assert_eq!(failed(answer.clone()), Ok(vec![]), "{answer}");
        }
    }

    #[test]
    fn the_reported_messages_failed_and_no_others() {
        let one = json!({ "batchItemFailures": [{ "itemIdentifier": "b" }] });
        assert_eq!(failed(one), Ok(vec!["b".to_owned()]));
    }

    #[test]
    fn a_malformed_answer_fails_the_whole_batch() {
        for answer in [
            json!("done"),
            json!([]),
            json!({ "batchItemFailures": "a" }),
            json!({ "batchItemFailures": ["a"] }),
            json!({ "batchItemFailures": [{ "itemIdentifier": "" }] }),
            json!({ "batchItemFailures": [{ "itemIdentifier": null }] }),
            json!({ "batchItemFailures": [{ "itemIdentifier": 7 }] }),
            json!({ "batchItemFailures": [{ "itemId": "a" }] }),
            json!({ "batchItemFailures": [{ "itemIdentifier": "a" }, { "itemIdentifier": "c" }] }),
        ] {
            assert!(failed(answer.clone()).is_err(), "{answer}");
        }
    }
}
