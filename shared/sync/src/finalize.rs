//! The finalizer: proof, confirmation, plan, guards, then the only place that switches users off.

use rollcall_core::ids::RunRef;
use rollcall_core::proof::{NotProven, check_batches};
use rollcall_core::run::{FailReason, RunState};
use rollcall_core::settings::TenantSettings;
use rollcall_core::status::{Reason, Status, StoredUser};
use rollcall_graph::GraphClient;
use rollcall_store::{
    AcquiredRun, Head, Held, RunLease, RunRecord, RunStep, RunTotals, StoreError, StoredPlan,
    WRITES_PER_TRANSACTION_MAX,
};
use tracing::{info, warn};

use rollcall_core::plan::Deactivation;

use crate::app::App;
use crate::enumerate::{Used, tell_lease, tell_nothing_to_do};
use crate::error::{HandlerError, Stop};
use crate::keep::while_kept;
use crate::plan::settings_changed;

/// How often a group of users that changed under the finalizer is read again.
const REREADS_MAX: u32 = 10;

impl App {
    /// Takes a run from its last batch to its end, or as far as time allows.
    pub(crate) async fn finalize(&self, run: &RunRef, stop_at_ms: u64) -> Result<(), HandlerError> {
        let owner = self.ambient.random_uuid();
        let (lease, record) = match self
            .store
            .acquire_run(run, RunStep::Finalize, &owner)
            .await?
        {
            AcquiredRun::Granted(lease, record) => (lease, record),
            // Whoever has it looks again when it gives it back: see `look_again`.
            other => {
                tell_nothing_to_do(run, "finalize", &other);
                return Ok(());
            }
        };
        tell_lease("finalize", &lease, &record, &owner);
        let mut used = Used::default();
        match self
            .finalize_under(&lease, &record, stop_at_ms, &mut used.graph)
            .await
        {
            Ok(Progress::Ended) if lease.tells() => self.doorbell.tell(&run.tenant).await,
            Ok(Progress::Ended) => Ok(()),
            Ok(Progress::BatchesOpen) => self.look_again(&lease, record.generation).await,
            Err(Stop::OutOfTime) => {
                self.end_short(&lease, Stop::OutOfTime, &used).await?;
                // Only now: whoever meets this lease goes away.
                self.doorbell.finalize(run).await
            }
            Err(stop) => self.end_short(&lease, stop, &used).await,
        }
    }

    /// Gives the lease back while batches are open. The last of them may be done by now, and the
    /// finalizer that it rang for met this lease and went away: so it is looked once more, now that
    /// nobody is turned away any more.
    async fn look_again(&self, lease: &RunLease, generation: u32) -> Result<(), HandlerError> {
        match self.store.release_run(lease).await {
            Ok(()) | Err(StoreError::LostLease) => {}
            Err(error) => return Err(error.into()),
        }
        let run = lease.run();
        if self.store.has_open_batch(run, generation).await? {
            return Ok(());
        }
        self.doorbell.finalize(run).await
    }

    async fn finalize_under(
        &self,
        lease: &RunLease,
        record: &RunRecord,
        stop_at_ms: u64,
        graph: &mut Option<GraphClient>,
    ) -> Result<Progress, Stop> {
        let run = lease.run();
        let settings = self.store.run_settings(run).await?;
        if record.state != RunState::Applying {
            self.check_deadline(record)?;
        }
        if record.state == RunState::Draining {
            let batches = self.store.batches(run, Some(record.generation)).await?;
            let facts: Vec<_> = batches
                .iter()
                .map(rollcall_store::BatchRecord::fact)
                .collect();
            match check_batches(&sealed(record)?, &facts) {
                Ok(()) => {}
                Err(NotProven::Open { open }) => {
                    info!(event = "batches_open", tenant = %run.tenant, run = run.run,
                        token = lease.token(), open);
                    return Ok(Progress::BatchesOpen);
                }
                Err(NotProven::Incomplete(detail)) => {
                    return Err(Stop::Fail(FailReason::Incomplete, detail));
                }
            }
            self.store.begin_finalizing(lease).await?;
        }
        let head = self.store.head(&run.tenant).await?;
        if head.active_run != Some(run.run) {
            // Without its head a run would be judged without a baseline.
            let detail = "the tenant's head does not name this run";
            return Err(Stop::Fail(FailReason::Incomplete, detail.into()));
        }
        let plan = match self.store.plan(run).await? {
            Some(plan) => plan,
            None => {
                self.make_plan(lease, record, &settings, &head, graph)
                    .await?
            }
        };
        let plan = match record.approved {
            None => plan,
            Some(_) => self.release(lease, record, &settings, plan, graph).await?,
        };
        if record.state != RunState::Applying
            && let Some(progress) = self
                .before_applying(lease, (record, &head), &settings, &plan, graph.as_ref())
                .await?
        {
            return Ok(progress);
        }
        let applying = self.apply(lease, &plan, stop_at_ms);
        let totals = while_kept(&self.store, lease, applying).await??;
        self.complete(lease, (record, &head), &totals, graph.as_ref())
            .await
    }

    fn check_deadline(&self, record: &RunRecord) -> Result<(), Stop> {
        if self.ambient.now_ms() < record.deadline_at_ms {
            return Ok(());
        }
        let detail = "the deadline passed before the first deactivation";
        Err(Stop::Fail(FailReason::Deadline, detail.into()))
    }

    /// The guards, and the step after which the run only rolls forward. Gives the end, if the run
    /// ends here.
    async fn before_applying(
        &self,
        lease: &RunLease,
        (record, head): (&RunRecord, &Head),
        settings: &TenantSettings,
        plan: &StoredPlan,
        graph: Option<&GraphClient>,
    ) -> Result<Option<Progress>, Stop> {
        let run = lease.run();
        // A person has looked at what they would hold.
        if record.approved.is_none()
            && let Some(trip) = settings.guards.check(plan.numbers)
        {
            let held = Held {
                trip,
                plan: plan.plan.hash().to_string(),
                deactivations: plan.numbers.deactivations,
            };
            let usage = self.usage(graph);
            self.store
                .hold_run(lease, record, (&held, &plan.totals), &usage)
                .await?;
            warn!(event = "run_held", tenant = %run.tenant, run = run.run, token = lease.token(),
                guard = ?trip.guard, limit = trip.limit, value = trip.value, plan = held.plan,
                deactivations = held.deactivations);
            return Ok(Some(Progress::Ended));
        }
        if plan.plan.entries().is_empty() {
            return self
                .complete(lease, (record, head), &plan.totals, graph)
                .await
                .map(Some);
        }
        // Confirming the absent may have taken long.
        self.check_deadline(record)?;
        let begin = self.store.begin_applying(lease, record.settings_revision);
        begin.await.map_err(settings_changed)?;
        info!(event = "applying_begun", tenant = %run.tenant, run = run.run,
            token = lease.token(), plan = %plan.plan.hash(),
            deactivations = plan.numbers.deactivations);
        Ok(None)
    }

    async fn complete(
        &self,
        lease: &RunLease,
        (record, head): (&RunRecord, &Head),
        totals: &RunTotals,
        graph: Option<&GraphClient>,
    ) -> Result<Progress, Stop> {
        let run = lease.run();
        self.store
            .complete_run(lease, record, (totals, &head.window), &self.usage(graph))
            .await?;
        info!(event = "run_completed", tenant = %run.tenant, run = run.run, token = lease.token(),
            mode = record.mode.name(), took_ms = self.since_ms(record.started_at_ms),
            users_seen = totals.users_seen, created = totals.changes.created,
            updated = totals.changes.updated, reactivated = totals.changes.reactivated,
            deactivated = totals.deactivated.total(), disabled = totals.deactivated.disabled,
            deleted = totals.deactivated.deleted, not_found = totals.deactivated.not_found,
            out_of_scope = totals.deactivated.out_of_scope,
            contradicted = totals.kept.contradicted, unknown = totals.kept.unknown,
            awaiting_confirmation = totals.kept.awaiting_confirmation);
        Ok(Progress::Ended)
    }

    /// Carries the plan out, group by group. There is no Graph call and no deadline any more.
    async fn apply(
        &self,
        lease: &RunLease,
        stored: &StoredPlan,
        stop_at_ms: u64,
    ) -> Result<RunTotals, Stop> {
        let mut totals = stored.totals;
        for group in stored.plan.entries().chunks(WRITES_PER_TRANSACTION_MAX) {
            if self.ambient.now_ms() >= stop_at_ms {
                return Err(Stop::OutOfTime);
            }
            for deactivation in self.apply_group(lease, group).await? {
                totals.deactivated.count(deactivation.reason());
            }
        }
        Ok(totals)
    }

    /// Switches off those of a group who are still as they were planned. Gives all whom this run
    /// has switched off, in an earlier invocation too.
    async fn apply_group<'p>(
        &self,
        lease: &RunLease,
        group: &'p [Deactivation],
    ) -> Result<Vec<&'p Deactivation>, Stop> {
        let run = lease.run();
        let ids: Vec<_> = group.iter().map(|entry| entry.id().clone()).collect();
        for _ in 0..REREADS_MAX {
            let users = self.store.users(&run.tenant, &ids).await?;
            let mut sorted = sort_group(run, group, users);
            self.recall(run, &mut sorted).await?;
            let written = if sorted.due.is_empty() {
                Ok(())
            } else {
                self.store.deactivate(lease, &sorted.due).await
            };
            match written {
                Ok(()) => {
                    for (user, entry) in &sorted.due {
                        info!(event = "user_deactivated", tenant = %run.tenant, run = run.run,
                            id = %user.id, reason = %entry.reason(), evidence = entry.detail(),
                            token = lease.token());
                    }
                    for entry in &sorted.done_before {
                        info!(event = "user_deactivated_before", tenant = %run.tenant,
                            run = run.run, id = %entry.id(), reason = %entry.reason(),
                            evidence = entry.detail());
                    }
                    for entry in &sorted.changed_since {
                        info!(event = "user_left_alone", tenant = %run.tenant, run = run.run,
                            id = %entry.id(), why = "changed since the plan");
                    }
                    let now = sorted.due.iter().map(|(_, entry)| *entry);
                    return Ok(now.chain(sorted.done_before).collect());
                }
                Err(StoreError::Changed { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Stop::Error(HandlerError::Store(StoreError::Changed {
            what: "a user of the plan, again and again,",
        })))
    }
}

impl App {
    /// Who changed since the plan may have been switched off by it all the same, by an invocation that
    /// did not come to the end, and then have been changed by a person. He counts.
    async fn recall(&self, run: &RunRef, sorted: &mut Sorted<'_>) -> Result<(), Stop> {
        if sorted.changed_since.is_empty() {
            return Ok(());
        }
        let changed = sorted.changed_since.iter();
        let users = changed.map(|entry| (entry.id(), entry.version()));
        let switched_off = self.store.switched_off(run, users).await?;
        let changed = std::mem::take(&mut sorted.changed_since);
        let was_done = |entry: &&Deactivation| switched_off.contains(entry.id());
        let (done, changed): (Vec<_>, Vec<_>) = changed.into_iter().partition(was_done);
        sorted.done_before.extend(done);
        sorted.changed_since = changed;
        Ok(())
    }
}

/// How far a finalizer came.
enum Progress {
    /// The run has ended.
    Ended,
    /// Batches are still being worked on; the last of them rings again.
    BatchesOpen,
}

struct Sorted<'p> {
    due: Vec<(StoredUser, &'p Deactivation)>,
    done_before: Vec<&'p Deactivation>,
    changed_since: Vec<&'p Deactivation>,
}

fn sort_group<'p>(run: &RunRef, group: &'p [Deactivation], users: Vec<StoredUser>) -> Sorted<'p> {
    let mut sorted = Sorted {
        due: Vec::new(),
        done_before: Vec::new(),
        changed_since: Vec::new(),
    };
    for user in users {
        let Some(entry) = group.iter().find(|entry| *entry.id() == user.id) else {
            continue;
        };
        let is_due = user.version == entry.version()
            && user.status == Status::Active
            && user.reason != Reason::Manual;
        let was_done = user.status == Status::Inactive
            && user.status_run == Some(run.run)
            && user.reason == entry.reason();
        if is_due {
            sorted.due.push((user, entry));
        } else if was_done {
            sorted.done_before.push(entry);
        } else {
            sorted.changed_since.push(entry);
        }
    }
    sorted
}

/// The seal of a run that is past its enumeration.
pub(crate) fn sealed(record: &RunRecord) -> Result<rollcall_core::proof::Seal, Stop> {
    record.seal().ok_or_else(|| {
        Stop::Fail(
            FailReason::Incomplete,
            "the run was sealed without a last page".into(),
        )
    })
}
