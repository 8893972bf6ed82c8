//! The ends of a run: completed, held, failed.

use rollcall_core::counts::{ChangeCounts, DeactivatedBy, Kept};
use rollcall_core::guard::Trip;
use rollcall_core::ids::RunRef;
use rollcall_core::run::{FailReason, RunEvent, RunMode, RunState};
use rollcall_core::window::Window;
use serde::{Deserialize, Serialize};

use crate::conditions::{active_run_is, delta_link_is, lease_is, run_allows, run_state_in};
use crate::error::StoreError;
use crate::holds::{HOLD_DAYS_MAX, held_as, held_until};
use crate::leases::RunLease;
use crate::meter::Capacity;
use crate::row::{json, number, text};
use crate::runs::{RunRecord, Usage};
use crate::starts::owing_full;
use crate::write::{Changes, Protects, Transaction};
use crate::{Store, Table, keys};

/// The longest description of a failure that is stored, in characters.
const DETAIL_CHARS_MAX: usize = 300;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RunTotals {
    /// How many batches it had, in its last generation.
    pub batches: u64,
    /// How many different users it saw.
    pub users_seen: u64,
    /// Created, updated, reactivated.
    pub changes: ChangeCounts,
    /// Switched off.
    pub deactivated: DeactivatedBy,
    /// Kept on although something spoke against it.
    pub kept: Kept,
    /// What the batches' workers used.
    pub workers: Capacity,
}

impl RunTotals {
    /// The users seen on whom nothing was changed.
    #[must_use]
    pub fn unchanged(&self) -> u64 {
        self.users_seen.saturating_sub(self.changes.total())
    }
}

/// What holds a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The guard, what it allows, what it found.
    #[serde(flatten)]
    pub trip: Trip,
    /// The plan's hash: what an approval has to name.
    pub plan: String,
    /// How many users it would switch off.
    pub deactivations: u64,
}

impl Store {
    /// Completes a run: its state, its totals, and the head for the next run. A full run is the
    /// baseline of those after it; a delta run, which saw a few, is not. Whom it switched off counts
    /// in the tenant's window, which is `before` up to now. A service provider is to be told of it.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the run is somebody else's.
    pub async fn complete_run(
        &self,
        lease: &RunLease,
        record: &RunRecord,
        (totals, before): (&RunTotals, &Window),
        usage: &Usage,
    ) -> Result<(), StoreError> {
        let changed = totals.changes.total() + totals.deactivated.total() > 0;
        // A full run tells in any case: what was missed is found.
        let mut head = self.telling(changed || record.mode == RunMode::Full);
        let switched_off = totals.deactivated.total();
        // What a person approved is no slow bleed.
        if switched_off > 0 && record.approved.is_none() {
            let window = before.with(self.ambient.now_ms(), switched_off);
            head = head.set("window", json(&window)?);
        }
        if record.mode == RunMode::Full {
            head = head
                .set("last_full_run", number(lease.run().run))
                .set("last_full_seen", number(totals.users_seen));
        }
        let changes = usage.added_to(Changes::new().set("totals", json(totals)?));
        self.end_run(lease, record, RunEvent::Complete, changes, head)
            .await
    }

    /// Holds a run: its updates stand, its plan waits for a person. The next run may start.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the run is somebody else's.
    pub async fn hold_run(
        &self,
        lease: &RunLease,
        record: &RunRecord,
        (held, totals): (&Held, &RunTotals),
        usage: &Usage,
    ) -> Result<(), StoreError> {
        let lapses_ms = self.ambient.now_ms() + HOLD_DAYS_MAX * 86_400_000;
        let head = self
            .telling(true)
            .set(held_as(record.mode), number(lease.run().run))
            .set(held_until(record.mode), number(lapses_ms));
        let changes = Changes::new()
            .set("totals", json(totals)?)
            .set("held", json(held)?)
            .set("held_plan", text(&held.plan));
        self.end_run(lease, record, RunEvent::Hold, usage.added_to(changes), head)
            .await
    }

    /// Has the tenant's service provider told. It may have none; but it may also have got one since the run began, which
    /// was told before the run went on.
    fn telling(&self, changed: bool) -> Changes {
        if changed {
            Changes::new().set("scim_due_at", number(self.ambient.now_ms()))
        } else {
            Changes::new()
        }
    }

    /// The delta link moves here alone, with the end of the run that followed it.
    async fn end_run(
        &self,
        lease: &RunLease,
        record: &RunRecord,
        event: RunEvent,
        changes: Changes,
        head: Changes,
    ) -> Result<(), StoreError> {
        let run = lease.run();
        let now_ms = self.ambient.now_ms();
        let mut head = head.remove("active_run");
        if event == RunEvent::Complete {
            head = head.set("completed_at", number(now_ms));
            if record.mode == RunMode::Full {
                head = head.set("full_completed_at", number(now_ms));
            }
        }
        head = head.remove("failed_in_a_row").remove("failed_at");
        let mut is_next = active_run_is(run.run);
        // The link of an approved run moved when it was held, and later runs have gone on from there.
        if record.approved.is_none() {
            if record.mode == RunMode::Full {
                head = head.set("full_done", number(run.run));
            }
            head = moved_to(head, record.delta_to.as_deref(), &record.mapping);
            is_next = is_next.and(delta_link_is(record.delta_from.as_deref()));
        }
        let changes = changes
            .set("state", text(event.to_state().stored_name()))
            .set("ended_at", number(now_ms));
        Transaction::new(self)
            .update(
                Protects::Lease,
                Table::Coordination,
                &keys::run(run),
                &changes,
                &lease_is(lease.token()).and(run_allows(event)),
            )
            .update(
                Protects::Read("the tenant's active run"),
                Table::Coordination,
                &keys::head(&run.tenant),
                &head,
                &is_next,
            )
            .send()
            .await
    }

    /// Gives a run up: it is FAILED, so that no batch is leased any more. What that leaves is for
    /// [`Store::close_failed_run`].
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the run is somebody else's, has ended, or has begun to
    /// deactivate.
    pub async fn fail_run(
        &self,
        lease: &RunLease,
        reason: FailReason,
        detail: &str,
        usage: &Usage,
    ) -> Result<(), StoreError> {
        let detail: String = detail.chars().take(DETAIL_CHARS_MAX).collect();
        let changes = Changes::new()
            .set("state", text(RunEvent::Fail.to_state().stored_name()))
            .set("reason", text(reason.name()))
            .set("detail", text(detail))
            .set("ended_at", number(self.ambient.now_ms()));
        Transaction::new(self)
            .update(
                Protects::Lease,
                Table::Coordination,
                &keys::run(lease.run()),
                &usage.added_to(changes),
                &lease_is(lease.token()).and(run_allows(RunEvent::Fail)),
            )
            .send()
            .await
    }

    /// Finishes giving up a run that is FAILED: revokes what is open, then frees the tenant. Interrupted, it
    /// can be called again.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the run is somebody else's, or not FAILED.
    pub async fn close_failed_run(&self, lease: &RunLease) -> Result<(), StoreError> {
        let failed = self.revoke_open_batches(lease, RunState::Failed).await?;
        let cleared = self.clear_active_run(lease, failed.mode).await;
        match cleared {
            // A copy has cleared it.
            Err(StoreError::Changed { .. }) => Ok(()),
            other => other,
        }
    }

    async fn clear_active_run(&self, lease: &RunLease, mode: RunMode) -> Result<(), StoreError> {
        let run: &RunRef = lease.run();
        // What its batches changed stands.
        let mut head = self
            .telling(true)
            .remove("active_run")
            .add("failed_in_a_row", number(1))
            .set("failed_at", number(self.ambient.now_ms()));
        if mode == RunMode::Full {
            // A delta tells nothing of what it was to find. One that began as a delta is owed too: whoever asked for a
            // full run may have joined it, and it may have taken the place of a plan that was held.
            head = owing_full(head);
        }
        Transaction::new(self)
            .check(
                Protects::Lease,
                Table::Coordination,
                &keys::run(run),
                &lease_is(lease.token()).and(run_state_in(&[RunState::Failed])),
            )
            .update(
                Protects::Read("the tenant's active run"),
                Table::Coordination,
                &keys::head(&run.tenant),
                &head,
                &active_run_is(run.run),
            )
            .send()
            .await
    }
}

/// The head with the delta link at its next place, or with none.
fn moved_to(head: Changes, link: Option<&str>, mapping: &str) -> Changes {
    match link {
        Some(link) => head
            .set("delta_link", text(link))
            .set("delta_mapping", text(mapping)),
        None => head.remove("delta_link").remove("delta_mapping"),
    }
}
