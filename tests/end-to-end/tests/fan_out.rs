//! A schedule that fires for hundreds of tenants, by a function that dies at any call, over queues that
//! tell things twice: each tenant has exactly one run of it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where a step fails"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_sdk_dynamodb::config::interceptors::{
    BeforeSerializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_sqs::operation::send_message::SendMessageInput;
use fastrand::Rng;
use rollcall_ambient::Ambient;
use rollcall_core::ids::{RunRef, TenantId};
use rollcall_core::run::FailReason;
use rollcall_core::settings::TenantSettings;
use rollcall_end_to_end::sqs_event;
use rollcall_local::{LocalAws, LocalSettings, QueueSettings};
use rollcall_store::{AcquiredRun, RunStep, Store, TableNames, Usage};
use rollcall_sync::{App, Secrets};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// More than the tenants of two rings, which are a hundred each.
const TENANTS: usize = 230;
/// How many calls a function makes at most before it dies.
const CALLS_MAX: i64 = 300;
/// How many deaths there are before a function lives.
const DEATHS: usize = 25;
/// When the schedule was due.
const AT: &str = "2026-11-26T02:00:00Z";

/// Kills a function at one of its calls: its future is dropped there. And makes no message wait.
#[derive(Debug, Clone, Default)]
struct Fate {
    calls_left: Arc<AtomicI64>,
    dies: Arc<Notify>,
}

impl Fate {
    fn spare(&self) {
        self.calls_left.store(i64::MAX, Ordering::SeqCst);
    }

    fn doom(&self, rng: &mut Rng) {
        self.calls_left
            .store(rng.i64(1..CALLS_MAX), Ordering::SeqCst);
    }

    fn count(&self) {
        if self.calls_left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.dies.notify_one();
        }
    }
}

impl Intercept for Fate {
    fn name(&self) -> &'static str {
        "fate"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(message) = context.input_mut().downcast_mut::<SendMessageInput>() {
            message.delay_seconds = None;
        }
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.count();
        Ok(())
    }
}

struct World {
    aws: LocalAws,
    store: Store,
    app: App,
    fate: Fate,
    rng: Rng,
}

impl World {
    async fn start() -> Self {
        let ambient = Ambient::system();
        let queue = QueueSettings {
            visibility_s: 30,
            receive_count_max: 1_000,
        };
        let queues = LocalSettings {
            enumerate: queue,
            batch: queue,
            finalize: queue,
        };
        let aws = LocalAws::start(None, ambient.clone(), queues)
            .await
            .unwrap();
        let fate = Fate::default();
        fate.spare();
        let config = aws
            .dynamodb()
            .config()
            .to_builder()
            .interceptor(fate.clone());
        let tables = TableNames {
            directory: "directory".into(),
            coordination: "coordination".into(),
        };
        let client = aws_sdk_dynamodb::Client::from_conf(config.build());
        let store = Store::new(client, tables, ambient.clone());
        store.create_tables().await.unwrap();
        let sqs = aws
            .sqs()
            .config()
            .to_builder()
            .interceptor(fate.clone())
            .build();
        let queues = rollcall_end_to_end::queues(&aws, aws_sdk_sqs::Client::from_conf(sqs));
        let secrets = Secrets::Fixed(Arc::new(BTreeMap::new()));
        let app = App::new(store.clone(), queues, secrets, ambient);
        let world = Self {
            aws,
            store,
            app,
            fate,
            rng: Rng::with_seed(7),
        };
        for nth in 0..TENANTS {
            let settings: TenantSettings = serde_json::from_value(settings(nth)).unwrap();
            world.store.put_tenant(&settings).await.unwrap();
        }
        world
    }

    /// `None` if the function died.
    async fn calls(&self, event: Value) -> Option<Value> {
        let call = self.app.enumerator(event, u64::MAX);
        tokio::select! {
            biased;
            () = self.fate.dies.notified() => None,
            answer = call => Some(answer.unwrap()),
        }
    }

    /// A message of the enumerator's queue; what of it is deleted is up to the test.
    async fn message(&self) -> Option<(Value, String)> {
        let url = &self.aws.queues().enumerate.url;
        let receive = self.aws.sqs().receive_message().queue_url(url);
        let received = receive.send().await.unwrap();
        let message = received.messages().first()?;
        let body = serde_json::from_str(message.body().unwrap()).unwrap();
        Some((body, message.receipt_handle().unwrap().to_owned()))
    }

    /// Done with it, or not: then it is there again at once.
    async fn settle(&self, handle: String, is_done: bool) {
        let url = &self.aws.queues().enumerate.url;
        if is_done {
            let delete = self.aws.sqs().delete_message().queue_url(url);
            delete.receipt_handle(handle).send().await.unwrap();
        } else {
            let show = self.aws.sqs().change_message_visibility().queue_url(url);
            let show = show.receipt_handle(handle).visibility_timeout(0);
            show.send().await.unwrap();
        }
    }

    /// What comes of a run does not matter here, but it has to end: an occurrence that comes again
    /// must not find it active.
    async fn ends(&self, run: &RunRef) {
        let acquired = self.store.acquire_run(run, RunStep::GiveUp, "test").await;
        if let AcquiredRun::Granted(lease, _) = acquired.unwrap() {
            let (reason, usage) = (FailReason::GraphUnavailable, Usage::default());
            let _ = self.store.fail_run(&lease, reason, "test", &usage).await;
            let _ = self.store.close_failed_run(&lease).await;
        }
    }

    /// Handles what is in the queue until nothing is left in it. A run is ended where it would be
    /// enumerated.
    async fn drain(&mut self, mut deaths: usize) {
        while let Some((body, handle)) = self.message().await {
            if body.get("run").is_some() {
                let run = serde_json::from_value(body).unwrap();
                self.ends(&run).await;
                self.settle(handle, true).await;
                continue;
            }
            if deaths > 0 {
                deaths -= 1;
                self.fate.doom(&mut self.rng);
            }
            let is_done = self.calls(sqs_event(&body)).await.is_some();
            self.fate.spare();
            // A queue may tell again of what was done.
            let is_told_again = self.rng.u8(0..20) == 0;
            self.settle(handle, is_done && !is_told_again).await;
        }
    }

    async fn runs(&self, tenant: &str) -> usize {
        let tenant = TenantId::new(tenant).unwrap();
        for run in self.store.runs(&tenant).await.unwrap() {
            self.ends(&run.run).await;
        }
        self.store.runs(&tenant).await.unwrap().len()
    }
}

fn name(nth: usize) -> String {
    format!("tenant-{nth}")
}

fn settings(nth: usize) -> Value {
    json!({
        "id": name(nth),
        "directory_id": "6babcaad-604b-40ac-a9d7-9fd97c0b779f",
        "client_id": "e46697b1-7d7a-4a7a-9d6c-1c6ac6fb2ea7",
        "graph_url": "http://127.0.0.1:1",
        "login_url": "http://127.0.0.1:1",
        "credential": { "kind": "secret", "env": "NONE" },
    })
}

#[tokio::test]
async fn each_due_tenant_has_exactly_one_run_however_often_the_fan_out_dies_and_is_told_again() {
    let mut world = World::start().await;
    let event = json!({ "schedule": "full", "at": AT });
    // EventBridge tells it until a function has answered, and then once more.
    for _ in 0..DEATHS {
        world.fate.doom(&mut world.rng);
        let is_answered = world.calls(event.clone()).await.is_some();
        world.fate.spare();
        // What has been started meanwhile is over when it is told again.
        world.drain(DEATHS).await;
        if is_answered {
            break;
        }
    }
    for _ in 0..2 {
        world.calls(event.clone()).await.unwrap();
        world.drain(DEATHS).await;
    }
    for nth in 0..TENANTS {
        // A run whose ring died with its function is the sweeper's to find; it was started all the same.
        assert_eq!(world.runs(&name(nth)).await, 1, "tenant {nth}");
    }
    let next = json!({ "schedule": "full", "at": "2026-11-27T02:00:00Z" });
    world.calls(next).await.unwrap();
    world.drain(0).await;
    for nth in 0..TENANTS {
        assert_eq!(
            world.runs(&name(nth)).await,
            2,
            "tenant {nth}, the next night"
        );
    }
}

#[tokio::test]
async fn what_is_asked_for_by_hand_is_started_whatever_was_due() {
    let world = World::start().await;
    let asks = json!({ "schedule": "full", "tenants": ["tenant-3"] });
    for nth in 1..=2 {
        let answer = world.calls(asks.clone()).await.unwrap();
        assert_eq!(
            answer["runs"][0],
            json!({ "tenant": "tenant-3", "run": nth, "joined": false })
        );
        assert_eq!(world.runs("tenant-3").await, nth);
    }
}

#[tokio::test]
async fn an_emulator_that_leaves_the_schedules_time_out_is_taken_to_mean_now() {
    let mut world = World::start().await;
    let event = json!({ "schedule": "delta", "at": "<aws.scheduler.scheduled-time>" });
    world.calls(event).await.unwrap();
    world.drain(0).await;
    assert_eq!(world.runs("tenant-229").await, 1);
    let wrong = world
        .app
        .enumerator(json!({ "schedule": "full", "at": "tonight" }), u64::MAX);
    let refused = wrong.await.unwrap_err().to_string();
    assert!(refused.contains("at is \"tonight\""), "{refused}");
}
