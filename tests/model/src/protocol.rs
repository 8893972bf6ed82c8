//! The model itself: which actions a state allows, and what becomes of it.

use rollcall_core::guard::GuardSettings;
use rollcall_core::ids::BadId;
use rollcall_core::run::RunEvent;
use stateright::{Model, Property};

use crate::actions::{Action, Luck};
use crate::audit::{self, Wrongs};
use crate::enumerate;
use crate::finalize;
use crate::mutation::Mutation;
use crate::people::{Facts, Person, Who};
use crate::state::{BatchAt, Head, INVOCATIONS_MAX, Invocation, RUNS, Role, Run, State, Step};
use crate::world::World;

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

    fn wake(&self, state: &mut State, role: Role, number: u8) -> Option<Invocation> {
        if role == Role::Reverter {
            return self.lease_revert(state, number);
        }
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
            Role::Worker | Role::Reverter => return None,
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
            Step::Revert(place) => self.revert_next(state, me, place),
            Step::ClearHead => {
                self.clear_head(state, me);
                None
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
            Action::BeginRevert(run) => self.begin_revert(&mut state, run)?,
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
                reverting: None,
            },
            runs: [None; RUNS],
            reverts: [None; RUNS],
            images: [[None; Who::ALL.len()]; RUNS],
            back: None,
            people: [Person::KNOWN; Who::ALL.len()],
            invocations: [None; INVOCATIONS_MAX],
            interruptions_left: self.world.interruptions,
            lies_left: self.world.lies,
            wrongs: Wrongs::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.all_actions(state, actions);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        self.act(before, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.all_properties()
    }
}
