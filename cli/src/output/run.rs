//! Runs, as JSON and as tables. The JSON is a contract: fields are added, never changed.

use std::fmt;

use comfy_table::Table;
use rollcall_core::counts::{ChangeCounts, DeactivatedBy, Kept};
use rollcall_core::ids::TenantId;
use rollcall_core::run::{FailReason, RunMode};
use rollcall_store::{
    BatchRecord, Capacity, GraphUsage, Held, HoldDecision, RunRecord, Store, StoreError,
};
use serde::Serialize;

use super::table::{grouped, or_dash, right, table};
use super::time;

/// A run.
#[derive(Debug, Serialize)]
pub(crate) struct RunView {
    pub(crate) tenant: TenantId,
    pub(crate) run: u64,
    pub(crate) mode: RunMode,
    pub(crate) state: &'static str,
    pub(crate) reason: Option<FailReason>,
    generation: u32,
    pages: u32,
    batches: u64,
    pub(crate) users_seen: u64,
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) reactivated: u64,
    pub(crate) unchanged: u64,
    pub(crate) deactivated: u64,
    pub(crate) deactivated_by: DeactivatedBy,
    pub(crate) kept: Kept,
    pub(crate) held: Option<Held>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approved: Option<DecisionView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<DecisionView>,
    graph: GraphUsage,
    capacity: Capacity,
    #[serde(serialize_with = "time::as_rfc3339")]
    started_at: u64,
    #[serde(serialize_with = "time::as_rfc3339_or_null")]
    pub(crate) ended_at: Option<u64>,
}

impl RunView {
    /// A run with its totals; those of a run that has none (it goes on, or failed) are what its
    /// batches report so far.
    pub(crate) async fn load(store: &Store, run: &RunRecord) -> Result<Self, StoreError> {
        let batches = match run.totals {
            Some(_) => Vec::new(),
            None => store.batches(&run.run, None).await?,
        };
        Ok(Self::of(run, &batches))
    }

    /// From a run and its batches. Those are needed only when the run has no totals.
    pub(crate) fn of(run: &RunRecord, batches: &[BatchRecord]) -> Self {
        let totals = Totals::of(run, batches);
        let used = run.usage.capacity;
        Self {
            tenant: run.run.tenant.clone(),
            run: run.run.run,
            mode: run.mode,
            state: run.state.shown_name(),
            reason: run.reason,
            generation: run.generation,
            pages: run.last_page,
            batches: totals.batches,
            users_seen: totals.users_seen,
            created: totals.changes.created,
            updated: totals.changes.updated,
            reactivated: totals.changes.reactivated,
            unchanged: totals.users_seen.saturating_sub(totals.changes.total()),
            deactivated: totals.deactivated.total(),
            deactivated_by: totals.deactivated,
            kept: totals.kept,
            held: run.held.clone().filter(|_| run.approved.is_none()),
            approved: run.approved.as_ref().map(DecisionView::of),
            rejected: run.rejected.as_ref().map(DecisionView::of),
            graph: run.usage.graph,
            capacity: Capacity {
                read_units: used.read_units + totals.workers.read_units,
                write_units: used.write_units + totals.workers.write_units,
            },
            started_at: run.started_at_ms,
            ended_at: run.ended_at_ms,
        }
    }

    /// `<tenant>/<number>`
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.tenant, self.run)
    }

    /// What holds the run, in words.
    pub(crate) fn hold(&self) -> Option<HoldText> {
        self.held.as_ref().map(HoldText::of)
    }

    pub(crate) const fn mode_name(&self) -> &'static str {
        self.mode.name()
    }

    /// The run in lines that have room in 80 columns, with a bar of its batches.
    pub(crate) fn summary(&self, bar: &str) -> String {
        let why = match (&self.reason, self.hold()) {
            (Some(reason), _) => format!(" ({reason})"),
            (None, Some(held)) => format!(" ({} guard)", held.guard),
            (None, None) => String::new(),
        };
        let took = match self.ended_at {
            Some(end) => format!(", took {}", time::took(self.started_at, end)),
            None => String::new(),
        };
        let (off, kept) = (&self.deactivated_by, &self.kept);
        let facts = [
            ("started", format!("{}{took}", time::short(self.started_at))),
            (
                "pages",
                format!(
                    "{} in generation {}",
                    grouped(self.pages.into()),
                    self.generation
                ),
            ),
            ("batches", bar.to_owned()),
            ("seen", format!("{} users", grouped(self.users_seen))),
            (
                "written",
                format!(
                    "{} created, {} updated, {} back",
                    grouped(self.created),
                    grouped(self.updated),
                    grouped(self.reactivated)
                ),
            ),
            (
                "off",
                format!(
                    "{}: {} disabled, {} deleted, {} not found, {} out of scope",
                    grouped(self.deactivated),
                    grouped(off.disabled),
                    grouped(off.deleted),
                    grouped(off.not_found),
                    grouped(off.out_of_scope)
                ),
            ),
            (
                "kept",
                format!(
                    "{} found alive, {} wait for another run, {} unknown",
                    grouped(kept.contradicted),
                    grouped(kept.awaiting_confirmation),
                    grouped(kept.unknown)
                ),
            ),
            (
                "Graph",
                format!(
                    "{} requests, {} throttled, {} asked again",
                    grouped(self.graph.requests),
                    grouped(self.graph.throttled),
                    grouped(self.graph.retried)
                ),
            ),
            (
                "units",
                format!(
                    "{:.1} read, {:.1} written",
                    self.capacity.read_units, self.capacity.write_units
                ),
            ),
        ];
        let mut text = format!(
            "{} is {}{why}, a {} run\n",
            self.name(),
            self.state,
            self.mode.name()
        );
        for (name, fact) in facts {
            text.push_str(&format!("  {name:<8}{fact}\n"));
        }
        text
    }

    /// Why a run did not complete, for people.
    pub(crate) fn trouble(&self) -> Option<String> {
        let run = self.name();
        match (&self.reason, self.hold()) {
            (Some(reason), _) => Some(format!("{run} FAILED ({reason}); nobody was switched off.")),
            (None, Some(held)) => Some(format!(
                "{run} is {}: {held}; {} deactivations {}.",
                self.state,
                grouped(held.deactivations),
                match self.state {
                    "HELD" => "wait; `rollcall hold list` shows how to release or drop them",
                    _ => "were dropped, and nobody was switched off",
                },
            )),
            (None, None) => None,
        }
    }

    /// The same of a run that was none.
    pub(crate) fn trouble_of_dry_run(&self) -> Option<String> {
        let held = self.hold()?;
        let waiting = grouped(held.deactivations);
        Some(format!(
            "The run would be HELD: {held}; {waiting} deactivations would wait for a person."
        ))
    }
}

/// A person's decision about a held plan.
#[derive(Debug, Serialize)]
struct DecisionView {
    by: String,
    #[serde(serialize_with = "time::as_rfc3339")]
    at: u64,
}

impl DecisionView {
    fn of(decision: &HoldDecision) -> Self {
        Self {
            by: decision.by.clone(),
            at: decision.at_ms,
        }
    }
}

/// What holds a run, for people.
pub(crate) struct HoldText {
    pub(crate) guard: &'static str,
    pub(crate) value: String,
    pub(crate) limit: String,
    pub(crate) plan: String,
    pub(crate) deactivations: u64,
}

impl fmt::Display for HoldText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            guard,
            value,
            limit,
            ..
        } = self;
        write!(
            f,
            "the {guard} guard found {value} where {limit} is the most"
        )
    }
}

/// A guard's number with the decimals that people read.
pub(crate) fn rounded(value: f64) -> String {
    ((value * 100.0).round() / 100.0).to_string()
}

impl HoldText {
    fn of(held: &Held) -> Self {
        Self {
            guard: held.trip.guard.name(),
            value: rounded(held.trip.value),
            limit: rounded(held.trip.limit),
            plan: held.plan.clone(),
            deactivations: held.deactivations,
        }
    }
}

struct Totals {
    batches: u64,
    users_seen: u64,
    changes: ChangeCounts,
    deactivated: DeactivatedBy,
    kept: Kept,
    workers: Capacity,
}

impl Totals {
    fn of(run: &RunRecord, batches: &[BatchRecord]) -> Self {
        if let Some(totals) = run.totals {
            return Self {
                batches: totals.batches,
                users_seen: totals.users_seen,
                changes: totals.changes,
                deactivated: totals.deactivated,
                kept: totals.kept,
                workers: totals.workers,
            };
        }
        let mut changes = ChangeCounts::default();
        let mut workers = Capacity::default();
        let mut unknown = 0;
        let mut of_generation = 0;
        for batch in batches {
            changes.add(batch.result.changes);
            workers.read_units += batch.usage.capacity.read_units;
            workers.write_units += batch.usage.capacity.write_units;
            if batch.generation == run.generation {
                of_generation += 1;
                unknown += batch.result.unknown;
            }
        }
        Self {
            batches: of_generation,
            // Who stands on two pages counts twice until the run is proven.
            users_seen: run.sightings,
            changes,
            deactivated: DeactivatedBy::default(),
            kept: Kept {
                unknown,
                ..Kept::default()
            },
            workers,
        }
    }
}

/// Runs as a table.
pub(crate) fn runs_table<'a>(runs: impl IntoIterator<Item = &'a RunView>) -> Table {
    let mut table = table([
        "run", "state", "why", "pages", "seen", "created", "updated", "back", "off", "kept",
        "Graph", "read", "write", "started", "took",
    ]);
    right(&mut table, &[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14]);
    for run in runs {
        let why = match (&run.reason, run.hold()) {
            (Some(reason), _) => reason.to_string(),
            (None, Some(held)) => format!("{} guard", held.guard),
            (None, None) => "–".to_owned(),
        };
        let kept = run.kept.contradicted + run.kept.awaiting_confirmation + run.kept.unknown;
        table.add_row([
            run.name(),
            run.state.to_owned(),
            why,
            run.pages.to_string(),
            grouped(run.users_seen),
            grouped(run.created),
            grouped(run.updated),
            grouped(run.reactivated),
            grouped(run.deactivated),
            grouped(kept),
            grouped(run.graph.requests),
            format!("{:.1}", run.capacity.read_units),
            format!("{:.1}", run.capacity.write_units),
            time::short(run.started_at),
            or_dash(run.ended_at.map(|end| time::took(run.started_at, end))),
        ]);
    }
    table
}
