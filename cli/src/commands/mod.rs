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

use rollcall_core::ids::TenantId;
use rollcall_store::{Store, TenantRecord};

use crate::exit::bad_input;

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

fn unknown_tenant(id: &TenantId) -> anyhow::Error {
    bad_input(format!(
        "there is no tenant {id}; `tenant list` shows those that there are, `tenant put` adds one"
    ))
}
