//! `serve`: the local stack with its schedules, until somebody stops it; and a page that shows it.
//!
//! It promises: nothing is started that a schedule on AWS would not start; the page is served on the
//! loopback address alone, to whoever asks for it by that address, and changes nothing; a stop leaves
//! nothing behind that the next `serve` or `sync` does not pick up.
//!
//! It never prints a name: runs are told by their numbers, and their pages have object ids.

mod calendar;
mod page;
mod site;
mod tenants;

use std::sync::Arc;

use rollcall_aws::Aws;
use rollcall_core::ids::RunRef;
use rollcall_store::{RunRecord, Store};
use rollcall_sync::Secrets;
use tokio::time::{Duration, sleep};

use crate::args::ServeOptions;
use crate::engine::Engine;
use crate::exit::{Exit, bad_input};
use crate::local::{Place, Stack};
use crate::output::Output;
use crate::output::run::RunView;
use crate::output::table::grouped;
use crate::output::time;
use crate::progress::Progress;
use crate::watch::Watch;
use calendar::calendar;
use site::Site;
use tenants::NewRuns;

/// The pause between two looks for runs that have begun or ended, in milliseconds.
const LOOK_MS: u64 = 500;

/// Serves until it is told to stop.
pub(crate) async fn run(
    options: &ServeOptions,
    place: &Place,
    output: &Output,
    quiet: bool,
) -> anyhow::Result<Exit> {
    if place.is_deployed() {
        return Err(bad_input(
            "serve is for this machine: a deployed stack has its schedules on AWS; leave out --stack, and \
             unset ROLLCALL_STACK",
        ));
    }
    let stack = place.open().await?;
    if stack.store().tenants().await?.iter().all(|it| it.removed) {
        return Err(bad_input(
            "there is no tenant to sync; add one with `tenant put FILE` first: while the stack is \
             served, no other command has its data",
        ));
    }
    let site = Site::open(options.port, stack.store(), stack.ambient()).await?;
    let schedules = calendar(options, stack.ambient().now_ms());
    let secrets = Secrets::Process(Arc::new(Aws::new()));
    let engine = Engine::start_on(&stack, secrets, schedules).await?;
    let mut progress = Progress::new(quiet);
    progress.note(&format!(
        "The stack is served, and shown at {}; stop it with Ctrl-C.",
        site.address()
    ));
    let served = tokio::select! {
        served = tell(&stack, output, &mut progress) => served,
        stopped = stopped() => stopped,
    };
    progress.note("Stopping: calls under way may end, within ten seconds.");
    tokio::select! {
        () = engine.stop() => {}
        again = stopped() => again?,
    }
    site.close().await;
    stack.close().await;
    served.map(|()| Exit::Done)
}

/// Until the process is asked to stop: by Ctrl-C, or as a service manager does.
async fn stopped() -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => pressed?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}

/// Tells of each run at its end, for as long as nobody stops it.
async fn tell(stack: &Stack, output: &Output, progress: &mut Progress) -> anyhow::Result<()> {
    let store = stack.store();
    let mut watch = Watch::new(store, stack.ambient(), &[]);
    let mut begun = NewRuns::since_now(store).await?;
    loop {
        for run in begun.look(store).await? {
            watch.add(run);
        }
        loop {
            match watch.ended(progress).await {
                Ok(Some(record)) => told(store, &record, output).await?,
                Ok(None) => break,
                // One run that does not end is not the end of the others.
                Err(error) => eprintln!("error: {error:#}"),
            }
        }
        sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

async fn told(store: &Store, record: &RunRecord, output: &Output) -> anyhow::Result<()> {
    let view = RunView::load(store, record).await?;
    if let Some(detail) = &record.detail {
        eprintln!("{}: {detail}", record.run);
    }
    if output.is_json() {
        return output.object(&view);
    }
    output.text(on_a_line(&view))?;
    match view.trouble() {
        Some(trouble) => output.text(trouble),
        None => Ok(()),
    }
}

/// How a run ended, on one line.
fn on_a_line(view: &RunView) -> String {
    format!(
        "{}  {} {}: {} users seen, {} created, {} updated, {} switched on again, {} switched off",
        view.ended_at.map_or_else(|| "–".to_owned(), time::short),
        view.name(),
        view.state,
        grouped(view.users_seen),
        grouped(view.created),
        grouped(view.updated),
        grouped(view.reactivated),
        grouped(view.deactivated),
    )
}

/// A run by its number.
fn run_ref(tenant: &rollcall_core::ids::TenantId, run: u64) -> RunRef {
    RunRef {
        tenant: tenant.clone(),
        run,
    }
}
