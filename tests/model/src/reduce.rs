//! What a state can forget: two that differ only in it are one.

use crate::people::Who;
use crate::state::{BatchAt, GENERATIONS_MAX, Lease, PAGES, RUNS, Role, Run, State};

impl State {
    /// The same state without what nothing can come of any more: the order of invocations, the
    /// items of a run that has ended and that nobody works for, all but a plan that waits, and the lease
    /// of a batch that is closed.
    pub(crate) fn reduce(&mut self) {
        self.invocations.sort_unstable();
        for number in (1u8..).take(RUNS) {
            let under_way = self.invocations;
            let (takes_back, of_run): (Vec<_>, Vec<_>) = under_way
                .into_iter()
                .flatten()
                .filter(|i| i.run == number)
                .partition(|i| i.role == Role::Reverter);
            self.reduce_revert(number, takes_back.is_empty());
            let is_active = self.head.active_run == Some(number);
            let is_held = self.head.held_run == Some(number);
            let Some(run) = self.run_mut(number) else {
                continue;
            };
            for batch_at in (1..=GENERATIONS_MAX)
                .flat_map(|generation| (1..=PAGES).map(move |page| BatchAt { generation, page }))
            {
                if let Some(batch) = run.slot(batch_at)
                    && !batch.state.is_open()
                    && of_run.iter().all(|i| i.batch() != Some(batch_at))
                {
                    batch.lease = Lease::default();
                }
            }
            if run.state.has_ended() && !is_active && !run.has_open_batches() && of_run.is_empty() {
                *run = Run {
                    state: run.state,
                    approved: run.approved,
                    plan: run.plan.filter(|_| is_held),
                    ..Run::STARTED
                };
                let images = self.images.iter_mut().flatten().flatten();
                for person in self.people.iter_mut().chain(images) {
                    person.sighted = person.sighted.filter(|(by, _)| *by != number);
                }
                // Who was written by another since is left as he is.
                let images = &mut self.images[usize::from(number) - 1];
                for (person, image) in self.people.iter().zip(images) {
                    *image = image.filter(|_| person.written_by == Some(number));
                }
            }
        }
    }

    /// The lease of a revert that nobody works for, and the journal once it is read.
    fn reduce_revert(&mut self, run: u8, is_idle: bool) {
        let Some(revert) = self.revert_mut(run) else {
            return;
        };
        if is_idle {
            revert.lease = Lease::default();
        }
        if revert.ended && is_idle {
            self.images[usize::from(run) - 1] = [None; Who::ALL.len()];
        }
    }
}
