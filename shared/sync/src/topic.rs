//! The topic that status events go to: SNS, first in first out, a group for each user.
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-fifo-topics.html>

use std::collections::{BTreeSet, HashMap};

use aws_sdk_sns::Client;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use rollcall_store::{UserChange, said_by_aws};

use crate::error::HandlerError;
use crate::status_event::StatusEvent;

/// The most messages of one request.
/// <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>
pub(crate) const MESSAGES_MAX: usize = 10;

/// The topic.
#[derive(Debug, Clone)]
pub struct Topic {
    /// The client that it is reached by.
    pub client: Client,
    /// Its ARN. Its name ends with `.fifo`.
    pub arn: String,
}

impl Topic {
    /// Publishes events, at most [`MESSAGES_MAX`], no two of one user: one request may take a part of them, and a
    /// user's events would change places. Gives the places of those that the topic has taken for certain, and what it
    /// says of another, if it does.
    pub(crate) async fn publish(
        &self,
        events: &[Event<'_>],
    ) -> Result<(BTreeSet<usize>, Option<String>), HandlerError> {
        let entries = events
            .iter()
            .enumerate()
            .map(|(place, event)| entry(place, event))
            .collect::<Result<Vec<_>, _>>()?;
        let answer = self
            .client
            .publish_batch()
            .topic_arn(&self.arn)
            .set_publish_batch_request_entries(Some(entries))
            .send()
            .await
            .map_err(|e| HandlerError::Topic(said_by_aws(&e)))?;
        // Who is in neither list was not taken either.
        let taken = answer.successful().iter();
        let taken = taken.filter_map(|it| it.id().and_then(|id| id.parse().ok()));
        let refused = answer.failed().first();
        let refused = refused.map(|it| format!("{}: {}", it.code(), it.message().unwrap_or("")));
        Ok((taken.collect(), refused))
    }
}

/// An event, and what it is of.
pub(crate) struct Event<'a> {
    /// The record's place in the stream: it tells a repetition from another write, which a version by hand may not.
    pub(crate) sequence_number: &'a str,
    pub(crate) changed: &'a UserChange,
    pub(crate) event: StatusEvent<'a>,
}

fn entry(place: usize, event: &Event<'_>) -> Result<PublishBatchRequestEntry, HandlerError> {
    let Event {
        sequence_number,
        changed,
        event,
    } = event;
    let body = serde_json::to_string(event).map_err(|e| HandlerError::Topic(e.to_string()))?;
    let user = format!("{}/{}", changed.tenant, changed.after.id);
    // What subscriptions filter by.
    let attributes = [
        ("tenant", changed.tenant.as_str()),
        ("change", event.change().name()),
        ("status", changed.after.status.name()),
        ("reason", changed.after.reason.name()),
    ];
    let mut named = HashMap::with_capacity(attributes.len());
    for (name, value) in attributes {
        let value = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(value)
            .build()
            .map_err(|e| HandlerError::Topic(e.to_string()))?;
        named.insert(name.to_owned(), value);
    }
    PublishBatchRequestEntry::builder()
        .id(place.to_string())
        .message(body)
        .set_message_attributes(Some(named))
        // The same within five minutes is told once, however often it is published.
        .message_deduplication_id(*sequence_number)
        .message_group_id(user)
        .build()
        .map_err(|e| HandlerError::Topic(e.to_string()))
}
