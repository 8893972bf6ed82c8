//! The operations on messages.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{ACCOUNT_ID, Sqs, queue_name, to_usize, wanted_names};
use crate::batch;
use crate::error::{ErrorCode, SqsError};
use crate::message::{AttributeValue, Draft, digest_attributes};
use crate::queue::Delivery;
use crate::request::{self, Batch, in_range, required};
use crate::settings::{DELAY_S_MAX, REQUEST_BYTES_MAX, VISIBILITY_S_MAX, WAIT_S_MAX};

/// How many messages one receive may give.
const RECEIVE_COUNT_MAX: u64 = 10;

/// The system attributes that a received message can have; some only in FIFO queues or with X-Ray.
const SYSTEM: [&str; 9] = [
    "SenderId",
    "SentTimestamp",
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "DeadLetterQueueSourceArn",
    "AWSTraceHeader",
    "MessageDeduplicationId",
    "MessageGroupId",
    "SequenceNumber",
];

/// What a receive asks for.
struct Wanted {
    count_max: usize,
    visibility_s: Option<u64>,
    system_attributes: Vec<String>,
    attributes: Vec<String>,
}

impl Sqs {
    // === Sending ===

    pub(super) fn send_message(&self, request: request::SendMessage) -> Result<Value, SqsError> {
        let name = queue_name(request.queue_url)?;
        let group = request.message_group_id.as_deref();
        let draft = draft(request.message_body, request.message_attributes, group)?;
        self.send(&name, draft, request.delay_seconds)
    }

    pub(super) fn send_message_batch(
        &self,
        request: Batch<request::SendMessageBatchRequestEntry>,
    ) -> Result<Value, SqsError> {
        let name = queue_name(request.queue_url)?;
        batch::check(&request.entries)?;
        self.with_queue(&name, |_, _| Ok(()))?;
        let mut total_bytes = 0;
        let mut drafts = BTreeMap::new();
        for entry in &request.entries {
            let group = entry.message_group_id.as_deref();
            let (body, attributes) = (&entry.message_body, &entry.message_attributes);
            let draft = draft(body.clone(), attributes.clone(), group);
            total_bytes += draft.as_ref().map_or(0, Draft::bytes);
            drafts.insert(entry.id.clone(), draft);
        }
        if total_bytes > REQUEST_BYTES_MAX {
            return Err(SqsError::new(
                ErrorCode::BatchRequestTooLong,
                format!(
                    "Batch requests cannot be longer than {REQUEST_BYTES_MAX} bytes. You have \
                     sent {total_bytes} bytes."
                ),
            ));
        }
        Ok(batch::each(request.entries, |entry| {
            let draft = drafts
                .remove(&entry.id)
                .unwrap_or_else(|| Err(SqsError::missing("MessageBody")))?;
            self.send(&name, draft, entry.delay_seconds)
        }))
    }

    fn send(&self, name: &str, draft: Draft, delay_s: Option<i64>) -> Result<Value, SqsError> {
        let delay_s = in_range(delay_s, "DelaySeconds", 0, DELAY_S_MAX)?;
        let id = self.ambient.random_uuid();
        let mut answer = json!({ "MessageId": id, "MD5OfMessageBody": draft.md5_of_body() });
        if let Some(md5) = draft.md5_of_attributes() {
            answer["MD5OfMessageAttributes"] = json!(md5);
        }
        self.with_queue(name, |shelf, now| {
            shelf.queue.send(id, draft, delay_s, now)?;
            // A delayed message rings too: the polls learn when to look again.
            shelf.changed.notify_waiters();
            Ok(answer)
        })
    }

    // === Receiving ===

    pub(super) async fn receive_message(
        &self,
        request: request::ReceiveMessage,
    ) -> Result<Value, SqsError> {
        let name = queue_name(request.queue_url)?;
        let count = request.max_number_of_messages;
        let count = in_range(count, "MaxNumberOfMessages", 1, RECEIVE_COUNT_MAX)?;
        let visibility_s = request.visibility_timeout;
        let mut asked = request.attribute_names;
        asked.extend(request.message_system_attribute_names);
        let wanted = Wanted {
            count_max: count.map_or(1, to_usize),
            visibility_s: in_range(visibility_s, "VisibilityTimeout", 0, VISIBILITY_S_MAX)?,
            system_attributes: wanted_names(&asked, SYSTEM.into_iter())?,
            attributes: request.message_attribute_names,
        };
        let wait_s = in_range(request.wait_time_seconds, "WaitTimeSeconds", 0, WAIT_S_MAX)?;
        let (changed, wait_s) = self.with_queue(&name, |shelf, _| {
            let wait_s = wait_s.unwrap_or(shelf.queue.settings().wait_s);
            Ok((Arc::clone(&shelf.changed), wait_s))
        })?;

        let deadline = Instant::now() + Duration::from_secs(wait_s);
        let mut closed = self.closed.subscribe();
        loop {
            // Registered before looking, so that no send falls between the look and the wait.
            let mut rung = pin!(changed.notified());
            rung.as_mut().enable();
            let (found, next_due) = match self.take(&name, &wanted) {
                // "When using long polling, Amazon SQS returns no error messages" (Developer
                // Guide, in-flight quota).
                Err(error) if error.code == ErrorCode::OverLimit && wait_s > 0 => {
                    (Vec::new(), None)
                }
                taken => taken?,
            };
            if !found.is_empty() {
                return messages(&found, &wanted);
            }
            if *closed.borrow() || Instant::now() >= deadline {
                return Ok(json!({}));
            }
            let until = next_due.map_or(deadline, |due| due.min(deadline));
            tokio::select! {
                () = rung => {}
                () = tokio::time::sleep_until(until) => {}
                _ = closed.changed() => {}
            }
        }
    }

    /// One look at a queue: what it gives, or when to look again.
    fn take(
        &self,
        name: &str,
        wanted: &Wanted,
    ) -> Result<(Vec<Delivery>, Option<Instant>), SqsError> {
        let now = self.now();
        let mut queues = self.lock();
        let shelf = queues.get_mut(name).ok_or_else(SqsError::no_such_queue)?;
        let received = shelf
            .queue
            .receive(wanted.count_max, wanted.visibility_s, now)?;
        let next_due = shelf.queue.next_due();
        let redrive = shelf.queue.settings().redrive.clone();
        let target = redrive.and_then(|to| self.name_of_arn(&to.target_arn));
        if let Some(grave) = target.and_then(|target| queues.get_mut(&target))
            && !received.dead.is_empty()
        {
            let source_arn = self.arn(name);
            for message in received.dead {
                grave.queue.bury(message, &source_arn);
            }
            grave.changed.notify_waiters();
        }
        Ok((received.delivered, next_due))
    }

    // === Settling ===

    pub(super) fn delete_message(
        &self,
        request: request::DeleteMessage,
    ) -> Result<Value, SqsError> {
        let name = queue_name(request.queue_url)?;
        self.delete(&name, request.receipt_handle)
    }

    pub(super) fn delete_message_batch(
        &self,
        request: Batch<request::DeleteMessageBatchRequestEntry>,
    ) -> Result<Value, SqsError> {
        let name = queue_name(request.queue_url)?;
        batch::check(&request.entries)?;
        self.with_queue(&name, |_, _| Ok(()))?;
        Ok(batch::each(request.entries, |entry| {
            self.delete(&name, entry.receipt_handle)
        }))
    }

    fn delete(&self, name: &str, receipt_handle: Option<String>) -> Result<Value, SqsError> {
        let handle = required(receipt_handle, "ReceiptHandle")?;
        self.with_queue(name, |shelf, now| shelf.queue.delete(&handle, now))?;
        Ok(json!({}))
    }

    pub(super) fn change_visibility(
        &self,
        request: request::ChangeMessageVisibility,
    ) -> Result<Value, SqsError> {
        let name = queue_name(request.queue_url)?;
        self.change(&name, request.receipt_handle, request.visibility_timeout)
    }

    pub(super) fn change_visibility_batch(
        &self,
        request: Batch<request::ChangeMessageVisibilityBatchRequestEntry>,
    ) -> Result<Value, SqsError> {
        let name = queue_name(request.queue_url)?;
        batch::check(&request.entries)?;
        self.with_queue(&name, |_, _| Ok(()))?;
        Ok(batch::each(request.entries, |entry| {
            self.change(&name, entry.receipt_handle, entry.visibility_timeout)
        }))
    }

    fn change(
        &self,
        name: &str,
        receipt_handle: Option<String>,
        visibility_s: Option<i64>,
    ) -> Result<Value, SqsError> {
        const NAME: &str = "VisibilityTimeout";
        let handle = required(receipt_handle, "ReceiptHandle")?;
        let visibility_s = in_range(visibility_s, NAME, 0, VISIBILITY_S_MAX)?;
        let visibility_s = required(visibility_s, NAME)?;
        self.with_queue(name, |shelf, now| {
            shelf.queue.change_visibility(&handle, visibility_s, now)?;
            shelf.changed.notify_waiters();
            Ok(json!({}))
        })
    }
}

fn draft(
    body: Option<String>,
    attributes: BTreeMap<String, AttributeValue>,
    group: Option<&str>,
) -> Result<Draft, SqsError> {
    let draft = Draft::new(required(body, "MessageBody")?, attributes)?;
    match group {
        Some(group) => draft.in_group(group),
        None => Ok(draft),
    }
}

fn messages(found: &[Delivery], wanted: &Wanted) -> Result<Value, SqsError> {
    let found = found.iter().map(|delivery| message(delivery, wanted));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "Messages": found }))
}

fn message(delivery: &Delivery, wanted: &Wanted) -> Result<Value, SqsError> {
    let message = &delivery.message;
    let mut answer = json!({
        "MessageId": message.id,
        "ReceiptHandle": delivery.receipt_handle,
        "MD5OfBody": message.draft.md5_of_body(),
        "Body": message.body(),
    });
    let mut system = Map::new();
    for name in &wanted.system_attributes {
        let value = match name.as_str() {
            "SenderId" => Some(ACCOUNT_ID.to_owned()),
            "SentTimestamp" => Some(message.sent_ms.to_string()),
            "ApproximateReceiveCount" => Some(message.receive_count.to_string()),
            "ApproximateFirstReceiveTimestamp" => {
                message.first_received_ms.map(|time| time.to_string())
            }
            "MessageGroupId" => message.draft.group().as_deref().map(str::to_owned),
            "DeadLetterQueueSourceArn" => message.dead_letter_source_arn.clone(),
            _ => None,
        };
        if let Some(value) = value {
            system.insert(name.clone(), Value::String(value));
        }
    }
    if !system.is_empty() {
        answer["Attributes"] = Value::Object(system);
    }
    let attributes = message.attributes(&wanted.attributes);
    if let (Some(md5), _) = digest_attributes(&attributes)? {
        answer["MD5OfMessageAttributes"] = json!(md5);
        answer["MessageAttributes"] = json!(attributes);
    }
    Ok(answer)
}
