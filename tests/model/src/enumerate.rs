//! The enumerator's steps: the commit of a page, the seal, a new generation.

use rollcall_core::batch::{BatchEvent, BatchState};
use rollcall_core::reconcile::is_unchanged;
use rollcall_core::run::RunEvent;

use crate::Protocol;
use crate::actions::Luck;
use crate::conditions::happens_to_batch;
use crate::mutation::Mutation;
use crate::people::Who;
use crate::state::{Batch, BatchAt, Content, Invocation, Lease, PAGES, Run, State, Step};

/// Where an enumerator goes on with a run that it leased a moment ago. A new generation was about to
/// begin when batches of this one are revoked.
pub(crate) fn resume(run: &Run) -> Step {
    let end = BatchAt {
        generation: run.generation,
        page: run.last_page,
    };
    let was_left = run
        .current_batches()
        .any(|(_, batch)| batch.state == BatchState::Revoked);
    if was_left {
        Step::LeaveGeneration(BatchAt { page: 1, ..end })
    } else {
        Step::Enumerate(end)
    }
}

impl Protocol {
    /// Fetches the page after `end` and commits it: the page, its batch, and the chain's new end. That the
    /// next page may be fetched meanwhile is no step: nothing is stored by it.
    pub(crate) fn commit(
        &self,
        state: &mut State,
        me: &Invocation,
        end: BatchAt,
        luck: Luck,
    ) -> Option<Step> {
        let at = BatchAt {
            page: end.page + 1,
            ..end
        };
        let content = self.fetch(state, me.run, at, luck);
        let run = self.leased(state, me)?;
        if (run.generation, run.last_page) != (end.generation, end.page) {
            return None;
        }
        let event = if content.last {
            RunEvent::Seal
        } else {
            RunEvent::CommitPage
        };
        self.happens(run, event)?;
        let sightings = content.sightings();
        let previous = (end.page > 0).then_some(run.last).flatten();
        let (batch_state, counted) = if content.changed {
            (BatchState::Pending, None)
        } else {
            (BatchState::Done, Some(sightings))
        };
        *run.slot(at) = Some(Batch {
            state: batch_state,
            content,
            previous,
            counted,
            candidate: false,
            lease: Lease::default(),
        });
        run.last_page = at.page;
        run.last = Some(content);
        run.sightings += sightings;
        // The seal gives the lease back; any other commit renews it.
        run.lease.runs = !content.last;
        (!content.last).then_some(Step::Enumerate(at))
    }

    /// What Graph answers, sorted. Who was seen as changed in an earlier generation is stored in
    /// full again.
    fn fetch(&self, state: &State, run: u8, at: BatchAt, luck: Luck) -> Content {
        let who = Who::on_page(at.page).filter(|_| luck != Luck::LeftOut);
        let is_changed = |who: Who| {
            let standing = self.facts.standing(who, &state.people[who.place()]);
            let was_changed = state
                .run(run)
                .into_iter()
                .flat_map(Run::all_batches)
                .any(|(earlier, batch)| earlier.page == at.page && batch.content.changed);
            let user = self.facts.user(who, state.is_disabled(who));
            was_changed || !is_unchanged(user, &self.facts.scope, Some(&standing))
        };
        Content {
            shows: who.is_some(),
            changed: who.is_some_and(is_changed),
            disabled: who.is_some_and(|who| state.is_disabled(who)),
            last: at.page == PAGES || luck == Luck::CutOff,
        }
    }

    /// Revokes a batch of the generation that is left, if it is open.
    pub(crate) fn leave_generation(
        &self,
        state: &mut State,
        me: &Invocation,
        at: BatchAt,
        luck: Luck,
    ) -> Option<Step> {
        let next = BatchAt {
            page: at.page + 1,
            ..at
        };
        let begin = Step::BeginGeneration(at.generation);
        if self.is_broken(Mutation::NoRevocationBetweenGenerations) {
            return Some(begin);
        }
        match self.revoke_one(state, me, at, RunEvent::NewGeneration, luck)? {
            Revoked::More => Some(Step::LeaveGeneration(next)),
            Revoked::All => Some(begin),
            // What cannot be read fails the run.
            Revoked::ListIsShort => Some(Step::Fail),
        }
    }

    pub(crate) fn begin_generation(
        &self,
        state: &mut State,
        me: &Invocation,
        left: u8,
    ) -> Option<Step> {
        let run = self.leased(state, me)?;
        if run.generation != left {
            return None;
        }
        self.happens(run, RunEvent::NewGeneration)?;
        run.generation += 1;
        run.last_page = 0;
        run.last = None;
        run.sightings = 0;
        run.lease.runs = true;
        Some(Step::Enumerate(BatchAt {
            generation: run.generation,
            page: 0,
        }))
    }

    /// Revokes one batch, under the run's lease and while the run is where `event` left it. `None`
    /// when that is refused.
    pub(crate) fn revoke_one(
        &self,
        state: &mut State,
        me: &Invocation,
        at: BatchAt,
        event: RunEvent,
        luck: Luck,
    ) -> Option<Revoked> {
        let run = state.run(me.run)?;
        let last_page = run.last_page;
        if let Luck::ListCut(to) = luck
            && to < last_page
        {
            let is_nobody = to == 0 && self.is_broken(Mutation::EmptyListIsNobody);
            return Some(if is_nobody {
                Revoked::All
            } else {
                Revoked::ListIsShort
            });
        }
        let is_open = run.batch(at).is_some_and(|batch| batch.state.is_open());
        if is_open {
            let run = self.leased(state, me)?;
            if run.state != event.to_state() {
                return None;
            }
            // A batch that was finished at this moment is open no more.
            let batch = run.slot(at).as_mut()?;
            happens_to_batch(batch, BatchEvent::Revoke)?;
        }
        Some(if at.page < last_page {
            Revoked::More
        } else {
            Revoked::All
        })
    }
}

/// How far a revocation came.
pub(crate) enum Revoked {
    /// There are further batches.
    More,
    /// Nothing is open.
    All,
    /// The list of batches has fewer than there are pages.
    ListIsShort,
}
