//! `sync`: starts runs, drives them, and sees them to their end.

use std::collections::BTreeSet;
use std::sync::Arc;

use rollcall_aws::Aws;
use rollcall_core::ids::{RunRef, TenantId};
use rollcall_store::{Store, TenantRecord};
use rollcall_sync::{Secrets, graph_client};

use super::{see_told, tenant};
use crate::args::SyncOptions;
use crate::engine::Engine;
use crate::exit::{Exit, bad_input};
use crate::local::{Place, Stack};
use crate::output::Output;
use crate::output::run::{RunView, runs_table};
use crate::progress::Progress;
use crate::watch::Watch;

pub(crate) async fn run(
    options: SyncOptions,
    place: &Place,
    output: &Output,
    quiet: bool,
) -> anyhow::Result<Exit> {
    let stack = place.open().await?;
    let secrets = Secrets::Process(Arc::new(Aws::new()));
    let mut exit = Exit::Done;
    let mut ids = Vec::new();
    for tenant in chosen(stack.store(), options.tenants).await? {
        // A setting that cannot work, or a secret that is not there, is found before a run starts,
        // and keeps no other tenant from being synced. The functions of a deployed stack have an
        // environment of their own.
        let is_driven_here = options.dry_run || !stack.is_deployed();
        match graph_client(&tenant.settings, &secrets, stack.ambient()) {
            Err(error) if is_driven_here => {
                eprintln!("error: tenant {}: {error}", tenant.settings.id);
                exit = Exit::BadInput;
            }
            _ => ids.push(tenant.settings.id),
        }
    }
    if ids.is_empty() {
        stack.close().await;
        return Ok(exit);
    }
    let mut progress = Progress::new(quiet);
    if options.dry_run {
        let progress = &mut progress;
        let end =
            super::dry_run::run(&stack, secrets, options.mode, &ids, progress, output).await?;
        stack.close().await;
        return Ok(exit.max(end));
    }
    let engine = Engine::start(&stack, secrets).await?;
    let started = engine.sync(options.mode, &ids).await?;
    for not_started in &started.failed {
        eprintln!(
            "error: tenant {}: no run was started: {}",
            not_started.tenant, not_started.error
        );
        exit = exit.max(Exit::Unexpected);
    }
    for joined in started.runs.iter().filter(|started| started.joined) {
        progress.note(&format!("{}: was active already; joined", joined.run));
    }
    let runs: Vec<_> = started
        .runs
        .into_iter()
        .map(|started| started.run)
        .collect();
    let end = see_to_their_ends(&stack, &runs, &mut progress, output).await?;
    engine.stop().await;
    stack.close().await;
    Ok(exit.max(end))
}

/// The tenants that were asked for, or all.
async fn chosen(store: &Store, only: Vec<TenantId>) -> anyhow::Result<Vec<TenantRecord>> {
    let mut tenants = Vec::new();
    if only.is_empty() {
        tenants = store.tenants().await?;
        tenants.retain(|tenant| !tenant.removed);
        if tenants.is_empty() {
            return Err(bad_input(
                "there is no tenant to sync; add one with `tenant put FILE`",
            ));
        }
    }
    for id in BTreeSet::from_iter(only) {
        tenants.push(tenant(store, &id).await?);
    }
    Ok(tenants)
}

/// Watches the runs and prints each at its end, and waits until their service providers have been told. Gives the
/// worst of the ends.
pub(super) async fn see_to_their_ends(
    stack: &Stack,
    runs: &[RunRef],
    progress: &mut Progress,
    output: &Output,
) -> anyhow::Result<Exit> {
    let store = stack.store();
    let mut watch = Watch::new(store, stack.ambient(), runs);
    let mut exit = Exit::Done;
    let mut views = Vec::with_capacity(runs.len());
    while let Some(record) = watch.next_ended(progress).await? {
        exit = exit.max(Exit::of_run(record.state));
        let view = RunView::load(store, &record).await?;
        if output.is_json() {
            output.object(&view)?;
        }
        if let Some(detail) = &record.detail {
            eprintln!("{}: {detail}", record.run);
        }
        views.push(view);
    }
    if !output.is_json() {
        output.text(runs_table(&views))?;
        for trouble in views.iter().filter_map(RunView::trouble) {
            output.text(trouble)?;
        }
    }
    let tenants: BTreeSet<_> = runs.iter().map(|run| run.tenant.clone()).collect();
    see_told(stack, &tenants).await?;
    Ok(exit)
}
