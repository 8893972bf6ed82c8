//! What becomes of a plan that waits: a person approves or rejects it, or nobody does and it lapses.
//! No lease is asked, for a person has none; each is one transaction of the run and the head.

use rollcall_core::run::{RunEvent, RunState};
use rollcall_core::status::Status;

use crate::Protocol;
use crate::actions::Action;
use crate::mutation::Mutation;
use crate::people::Who;
use crate::state::{RUNS, State};

impl Protocol {
    /// What people can do about plans that wait, or have waited: somebody looks at one, and acts later.
    pub(crate) fn rulings(&self, state: &State, actions: &mut Vec<Action>) {
        if !self.world.decisions {
            return;
        }
        let has_waited = |run: &u8| {
            let run = state.run(*run);
            run.is_some_and(|run| {
                let refused = [RunEvent::Reject, RunEvent::Supersede].map(RunEvent::to_state);
                run.approved || run.state == RunState::Held || refused.contains(&run.state)
            })
        };
        for run in (1u8..).take(RUNS).filter(has_waited) {
            actions.extend([Action::Reject(run), Action::Lapse(run)]);
            let looked_at = (1u8..).take(RUNS).filter(has_waited);
            actions.extend(looked_at.map(|plan| Action::Approve { run, plan }));
        }
        actions.extend(Who::ALL.map(Action::Return));
    }

    /// Releases the plan that waits: the one that was looked at, while no run is active. The run is
    /// the active one then, and its token has risen, so that whoever held it writes nothing more. A
    /// plan's hash covers its run, so the run stands for it here.
    pub(crate) fn approve(&self, state: &mut State, number: u8, plan: u8) -> Option<()> {
        let is_waiting = state.head.held_run == Some(number);
        let is_free = state.head.active_run.is_none();
        if !is_waiting && !self.is_broken(Mutation::NobodyAsksWhetherItWaits)
            || plan != number && !self.is_broken(Mutation::AnyPlanIsMeant)
            || !is_free && !self.is_broken(Mutation::ApprovedBesideARun)
        {
            return None;
        }
        let run = state.run_mut(number)?;
        if self.is_broken(Mutation::NobodyAsksWhetherItWaits) {
            run.state = RunEvent::Approve.to_state();
        } else {
            self.happens(run, RunEvent::Approve)?;
        }
        if !self.is_broken(Mutation::ApprovalKeepsTheToken) {
            run.lease.token += 1;
        }
        run.lease.runs = false;
        run.approved = true;
        state.head.held_run = None;
        state.head.active_run = Some(number);
        Some(())
    }

    /// Drops a plan that waits, by a person's word or for want of one.
    pub(crate) fn drop_hold(&self, state: &mut State, number: u8, event: RunEvent) -> Option<()> {
        let is_waiting = state.head.held_run == Some(number);
        if is_waiting {
            self.happens(state.run_mut(number)?, event)?;
            state.head.held_run = None;
        } else if self.is_broken(Mutation::DroppedInTheMiddle) {
            state.run_mut(number)?.state = event.to_state();
        } else {
            return None;
        }
        Some(())
    }

    /// Somebody whom the waiting plan names is again in Microsoft 365 as he was before: enabled, or
    /// restored. Once, so that it adds few states.
    pub(crate) fn come_back(&self, state: &mut State, who: Who) -> Option<()> {
        let waiting = state.run(state.head.held_run?)?.plan?;
        let is_named = waiting.entries[who.place()].is_some();
        let is_on = state.people[who.place()].status == Status::Active;
        if state.back.is_some() || !is_named || !is_on {
            return None;
        }
        state.back = Some(who);
        Some(())
    }
}
