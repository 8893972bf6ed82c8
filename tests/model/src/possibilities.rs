//! What has to be possible, so that nothing holds only because nothing happens.

use rollcall_core::run::RunState;
use rollcall_core::status::{Reason, Status};
use stateright::Property;

use crate::Protocol;
use crate::people::{Person, Who};
use crate::properties::{ended, is_taken_back};
use crate::state::{GENERATIONS_MAX, RUNS, State};

fn is_off(state: &State, who: Who, reason: Reason) -> bool {
    let person = state.people[who.place()];
    person.status == Status::Inactive && person.reason == reason
}

impl Protocol {
    /// What can happen in every world, and what only in this one.
    pub(crate) fn possibilities(&self) -> Vec<Property<Self>> {
        let mut possible = vec![
            Property::sometimes("the first run fails", |_, state: &State| {
                state.run_state(1) == Some(RunState::Failed)
            }),
            Property::sometimes("the second run fails", |_, state: &State| {
                state.run_state(2) == Some(RunState::Failed)
            }),
            Property::sometimes("the first run is held or completes", |_, state: &State| {
                ended(state, 1) && state.run_state(1) != Some(RunState::Failed)
            }),
            Property::sometimes(
                "a run starts after one that was given up",
                |_, state: &State| {
                    state.run_state(1) == Some(RunState::Failed) && state.run(2).is_some()
                },
            ),
        ];
        // Without a lie, no guard holds a plan of theirs but the one that holds any.
        if self.world.lies > 0 || self.holds_every_plan() {
            possible.push(Property::sometimes("a run is held", |_, state: &State| {
                state.head.held_run.is_some()
            }));
        }
        if self.holds_every_plan() {
            possible.extend(decisions());
        } else {
            possible.extend(completions());
        }
        if self.world.reverters > 0 {
            possible.extend(reverts());
        }
        if self.world.generations == GENERATIONS_MAX {
            possible.push(Property::sometimes(
                "a run that began again gets to carry out its plan",
                |_, state: &State| {
                    let first = state.run(1);
                    first.is_some_and(|run| {
                        run.state == RunState::Applying && run.generation == GENERATIONS_MAX
                    })
                },
            ));
        }
        possible
    }
}

fn is_approved(state: &State, run: u8, how: RunState) -> bool {
    let run = state.run(run);
    run.is_some_and(|run| run.approved && run.state == how)
}

fn decisions() -> Vec<Property<Protocol>> {
    vec![
        Property::sometimes("a held plan is superseded", |_, state: &State| {
            state.run_state(1) == Some(RunState::Superseded) && state.head.held_run == Some(2)
        }),
        Property::sometimes("a held plan is rejected", |_, state: &State| {
            state.run_state(1) == Some(RunState::Rejected)
        }),
        Property::sometimes("both runs are approved and complete", |_, state: &State| {
            (1u8..)
                .take(RUNS)
                .all(|run| is_approved(state, run, RunState::Completed))
        }),
        Property::sometimes("an approved run fails", |_, state: &State| {
            is_approved(state, 1, RunState::Failed)
        }),
        Property::sometimes(
            "a plan is approved after the next run was given up",
            |_, state: &State| {
                is_approved(state, 1, RunState::Completed)
                    && state.run_state(2) == Some(RunState::Failed)
            },
        ),
        Property::sometimes(
            "an approved plan switches off who is disabled",
            |_, state: &State| is_off(state, Who::Ben, Reason::Disabled),
        ),
        Property::sometimes(
            "an approved plan switches off whom two runs did not find",
            |_, state: &State| is_off(state, Who::Cara, Reason::NotFound),
        ),
        Property::sometimes(
            "an approved plan is carried out without somebody who was restored",
            |_, state: &State| {
                is_approved(state, 2, RunState::Completed) && state.back == Some(Who::Cara)
            },
        ),
        Property::sometimes(
            "an approved plan is left in the middle",
            |_, state: &State| {
                is_approved(state, 1, RunState::Applying)
                    && is_off(state, Who::Ben, Reason::Disabled)
                    && state.invocations.iter().all(Option::is_none)
            },
        ),
    ]
}

fn reverts() -> Vec<Property<Protocol>> {
    vec![
        Property::sometimes("whom a run switched off is on again", |_, state: &State| {
            let ben = &state.people[Who::Ben.place()];
            let was_off = ben.version > Person::KNOWN.version + 2;
            is_taken_back(state, 1) && was_off && ben.status == Status::Active
        }),
        Property::sometimes(
            "a run is taken back while the next one is active",
            |_, state: &State| state.head.reverting == Some(1) && state.head.active_run == Some(2),
        ),
        Property::sometimes("a revert is left in the middle", |_, state: &State| {
            let revert = state.revert(1);
            revert.is_some_and(|revert| revert.place > 0 && !revert.ended)
                && state.invocations.iter().all(Option::is_none)
        }),
        Property::sometimes(
            "who is on again by a revert is switched off by the next run",
            |_, state: &State| {
                let ben = &state.people[Who::Ben.place()];
                is_taken_back(state, 1)
                    && state.run_state(1) == Some(RunState::Completed)
                    && ben.status_run == Some(2)
            },
        ),
    ]
}

fn completions() -> Vec<Property<Protocol>> {
    vec![
        Property::sometimes("both runs complete", |_, state: &State| {
            (1u8..)
                .take(RUNS)
                .all(|run| state.run_state(run) == Some(RunState::Completed))
        }),
        Property::sometimes(
            "a run completes after one that was given up",
            |_, state: &State| {
                state.run_state(1) == Some(RunState::Failed)
                    && state.run_state(2) == Some(RunState::Completed)
            },
        ),
        Property::sometimes("who is disabled is switched off", |_, state: &State| {
            is_off(state, Who::Ben, Reason::Disabled)
        }),
        Property::sometimes(
            "whom two runs did not find is switched off",
            |_, state: &State| is_off(state, Who::Cara, Reason::NotFound),
        ),
        Property::sometimes("a plan is left in the middle", |_, state: &State| {
            state.run_state(1) == Some(RunState::Applying)
                && is_off(state, Who::Ben, Reason::Disabled)
                && state.invocations.iter().all(Option::is_none)
        }),
    ]
}
