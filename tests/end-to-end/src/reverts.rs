//! A run that is taken back, seen to its end.

use std::time::Duration;

use rollcall_core::ids::RunRef;
use rollcall_store::{BegunRevert, RevertRecord};

use crate::{Problem, World};

/// How long a test waits for the end of a revert, and how often it looks.
const REVERT_MS_MAX: u64 = 180_000;
const LOOK_MS: u64 = 50;

impl World {
    /// Takes a run back, with the handlers driven by their queues.
    ///
    /// # Errors
    /// Whatever goes wrong, or a revert that does not end.
    pub async fn take_back(&self, run: &RunRef) -> Result<(BegunRevert, RevertRecord), Problem> {
        let triggers = self.drive().await?;
        let begun = self.app.revert(run, "ada").await?;
        let ended = self.reverted(run).await;
        triggers.stop().await;
        self.recorder.check()?;
        Ok((begun, ended?))
    }

    async fn reverted(&self, run: &RunRef) -> Result<RevertRecord, Problem> {
        for _ in 0..REVERT_MS_MAX / LOOK_MS {
            let revert = self.store.revert(run).await?.ok_or("no such revert")?;
            if revert.ended_at_ms.is_some() {
                return Ok(revert);
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
        Err(format!("the revert of {run} did not end").into())
    }
}
