//! What the tenants do: runs that have begun since the last look, and how each tenant stands.

use std::collections::BTreeMap;

use rollcall_core::ids::{RunRef, TenantId};
use rollcall_store::{RunRecord, Store, StoreError};

use super::run_ref;
use crate::output::run::RunView;

/// Which runs were seen to begin.
pub(super) struct NewRuns(BTreeMap<TenantId, u64>);

impl NewRuns {
    /// From now on; a run that is active already counts as one that begins.
    pub(super) async fn since_now(store: &Store) -> Result<Self, StoreError> {
        let mut next = BTreeMap::new();
        for tenant in store.tenants().await? {
            let head = store.head(&tenant.settings.id).await?;
            next.insert(tenant.settings.id, head.active_run.unwrap_or(head.next_run));
        }
        Ok(Self(next))
    }

    /// The runs that have begun since the last look. A run that began and ended between two is one of
    /// them too.
    pub(super) async fn look(&mut self, store: &Store) -> Result<Vec<RunRef>, StoreError> {
        let mut begun = Vec::new();
        for (tenant, next) in &mut self.0 {
            let head = store.head(tenant).await?;
            begun.extend((*next..head.next_run).map(|run| run_ref(tenant, run)));
            *next = head.next_run.max(*next);
        }
        Ok(begun)
    }
}

/// How a tenant stands.
pub(super) struct Standing {
    pub(super) tenant: TenantId,
    pub(super) is_removed: bool,
    /// The run that is under way.
    pub(super) active: Option<RunView>,
    /// The last run that has ended.
    pub(super) last: Option<RunView>,
    /// The runs whose plans wait for a person.
    pub(super) held: Vec<(RunView, RunRecord)>,
}

/// How all tenants stand.
pub(super) async fn standings(store: &Store) -> Result<Vec<Standing>, StoreError> {
    let mut standings = Vec::new();
    for tenant in store.tenants().await? {
        let id = tenant.settings.id;
        let head = store.head(&id).await?;
        let mut held = Vec::new();
        for record in store.held_runs(&id).await? {
            held.push((RunView::load(store, &record).await?, record));
        }
        let newest = head.next_run.saturating_sub(1);
        let last = match head.active_run {
            Some(active) if active == newest => newest.saturating_sub(1),
            _ => newest,
        };
        standings.push(Standing {
            active: view(store, &id, head.active_run).await?,
            last: view(store, &id, Some(last)).await?,
            held,
            is_removed: tenant.removed,
            tenant: id,
        });
    }
    Ok(standings)
}

async fn view(
    store: &Store,
    tenant: &TenantId,
    run: Option<u64>,
) -> Result<Option<RunView>, StoreError> {
    let Some(run) = run.filter(|run| *run > 0) else {
        return Ok(None);
    };
    match store.run(&run_ref(tenant, run)).await? {
        Some(record) => Ok(Some(RunView::load(store, &record).await?)),
        None => Ok(None),
    }
}
