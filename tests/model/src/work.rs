//! A worker's steps: its batch from the lease to DONE.

use rollcall_core::batch::BatchEvent;
use rollcall_core::reconcile::SightingContext;

use crate::Protocol;
use crate::actions::Luck;
use crate::conditions::{happens_to_batch, takes_work};
use crate::mutation::Mutation;
use crate::people::{Facts, Who};
use crate::state::{BatchAt, Invocation, Role, State, Step};

impl Protocol {
    /// A worker takes the lease of a batch. `None` when it is not given.
    pub(crate) fn lease_batch(
        &self,
        state: &mut State,
        run_number: u8,
        at: BatchAt,
    ) -> Option<Invocation> {
        let run = state.run_mut(run_number)?;
        if !takes_work(run.state) {
            return None;
        }
        let batch = run.slot(at).as_mut()?;
        let lease = self.grant(batch.lease)?;
        happens_to_batch(batch, BatchEvent::Lease)?;
        batch.lease = lease;
        Some(Invocation {
            role: Role::Worker,
            run: run_number,
            token: lease.token,
            approved: run.approved,
            step: Step::Work(at),
        })
    }

    /// Reads the user of the page, decides, and writes. The read is part of the step: that a user who
    /// changed between the two is read again is a matter of his version alone, and so is that new users may be
    /// written unread.
    pub(crate) fn work(&self, state: &mut State, me: &Invocation, at: BatchAt) -> Option<Step> {
        let batch = state.run(me.run)?.batch(at)?;
        let who = Who::on_page(at.page).filter(|_| batch.content.shows);
        let Some(who) = who else {
            return Some(Step::Finish(at, false));
        };
        let person = state.people[who.place()];
        let context = SightingContext {
            run: me.run.into(),
            order: at.order(),
            scope: &self.facts.scope,
            now_ms: 0,
        };
        let stored = self.facts.stored(who, &person);
        let user = self.facts.user(who, batch.content.disabled);
        let decision = context.decide(user, Some(&stored));
        let mut candidate = decision.candidate;
        let mut written = decision.write.map(|user| Facts::written(&person, &user));
        if self.is_broken(Mutation::WorkersSwitchOff)
            && let Some(off) = candidate.take()
        {
            let person = written.get_or_insert(person);
            person.switch_off(off.reason, me.run);
        }
        if let Some(written) = written {
            let batch = self.leased_batch(state, me)?;
            happens_to_batch(batch, BatchEvent::Keep)?;
            self.write(state, who, written, me.run);
        }
        Some(Step::Finish(at, candidate.is_some()))
    }

    /// Reports the batch as done, with what the worker counted on its page.
    pub(crate) fn finish(
        &self,
        state: &mut State,
        me: &Invocation,
        candidate: bool,
        luck: Luck,
    ) -> Option<()> {
        let batch = self.leased_batch(state, me)?;
        happens_to_batch(batch, BatchEvent::Finish)?;
        batch.counted = Some(match luck {
            Luck::Miscounted => 0,
            _ => batch.content.sightings(),
        });
        batch.candidate = candidate;
        Some(())
    }
}
