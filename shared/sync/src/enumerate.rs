//! The enumerator: pages of Graph become pages and batches of the store.

use rollcall_core::ids::RunRef;
use rollcall_graph::GraphClient;
use rollcall_store::{AcquiredRun, RunLease, RunRecord, RunStep, Usage};
use tracing::{error, info, warn};

use crate::app::App;
use crate::chain::Enumeration;
use crate::error::{HandlerError, Stop};

/// What an invocation used, and how much of it its writes have reported already.
#[derive(Default)]
pub(crate) struct Used {
    pub(crate) graph: Option<GraphClient>,
    pub(crate) reported: Usage,
}

/// Tells who has a run now, for what, where the run stands, and whose lease lapsed before.
pub(crate) fn tell_lease(step: &str, lease: &RunLease, record: &RunRecord, owner: &str) {
    let (run, from) = (lease.run(), lease.taken_from());
    info!(event = "run_leased", tenant = %run.tenant, run = run.run, step, token = lease.token(),
        owner, mode = record.mode.name(), state = record.state.stored_name(),
        generation = record.generation, page = record.last_page,
        settings_revision = record.settings_revision, lease_ms = lease.lease_ms(),
        from_token = from.map(|it| it.token), from_owner = from.map(|it| it.owner.as_str()));
}

/// Tells of a message that changed nothing: it came twice, or late.
pub(crate) fn tell_nothing_to_do(run: &RunRef, step: &str, acquired: &AcquiredRun) {
    let why = match acquired {
        AcquiredRun::Granted(..) => return,
        AcquiredRun::Busy => "leased",
        AcquiredRun::NotNow(_) => "not_now",
        AcquiredRun::Unknown => "unknown",
    };
    info!(event = "nothing_to_do", tenant = %run.tenant, run = run.run, step, why);
}

impl App {
    /// Enumerates, or goes on enumerating, until the last page or until time is up.
    pub(crate) async fn enumerate(
        &self,
        run: &RunRef,
        stop_at_ms: u64,
    ) -> Result<(), HandlerError> {
        let owner = self.ambient.random_uuid();
        let (lease, record) = match self
            .store
            .acquire_run(run, RunStep::Enumerate, &owner)
            .await?
        {
            AcquiredRun::Granted(lease, record) => (lease, record),
            // Whoever has it rings again himself if it does not come to the end; if it dies, its own
            // message comes again, and the sweeper looks. A ring for each ring that meets a lease
            // would go round for as long as the lease is kept.
            other => {
                tell_nothing_to_do(run, "enumerate", &other);
                return Ok(());
            }
        };
        tell_lease("enumerate", &lease, &record, &owner);
        let mut used = Used::default();
        let ended = self
            .enumerate_under(&lease, &record, stop_at_ms, &mut used)
            .await;
        match ended {
            Ok(()) => Ok(()),
            Err(Stop::OutOfTime) => {
                self.end_short(&lease, Stop::OutOfTime, &used).await?;
                self.doorbell.enumerate(run).await
            }
            Err(stop) => self.end_short(&lease, stop, &used).await,
        }
    }

    /// Ends a step that did not reach its end. The same for the enumerator and the finalizer.
    pub(crate) async fn end_short(
        &self,
        lease: &RunLease,
        stop: Stop,
        used: &Used,
    ) -> Result<(), HandlerError> {
        let run = lease.run();
        match stop {
            Stop::Fail(reason, detail) => {
                let usage = self.usage(used.graph.as_ref()).since(&used.reported);
                match self.store.fail_run(lease, reason, &detail, &usage).await {
                    Ok(()) => {
                        // Told before the rest: whatever becomes of that, it has failed.
                        warn!(event = "run_failed", tenant = %run.tenant, run = run.run,
                            token = lease.token(), %reason, detail);
                        self.close_failed(lease).await
                    }
                    // Lost, ended, or past its first deactivation, where a run only rolls forward.
                    Err(rollcall_store::StoreError::LostLease) => {
                        error!(event = "run_not_failed", tenant = %run.tenant, run = run.run,
                            token = lease.token(), %reason, detail);
                        Ok(())
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Stop::Lost { fenced } => {
                info!(event = "lease_lost", tenant = %run.tenant, run = run.run,
                    token = lease.token(), fenced);
                Ok(())
            }
            Stop::OutOfTime => {
                info!(event = "run_passed_on", tenant = %run.tenant, run = run.run,
                    token = lease.token());
                match self.store.release_run(lease).await {
                    Err(rollcall_store::StoreError::LostLease) => Ok(()),
                    other => Ok(other?),
                }
            }
            Stop::Error(error) => Err(error),
        }
    }

    /// Revokes what a run that has failed leaves open, and frees its tenant. Who has taken its lease does so.
    async fn close_failed(&self, lease: &RunLease) -> Result<(), HandlerError> {
        match self.store.close_failed_run(lease).await {
            Err(rollcall_store::StoreError::LostLease) => Ok(()),
            other => Ok(other?),
        }
    }

    async fn enumerate_under(
        &self,
        lease: &RunLease,
        record: &RunRecord,
        stop_at_ms: u64,
        used: &mut Used,
    ) -> Result<(), Stop> {
        let settings = self.store.run_settings(lease.run()).await?;
        let graph = self.graph_client(&settings, record)?;
        used.graph = Some(graph.clone());
        // Before the first page, so that each page can be sorted by them.
        let members = self
            .members((lease, record), &settings, &graph, used, stop_at_ms)
            .await?;
        let sorting = (&settings, members);
        let mut enumeration =
            Enumeration::new(self, (lease, record), sorting, &graph, used, stop_at_ms);
        enumeration.find_place(record).await?;
        enumeration.follow().await
    }
}
