//! What each write asks of the items, from the transition functions of `rollcall-core`: the model's
//! side of `shared/store/src/conditions.rs`.
//!
//! The store has three lists of states that no function of the core gives: in which a run takes
//! work, in which its lease is given for a step, and in which its plan is stored or carried out. Here
//! they are put together from the events that these are for, so that a changed event changes them.

use rollcall_core::batch::{BatchEvent, next_batch_state};
use rollcall_core::lease::LeaseTerm;
use rollcall_core::run::{RunEvent, RunState, next_run_state};

use crate::Protocol;
use crate::mutation::Mutation;
use crate::people::small;
use crate::state::{Batch, Invocation, Lease, Role, Run, State};

/// A moment, and the end of a lease that runs at that moment.
const NOW_MS: u64 = 0;
const LEASE_MS: u64 = 1;

/// Whether one of these events may happen to a run in this state.
fn allows_one_of(state: RunState, events: &[RunEvent]) -> bool {
    events
        .iter()
        .any(|event| event.from_states().contains(&state))
}

/// Whether batches of the run are leased: pages still come, or its batches are waited for.
pub(crate) fn takes_work(state: RunState) -> bool {
    allows_one_of(state, &[RunEvent::CommitPage, RunEvent::BeginFinalizing])
}

/// Whether the run's plan may be stored: it could be carried out next.
pub(crate) fn takes_a_plan(state: RunState) -> bool {
    allows_one_of(state, &[RunEvent::BeginApplying])
}

impl Protocol {
    pub(crate) fn is_broken(&self, mutation: Mutation) -> bool {
        self.broken.contains(&mutation)
    }

    /// Whether a run's lease is given to this role while the run is in this state.
    pub(crate) fn is_given(&self, role: Role, state: RunState) -> bool {
        use RunEvent::{BeginApplying, BeginFinalizing, CommitPage, Complete, Fail};
        let after_the_end = self.is_broken(Mutation::LeaseAfterTheEnd)
            && role == Role::Finalizer
            && state == Complete.to_state();
        let is_for = match role {
            Role::Enumerator => allows_one_of(state, &[CommitPage]),
            Role::Finalizer => allows_one_of(state, &[BeginFinalizing, BeginApplying, Complete]),
            Role::Sweeper if state == Fail.to_state() => {
                !self.is_broken(Mutation::FailedRunsAreForgotten)
            }
            Role::Sweeper => allows_one_of(state, &[Fail]),
            Role::Worker | Role::Reverter => false,
        };
        is_for || after_the_end
    }

    /// The lease after another grant; `None` while it runs.
    pub(crate) fn grant(&self, lease: Lease) -> Option<Lease> {
        let previous = (lease.token > 0).then(|| LeaseTerm {
            owner: String::new(),
            token: lease.token.into(),
            until_ms: if lease.runs {
                NOW_MS + LEASE_MS
            } else {
                NOW_MS
            },
        });
        let term = LeaseTerm::grant(previous.as_ref(), "", NOW_MS, LEASE_MS)?;
        let raised = if self.is_broken(Mutation::TokenStays) {
            lease.token.max(1)
        } else {
            small(term.token)
        };
        Some(Lease {
            token: raised,
            runs: !term.has_lapsed(NOW_MS),
        })
    }

    /// The run, if the invocation's lease of it is still its own.
    pub(crate) fn leased<'s>(&self, state: &'s mut State, me: &Invocation) -> Option<&'s mut Run> {
        let any = self.is_broken(Mutation::NoLeaseCheck);
        state
            .run_mut(me.run)
            .filter(|run| any || run.lease.token == me.token)
    }

    /// The batch, if the invocation's lease of it is still its own.
    pub(crate) fn leased_batch<'s>(
        &self,
        state: &'s mut State,
        me: &Invocation,
    ) -> Option<&'s mut Batch> {
        let any = self.is_broken(Mutation::NoLeaseCheck);
        let at = me.batch()?;
        let batch = state.run_mut(me.run)?.slot(at).as_mut()?;
        (any || batch.lease.token == me.token).then_some(batch)
    }

    /// The event happens to the run, if the run allows it.
    pub(crate) fn happens(&self, run: &mut Run, event: RunEvent) -> Option<()> {
        let rolls_back = self.is_broken(Mutation::FailsWhileApplying)
            && event == RunEvent::Fail
            && run.state == RunEvent::BeginApplying.to_state();
        run.state = if rolls_back {
            event.to_state()
        } else {
            next_run_state(run.state, event).ok()?
        };
        Some(())
    }
}

/// The event happens to the batch, if the batch allows it.
pub(crate) fn happens_to_batch(batch: &mut Batch, event: BatchEvent) -> Option<()> {
    batch.state = next_batch_state(batch.state, event).ok()?;
    Some(())
}
