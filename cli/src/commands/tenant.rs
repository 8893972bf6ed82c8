//! `tenant put|list|show|check|remove`

use std::path::Path;

use rollcall_core::ids::TenantId;
use rollcall_core::settings::TenantSettings;
use rollcall_store::{PutTenant, Store};

use super::{check, tenant, want_told};
use crate::args::TenantCommand;
use crate::exit::{Exit, bad_input};
use crate::local::Place;
use crate::output::Output;
use crate::output::tenant::{TenantChange, TenantView, settings_table, tenants_table};
use crate::tenant_file;

pub(crate) async fn run(
    command: TenantCommand,
    place: &Place,
    output: &Output,
) -> anyhow::Result<Exit> {
    match command {
        TenantCommand::Put { file } => put(&file, place, output).await,
        other => {
            let stack = place.open().await?;
            let store = stack.store();
            let exit = match other {
                TenantCommand::Put { .. } | TenantCommand::List => list(store, output).await?,
                TenantCommand::Show { tenant } => show(store, &tenant, output).await?,
                TenantCommand::Check { tenant } => {
                    check::run(store, stack.ambient(), &tenant, output).await?
                }
                TenantCommand::Remove { tenant } => remove(store, &tenant, output).await?,
            };
            stack.close().await;
            Ok(exit)
        }
    }
}

async fn put(file: &Path, place: &Place, output: &Output) -> anyhow::Result<Exit> {
    // Before anything is opened: a wrong file leaves no trace.
    let tenants = tenant_file::read(file)?;
    let stack = place.open().await?;
    let store = stack.store();
    for settings in &tenants {
        refuse_another_directory(store, settings).await?;
    }
    for settings in &tenants {
        let result = match store.put_tenant(settings).await? {
            PutTenant::Added => "added",
            PutTenant::Changed => "changed",
            PutTenant::Same => "same",
        };
        let stored = tenant(store, &settings.id).await?;
        // Also if nothing changed: perhaps its token did.
        want_told(&stack, &stored).await?;
        tell(output, settings.id.clone(), result, stored.revision)?;
    }
    stack.close().await;
    Ok(Exit::Done)
}

/// All tenants are looked at before the first is stored, so that a file is stored whole or not at
/// all. The store itself refuses as well.
async fn refuse_another_directory(store: &Store, settings: &TenantSettings) -> anyhow::Result<()> {
    let before = store.tenant(&settings.id).await?;
    match before.map(|before| before.settings.directory_id) {
        Some(directory) if directory != settings.directory_id => Err(bad_input(format!(
            "tenant {}: directory_id is {directory} and cannot become {}: everybody would count as \
             gone; put the other directory under another id",
            settings.id, settings.directory_id
        ))),
        _ => Ok(()),
    }
}

fn tell(
    output: &Output,
    tenant: TenantId,
    result: &'static str,
    revision: u64,
) -> anyhow::Result<()> {
    if output.is_json() {
        output.object(&TenantChange {
            tenant,
            result,
            revision,
        })
    } else {
        output.text(format_args!("{tenant}: {result}, revision {revision}"))
    }
}

async fn list(store: &Store, output: &Output) -> anyhow::Result<Exit> {
    let mut tenants = Vec::new();
    for tenant in store.tenants().await? {
        if !tenant.removed {
            let head = store.head(&tenant.settings.id).await?;
            tenants.push((tenant, head));
        }
    }
    if output.is_json() {
        output.objects(tenants.iter().map(|(tenant, _)| TenantView::of(tenant)))?;
    } else {
        output.text(tenants_table(&tenants))?;
    }
    Ok(Exit::Done)
}

async fn show(store: &Store, id: &TenantId, output: &Output) -> anyhow::Result<Exit> {
    let tenant = tenant(store, id).await?;
    if output.is_json() {
        output.object(&TenantView::of(&tenant))?;
    } else {
        output.text(settings_table(&tenant))?;
    }
    Ok(Exit::Done)
}

async fn remove(store: &Store, id: &TenantId, output: &Output) -> anyhow::Result<Exit> {
    let before = tenant(store, id).await?;
    store.remove_tenant(id).await?;
    tell(output, id.clone(), "removed", before.revision + 1)?;
    Ok(Exit::Done)
}
