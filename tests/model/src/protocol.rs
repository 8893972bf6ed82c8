//! The model itself: which actions a state allows, and what becomes of it.

use rollcall_core::guard::GuardSettings;
use rollcall_core::ids::BadId;
use rollcall_core::run::RunEvent;
use stateright::{Model, Property};

use crate::audit::{self, Wrongs};
use crate::enumerate;
use crate::finalize;
use crate::mutation::Mutation;
use crate::people::{Facts, Person, Who};
use crate::state::{
    BatchAt, Head, INVOCATIONS_MAX, Invocation, PAGES, RUNS, Role, Run, State, Step,
};
use crate::world::World;

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
}

/// The protocol in a world, whole or broken.
#[derive(Debug)]
pub struct Protocol {
    pub(crate) world: World,
    pub(crate) broken: Vec<Mutation>,
    pub(crate) facts: Facts,
}

impl Protocol {
    /// The protocol as it is.
    ///
    /// # Errors
    /// [`BadId`], which the model's own names never cause.
    pub fn new(world: World) -> Result<Self, BadId> {
        Self::broken(world, &[])
    }

    /// The protocol with lines taken out.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn broken(world: World, mutations: &[Mutation]) -> Result<Self, BadId> {
        debug_assert!(world.fits(), "{} has too many invocations", world.name);
        Ok(Self {
            world,
            broken: mutations.to_vec(),
            facts: Facts::new()?,
        })
    }

    /// The world that it is explored in.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Whether a plan of any size is held.
    pub(crate) fn holds_every_plan(&self) -> bool {
        self.world.guards.deactivations_max < GuardSettings::default().deactivations_max
    }

    fn start(&self, state: &mut State) -> Option<()> {
        let is_free = state.head.active_run.is_none() || self.is_broken(Mutation::RunsSideBySide);
        let number = state.head.next_run;
        if !is_free || usize::from(number) > RUNS {
            return None;
        }
        state.runs[usize::from(number) - 1] = Some(Run::STARTED);
        state.head.next_run = number + 1;
        state.head.active_run = Some(number);
        Some(())
    }

    /// Whether one more of a role may be under way.
    fn has_room(&self, state: &State, role: Role) -> bool {
        let under_way = state.invocations.iter().flatten();
        under_way.filter(|i| i.role == role).count() < self.world.at_once(role)
    }

    fn wake(&self, state: &mut State, role: Role, number: u8) -> Option<Invocation> {
        if role == Role::Sweeper && state.head.active_run != Some(number) {
            return None;
        }
        let run = state.run(number)?;
        if !self.is_given(role, run.state) {
            return None;
        }
        let lease = self.grant(run.lease)?;
        let step = match role {
            Role::Enumerator => enumerate::resume(run),
            Role::Finalizer => finalize::resume(run.state),
            Role::Sweeper if run.state.has_ended() => Step::Revoke(1),
            Role::Sweeper => Step::Fail,
            Role::Worker => return None,
        };
        // A look before the last batch is done is in vain, so it is an interruption.
        if step == Step::Look && run.has_open_batches() {
            state.interruptions_left = state.interruptions_left.checked_sub(1)?;
        }
        let run = state.run_mut(number)?;
        run.lease = lease;
        Some(Invocation {
            role,
            run: number,
            token: lease.token,
            approved: run.approved,
            step,
        })
    }

    /// What the invocation does after its next step; `None` when it ends.
    fn go(&self, state: &mut State, me: &Invocation, luck: Luck) -> Option<Step> {
        match me.step {
            Step::Enumerate(end) => self.commit(state, me, end, luck),
            Step::LeaveGeneration(at) => self.leave_generation(state, me, at, luck),
            Step::BeginGeneration(left) => self.begin_generation(state, me, left),
            Step::Work(at) => self.work(state, me, at),
            Step::Finish(_, candidate) => {
                self.finish(state, me, candidate, luck);
                None
            }
            Step::Look => self.look(state, me, luck),
            Step::BeginFinalizing => self.begin_finalizing(state, me),
            Step::Judge => self.judge_or_read(state, me, luck),
            Step::Record(plan, streaks) => self.record(state, me, plan, streaks),
            Step::Store(plan) => self.store(state, me, plan),
            Step::Release(plan) => self.store_released(state, me, plan),
            Step::Guard => self.guard(state, me),
            Step::Apply(place) => self.apply(state, me, place),
            Step::Fail => self.fail(state, me),
            Step::Revoke(page) => self.revoke(state, me, page, luck),
            Step::ClearHead => {
                self.clear_head(state, me);
                None
            }
        }
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

    fn act(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Start => {
                self.start(&mut state)?;
                audit::step(before, &mut state, None);
            }
            Action::Wake(role, run) => {
                let me = self.wake(&mut state, role, run)?;
                admit(before, &mut state, me)?;
            }
            Action::WakeWorker(run, at) => {
                let me = self.lease_batch(&mut state, run, at)?;
                admit(before, &mut state, me)?;
            }
            Action::Pause(place) => {
                let me = state.invocations[place]?;
                state.interruptions_left = state.interruptions_left.checked_sub(1)?;
                lapse(&mut state, &me);
            }
            Action::Crash(place) => {
                let me = state.invocations[place].take()?;
                state.interruptions_left = state.interruptions_left.checked_sub(1)?;
                lapse(&mut state, &me);
            }
            Action::Go(..) | Action::LoseToken(_) | Action::GiveUp(_) | Action::LoseAnswer(_) => {
                self.proceed(before, &mut state, action)?;
            }
            Action::Approve { run, plan } => {
                self.approve(&mut state, run, plan)?;
                audit::approval(before, &mut state, run, plan);
            }
            Action::Reject(run) => {
                self.drop_hold(&mut state, run, RunEvent::Reject)?;
                audit::step(before, &mut state, None);
            }
            Action::Lapse(run) => {
                self.drop_hold(&mut state, run, RunEvent::Supersede)?;
                audit::step(before, &mut state, None);
            }
            Action::Return(who) => self.come_back(&mut state, who)?,
        }
        state.reduce();
        Some(state)
    }

    /// An invocation does something.
    fn proceed(&self, before: &State, state: &mut State, action: Action) -> Option<()> {
        let (Action::Go(place, _)
        | Action::LoseToken(place)
        | Action::GiveUp(place)
        | Action::LoseAnswer(place)) = action
        else {
            return None;
        };
        let me = before.invocations[place]?;
        let step = match action {
            Action::LoseAnswer(_) => {
                state.interruptions_left = state.interruptions_left.checked_sub(1)?;
                self.go(state, &me, Luck::Truth);
                lapse(state, &me);
                Some(me.step)
                    .filter(|_| state.head.held_run == Some(me.run))?
                    .into()
            }
            Action::Go(_, luck) => {
                if luck != Luck::Truth {
                    state.lies_left = state.lies_left.checked_sub(1)?;
                }
                self.go(state, &me, luck)
            }
            Action::LoseToken(_) => match me.step {
                Step::Enumerate(end) => Some(Step::LeaveGeneration(BatchAt { page: 1, ..end })),
                _ => None,
            },
            _ => {
                // Whoever carries out a plan is refused, and ends as if he had died.
                if matches!(me.step, Step::Apply(_)) {
                    state.interruptions_left = state.interruptions_left.checked_sub(1)?;
                }
                self.fail(state, &me)
            }
        };
        state.invocations[place] = step.map(|step| Invocation { step, ..me });
        audit::step(before, state, Some(&me));
        if step.is_none() {
            lapse(state, &me);
        }
        Some(())
    }
}

/// An invocation that was granted its lease begins.
fn admit(before: &State, state: &mut State, me: Invocation) -> Option<()> {
    let place = state.invocations.iter().position(Option::is_none)?;
    state.invocations[place] = Some(me);
    audit::grant(before, state, &me);
    Some(())
}

/// The lease of an invocation lapses, if it still has it. Of one that is no more, it does so at once:
/// while it still runs, it only keeps others waiting.
fn lapse(state: &mut State, me: &Invocation) {
    if let Some(lease) = state.lease_mut(me).filter(|lease| lease.token == me.token) {
        lease.runs = false;
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            head: Head {
                next_run: 1,
                active_run: None,
                held_run: None,
                last_full: None,
            },
            runs: [None; RUNS],
            back: None,
            people: [Person::KNOWN; Who::ALL.len()],
            invocations: [None; INVOCATIONS_MAX],
            interruptions_left: self.world.interruptions,
            lies_left: self.world.lies,
            wrongs: Wrongs::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Start);
        for run in (1u8..).take(RUNS) {
            for role in [Role::Enumerator, Role::Finalizer, Role::Sweeper] {
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

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        self.act(before, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.all_properties()
    }
}
