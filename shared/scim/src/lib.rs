//! The SCIM client: a service provider's accounts, brought to what the directory has of its users.
//! <https://www.rfc-editor.org/rfc/rfc7644>
//!
//! It promises:
//! - An account is found again by the user's object id, its `externalId`, before one is created: an answer that
//!   was lost makes no second one. An account that somebody made by hand under the user's login name is taken over,
//!   and one that names another user is left alone.
//! - An answer counts for what it says: a change that it does not speak of was not made, and an account that names
//!   another user is not taken, whoever gives it.
//! - Who is off goes off, also where nothing else of him is taken.
//! - Nothing but what the directory has is changed: a `PATCH` of those attributes, never a `PUT`.
//! - Passing faults are waited out, a few attempts long; what a request that is not repeated safely came to is asked.
//!
//! It never deletes an account, never decides who is on, and puts no name, address, token or text of the service
//! provider into a log line or an error.

mod call;
mod client;
mod error;
mod wire;

pub use client::{Absence, Bearer, Brought, ScimClient, ScimConfig};
pub use error::ScimError;
