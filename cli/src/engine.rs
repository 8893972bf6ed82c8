//! What drives the functions on one machine: queues and schedules, with the events and the limits
//! that they have on Lambda. Those of a deployed stack are driven there; here they are only rung for.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rollcall_ambient::Ambient;
use rollcall_core::ids::{RunRef, TenantId};
use rollcall_local::{EventSource, Function, Schedule, Triggers, function};
use rollcall_store::{BegunRevert, Ruled};
use rollcall_sync::{App, HandlerError, Secrets};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::Mode;
use crate::local::{FUNCTION_MS_MAX, Stack};

/// How long before its time limit a call stops by itself, in milliseconds: time to write where it
/// stands and to pass the run on.
const STOP_BEFORE_LIMIT_MS: u64 = 60_000;

/// How many runs are enumerated at the same time. A run waits for Graph most of its time.
const ENUMERATORS_MAX: usize = 4;
/// How many batches are worked on at the same time. More than a few only wait for the database.
const WORKERS_MAX: usize = 6;
/// How many runs are finalized at the same time.
const FINALIZERS_MAX: usize = 4;

/// How often the sweeper looks. On AWS it is minutes; here a person waits for the run of a process
/// that was killed.
const SWEEP_PERIOD_MS: u64 = 1_000;

/// A schedule of runs.
pub(crate) struct Fires {
    pub(crate) mode: Mode,
    /// How long after the start it fires first.
    pub(crate) first_after: Duration,
    /// The time from fire to fire.
    pub(crate) period: Duration,
}

/// What starting runs gave.
#[derive(Debug, Deserialize)]
pub(crate) struct StartReport {
    /// The runs to watch.
    pub(crate) runs: Vec<Started>,
    /// Tenants that no run was started for.
    pub(crate) failed: Vec<NotStarted>,
}

/// A run that was started, or was active already.
#[derive(Debug, Deserialize)]
pub(crate) struct Started {
    #[serde(flatten)]
    pub(crate) run: RunRef,
    pub(crate) joined: bool,
}

/// A tenant that no run was started for.
#[derive(Debug, Deserialize)]
pub(crate) struct NotStarted {
    pub(crate) tenant: TenantId,
    pub(crate) error: String,
}

/// The three functions, driven. Dropping it cuts them off, as a crash would.
pub(crate) struct Engine {
    app: App,
    ambient: Ambient,
    /// None for a deployed stack.
    triggers: Option<Triggers>,
}

impl Engine {
    /// Starts driving the functions over a stack, if nothing else does.
    pub(crate) async fn start(stack: &Stack, secrets: Secrets) -> anyhow::Result<Self> {
        Self::drive(stack, secrets, |worker| worker, Vec::new()).await
    }

    /// The same with something put around the worker.
    pub(crate) async fn start_with(
        stack: &Stack,
        secrets: Secrets,
        around_worker: impl FnOnce(Function) -> Function,
    ) -> anyhow::Result<Self> {
        Self::drive(stack, secrets, around_worker, Vec::new()).await
    }

    /// The same with schedules, which start the runs.
    pub(crate) async fn start_on(
        stack: &Stack,
        secrets: Secrets,
        fires: Vec<Fires>,
    ) -> anyhow::Result<Self> {
        Self::drive(stack, secrets, |worker| worker, fires).await
    }

    async fn drive(
        stack: &Stack,
        secrets: Secrets,
        around_worker: impl FnOnce(Function) -> Function,
        fires: Vec<Fires>,
    ) -> anyhow::Result<Self> {
        let (queues, ambient) = (stack.queues(), stack.ambient());
        let store = stack.store().clone();
        let app = App::new(store, queues.clone(), secrets, ambient.clone());
        if stack.is_deployed() {
            return Ok(Self {
                app,
                ambient: ambient.clone(),
                triggers: None,
            });
        }
        let enumerator = handler(&app, ambient, async |app: App, event, stop_at_ms| {
            app.enumerator(event, stop_at_ms).await
        });
        let worker = handler(&app, ambient, async |app: App, event, stop_at_ms| {
            app.worker(event, stop_at_ms).await
        });
        let finalizer = handler(&app, ambient, async |app: App, event, stop_at_ms| {
            app.finalizer(event, stop_at_ms).await
        });
        let sources = vec![
            source(
                &queues.enumerate_url,
                Arc::clone(&enumerator),
                ENUMERATORS_MAX,
            ),
            source(&queues.batch_url, around_worker(worker), WORKERS_MAX),
            source(&queues.finalize_url, Arc::clone(&finalizer), FINALIZERS_MAX),
        ];
        let sweeps = Duration::from_millis(SWEEP_PERIOD_MS);
        let mut schedules = vec![schedule("sweep", Duration::ZERO, sweeps, finalizer)];
        schedules.extend(fires.into_iter().map(|it| {
            let function = Arc::clone(&enumerator);
            schedule(it.mode.name(), it.first_after, it.period, function)
        }));
        let triggers = Triggers::start(&queues.client, sources, schedules).await?;
        Ok(Self {
            app,
            ambient: ambient.clone(),
            triggers: Some(triggers),
        })
    }

    /// Starts a run of each of these tenants, or joins the one that is active.
    pub(crate) async fn sync(
        &self,
        mode: Mode,
        tenants: &[TenantId],
    ) -> anyhow::Result<StartReport> {
        let event = json!({ "schedule": mode.name(), "tenants": tenants });
        let answer = self.app.enumerator(event, stop_at(&self.ambient)).await?;
        serde_json::from_value(answer).context("the enumerator's answer is not understood")
    }

    /// Releases a held plan.
    pub(crate) async fn approve(
        &self,
        run: &RunRef,
        plan: &str,
        by: &str,
    ) -> anyhow::Result<Ruled> {
        Ok(self.app.approve(run, plan, by).await?)
    }

    /// Begins to take a run back.
    pub(crate) async fn revert(&self, run: &RunRef, by: &str) -> anyhow::Result<BegunRevert> {
        Ok(self.app.revert(run, by).await?)
    }

    /// Lets calls under way finish, and stops.
    pub(crate) async fn stop(self) {
        if let Some(triggers) = self.triggers {
            triggers.stop().await;
        }
    }
}

fn stop_at(ambient: &Ambient) -> u64 {
    ambient.now_ms() + FUNCTION_MS_MAX - STOP_BEFORE_LIMIT_MS
}

/// A handler as a function that triggers can call.
fn handler<H, F>(app: &App, ambient: &Ambient, handle: H) -> Function
where
    H: Fn(App, Value, u64) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Value, HandlerError>> + Send + 'static,
{
    let (app, ambient) = (app.clone(), ambient.clone());
    function(move |event| {
        let answer = handle(app.clone(), event, stop_at(&ambient));
        async move { answer.await.map_err(|error| error.to_string()) }
    })
}

/// The event of a schedule is what EventBridge sends: its name, and when it was due. For these that is now.
fn schedule(name: &str, first_after: Duration, period: Duration, function: Function) -> Schedule {
    Schedule {
        name: name.to_owned(),
        first_after,
        period,
        payload: match name {
            "sweep" => json!({ "schedule": name }),
            _ => json!({ "schedule": name, "at": "<aws.scheduler.scheduled-time>" }),
        },
        function,
        function_ms_max: Some(FUNCTION_MS_MAX),
    }
}

/// One message a call: a call that dies takes no other message along.
fn source(queue_url: &str, function: Function, concurrency_max: usize) -> EventSource {
    EventSource {
        queue_url: queue_url.to_owned(),
        function,
        concurrency_max,
        batch_size_max: 1,
        function_ms_max: Some(FUNCTION_MS_MAX),
    }
}
