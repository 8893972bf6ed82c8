//! A worker: one batch, from its lease to DONE.

use std::collections::BTreeMap;

use rollcall_core::counts::ChangeCounts;
use rollcall_core::ids::{ObjectId, RunRef};
use rollcall_core::page::{ChangedSighting, PagePayload, Sighted};
use rollcall_core::reconcile::SightingContext;
use rollcall_core::run::RunState;
use rollcall_core::settings::TenantSettings;
use rollcall_core::status::{SightingOrder, Status, StoredUser};
use rollcall_store::{
    AcquiredBatch, BatchLease, BatchRecord, BatchResult, StoreError, UserWrite,
    WRITES_PER_TRANSACTION_MAX,
};
use tracing::{info, warn};

use crate::app::App;
use crate::doorbell::BatchBell;
use crate::error::{HandlerError, Stop};

/// How often a group of users that changed under the worker is tried, of which one try may be unread. Only
/// another sighting of the same user, or a person, changes one meanwhile.
const REREADS_MAX: u32 = 10;

/// A lease is renewed when a third of it has passed.
const RENEWALS_PER_LEASE: u64 = 3;

impl App {
    /// Works through one batch.
    pub(crate) async fn work(&self, bell: BatchBell, stop_at_ms: u64) -> Result<(), HandlerError> {
        let (run, generation, page) = (&bell.run, bell.generation, bell.page);
        let owner = self.ambient.random_uuid();
        let acquired = self
            .store
            .acquire_batch(run, generation, page, &owner)
            .await?;
        let (lease, batch) = match acquired {
            AcquiredBatch::Granted(lease, batch) => (lease, batch),
            AcquiredBatch::Waits => {
                info!(event = "batch_waits", tenant = %run.tenant, run = run.run, generation, page,
                    waits = bell.waits);
                return self.doorbell.waiting_batch(bell).await;
            }
            // Whoever finished it may have died before it rang.
            AcquiredBatch::Over(batch) => {
                tell_nothing_to_do(&bell, "over");
                self.ring_next(run, &batch).await?;
                return self.ring_if_last(run).await;
            }
            // As with a run: whoever has it rings again himself.
            AcquiredBatch::Busy => {
                tell_nothing_to_do(&bell, "leased");
                return Ok(());
            }
            AcquiredBatch::Unknown => {
                tell_nothing_to_do(&bell, "unknown");
                return Ok(());
            }
        };
        let from = lease.taken_from();
        info!(event = "batch_leased", tenant = %run.tenant, run = run.run, generation, page,
            token = lease.token(), owner, changed = batch.changed, lease_ms = lease.lease_ms(),
            from_token = from.map(|it| it.token), from_owner = from.map(|it| it.owner.as_str()));
        let leased_at_ms = self.ambient.now_ms();
        match self.work_under(&lease, &batch, stop_at_ms).await {
            Ok(()) => {
                self.ring_next(run, &batch).await?;
                self.ring_if_last(run).await
            }
            Err(Stop::Lost { fenced }) => {
                warn!(event = "batch_lease_lost", tenant = %run.tenant, run = run.run, generation,
                    page, token = lease.token(), fenced, took_ms = self.since_ms(leased_at_ms));
                Ok(())
            }
            Err(Stop::OutOfTime) => {
                info!(event = "batch_passed_on", tenant = %run.tenant, run = run.run, generation,
                    page, token = lease.token(), took_ms = self.since_ms(leased_at_ms));
                match self.store.release_batch(&lease).await {
                    Ok(()) | Err(StoreError::LostLease) => {}
                    Err(error) => return Err(error.into()),
                }
                self.doorbell.batch(run, generation, page).await
            }
            Err(Stop::Error(error)) => Err(error),
            Err(Stop::Fail(_, detail)) => Err(HandlerError::Store(StoreError::Corrupt {
                item: format!("batch {generation}/{page} of run {run}"),
                detail,
            })),
        }
    }

    async fn work_under(
        &self,
        lease: &BatchLease,
        batch: &BatchRecord,
        stop_at_ms: u64,
    ) -> Result<(), Stop> {
        let run = lease.run();
        let leased_at_ms = self.ambient.now_ms();
        let settings = self.store.run_settings(run).await?;
        let page = self
            .store
            .page(run, batch.generation, batch.page, &batch.digest)
            .await?;
        let mut work = BatchWork {
            app: self,
            lease,
            batch,
            settings: &settings,
            result: BatchResult::default(),
            kept_at_ms: self.ambient.now_ms(),
        };
        let sightings = last_of_each(&page);
        for group in sightings.chunks(WRITES_PER_TRANSACTION_MAX) {
            if self.ambient.now_ms() >= stop_at_ms {
                return Err(Stop::OutOfTime);
            }
            work.keep().await?;
            work.group(group).await?;
        }
        let (result, used) = (work.result, self.usage(None));
        let counted = page.sightings();
        self.store
            .finish_batch(lease, counted, &result, &used)
            .await?;
        info!(event = "batch_done", tenant = %run.tenant, run = run.run,
            generation = batch.generation, page = batch.page, token = lease.token(), counted,
            created = result.changes.created, updated = result.changes.updated,
            reactivated = result.changes.reactivated, unknown = result.unknown,
            candidates = result.candidates.len(), took_ms = self.since_ms(leased_at_ms));
        Ok(())
    }

    /// A batch that is over after the seal rings the finalizer if no other is open any more. Of two that
    /// end at the same time the later one reads that both are over, for the reads see every write before
    /// them; and what ends before the seal leaves it to the seal's own ring. No counter decides.
    async fn ring_if_last(&self, run: &RunRef) -> Result<(), HandlerError> {
        let record = self.store.run(run).await?;
        let sealed = record.filter(|record| record.state == RunState::Draining);
        if let Some(sealed) = sealed
            && !self.store.has_open_batch(run, sealed.generation).await?
        {
            self.doorbell.finalize(run).await?;
        }
        Ok(())
    }
}

/// Tells of a message that changed nothing: it came twice, or late.
fn tell_nothing_to_do(bell: &BatchBell, why: &str) {
    let (run, generation, page) = (&bell.run, bell.generation, bell.page);
    info!(event = "nothing_to_do", tenant = %run.tenant, run = run.run, step = "work", generation,
        page, why);
}

/// Each id once: of two sightings on one page the later one stands.
fn last_of_each(page: &PagePayload) -> Vec<&ChangedSighting> {
    let by_id: BTreeMap<&ObjectId, &ChangedSighting> =
        page.changed.iter().map(|s| (s.user.id(), s)).collect();
    by_id.into_values().collect()
}

struct BatchWork<'a> {
    app: &'a App,
    lease: &'a BatchLease,
    batch: &'a BatchRecord,
    settings: &'a TenantSettings,
    result: BatchResult,
    kept_at_ms: u64,
}

impl BatchWork<'_> {
    async fn keep(&mut self) -> Result<(), Stop> {
        let now_ms = self.app.ambient.now_ms();
        if now_ms >= self.kept_at_ms + self.lease.lease_ms() / RENEWALS_PER_LEASE {
            let kept = self.app.store.keep_batch(self.lease).await;
            kept.map_err(Stop::not_kept)?;
            self.kept_at_ms = now_ms;
        }
        Ok(())
    }

    /// Reads, decides and writes a group of users; again, if one of them changed meanwhile. A group of
    /// new users is not read first: if one of them is there by now, it is read then.
    async fn group(&mut self, group: &[&ChangedSighting]) -> Result<(), Stop> {
        let ids: Vec<_> = group.iter().map(|s| s.user.id().clone()).collect();
        // Whoever comes after another worker finds most of them written.
        let is_first = self.lease.token() == 1;
        let mut are_new = is_first && group.iter().all(|sighting| sighting.is_new);
        for _ in 0..REREADS_MAX {
            let unread = std::mem::take(&mut are_new);
            let stored = match unread {
                true => Vec::new(),
                false => self.app.store.users(&self.lease.run().tenant, &ids).await?,
            };
            let stored: BTreeMap<_, _> = stored.into_iter().map(|u| (u.id.clone(), u)).collect();
            let (writes, result) = self.decide(group, &stored);
            // Whoever is not written is not tested by a condition either.
            if unread && writes.len() < group.len() {
                continue;
            }
            let written = if writes.is_empty() {
                Ok(())
            } else {
                self.app.store.write_users(self.lease, &writes).await
            };
            match written {
                Ok(()) => {
                    self.tell(&writes, result.changes);
                    self.result.changes.add(result.changes);
                    self.result.unknown += result.unknown;
                    self.result.candidates.extend(result.candidates);
                    return Ok(());
                }
                Err(StoreError::Changed { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Stop::Error(HandlerError::Store(StoreError::Changed {
            what: "a user, again and again,",
        })))
    }

    /// Tells what a transaction wrote: who became ACTIVE again one by one, the others as counts.
    fn tell(&self, writes: &[UserWrite], changes: ChangeCounts) {
        if writes.is_empty() {
            return;
        }
        let (run, token) = (self.lease.run(), self.lease.token());
        let (generation, page) = (self.batch.generation, self.batch.page);
        info!(event = "users_written", tenant = %run.tenant, run = run.run, generation, page, token,
            users = writes.len(), created = changes.created, updated = changes.updated,
            reactivated = changes.reactivated);
        for UserWrite { before, after } in writes {
            let was_off = before.as_ref().filter(|it| it.status == Status::Inactive);
            if let Some(before) = was_off.filter(|_| after.status == Status::Active) {
                info!(event = "user_reactivated", tenant = %run.tenant, run = run.run, generation,
                    page, token, id = %after.id, was = %before.reason);
            }
        }
    }

    fn decide(
        &self,
        group: &[&ChangedSighting],
        stored: &BTreeMap<ObjectId, StoredUser>,
    ) -> (Vec<UserWrite>, BatchResult) {
        let mut writes = Vec::new();
        let mut result = BatchResult::default();
        let now_ms = self.app.ambient.now_ms();
        for sighting in group {
            let context = SightingContext {
                run: self.lease.run().run,
                order: SightingOrder {
                    generation: self.batch.generation,
                    page: self.batch.page,
                    index: sighting.index,
                },
                scope: &self.settings.scope,
                now_ms,
            };
            let before = stored.get(sighting.user.id());
            let decision = match &sighting.user {
                Sighted::Whole(user) => context.decide(user, before),
                Sighted::Part(part) if part.removed.is_some() => context.decide_removed(before),
                Sighted::Part(part) => {
                    let user = part.whole(before, &self.settings.attributes);
                    context.decide(&user, before)
                }
            };
            if let Some(kind) = decision.counts {
                result.changes.count(kind);
            }
            result.unknown += u64::from(decision.unknown);
            result.candidates.extend(decision.candidate);
            writes.extend(decision.write.map(|after| UserWrite {
                before: before.cloned(),
                after,
            }));
        }
        (writes, result)
    }
}
