//! The system as it is deployed: the three functions by their own binaries, over queues and tables that
//! are emulated in this process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rollcall_ambient::Ambient;
use rollcall_core::ids::{RunRef, TenantId};
use rollcall_core::run::RunState;
use rollcall_core::status::Status;
use rollcall_graph::Secret;
use rollcall_local::{
    EventSource, LocalAws, LocalSettings, Queue, QueueSettings, Schedule, Triggers,
};
use rollcall_store::{Capacity, Ruled, RunRecord, Store, TableNames};
use rollcall_sync::{App, Queues, Secrets};
use serde_json::json;
use tempfile::TempDir;

use crate::emulated::Access;
use crate::process::{Held, Talker, Used, used};
use crate::ran::Ran;
use crate::runtime::{Runtime, Spec};
use crate::tenant::{SECRET, settings_of};
use crate::writes::{Done, Ready, WRITE, Written};

/// How many environments the worker has: more only wait for the two processors of a small machine.
pub(crate) const WORKERS: usize = 4;
/// The time limits of the functions, as in template.yaml.
const LONG_MS_MAX: u64 = 900_000;
const WORKER_MS_MAX: u64 = 120_000;
/// How often the sweeper looks, as in template.yaml.
const SWEEP_MS: u64 = 300_000;
/// How long a run may take: a million users, first seen, on a slow machine.
const RUN_MS_MAX: u64 = 7_200_000;
/// How long the first look at it waits, in milliseconds; the later ones wait for a part of what it has taken, so that
/// looking costs little of what is measured. When it ended is not taken from them: see [`took_ms`].
const LOOK_MS_FIRST: u64 = 10;
const LOOKS_IN_ITS_TIME: u64 = 200;
/// How long a writer may take to end once it has said what it wrote.
const END_MS_MAX: u64 = 10_000;
/// How often the environments are looked at.
const WATCH_MS: u64 = 100;

/// The binaries of the functions.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// Reads Graph.
    pub enumerator: PathBuf,
    /// Works through batches.
    pub worker: PathBuf,
    /// Ends runs.
    pub finalizer: PathBuf,
}

/// A stack with one tenant.
pub struct Stack {
    aws: LocalAws,
    store: Store,
    app: App,
    ambient: Ambient,
    binaries: Binaries,
    tenant: TenantId,
    secret: String,
    held: Held,
    logs: TempDir,
}

impl Stack {
    /// An empty stack with a tenant that was never synced.
    ///
    /// # Errors
    /// Whatever does not start.
    pub async fn start(access: &Access, binaries: Binaries) -> anyhow::Result<Self> {
        let ambient = Ambient::system();
        let aws = aws(&ambient).await?;
        let store = Store::new(aws.dynamodb().clone(), tables(), ambient.clone());
        store.create_tables().await?;
        let queues = Queues {
            client: aws.sqs().clone(),
            enumerate_url: aws.queues().enumerate.url.clone(),
            batch_url: aws.queues().batch.url.clone(),
            finalize_url: aws.queues().finalize.url.clone(),
        };
        let secret = (SECRET.to_owned(), Secret::new(access.client_secret.clone()));
        let secrets = Secrets::Fixed(Arc::new(BTreeMap::from([secret])));
        let settings = settings_of(access)?;
        store.put_tenant(&settings).await?;
        Ok(Self {
            app: App::new(store.clone(), queues, secrets, ambient.clone()),
            aws,
            store,
            ambient,
            binaries,
            tenant: settings.id,
            secret: access.client_secret.clone(),
            held: Held::default(),
            logs: TempDir::new()?,
        })
    }

    /// Holds each environment, and whoever writes again, from now on.
    pub fn hold(&mut self, held: Held) {
        self.held = held;
    }

    /// A full run, by new environments.
    ///
    /// # Errors
    /// Whatever goes wrong, or a run that does not end.
    pub async fn sync(&self) -> anyhow::Result<(Ran, RunRecord)> {
        self.measure(async |enumerator| {
            let event = json!({ "schedule": "full", "tenants": [self.tenant] });
            let report = enumerator(event).await.map_err(anyhow::Error::msg)?;
            let run = report["runs"][0]["run"].as_u64();
            Ok(RunRef {
                tenant: self.tenant.clone(),
                run: run.with_context(|| format!("no run was started: {report}"))?,
            })
        })
        .await
    }

    /// Releases the plan that a run waits with, and sees the run to its end, by new environments.
    ///
    /// # Errors
    /// As [`Stack::sync`], or a plan that is not released.
    pub async fn approve(&self, held: &RunRecord) -> anyhow::Result<(Ran, RunRecord)> {
        let plan = &held.held.as_ref().context("the run is not held")?.plan;
        self.measure(
            async |_| match self.app.approve(&held.run, plan, "bench").await? {
                Ruled::Done => Ok(held.run.clone()),
                other => bail!("the plan is not released: {other:?}"),
            },
        )
        .await
    }

    /// Everybody of the directory who is off.
    ///
    /// # Errors
    /// The store's.
    pub async fn off(&self) -> anyhow::Result<Vec<String>> {
        self.with(Status::Inactive).await
    }

    /// Everybody of the directory who is on.
    ///
    /// # Errors
    /// The store's.
    pub async fn on(&self) -> anyhow::Result<Vec<String>> {
        self.with(Status::Active).await
    }

    async fn with(&self, status: Status) -> anyhow::Result<Vec<String>> {
        let mut ids = Vec::new();
        let take = |user: rollcall_core::status::StoredUser| {
            if user.status == status {
                ids.push(user.id.as_str().to_owned());
            }
            Ok(())
        };
        self.store.all_users(&self.tenant, take).await?;
        Ok(ids)
    }

    /// Has this very program write what the tables hold into empty ones, and do nothing else.
    ///
    /// # Errors
    /// Whatever does not start, and DynamoDB's.
    pub async fn write_again(&self, bench: &Path) -> anyhow::Result<(Written, Used)> {
        let other = aws(&self.ambient).await?;
        let mut command = self.held.command(bench);
        command.args(["write", "--from", self.aws.dynamodb_url()]);
        command.args(["--to", other.dynamodb_url()]);
        let mut writer = Talker::start("the writer", command)?;
        let ready = writer.hear(RUN_MS_MAX).await?;
        let ready: Ready = serde_json::from_value(ready.context("the writer reads for ever")?)?;
        // Both tables are in this process: what reading them took is not of the writes.
        let own = used(std::process::id())?;
        let done: Done = serde_json::from_value(writer.ask(WRITE, RUN_MS_MAX).await?)?;
        let written = Written {
            items: ready.items,
            wall_ms: done.wall_ms,
            aws_cpu_ms: used(std::process::id())?.cpu_ms - own.cpu_ms,
        };
        let of_writer = writer.used()?;
        writer.end(END_MS_MAX).await?;
        other.shutdown().await;
        Ok((written, of_writer))
    }

    /// Starts everything anew, lets something begin a run, and sees that to its end.
    async fn measure(
        &self,
        begin: impl AsyncFnOnce(rollcall_local::Function) -> anyhow::Result<RunRef>,
    ) -> anyhow::Result<(Ran, RunRecord)> {
        let own = used(std::process::id())?;
        let before = match self.latest().await? {
            Some(record) => self.capacity(&record).await?,
            None => Capacity::default(),
        };
        let started_ms = self.ambient.now_ms();
        let mut runtimes = self.runtimes().await?;
        let triggers = self.drive(&runtimes).await?;
        let enumerator = runtimes[0].function();
        let running = async { self.wait(&begin(enumerator).await?).await };
        let record = tokio::select! {
            record = running => record?,
            ended = watch(&mut runtimes) => return Err(ended),
        };
        let wall_ms = took_ms(started_ms, record.ended_at_ms)?;
        triggers.stop().await;
        // A released plan goes on with the run that counted before.
        let is_new = record.approved.is_none();
        let mut capacity = self.capacity(&record).await?;
        if !is_new {
            capacity.read_units -= before.read_units;
            capacity.write_units -= before.write_units;
        }
        let totals = record.totals.unwrap_or_default();
        let [enumerator, worker, finalizer] = runtimes;
        let ran = Ran {
            state: record.state.stored_name().to_owned(),
            why: why(&record),
            wall_ms,
            enumerator: enumerator.end().await?,
            worker: worker.end().await?,
            finalizer: finalizer.end().await?,
            aws_cpu_ms: used(std::process::id())?.cpu_ms - own.cpu_ms,
            read_units: capacity.read_units,
            write_units: capacity.write_units,
            changed: totals.changes.total(),
            off: totals.deactivated.total(),
        };
        Ok((ran, record))
    }

    /// Event sources and the sweeper's schedule, as in template.yaml.
    async fn drive(&self, runtimes: &[Runtime; 3]) -> anyhow::Result<Triggers> {
        let [enumerator, worker, finalizer] = runtimes;
        let source = |queue: &Queue, runtime: &Runtime, calls, ms_max| EventSource {
            queue_url: queue.url.clone(),
            function: runtime.function(),
            concurrency_max: calls,
            batch_size_max: 1,
            function_ms_max: Some(ms_max),
        };
        let queues = self.aws.queues();
        let sources = vec![
            source(&queues.enumerate, enumerator, 1, LONG_MS_MAX),
            source(&queues.batch, worker, WORKERS, WORKER_MS_MAX),
            source(&queues.finalize, finalizer, 1, LONG_MS_MAX),
        ];
        let sweeps = Schedule {
            name: "sweep".to_owned(),
            first_after: Duration::from_millis(SWEEP_MS),
            period: Duration::from_millis(SWEEP_MS),
            payload: json!({ "schedule": "sweep" }),
            function: finalizer.function(),
            function_ms_max: Some(LONG_MS_MAX),
        };
        Ok(Triggers::start(self.aws.sqs(), sources, vec![sweeps]).await?)
    }

    async fn runtimes(&self) -> anyhow::Result<[Runtime; 3]> {
        let variables = self.variables();
        let start = async |name, binary: &Path, environments, ms_max| {
            let spec = Spec {
                name,
                binary: binary.to_owned(),
                environments,
                ms_max,
                held: self.held,
            };
            Runtime::start(&spec, &variables, self.logs.path(), self.ambient.clone()).await
        };
        let Binaries {
            enumerator,
            worker,
            finalizer,
        } = &self.binaries;
        Ok([
            start("enumerator", enumerator, 1, LONG_MS_MAX).await?,
            start("worker", worker, WORKERS, WORKER_MS_MAX).await?,
            start("finalizer", finalizer, 1, LONG_MS_MAX).await?,
        ])
    }

    fn variables(&self) -> Vec<(String, String)> {
        let queues = self.aws.queues();
        let variables = [
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "bench"),
            ("AWS_SECRET_ACCESS_KEY", "bench"),
            ("AWS_ENDPOINT_URL_DYNAMODB", self.aws.dynamodb_url()),
            ("AWS_ENDPOINT_URL_SQS", self.aws.sqs_url()),
            ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
            ("ROLLCALL_DIRECTORY_TABLE", "directory"),
            ("ROLLCALL_COORDINATION_TABLE", "coordination"),
            ("ROLLCALL_ENUMERATE_QUEUE_URL", &queues.enumerate.url),
            ("ROLLCALL_BATCH_QUEUE_URL", &queues.batch.url),
            ("ROLLCALL_FINALIZE_QUEUE_URL", &queues.finalize.url),
            ("ROLLCALL_METRICS_NAMESPACE", "Rollcall/bench"),
            (SECRET, &self.secret),
        ];
        variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    /// Waits until a run has ended and its tenant is free for the next.
    async fn wait(&self, run: &RunRef) -> anyhow::Result<RunRecord> {
        let begun_ms = self.ambient.now_ms();
        let mut took_ms = 0;
        while took_ms < RUN_MS_MAX {
            let look_ms = LOOK_MS_FIRST.max(took_ms / LOOKS_IN_ITS_TIME);
            tokio::time::sleep(Duration::from_millis(look_ms)).await;
            took_ms = self.ambient.now_ms().saturating_sub(begun_ms);
            let Some(record) = self.store.run(run).await? else {
                continue;
            };
            if record.state.has_ended()
                && self.store.head(&run.tenant).await?.active_run != Some(run.run)
            {
                return Ok(record);
            }
        }
        bail!("run {run} did not end")
    }

    async fn latest(&self) -> anyhow::Result<Option<RunRecord>> {
        Ok(self.store.runs(&self.tenant).await?.pop())
    }

    /// What a run has noted that it consumed, its workers included. What a step does after it noted is not in it, nor is
    /// the run's start.
    async fn capacity(&self, record: &RunRecord) -> anyhow::Result<Capacity> {
        let mut sum = record.usage.capacity;
        for batch in self.store.batches(&record.run, None).await? {
            sum.read_units += batch.usage.capacity.read_units;
            sum.write_units += batch.usage.capacity.write_units;
        }
        Ok(sum)
    }
}

/// How long a run took, to the end that it notes of itself in its last write: by the clock of this machine, as the start
/// is. When it is seen to have ended is later by up to a pause between two looks.
fn took_ms(started_ms: u64, ended_at_ms: Option<u64>) -> anyhow::Result<u64> {
    let ended_ms = ended_at_ms.context("the run has ended and does not tell when")?;
    Ok(ended_ms.saturating_sub(started_ms))
}

/// Comes back when an environment has ended by itself.
async fn watch(runtimes: &mut [Runtime]) -> anyhow::Error {
    loop {
        tokio::time::sleep(Duration::from_millis(WATCH_MS)).await;
        for runtime in &mut *runtimes {
            if let Err(ended) = runtime.check() {
                return ended;
            }
        }
    }
}

/// What stands for DynamoDB and SQS, empty.
async fn aws(ambient: &Ambient) -> anyhow::Result<LocalAws> {
    let queue = |ms_max: u64| QueueSettings {
        visibility_s: ms_max / 1_000 * 6,
        receive_count_max: 5,
    };
    let settings = LocalSettings {
        enumerate: queue(LONG_MS_MAX),
        batch: queue(WORKER_MS_MAX),
        finalize: queue(LONG_MS_MAX),
    };
    Ok(LocalAws::start(None, ambient.clone(), settings).await?)
}

fn why(record: &RunRecord) -> Option<String> {
    match record.state {
        RunState::Failed => record.reason.map(|reason| reason.name().to_owned()),
        RunState::Held => Some("a guard".to_owned()),
        _ => None,
    }
}

pub(crate) fn tables() -> TableNames {
    TableNames {
        directory: "directory".into(),
        coordination: "coordination".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_took_until_the_end_that_it_notes_and_without_one_it_took_no_time_that_is_known() {
        assert_eq!(took_ms(1_000, Some(1_250)).unwrap(), 250);
        assert!(took_ms(1_000, None).is_err());
    }
}
