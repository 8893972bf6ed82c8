//! DynamoDB on the wire: the SDK's requests go to the embedded database in the same process, through
//! a network that loses, delays, refuses and repeats.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::timeout::TimeoutConfig;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::chaos::WireFault;
use crate::checks::isolation;
use crate::lambda::{Invocation, Moment};
use crate::machine::SimClock;
use crate::person;
use crate::world::{World, lock};

/// How long one try of a call may take, in milliseconds: as the deployed functions have it.
pub(crate) const ATTEMPT_MS_MAX: u64 = 5_000;

/// What the key of a plan begins with.
const PLAN: &str = "\"plan#";
/// What the key of a run's settings begins with.
const SNAPSHOT: &str = "\"snapshot#";
/// The state of a batch that is revoked.
const REVOKED: &str = "\"REVOKED\"";

/// An answer of a service: status and body.
pub(crate) type Reply = (u16, Vec<u8>);

/// The settings that both SDK clients share, as a macro because their types differ.
macro_rules! sdk_client {
    ($sdk:ident, $clock:expr, $endpoint:literal, $connector:expr) => {{
        let connector = SharedHttpConnector::new($connector);
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_millis($crate::dynamo::ATTEMPT_MS_MAX))
            .build();
        let config = $sdk::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("us-east-1"))
            // Nobody here looks at a signature, and signing is a thirteenth of a seed's time.
            .allow_no_auth()
            .endpoint_url($endpoint)
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .time_source($clock)
            .sleep_impl(TokioSleep::new())
            // Otherwise all clients of this process, those of other seeds too, draw their retries on one account.
            .retry_partition($sdk::config::retry::RetryPartition::custom("sim").build())
            .timeout_config(timeouts)
            .stalled_stream_protection(
                aws_sdk_dynamodb::config::StalledStreamProtectionConfig::disabled(),
            )
            .build();
        $sdk::Client::from_conf(config)
    }};
}
pub(crate) use sdk_client;

/// A DynamoDB client whose requests go through the world.
pub(crate) fn client(world: &Arc<World>, clock: SimClock) -> aws_sdk_dynamodb::Client {
    sdk_client!(
        aws_sdk_dynamodb,
        clock,
        "http://dynamodb.sim",
        Wire(Arc::clone(world))
    )
}

#[derive(Debug)]
struct Wire(Arc<World>);

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let world = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let target = request.headers().get("x-amz-target").unwrap_or_default();
            let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
            let body = request.body().bytes().unwrap_or_default().to_vec();
            exchange(&world, operation, body).await
        })
    }
}

/// An answer as the SDK takes it.
pub(crate) fn http(reply: Reply) -> Result<HttpResponse, ConnectorError> {
    let (status, body) = reply;
    let status = StatusCode::try_from(status)
        .map_err(|error| ConnectorError::other(Box::new(error), None))?;
    Ok(HttpResponse::new(status, SdkBody::from(body)))
}

/// A connection that broke.
pub(crate) fn broken() -> ConnectorError {
    ConnectorError::io("the connection was reset".into())
}

async fn exchange(
    world: &Arc<World>,
    operation: String,
    body: Vec<u8>,
) -> Result<HttpResponse, ConnectorError> {
    let invocation = Invocation::current();
    let writes = matches!(operation.as_str(), "UpdateItem" | "TransactWriteItems");
    if let Some(invocation) = &invocation {
        let text = String::from_utf8_lossy(&body);
        let names_plan = text.contains(PLAN) || text.contains(REVOKED);
        invocation.calls_dynamo(writes, names_plan);
        isolation::touches(world, invocation, &text);
        invocation.step(world, Moment::Before, writes).await;
    }
    let fault = match &invocation {
        Some(_) => world.chaos.wire_fault(&world.dice, &operation),
        None if person::calls() => person::wire_fault(world, &operation),
        None => None,
    };
    if let Some(fault) = &fault {
        world.tell(|| format!("!! DynamoDB {operation}: {fault}"));
        world.mark(fault.mark());
        look_is_lost(world, &operation, &body);
    }
    world.travel().await;
    let reply = match fault {
        _ if is_in_flight(world, &body) => (400, refusal("TransactionInProgressException")),
        None => apply(world, &operation, &body, invocation.as_ref()),
        Some(WireFault::LostBefore) => return Err(broken()),
        Some(WireFault::LostAfter) => {
            apply(world, &operation, &body, invocation.as_ref());
            world.travel().await;
            return Err(broken());
        }
        Some(WireFault::Late { ms }) => {
            let (operation, body) = (operation.clone(), body.clone());
            late(world, operation, body, invocation.clone(), ms).await?
        }
        Some(WireFault::Refused { status, code }) => (status, refusal(code)),
        Some(WireFault::Conflict) => (400, conflict(&operation, &body)),
    };
    if invocation.is_some() && reply.0 == 200 {
        match operation.as_str() {
            "BatchGetItem" => person::meddle(world, &person::read_users(&body)),
            "TransactWriteItems" => person::meddle(world, &person::switched_off(world, &body)),
            _ => {}
        }
    }
    world.travel().await;
    if let Some(invocation) = &invocation {
        invocation.step(world, Moment::After, writes).await;
    }
    http(reply)
}

/// Whoever cannot read a batch does not know whose turn it is.
fn look_is_lost(world: &World, operation: &str, body: &[u8]) {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(partition) = request["Key"]["pk"]["S"].as_str()
        && operation == "GetItem"
        && partition.starts_with("batch#")
    {
        lock(&world.lost_looks).insert(partition.to_owned());
    }
}

fn apply(
    world: &Arc<World>,
    operation: &str,
    body: &[u8],
    invocation: Option<&Arc<Invocation>>,
) -> Reply {
    world.mark("calls of DynamoDB");
    let reply = crate::database::apply(world, operation, body, invocation.map(Arc::as_ref));
    world.tell(|| {
        let what = crate::database::told(operation, body);
        let result = if reply.0 == 200 {
            "ok"
        } else {
            error_code(&reply.1)
        };
        format!("DynamoDB {operation} {what} -> {result}")
    });
    reply
}

/// The request is on its way for so long, and is applied whether or not its sender still waits.
async fn late(
    world: &Arc<World>,
    operation: String,
    body: Vec<u8>,
    invocation: Option<Arc<Invocation>>,
    ms: u64,
) -> Result<Reply, ConnectorError> {
    let (answer, answered) = oneshot::channel();
    let world = Arc::clone(world);
    let token = token(&body);
    lock(&world.in_flight).extend(token.clone());
    // Each start takes a snapshot, and nothing else does.
    let starts = u64::from(token.is_some() && String::from_utf8_lossy(&body).contains(SNAPSHOT));
    world.starts_in_flight.fetch_add(starts, Ordering::Relaxed);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        world.starts_in_flight.fetch_sub(starts, Ordering::Relaxed);
        if let Some(token) = token {
            lock(&world.in_flight).remove(&token);
        }
        let reply = apply(&world, &operation, &body, invocation.as_ref());
        // Whoever sent it may have given up.
        let _ = answer.send(reply);
    });
    answered.await.map_err(|_| broken())
}

/// The token of a transaction.
fn token(body: &[u8]) -> Option<String> {
    let request: Value = serde_json::from_slice(body).ok()?;
    request["ClientRequestToken"].as_str().map(str::to_owned)
}

/// Whether an earlier attempt of the same transaction is still on its way.
fn is_in_flight(world: &World, body: &[u8]) -> bool {
    let in_flight = lock(&world.in_flight);
    !in_flight.is_empty() && token(body).is_some_and(|token| in_flight.contains(&token))
}

fn refusal(code: &str) -> Vec<u8> {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
    json!({ "__type": kind, "message": "on purpose" })
        .to_string()
        .into_bytes()
}

/// Another transaction was at one of the items.
fn conflict(operation: &str, body: &[u8]) -> Vec<u8> {
    if operation != "TransactWriteItems" {
        return refusal("TransactionConflictException");
    }
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let count = request["TransactItems"].as_array().map_or(1, Vec::len);
    let reasons: Vec<_> = (0..count)
        .map(|index| match index {
            0 => json!({ "Code": "TransactionConflict", "Message": "on purpose" }),
            _ => json!({ "Code": "None" }),
        })
        .collect();
    json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled",
        "CancellationReasons": reasons,
    })
    .to_string()
    .into_bytes()
}

fn error_code(body: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(body);
    [
        "ConditionalCheckFailed",
        "TransactionConflict",
        "ValidationException",
        "Throttling",
        "ProvisionedThroughputExceeded",
    ]
    .into_iter()
    .find(|code| text.contains(code))
    .unwrap_or("error")
}
