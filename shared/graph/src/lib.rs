//! The Microsoft Graph client: who is in a directory, and who is not in it any more.
//!
//! It reads the users of one Microsoft Entra tenant page by page ([`GraphClient::users_page`]), or what
//! changed since ([`GraphClient::delta_page`]), and
//! asks three more ways about those who were not seen: by id in bulk
//! ([`GraphClient::get_by_ids`]), in the bin ([`GraphClient::deleted_users`]), and one by one
//! ([`GraphClient::users_by_id`]). It lists the users of a group ([`GraphClient::group_members`]), and asks
//! by id who is in one ([`GraphClient::in_groups`]).
//!
//! It promises:
//! - A page is taken as a whole or not at all. Whatever is not a page (cut off, broken, an error in
//!   a 200, a user without an id, a property twice) is asked for again, and then it is an error: never an empty page.
//! - The access token goes to the configured origin only, over TLS (plain HTTP to a loopback
//!   address excepted). No redirect is followed.
//! - Throttling and passing faults are waited out, each request within
//!   [`GraphConfig::retry_ms_max`]. `Retry-After` is honoured.
//! - Only a 404 with the code `Request_ResourceNotFound` says that a user is not there.
//!
//! It never decides who is switched off, never holds more than one page of users, and never puts a
//! name, an address, a token, a link or a secret into a log line or an error.
//!
//! A request goes through four rooms, and travels by a [`Transport`]: `client` knows what is asked, `http` sends it and judges the
//! status, `retry` decides whether to ask again and when, `page` and `batch` make sense of the body.

mod batch;
mod certificate;
mod challenge;
mod client;
mod config;
mod confirm;
mod error;
mod exchange;
mod groups;
mod http;
mod identity;
mod link;
#[cfg(test)]
mod mutated_tests;
mod page;
mod retry;
mod token;
mod usage;

pub use certificate::Certificate;
pub use client::{DeltaLink, DeltaPage, GraphClient, PageAt, UsersPage};
pub use config::{Cloud, Credential, GraphConfig, Kind, Secret};
pub use confirm::Existence;
pub use error::{FailedCall, GraphError};
pub use exchange::{Exchange, Lost, Received, Transport, network};
pub use groups::{CHECKED_GROUPS_MAX, FirstMembers, GroupMembers};
pub use identity::{Identity, Keeper, NoProof, Proving};
pub use link::{NEXT_LINK_BYTES_MAX, NextLink};
/// A request as a [`Transport`] gets it.
pub use reqwest::Request;
pub use usage::Usage;
