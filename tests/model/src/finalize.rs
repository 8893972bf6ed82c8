//! The finalizer's steps: look, plan, guards, then the only place that switches users off.

use rollcall_core::guard::PlanNumbers;
use rollcall_core::proof::{NotProven, check_batches};
use rollcall_core::run::{RunEvent, RunState};

use crate::Protocol;
use crate::actions::Luck;
use crate::conditions::takes_a_plan;
use crate::mutation::Mutation;
use crate::people::{StreakMark, Who};
use crate::state::{Invocation, Plan, State, Step};

/// Where a finalizer goes on with a run that it leased a moment ago.
pub(crate) fn resume(state: RunState) -> Step {
    if state == RunEvent::BeginApplying.to_state() {
        Step::Apply(0)
    } else if RunEvent::BeginFinalizing.from_states().contains(&state) {
        Step::Look
    } else {
        Step::Judge
    }
}

impl Protocol {
    /// Looks whether every batch is done. While some are not, the lease is given back.
    pub(crate) fn look(&self, state: &mut State, me: &Invocation, luck: Luck) -> Option<Step> {
        let (seal, batches) = self.read_batches(state.run(me.run)?, luck);
        match check_batches(&seal?, &batches) {
            Ok(()) => Some(Step::BeginFinalizing),
            Err(NotProven::Incomplete(_)) => Some(Step::Fail),
            Err(NotProven::Open { .. }) => {
                self.leased(state, me)?.lease.runs = false;
                None
            }
        }
    }

    /// A step of the run that only changes where it stands, and renews the lease.
    fn step_run(&self, state: &mut State, me: &Invocation, event: RunEvent) -> Option<()> {
        let run = self.leased(state, me)?;
        self.happens(run, event)?;
        run.lease.runs = true;
        Some(())
    }

    pub(crate) fn begin_finalizing(&self, state: &mut State, me: &Invocation) -> Option<Step> {
        self.step_run(state, me, RunEvent::BeginFinalizing)?;
        Some(Step::Judge)
    }

    /// Takes the plan that is stored, or makes one.
    pub(crate) fn judge_or_read(&self, state: &State, me: &Invocation, luck: Luck) -> Option<Step> {
        if state.head.active_run != Some(me.run) {
            return Some(Step::Fail);
        }
        let run = state.run(me.run)?;
        if let Some(plan) = run.plan {
            return Some(match run.released {
                None if me.approved => Step::Release(self.ask_anew(state, me.run, plan)?),
                _ => Step::Guard,
            });
        }
        Some(match self.judge(state, me.run, luck) {
            None => Step::Fail,
            Some((plan, streaks)) if streaks.iter().all(Option::is_none) => Step::Store(plan),
            Some((plan, streaks)) => Step::Record(plan, streaks),
        })
    }

    pub(crate) fn record(
        &self,
        state: &mut State,
        me: &Invocation,
        plan: Plan,
        streaks: [Option<StreakMark>; Who::ALL.len()],
    ) -> Option<Step> {
        let run = self.leased(state, me)?;
        if !takes_a_plan(run.state) {
            return None;
        }
        for (person, streak) in state.people.iter_mut().zip(streaks) {
            person.streak = streak.or(person.streak);
        }
        Some(Step::Store(plan))
    }

    /// Stores the plan, once. A plan of an earlier run that waits for a person is void by it.
    pub(crate) fn store(&self, state: &mut State, me: &Invocation, plan: Plan) -> Option<Step> {
        let run = self.leased(state, me)?;
        if !takes_a_plan(run.state) || run.plan.is_some() {
            return None;
        }
        if let Some(held) = state.head.held_run {
            self.happens(state.run_mut(held)?, RunEvent::Supersede)?;
            state.head.held_run = None;
        }
        self.leased(state, me)?.plan = Some(plan);
        Some(Step::Guard)
    }

    /// The guards, and the step after which the run only rolls forward. `None` when the run ends
    /// here, or is somebody else's.
    pub(crate) fn guard(&self, state: &mut State, me: &Invocation) -> Option<Step> {
        let plan = state.run(me.run)?.carried_out()?;
        let numbers = PlanNumbers {
            users_seen: plan.users_seen.into(),
            users_seen_before: state.head.last_full.map(|(_, seen)| seen.into()),
            active: plan.active.into(),
            deactivations: plan.deactivations().into(),
            // Its tenant has three users, whom the last two guards let pass in any case.
            whole_domain: 0,
            off_in_window: 0,
        };
        let is_asked = !me.approved || self.is_broken(Mutation::GuardsAskAgain);
        if is_asked && self.world.guards.check(numbers).is_some() {
            self.end(state, me, RunEvent::Hold)?;
            state.head.held_run = Some(me.run);
            return None;
        }
        if plan.deactivations() == 0 {
            self.complete(state, me)?;
            return None;
        }
        if !self.is_broken(Mutation::NoApplyingState) {
            self.step_run(state, me, RunEvent::BeginApplying)?;
        }
        Some(Step::Apply(0))
    }

    /// Switches off the user of the plan at this place, if he is still as he was planned. In the
    /// system 49 users are one transaction; here each is one, so that it can be left in the middle.
    pub(crate) fn apply(&self, state: &mut State, me: &Invocation, place: usize) -> Option<Step> {
        let plan = state.run(me.run)?.carried_out()?;
        let Some(entry) = plan.entries.get(place) else {
            self.complete(state, me)?;
            return None;
        };
        if let Some(entry) = entry.filter(|entry| state.people[place].is_due(entry.version)) {
            let run = self.leased(state, me)?;
            let applies = run.state == RunEvent::BeginApplying.to_state();
            if !applies && !self.is_broken(Mutation::NoApplyingState) {
                return None;
            }
            let mut person = state.people[place];
            person.switch_off(entry.reason, me.run);
            self.write(state, Who::ALL[place], person, me.run);
        }
        Some(Step::Apply(place + 1))
    }

    fn complete(&self, state: &mut State, me: &Invocation) -> Option<()> {
        let seen = state.run(me.run)?.carried_out()?.users_seen;
        self.end(state, me, RunEvent::Complete)?;
        state.head.last_full = Some((me.run, seen));
        Some(())
    }

    /// Ends the run and frees the tenant, together.
    fn end(&self, state: &mut State, me: &Invocation, event: RunEvent) -> Option<()> {
        let is_active = state.head.active_run == Some(me.run);
        let run = self.leased(state, me)?;
        if !is_active {
            return None;
        }
        self.happens(run, event)?;
        state.head.active_run = None;
        Some(())
    }
}
