//! Not-found streaks: how many complete full runs in a row did not find an id. They have no TTL of a
//! run, because they are what one run tells the next.

use std::collections::BTreeMap;

use rollcall_core::evidence::Streak;
use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::run::RunState;

use crate::batches::TRANSACTION_ACTIONS_MAX;
use crate::conditions::{lease_is, run_state_in};
use crate::error::StoreError;
use crate::leases::RunLease;
use crate::row::{Row, number};
use crate::write::{Changes, Protects, Transaction};
use crate::{Store, Table, keys};

impl Store {
    /// The streaks of these ids, for those that have one.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn streaks(
        &self,
        tenant: &TenantId,
        ids: &[ObjectId],
    ) -> Result<BTreeMap<ObjectId, Streak>, StoreError> {
        let keys: Vec<_> = ids.iter().map(|id| keys::streak(tenant, id)).collect();
        let items = self.get_many(Table::Coordination, &keys).await?;
        items
            .iter()
            .map(|item| {
                let row = Row(item);
                let id = ObjectId::new(row.text("sk")?)
                    .map_err(|e| StoreError::Invalid(e.to_string()))?;
                let streak = Streak {
                    run: row.number("run")?,
                    runs: row.number("runs")?,
                };
                Ok((id, streak))
            })
            .collect()
    }

    /// Records streaks, under the lease of a run that is finalizing.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the run is somebody else's.
    pub async fn record_streaks(
        &self,
        lease: &RunLease,
        streaks: &[(ObjectId, Streak)],
    ) -> Result<(), StoreError> {
        for chunk in streaks.chunks(TRANSACTION_ACTIONS_MAX - 1) {
            let mut transaction = Transaction::new(self).check(
                Protects::Lease,
                Table::Coordination,
                &keys::run(lease.run()),
                &lease_is(lease.token()).and(run_state_in(&[RunState::Finalizing])),
            )?;
            for (id, streak) in chunk {
                let changes = Changes::new()
                    .set("run", number(streak.run))
                    .set("runs", number(streak.runs));
                transaction = transaction.set(
                    Table::Coordination,
                    &keys::streak(&lease.run().tenant, id),
                    &changes,
                )?;
            }
            transaction.send().await?;
        }
        Ok(())
    }
}
