//! Where an invocation goes on that is not a run's first: behind what was committed before it.

use rollcall_core::batch::BatchState;
use rollcall_core::run::FailReason;
use rollcall_store::{BatchRecord, ChainEnd};

use super::Enumeration;
use crate::error::Stop;
use crate::fetch::Place;
use crate::keep::while_kept;

impl Enumeration<'_> {
    /// Reads back what was committed before: who was seen as changed, and where the chain goes on.
    pub(super) async fn resume(&mut self, earlier_pages: u32) -> Result<(), Stop> {
        let (store, run) = (&self.app.store, self.lease.run());
        let batches = while_kept(store, self.lease, store.batches(run, None)).await??;
        check_listed(&batches, &self.end, earlier_pages)?;
        let mut was_left = false;
        for batch in batches {
            let read = store.page(run, batch.generation, batch.page, &batch.digest);
            let page = while_kept(store, self.lease, read).await??;
            self.classifier.remember(batch.generation, &page);
            if batch.generation != self.end.generation {
                continue;
            }
            // A new generation was about to begin when the one before was interrupted.
            was_left |= batch.state == BatchState::Revoked;
            if let Some(link) = page.next.link() {
                self.links.insert(link.to_owned());
            }
            if batch.page + 1 < self.end.page {
                continue;
            }
            let Some(place) = Place::after(self.graph, &page.next)? else {
                let detail = format!("page {} is the last, and was not sealed", batch.page);
                return Err(Stop::Fail(FailReason::Incomplete, detail));
            };
            if batch.page == self.end.page {
                self.next = place;
            } else {
                self.before = place;
            }
        }
        if was_left {
            self.new_generation().await?;
        }
        Ok(())
    }
}

/// Everything that was committed is in the list: in the generation of `end` each page up to it, and of
/// the earlier ones as many pages as they had. Whoever goes on from a list that is cut off does not
/// know who was seen before.
fn check_listed(batches: &[BatchRecord], end: &ChainEnd, earlier_pages: u32) -> Result<(), Stop> {
    let (now, before): (Vec<_>, Vec<_>) = batches
        .iter()
        .partition(|batch| batch.generation == end.generation);
    let is_whole =
        now.len() == end.page as usize && (1..).zip(&now).all(|(page, batch)| batch.page == page);
    if is_whole && before.len() == earlier_pages as usize {
        return Ok(());
    }
    let detail = format!(
        "the list has {} batches of generation {} and {} of earlier ones; there should be {} and \
         {earlier_pages}",
        now.len(),
        end.generation,
        before.len(),
        end.page
    );
    Err(Stop::Fail(FailReason::Incomplete, detail))
}
