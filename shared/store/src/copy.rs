//! A tenant copied into another store, for a run that is to change nothing here.

use rollcall_core::ids::{RunRef, TenantId};

use crate::conditions::absent;
use crate::error::StoreError;
use crate::read::Range;
use crate::row::{Item, json};
use crate::tenants::settings_of;
use crate::write::{Protects, Transaction};
use crate::{Store, Table, keys};

/// How many items are put in one transaction: of 4 MB, so that each may have 160 KB.
const COPIED_AT_ONCE: usize = 25;

impl Store {
    /// Copies what a run of this tenant works on into a store that has nothing of it: its settings, its
    /// head, its held runs, its streaks and its users. In the copy no run is active or being
    /// reverted, and no service provider is told: that goes on here.
    ///
    /// # Errors
    /// [`StoreError`] as either DynamoDB answers; [`StoreError::Changed`] if the other store has
    /// something of the tenant.
    pub async fn copy_tenant(&self, to: &Self, tenant: &TenantId) -> Result<(), StoreError> {
        let mut items = Vec::new();
        if let Some(mut item) = self.get(Table::Coordination, &keys::tenant(tenant)).await? {
            // What happens in a copy is told to nobody.
            let mut settings = settings_of(tenant, &item)?;
            settings.scim = None;
            item.insert("settings".into(), json(&settings)?);
            items.push(item);
        }
        if let Some(mut item) = self.get(Table::Coordination, &keys::head(tenant)).await? {
            for gone in ["active_run", "reverting", "scim_due_at"] {
                item.remove(gone);
            }
            items.push(item);
        }
        // What a full run supersedes.
        for run in self.head(tenant).await?.held() {
            let tenant = tenant.clone();
            let key = keys::run(&RunRef { tenant, run });
            items.extend(self.get(Table::Coordination, &key).await?);
        }
        let streaks = keys::streaks_partition(tenant);
        self.collect(Table::Coordination, &streaks, &mut items)
            .await?;
        to.put_all(Table::Coordination, items).await?;
        for shard in 0..keys::DIRECTORY_SHARDS {
            let mut users = Vec::new();
            let partition = keys::directory_partition(tenant, shard);
            self.collect(Table::Directory, &partition, &mut users)
                .await?;
            to.put_all(Table::Directory, users).await?;
        }
        Ok(())
    }

    async fn collect(
        &self,
        table: Table,
        partition: &str,
        items: &mut Vec<Item>,
    ) -> Result<(), StoreError> {
        let taking = self.query(Range::of(table, partition), |item| {
            items.push(item.clone());
            Ok(())
        });
        taking.await
    }

    async fn put_all(&self, table: Table, items: Vec<Item>) -> Result<(), StoreError> {
        let mut items = items.into_iter().peekable();
        while items.peek().is_some() {
            let some = items.by_ref().take(COPIED_AT_ONCE);
            let all = some.fold(Transaction::new(self), |transaction, item| {
                let copy = Protects::Read("the copy");
                transaction.put(copy, table, item, &absent())
            });
            all.send().await?;
        }
        Ok(())
    }
}
