//! The status topic: SNS on the wire, through a network that loses and repeats, and a service that takes a part.

use std::sync::Arc;

use aws_sdk_sns::config::{BehaviorVersion, Region};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::timeout::TimeoutConfig;
use rollcall_sns_wire::{Message, entries, published, refusal};
use rollcall_sync::Topic;
use tokio::sync::oneshot;
use tokio::time::{Duration, sleep};

use crate::chaos::WireFault;
use crate::checks::told;
use crate::dynamo::{self, Reply, broken, http};
use crate::lambda::{Invocation, Moment};
use crate::machine::SimClock;
use crate::world::{World, lock};

const ARN: &str = "arn:aws:sns:us-east-1:000000000000:rollcall-status.fifo";
/// Within this time a repetition is taken and not passed on, in milliseconds.
/// <https://docs.aws.amazon.com/sns/latest/dg/fifo-message-dedup.html>
const DEDUPLICATION_MS: u64 = 300_000;

/// The topic as the publisher knows it.
pub(crate) fn topic(world: &Arc<World>, clock: SimClock) -> Topic {
    let client = dynamo::sdk_client!(
        aws_sdk_sns,
        clock,
        "http://sns.sim",
        Wire(Arc::clone(world))
    );
    Topic {
        client,
        arn: ARN.to_owned(),
    }
}

#[derive(Debug)]
struct Wire(Arc<World>);

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let world = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let body = request.body().bytes().unwrap_or_default();
            let body = String::from_utf8_lossy(body).into_owned();
            exchange(&world, body).await
        })
    }
}

async fn exchange(world: &Arc<World>, body: String) -> Result<HttpResponse, ConnectorError> {
    let invocation = Invocation::current();
    if let Some(invocation) = &invocation {
        invocation.step(world, Moment::Before, false).await;
    }
    let is_down = lock(&world.told).topic_is_down_until_ms > world.now_ms();
    let fault = if is_down {
        None
    } else {
        world.chaos.wire_fault(&world.dice, "PublishBatch")
    };
    if let Some(fault) = &fault {
        world.tell(|| format!("!! SNS: {fault}"));
        world.mark(fault.mark());
    }
    world.travel().await;
    let reply = match fault {
        _ if is_down => {
            world.mark("fault: the topic is down");
            (
                503,
                refusal("ServiceUnavailable", "on purpose").into_bytes(),
            )
        }
        None | Some(WireFault::Conflict) => publish(world, &body),
        Some(WireFault::LostBefore) => return Err(broken()),
        Some(WireFault::LostAfter) => {
            publish(world, &body);
            return Err(broken());
        }
        Some(WireFault::Late { ms }) => late(world, body, ms).await?,
        Some(WireFault::Refused { status, code }) => {
            (status, refusal(code, "on purpose").into_bytes())
        }
    };
    world.travel().await;
    if let Some(invocation) = &invocation {
        invocation.step(world, Moment::After, false).await;
    }
    http(reply)
}

/// The request is on its way for so long, and is taken whether or not its sender still waits.
async fn late(world: &Arc<World>, body: String, ms: u64) -> Result<Reply, ConnectorError> {
    let (answer, answered) = oneshot::channel();
    let world = Arc::clone(world);
    tokio::spawn(async move {
        sleep(Duration::from_millis(ms)).await;
        // Whoever sent it may have given up.
        let _ = answer.send(publish(&world, &body));
    });
    answered.await.map_err(|_| broken())
}

/// Takes what a request has, or a part of it.
fn publish(world: &World, body: &str) -> Reply {
    let entries = match entries(ARN, body) {
        Ok(entries) => entries,
        Err(problem) => {
            world.violate("status events: SNS takes the request", problem.clone());
            return (400, refusal("InvalidParameter", &problem).into_bytes());
        }
    };
    let in_part = world.chaos.takes_in_part(&world.dice);
    if in_part {
        world.mark("fault: a part of a request taken");
    }
    let (mut taken, mut failed) = (Vec::new(), Vec::new());
    for (id, message) in entries {
        match () {
            () if !in_part || world.dice.per_mille(500) => {
                pass_on(world, &message);
                taken.push(id);
            }
            () if world.dice.per_mille(500) => failed.push(id),
            // Nothing is said of it.
            () => {}
        }
    }
    (200, published(&taken, &failed).into_bytes())
}

/// Passes a message on, unless it is a repetition that the topic knows.
fn pass_on(world: &World, message: &Message) {
    let now_ms = world.now_ms();
    let key = (message.group.clone(), message.deduplication.clone());
    let is_new = {
        let mut told = lock(&world.told);
        let since_ms = told.taken_ms.get(&key).copied();
        let is_new = since_ms.is_none_or(|since_ms| now_ms >= since_ms + DEDUPLICATION_MS);
        if is_new {
            told.taken_ms.insert(key, now_ms);
        }
        is_new
    };
    world.tell(|| {
        format!(
            "SNS takes {} (new: {is_new}): {}",
            message.deduplication, message.body
        )
    });
    if is_new {
        told::passed_on(world, message);
    }
}
