//! The store against the embedded DynamoDB, through the real SDK. Time is a clock that the tests
//! set by hand, so leases lapse without waiting; faults come in on the wire between the SDK and the
//! database.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where a step fails"
)]

mod by_hand;
mod conflicts;
mod deltas;
mod endings;
mod holds;
mod items;
mod layouts;
mod leases;
mod lost_answers;
mod members;
mod old_holders;
mod owed;
mod pages;
mod plans;
mod races;
mod reads;
mod reverts;
mod scim;
mod starts;
mod tenants;
mod transitions;
mod users;
mod values;
mod wire;
mod world;
