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
use crate::read::Range;
use crate::row::{Row, number};
use crate::write::{Changes, Protects, Transaction};
use crate::{Store, Table, keys};

impl Store {
    /// All streaks of a tenant.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn streaks(
        &self,
        tenant: &TenantId,
    ) -> Result<BTreeMap<ObjectId, Streak>, StoreError> {
        let partition = keys::streaks_partition(tenant);
        let mut streaks = BTreeMap::new();
        self.query(Range::of(Table::Coordination, &partition), |item| {
            let row = Row(item);
            let id =
                ObjectId::new(row.text("sk")?).map_err(|e| StoreError::Invalid(e.to_string()))?;
            let proven_run = row.number_if_any("proven_run")?;
            let proven = match proven_run {
                Some(run) => Some((run, row.number("proven_runs")?)),
                None => None,
            };
            let streak = Streak {
                run: row.number("run")?,
                runs: row.number("runs")?,
                proven,
            };
            streaks.insert(id, streak);
            Ok(())
        })
        .await?;
        Ok(streaks)
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
            );
            for (id, streak) in chunk {
                let changes = Changes::new()
                    .set("run", number(streak.run))
                    .set("runs", number(streak.runs));
                let changes = match streak.proven {
                    Some((run, runs)) => changes
                        .set("proven_run", number(run))
                        .set("proven_runs", number(runs)),
                    None => changes.remove("proven_run").remove("proven_runs"),
                };
                transaction = transaction.set(
                    Table::Coordination,
                    &keys::streak(&lease.run().tenant, id),
                    &changes,
                );
            }
            transaction.send().await?;
        }
        Ok(())
    }
}
