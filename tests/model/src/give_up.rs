//! Giving a run up: FAILED first, so that no batch is leased any more; then every open batch
//! revoked; then the head cleared, so that the next run can start.

use rollcall_core::run::RunEvent;

use crate::Protocol;
use crate::actions::Luck;
use crate::enumerate::Revoked;
use crate::mutation::Mutation;
use crate::state::{BatchAt, Invocation, State, Step};

impl Protocol {
    /// Fails the run. Refused for a run that is somebody else's, has ended, or carries out its plan.
    pub(crate) fn fail(&self, state: &mut State, me: &Invocation) -> Option<Step> {
        let run = self.leased(state, me)?;
        self.happens(run, RunEvent::Fail)?;
        Some(if self.is_broken(Mutation::NoRevocation) {
            Step::ClearHead
        } else {
            Step::Revoke(1)
        })
    }

    /// Revokes the batch of this page, if it is open.
    pub(crate) fn revoke(
        &self,
        state: &mut State,
        me: &Invocation,
        page: u8,
        luck: Luck,
    ) -> Option<Step> {
        let generation = state.run(me.run)?.generation;
        let at = BatchAt { generation, page };
        match self.revoke_one(state, me, at, RunEvent::Fail, luck)? {
            Revoked::More => Some(Step::Revoke(page + 1)),
            Revoked::All => Some(Step::ClearHead),
            // The run stays FAILED and its tenant's active one, and the sweeper comes again.
            Revoked::ListIsShort => None,
        }
    }

    /// Frees the tenant for its next run.
    pub(crate) fn clear_head(&self, state: &mut State, me: &Invocation) -> Option<()> {
        let run = self.leased(state, me)?;
        if run.state != RunEvent::Fail.to_state() {
            return None;
        }
        state.head.active_run = state.head.active_run.filter(|active| *active != me.run);
        Some(())
    }
}
