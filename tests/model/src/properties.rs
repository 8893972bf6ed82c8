//! What has to hold, each named by what it promises, and what breaks it.

use rollcall_core::run::RunState;
use rollcall_core::status::Status;
use stateright::Property;

use crate::Protocol;
use crate::audit::Wrong;
use crate::mutation::Mutation;
use crate::people::Who;
use crate::state::{Invocation, Role, State};
use crate::world::World;

/// The names of the properties that always hold.
pub mod named {
    /// One function switches users off, and the finalizer alone calls it.
    pub const ONLY_THE_FINALIZER: &str = "only the finalizer switches users off";
    /// The plan is stored, the guards have passed it, and there is no way back.
    pub const ONLY_WHILE_APPLYING: &str = "users are switched off only while the run is APPLYING";
    /// A late, paused or doubled invocation writes nothing.
    pub const NO_STALE_WRITE: &str = "nothing is written without the current lease";
    /// What tells a holder from the one before.
    pub const TOKENS_RISE: &str = "tokens only rise, and no two invocations have the same";
    /// Completeness is proven, never assumed.
    pub const PROVEN: &str =
        "a plan is stored only over batches that are all there, DONE and counted";
    /// What a run does, it does alone.
    pub const ONE_ACTIVE_RUN: &str = "a tenant has one active run";
    /// A worker of a run that was given up cannot write into the next one.
    pub const REVOKED_BEFORE_THE_NEXT_RUN: &str =
        "no batch of a run that was given up is open when the next run starts";
    /// Nor one of a generation that was left into the next one.
    pub const REVOKED_BEFORE_THE_NEXT_GENERATION: &str =
        "no batch of a generation that was left is open when the next one begins";
    /// What ended well stays as it ended.
    pub const ENDED_IS_ENDED: &str = "a run that ended well is never written again";
    /// From the first deactivation on a run only rolls forward.
    pub const FAILED_IS_HARMLESS: &str = "a run that failed has switched nobody off";
    /// What all the others are for.
    pub const NOBODY_WHO_IS_THERE: &str = "nobody who is there and enabled is switched off";
    /// An approval is for one plan, while it waits.
    pub const APPROVED_AS_IT_WAITS: &str =
        "only a plan that waits is approved, by somebody who looked at it";
    /// What is approved is not held again.
    pub const APPROVED_ONCE: &str = "a plan is approved at most once";
    /// Nothing of it was, and nothing will be.
    pub const REFUSED_IS_HARMLESS: &str =
        "a plan that was rejected, or is void, has switched nobody off";
    /// An approval is no evidence.
    pub const WHO_IS_BACK_STAYS: &str =
        "an approved plan switches off nobody who came back while it waited";
    /// What takes a run back, does it alone.
    pub const ONE_REVERT: &str = "a tenant has one revert under way";
    /// A later change has the say.
    pub const REVERTS_ITS_OWN: &str =
        "a revert writes only those whom its run was the last to write";
    /// All of it, whatever is interrupted.
    pub const TAKEN_BACK: &str = "after a revert nobody is as the run left him";
    /// Whatever is interrupted, by whomever.
    pub const EVERY_RUN_ENDS: &str =
        "both runs start and end, the tenant is free, and what was decided is done";
}

fn never(wrong: Wrong, state: &State) -> bool {
    !state.wrongs.has(wrong)
}

pub(crate) fn ended(state: &State, run: u8) -> bool {
    state.run_state(run).is_some_and(RunState::has_ended)
}

fn no_two_have_the_same_token(state: &State) -> bool {
    let under_way: Vec<_> = state.invocations.iter().flatten().collect();
    under_way.iter().enumerate().all(|(place, one)| {
        under_way[..place].iter().all(|other| {
            let grant = |it: &Invocation| {
                let is_reverts = it.role == Role::Reverter;
                (it.run, it.batch(), is_reverts, it.token)
            };
            grant(one) != grant(other)
        })
    })
}

fn one_active_run(state: &State) -> bool {
    (1u8..).zip(&state.runs).all(|(number, run)| {
        let is_over = run.as_ref().is_none_or(|run| run.state.has_ended());
        is_over || state.head.active_run == Some(number)
    })
}

fn revoked_before_the_next_run(state: &State) -> bool {
    let [first, second] = &state.runs;
    second.is_none() || first.as_ref().is_some_and(|run| !run.has_open_batches())
}

fn revoked_before_the_next_generation(state: &State) -> bool {
    state.runs.iter().flatten().all(|run| {
        run.all_batches()
            .all(|(at, batch)| at.generation == run.generation || !batch.state.is_open())
    })
}

pub(crate) fn is_taken_back(state: &State, run: u8) -> bool {
    state.revert(run).is_some_and(|revert| revert.ended)
}

fn one_revert(state: &State) -> bool {
    (1u8..).zip(&state.reverts).all(|(run, revert)| {
        let is_over = revert.is_none_or(|revert| revert.ended);
        is_over || state.head.reverting == Some(run)
    })
}

/// Whether a revert that has ended left nobody as its run left him.
fn all_taken_back(state: &State) -> bool {
    let by = state.people.iter().filter_map(|person| person.written_by);
    by.into_iter().all(|run| !is_taken_back(state, run))
}

/// Whether nobody is off by a run in such a state.
fn is_harmless(state: &State, ended: RunState) -> bool {
    state.people.iter().all(|person| {
        let by = person.status_run.and_then(|run| state.run_state(run));
        person.status == Status::Active || by != Some(ended)
    })
}

impl Protocol {
    pub(crate) fn all_properties(&self) -> Vec<Property<Self>> {
        let mut properties = safety();
        properties.push(Property::eventually(
            named::EVERY_RUN_ENDS,
            |protocol: &Self, state: &State| {
                let is_waiting = protocol.world.decisions && state.head.held_run.is_some();
                let is_free = state.head.active_run.is_none();
                let is_over = |run| {
                    let reverts = protocol.world.reverters > 0;
                    ended(state, run) && (!reverts || is_taken_back(state, run))
                };
                is_over(1) && is_over(2) && is_free && !is_waiting
            },
        ));
        properties.extend(self.possibilities());
        properties
    }
}

fn safety() -> Vec<Property<Protocol>> {
    vec![
        Property::always(named::ONLY_THE_FINALIZER, |_, state: &State| {
            never(Wrong::OffByAnother, state)
        }),
        Property::always(named::ONLY_WHILE_APPLYING, |_, state: &State| {
            never(Wrong::OffOutsideApplying, state)
        }),
        Property::always(named::NO_STALE_WRITE, |_, state: &State| {
            never(Wrong::StaleWrite, state)
        }),
        Property::always(named::TOKENS_RISE, |_, state: &State| {
            never(Wrong::TokenNotRaised, state) && no_two_have_the_same_token(state)
        }),
        Property::always(named::PROVEN, |_, state: &State| {
            never(Wrong::UnprovenPlan, state)
        }),
        Property::always(named::ONE_ACTIVE_RUN, |_, state: &State| {
            one_active_run(state)
        }),
        Property::always(named::REVOKED_BEFORE_THE_NEXT_RUN, |_, state: &State| {
            revoked_before_the_next_run(state)
        }),
        Property::always(
            named::REVOKED_BEFORE_THE_NEXT_GENERATION,
            |_, state: &State| revoked_before_the_next_generation(state),
        ),
        Property::always(named::ENDED_IS_ENDED, |_, state: &State| {
            never(Wrong::EndedRunWritten, state)
        }),
        Property::always(named::FAILED_IS_HARMLESS, |_, state: &State| {
            is_harmless(state, RunState::Failed)
        }),
        Property::always(named::APPROVED_AS_IT_WAITS, |_, state: &State| {
            never(Wrong::ApprovedAnother, state)
        }),
        Property::always(named::APPROVED_ONCE, |_, state: &State| {
            never(Wrong::ApprovedTwice, state)
        }),
        Property::always(named::REFUSED_IS_HARMLESS, |_, state: &State| {
            is_harmless(state, RunState::Rejected) && is_harmless(state, RunState::Superseded)
        }),
        Property::always(named::WHO_IS_BACK_STAYS, |_, state: &State| {
            let status = |who: Who| state.people[who.place()].status;
            state.back.is_none_or(|who| status(who) == Status::Active)
        }),
        Property::always(named::ONE_REVERT, |_, state: &State| one_revert(state)),
        Property::always(named::REVERTS_ITS_OWN, |_, state: &State| {
            never(Wrong::TookBackAnother, state)
        }),
        Property::always(named::TAKEN_BACK, |_, state: &State| all_taken_back(state)),
        Property::always(named::NOBODY_WHO_IS_THERE, |_, state: &State| {
            state.people[Who::Anna.place()].status == Status::Active
        }),
    ]
}

impl Mutation {
    /// The property that it breaks.
    #[must_use]
    pub const fn breaks(self) -> &'static str {
        match self {
            Self::NoLeaseCheck => named::NO_STALE_WRITE,
            Self::TokenStays => named::TOKENS_RISE,
            Self::LeaseAfterTheEnd => named::ENDED_IS_ENDED,
            Self::RunsSideBySide => named::ONE_ACTIVE_RUN,
            Self::NoRevocation => named::REVOKED_BEFORE_THE_NEXT_RUN,
            Self::NoRevocationBetweenGenerations => named::REVOKED_BEFORE_THE_NEXT_GENERATION,
            Self::NoProof | Self::CountsAreNotCompared | Self::EmptyListIsNobody => named::PROVEN,
            Self::AbsenceIsEvidence | Self::OneRunIsEnough => named::NOBODY_WHO_IS_THERE,
            Self::WorkersSwitchOff => named::ONLY_THE_FINALIZER,
            Self::NoApplyingState => named::ONLY_WHILE_APPLYING,
            Self::FailsWhileApplying => named::FAILED_IS_HARMLESS,
            Self::FailedRunsAreForgotten => named::EVERY_RUN_ENDS,
            Self::ApprovedBesideARun => named::ONE_ACTIVE_RUN,
            Self::ApprovalKeepsTheToken => named::NO_STALE_WRITE,
            Self::NobodyAsksWhetherItWaits | Self::AnyPlanIsMeant => named::APPROVED_AS_IT_WAITS,
            Self::NobodyIsAskedAnew => named::WHO_IS_BACK_STAYS,
            Self::GuardsAskAgain => named::APPROVED_ONCE,
            Self::DroppedInTheMiddle => named::REFUSED_IS_HARMLESS,
            Self::RevertsWhatWaits | Self::RevertsWhatIsActive => named::TAKEN_BACK,
            Self::RevertsSideBySide => named::ONE_REVERT,
            Self::RevertsWithoutTheLease => named::NO_STALE_WRITE,
            Self::RevertsWhoChangedSince => named::REVERTS_ITS_OWN,
        }
    }

    /// The world in which it can be noticed, with no more interruptions and lies than that takes where
    /// it takes long.
    #[must_use]
    pub fn world(self) -> World {
        match self {
            Self::NoRevocationBetweenGenerations => World::generations(),
            Self::ApprovedBesideARun
            | Self::ApprovalKeepsTheToken
            | Self::NobodyAsksWhetherItWaits => World::held(),
            Self::AnyPlanIsMeant
            | Self::NobodyIsAskedAnew
            | Self::GuardsAskAgain
            | Self::DroppedInTheMiddle => World {
                interruptions: 0,
                lies: 0,
                ..World::held()
            },
            Self::RevertsWhatWaits => World::reopened(),
            Self::RevertsWhatIsActive
            | Self::RevertsSideBySide
            | Self::RevertsWithoutTheLease
            | Self::RevertsWhoChangedSince => World::reverted(),
            _ => World::protocol(),
        }
    }
}
