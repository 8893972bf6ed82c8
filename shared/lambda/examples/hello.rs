//! A function that does nothing, with the clients that Rollcall's functions have: what their start is
//! measured against, by `infra/deployed/cold_start.py`.

use aws_config::BehaviorVersion;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .load()
        .await;
    let clients = (
        aws_sdk_dynamodb::Client::new(&config),
        aws_sdk_sqs::Client::new(&config),
        aws_sdk_secretsmanager::Client::new(&config),
        aws_sdk_sts::Client::new(&config),
    );
    lambda_runtime::run(service_fn(async |_: LambdaEvent<Value>| {
        let _ = &clients;
        Ok::<_, Error>(json!("hello"))
    }))
    .await
}
