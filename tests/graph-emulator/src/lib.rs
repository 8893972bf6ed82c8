//! An emulator of Microsoft Graph v1.0 and its token endpoint, as far as the enumeration of users, and
//! of the groups that they are in, needs them, over HTTP on the loopback address.
//!
//! It is two things. [`Graph`] is the service without sockets: [`Graph::handle`] takes a request and
//! gives an [`Answer`]; its time and randomness come from a [`rollcall_ambient::Ambient`], so a
//! simulation can drive it. [`Emulator`] is a thin server around it.
//!
//! It promises to be as awkward as the real service: pages are cut from the live directory as it is
//! at that moment; page tokens are long, opaque and escaped, and can expire; ids come back from
//! `getByIds` and `$batch` in any order; deltas tell what changed and no more; bearers are checked on every call; `accountEnabled` is
//! answered only when it is selected; bodies are gzip in chunks. Beyond that, a [`Fault`] can be had
//! for any request ([`Graph::add_fault`], or as text by [`FaultScript`]), and the directory can change between any two
//! ([`Graph::before`], [`Graph::after`], [`Tenant::directory`]).
//!
//! It counts resource units, and throttles whoever asks for more than a tenant of its size has, as the
//! service does ([`Tenant::set_units_max`]).
//!
//! It never writes to a log or a disk, never listens beyond 127.0.0.1, and never invents a fault
//! that no rule asked for. It has no query engine (`$filter`, `$orderby`, `$expand` and `$search`
//! are refused).

mod answer;
mod assertion;
mod batch;
mod changes;
mod control;
mod delta;
mod directory;
mod errors;
mod fault;
mod graph;
mod groups;
mod hooks;
mod ledger;
mod lists;
mod log;
mod login;
mod objects;
mod people;
mod property;
mod request;
mod script;
mod server;
mod tenant;
mod throttle;
mod time;
mod user;

pub use answer::{Answer, Delivery};
pub use assertion::FederatedCredential;
pub use delta::DELTA_LIFE_MS;
pub use directory::{DELETED_KEPT_MS, Directory, DirectoryError};
pub use fault::{ErrorBody, Fault, NextLink, PageTokenError, SyncStateError, Who};
pub use graph::Graph;
pub use groups::Member;
pub use hooks::{FaultRule, Matcher, Times};
pub use log::{LOG_ENTRIES_MAX, LogEntry};
pub use people::Population;
pub use request::Endpoint;
pub use script::{FaultScript, ScriptError};
pub use server::Emulator;
pub use tenant::{Paging, TOKEN_LIFE_S, Tenant, TenantSpec};
pub use user::User;
