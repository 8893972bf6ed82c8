//! Event sources: what Lambda's event source mappings do between a queue and a function.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::error::TriggerError;
use crate::event::{event, failed_ids};
use crate::function::{Function, invoke};
use crate::queues::attribute;
use crate::triggers::{Stop, drain};

/// How long one poll waits for a message: SQS's longest.
const POLL_S: i32 = 20;
/// How long the next poll waits after one that failed.
const POLL_RETRY_MS: u64 = 500;
/// How many messages one receive gives at most, which bounds a batch without a batching window.
const BATCH_SIZE_MAX: u8 = 10;

/// A queue whose messages a function works through.
#[derive(Clone)]
pub struct EventSource {
    /// The queue.
    pub queue_url: String,
    /// The function. It gets SQS events and may answer with `batchItemFailures`.
    pub function: Function,
    /// How many calls run at the same time at most; at least 1.
    pub concurrency_max: usize,
    /// How many messages a call gets at most: 1 to 10.
    pub batch_size_max: u8,
    /// When a call is cut off, in milliseconds; never, if there is none.
    pub function_ms_max: Option<u64>,
}

/// An event source that was found to be in order.
pub(crate) struct Poller {
    sqs: Client,
    source: EventSource,
    queue_arn: String,
}

impl Poller {
    /// Checks an event source against its queue.
    pub(crate) async fn new(sqs: Client, source: EventSource) -> Result<Self, TriggerError> {
        let out_of_range = |what, value, range| TriggerError::OutOfRange {
            what,
            of: source.queue_url.clone(),
            value,
            range,
        };
        if !(1..=BATCH_SIZE_MAX).contains(&source.batch_size_max) {
            let value = u64::from(source.batch_size_max);
            return Err(out_of_range("batch_size_max", value, "1 to 10"));
        }
        if !(1..=Semaphore::MAX_PERMITS).contains(&source.concurrency_max) {
            let value = u64::try_from(source.concurrency_max).unwrap_or(u64::MAX);
            return Err(out_of_range("concurrency_max", value, "at least 1"));
        }
        let refused = |message| TriggerError::Queue {
            queue_url: source.queue_url.clone(),
            message,
        };
        let queue_arn = attribute(&sqs, &source.queue_url, QueueAttributeName::QueueArn)
            .await
            .map_err(refused)?;
        let name = QueueAttributeName::VisibilityTimeout;
        let visibility = attribute(&sqs, &source.queue_url, name).await;
        let visibility_s: u64 = visibility
            .map_err(refused)?
            .parse()
            .map_err(|_| refused("its visibility timeout is no number".to_owned()))?;
        let visibility_ms = visibility_s.saturating_mul(1_000);
        if let Some(function_ms) = source.function_ms_max.filter(|&ms| ms > visibility_ms) {
            return Err(TriggerError::VisibilityTooShort {
                queue_url: source.queue_url,
                visibility_ms,
                function_ms,
            });
        }
        Ok(Self {
            sqs,
            source,
            queue_arn,
        })
    }

    /// Polls and calls until it is told to stop, then lets the calls under way finish, within
    /// bounds. Messages are received only when a call for them can start at once.
    pub(crate) async fn run(self, mut stop: Stop) {
        let poller = Arc::new(self);
        let permits = Arc::new(Semaphore::new(poller.source.concurrency_max));
        let mut calls = JoinSet::new();
        loop {
            while calls.try_join_next().is_some() {}
            let permit = tokio::select! {
                permit = Arc::clone(&permits).acquire_owned() => permit,
                () = stop.asked() => break,
            };
            let messages = tokio::select! {
                messages = poller.receive() => messages,
                () = stop.asked() => break,
            };
            if messages.is_empty() {
                continue;
            }
            let poller = Arc::clone(&poller);
            calls.spawn(async move {
                poller.handle(messages).await;
                drop(permit);
            });
        }
        drain(calls).await;
    }

    /// One poll. One that fails is as good as an empty one: the next comes, a little later.
    async fn receive(&self) -> Vec<Message> {
        let received = self
            .sqs
            .receive_message()
            .queue_url(&self.source.queue_url)
            .max_number_of_messages(i32::from(self.source.batch_size_max))
            .wait_time_seconds(POLL_S)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .send()
            .await;
        match received {
            Ok(received) => received.messages.unwrap_or_default(),
            Err(error) => {
                let error = DisplayErrorContext(&error);
                tracing::warn!(queue = self.queue_arn, %error, "the queue cannot be polled");
                tokio::time::sleep(Duration::from_millis(POLL_RETRY_MS)).await;
                Vec::new()
            }
        }
    }

    /// Calls the function and deletes what it did. What it did not do stays, and comes again after
    /// the visibility timeout.
    async fn handle(&self, messages: Vec<Message>) {
        let queue = self.queue_arn.as_str();
        let event = event(&messages, queue);
        let called = invoke(&self.source.function, event, self.source.function_ms_max).await;
        let answer = match called {
            Ok(answer) => answer,
            Err(failure) => {
                tracing::warn!(queue, messages = messages.len(), %failure, "call failed");
                return;
            }
        };
        let sent: BTreeSet<&str> = messages.iter().filter_map(Message::message_id).collect();
        let failed = match failed_ids(&answer, &sent) {
            Ok(failed) => failed,
            Err(reason) => {
                tracing::warn!(queue, messages = messages.len(), reason, "answer refused");
                return;
            }
        };
        if !failed.is_empty() {
            tracing::info!(queue, failed = failed.len(), "messages reported as failed");
        }
        let done = messages.iter().filter(|message| {
            let id = message.message_id();
            id.is_some_and(|id| !failed.contains(id))
        });
        self.delete(done).await;
    }

    async fn delete(&self, messages: impl Iterator<Item = &Message>) {
        let entries: Vec<_> = messages
            .enumerate()
            .filter_map(|(index, message)| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(message.receipt_handle.as_deref()?)
                    .build()
                    .ok()
            })
            .collect();
        if entries.is_empty() {
            return;
        }
        let queue = self.queue_arn.as_str();
        let delete = self.sqs.delete_message_batch();
        let delete = delete.queue_url(&self.source.queue_url);
        // A message that cannot be deleted comes again, which functions must bear anyway.
        match delete.set_entries(Some(entries)).send().await {
            Ok(deleted) if deleted.failed().is_empty() => {}
            Ok(deleted) => {
                tracing::warn!(queue, messages = deleted.failed().len(), "not deleted");
            }
            Err(error) => {
                let error = DisplayErrorContext(&error);
                tracing::warn!(queue, %error, "messages cannot be deleted");
            }
        }
    }
}
