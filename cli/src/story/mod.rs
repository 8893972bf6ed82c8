//! The story of runs, rebuilt from their log lines alone: who had which lease when, what was read and
//! written, why each user was switched off, how the run ended, and why.
//!
//! It promises that the order of the lines, lines that come twice, and lines of anything else change
//! nothing; and that a line of this system that is broken is named instead of being left out. It never
//! looks at what is stored: what the logs do not say, it does not say.

mod build;
mod cause;
mod line;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollcall_core::ids::{RunRef, TenantId};
use serde::{Serialize, Serializer};

pub(crate) use self::cause::meaning;
pub(crate) use self::line::find;

/// A line that is of this system, and is broken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number}: {problem}")]
pub(crate) struct BadLine {
    number: usize,
    problem: String,
}

/// Where a run stands after its last line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum End {
    /// No line tells of an end.
    #[default]
    Unknown,
    Completed,
    Held,
    Rejected,
    Superseded,
    Failed,
}

/// How a lease ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LeaseEnd {
    /// No line tells.
    #[default]
    Unknown,
    /// Its work was done.
    Done,
    /// It was given back, for another invocation to go on.
    PassedOn,
    /// Its holder noticed that it was not his any more, and wrote nothing more.
    Lost,
    /// It lapsed and another took it; its holder was not heard of again.
    TakenOver,
    /// Its holder ended with an error.
    Error,
}

/// A lease of a run or of a batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Lease {
    pub(super) token: u64,
    /// Empty when the line that grants it is missing.
    pub(super) owner: String,
    /// What a run's lease is for; `None` for a batch's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) step: Option<String>,
    #[serde(serialize_with = "as_text_or_null")]
    pub(super) since: Option<Timestamp>,
    #[serde(serialize_with = "as_text_or_null")]
    pub(super) until: Option<Timestamp>,
    /// The token of the lease that had lapsed.
    pub(super) taken_from: Option<u64>,
    /// For how long it was given, if the line tells.
    pub(super) lease_ms: Option<u64>,
    pub(super) ended: LeaseEnd,
    /// Whether a write under it was refused.
    pub(super) fenced: bool,
    /// It was taken over long before it could have lapsed, or lost before it was taken over.
    pub(super) clocks_differ: bool,
}

/// A page of the enumeration, and the batch that is its work.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Page {
    pub(super) generation: u32,
    pub(super) page: u32,
    #[serde(serialize_with = "as_text_or_null")]
    pub(super) committed_at: Option<Timestamp>,
    /// The token of the enumerator's lease.
    pub(super) token: Option<u64>,
    pub(super) is_delta: bool,
    pub(super) is_last: bool,
    pub(super) users: u64,
    pub(super) changed: u64,
    pub(super) graph_request_id: Option<String>,
    pub(super) took_ms: u64,
    /// Of its batch, by token.
    pub(super) leases: Vec<Lease>,
    /// `DONE`, or `OPEN` as far as the lines tell.
    pub(super) state: &'static str,
    /// How many users were written, also under leases that were lost.
    pub(super) written: u64,
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) reactivated: u64,
    pub(super) candidates: u64,
}

/// A generation, and why it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Generation {
    pub(super) generation: u32,
    pub(super) because: String,
}

/// How Graph made itself felt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct GraphTrouble {
    pub(super) asked_again: u64,
    pub(super) throttled: u64,
    pub(super) waited_ms: u64,
    /// Page links that had expired and were replaced by fresh ones.
    pub(super) links_freshened: u64,
    pub(super) delta_left_out: bool,
    /// One by one, for a picture of the night; the sums above are what is told.
    #[serde(skip)]
    pub(super) waits: Vec<Wait>,
    /// Only in lines from level "debug" on.
    #[serde(skip)]
    pub(super) answers: Vec<Answer>,
}

/// A request that had to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(super) at: Timestamp,
    pub(super) operation: String,
    /// `None` if no answer came.
    pub(super) status: Option<u64>,
    pub(super) wait_ms: u64,
}

/// An answer of Graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(super) at: Timestamp,
    pub(super) operation: String,
    pub(super) status: u64,
    pub(super) took_ms: u64,
}

/// The numbers of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Plan {
    pub(super) hash: String,
    pub(super) deactivations: u64,
    pub(super) disabled: u64,
    pub(super) deleted: u64,
    pub(super) not_found: u64,
    pub(super) out_of_scope: u64,
    pub(super) active: u64,
    pub(super) users_seen: u64,
    pub(super) users_seen_before: Option<u64>,
    pub(super) absent: u64,
    pub(super) contradicted: u64,
    pub(super) awaiting_confirmation: u64,
}

/// A hold, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Hold {
    pub(super) guard: String,
    pub(super) limit: f64,
    pub(super) value: f64,
    pub(super) plan: String,
    pub(super) deactivations: u64,
    /// `approved`, `rejected`, `superseded` or `lapsed`.
    pub(super) ruling: Option<&'static str>,
    /// What of an approved plan stays ACTIVE, since its evidence is gone.
    pub(super) stays: Option<u64>,
}

/// A user whose status changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Changed {
    pub(super) id: String,
    /// Why he is off now, or was off before.
    pub(super) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) evidence: Option<String>,
}

/// A run that was taken back.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Revert {
    pub(super) leases: Vec<Lease>,
    pub(super) restored: u64,
    pub(super) ended: bool,
}

/// A run as its lines tell it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Story {
    pub(super) tenant: TenantId,
    pub(super) run: u64,
    pub(super) mode: Option<String>,
    pub(super) settings_revision: Option<u64>,
    /// That of the run before, if its lines are there too.
    pub(super) settings_revision_before: Option<u64>,
    #[serde(serialize_with = "as_text")]
    pub(super) first_line_at: Timestamp,
    #[serde(serialize_with = "as_text")]
    pub(super) last_line_at: Timestamp,
    pub(super) state: End,
    pub(super) reason: Option<String>,
    pub(super) detail: Option<String>,
    /// In one sentence, and what else happened in another each.
    pub(super) cause: String,
    pub(super) generation: u32,
    pub(super) generations: Vec<Generation>,
    pub(super) leases: Vec<Lease>,
    pub(super) pages: Vec<Page>,
    pub(super) graph: GraphTrouble,
    pub(super) users_seen: Option<u64>,
    pub(super) proven: bool,
    pub(super) plan: Option<Plan>,
    pub(super) held: Option<Hold>,
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) reactivated: u64,
    pub(super) deactivated: Vec<Changed>,
    pub(super) switched_on_again: Vec<Changed>,
    /// Who was on the plan, and changed before it was carried out.
    pub(super) left_alone: Vec<String>,
    /// Who was not seen or should go, and was found alive by id.
    pub(super) contradicted: Vec<String>,
    pub(super) awaiting: Vec<String>,
    pub(super) errors: Vec<String>,
    /// Batches that the sweeper rang for, since nobody worked on them.
    pub(super) rung_again: u64,
    /// Messages that found their batch in other hands, or over.
    pub(super) idle_messages: u64,
    pub(super) reverted: Option<Revert>,
}

/// The runs that these lines tell of, by tenant and number.
pub(crate) fn tell(file: &[u8]) -> Result<Vec<Story>, BadLine> {
    let found = find(file)?;
    let mut by_run: BTreeMap<RunRef, Vec<_>> = BTreeMap::new();
    for line in found.lines {
        by_run.entry(line.run.clone()).or_default().push(line);
    }
    let mut stories: Vec<Story> = Vec::with_capacity(by_run.len());
    for (run, lines) in by_run {
        let mut story = build::story(&run, &lines)?;
        let before = stories.last().filter(|it| it.tenant == story.tenant);
        story.settings_revision_before = before.and_then(|it| it.settings_revision);
        story.cause = cause::of(&story);
        stories.push(story);
    }
    Ok(stories)
}

impl Story {
    /// Which run.
    pub(crate) fn is_of(&self, run: &RunRef) -> bool {
        self.tenant == run.tenant && self.run == run.run
    }
}

/// RFC 3339, in UTC, to the millisecond.
fn as_text<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{at:.3}"))
}

fn as_text_or_null<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => as_text(at, to),
        None => to.serialize_none(),
    }
}
