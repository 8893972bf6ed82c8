//! Turns: how many batches of a tenant are worked on at a time.
//!
//! A page's batch has its turn when that of the page so many before it is over. Whoever commits a page looks at that
//! batch, and whoever ends a batch looks at the page so many behind it, each after its own write; so one of the two
//! sees the other's and rings, and what is lost all the same the sweeper finds. Turns decide when somebody is woken and
//! nothing else: a batch that is worked on before its turn is worked on as well as any.

use rollcall_core::batch::{BatchState, turn_after};
use rollcall_core::ids::RunRef;
use rollcall_store::BatchRecord;

use crate::app::App;
use crate::error::HandlerError;

impl App {
    /// Rings for a page that was committed, if it has its turn: else whoever ends the batch before it in its turn rings.
    pub(crate) async fn ring_in_turn(
        &self,
        run: &RunRef,
        generation: u32,
        page: u32,
        at_once: u32,
    ) -> Result<(), HandlerError> {
        if let Some(before) = turn_after(page, at_once) {
            let waits = |batch: BatchRecord| batch.state.is_open();
            if self.looks(run, generation, before, waits).await == Some(true) {
                return Ok(());
            }
        }
        self.doorbell.batch(run, generation, page).await
    }

    /// A batch is over: rings for the one that has its turn now, if it waits for it.
    pub(crate) async fn ring_next(
        &self,
        run: &RunRef,
        over: &BatchRecord,
    ) -> Result<(), HandlerError> {
        let Some(next) = over.next_turn() else {
            return Ok(());
        };
        let generation = over.generation;
        let waits = |batch: BatchRecord| batch.state == BatchState::Pending;
        match self.looks(run, generation, next, waits).await {
            Some(false) => Ok(()),
            Some(true) | None => self.doorbell.batch(run, generation, next).await,
        }
    }

    /// What a batch says; `false` if there is none. `None` if it cannot be read, and then it is rung for: a run must not
    /// end, nor a batch wait, because of a look.
    async fn looks(
        &self,
        run: &RunRef,
        generation: u32,
        page: u32,
        says: impl FnOnce(BatchRecord) -> bool,
    ) -> Option<bool> {
        let batch = self.store.batch(run, generation, page).await.ok()?;
        Some(batch.is_some_and(says))
    }
}
