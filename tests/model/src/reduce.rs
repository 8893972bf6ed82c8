//! What a state can forget: two that differ only in it are one.

use crate::state::{BatchAt, GENERATIONS_MAX, Lease, PAGES, RUNS, Run, State};

impl State {
    /// The same state without what nothing can come of any more: the order of invocations, the
    /// items of a run that has ended and that nobody works for, all but a plan that waits, and the lease
    /// of a batch that is closed.
    pub(crate) fn reduce(&mut self) {
        self.invocations.sort_unstable();
        for number in (1u8..).take(RUNS) {
            let under_way = self.invocations;
            let of_run = || under_way.iter().flatten().filter(|i| i.run == number);
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
                    && of_run().all(|i| i.batch() != Some(batch_at))
                {
                    batch.lease = Lease::default();
                }
            }
            if run.state.has_ended()
                && !is_active
                && !run.has_open_batches()
                && of_run().next().is_none()
            {
                *run = Run {
                    state: run.state,
                    approved: run.approved,
                    plan: run.plan.filter(|_| is_held),
                    ..Run::STARTED
                };
                for person in &mut self.people {
                    person.sighted = person.sighted.filter(|(by, _)| *by != number);
                }
            }
        }
    }
}
