//! The sweeper: rings again for what is stuck, and ends what is overdue. It takes no input but the
//! store, so it can run at any time, any number of times.

use rollcall_core::ids::RunRef;
use rollcall_core::run::{FailReason, RunMode, RunState};
use rollcall_store::{
    AcquiredRun, BatchRecord, HOLD_DAYS_MAX, Head, Named, Ruled, RunRecord, RunStep, TenantMark,
};
use tracing::{error, info, warn};

use crate::app::App;
use crate::enumerate::{Used, tell_lease};
use crate::error::{HandlerError, Stop};
use crate::overdue::Overdue;

/// A batch that was leased so often and is not done has something in it that cannot be worked on.
/// SQS gives up after five deliveries; the sweeper rings again, so this is four times that.
const BATCH_LEASES_MAX: u64 = 20;

/// How many batches are rung for in one sweep of a tenant: more than the workers take on at once.
const RINGS_MAX: usize = 200;

impl App {
    /// Looks after every tenant's active run.
    pub(crate) async fn sweep(&self) -> Result<(), HandlerError> {
        let mut first_problem = None;
        let mut overdue = Overdue::default();
        for tenant in self.store.tenant_marks().await? {
            if let Err(problem) = self.sweep_tenant(&tenant, &mut overdue).await {
                error!(event = "sweep_failed", tenant = %tenant.id, error = %problem);
                first_problem.get_or_insert(problem);
            }
        }
        overdue.tell();
        first_problem.map_or(Ok(()), Err)
    }

    async fn sweep_tenant(
        &self,
        tenant: &TenantMark,
        overdue: &mut Overdue,
    ) -> Result<(), HandlerError> {
        let head = self.store.head(&tenant.id).await?;
        let now_ms = self.ambient.now_ms();
        overdue.look(tenant, &head, now_ms);
        if tenant.tells_scim && !tenant.removed && head.is_to_be_told(now_ms) {
            self.doorbell.tell(&tenant.id).await?;
        }
        self.look_after(tenant, &head, now_ms).await
    }

    async fn look_after(
        &self,
        tenant: &TenantMark,
        head: &Head,
        now_ms: u64,
    ) -> Result<(), HandlerError> {
        let its = |run| RunRef {
            tenant: tenant.id.clone(),
            run,
        };
        for (mode, held) in head.lapsed(now_ms) {
            self.lapse(&its(held), mode).await?;
        }
        if let Some(reverting) = head.reverting {
            let run = its(reverting);
            match self.store.revert(&run).await? {
                Some(_) => self.doorbell.revert(&run).await?,
                None => self.forget_gone(&run, Named::Reverting).await?,
            }
        }
        let Some(active) = head.active_run else {
            return Ok(());
        };
        let run = its(active);
        let Some(record) = self.store.run(&run).await? else {
            return self.forget_gone(&run, Named::Active).await;
        };
        let now_ms = self.ambient.now_ms();
        let is_held_by_somebody = record
            .lease
            .as_ref()
            .is_some_and(|lease| !lease.has_lapsed(now_ms));
        let is_overdue = now_ms >= record.deadline_at_ms && record.state != RunState::Applying;
        if is_held_by_somebody {
            // Whoever it is looks at the deadline too; but a batch may be stuck meanwhile.
            return self.ring_batches(&record).await.map(|_| ());
        }
        match record.state {
            RunState::Failed => self.give_up(&record, None).await,
            _ if is_overdue => {
                let detail = "the deadline passed, and nobody was working on the run";
                self.give_up(&record, Some((FailReason::Deadline, detail)))
                    .await
            }
            RunState::Enumerating => {
                self.ring_batches(&record).await?;
                self.doorbell.enumerate(&run).await
            }
            RunState::Draining => {
                if self.ring_batches(&record).await? == 0 {
                    self.doorbell.finalize(&run).await?;
                }
                Ok(())
            }
            RunState::Finalizing | RunState::Applying => self.doorbell.finalize(&run).await,
            RunState::Completed | RunState::Held | RunState::Rejected | RunState::Superseded => {
                Ok(())
            }
        }
    }

    /// A plan that nobody decided about is void: what it consists of may soon be dropped.
    async fn lapse(&self, run: &RunRef, mode: RunMode) -> Result<(), HandlerError> {
        match self.store.lapse_hold(run).await? {
            Ruled::Done => {
                warn!(event = "hold_lapsed", tenant = %run.tenant, run = run.run,
                    days = HOLD_DAYS_MAX);
                Ok(())
            }
            Ruled::Unknown => self.forget_gone(run, Named::Held(mode)).await,
            // A person was quicker.
            _ => Ok(()),
        }
    }

    /// What expired before it could end stands in nobody's way.
    async fn forget_gone(&self, run: &RunRef, named: Named) -> Result<(), HandlerError> {
        if self.store.forget_gone(run, named).await? {
            warn!(event = "expired_forgotten", tenant = %run.tenant, run = run.run,
                was = named.name());
        }
        Ok(())
    }

    /// Rings for the batches that nobody is working on; gives how many are open.
    async fn ring_batches(&self, record: &RunRecord) -> Result<usize, HandlerError> {
        if !matches!(record.state, RunState::Enumerating | RunState::Draining) {
            return Ok(0);
        }
        let now_ms = self.ambient.now_ms();
        let batches = self
            .store
            .batches(&record.run, Some(record.generation))
            .await?;
        let open: Vec<_> = batches.iter().filter(|b| b.state.is_open()).collect();
        let is_live = |batch: &BatchRecord| {
            batch
                .lease
                .as_ref()
                .is_some_and(|lease| !lease.has_lapsed(now_ms))
        };
        let leases = |batch: &BatchRecord| batch.lease.as_ref().map_or(0, |lease| lease.token);
        if let Some(stuck) = open
            .iter()
            .find(|b| leases(b) >= BATCH_LEASES_MAX && !is_live(b))
        {
            let detail = format!(
                "batch {}/{} was leased {} times and never done",
                stuck.generation,
                stuck.page,
                leases(stuck)
            );
            self.give_up(record, Some((FailReason::Incomplete, &detail)))
                .await?;
            return Ok(open.len());
        }
        // While some batch is being worked on, those that were never leased are still in the queue.
        let some_live = open.iter().any(|batch| is_live(batch));
        let has_its_turn = |batch: &BatchRecord| {
            let before = batch.turn_after();
            !open.iter().any(|it| Some(it.page) == before)
        };
        let unattended = open.iter().filter(|batch| {
            let is_due = batch.lease.is_some() || (!some_live && has_its_turn(batch));
            !is_live(batch) && is_due
        });
        for batch in unattended.take(RINGS_MAX) {
            info!(event = "batch_rung_again", tenant = %record.run.tenant, run = record.run.run,
                generation = batch.generation, page = batch.page);
            self.doorbell
                .batch(&record.run, batch.generation, batch.page)
                .await?;
        }
        Ok(open.len())
    }

    /// Fails a run that nobody holds, or finishes failing it.
    async fn give_up(
        &self,
        record: &RunRecord,
        reason: Option<(FailReason, &str)>,
    ) -> Result<(), HandlerError> {
        let owner = self.ambient.random_uuid();
        let run = &record.run;
        let lease = match self.store.acquire_run(run, RunStep::GiveUp, &owner).await? {
            AcquiredRun::Granted(lease, now) => {
                tell_lease("give_up", &lease, &now, &owner);
                if now.state == RunState::Failed {
                    self.store.close_failed_run(&lease).await?;
                    info!(event = "run_closed", tenant = %run.tenant, run = run.run,
                        token = lease.token());
                    return Ok(());
                }
                if (now.state, now.deadline_at_ms) != (record.state, record.deadline_at_ms) {
                    // What it would fail for is of before: a person may have approved its plan meanwhile.
                    return Ok(self.store.release_run(&lease).await?);
                }
                lease
            }
            AcquiredRun::Busy | AcquiredRun::NotNow(_) | AcquiredRun::Unknown => {
                return Ok(());
            }
        };
        match reason {
            Some((reason, detail)) => {
                let stop = Stop::Fail(reason, detail.to_owned());
                self.end_short(&lease, stop, &Used::default()).await
            }
            None => Ok(self.store.release_run(&lease).await?),
        }
    }
}
