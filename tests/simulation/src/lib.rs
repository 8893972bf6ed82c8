//! Whole syncs in a world where everything goes wrong: the shipped steps, store and Graph client, and
//! the real AWS SDK, on one thread under a virtual clock.
//!
//! It promises that one seed is one history, to the byte: every draw comes from the seed, and nothing
//! reads a clock or waits for anything outside. After every write that the database takes, the
//! invariants of the design are checked, and an oracle that knows who is really there is asked.
//!
//! It never replaces the system's code by a copy. What is simulated is what is around it:
//! - [`world`](mod@world): the services, the clocks, the truth;
//! - `weather`, `chaos`: how much goes wrong; `lambda`, `queues`, `dynamo`, `spoiled`,
//!   `graph`: what goes wrong, and where;
//! - `stream`, `publisher`, `topic`: what the application is told, and what goes wrong in between;
//! - `telling`, `provider`: what service providers are told, likewise;
//! - `tenants`, `churn`, `person`, `operator`, `hands`, `schedules`, `story`: what people do, what fires by
//!   itself, and in which order;
//! - `checks`, `oracle`, `logs`: what must be true;
//! - [`bugs`]: defects that the checks have to catch.

pub mod bugs;
mod called_for;
mod chaos;
mod checks;
mod churn;
mod database;
mod dice;
mod dynamo;
mod graph;
mod hands;
mod item;
mod lambda;
mod logs;
mod machine;
pub mod many;
mod marks;
mod mirror;
mod operator;
mod oracle;
mod person;
mod provider;
mod publisher;
mod queues;
mod schedules;
mod spoiled;
mod story;
mod stream;
mod telling;
mod tenants;
mod topic;
mod trace;
mod weather;
pub mod world;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use tracing::dispatcher::{Dispatch, set_default};

pub use crate::marks::Marks;
use crate::world::{Violation, World};

/// What came of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// The first promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// What happened, if it was asked for.
    pub history: String,
    /// What happened, and how often.
    pub marks: Marks,
}

/// Runs one seed, on this thread.
///
/// # Errors
/// What is wrong with the simulation itself.
pub fn run_seed(seed: u64, traced: bool) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    runtime.block_on(async {
        let world = Arc::new(World::new(seed, traced)?);
        let heard = set_default(&Dispatch::new(logs::Listener(Arc::clone(&world))));
        let told = story::tell(&world).await;
        drop(heard);
        world.end();
        told?;
        Ok(Outcome {
            violation: world.violation(),
            history: world.take_history(),
            marks: world.take_marks(),
        })
    })
}

/// The same, where a panic is a violation too.
pub fn run_seed_safely(seed: u64, traced: bool) -> Outcome {
    let told = |broken: &str, detail: String| Outcome {
        violation: Some(Violation {
            broken: broken.to_owned(),
            detail,
        }),
        history: String::new(),
        marks: Marks::new(),
    };
    match std::panic::catch_unwind(AssertUnwindSafe(|| run_seed(seed, traced))) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => told("the simulation", format!("{error:#}")),
        Err(_) => told("no panic", "see above".to_owned()),
    }
}
