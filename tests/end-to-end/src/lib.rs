//! The whole system on one machine, for tests: the Graph emulator, the embedded DynamoDB and SQS,
//! and the three handlers over them, driven by their queues or called one by one.
//!
//! It never replaces a part of the system by a double: what is between the services and the steps is
//! the shipped code and the real AWS SDK.

pub mod calls;
pub mod catalogue;
mod handlers;
pub mod lost;
mod reverts;
pub mod scim;
pub mod stream;
pub mod topic;
pub mod town;
pub mod truth;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rollcall_ambient::Ambient;
use rollcall_core::ids::{ObjectId, RunRef};
use rollcall_core::run::RunMode;
use rollcall_core::settings::TenantSettings;
use rollcall_core::status::{Status, StoredUser};
use rollcall_graph::Secret;
use rollcall_graph_emulator::{Emulator, Graph, Population, Tenant, TenantSpec};
use rollcall_local::{EventSource, LocalAws, LocalSettings, QueueSettings, Schedule, Triggers};
use rollcall_store::{Ruled, RunRecord, Store, TableNames};
use rollcall_sync::{App, Queues, Secrets};
use serde_json::{Value, json};

use crate::calls::{Recorder, as_function};
use crate::handlers::{call, handler_function};

pub use crate::handlers::{Handler, call_once, sqs_event};

/// The name of the one tenant of a [`World`].
pub const TENANT: &str = "contoso";
/// The name that the tenant's secret goes by.
const SECRET: &str = "CONTOSO_SECRET";
/// How long a test waits for a run to end.
const RUN_MS_MAX: u64 = 120_000;
/// How often it looks.
const LOOK_MS: u64 = 10;
/// How many batches are worked on at once.
const WORKERS: usize = 4;

/// Anything that goes wrong in a test's own means.
pub type Problem = Box<dyn std::error::Error + Send + Sync>;

/// The system with one tenant.
pub struct World {
    /// Microsoft's side.
    pub emulator: Emulator,
    /// The tenant there.
    pub tenant: Tenant,
    /// The AWS side.
    pub aws: LocalAws,
    /// The store.
    pub store: Store,
    /// The handlers.
    pub app: App,
    /// Time and randomness.
    pub ambient: Ambient,
    /// What the handlers asked of DynamoDB and SQS.
    pub recorder: Recorder,
}

/// What a test may change of the tenant's settings, as JSON of the tenant file's form.
pub fn settings(world_origin: &str, tenant: &Tenant, more: &Value) -> Value {
    let mut settings = json!({
        "id": TENANT,
        "directory_id": tenant.directory_id().to_string(),
        "client_id": tenant.client_id().to_string(),
        "graph_url": world_origin,
        "login_url": world_origin,
        "credential": { "kind": "secret", "env": SECRET },
        "limits": { "graph_retry_seconds_max": 2, "lease_seconds": 2 },
    });
    if let (Some(all), Some(more)) = (settings.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    settings
}

impl World {
    /// A tenant with so many users, and the settings of a test.
    ///
    /// # Errors
    /// Whatever does not start.
    pub async fn start(users: usize) -> Result<Self, Problem> {
        Self::start_with(Population::new("contoso.com", 7, users), &json!({})).await
    }

    /// A tenant with a population, and further settings.
    ///
    /// # Errors
    /// Whatever does not start.
    pub async fn start_with(population: Population, more: &Value) -> Result<Self, Problem> {
        let ambient = Ambient::system();
        let emulator = Emulator::start(ambient.clone()).await?;
        let tenant = emulator.graph().add_tenant(TenantSpec::new(population));
        let short = QueueSettings {
            visibility_s: 30,
            receive_count_max: 5,
        };
        let queues = LocalSettings {
            enumerate: short,
            batch: short,
            finalize: short,
        };
        let aws = LocalAws::start(None, ambient.clone(), queues).await?;
        let recorder = Recorder::default();
        let (store, app) = system(&aws, aws.dynamodb(), &tenant, &ambient, &recorder);
        store.create_tables().await?;
        let world = Self {
            emulator,
            tenant,
            aws,
            store,
            app,
            ambient,
            recorder,
        };
        world.put_settings(more).await?;
        Ok(world)
    }

    /// Stores the tenant's settings with these changes.
    ///
    /// # Errors
    /// Settings that are none, or the store's.
    pub async fn put_settings(&self, more: &Value) -> Result<(), Problem> {
        let value = settings(self.emulator.origin(), &self.tenant, more);
        let settings: TenantSettings = serde_json::from_value(value)?;
        self.store.put_tenant(&settings).await?;
        Ok(())
    }

    /// The handlers over another DynamoDB client: one that has faults.
    #[must_use]
    pub fn app_over(&self, client: aws_sdk_dynamodb::Client) -> (Store, App) {
        let (tenant, ambient) = (&self.tenant, &self.ambient);
        system(&self.aws, &client, tenant, ambient, &self.recorder)
    }

    /// The handlers where the clock is another.
    #[must_use]
    pub fn app_at(&self, ambient: &Ambient) -> App {
        let client = self.aws.dynamodb();
        system(&self.aws, client, &self.tenant, ambient, &self.recorder).1
    }

    /// Microsoft's side.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        self.emulator.graph()
    }

    /// Queues and a sweeper that drive the handlers, as Lambda would.
    ///
    /// # Errors
    /// Whatever does not start.
    pub async fn drive(&self) -> Result<Triggers, Problem> {
        self.drive_app(&self.app, 1).await
    }

    /// The same for any handlers, each call made `copies` times at once.
    ///
    /// # Errors
    /// Whatever does not start.
    pub async fn drive_app(&self, app: &App, copies: usize) -> Result<Triggers, Problem> {
        let sweep = Schedule {
            name: "sweep".into(),
            first_after: Duration::ZERO,
            period: Duration::from_millis(500),
            payload: json!({ "schedule": "sweep" }),
            function: handler_function(app, Handler::Finalizer, copies),
            function_ms_max: None,
        };
        let sources = self.sources(app, copies);
        Ok(Triggers::start(self.aws.sqs(), sources, vec![sweep]).await?)
    }

    fn sources(&self, app: &App, copies: usize) -> Vec<EventSource> {
        let queues = self.aws.queues();
        let source = |url: &str, handler: Handler, concurrency_max: usize| EventSource {
            queue_url: url.to_owned(),
            function: handler_function(app, handler, copies),
            concurrency_max,
            batch_size_max: 1,
            function_ms_max: None,
        };
        vec![
            source(&queues.enumerate.url, Handler::Enumerator, 2),
            source(&queues.batch.url, Handler::Worker, WORKERS),
            source(&queues.finalize.url, Handler::Finalizer, 2),
        ]
    }

    /// Starts a run and waits for its end, with the handlers driven by their queues.
    ///
    /// # Errors
    /// Whatever goes wrong, or a run that does not end.
    pub async fn sync(&self) -> Result<RunRecord, Problem> {
        self.sync_by(&self.app, 1).await
    }

    /// Syncs the tenant in a mode.
    ///
    /// # Errors
    /// As [`World::sync`].
    pub async fn sync_in(&self, mode: RunMode) -> Result<RunRecord, Problem> {
        let triggers = self.drive().await?;
        let run = self.start_run_in(&self.app, mode).await?;
        let ended = self.wait(&run).await;
        triggers.stop().await;
        ended
    }

    /// The same with any handlers, each call made `copies` times at once.
    ///
    /// # Errors
    /// As [`World::sync`].
    pub async fn sync_by(&self, app: &App, copies: usize) -> Result<RunRecord, Problem> {
        let triggers = self.drive_app(app, copies).await?;
        let run = self.start_run(app).await?;
        let ended = self.wait(&run).await;
        triggers.stop().await;
        ended
    }

    /// The same without a sweeper, and without looking at the run before it should have ended: for
    /// measuring what the run itself consumes.
    ///
    /// # Errors
    /// As [`World::sync`].
    pub async fn sync_quietly(&self) -> Result<RunRecord, Problem> {
        let observer = Store::new(self.aws.dynamodb().clone(), tables(), self.ambient.clone());
        let triggers = Triggers::start(self.aws.sqs(), self.sources(&self.app, 1), vec![]).await?;
        let run = self.start_run(&self.app).await?;
        let ended = wait(&observer, &run).await;
        triggers.stop().await;
        self.recorder.check()?;
        ended
    }

    /// Starts a run of the tenant, or joins the active one.
    ///
    /// # Errors
    /// The handler's.
    pub async fn start_run(&self, app: &App) -> Result<RunRef, Problem> {
        self.start_run_in(app, RunMode::Full).await
    }

    /// The same in a mode.
    ///
    /// # Errors
    /// The handler's.
    pub async fn start_run_in(&self, app: &App, mode: RunMode) -> Result<RunRef, Problem> {
        let schedule = json!({ "schedule": mode.name() });
        let starting = app.enumerator(schedule, u64::MAX);
        let report = as_function(Handler::Enumerator.name(), starting).await?;
        let run = report["runs"][0].clone();
        Ok(serde_json::from_value(
            json!({ "tenant": run["tenant"], "run": run["run"] }),
        )?)
    }

    /// Calls a handler once, as the function that it is.
    ///
    /// # Errors
    /// The handler's, or a call of it that no role allows.
    pub async fn call(&self, handler: Handler, event: Value) -> Result<Value, Problem> {
        self.call_until(handler, event, u64::MAX).await
    }

    /// The same with a time at which it has to stop, in milliseconds since 1970.
    ///
    /// # Errors
    /// As [`World::call`].
    pub async fn call_until(
        &self,
        handler: Handler,
        event: Value,
        stop_at_ms: u64,
    ) -> Result<Value, Problem> {
        let calling = call(self.app.clone(), handler, event, stop_at_ms);
        let answer = as_function(handler.name(), calling).await;
        self.recorder.check()?;
        Ok(answer?)
    }

    /// Waits until a run has ended and its tenant is free for the next.
    ///
    /// # Errors
    /// The store's, or a run that does not end.
    pub async fn wait(&self, run: &RunRef) -> Result<RunRecord, Problem> {
        let ended = wait(&self.store, run).await;
        self.recorder.check()?;
        ended
    }

    /// Releases the plan that a run waits with, and sees the run to its end.
    ///
    /// # Errors
    /// A run that waits with no plan, or that is not released; or as [`World::sync`].
    pub async fn approve(&self, held: &RunRecord) -> Result<RunRecord, Problem> {
        let run = &held.run;
        let plan = held.held.as_ref().ok_or("the run is not held")?;
        let triggers = self.drive().await?;
        let ruled = self.app.approve(run, &plan.plan, "ada").await?;
        if ruled != Ruled::Done {
            return Err(format!("run {run} was not released: {ruled:?}").into());
        }
        let ended = self.wait(run).await;
        triggers.stop().await;
        ended
    }

    /// How many users are ACTIVE.
    ///
    /// # Errors
    /// The store's.
    pub async fn active(&self) -> Result<usize, Problem> {
        let users = self.users().await?;
        let active = users.values().filter(|user| user.status == Status::Active);
        Ok(active.count())
    }

    /// Everybody in the directory, by id.
    ///
    /// # Errors
    /// The store's.
    pub async fn users(&self) -> Result<BTreeMap<ObjectId, StoredUser>, Problem> {
        let mut users = BTreeMap::new();
        self.store
            .all_users(&TENANT.parse()?, |user| {
                users.insert(user.id.clone(), user);
                Ok(())
            })
            .await?;
        Ok(users)
    }
}

async fn wait(store: &Store, run: &RunRef) -> Result<RunRecord, Problem> {
    for _ in 0..RUN_MS_MAX / LOOK_MS {
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        let Some(record) = store.run(run).await? else {
            continue;
        };
        if record.state.has_ended() {
            let head = store.head(&run.tenant).await?;
            if head.active_run != Some(run.run) {
                return Ok(record);
            }
        }
    }
    Err(format!("run {run} did not end: {:?}", store.run(run).await?).into())
}

/// The id of a user of the emulator, as the system has it.
///
/// # Errors
/// Never: a GUID is an object id.
pub fn object_id(id: uuid::Uuid) -> Result<ObjectId, Problem> {
    Ok(ObjectId::new(&id.to_string())?)
}

fn tables() -> TableNames {
    TableNames {
        directory: "directory".into(),
        coordination: "coordination".into(),
    }
}

/// The system's queues, over a client.
#[must_use]
pub fn queues(aws: &LocalAws, client: aws_sdk_sqs::Client) -> Queues {
    let urls = aws.queues();
    Queues {
        client,
        enumerate_url: urls.enumerate.url.clone(),
        batch_url: urls.batch.url.clone(),
        finalize_url: urls.finalize.url.clone(),
    }
}

fn system(
    aws: &LocalAws,
    client: &aws_sdk_dynamodb::Client,
    tenant: &Tenant,
    ambient: &Ambient,
    recorder: &Recorder,
) -> (Store, App) {
    let config = client.config().to_builder().interceptor(recorder.clone());
    let client = aws_sdk_dynamodb::Client::from_conf(config.build());
    let store = Store::new(client, tables(), ambient.clone());
    let config = aws.sqs().config().to_builder();
    let sqs = config.interceptor(recorder.clone()).build();
    let queues = queues(aws, aws_sdk_sqs::Client::from_conf(sqs));
    let secret = Secret::new(tenant.client_secret());
    let secrets = BTreeMap::from([
        (SECRET.to_owned(), secret),
        (scim::SECRET.to_owned(), Secret::new(scim::TOKEN)),
    ]);
    let secrets = Secrets::Fixed(Arc::new(secrets));
    let app = App::new(store.clone(), queues, secrets, ambient.clone());
    (store, app)
}
