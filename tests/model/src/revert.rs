//! Taking a run back: its journal is walked through under a lease of its own, person by person, and
//! whoever is as the run left him is as before it.

use rollcall_core::revert::reverted;
use rollcall_core::run::RunEvent;

use crate::Protocol;
use crate::mutation::Mutation;
use crate::people::{Facts, Person, Who};
use crate::state::{Invocation, Lease, Role, State, Step};

/// A revert item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revert {
    /// How many places of the journal it is past.
    pub place: u8,
    /// Whether it has ended.
    pub ended: bool,
    /// Its lease.
    pub lease: Lease,
}

impl Revert {
    const BEGUN: Self = Self {
        place: 0,
        ended: false,
        lease: Lease {
            token: 0,
            runs: false,
        },
    };
}

impl Protocol {
    /// Writes a person for a run, with his before-image. Only a world with reverts remembers it.
    pub(crate) fn write(&self, state: &mut State, who: Who, after: Person, run: u8) {
        let person = &mut state.people[who.place()];
        if self.world.reverters == 0 {
            *person = after;
            return;
        }
        let before = Person {
            streak: None,
            written_by: None,
            ..*person
        };
        *person = Person {
            written_by: Some(run),
            ..after
        };
        state.images[usize::from(run) - 1][who.place()].get_or_insert(before);
    }

    /// Somebody asks for a run to be taken back: one that writes nothing any more, and whose revert nobody
    /// has begun, while no other is under way. Whether another run is active is not asked.
    pub(crate) fn begin_revert(&self, state: &mut State, run: u8) -> Option<()> {
        let ended = state.run_state(run).filter(|state| state.has_ended())?;
        // A person can reopen it.
        let waits = ended == RunEvent::Hold.to_state();
        // It has failed, and its batches are not revoked yet.
        let is_active = state.head.active_run == Some(run);
        let is_free = state.head.reverting.is_none() && state.revert(run).is_none();
        if waits && !self.is_broken(Mutation::RevertsWhatWaits)
            || is_active && !self.is_broken(Mutation::RevertsWhatIsActive)
            || !is_free && !self.is_broken(Mutation::RevertsSideBySide)
        {
            return None;
        }
        state.head.reverting = Some(run);
        *state.reverts.get_mut(usize::from(run) - 1)? = Some(Revert::BEGUN);
        Some(())
    }

    /// A reverter takes the lease of a revert. `None` when it is not given.
    pub(crate) fn lease_revert(&self, state: &mut State, run: u8) -> Option<Invocation> {
        let revert = state.revert_mut(run).filter(|revert| !revert.ended)?;
        revert.lease = self.grant(revert.lease)?;
        Some(Invocation {
            role: Role::Reverter,
            run,
            token: revert.lease.token,
            approved: false,
            step: Step::Revert(revert.place),
        })
    }

    /// Takes the next person back, together with the place behind him; ends at the journal's end.
    pub(crate) fn revert_next(
        &self,
        state: &mut State,
        me: &Invocation,
        place: u8,
    ) -> Option<Step> {
        let any = self.is_broken(Mutation::RevertsWithoutTheLease);
        let revert = state.revert_mut(me.run)?;
        if revert.ended || !any && (revert.lease.token, revert.place) != (me.token, place) {
            return None;
        }
        let Some(who) = Who::ALL.get(usize::from(place)).copied() else {
            revert.ended = true;
            state.head.reverting = None;
            return None;
        };
        revert.place = place + 1;
        revert.lease.runs = true;
        let now = state.people[who.place()];
        let is_its_own =
            now.written_by == Some(me.run) || self.is_broken(Mutation::RevertsWhoChangedSince);
        let image = state.images[usize::from(me.run) - 1][who.place()];
        if let Some(before) = image.filter(|_| is_its_own) {
            let after = reverted(
                &self.facts.stored(who, &now),
                &self.facts.stored(who, &before),
                0,
            );
            state.people[who.place()] = Person {
                written_by: None,
                ..Facts::written(&now, &after)
            };
        }
        Some(Step::Revert(place + 1))
    }
}
