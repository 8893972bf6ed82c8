use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lambda_events::event::sqs::SqsEvent;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use rollcall_local::{EventSource, Function, LocalAws, TriggerError, Triggers, function};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{start, until};

/// How often each body was delivered.
type Deliveries = Arc<Mutex<BTreeMap<String, usize>>>;

/// A function that notes what it gets and then answers as told: by the event and how often its
/// first message has come.
fn noting<F>(deliveries: &Deliveries, answer: F) -> Function
where
    F: Fn(&Value, usize) -> Result<Value, String> + Send + Sync + 'static,
{
    let deliveries = Arc::clone(deliveries);
    function(move |event: Value| {
        let mut first = 0;
        for (index, record) in event["Records"].as_array().unwrap().iter().enumerate() {
            let body = record["body"].as_str().unwrap().to_owned();
            let mut deliveries = deliveries.lock().unwrap();
            let count = deliveries.entry(body).or_default();
            *count += 1;
            if index == 0 {
                first = *count;
            }
        }
        let answer = answer(&event, first);
        async move { answer }
    })
}

struct Bench {
    aws: LocalAws,
    deliveries: Deliveries,
}

impl Bench {
    async fn new() -> Self {
        Self {
            aws: start(None).await.unwrap(),
            deliveries: Deliveries::default(),
        }
    }

    fn url(&self) -> &str {
        &self.aws.queues().batch.url
    }

    fn source(&self, function: Function) -> EventSource {
        EventSource {
            queue_url: self.url().to_owned(),
            function,
            concurrency_max: 2,
            batch_size_max: 10,
            function_ms_max: None,
        }
    }

    async fn run(&self, source: EventSource) -> Triggers {
        let triggers = Triggers::start(self.aws.sqs(), vec![source], vec![]);
        triggers.await.unwrap()
    }

    async fn send(&self, bodies: &[&str]) {
        for body in bodies {
            let send = self.aws.sqs().send_message().queue_url(self.url());
            send.message_body(*body).send().await.unwrap();
        }
    }

    fn delivered(&self, body: &str) -> usize {
        let deliveries = self.deliveries.lock().unwrap();
        deliveries.get(body).copied().unwrap_or_default()
    }

    /// Visible and in flight.
    async fn left(&self, url: &str) -> usize {
        let answer = self
            .aws
            .sqs()
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
            .send()
            .await
            .unwrap();
        let counts = answer.attributes.unwrap().into_values();
        counts.map(|count| count.parse::<usize>().unwrap()).sum()
    }

    async fn is_empty(&self) -> bool {
        self.left(self.url()).await == 0
    }
}

#[tokio::test]
async fn a_message_that_its_function_did_is_deleted_and_comes_once() {
    let bench = Bench::new().await;
    let source = bench.source(noting(&bench.deliveries, |_, _| Ok(Value::Null)));
    let triggers = bench.run(source).await;
    bench.send(&["a", "b"]).await;
    until("the queue is empty", async || bench.is_empty().await).await;
    sleep(Duration::from_millis(2_500)).await;
    assert_eq!((bench.delivered("a"), bench.delivered("b")), (1, 1));
    triggers.stop().await;
}

#[tokio::test]
async fn the_event_is_the_one_that_lambda_delivers() {
    let bench = Bench::new().await;
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let source = bench.source(function(move |event| {
        seen.lock().unwrap().push(event);
        async { Ok(Value::Null) }
    }));
    let attribute = MessageAttributeValue::builder().data_type("String");
    let attribute = attribute.string_value("r-1").build().unwrap();
    let send = bench.aws.sqs().send_message().queue_url(bench.url());
    let send = send.message_attributes("run", attribute);
    let sent = send.message_body("{\"a\":1}").send().await.unwrap();
    let triggers = bench.run(source).await;
    until("the queue is empty", async || bench.is_empty().await).await;
    triggers.stop().await;

    let event = events.lock().unwrap()[0].clone();
    let mut keys: Vec<_> = event["Records"][0].as_object().unwrap().keys().collect();
    keys.sort();
    let expected = [
        "attributes",
        "awsRegion",
        "body",
        "eventSource",
        "eventSourceARN",
        "md5OfBody",
        "messageAttributes",
        "messageId",
        "receiptHandle",
    ];
    assert_eq!(keys, expected);
    // Lambda's own types for Rust read it, too.
    let event: SqsEvent = serde_json::from_value(event).unwrap();
    let record = &event.records[0];
    assert_eq!(record.message_id, sent.message_id);
    assert_eq!(record.body.as_deref(), Some("{\"a\":1}"));
    assert_eq!(record.md5_of_body, sent.md5_of_message_body);
    assert_eq!(record.event_source.as_deref(), Some("aws:sqs"));
    assert_eq!(record.aws_region.as_deref(), Some("us-east-1"));
    let arn = "arn:aws:sqs:us-east-1:000000000000:rollcall-batch";
    assert_eq!(record.event_source_arn.as_deref(), Some(arn));
    assert_eq!(record.attributes["ApproximateReceiveCount"], "1");
    assert!(record.attributes["SentTimestamp"].parse::<u64>().is_ok());
    let run = &record.message_attributes["run"];
    assert_eq!(run.string_value.as_deref(), Some("r-1"));
}

#[tokio::test]
async fn a_message_whose_function_failed_comes_again_after_its_visibility_timeout() {
    let bench = Bench::new().await;
    let fails_once = |_: &Value, time| match time {
        1 => Err("on purpose".to_owned()),
        _ => Ok(Value::Null),
    };
    let source = bench.source(noting(&bench.deliveries, fails_once));
    let start = Instant::now();
    bench.send(&["a"]).await;
    let triggers = bench.run(source).await;
    until("the queue is empty", async || bench.is_empty().await).await;
    assert_eq!(bench.delivered("a"), 2);
    assert!(start.elapsed() >= Duration::from_secs(2));
    triggers.stop().await;
}

#[tokio::test]
async fn of_a_batch_only_the_reported_messages_come_again() {
    let bench = Bench::new().await;
    let reports_b = |event: &Value, _| {
        let records = event["Records"].as_array().unwrap();
        let failed = records.iter().filter(|record| {
            record["body"] == "b" && record["attributes"]["ApproximateReceiveCount"] == "1"
        });
        let failed: Vec<_> = failed
            .map(|record| json!({ "itemIdentifier": record["messageId"] }))
            .collect();
        Ok(json!({ "batchItemFailures": failed }))
    };
    let source = bench.source(noting(&bench.deliveries, reports_b));
    bench.send(&["a", "b", "c"]).await;
    let triggers = bench.run(source).await;
    until("the queue is empty", async || bench.is_empty().await).await;
    assert_eq!(bench.delivered("a"), 1);
    assert_eq!(bench.delivered("b"), 2);
    assert_eq!(bench.delivered("c"), 1);
    triggers.stop().await;
}

#[tokio::test]
async fn a_malformed_answer_brings_the_whole_batch_again() {
    let bench = Bench::new().await;
    let malformed_once = |_: &Value, time| match time {
        1 => Ok(json!({ "batchItemFailures": [{ "itemIdentifier": "" }] })),
        _ => Ok(Value::Null),
    };
    let source = bench.source(noting(&bench.deliveries, malformed_once));
    bench.send(&["a", "b"]).await;
    let triggers = bench.run(source).await;
    until("the queue is empty", async || bench.is_empty().await).await;
    assert_eq!((bench.delivered("a"), bench.delivered("b")), (2, 2));
    triggers.stop().await;
}

#[tokio::test]
async fn a_panic_is_a_failure_and_the_next_call_goes_on() {
    let bench = Bench::new().await;
    let panics_once = |_: &Value, time| {
        assert_ne!(time, 1, "on purpose");
        Ok(Value::Null)
    };
    let source = bench.source(noting(&bench.deliveries, panics_once));
    bench.send(&["a"]).await;
    let triggers = bench.run(source).await;
    until("the queue is empty", async || bench.is_empty().await).await;
    assert_eq!(bench.delivered("a"), 2);
    triggers.stop().await;
}

#[tokio::test]
async fn a_call_over_its_time_limit_is_cut_off_and_its_messages_come_again() {
    let bench = Bench::new().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let hangs_once = function(move |_| {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match call {
                0 => std::future::pending().await,
                _ => Ok(Value::Null),
            }
        }
    });
    let mut source = bench.source(hangs_once);
    source.concurrency_max = 1;
    source.function_ms_max = Some(500);
    bench.send(&["a"]).await;
    let triggers = bench.run(source).await;
    until("the queue is empty", async || bench.is_empty().await).await;
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    triggers.stop().await;
}

#[tokio::test]
async fn a_message_that_always_fails_ends_in_the_dead_letter_queue() {
    let bench = Bench::new().await;
    let source = bench.source(noting(&bench.deliveries, |_, _| Err("always".to_owned())));
    bench.send(&["poison"]).await;
    let triggers = bench.run(source).await;
    let dead = bench.aws.queues().batch.dead_letter_url.clone();
    until("it is dead", async || bench.left(&dead).await == 1).await;
    assert_eq!(bench.delivered("poison"), 3);
    assert!(bench.is_empty().await);
    triggers.stop().await;
}

#[tokio::test]
async fn calls_run_at_the_same_time_up_to_their_number_and_no_more() {
    let bench = Bench::new().await;
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, peak) = (Arc::clone(&running), Arc::clone(&most));
    let slow = function(move |event: Value| {
        assert_eq!(event["Records"].as_array().unwrap().len(), 1);
        let now = Arc::clone(&now);
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        async move {
            sleep(Duration::from_millis(200)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(Value::Null)
        }
    });
    let mut source = bench.source(slow);
    source.concurrency_max = 3;
    source.batch_size_max = 1;
    bench.send(&["a", "b", "c", "d", "e", "f", "g"]).await;
    let triggers = bench.run(source).await;
    until("the queue is empty", async || bench.is_empty().await).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    triggers.stop().await;
}

#[tokio::test]
async fn a_message_whose_call_outlasts_its_visibility_runs_a_second_time_beside_it() {
    let bench = Bench::new().await;
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, peak) = (Arc::clone(&running), Arc::clone(&most));
    let slow = function(move |_| {
        let now = Arc::clone(&now);
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        async move {
            sleep(Duration::from_millis(2_600)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(Value::Null)
        }
    });
    bench.send(&["a"]).await;
    let triggers = bench.run(bench.source(slow)).await;
    until("the queue is empty", async || bench.is_empty().await).await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
    triggers.stop().await;
}

#[tokio::test]
async fn a_stop_lets_a_call_finish_and_takes_nothing_more() {
    let bench = Bench::new().await;
    let done = Arc::new(AtomicUsize::new(0));
    let finished = Arc::clone(&done);
    let slow = function(move |_| {
        let finished = Arc::clone(&finished);
        async move {
            sleep(Duration::from_millis(700)).await;
            finished.fetch_add(1, Ordering::SeqCst);
            Ok(Value::Null)
        }
    });
    bench.send(&["a"]).await;
    let triggers = bench.run(bench.source(slow)).await;
    sleep(Duration::from_millis(300)).await;
    triggers.stop().await;
    assert_eq!(done.load(Ordering::SeqCst), 1);
    assert!(bench.is_empty().await, "what was done is deleted");
    bench.send(&["late"]).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(done.load(Ordering::SeqCst), 1);
    let start = Instant::now();
    bench.aws.shutdown().await;
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn an_event_source_that_cannot_work_is_refused() {
    let bench = Bench::new().await;
    let source = || bench.source(function(|_| async { Ok(Value::Null) }));
    let refused = async |source: EventSource| {
        let triggers = Triggers::start(bench.aws.sqs(), vec![source], vec![]);
        triggers.await.unwrap_err()
    };

    let mut missing = source();
    missing.queue_url = bench.url().replace("rollcall-batch", "missing");
    let error = refused(missing).await;
    let TriggerError::Queue { queue_url, message } = &error else {
        panic!("{error}");
    };
    assert!(queue_url.ends_with("missing"));
    assert!(message.contains("does not exist"), "{message}");

    for size in [0, 11] {
        let mut batch = source();
        batch.batch_size_max = size;
        let error = refused(batch).await.to_string();
        assert!(error.contains("batch_size_max"), "{error}");
    }
    let mut none = source();
    none.concurrency_max = 0;
    let error = refused(none).await.to_string();
    assert!(error.contains("concurrency_max"), "{error}");

    // Lambda: "Queue visibility timeout is less than Function timeout".
    let mut long = source();
    long.function_ms_max = Some(2_001);
    let error = refused(long).await;
    assert!(
        matches!(error, TriggerError::VisibilityTooShort { .. }),
        "{error}"
    );
}
