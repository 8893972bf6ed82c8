//! `run list|show|report`

use rollcall_core::ids::{RunRef, TenantId};
use rollcall_store::{RunRecord, Store};

use super::report::report;
use super::tenants_ever;
use crate::args::RunCommand;
use crate::exit::{Exit, bad_input};
use crate::local::Place;
use crate::output::Output;
use crate::output::details::RunDetails;
use crate::output::run::{RunView, runs_table};

pub(crate) async fn run(
    command: RunCommand,
    place: &Place,
    output: &Output,
) -> anyhow::Result<Exit> {
    let stack = place.open().await?;
    match command {
        RunCommand::List { tenant } => list(stack.store(), tenant.as_ref(), output).await?,
        RunCommand::Show { run } => show(stack.store(), &run, output).await?,
        RunCommand::Report(options) => report(&stack, &options, output).await?,
    }
    stack.close().await;
    Ok(Exit::Done)
}

async fn list(store: &Store, only: Option<&TenantId>, output: &Output) -> anyhow::Result<()> {
    let mut views = Vec::new();
    for tenant in tenants_ever(store, only).await? {
        for run in store.runs(&tenant.settings.id).await? {
            views.push(RunView::load(store, &run).await?);
        }
    }
    if output.is_json() {
        output.objects(&views)
    } else {
        output.text(runs_table(&views))
    }
}

async fn show(store: &Store, run: &RunRef, output: &Output) -> anyhow::Result<()> {
    let record = record(store, run).await?;
    let batches = store.batches(run, None).await?;
    // Of an approved plan, what is carried out.
    let plan = match store.released(run).await? {
        None => store.plan(run).await?,
        released => released,
    };
    let plan = plan.map(|stored| stored.plan);
    let details = RunDetails::of(&record, &batches, plan.as_ref());
    if output.is_json() {
        output.object(&details)
    } else {
        output.text(details.tables())
    }
}

/// A run that there is.
///
/// # Errors
/// Bad input, when there is none of that name.
pub(super) async fn record(store: &Store, run: &RunRef) -> anyhow::Result<RunRecord> {
    store.run(run).await?.ok_or_else(|| {
        bad_input(format!(
            "there is no run {run}; `run list` shows those that there are"
        ))
    })
}
