use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rollcall_local::{
    Function, LocalAws, LocalSettings, Schedule, TriggerError, Triggers, function,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

/// A client is needed to start triggers at all; schedules make no call with it.
async fn sqs() -> (LocalAws, aws_sdk_sqs::Client) {
    let ambient = rollcall_ambient::Ambient::system();
    let aws = LocalAws::start(None, ambient, LocalSettings::default());
    let aws = aws.await.unwrap();
    let sqs = aws.sqs().clone();
    (aws, sqs)
}

fn schedule(first_after_s: u64, period_s: u64, function: Function) -> Schedule {
    Schedule {
        name: "test".to_owned(),
        first_after: Duration::from_secs(first_after_s),
        period: Duration::from_secs(period_s),
        payload: json!({ "mode": "full" }),
        function,
        function_ms_max: None,
    }
}

/// Counts its calls, and takes a time for each.
fn counting(count: &Arc<AtomicUsize>, takes: Duration) -> Function {
    let count = Arc::clone(count);
    function(move |payload| {
        assert_eq!(payload, json!({ "mode": "full" }));
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(takes).await;
            Ok(Value::Null)
        }
    })
}

#[tokio::test]
async fn a_schedule_fires_after_its_first_wait_and_then_on_its_period() {
    let (_aws, sqs) = sqs().await;
    tokio::time::pause();
    let start = Instant::now();
    let count = Arc::new(AtomicUsize::new(0));
    let fires = counting(&count, Duration::ZERO);
    let triggers = Triggers::start(&sqs, vec![], vec![schedule(30, 60, fires)]);
    let triggers = triggers.await.unwrap();
    for (second, fired) in [(29, 0), (31, 1), (89, 1), (91, 2), (151, 3)] {
        at(start, second).await;
        assert_eq!(count.load(Ordering::SeqCst), fired, "second {second}");
    }
    triggers.stop().await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(count.load(Ordering::SeqCst), 3, "it fired after the stop");
}

#[tokio::test]
async fn a_schedule_without_a_first_wait_fires_at_once() {
    let (_aws, sqs) = sqs().await;
    tokio::time::pause();
    let count = Arc::new(AtomicUsize::new(0));
    let fires = counting(&count, Duration::ZERO);
    let triggers = Triggers::start(&sqs, vec![], vec![schedule(0, 3_600, fires)]);
    let _triggers = triggers.await.unwrap();
    sleep(Duration::from_millis(10)).await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn fires_that_fall_into_a_long_call_are_left_out_and_never_made_up_for() {
    let (_aws, sqs) = sqs().await;
    tokio::time::pause();
    let start = Instant::now();
    let count = Arc::new(AtomicUsize::new(0));
    let fires = counting(&count, Duration::from_secs(35));
    let triggers = Triggers::start(&sqs, vec![], vec![schedule(10, 10, fires)]);
    let _triggers = triggers.await.unwrap();
    // Fires at 10, ends at 45, fires again at 50.
    for (second, fired) in [(44, 1), (49, 1), (51, 2), (84, 2), (91, 3)] {
        at(start, second).await;
        assert_eq!(count.load(Ordering::SeqCst), fired, "second {second}");
    }
}

#[tokio::test]
async fn a_call_that_panics_or_takes_too_long_does_not_end_its_schedule() {
    let (_aws, sqs) = sqs().await;
    tokio::time::pause();
    let start = Instant::now();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let hard = function(move |_| {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match call {
                0 => panic!("on purpose"),
                1 => Err("on purpose".to_owned()),
                _ => std::future::pending().await,
            }
        }
    });
    let mut hard = schedule(10, 10, hard);
    hard.function_ms_max = Some(5_000);
    let triggers = Triggers::start(&sqs, vec![], vec![hard]).await;
    let _triggers = triggers.unwrap();
    at(start, 45).await;
    assert_eq!(count.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_stop_waits_for_a_call_but_not_for_ever() {
    let (_aws, sqs) = sqs().await;
    tokio::time::pause();
    let done = Arc::new(AtomicUsize::new(0));
    let finished = Arc::clone(&done);
    let slow = function(move |_| {
        let finished = Arc::clone(&finished);
        async move {
            sleep(Duration::from_secs(8)).await;
            finished.fetch_add(1, Ordering::SeqCst);
            Ok(Value::Null)
        }
    });
    let hangs = function(|_| std::future::pending());
    let schedules = vec![schedule(0, 60, slow), schedule(0, 60, hangs)];
    let triggers = Triggers::start(&sqs, vec![], schedules).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    triggers.stop().await;
    assert_eq!(done.load(Ordering::SeqCst), 1, "the slow call was cut off");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(11), "{took:?}");
}

#[tokio::test]
async fn a_period_of_zero_is_refused_by_the_name_of_its_schedule() {
    let (_aws, sqs) = sqs().await;
    let never = function(|_| async { Ok(Value::Null) });
    let error = Triggers::start(&sqs, vec![], vec![schedule(0, 0, never)]).await;
    let error = error.unwrap_err();
    assert!(
        matches!(&error, TriggerError::OutOfRange { of, .. } if of == "test"),
        "{error}"
    );
}

/// Sleeps until so many seconds after the start.
async fn at(start: Instant, second: u64) {
    sleep_until(start + Duration::from_secs(second)).await;
}
