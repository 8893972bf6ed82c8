//! SQS: what is sent is delivered at least once, some time, in some order; what is not answered for
//! comes again after its visibility timeout; what came too often is dead.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::config::{BehaviorVersion, Region};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::timeout::TimeoutConfig;
use rollcall_sync::Queues;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use crate::chaos::WireFault;
use crate::dynamo::{self, broken, http};
use crate::item::Place;
use crate::lambda::{Ended, Function, Invocation, Moment, invoke};
use crate::machine::SimClock;
use crate::world::{World, lock};

/// How often a message is delivered before it is dead: the template's `maxReceiveCount`.
const RECEIVES_MAX: u32 = 5;

/// The queues as the functions know them.
pub(crate) fn queues(world: &Arc<World>, clock: SimClock) -> Queues {
    let client = dynamo::sdk_client!(
        aws_sdk_sqs,
        clock,
        "http://sqs.sim",
        Wire(Arc::clone(world))
    );
    Queues {
        client,
        enumerate_url: url(Function::Enumerator),
        batch_url: url(Function::Worker),
        finalize_url: url(Function::Finalizer),
    }
}

fn url(function: Function) -> String {
    format!("http://sqs.sim/000000000000/{function}")
}

fn function_of(url: &str) -> Option<Function> {
    [Function::Enumerator, Function::Worker, Function::Finalizer]
        .into_iter()
        .find(|function| self::url(*function) == url)
}

#[derive(Debug)]
struct Wire(Arc<World>);

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let world = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let target = request.headers().get("x-amz-target").unwrap_or_default();
            let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
            let body = request.body().bytes().unwrap_or_default();
            let body = serde_json::from_slice(body).unwrap_or_default();
            exchange(&world, &operation, &body).await
        })
    }
}

async fn exchange(
    world: &Arc<World>,
    operation: &str,
    body: &Value,
) -> Result<HttpResponse, ConnectorError> {
    let invocation = Invocation::current();
    if let Some(invocation) = &invocation {
        invocation.step(world, Moment::Before, false).await;
    }
    let fault = world.chaos.wire_fault(&world.dice, operation);
    if let Some(fault) = &fault {
        world.tell(|| format!("!! SQS {operation}: {fault}"));
        world.mark(fault.mark());
    }
    world.travel().await;
    let reply = match fault {
        Some(WireFault::LostBefore) => return Err(broken()),
        Some(WireFault::LostAfter) => {
            // The SDK sends it again, so it is there twice.
            if world.chaos.may_double() {
                send(world, operation, body);
            }
            return Err(broken());
        }
        Some(WireFault::Late { ms }) => {
            rings(body);
            late(world, operation, body, ms).await?
        }
        Some(WireFault::Refused { status, code }) => {
            let refused = json!({ "__type": code, "message": "on purpose" });
            (status, refused)
        }
        Some(WireFault::Conflict) | None => {
            rings(body);
            send(world, operation, body)
        }
    };
    world.travel().await;
    if let Some(invocation) = &invocation {
        invocation.step(world, Moment::After, false).await;
    }
    http((reply.0, reply.1.to_string().into_bytes()))
}

/// The request is on its way for so long, and is taken whether or not its sender still waits.
async fn late(
    world: &Arc<World>,
    operation: &str,
    body: &Value,
    ms: u64,
) -> Result<(u16, Value), ConnectorError> {
    let (answer, answered) = oneshot::channel();
    let (world, operation, body) = (Arc::clone(world), operation.to_owned(), body.clone());
    tokio::spawn(async move {
        sleep(Duration::from_millis(ms)).await;
        // Whoever sent it may have given up.
        let _ = answer.send(send(&world, &operation, &body));
    });
    answered.await.map_err(|_| broken())
}

fn send(world: &Arc<World>, operation: &str, body: &Value) -> (u16, Value) {
    let function = body["QueueUrl"].as_str().and_then(function_of);
    let message = body["MessageBody"].as_str();
    let (Some(function), Some(message), "SendMessage") = (function, message, operation) else {
        let problem = json!({ "__type": "InvalidParameterValue", "message": "no such queue" });
        return (400, problem);
    };
    let delay_s = body["DelaySeconds"].as_u64().unwrap_or_default();
    world.tell(|| format!("SQS rings the {function} in {delay_s} s: {message}"));
    let id = world.dice.uuid().to_string();
    let answer = json!({ "MessageId": id });
    tokio::spawn(life(
        Arc::clone(world),
        function,
        id,
        message.to_owned(),
        delay_s * 1_000,
    ));
    (200, answer)
}

/// Whoever sends this rings, now or when it arrives.
fn rings(body: &Value) {
    if let (Some(invocation), Some(message)) = (Invocation::current(), body["MessageBody"].as_str())
    {
        lock(&invocation.rang_for).extend(place_of(message));
    }
}

/// The batch or the run that a bell names.
fn place_of(bell: &str) -> Option<Place> {
    let bell: Value = serde_json::from_str(bell).ok()?;
    let (tenant, run) = (bell["tenant"].as_str()?, bell["run"].as_u64()?);
    Some(match (bell["generation"].as_u64(), bell["page"].as_u64()) {
        (Some(generation), Some(page)) => Place::coordination(
            format!("batch#{tenant}#{run}"),
            format!("{generation:03}#{page:06}"),
        ),
        _ => Place::coordination(format!("run#{tenant}"), format!("{run:010}")),
    })
}

/// A message from its sending to its deletion or death.
async fn life(world: Arc<World>, function: Function, id: String, body: String, delay_ms: u64) {
    let late_ms = world.chaos.late_ms(&world.dice) + world.chaos.latency_ms(&world.dice);
    sleep(Duration::from_millis(delay_ms + late_ms)).await;
    for nth in 0..RECEIVES_MAX {
        if world.is_over() {
            return;
        }
        if world.chaos.loses_message(&world.dice, nth > 0) {
            world.mark("fault: a message lost");
            world.tell(|| format!("!! SQS loses {body} for the {function}"));
            world.loses_occurrence(&body);
            return;
        }
        let again_at = Instant::now() + Duration::from_millis(world.visibility_ms(function));
        let event = event(&world, &id, &body);
        if world.chaos.is_doubled(&world.dice) {
            world.mark("fault: a message delivered twice");
            world.tell(|| format!("!! SQS delivers {body} to the {function} twice"));
            // At once, or when the first is at work or its lease has lapsed.
            let later_ms = world.dice.between(0, 3 * world.lease_ms_max());
            let later_ms = world.dice.of([0, later_ms]);
            tokio::spawn(call_later(
                Arc::clone(&world),
                function,
                event.clone(),
                later_ms,
            ));
        }
        let called = tokio::spawn(call(Arc::clone(&world), function, event));
        // The invocation goes on when its message is delivered again.
        let is_handled = tokio::select! {
            biased;
            ended = called => ended.is_ok_and(|ended| is_handled(&ended, &id)),
            () = sleep_until(again_at) => false,
        };
        if is_handled {
            return;
        }
        sleep_until(again_at).await;
    }
    world.loses_occurrence(&body);
    world.mark("fault: a message dead after too many deliveries");
    world.tell(|| format!("!! SQS gives {body} up: it was delivered {RECEIVES_MAX} times"));
}

async fn call_later(world: Arc<World>, function: Function, event: Value, later_ms: u64) {
    sleep(Duration::from_millis(later_ms)).await;
    if !world.is_over() {
        call(world, function, event).await;
    }
}

/// An invocation in a task of its own, so that its panic is told and ends nothing else.
pub(crate) async fn call(world: Arc<World>, function: Function, event: Value) -> Ended {
    let called = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { invoke(&world, function, event).await })
    };
    called.await.unwrap_or_else(|panic| {
        world.violate("no panic", format!("the {function}: {panic}"));
        Ended::Died
    })
}

fn is_handled(ended: &Ended, id: &str) -> bool {
    let Ended::Answered(answer) = ended else {
        return false;
    };
    let failures = answer["batchItemFailures"].as_array();
    !failures.is_some_and(|failures| failures.iter().any(|it| it["itemIdentifier"] == id))
}

/// What Lambda makes of a message; now and then it comes with one that nobody can read, or twice.
fn event(world: &World, id: &str, body: &str) -> Value {
    let mut records = vec![json!({ "messageId": id, "body": body })];
    if world.chaos.is_doubled(&world.dice) {
        let other = world.dice.of(["not for you", "{}", ""]);
        let other = if world.dice.per_mille(500) {
            body
        } else {
            other
        };
        records.push(json!({ "messageId": "another", "body": other }));
    }
    json!({ "Records": records })
}
