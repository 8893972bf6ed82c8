//! The events that Lambda delivers, turned into steps: a schedule's payload, or SQS messages, which
//! are answered with the ids of those that failed (`ReportBatchItemFailures`).
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>

use std::future::Future;
use std::pin::Pin;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use jiff::Timestamp;
use rollcall_ambient::Ambient;
use rollcall_core::ids::TenantId;
use rollcall_core::run::RunMode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tracing::{error, warn};

use crate::app::App;
use crate::doorbell::{
    BatchBell, EnumeratorBell, FanOutBell, FinalizerBell, Occurrence, Place, RunBell,
};
use crate::error::HandlerError;

/// What a schedule sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scheduled {
    schedule: Schedule,
    /// Whose runs somebody asks for, whatever their schedules say; all tenants' if it is not given.
    #[serde(default)]
    tenants: Option<Vec<TenantId>>,
    /// When it was due. What has no such moment was asked for by hand.
    #[serde(default)]
    at: Option<String>,
}

/// What EventBridge Scheduler puts the moment in the place of.
/// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html>
const SCHEDULED_TIME: &str = "<aws.scheduler.scheduled-time>";

/// When a schedule was due, in milliseconds since 1970. An emulator of EventBridge that does not know the
/// attribute leaves its name there: then it is due now.
fn due_ms(at: &str, now_ms: u64) -> Result<u64, HandlerError> {
    if at == SCHEDULED_TIME {
        return Ok(now_ms);
    }
    let due: Timestamp = at
        .parse()
        .map_err(|_| HandlerError::BadEvent(format!("at is {at:?}, and no moment")))?;
    u64::try_from(due.as_millisecond())
        .map_err(|_| HandlerError::BadEvent(format!("at is {at:?}, before 1970")))
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Schedule {
    Full,
    Delta,
    Sweep,
}

fn scheduled(event: &Value) -> Result<Option<Scheduled>, HandlerError> {
    if event.get("schedule").is_none() {
        return Ok(None);
    }
    serde_json::from_value(event.clone())
        .map(Some)
        .map_err(|e| HandlerError::BadEvent(e.to_string()))
}

impl App {
    /// The enumerator's handler: a schedule starts runs, a message goes on with one.
    ///
    /// # Errors
    /// [`HandlerError`] for an event that is none, or a schedule that could not be carried out.
    pub async fn enumerator(&self, event: Value, stop_at_ms: u64) -> Result<Value, HandlerError> {
        let app = self.metered();
        match scheduled(&event)? {
            Some(Scheduled {
                schedule: schedule @ (Schedule::Full | Schedule::Delta),
                tenants,
                at,
            }) => {
                let mode = match schedule {
                    Schedule::Delta => RunMode::Delta,
                    _ => RunMode::Full,
                };
                let report = match at {
                    None => boxed(async move { app.start(tenants.as_deref(), mode).await }).await?,
                    Some(at) => {
                        let at_ms = due_ms(&at, self.ambient.now_ms())?;
                        let first = FanOutBell {
                            occurrence: Occurrence { fires: mode, at_ms },
                            after: None,
                        };
                        boxed(async move { app.fan_out(&first).await }).await?
                    }
                };
                serde_json::to_value(report).map_err(|e| HandlerError::BadEvent(e.to_string()))
            }
            Some(_) => Err(HandlerError::BadEvent(
                "the enumerator has no such schedule".into(),
            )),
            None => {
                each_message(event, &self.ambient, stop_at_ms, |bell: EnumeratorBell| {
                    let app = app.clone();
                    boxed(async move {
                        match bell {
                            EnumeratorBell::Run(bell) => app.enumerate(&bell.run, stop_at_ms).await,
                            EnumeratorBell::Start(bell) => app.start_due(&bell).await.map(drop),
                            EnumeratorBell::FanOut(bell) => app.fan_out(&bell).await.map(drop),
                        }
                    })
                })
                .await
            }
        }
    }

    /// The worker's handler: a message names a batch.
    ///
    /// # Errors
    /// [`HandlerError::BadEvent`] for an event that is none.
    pub async fn worker(&self, event: Value, stop_at_ms: u64) -> Result<Value, HandlerError> {
        each_message(event, &self.ambient, stop_at_ms, |bell: BatchBell| {
            let app = self.metered();
            boxed(async move { app.work(bell, stop_at_ms).await })
        })
        .await
    }

    /// The finalizer's handler: a message names a run; a schedule sweeps.
    ///
    /// # Errors
    /// [`HandlerError`] for an event that is none, or a sweep that could not be carried out.
    pub async fn finalizer(&self, event: Value, stop_at_ms: u64) -> Result<Value, HandlerError> {
        let app = self.metered();
        match scheduled(&event)? {
            Some(Scheduled {
                schedule: Schedule::Sweep,
                ..
            }) => {
                boxed(async move { app.sweep().await }).await?;
                Ok(json!({}))
            }
            Some(_) => Err(HandlerError::BadEvent(
                "the finalizer has no such schedule".into(),
            )),
            None => {
                each_message(event, &self.ambient, stop_at_ms, |bell: FinalizerBell| {
                    let app = app.clone();
                    boxed(async move {
                        match bell {
                            FinalizerBell::Run(RunBell { run, revert: false }) => {
                                app.finalize(&run, stop_at_ms).await
                            }
                            FinalizerBell::Run(RunBell { run, revert: true }) => {
                                app.go_on_reverting(&run, stop_at_ms).await
                            }
                            FinalizerBell::Tell(bell) => app.tell(&bell.tell, stop_at_ms).await,
                        }
                    })
                })
                .await
            }
        }
    }
}

/// A step stops when a quarter of its time is left, but not earlier than this before its end, in
/// milliseconds: what it has begun by then (a page and the one that is fetched beside it, a group of users)
/// has to fit in.
const STOP_MARGIN_MS_MAX: u64 = 60_000;

/// When a step has to stop, for an invocation that is cut off at `deadline_ms`; both in milliseconds
/// since 1970.
#[must_use]
pub fn stop_at_ms(now_ms: u64, deadline_ms: u64) -> u64 {
    let left_ms = deadline_ms.saturating_sub(now_ms);
    deadline_ms - (left_ms / 4).min(STOP_MARGIN_MS_MAX)
}

type Step<T = ()> = Pin<Box<dyn Future<Output = Result<T, HandlerError>> + Send>>;

/// A step's future is large and deeply nested; behind a pointer it is neither to its callers.
fn boxed<T>(step: impl Future<Output = Result<T, HandlerError>> + Send + 'static) -> Step<T> {
    Box::pin(step)
}

/// Handles the messages of an event one after the other. A message that cannot be read is
/// acknowledged with a warning: it would not be readable the next time either. One whose turn comes when
/// it is time to stop is given back: begun now, it would be cut off with a lease in its hands.
async fn each_message<Bell: DeserializeOwned + Place>(
    event: Value,
    ambient: &Ambient,
    stop_at_ms: u64,
    mut step: impl FnMut(Bell) -> Step,
) -> Result<Value, HandlerError> {
    let event: SqsEvent =
        serde_json::from_value(event).map_err(|e| HandlerError::BadEvent(e.to_string()))?;
    let mut failures = Vec::new();
    for message in event.records {
        let Some(bell) = read_bell::<Bell>(&message) else {
            continue;
        };
        let (tenant, run, batch) = (bell.tenant().cloned(), bell.run().cloned(), bell.batch());
        if ambient.now_ms() >= stop_at_ms {
            warn!(
                event = "message_given_back",
                message_id = message.message_id
            );
            failures.push(json!({ "itemIdentifier": message.message_id }));
        } else if let Err(problem) = step(bell).await {
            error!(event = "message_failed", message_id = message.message_id,
                tenant = tenant.as_ref().map(tracing::field::display),
                run = run.as_ref().map(|it| it.run),
                generation = batch.map(|it| it.0), page = batch.map(|it| it.1), error = %problem);
            failures.push(json!({ "itemIdentifier": message.message_id }));
        }
    }
    Ok(json!({ "batchItemFailures": failures }))
}

fn read_bell<Bell: DeserializeOwned>(message: &SqsMessage) -> Option<Bell> {
    let body = message.body.as_deref().unwrap_or_default();
    match serde_json::from_str(body) {
        Ok(bell) => Some(bell),
        Err(problem) => {
            // Not its words: they repeat what is in the message, which may be anybody's.
            warn!(event = "message_unreadable", message_id = message.message_id,
                problem = ?problem.classify(), column = problem.column());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use rollcall_core::ids::RunRef;

    use super::*;

    impl Place for u32 {
        fn run(&self) -> Option<&RunRef> {
            None
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_whose_turn_comes_when_it_is_time_to_stop_is_given_back() {
        let ambient = Ambient::simulated(0, 1);
        let message = |id: &str| json!({ "messageId": id, "body": "7" });
        let event = json!({ "Records": [message("first"), message("second"), message("third")] });
        let begun = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let answer = each_message(event, &ambient, 1_000, |bell: u32| {
            assert_eq!(bell, 7);
            let begun = std::sync::Arc::clone(&begun);
            boxed(async move {
                begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                Ok(())
            })
        });
        assert_eq!(
            answer.await.unwrap(),
            json!({ "batchItemFailures": [{ "itemIdentifier": "third" }] })
        );
        assert_eq!(begun.load(std::sync::atomic::Ordering::Relaxed), 2);
    }

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_message_that_is_none_is_dropped_and_what_it_held_is_told_nowhere() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let bodies = [
            "adele",
            r#"{"tenant":"adele","run":"adele"}"#,
            r#"{"tenant":"Adele!","run":1}"#,
            r#"{"schedule":"full"}"#,
            "",
        ];
        let messages = bodies.map(|body| json!({ "messageId": "of-nobody", "body": body }));
        let event = json!({ "Records": messages });
        let ambient = Ambient::simulated(0, 1);
        let answer = each_message(event, &ambient, 1_000, |bell: RunBell| {
            panic!("{bell:?} was taken for a message")
        });
        assert_eq!(answer.await.unwrap(), json!({ "batchItemFailures": [] }));
        let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(said.matches("message_unreadable").count(), bodies.len());
        assert!(!said.to_lowercase().contains("adele"), "{said}");
    }

    #[test]
    fn a_step_stops_a_minute_or_a_quarter_of_its_time_before_it_is_cut_off() {
        assert_eq!(stop_at_ms(0, 900_000), 840_000);
        assert_eq!(stop_at_ms(0, 120_000), 90_000);
        assert_eq!(stop_at_ms(500, 400), 400);
    }
}
