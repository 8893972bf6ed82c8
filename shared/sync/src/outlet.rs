//! The outlet: tells a topic of each change of a user's status, from the directory's stream.
//!
//! It promises that each change is published at least once, and a user's changes in the order in which they were
//! written: a record is done when the topic has taken its event, and none behind one that is not done counts as
//! done. Lambda then delivers the stream again from there.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_ambient::Ambient;
use rollcall_store::{ChangeCause, Store, StoreError, UserChange};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::{error, info, warn};

use crate::error::HandlerError;
use crate::status_event::StatusEvent;
use crate::topic::{Event, MESSAGES_MAX, Topic};

/// What the outlet works with. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Outlet {
    /// The store.
    pub store: Store,
    /// Where the events go.
    pub topic: Topic,
    /// Time.
    pub ambient: Ambient,
}

/// What Lambda delivers of a stream.
#[derive(Debug, Deserialize)]
struct StreamEvent {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

/// Of a record, what is used: another emulator or version may leave out the rest.
#[derive(Debug, Deserialize)]
struct Record {
    dynamodb: Images,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Images {
    sequence_number: String,
    new_image: Option<serde_dynamo::Item>,
    old_image: Option<serde_dynamo::Item>,
}

/// A change of status, and the record that told it.
struct Told {
    sequence_number: String,
    changed: UserChange,
}

/// What an event came to.
struct Reading {
    told: Vec<Told>,
    /// The first record that this version cannot read, and a newer one can.
    newer: Option<String>,
}

impl Outlet {
    /// The handler: publishes what a part of the stream tells.
    ///
    /// # Errors
    /// [`HandlerError::BadEvent`] for an event that is none. All else is answered by the first record that is to
    /// be delivered again.
    pub async fn publisher(&self, event: Value, stop_at_ms: u64) -> Result<Value, HandlerError> {
        let event: StreamEvent =
            serde_json::from_value(event).map_err(|e| HandlerError::BadEvent(e.to_string()))?;
        let records = event.records.len();
        let begun_ms = self.ambient.now_ms();
        let reading = read(event.records);
        // It is deeply nested; behind a pointer its callers need not know how deeply.
        let publishing: Pin<Box<dyn Future<Output = usize> + Send + '_>> =
            Box::pin(self.publish(&reading.told, stop_at_ms));
        let done = publishing.await;
        if done > 0 {
            let took_ms = self.ambient.now_ms().saturating_sub(begun_ms);
            info!(
                event = "status_events_published",
                records,
                events = done,
                took_ms
            );
        }
        let again = match reading.told.get(done) {
            Some(told) => Some(told.sequence_number.clone()),
            None => reading.newer,
        };
        let failures: Vec<_> = again
            .iter()
            .map(|first| json!({ "itemIdentifier": first }))
            .collect();
        Ok(json!({ "batchItemFailures": failures }))
    }

    /// Publishes in order, and says how many were taken before the first one that was not.
    async fn publish(&self, told: &[Told], stop_at_ms: u64) -> usize {
        if told.is_empty() {
            return 0;
        }
        let changes: Vec<_> = told.iter().map(|told| &told.changed).collect();
        let causes = match self.store.causes(&changes).await {
            Ok(causes) => causes,
            Err(problem) => return held_up(told, 0, &HandlerError::Store(problem)),
        };
        let causes: Vec<_> = told.iter().zip(causes).map(known).collect();
        let mut done = 0;
        while let Some(group) = next_group(told.get(done..).unwrap_or_default()) {
            if self.ambient.now_ms() >= stop_at_ms {
                warn!(
                    event = "status_events_given_back",
                    events = told.len() - done
                );
                break;
            }
            let events: Vec<_> = (group.iter().zip(causes.iter().skip(done)))
                .map(|(told, cause)| Event {
                    sequence_number: &told.sequence_number,
                    changed: &told.changed,
                    event: StatusEvent::new(&told.changed, cause.as_ref()),
                })
                .collect();
            match self.topic.publish(&events).await {
                Err(problem) => return held_up(told, done, &problem),
                Ok((taken, refused)) => {
                    let first_left = (0..group.len()).find(|place| !taken.contains(place));
                    if let Some(first_left) = first_left {
                        let said = refused.unwrap_or_else(|| "nothing".into());
                        let problem = format!("it took a part, and said of another {said}");
                        let problem = HandlerError::Topic(problem);
                        return held_up(told, done + first_left, &problem);
                    }
                    done += group.len();
                }
            }
        }
        done
    }
}

/// Logs what the records from this one on wait for.
fn held_up(told: &[Told], done: usize, problem: &HandlerError) -> usize {
    let first = told.get(done).map(|told| &told.changed);
    error!(event = "status_events_held_up", events = told.len() - done,
        tenant = first.map(|it| tracing::field::display(&it.tenant)),
        user = first.map(|it| tracing::field::display(&it.after.id)), error = %problem);
    done
}

/// A cause as far as it can be read. An event without one is worth more than none.
fn known((told, cause): (&Told, Result<Option<ChangeCause>, StoreError>)) -> Option<ChangeCause> {
    cause.unwrap_or_else(|problem| {
        let changed = &told.changed;
        error!(event = "status_cause_unreadable", tenant = %changed.tenant, user = %changed.after.id,
            error = %problem);
        None
    })
}

/// The next events of one request: no user twice among them.
fn next_group(told: &[Told]) -> Option<&[Told]> {
    let mut users = BTreeSet::new();
    let len = told
        .iter()
        .take(MESSAGES_MAX)
        .take_while(|told| users.insert((&told.changed.tenant, &told.changed.after.id)))
        .count();
    told.get(..len).filter(|group| !group.is_empty())
}

/// The changes of status among the records. A record that nobody can read is logged and left out: it would hold up
/// everybody behind it for a day, and then be lost all the same.
fn read(records: Vec<Record>) -> Reading {
    let mut told = Vec::with_capacity(records.len());
    for Record { dynamodb: images } in records {
        let sequence_number = images.sequence_number;
        let Some(after) = images.new_image else {
            // No function deletes a user: somebody did it by hand.
            warn!(event = "user_removed_by_hand", sequence_number);
            continue;
        };
        let before = images.old_image.map(attributes);
        match UserChange::read(before.as_ref(), &attributes(after)) {
            Ok(changed) if changed.is_of_status() => told.push(Told {
                sequence_number,
                changed,
            }),
            Ok(_) => {}
            Err(problem @ StoreError::Newer { .. }) => {
                error!(event = "status_event_newer", sequence_number, error = %problem);
                let newer = Some(sequence_number);
                return Reading { told, newer };
            }
            Err(problem) => {
                error!(event = "status_event_unreadable", sequence_number, error = %problem);
            }
        }
    }
    Reading { told, newer: None }
}

fn attributes(item: serde_dynamo::Item) -> HashMap<String, AttributeValue> {
    item.into()
}
