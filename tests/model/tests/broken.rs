//! The protocol with a line taken out: the model has to notice.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use std::collections::BTreeSet;

use rollcall_model::{Mutation, Protocol, World, counterexample, named};
use stateright::{Expectation, Model};

#[test]
fn each_line_taken_out_breaks_the_promise_that_it_gives() {
    for mutation in Mutation::ALL {
        let property = mutation.breaks();
        let story = counterexample(mutation.world(), &[mutation], property).unwrap();
        assert!(story.is_some(), "{mutation:?} was not noticed: {property}");
    }
}

#[test]
fn each_promise_is_broken_by_some_line_taken_out() {
    let broken: BTreeSet<_> = Mutation::ALL.map(Mutation::breaks).into();
    let promised = Protocol::new(World::protocol()).unwrap().properties();
    let promised: BTreeSet<_> = promised
        .into_iter()
        .filter(|property| property.expectation != Expectation::Sometimes)
        .map(|property| property.name)
        .collect();
    assert_eq!(broken, promised);
}

#[test]
fn an_empty_list_that_is_taken_for_nobody_switches_off_who_is_there_when_absence_is_evidence() {
    let off = named::NOBODY_WHO_IS_THERE;
    let story = counterexample(World::protocol(), &Mutation::THE_INCIDENT, off).unwrap();
    let story = story.unwrap();
    assert!(
        story.iter().any(|step| step.contains("ListCut(0)")),
        "{story:#?}"
    );
    assert!(
        story.iter().all(|step| !step.contains("LeftOut")),
        "{story:#?}"
    );
}

#[test]
fn an_empty_list_alone_switches_off_nobody_because_the_absent_are_asked_for_by_id() {
    let world = World {
        interruptions: 1,
        ..World::protocol()
    };
    let off = named::NOBODY_WHO_IS_THERE;
    let story = counterexample(world, &[Mutation::EmptyListIsNobody], off).unwrap();
    assert_eq!(story, None);
}

#[test]
fn the_same_line_taken_out_opens_batches_of_a_run_that_was_given_up_to_the_next_one() {
    let open = named::REVOKED_BEFORE_THE_NEXT_RUN;
    let broken = [Mutation::EmptyListIsNobody];
    let story = counterexample(World::protocol(), &broken, open).unwrap();
    assert!(story.is_some());
}
