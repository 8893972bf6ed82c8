//! The steps of a sync: enumerate, work, finalize, sweep. They run over the Graph client and the
//! store, and know nothing of Lambda: a handler gives them an event and a moment to stop at.
//!
//! Data walks one way: Graph, page, batch, user. Each step asks for a lease, does its part, and
//! rings the next one; everything that the next one needs is in the store.
//!
//! It promises:
//! - every step may die at any point, run twice, or run beside its copy, with the same result;
//! - the finalizer alone switches users off, from a plan made of a completeness proof and evidence;
//! - a run ends COMPLETED, HELD or FAILED, and a run that fails has switched off nobody;
//! - each change of a status is told to the application at least once, a user's changes in their order;
//! - a service provider's accounts are brought to what the directory has, and none is switched off but because its
//!   user is INACTIVE there.
//!
//! It never keeps anything between two invocations, and never puts a name or an address in a log.

mod app;
mod chain;
mod classify;
mod confirm;
mod doorbell;
mod due;
mod enumerate;
mod error;
mod events;
mod fan_out;
mod fetch;
mod finalize;
mod keep;
mod members;
mod outlet;
mod overdue;
mod plan;
mod release;
mod revert;
mod secrets;
mod start;
mod status_event;
mod sweep;
mod tell;
mod telling;
mod topic;
mod turns;
mod view;
mod work;

pub use app::{App, graph_client};
pub use doorbell::Queues;
pub use error::HandlerError;
pub use events::stop_at_ms;
pub use fan_out::Pace;
pub use outlet::Outlet;
pub use release::reject;
pub use secrets::{Aws, Secrets};
pub use telling::scim_client;
pub use topic::Topic;
