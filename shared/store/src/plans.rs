//! Plans: stored once, in chunks under a manifest that names their hash.

use rollcall_core::guard::PlanNumbers;
use rollcall_core::ids::{ObjectId, RunRef};
use rollcall_core::plan::Plan;
use rollcall_core::run::{RunEvent, RunMode, RunState};

use crate::conditions::{absent, held_runs_are, lease_is, revision_is, run_allows, run_state_in};
use crate::endings::RunTotals;
use crate::enumeration::CHUNK_BYTES_MAX;
use crate::error::StoreError;
use crate::holds::without_hold;
use crate::leases::RunLease;
use crate::row::{Item, Key, Row, bytes, json, number, text};
use crate::tenants::Head;
use crate::write::{Changes, Protects, Transaction};
use crate::{Store, Table, keys};

/// A plan with what was counted when it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPlan {
    /// Whom.
    pub plan: Plan,
    /// For the guards.
    pub numbers: PlanNumbers,
    /// What the run did so far.
    pub totals: RunTotals,
    /// Some whom the run saw: who is asked about beside the plan's users when it is approved.
    pub canaries: Vec<ObjectId>,
}

fn manifest_item(
    key: Key,
    plan: &StoredPlan,
    chunks: usize,
    ttl_s: u64,
) -> Result<Item, StoreError> {
    let mut manifest = key.with([
        ("hash", text(plan.plan.hash().as_str())),
        ("chunks", number(chunks)),
        ("deactivations", number(plan.plan.entries().len())),
        ("users_seen", number(plan.numbers.users_seen)),
        ("active", number(plan.numbers.active)),
        ("whole_domain", number(plan.numbers.whole_domain)),
        ("off_in_window", number(plan.numbers.off_in_window)),
        ("totals", json(&plan.totals)?),
        ("canaries", json(&plan.canaries)?),
        ("ttl", number(ttl_s)),
    ]);
    if let Some(before) = plan.numbers.users_seen_before {
        manifest.insert("users_seen_before".into(), number(before));
    }
    Ok(manifest)
}

impl Store {
    /// Stores a run's plan. From here on the run works by what was stored. The plan of a full run
    /// is about everybody, so a plan of an earlier run that still waits for a person is void by it;
    /// that of a delta run is about those who changed, and voids nothing.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the run is somebody else's; [`StoreError::Changed`] with
    /// `"the tenant's settings"` when they are not at `revision` any more.
    pub async fn store_plan(
        &self,
        lease: &RunLease,
        plan: &StoredPlan,
        revision: u64,
        (mode, head): (RunMode, &Head),
    ) -> Result<(), StoreError> {
        let run = lease.run();
        let key = keys::plan_manifest(run);
        let mut transaction = self.plan_written(lease, key, plan, revision).await?;
        let held = head.held();
        if mode == RunMode::Full && !held.is_empty() {
            for held in held {
                transaction = self.supersede(transaction, run, held);
            }
            transaction = transaction.update(
                Protects::Read("the tenant's held runs"),
                Table::Coordination,
                &keys::head(&run.tenant),
                &without_hold(without_hold(Changes::new(), RunMode::Full), RunMode::Delta),
                &held_runs_are(head),
            );
        }
        transaction.send().await
    }

    /// Stores what of an approved plan is carried out. From here on the run works by that.
    ///
    /// # Errors
    /// As [`Store::store_plan`].
    pub async fn store_released(
        &self,
        lease: &RunLease,
        plan: &StoredPlan,
        revision: u64,
    ) -> Result<(), StoreError> {
        let key = keys::released_manifest(lease.run());
        let transaction = self.plan_written(lease, key, plan, revision).await?;
        transaction.send().await
    }

    /// Writes the parts of a plan, and gives the transaction that makes it the run's: once, under the
    /// lease, while the settings are those that it was made by.
    async fn plan_written(
        &self,
        lease: &RunLease,
        manifest: Key,
        plan: &StoredPlan,
        revision: u64,
    ) -> Result<Transaction<'_>, StoreError> {
        let run = lease.run();
        let hash = plan.plan.hash();
        let encoded = plan
            .plan
            .encode()
            .map_err(|e| StoreError::Invalid(e.to_string()))?;
        let finalizing = lease_is(lease.token()).and(run_state_in(&[RunState::Finalizing]));
        let chunks: Vec<_> = encoded.chunks(CHUNK_BYTES_MAX).collect();
        for (index, chunk) in (0u32..).zip(&chunks) {
            let changes = Changes::new()
                .set("payload", bytes(*chunk))
                .set("ttl", number(lease.ttl_s()));
            Transaction::new(self)
                .check(
                    Protects::Lease,
                    Table::Coordination,
                    &keys::run(run),
                    &finalizing,
                )
                // Addressed by the plan's hash, so writing it again writes the same.
                .set(
                    Table::Coordination,
                    &keys::plan_chunk(run, hash.as_str(), index),
                    &changes,
                )
                .send()
                .await?;
        }
        let manifest = manifest_item(manifest, plan, chunks.len(), lease.ttl_s())?;
        Ok(Transaction::new(self)
            .check(
                Protects::Lease,
                Table::Coordination,
                &keys::run(run),
                &finalizing,
            )
            .check(
                Protects::Read("the tenant's settings"),
                Table::Coordination,
                &keys::tenant(&run.tenant),
                &revision_is(revision),
            )
            .put(
                Protects::Read("the plan"),
                Table::Coordination,
                manifest,
                &absent(),
            ))
    }

    fn supersede<'s>(
        &self,
        transaction: Transaction<'s>,
        run: &RunRef,
        held: u64,
    ) -> Transaction<'s> {
        let held_run = RunRef {
            tenant: run.tenant.clone(),
            run: held,
        };
        let superseded =
            Changes::new().set("state", text(RunEvent::Supersede.to_state().stored_name()));
        transaction.update(
            Protects::Read("the held run"),
            Table::Coordination,
            &keys::run(&held_run),
            &superseded,
            &run_allows(RunEvent::Supersede),
        )
    }

    /// The plan that a run stored, whole.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a chunk is missing or the entries do not have the hash.
    pub async fn plan(&self, run: &RunRef) -> Result<Option<StoredPlan>, StoreError> {
        self.plan_under(run, keys::plan_manifest(run)).await
    }

    /// What of its approved plan a run carries out, whole.
    ///
    /// # Errors
    /// As [`Store::plan`].
    pub async fn released(&self, run: &RunRef) -> Result<Option<StoredPlan>, StoreError> {
        self.plan_under(run, keys::released_manifest(run)).await
    }

    async fn plan_under(&self, run: &RunRef, key: Key) -> Result<Option<StoredPlan>, StoreError> {
        let Some(item) = self.get(Table::Coordination, &key).await? else {
            return Ok(None);
        };
        let row = Row(&item);
        let hash = row.text("hash")?;
        let chunks: u32 = row.number("chunks")?;
        let corrupt = |detail: String| StoreError::Corrupt {
            item: format!("the plan of run {run}"),
            detail,
        };
        let mut encoded = Vec::new();
        for index in 0..chunks {
            let chunk = self
                .get(Table::Coordination, &keys::plan_chunk(run, hash, index))
                .await?
                .ok_or_else(|| corrupt(format!("part {index} is missing")))?;
            encoded.extend_from_slice(Row(&chunk).bytes("payload")?);
        }
        let plan = Plan::decode(run.clone(), &encoded, hash).map_err(|e| corrupt(e.to_string()))?;
        Ok(Some(StoredPlan {
            numbers: PlanNumbers {
                users_seen: row.number("users_seen")?,
                users_seen_before: row.number_if_any("users_seen_before")?,
                active: row.number("active")?,
                whole_domain: row.number("whole_domain")?,
                off_in_window: row.number("off_in_window")?,
                deactivations: plan.entries().len() as u64,
            },
            totals: row.json("totals")?,
            canaries: row.json_if_any("canaries")?.unwrap_or_default(),
            plan,
        }))
    }

    /// Begins to carry out the stored plan. After this the run only rolls forward.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the run is somebody else's or not finalizing;
    /// [`StoreError::Changed`] when the tenant's settings are not at `revision` any more, or it was removed:
    /// whoever stored the plan may have died since.
    pub async fn begin_applying(&self, lease: &RunLease, revision: u64) -> Result<(), StoreError> {
        self.run_step(lease, RunEvent::BeginApplying)
            .check(
                Protects::Read("the tenant's settings"),
                Table::Coordination,
                &keys::tenant(&lease.run().tenant),
                &revision_is(revision),
            )
            .send()
            .await
    }

    /// Begins to finalize.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the run is somebody else's or not draining.
    pub async fn begin_finalizing(&self, lease: &RunLease) -> Result<(), StoreError> {
        let begin = self.run_step(lease, RunEvent::BeginFinalizing);
        begin.send().await
    }

    fn run_step(&self, lease: &RunLease, event: RunEvent) -> Transaction<'_> {
        let changes = Changes::new()
            .set("state", text(event.to_state().stored_name()))
            .set(
                "lease_until",
                number(self.ambient.now_ms() + lease.lease_ms()),
            );
        Transaction::new(self).update(
            Protects::Lease,
            Table::Coordination,
            &keys::run(lease.run()),
            &changes,
            &lease_is(lease.token()).and(run_allows(event)),
        )
    }
}
