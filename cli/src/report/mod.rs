//! `run report`: one page of HTML about one run, for the night and for the morning after.
//!
//! It promises: the page needs nothing but itself, and forbids itself everything else (no script, no
//! font, no picture from elsewhere); every value in it is escaped by the templates, whoever wrote it;
//! its numbers are those of `run show`; it has object ids, and names only when they are asked for.
//!
//! It never changes anything, and says nothing that neither the tables nor the log lines say.

mod acts;
mod batches;
mod chart;
mod facts;
mod funnel;
mod graph;
mod guards;
mod headline;
mod latency;
mod page;
#[cfg(test)]
mod tests;
mod users;

pub(crate) use self::facts::{Facts, Fate};
pub(crate) use self::page::{page, whole};

use crate::output::table::harmless;

/// The most users of a table; the command that lists all of them stands below it.
const USERS_SHOWN_MAX: usize = 200;
/// The most batches of the table: those of a tenant of a million users do not fit on any page.
const BATCHES_SHOWN_MAX: usize = 500;
/// The most leases of a picture. A screen has fewer points than this in a row.
const SPANS_SHOWN_MAX: usize = 2_000;
/// The most lanes beside each other of one kind: more than functions of a kind run at once.
const LANES_MAX: usize = 24;
/// The most leases that went wrong which are told in words.
const TROUBLES_SHOWN_MAX: usize = 50;
/// In how many parts the time is cut for Graph's answers: each is a bar of three points on a phone.
const SLICES: u64 = 120;

/// Text that somebody else wrote, made harmless for the eye; the templates make it so for the browser.
pub(crate) fn said(text: &str) -> String {
    harmless(text)
}
