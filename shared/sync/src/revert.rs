//! Taking a run back: as fast as a person wants it, and no faster than the directory's other users bear.
//! (Slack's of 2018 overloaded its own servers.)

use std::time::Duration;

use rollcall_core::ids::RunRef;
use rollcall_store::{BegunRevert, RevertLease, RevertRecord, StoreError};
use tokio::time::sleep;
use tracing::info;

use crate::app::App;
use crate::error::HandlerError;

/// How many users a second are taken back at most. Each is some four write units, so this is about half
/// of what a new on-demand table takes without warming up.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html>
const REVERTED_PER_SECOND_MAX: u64 = 500;

impl App {
    /// Begins to take a run's changes back, or goes on with it. `by` is who asked for it: it is kept in
    /// the journal, and is in no log.
    ///
    /// # Errors
    /// [`HandlerError`] when the store or the queue does not answer; a revert that was begun, and not
    /// rung for, is found by the sweeper.
    pub async fn revert(&self, run: &RunRef, by: &str) -> Result<BegunRevert, HandlerError> {
        let begun = self.store.begin_revert(run, by).await?;
        if begun == BegunRevert::UnderWay {
            info!(event = "revert_begun", tenant = %run.tenant, run = run.run);
            self.doorbell.revert(run).await?;
        }
        Ok(begun)
    }

    /// Takes back until the journal's end, or until time is up.
    pub(crate) async fn go_on_reverting(
        &self,
        run: &RunRef,
        stop_at_ms: u64,
    ) -> Result<(), HandlerError> {
        let owner = self.ambient.random_uuid();
        let Some((lease, record)) = self.store.acquire_revert(run, &owner).await? else {
            return Ok(());
        };
        let from = lease.taken_from();
        info!(event = "revert_leased", tenant = %run.tenant, run = run.run, token = lease.token(),
            owner, from_token = from.map(|it| it.token),
            from_owner = from.map(|it| it.owner.as_str()));
        match self.revert_under(&lease, &record, stop_at_ms).await {
            Ok(true) => {
                info!(event = "revert_ended", tenant = %run.tenant, run = run.run,
                    token = lease.token());
                self.ring_told(&run.tenant).await
            }
            Ok(false) => {
                match self.store.release_revert(&lease).await {
                    Ok(()) | Err(StoreError::LostLease) => {}
                    Err(error) => return Err(error.into()),
                }
                // Only now: whoever meets this lease goes away.
                self.doorbell.revert(run).await
            }
            Err(StoreError::LostLease) => {
                info!(event = "revert_lease_lost", tenant = %run.tenant, run = run.run,
                    token = lease.token());
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// `true` at the end of the journal.
    async fn revert_under(
        &self,
        lease: &RevertLease,
        record: &RevertRecord,
        stop_at_ms: u64,
    ) -> Result<bool, StoreError> {
        let run = &record.run;
        let mut place = record.place.clone();
        // The journal bounds the steps: each goes on behind the one before.
        while !place.is_end() {
            if self.ambient.now_ms() >= stop_at_ms {
                return Ok(false);
            }
            let (next, restored) = self.store.revert_step(lease, &place, &record.by).await?;
            if restored > 0 {
                info!(event = "users_restored", tenant = %run.tenant, run = run.run,
                    token = lease.token(), users = restored);
            }
            place = next;
            let pause_ms = restored as u64 * 1_000 / REVERTED_PER_SECOND_MAX;
            sleep(Duration::from_millis(pause_ms)).await;
        }
        self.store.end_revert(lease).await?;
        Ok(true)
    }
}
