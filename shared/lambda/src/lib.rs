//! What the functions have in common: their environment, their clients, and Lambda's loop.
//!
//! It promises that a step is told to stop well before Lambda cuts it off, so that it can pass its
//! work on, that it finds a connection to DynamoDB open, and that what a panic says goes no further
//! than telemetry lets it. It never looks into an event: that is the step's.

#[cfg(test)]
mod connection_tests;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use futures::FutureExt as _;
pub use lambda_runtime::Error;
use lambda_runtime::{LambdaEvent, service_fn};
use rollcall_ambient::Ambient;
use rollcall_aws::Aws;
use rollcall_core::ids::{ObjectId, RunRef, TenantId};
use rollcall_store::{Store, TableNames};
use rollcall_sync::{App, HandlerError, Outlet, Queues, Secrets, Topic, stop_at_ms};
use serde_json::Value;

/// How long one try of a call to DynamoDB or SQS may take, in milliseconds. They answer within
/// tens; a connection that died while the function was frozen must not be waited for until the end.
const ATTEMPT_MS_MAX: u64 = 5_000;

/// How long a start may wait for its connection to DynamoDB, in milliseconds. It takes tens; Lambda
/// gives a start ten seconds, and the step makes a connection of its own if this one did not come.
const CONNECT_MS_MAX: u64 = 2_000;

/// Runs a handler until Lambda ends the process.
///
/// # Errors
/// An environment variable that is missing, or an error of the runtime.
pub async fn run<Step, Handled>(step: Step) -> Result<(), Error>
where
    Step: Fn(App, Value, u64) -> Handled,
    Handled: Future<Output = Result<Value, HandlerError>>,
{
    let ambient = telemetry()?;
    let app = started(config().await, settings()?, &ambient).await;
    serve(&app, &ambient, step).await
}

/// Runs the outlet's handler until Lambda ends the process.
///
/// # Errors
/// As [`run`].
pub async fn run_outlet<Step, Handled>(step: Step) -> Result<(), Error>
where
    Step: Fn(Outlet, Value, u64) -> Handled,
    Handled: Future<Output = Result<Value, HandlerError>>,
{
    let ambient = telemetry()?;
    let arn = variable("ROLLCALL_STATUS_TOPIC_ARN")?;
    let (config, tables) = (config().await, tables()?);
    let client = aws_sdk_dynamodb::Client::new(&config);
    let store = Store::new(client, tables, ambient.clone());
    if let (Some(nobody), Ok(id)) = (nobody(), ObjectId::new("-")) {
        connect(store.switched_off(&nobody, [(&id, 0)])).await;
    }
    let outlet = Outlet {
        store,
        topic: Topic {
            client: aws_sdk_sns::Client::new(&config),
            arn,
        },
        ambient: ambient.clone(),
    };
    serve(&outlet, &ambient, step).await
}

fn telemetry() -> Result<Ambient, Error> {
    let ambient = Ambient::system();
    rollcall_telemetry::init_lambda(&ambient, &variable("ROLLCALL_METRICS_NAMESPACE")?);
    Ok(ambient)
}

async fn serve<Means, Step, Handled>(
    means: &Means,
    ambient: &Ambient,
    step: Step,
) -> Result<(), Error>
where
    Means: Clone,
    Step: Fn(Means, Value, u64) -> Handled,
    Handled: Future<Output = Result<Value, HandlerError>>,
{
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let stop_at_ms = stop_at_ms(ambient.now_ms(), event.context.deadline);
        answer(step(means.clone(), event.payload, stop_at_ms)).await
    }))
    .await
}

/// What Lambda is answered. The runtime would put the text of a panic into the answer, and Lambda into the
/// trace; it may have been put together from anybody's data. The log has what may be told of it.
async fn answer(
    handled: impl Future<Output = Result<Value, HandlerError>>,
) -> Result<Value, Error> {
    // Whatever the step left half done is in its own clones and in this invocation.
    match AssertUnwindSafe(handled).catch_unwind().await {
        Ok(ended) => ended.map_err(Error::from),
        Err(_) => Err(Error::from(
            "the step panicked: see the event panicked of the log",
        )),
    }
}

/// What the environment says.
struct Settings {
    tables: TableNames,
    enumerate_url: String,
    batch_url: String,
    finalize_url: String,
}

fn settings() -> Result<Settings, Error> {
    Ok(Settings {
        tables: tables()?,
        enumerate_url: variable("ROLLCALL_ENUMERATE_QUEUE_URL")?,
        batch_url: variable("ROLLCALL_BATCH_QUEUE_URL")?,
        finalize_url: variable("ROLLCALL_FINALIZE_QUEUE_URL")?,
    })
}

fn tables() -> Result<TableNames, Error> {
    Ok(TableNames {
        directory: variable("ROLLCALL_DIRECTORY_TABLE")?,
        coordination: variable("ROLLCALL_COORDINATION_TABLE")?,
    })
}

fn variable(name: &str) -> Result<String, Error> {
    std::env::var(name)
        .map_err(|_| Error::from(format!("the environment variable {name} is not set")))
}

async fn config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_millis(ATTEMPT_MS_MAX))
        .build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .timeout_config(timeouts)
        .load()
        .await
}

/// The clients, with a connection to DynamoDB that the first step finds open: a start is not billed
/// like an invocation, and nobody waits for it when Lambda makes it ahead.
async fn started(config: SdkConfig, settings: Settings, ambient: &Ambient) -> App {
    let client = aws_sdk_dynamodb::Client::new(&config);
    let store = Store::new(client, settings.tables, ambient.clone());
    let queues = Queues {
        client: aws_sdk_sqs::Client::new(&config),
        enumerate_url: settings.enumerate_url,
        batch_url: settings.batch_url,
        finalize_url: settings.finalize_url,
    };
    if let Some(nobody) = nobody() {
        connect(store.run(&nobody)).await;
    }
    let secrets = Secrets::Process(Arc::new(Aws::with(config)));
    App::new(store, queues, secrets, ambient.clone())
}

/// The run of no tenant: what is asked for of it each role may read.
fn nobody() -> Option<RunRef> {
    let tenant = TenantId::new("-").ok()?;
    Some(RunRef { tenant, run: 0 })
}

/// Asks for something that is not there. An error is the step's to meet and to tell.
async fn connect<T>(asking: impl Future<Output = T>) {
    let wait = Duration::from_millis(CONNECT_MS_MAX);
    let _ = tokio::time::timeout(wait, asking).await;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_without_what_it_says() {
        let name = "Adele Vance";
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let panicked = answer(async { panic!("{name} has no id") }).await;
        std::panic::set_hook(before);
        let told = panicked.unwrap_err();
        assert!(!format!("{told:?} {told}").contains("Adele"), "{told}");
        assert!(told.to_string().contains("panicked"), "{told}");
        let ended = answer(async { Ok(json!({ "batchItemFailures": [] })) }).await;
        assert_eq!(ended.unwrap(), json!({ "batchItemFailures": [] }));
    }
}
