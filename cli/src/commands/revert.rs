//! `revert`: takes a run's changes back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use rollcall_ambient::Ambient;
use rollcall_aws::Aws;
use rollcall_core::ids::RunRef;
use rollcall_store::{BegunRevert, RevertRecord, Store, Survey};
use rollcall_sync::Secrets;
use tokio::time::sleep;

use super::{operator, see_told};
use crate::engine::Engine;
use crate::exit::{Exit, bad_input};
use crate::local::Place;
use crate::output::Output;
use crate::output::revert::RevertView;

/// The pause between two looks at the revert.
const POLL_MS: u64 = 60;
/// How long a revert that gets no further is waited for, in milliseconds: ten of its leases.
const STUCK_MS_MAX: u64 = 600_000;
/// The pause between two lines about how far it is.
const LINE_MS: u64 = 5_000;

pub(crate) async fn run(
    run: &RunRef,
    dry_run: bool,
    place: &Place,
    output: &Output,
    quiet: bool,
) -> anyhow::Result<Exit> {
    let stack = place.open().await?;
    let store = stack.store();
    let view = if dry_run {
        match store.survey_revert(run).await? {
            Survey::Found { restored, left } => RevertView::of_dry_run(run, restored, left),
            other => return Err(refused(run, &other)),
        }
    } else {
        let engine = Engine::start(&stack, Secrets::Process(Arc::new(Aws::new()))).await?;
        let reverted = match engine.revert(run, &operator()).await? {
            BegunRevert::UnderWay => see_to_its_end(store, stack.ambient(), run, quiet).await,
            BegunRevert::Done => Err(bad_input(format!(
                "run {run} was taken back before; whoever changed since was left alone"
            ))),
            BegunRevert::Other(other) => Err(bad_input(format!(
                "run {}/{other} is being taken back; `revert {}/{other}` sees it to its end",
                run.tenant, run.tenant
            ))),
            BegunRevert::Refused(survey) => Err(refused(run, &survey)),
        };
        if reverted.is_ok() {
            see_told(&stack, &BTreeSet::from([run.tenant.clone()])).await?;
        }
        engine.stop().await;
        let left = store.left_by_revert(run).await?;
        RevertView::of(&reverted?, left)
    };
    if output.is_json() {
        output.object(&view)?;
    } else {
        output.text(view.text())?;
    }
    stack.close().await;
    Ok(Exit::Done)
}

async fn see_to_its_end(
    store: &Store,
    ambient: &Ambient,
    run: &RunRef,
    quiet: bool,
) -> anyhow::Result<RevertRecord> {
    let (mut place, mut moved_ms, mut told_ms) = (None, ambient.now_ms(), ambient.now_ms());
    loop {
        let Some(record) = store.revert(run).await? else {
            bail!("the revert of run {run} is not there any more");
        };
        if record.ended_at_ms.is_some() {
            return Ok(record);
        }
        let now_ms = ambient.now_ms();
        if !quiet && now_ms >= told_ms + LINE_MS {
            told_ms = now_ms;
            eprintln!("{run}: {} users are as before", record.restored);
        }
        if place.as_ref() != Some(&record.place) {
            (place, moved_ms) = (Some(record.place), now_ms);
        } else if now_ms >= moved_ms + STUCK_MS_MAX {
            bail!("the revert of run {run} gets no further; the same command goes on with it");
        }
        sleep(Duration::from_millis(POLL_MS)).await;
    }
}

fn refused(run: &RunRef, survey: &Survey) -> anyhow::Error {
    bad_input(match survey {
        Survey::Unknown | Survey::Found { .. } => {
            format!("there is no run {run}; `run list` shows those that there are")
        }
        Survey::Active(state) => format!(
            "run {run} is {} and still its tenant's active run; see it to its end with `sync --tenant {}` \
             first",
            state.shown_name(),
            run.tenant
        ),
        Survey::Waits => format!(
            "run {run} is HELD: its plan waits for a person, and could still be approved; reject it first, \
             with `hold reject {run}`"
        ),
        Survey::NotWhole => format!(
            "the journal of run {run} is no longer whole: what its users were before has expired, so \
             it cannot be taken back; `user activate` and `user deactivate` decide about one user"
        ),
    })
}
