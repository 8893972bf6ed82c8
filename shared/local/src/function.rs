//! Functions, and calling one as Lambda does.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What a function comes to: its answer, or the message of its error.
pub type Answer = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// A function as Lambda sees it: an event in, an answer or an error out.
pub type Function = Arc<dyn Fn(Value) -> Answer + Send + Sync>;

/// Makes a [`Function`] of an asynchronous one.
pub fn function<F, A>(run: F) -> Function
where
    F: Fn(Value) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Value, String>> + Send + 'static,
{
    Arc::new(move |event| Box::pin(run(event)))
}

/// How a call ended without an answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the function failed: {0}")]
    Error(String),
    #[error("the function panicked")]
    Panic,
    #[error("the function took longer than its {0} ms and was cut off")]
    TimeLimit(u64),
}

/// Calls a function in a task of its own, so that a panic ends nothing else, and cuts it off at its
/// time limit, wherever it is: after its limit Lambda freezes a function at any point, too. What
/// the function spawned by itself is not cut off.
pub(crate) async fn invoke(
    function: &Function,
    event: Value,
    ms_max: Option<u64>,
) -> Result<Value, Failure> {
    let function = Arc::clone(function);
    // A set of one, for it aborts its task when it is dropped.
    let mut call = JoinSet::new();
    call.spawn(async move { function(event).await });
    let ended = match ms_max {
        Some(ms) => timeout(Duration::from_millis(ms), call.join_next())
            .await
            .map_err(|_| Failure::TimeLimit(ms))?,
        None => call.join_next().await,
    };
    match ended {
        Some(Ok(answer)) => answer.map_err(Failure::Error),
        Some(Err(_)) | None => Err(Failure::Panic),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_function_gets_the_event_and_its_answer_is_given_back() {
        let echo = function(|event| async move { Ok(json!({ "got": event })) });
        let answer = invoke(&echo, json!(7), None).await;
        assert_eq!(answer, Ok(json!({ "got": 7 })));
    }

    #[tokio::test]
    async fn an_error_and_a_panic_are_failures() {
        let fails = function(|_| async { Err("no table".to_owned()) });
        let failure = invoke(&fails, Value::Null, None).await;
        assert_eq!(failure, Err(Failure::Error("no table".to_owned())));
        let panics = function(|_| async { panic!("on purpose") });
        let failure = invoke(&panics, Value::Null, Some(1_000)).await;
        assert_eq!(failure, Err(Failure::Panic));
        let early: Function = Arc::new(|_| panic!("before its first step"));
        assert_eq!(invoke(&early, Value::Null, None).await, Err(Failure::Panic));
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_is_cut_off_at_its_time_limit_and_does_not_go_on() {
        let finished = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&finished);
        let slow = function(move |_| {
            let flag = Arc::clone(&flag);
            async move {
                tokio::time::sleep(Duration::from_millis(1_001)).await;
                flag.store(true, Ordering::SeqCst);
                Ok(Value::Null)
            }
        });
        let failure = invoke(&slow, Value::Null, Some(1_000)).await;
        assert_eq!(failure, Err(Failure::TimeLimit(1_000)));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(!finished.load(Ordering::SeqCst));
        assert!(invoke(&slow, Value::Null, Some(1_002)).await.is_ok());
    }
}
