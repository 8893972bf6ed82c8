//! Sees runs to their end. It only reads: the run goes on without it.

use std::time::Duration;

use anyhow::bail;
use rollcall_ambient::Ambient;
use rollcall_core::batch::BatchState;
use rollcall_core::ids::RunRef;
use rollcall_core::run::RunState;
use rollcall_store::{RunRecord, Store};
use tokio::time::{Instant, sleep};

use crate::progress::{BatchesDone, Far, Progress};

/// The pause between two looks at the runs.
const POLL_MS: u64 = 60;
/// The pause between two counts of a run's batches, which cost more to read.
const COUNT_MS: u64 = 500;
/// How long after its deadline a run is still waited for. By then it has FAILED, or is carrying out
/// its plan, which is a matter of minutes even for a large one.
const OVERDUE_MS_MAX: u64 = 60 * 60 * 1_000;

/// Runs that are watched.
pub(crate) struct Watch<'a> {
    store: &'a Store,
    ambient: &'a Ambient,
    open: Vec<Watched>,
}

impl<'a> Watch<'a> {
    /// Over these runs.
    pub(crate) fn new(store: &'a Store, ambient: &'a Ambient, runs: &[RunRef]) -> Self {
        Self {
            store,
            ambient,
            open: runs.iter().cloned().map(Watched::new).collect(),
        }
    }

    /// Waits until one of the runs has ended and its tenant is free for the next; `None` when all
    /// have.
    ///
    /// # Errors
    /// What the store gives, and a run that has not ended an hour after its deadline.
    pub(crate) async fn next_ended(
        &mut self,
        progress: &mut Progress,
    ) -> anyhow::Result<Option<RunRecord>> {
        while !self.open.is_empty() {
            if let Some(record) = self.ended(progress).await? {
                return Ok(Some(record));
            }
            sleep(Duration::from_millis(POLL_MS)).await;
        }
        Ok(None)
    }

    /// Watches one more.
    pub(crate) fn add(&mut self, run: RunRef) {
        self.open.push(Watched::new(run));
    }

    /// One of the runs that have ended by now; `None` when none has.
    ///
    /// # Errors
    /// As [`Watch::next_ended`]. The run that it is about is not watched any more.
    pub(crate) async fn ended(
        &mut self,
        progress: &mut Progress,
    ) -> anyhow::Result<Option<RunRecord>> {
        for index in 0..self.open.len() {
            let looked = self.look(index, progress).await;
            if matches!(looked, Ok(None)) {
                continue;
            }
            let watched = self.open.swap_remove(index);
            progress.ended(&watched.run);
            return looked;
        }
        Ok(None)
    }

    async fn look(
        &mut self,
        index: usize,
        progress: &mut Progress,
    ) -> anyhow::Result<Option<RunRecord>> {
        let watched = &mut self.open[index];
        let run = watched.run.clone();
        let Some(record) = self.store.run(&run).await? else {
            bail!("run {run} is not there any more");
        };
        if record.state.has_ended() && is_released(self.store, &run).await? {
            return Ok(Some(record));
        }
        if self.ambient.now_ms() > record.deadline_at_ms + OVERDUE_MS_MAX {
            let state = record.state.shown_name();
            bail!("run {run} is {state} long after its deadline; look at it with `run show {run}`");
        }
        watched.count_batches(self.store, &record, progress).await?;
        watched.expect_users(self.store, progress).await?;
        progress.update(&record, watched.far);
        Ok(None)
    }
}

/// Whether the next run of the tenant may start: a run that failed first revokes what is open.
async fn is_released(store: &Store, run: &RunRef) -> anyhow::Result<bool> {
    let head = store.head(&run.tenant).await?;
    Ok(head.active_run != Some(run.run))
}

struct Watched {
    run: RunRef,
    far: Far,
    counted_at: Option<Instant>,
    /// Whether it is known how many users are to come.
    is_expected: bool,
}

impl Watched {
    fn new(run: RunRef) -> Self {
        Self {
            run,
            far: Far::default(),
            counted_at: None,
            is_expected: false,
        }
    }

    async fn count_batches(
        &mut self,
        store: &Store,
        record: &RunRecord,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let pause = Duration::from_millis(COUNT_MS);
        let is_due = self.counted_at.is_none_or(|at| at.elapsed() >= pause);
        let has_open_batches = matches!(record.state, RunState::Enumerating | RunState::Draining);
        if is_due && has_open_batches && progress.is_shown() {
            let batches = store.batches(&self.run, Some(record.generation)).await?;
            let done = batches.iter().filter(|b| b.state == BatchState::Done);
            self.far.batches = BatchesDone {
                done: done.count() as u64,
                of: batches.len() as u64,
            };
            self.counted_at = Some(Instant::now());
        }
        Ok(())
    }

    /// Once: what the last full run saw does not change while this one is active.
    async fn expect_users(&mut self, store: &Store, progress: &Progress) -> anyhow::Result<()> {
        if !self.is_expected && progress.is_shown() {
            self.far.expected = store.head(&self.run.tenant).await?.last_full_seen;
            self.is_expected = true;
        }
        Ok(())
    }
}
