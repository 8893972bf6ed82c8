//! The protocol as it is, in every world.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rollcall_core::run::RunState;
use rollcall_model::{Protocol, State, World, counterexample, explore, named};
use stateright::Model;

/// How many states there are in each world. A change of the protocol, or of the model, shows here.
const STATES: [(&str, usize); 6] = [
    ("protocol", 2_797_661),
    ("copies", 1_371_564),
    ("generations", 1_559_261),
    ("held", 1_343_272),
    ("reverted", 1_184_954),
    ("reopened", 351_744),
];

/// Explores a world completely, and asks everything of it.
fn explored(world: World) {
    let name = world.name;
    let explored = explore(world).unwrap();
    let bad: Vec<_> = explored.bad().collect();
    assert!(bad.is_empty(), "{name}: {bad:?}");
    assert_eq!(
        STATES.iter().find(|(of, _)| *of == name),
        Some(&(name, explored.states))
    );
}

#[test]
fn two_workers_a_finalizer_a_sweeper_and_a_second_run_keep_every_promise() {
    explored(World::protocol());
}

#[test]
fn copies_of_each_function_keep_every_promise() {
    explored(World::copies());
}

#[test]
fn runs_that_begin_again_keep_every_promise() {
    explored(World::generations());
}

#[test]
fn runs_that_are_held_and_decided_about_keep_every_promise() {
    explored(World::held());
}

#[test]
fn runs_that_are_taken_back_beside_others_keep_every_promise() {
    explored(World::reverted());
}

#[test]
fn runs_that_are_decided_about_and_taken_back_keep_every_promise() {
    explored(World::reopened());
}

/// A plain walk through every state: how often each was come to, and where it leads.
struct Walk {
    states: Vec<State>,
    to: Vec<Vec<usize>>,
}

impl Walk {
    fn through(protocol: &Protocol) -> Self {
        let mut numbers = HashMap::new();
        let mut states = protocol.init_states();
        for (number, state) in states.iter().enumerate() {
            numbers.insert(state.clone(), number);
        }
        let mut to = Vec::new();
        while to.len() < states.len() {
            let mut next = Vec::new();
            for state in protocol.next_states(&states[to.len()]) {
                let number = match numbers.entry(state) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        states.push(new.key().clone());
                        *new.insert(states.len() - 1)
                    }
                };
                next.push(number);
            }
            to.push(next);
        }
        Self { states, to }
    }

    /// How many states are left when those that nothing leads to are taken away, again and again:
    /// those that a circle leads to.
    fn in_or_after_circles(&self) -> usize {
        let mut ways_in = vec![0; self.states.len()];
        for to in self.to.iter().flatten() {
            ways_in[*to] += 1;
        }
        let mut free: Vec<_> = (0..ways_in.len()).filter(|n| ways_in[*n] == 0).collect();
        let mut left = self.states.len();
        while let Some(number) = free.pop() {
            left -= 1;
            for to in &self.to[number] {
                ways_in[*to] -= 1;
                if ways_in[*to] == 0 {
                    free.push(*to);
                }
            }
        }
        left
    }
}

/// The checker's answer about ends is right only where no path goes in a circle, and its number only
/// if it left nothing out; so a walk without it has to come to the same, here with less that goes
/// wrong.
#[test]
fn a_plain_walk_meets_the_same_states_no_circle_and_no_end_but_that_of_both_runs() {
    for world in World::all() {
        let world = World {
            interruptions: 1,
            lies: world.lies.min(1),
            ..world
        };
        let (name, decisions) = (world.name, world.decisions);
        let walk = Walk::through(&Protocol::new(world.clone()).unwrap());
        assert_eq!(walk.states.len(), explore(world).unwrap().states, "{name}");
        assert_eq!(walk.in_or_after_circles(), 0, "{name}");
        for (state, to) in walk.states.iter().zip(&walk.to) {
            let is_over = state.head.active_run.is_none()
                && state.head.reverting.is_none()
                && !(decisions && state.head.held_run.is_some())
                && [1, 2]
                    .into_iter()
                    .all(|run| state.run_state(run).is_some_and(RunState::has_ended));
            assert!(is_over || !to.is_empty(), "{name}: {state:?}");
        }
    }
}

#[test]
fn four_lies_can_switch_off_somebody_who_is_there_and_three_cannot() {
    let told = |lies| World {
        interruptions: 0,
        lies,
        ..World::protocol()
    };
    let off = |lies| counterexample(told(lies), &[], named::NOBODY_WHO_IS_THERE).unwrap();
    assert_eq!(off(3), None);
    let story = off(4).unwrap();
    let lies = |word: &str| story.iter().filter(|step| step.contains(word)).count();
    assert_eq!(
        (lies("(LeftOut)"), lies("(NotFound)")),
        (2, 2),
        "{story:#?}"
    );
}
