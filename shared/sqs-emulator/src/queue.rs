//! One standard queue as a state machine: no clock, no socket, no other queue.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{ErrorCode, SqsError};
use crate::fair::Turns;
use crate::message::{Draft, Message};
use crate::settings::{Settings, VISIBILITY_S_MAX};

/// How many messages may be in flight at once (Developer Guide, quotas for standard queues).
pub(crate) const IN_FLIGHT_MAX: usize = 120_000;
/// How many messages a queue stores. The service has no such bound; memory has.
const MESSAGES_MAX: usize = 1_000_000;
/// How long after a purge the next one is refused.
const PURGE_MS_MIN: u64 = 60_000;

/// The time, as every call is told it: on the clock that waits run on, and as a date.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For visibility, delay and retention.
    pub instant: Instant,
    /// For the timestamps that callers see, in milliseconds since 1970.
    pub epoch_ms: u64,
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Can be received.
    Visible,
    /// Was sent with a delay that ends then.
    Delayed(Instant),
    /// Was received at `since` and comes back at `until`.
    InFlight { since: Instant, until: Instant },
}

#[derive(Debug)]
struct Stored {
    message: Message,
    place: Place,
}

/// A standard queue.
#[derive(Debug)]
pub struct Queue {
    /// Told apart from an earlier queue of the same name, and written into receipt handles.
    id: u64,
    settings: Settings,
    /// By the order of sending. Each message is in exactly one of the three sets below, too.
    messages: BTreeMap<u64, Stored>,
    turns: Turns,
    delayed: BTreeSet<(Instant, u64)>,
    in_flight: BTreeSet<(Instant, u64)>,
    by_age: BTreeSet<(Instant, u64)>,
    next_number: u64,
    purged_at: Option<Instant>,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: u64,
    /// When its attributes last changed, in milliseconds since 1970.
    pub modified_ms: u64,
}

/// A message as a receiver gets it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What deletes it or changes its visibility.
    pub receipt_handle: String,
    /// The message, as of this receive.
    pub message: Message,
}

/// What a receive gave.
#[derive(Debug, Default)]
pub struct Received {
    /// For the receiver.
    pub delivered: Vec<Delivery>,
    /// For the dead-letter queue: they were received too often and have left this queue.
    pub dead: Vec<Message>,
}

/// The approximate numbers of the service, which are exact here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Can be received now.
    pub visible: usize,
    /// Are hidden because of a delay.
    pub delayed: usize,
    /// Are hidden because somebody received them.
    pub in_flight: usize,
}

impl Queue {
    /// An empty queue. The id must differ from that of every other queue.
    #[must_use]
    pub fn new(id: u64, settings: Settings, now: Now) -> Self {
        Self {
            id,
            settings,
            messages: BTreeMap::new(),
            turns: Turns::default(),
            delayed: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            by_age: BTreeSet::new(),
            next_number: 0,
            purged_at: None,
            created_ms: now.epoch_ms,
            modified_ms: now.epoch_ms,
        }
    }

    /// The queue's attributes.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Replaces the attributes. The delay of messages already sent stays as it was.
    pub fn set_settings(&mut self, settings: Settings, now: Now) {
        self.settings = settings;
        self.modified_ms = now.epoch_ms;
    }

    /// Stores a message under an id that the caller made up.
    ///
    /// # Errors
    /// `InvalidParameterValue` if it is longer than the queue allows, `RequestThrottled` if the
    /// queue is full.
    pub fn send(
        &mut self,
        id: String,
        draft: Draft,
        delay_s: Option<u64>,
        now: Now,
    ) -> Result<(), SqsError> {
        self.settle(now);
        let bytes_max = self.settings.message_bytes_max;
        if draft.bytes() > bytes_max {
            return Err(SqsError::new(
                ErrorCode::InvalidParameterValue,
                format!(
                    "One or more parameters are invalid. Reason: Message must be shorter than \
                     {bytes_max} bytes. It has {}.",
                    draft.bytes()
                ),
            ));
        }
        if self.messages.len() >= MESSAGES_MAX {
            return Err(SqsError::new(
                ErrorCode::RequestThrottled,
                format!("The queue holds {MESSAGES_MAX} messages, which is the emulator's bound."),
            ));
        }
        let delay_s = delay_s.unwrap_or(self.settings.delay_s);
        let place = match delay_s {
            0 => Place::Visible,
            _ => Place::Delayed(now.instant + Duration::from_secs(delay_s)),
        };
        let message = Message {
            id,
            draft,
            sent_ms: now.epoch_ms,
            sent_at: now.instant,
            first_received_ms: None,
            receive_count: 0,
            receive_count_here: 0,
            dead_letter_source_arn: None,
        };
        self.store(message, place);
        Ok(())
    }

    /// Takes in a message that another queue gave up on. It can be received at once and keeps its
    /// age: a dead-letter queue does not prolong a message's life.
    pub fn bury(&mut self, mut message: Message, source_arn: &str) {
        message.receive_count_here = 0;
        message.dead_letter_source_arn = Some(source_arn.to_owned());
        self.store(message, Place::Visible);
    }

    /// Takes up to `count_max` messages, the oldest of the group whose turn it is first, and hides them for the visibility timeout.
    /// Messages that were received too often leave the queue on the way.
    ///
    /// # Errors
    /// `OverLimit` if too many messages are in flight.
    pub fn receive(
        &mut self,
        count_max: usize,
        visibility_s: Option<u64>,
        now: Now,
    ) -> Result<Received, SqsError> {
        self.settle(now);
        let room = IN_FLIGHT_MAX.saturating_sub(self.in_flight.len());
        if room == 0 {
            return Err(SqsError::new(
                ErrorCode::OverLimit,
                format!("Too many messages in flight: {IN_FLIGHT_MAX}."),
            ));
        }
        let visibility = Duration::from_secs(visibility_s.unwrap_or(self.settings.visibility_s));
        let limit = self
            .settings
            .redrive
            .as_ref()
            .map(|to| to.receive_count_max);
        let mut received = Received::default();
        while received.delivered.len() < count_max.min(room) {
            let Some(number) = self.turns.next() else {
                break;
            };
            let Some(mut stored) = self.take(number) else {
                break;
            };
            if limit.is_some_and(|limit| stored.message.receive_count_here >= limit) {
                received.dead.push(stored.message);
                continue;
            }
            stored.message.receive_count += 1;
            stored.message.receive_count_here += 1;
            stored.message.first_received_ms.get_or_insert(now.epoch_ms);
            stored.place = Place::InFlight {
                since: now.instant,
                until: now.instant + visibility,
            };
            received.delivered.push(Delivery {
                receipt_handle: self.handle(number, stored.message.receive_count_here),
                message: stored.message.clone(),
            });
            self.put(number, stored);
        }
        Ok(received)
    }

    /// Deletes the message of a receipt handle. As standard queues do it, an older handle of a
    /// message that was received again deletes it too, and deleting twice is no error.
    ///
    /// # Errors
    /// `ReceiptHandleIsInvalid` for a handle that this queue never gave out.
    pub fn delete(&mut self, receipt_handle: &str, now: Now) -> Result<(), SqsError> {
        self.settle(now);
        let number = self.number_of(receipt_handle)?;
        self.take(number);
        Ok(())
    }

    /// Hides a received message for `visibility_s` from now on; 0 gives it back at once.
    ///
    /// # Errors
    /// `ReceiptHandleIsInvalid` for a handle that this queue never gave out, `MessageNotInflight`
    /// if the message has become visible, `InvalidParameterValue` if it is gone or would be hidden
    /// for more than 12 hours in all.
    pub fn change_visibility(
        &mut self,
        receipt_handle: &str,
        visibility_s: u64,
        now: Now,
    ) -> Result<(), SqsError> {
        self.settle(now);
        let number = self.number_of(receipt_handle)?;
        let Some(stored) = self.messages.get(&number) else {
            return Err(SqsError::invalid_parameter(
                "ReceiptHandle",
                receipt_handle,
                "Message does not exist or is not available for visibility timeout change.",
            ));
        };
        let Place::InFlight { since, .. } = stored.place else {
            return Err(SqsError::new(
                ErrorCode::MessageNotInflight,
                "The message is visible again: nobody holds it.",
            ));
        };
        let until = now.instant + Duration::from_secs(visibility_s);
        if until.duration_since(since) > Duration::from_secs(VISIBILITY_S_MAX) {
            return Err(SqsError::invalid_parameter(
                "VisibilityTimeout",
                visibility_s,
                "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
            ));
        }
        if let Some(mut stored) = self.take(number) {
            stored.place = Place::InFlight { since, until };
            self.put(number, stored);
        }
        Ok(())
    }

    /// Deletes every message, those in flight and delayed included.
    ///
    /// # Errors
    /// `PurgeQueueInProgress` within a minute of the last purge.
    pub fn purge(&mut self, now: Now) -> Result<(), SqsError> {
        let pause = Duration::from_millis(PURGE_MS_MIN);
        if self.purged_at.is_some_and(|at| now.instant < at + pause) {
            return Err(SqsError::new(
                ErrorCode::PurgeQueueInProgress,
                "Only one PurgeQueue operation on a queue is allowed every 60 seconds.",
            ));
        }
        self.purged_at = Some(now.instant);
        self.messages.clear();
        self.turns = Turns::default();
        self.delayed.clear();
        self.in_flight.clear();
        self.by_age.clear();
        Ok(())
    }

    /// How many messages there are, by where they are.
    pub fn counts(&mut self, now: Now) -> Counts {
        self.settle(now);
        Counts {
            visible: self.turns.visible_count(),
            delayed: self.delayed.len(),
            in_flight: self.in_flight.len(),
        }
    }

    /// When the next hidden message becomes visible, if none is deleted before.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let first = |set: &BTreeSet<(Instant, u64)>| set.first().map(|&(due, _)| due);
        first(&self.delayed)
            .into_iter()
            .chain(first(&self.in_flight))
            .min()
    }

    /// Lets the time pass: old messages expire, hidden ones become visible.
    fn settle(&mut self, now: Now) {
        let retention = Duration::from_secs(self.settings.retention_s);
        while let Some(&(sent_at, number)) = self.by_age.first()
            && sent_at + retention <= now.instant
        {
            self.take(number);
        }
        while let Some(&(due, number)) = self.delayed.first()
            && due <= now.instant
        {
            self.show(number);
        }
        while let Some(&(due, number)) = self.in_flight.first()
            && due <= now.instant
        {
            self.show(number);
        }
    }

    fn show(&mut self, number: u64) {
        if let Some(mut stored) = self.take(number) {
            stored.place = Place::Visible;
            self.put(number, stored);
        }
    }

    fn store(&mut self, message: Message, place: Place) {
        let number = self.next_number;
        self.next_number += 1;
        self.put(number, Stored { message, place });
    }

    fn put(&mut self, number: u64, stored: Stored) {
        self.by_age.insert((stored.message.sent_at, number));
        let group = stored.message.draft.group();
        match stored.place {
            Place::Visible => self.turns.show(group, number),
            Place::Delayed(until) => {
                self.delayed.insert((until, number));
            }
            Place::InFlight { until, .. } => {
                self.in_flight.insert((until, number));
                self.turns.hold(group);
            }
        }
        self.messages.insert(number, stored);
    }

    fn take(&mut self, number: u64) -> Option<Stored> {
        let stored = self.messages.remove(&number)?;
        self.by_age.remove(&(stored.message.sent_at, number));
        let group = stored.message.draft.group();
        match stored.place {
            Place::Visible => self.turns.hide(group, number),
            Place::Delayed(until) => {
                self.delayed.remove(&(until, number));
            }
            Place::InFlight { until, .. } => {
                self.in_flight.remove(&(until, number));
                self.turns.free(group);
            }
        }
        Some(stored)
    }

    fn handle(&self, number: u64, receive: u32) -> String {
        format!("{:016x}-{number:016x}-{receive:08x}", self.id)
    }

    /// The number of the message that a receipt handle was given out for, whether the message is
    /// still there or not.
    fn number_of(&self, receipt_handle: &str) -> Result<u64, SqsError> {
        let parse = || {
            let mut parts = receipt_handle.split('-').skip(1);
            let number = u64::from_str_radix(parts.next()?, 16).ok()?;
            let receive = u32::from_str_radix(parts.next()?, 16).ok()?;
            // Written again it must be the same, this queue's id included.
            if self.handle(number, receive) != receipt_handle {
                return None;
            }
            let received = match self.messages.get(&number) {
                Some(stored) => stored.message.receive_count_here,
                None => u32::MAX,
            };
            (number < self.next_number && (1..=received).contains(&receive)).then_some(number)
        };
        parse().ok_or_else(SqsError::bad_receipt_handle)
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
