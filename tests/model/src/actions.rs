//! What can happen in a state.

use crate::Protocol;
use crate::people::Who;
use crate::state::{BatchAt, Invocation, PAGES, RUNS, Role, Run, State, Step};

/// What Graph and the reads say during a step. All but [`Luck::Truth`] are lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Luck {
    /// What is so.
    Truth,
    /// Graph's page leaves its person out.
    LeftOut,
    /// Graph's page has no next link although there are further pages.
    CutOff,
    /// The list of batches reads as its first so many.
    ListCut(u8),
    /// Graph does not find by id who is there.
    NotFound,
    /// The worker read another page than the one that was stored, with nobody on it.
    Miscounted,
}

/// What can happen next. Invocations are named by their place in the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The schedule starts a run.
    Start,
    /// Something wakes a function for a run: a ring, a second ring, or the schedule.
    Wake(Role, u8),
    /// Something wakes a worker for a batch.
    WakeWorker(u8, BatchAt),
    /// An invocation takes its next step.
    Go(usize, Luck),
    /// An enumerator meets a page token that died for good.
    LoseToken(usize),
    /// An enumerator or finalizer gives its run up: its deadline passed, or Graph failed.
    GiveUp(usize),
    /// An invocation is late: its lease lapses, and it goes on as if it had it.
    Pause(usize),
    /// An invocation dies, and its lease lapses.
    Crash(usize),
    /// An invocation holds its run, does not hear that it did, and is late to try again.
    LoseAnswer(usize),
    /// A person who has looked at the plan of one run approves another's, or, in his right mind, the same.
    Approve {
        /// The run that is approved.
        run: u8,
        /// The run whose plan was looked at.
        plan: u8,
    },
    /// A person rejects a run's plan.
    Reject(u8),
    /// Nobody has decided about a run's plan in time.
    Lapse(u8),
    /// Who is in the plan that waits is as he was before it.
    Return(Who),
    /// A person asks for a run to be taken back.
    BeginRevert(u8),
}

impl Protocol {
    /// All that can be tried; some of it is refused.
    pub(crate) fn all_actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Start);
        for run in (1u8..).take(RUNS) {
            if self.world.reverters > 0 {
                actions.push(Action::BeginRevert(run));
            }
            for role in [
                Role::Enumerator,
                Role::Finalizer,
                Role::Sweeper,
                Role::Reverter,
            ] {
                if self.has_room(state, role) {
                    actions.push(Action::Wake(role, run));
                }
            }
            if self.has_room(state, Role::Worker) {
                let batches = state.run(run).into_iter().flat_map(Run::all_batches);
                actions.extend(batches.map(|(at, _)| Action::WakeWorker(run, at)));
            }
        }
        self.rulings(state, actions);
        for (place, me) in state.invocations.iter().enumerate() {
            if let Some(me) = me {
                self.actions_of(state, place, me, actions);
            }
        }
    }

    /// Whether one more of a role may be under way.
    fn has_room(&self, state: &State, role: Role) -> bool {
        let under_way = state.invocations.iter().flatten();
        under_way.filter(|i| i.role == role).count() < self.world.at_once(role)
    }

    /// The lies that a step can be told.
    fn lies(&self, state: &State, me: &Invocation) -> Vec<Luck> {
        if state.lies_left == 0 {
            return Vec::new();
        }
        let Some(run) = state.run(me.run) else {
            return Vec::new();
        };
        let cuts = (0..run.last_page).map(Luck::ListCut);
        let shows_all = run
            .current_batches()
            .filter(|(_, b)| b.content.shows)
            .count()
            == usize::from(PAGES);
        match me.step {
            Step::Enumerate(end) if end.page + 1 < PAGES => vec![Luck::LeftOut, Luck::CutOff],
            Step::Look | Step::Revoke(1) | Step::LeaveGeneration(BatchAt { page: 1, .. }) => {
                cuts.collect()
            }
            Step::Finish(..) => vec![Luck::Miscounted],
            Step::Judge if run.plan.is_some() => Vec::new(),
            Step::Judge if shows_all => cuts.collect(),
            Step::Judge => cuts.chain([Luck::NotFound]).collect(),
            _ => Vec::new(),
        }
    }

    fn actions_of(&self, state: &State, place: usize, me: &Invocation, actions: &mut Vec<Action>) {
        actions.push(Action::Go(place, Luck::Truth));
        let lies = self.lies(state, me);
        actions.extend(lies.into_iter().map(|luck| Action::Go(place, luck)));
        if let Step::Enumerate(end) = me.step
            && end.page > 0
            && end.generation < self.world.generations
        {
            actions.push(Action::LoseToken(place));
        }
        let is_refused = matches!(me.step, Step::Apply(_));
        let can_give_up = matches!(me.role, Role::Enumerator | Role::Finalizer)
            && !matches!(me.step, Step::Fail | Step::Revoke(_) | Step::ClearHead)
            && (!is_refused || state.interruptions_left > 0);
        if can_give_up {
            actions.push(Action::GiveUp(place));
        }
        if state.interruptions_left > 0 {
            actions.push(Action::Crash(place));
            if me.step == Step::Guard && self.world.decisions {
                actions.push(Action::LoseAnswer(place));
            }
            if state
                .lease(me)
                .is_some_and(|l| l.runs && l.token == me.token)
            {
                actions.push(Action::Pause(place));
            }
        }
    }
}
