//! The operations on queues as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{ACCOUNT_ID, QUEUES_MAX, Shelf, Sqs, queue_name, to_usize, wanted_names};
use crate::error::{ErrorCode, SqsError};
use crate::queue::Queue;
use crate::request::{self, in_range, required};
use crate::settings::Settings;

/// How long a queue's name may be.
const NAME_CHARS_MAX: usize = 80;

/// The attributes of a queue that only the service sets.
const COMPUTED: [&str; 6] = [
    "QueueArn",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
];

impl Sqs {
    pub(super) fn create_queue(&self, request: request::CreateQueue) -> Result<Value, SqsError> {
        let name = required(request.queue_name, "QueueName")?;
        check_queue_name(&name)?;
        let now = self.now();
        let mut queues = self.lock();
        let existing = queues.get(&name).map(|shelf| shelf.queue.settings());
        let mut settings = existing.cloned().unwrap_or_default();
        for (attribute, value) in &request.attributes {
            settings.set(attribute, value)?;
        }
        self.check_dead_letter_queue(&queues, &name, &settings)?;
        if let Some(existing) = existing {
            let differs = |name: &&&str| settings.get(name) != existing.get(name);
            if let Some(attribute) = Settings::NAMES.iter().find(differs) {
                return Err(SqsError::new(
                    ErrorCode::QueueNameExists,
                    format!(
                        "A queue already exists with the same name and a different value for \
                         attribute {attribute}"
                    ),
                ));
            }
        } else if queues.len() >= QUEUES_MAX {
            return Err(SqsError::new(
                ErrorCode::OverLimit,
                format!("There are {QUEUES_MAX} queues, which is the emulator's bound."),
            ));
        } else {
            let shelf = Shelf {
                queue: Queue::new(self.ambient.random_u64(), settings, now),
                changed: Arc::default(),
            };
            queues.insert(name.clone(), shelf);
        }
        Ok(json!({ "QueueUrl": self.url(&name) }))
    }

    pub(super) fn get_queue_url(&self, request: request::GetQueueUrl) -> Result<Value, SqsError> {
        let name = required(request.queue_name, "QueueName")?;
        let owner = request.queue_owner_a_w_s_account_id;
        if owner.is_some_and(|owner| owner != ACCOUNT_ID) || !self.lock().contains_key(&name) {
            return Err(SqsError::no_such_queue());
        }
        Ok(json!({ "QueueUrl": self.url(&name) }))
    }

    pub(super) fn list_queues(&self, request: request::ListQueues) -> Result<Value, SqsError> {
        let page = in_range(request.max_results, "MaxResults", 1, 1_000)?;
        let page = page.map_or(QUEUES_MAX, to_usize);
        let prefix = request.queue_name_prefix.unwrap_or_default();
        let after = request.next_token.unwrap_or_default();
        let queues = self.lock();
        let mut names = queues
            .keys()
            .filter(|name| name.starts_with(&prefix) && **name > after);
        let found: Vec<&String> = names.by_ref().take(page).collect();
        let urls: Vec<String> = found.iter().map(|name| self.url(name)).collect();
        let mut answer = json!({ "QueueUrls": urls });
        if let (Some(last), Some(_)) = (found.last(), names.next()) {
            answer["NextToken"] = json!(last);
        }
        Ok(answer)
    }

    pub(super) fn get_queue_attributes(
        &self,
        request: request::GetQueueAttributes,
    ) -> Result<Value, SqsError> {
        let name = queue_name(request.queue_url)?;
        let all = COMPUTED.iter().chain(&Settings::NAMES).copied();
        let wanted = wanted_names(&request.attribute_names, all)?;
        self.with_queue(&name, |shelf, now| {
            let counts = shelf.queue.counts(now);
            let mut attributes = Map::new();
            for attribute in wanted {
                let value = match attribute.as_str() {
                    "QueueArn" => Some(self.arn(&name)),
                    "ApproximateNumberOfMessages" => Some(counts.visible.to_string()),
                    "ApproximateNumberOfMessagesDelayed" => Some(counts.delayed.to_string()),
                    "ApproximateNumberOfMessagesNotVisible" => Some(counts.in_flight.to_string()),
                    "CreatedTimestamp" => Some((shelf.queue.created_ms / 1_000).to_string()),
                    "LastModifiedTimestamp" => Some((shelf.queue.modified_ms / 1_000).to_string()),
                    other => shelf.queue.settings().get(other),
                };
                if let Some(value) = value {
                    attributes.insert(attribute, Value::String(value));
                }
            }
            Ok(json!({ "Attributes": attributes }))
        })
    }

    pub(super) fn set_queue_attributes(
        &self,
        request: request::SetQueueAttributes,
    ) -> Result<Value, SqsError> {
        let name = queue_name(request.queue_url)?;
        let now = self.now();
        let mut queues = self.lock();
        let shelf = queues.get(&name).ok_or_else(SqsError::no_such_queue)?;
        let mut settings = shelf.queue.settings().clone();
        for (attribute, value) in &request.attributes {
            settings.set(attribute, value)?;
        }
        self.check_dead_letter_queue(&queues, &name, &settings)?;
        if let Some(shelf) = queues.get_mut(&name) {
            shelf.queue.set_settings(settings, now);
        }
        Ok(json!({}))
    }

    pub(super) fn purge_queue(&self, request: request::PurgeQueue) -> Result<Value, SqsError> {
        let name = queue_name(request.queue_url)?;
        self.with_queue(&name, |shelf, now| shelf.queue.purge(now))?;
        Ok(json!({}))
    }

    fn check_dead_letter_queue(
        &self,
        queues: &BTreeMap<String, Shelf>,
        name: &str,
        settings: &Settings,
    ) -> Result<(), SqsError> {
        let Some(redrive) = &settings.redrive else {
            return Ok(());
        };
        let target = self.name_of_arn(&redrive.target_arn);
        if target.is_some_and(|target| target != name && queues.contains_key(&target)) {
            return Ok(());
        }
        Err(SqsError::invalid_parameter(
            "RedrivePolicy",
            &redrive.target_arn,
            "Dead letter target does not exist.",
        ))
    }
}

fn check_queue_name(name: &str) -> Result<(), SqsError> {
    if name.ends_with(".fifo") {
        return Err(SqsError::new(
            ErrorCode::UnsupportedOperation,
            format!("{name:?} would be a FIFO queue; the emulator has standard queues only."),
        ));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(SqsError::invalid_parameter(
        "QueueName",
        format!("{name:?}"),
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
    ))
}
