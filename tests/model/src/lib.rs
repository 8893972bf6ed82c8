//! The protocol of a run as a model, explored to its last state: an enumerator, workers on two
//! batches, a finalizer and a sweeper, over one tenant with two runs and three people; what a person
//! decides about a plan that is held; and reverters, for a run that a person takes back.
//!
//! It is the protocol over the transition functions of `rollcall-core`: where a run or batch may go,
//! when a lease is granted, what is proven, what is evidence, what a worker decides and what a guard
//! holds is asked of the same functions that the system asks. An action is one atomic step of
//! DynamoDB, or one read with what is concluded from it. Between any two, an invocation can die, or
//! be late and go on with a lease that it has lost; be woken again, or beside its copy; and Graph and
//! the reads of the list of batches can lie. [`World`] says how much of it.
//!
//! It promises:
//! - every state that the protocol can come to in a [`World`] is visited, and every property of
//!   [`named`] is asked there;
//! - a step is judged by rules of its own ([`Wrong`]), not by those that the step itself used;
//! - each property is refuted for a protocol with one line taken out ([`Mutation`]).
//!
//! It never reads a clock or draws a number, and knows neither DynamoDB nor Graph: that DynamoDB
//! takes a step exactly when these functions do is what `shared/store/tests` shows.
//!
//! Left out is what adds no state, or only fails a run more often:
//! - The renewal of a lease: it leads back to where the lease had not lapsed yet.
//! - An answer that gets lost: the step was taken, and whoever took it dies. But that of a hold can get
//!   lost, for a person can reopen the run before whoever held it tries again.
//! - Giving a lease back for want of time: the same as dying, for all others.
//! - Deadlines, settings that change, faults of Graph: a run can be given up at any moment, and a plan
//!   that waits is approved at any, or never.
//! - A lie about somebody who is asked about anew: nobody can tell it from his having changed.
//! - A plan's hash: each run has one plan, so the run's number stands for it.
//! - A person's word about a user, by hand: it is a write of another version, as a revert's is.
//! - Delta runs, and what a revert finds of its journal: that it is whole.

mod actions;
mod audit;
mod conditions;
mod enumerate;
mod explore;
mod finalize;
mod give_up;
mod holds;
mod judge;
mod mutation;
mod people;
mod possibilities;
mod properties;
mod protocol;
mod reduce;
mod release;
mod revert;
mod state;
mod work;
mod world;

pub use actions::{Action, Luck};
pub use audit::{Wrong, Wrongs};
pub use explore::{Explored, Story, Verdict, counterexample, describe, explore};
pub use mutation::Mutation;
pub use people::{Person, StreakMark, Who};
pub use properties::named;
pub use protocol::Protocol;
pub use revert::Revert;
pub use state::{
    Batch, BatchAt, Content, Entries, Entry, Head, Invocation, Lease, Plan, Role, Run, State, Step,
};
pub use world::{INTERRUPTIONS, LIES, World};
