//! The rules of a sync, without anything that they run on: the states of runs and batches, leases,
//! the completeness proof, evidence, the plan, the guards, and a tenant's settings.
//!
//! It promises:
//! - a run and a batch move only as [`run::next_run_state`] and [`batch::next_batch_state`] say;
//! - a [`proof::CompletenessProof`] exists only for an enumeration that is whole;
//! - an [`evidence::Evidence`] exists only from a proof and a cause that was seen or asked for;
//! - a [`plan::Deactivation`] exists only in a [`plan::Plan`], which takes a proof and evidence, or is
//!   read back by its hash.
//!
//! It never reads a clock, draws a random number, waits, or knows AWS or HTTP. Time comes in as
//! milliseconds since 1970-01-01T00:00:00Z (`…_ms`).

pub mod batch;
mod bounds;
pub mod by_hand;
pub mod counts;
pub mod credential;
pub mod delta;
pub mod evidence;
pub mod guard;
pub mod ids;
pub mod lease;
pub mod members;
pub mod page;
pub mod plan;
pub mod proof;
pub mod quarantine;
pub mod reconcile;
pub mod revert;
pub mod run;
pub mod schedule;
pub mod scim;
pub mod scope;
pub mod seen;
pub mod settings;
pub mod status;
#[cfg(test)]
mod testing;
pub mod user;
pub mod window;
