//! What the three functions have in common: their environment, their clients, and Lambda's loop.
//!
//! It promises that a step is told to stop well before Lambda cuts it off, so that it can pass its
//! work on. It never looks into an event: that is the step's.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
pub use lambda_runtime::Error;
use lambda_runtime::{LambdaEvent, service_fn};
use rollcall_ambient::Ambient;
use rollcall_aws::Aws;
use rollcall_store::{Store, TableNames};
use rollcall_sync::{App, HandlerError, Queues, Secrets, stop_at_ms};
use serde_json::Value;

/// How long one try of a call to DynamoDB or SQS may take, in milliseconds. They answer within
/// tens; a connection that died while the function was frozen must not be waited for until the end.
const ATTEMPT_MS_MAX: u64 = 5_000;

/// Runs a handler until Lambda ends the process.
///
/// # Errors
/// An environment variable that is missing, or an error of the runtime.
pub async fn run<Step, Handled>(step: Step) -> Result<(), Error>
where
    Step: Fn(App, Value, u64) -> Handled,
    Handled: Future<Output = Result<Value, HandlerError>>,
{
    let ambient = Ambient::system();
    rollcall_telemetry::init_lambda(&ambient);
    let app = app(&ambient).await?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let stop_at_ms = stop_at_ms(ambient.now_ms(), event.context.deadline);
        step(app.clone(), event.payload, stop_at_ms)
            .await
            .map_err(Error::from)
    }))
    .await
}

async fn app(ambient: &Ambient) -> Result<App, Error> {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_millis(ATTEMPT_MS_MAX))
        .build();
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .timeout_config(timeouts)
        .load()
        .await;
    let tables = TableNames {
        directory: variable("ROLLCALL_DIRECTORY_TABLE")?,
        coordination: variable("ROLLCALL_COORDINATION_TABLE")?,
    };
    let queues = Queues {
        client: aws_sdk_sqs::Client::new(&config),
        enumerate_url: variable("ROLLCALL_ENUMERATE_QUEUE_URL")?,
        batch_url: variable("ROLLCALL_BATCH_QUEUE_URL")?,
        finalize_url: variable("ROLLCALL_FINALIZE_QUEUE_URL")?,
    };
    let client = aws_sdk_dynamodb::Client::new(&config);
    let store = Store::new(client, tables, ambient.clone());
    Ok(App::new(
        store,
        queues,
        Secrets::Process(Arc::new(Aws::with(config))),
        ambient.clone(),
    ))
}

fn variable(name: &str) -> Result<String, Error> {
    std::env::var(name)
        .map_err(|_| Error::from(format!("the environment variable {name} is not set")))
}
