//! The commands, one file each.

pub(crate) mod check;
mod dry_run;
pub(crate) mod hold;
mod report;
pub(crate) mod revert;
pub(crate) mod run;
pub(crate) mod story;
pub(crate) mod sync;
pub(crate) mod tenant;
pub(crate) mod user;

use std::collections::BTreeSet;
use std::time::Duration;

use rollcall_core::ids::TenantId;
use rollcall_store::{Store, TenantRecord};
use tokio::time::sleep;

use crate::exit::bad_input;
use crate::local::Stack;

/// A tenant that is synced.
///
/// # Errors
/// Bad input, when there is none of that id or it was removed.
async fn tenant(store: &Store, id: &TenantId) -> anyhow::Result<TenantRecord> {
    match store.tenant(id).await? {
        Some(tenant) if !tenant.removed => Ok(tenant),
        Some(_) => Err(bad_input(format!(
            "tenant {id} was removed; `tenant put` it again to sync it"
        ))),
        None => Err(unknown_tenant(id)),
    }
}

/// The tenants that a command is about: one, or all that there ever were. A removed tenant's users
/// and runs stay.
async fn tenants_ever(store: &Store, only: Option<&TenantId>) -> anyhow::Result<Vec<TenantRecord>> {
    match only {
        None => Ok(store.tenants().await?),
        Some(id) => match store.tenant(id).await? {
            Some(tenant) => Ok(vec![tenant]),
            None => Err(unknown_tenant(id)),
        },
    }
}

/// Who uses this machine: for the store, and never for a log.
fn operator() -> String {
    let names = ["USER", "LOGNAME", "USERNAME"].into_iter();
    let mut set = names.filter_map(|name| std::env::var(name).ok());
    set.find(|name| !name.is_empty())
        .unwrap_or_else(|| "somebody on this machine".to_owned())
}

/// The longest that a service provider is waited for, in milliseconds: a first telling of some ten thousand users.
const TELLING_MS_MAX: u64 = 1_800_000;
/// The pause between two looks whether it has been told.
const TELLING_LOOK_MS: u64 = 60;

/// Waits until the service providers of these tenants have been told, where the functions are driven here; whoever
/// could not be told is named.
async fn see_told(stack: &Stack, tenants: &BTreeSet<TenantId>) -> anyhow::Result<()> {
    if stack.is_deployed() {
        return Ok(());
    }
    let (store, ambient) = (stack.store(), stack.ambient());
    for tenant in tenants {
        let record = store.tenant(tenant).await?;
        let tells = record.is_some_and(|it| it.settings.scim.is_some() && !it.removed);
        if !tells {
            continue;
        }
        let until_ms = ambient.now_ms() + TELLING_MS_MAX;
        while store.head(tenant).await?.is_to_be_told(ambient.now_ms()) {
            if ambient.now_ms() >= until_ms {
                break;
            }
            sleep(Duration::from_millis(TELLING_LOOK_MS)).await;
        }
        let told = store.scim(tenant).await?;
        let is_due = store.head(tenant).await?.scim_due_at_ms.is_some();
        if told.left > 0 || (is_due && told.failed_in_a_row > 0) {
            eprintln!(
                "warning: tenant {tenant}: its service provider was not told of everybody; see the log for \
                 scim_failed and scim_account_left; it is told again by the next `sync` and by `serve`"
            );
        }
    }
    Ok(())
}

/// Has a tenant's service provider told of what no run has changed, if it has one: by the next sweep.
async fn want_told(stack: &Stack, tenant: &TenantRecord) -> anyhow::Result<()> {
    if tenant.settings.scim.is_some() {
        let now_ms = stack.ambient().now_ms();
        stack.store().want_scim(&tenant.settings.id, now_ms).await?;
    }
    Ok(())
}

fn unknown_tenant(id: &TenantId) -> anyhow::Error {
    bad_input(format!(
        "there is no tenant {id}; `tenant list` shows those that there are, `tenant put` adds one"
    ))
}
