//! `hold list|approve|reject`: the plans that wait for a person.

use std::sync::Arc;

use rollcall_aws::Aws;
use rollcall_core::ids::{RunRef, TenantId};
use rollcall_core::run::RunState;
use rollcall_store::{Ruled, Store};
use rollcall_sync::{Secrets, graph_client};

use super::sync::see_to_their_ends;
use super::{operator, tenants_ever};
use crate::args::HoldCommand;
use crate::engine::Engine;
use crate::exit::{Exit, bad_input};
use crate::local::{Place, Stack};
use crate::output::Output;
use crate::output::hold::holds;
use crate::output::run::{RunView, runs_table};
use crate::progress::Progress;

pub(crate) async fn run(
    command: HoldCommand,
    place: &Place,
    output: &Output,
    quiet: bool,
) -> anyhow::Result<Exit> {
    let stack = place.open().await?;
    let exit = match command {
        HoldCommand::List { tenant } => list(stack.store(), tenant.as_ref(), output).await?,
        HoldCommand::Approve { run, plan } => approve(&stack, &run, &plan, output, quiet).await?,
        HoldCommand::Reject { run } => reject(stack.store(), &run, output).await?,
    };
    stack.close().await;
    Ok(exit)
}

async fn list(store: &Store, only: Option<&TenantId>, output: &Output) -> anyhow::Result<Exit> {
    let mut views = Vec::new();
    for tenant in tenants_ever(store, only).await? {
        for run in store.held_runs(&tenant.settings.id).await? {
            views.push(RunView::load(store, &run).await?);
        }
    }
    if output.is_json() {
        output.objects(&views)?;
    } else {
        output.text(holds(&views))?;
    }
    Ok(Exit::Done)
}

/// Releases the plan, and sees its run to the end.
async fn approve(
    stack: &Stack,
    run: &RunRef,
    plan: &str,
    output: &Output,
    quiet: bool,
) -> anyhow::Result<Exit> {
    let store = stack.store();
    let tenant = super::tenant(store, &run.tenant).await?;
    let secrets = Secrets::Process(Arc::new(Aws::new()));
    // The evidence is taken anew: what is not there for that is found before anything is approved.
    if !stack.is_deployed() {
        graph_client(&tenant.settings, &secrets, stack.ambient())
            .map_err(|error| bad_input(format!("tenant {}: {error}", run.tenant)))?;
    }
    let engine = Engine::start(stack, secrets).await?;
    let ruled = engine.approve(run, plan, &operator()).await?;
    let exit = match refused(run, ruled) {
        Some(why) => Err(bad_input(why)),
        None => {
            let mut progress = Progress::new(quiet);
            see_to_their_ends(stack, std::slice::from_ref(run), &mut progress, output).await
        }
    };
    engine.stop().await;
    exit
}

async fn reject(store: &Store, run: &RunRef, output: &Output) -> anyhow::Result<Exit> {
    let ruled = rollcall_sync::reject(store, run, &operator()).await?;
    if let Some(why) = refused(run, ruled) {
        return Err(bad_input(why));
    }
    let record = store.run(run).await?;
    let record = record.ok_or_else(|| anyhow::anyhow!("run {run} is not there any more"))?;
    let view = RunView::load(store, &record).await?;
    if output.is_json() {
        output.object(&view)?;
    } else {
        output.text(runs_table([&view]))?;
        output.text(format!(
            "The plan of {run} is dropped: nobody was switched off. What the run updated stands, and \
             the next full run looks again."
        ))?;
    }
    Ok(Exit::Done)
}

/// Why a decision was not taken, with what to do; `None` if it was.
fn refused(run: &RunRef, ruled: Ruled) -> Option<String> {
    let tenant = &run.tenant;
    Some(match ruled {
        Ruled::Done => return None,
        Ruled::Unknown => {
            format!("there is no run {run}; `hold list` shows those that wait for a person")
        }
        Ruled::NotHeld(state) => format!(
            "run {run} is {}, not HELD{}; `hold list` shows those that wait for a person",
            state.shown_name(),
            match state {
                RunState::Superseded =>
                    ": a later full run made a plan of its own, or nobody decided in time",
                RunState::Finalizing | RunState::Applying =>
                    ": if its plan has just been approved, `sync --tenant` sees it to its end",
                _ => "",
            }
        ),
        Ruled::OtherPlan(waiting) => format!(
            "the plan of run {run} that waits is {waiting}, not the one that was given: look at it \
             with `run show {run}`, and approve it by its whole hash"
        ),
        Ruled::RunActive(active) => format!(
            "run {tenant}/{active} is active; wait for its end (`sync --tenant {tenant}` joins it) and \
             look again: a full run that makes a plan of its own takes the place of this one"
        ),
        Ruled::SettingsChanged => format!(
            "the settings of tenant {tenant} are not those that the plan was made by; reject it, and \
             `sync --tenant {tenant}` makes a new one"
        ),
    })
}
