//! One run with its batches, leases and evidence, as JSON and as tables.

use rollcall_core::batch::BatchState;
use rollcall_core::ids::ObjectId;
use rollcall_core::lease::LeaseTerm;
use rollcall_core::plan::Plan;
use rollcall_core::status::Reason;
use rollcall_store::{BatchRecord, RunRecord};
use serde::Serialize;

use super::run::RunView;
use super::table::{grouped, or_dash, right, table};
use super::time;

/// A run with everything that is known of it.
#[derive(Debug, Serialize)]
pub(crate) struct RunDetails {
    #[serde(flatten)]
    pub(crate) run: RunView,
    detail: Option<String>,
    settings_revision: u64,
    #[serde(serialize_with = "time::as_rfc3339")]
    deadline_at: u64,
    lease: Option<LeaseView>,
    batch_items: Vec<BatchView>,
    evidence: Vec<EvidenceView>,
}

impl RunDetails {
    pub(crate) fn of(run: &RunRecord, batches: &[BatchRecord], plan: Option<&Plan>) -> Self {
        Self {
            run: RunView::of(run, batches),
            detail: run.detail.clone(),
            settings_revision: run.settings_revision,
            deadline_at: run.deadline_at_ms,
            lease: run.lease.as_ref().map(LeaseView::of),
            batch_items: batches.iter().map(BatchView::of).collect(),
            evidence: plan.map_or_else(Vec::new, evidence),
        }
    }

    /// Facts, batches and evidence as tables.
    pub(crate) fn tables(&self) -> String {
        let mut text = self.run.summary(&self.bar());
        if let Some(detail) = &self.detail {
            text.push_str(&format!("\n{detail}\n"));
        }
        // As wide as 80 columns; `--json` has the rest.
        let mut batches = table(["batch", "state", "users", "written", "lease", "owner"]);
        right(&mut batches, &[2, 3, 4]);
        for batch in &self.batch_items {
            batches.add_row([
                format!("{}/{}", batch.generation, batch.page),
                batch.state.to_owned(),
                grouped(batch.sightings),
                grouped(batch.created + batch.updated + batch.reactivated),
                or_dash(batch.lease.as_ref().map(|lease| lease.token)),
                or_dash(batch.lease.as_ref().map(|lease| &lease.owner)),
            ]);
        }
        text.push_str(&format!("\n{batches}\n"));
        if !self.evidence.is_empty() {
            let mut evidence = table(["user", "reason", "evidence", "version"]);
            for entry in &self.evidence {
                evidence.add_row([
                    entry.id.to_string(),
                    entry.reason.to_string(),
                    entry.evidence.clone(),
                    entry.version.to_string(),
                ]);
            }
            text.push_str(&format!(
                "\nThe plan: who is to be switched off\n{evidence}\n"
            ));
        }
        text
    }
}

/// A bar of so many characters.
const BAR_CHARS: usize = 30;

impl RunDetails {
    /// How many batches of the last generation are done, leased, and not begun; those that were revoked
    /// are never done.
    fn bar(&self) -> String {
        let last = self.batch_items.iter().map(|it| it.generation).max();
        let of_last = || {
            self.batch_items
                .iter()
                .filter(|it| Some(it.generation) == last)
        };
        let of = of_last().count();
        let are = |state: BatchState| of_last().filter(|it| it.state == state.name()).count();
        let done = are(BatchState::Done);
        // A batch that is not done keeps its place in the bar.
        let filled = (done * BAR_CHARS).checked_div(of).unwrap_or_default();
        let mut text = format!(
            "[{}{}] {done} of {of} done",
            "=".repeat(filled),
            " ".repeat(BAR_CHARS - filled)
        );
        for (state, told) in [
            (BatchState::Leased, "leased"),
            (BatchState::Pending, "not begun"),
            (BatchState::Revoked, "revoked"),
        ] {
            if are(state) > 0 {
                text.push_str(&format!(", {} {told}", are(state)));
            }
        }
        text
    }
}

#[derive(Debug, Serialize)]
struct LeaseView {
    owner: String,
    token: u64,
    #[serde(serialize_with = "time::as_rfc3339")]
    until: u64,
}

impl LeaseView {
    fn of(lease: &LeaseTerm) -> Self {
        Self {
            owner: lease.owner.clone(),
            token: lease.token,
            until: lease.until_ms,
        }
    }
}

#[derive(Debug, Serialize)]
struct BatchView {
    generation: u32,
    page: u32,
    state: &'static str,
    sightings: u64,
    changed: u64,
    lease: Option<LeaseView>,
    created: u64,
    updated: u64,
    reactivated: u64,
    unknown: u64,
    candidates: usize,
}

impl BatchView {
    fn of(batch: &BatchRecord) -> Self {
        let result = &batch.result;
        Self {
            generation: batch.generation,
            page: batch.page,
            state: batch.state.name(),
            sightings: batch.sightings,
            changed: batch.changed,
            lease: batch.lease.as_ref().map(LeaseView::of),
            created: result.changes.created,
            updated: result.changes.updated,
            reactivated: result.changes.reactivated,
            unknown: result.unknown,
            candidates: result.candidates.len(),
        }
    }
}

/// Why one user is, or is to be, switched off.
#[derive(Debug, Serialize)]
pub(crate) struct EvidenceView {
    pub(crate) id: ObjectId,
    pub(crate) reason: Reason,
    pub(crate) evidence: String,
    version: u64,
}

/// The entries of a plan.
pub(crate) fn evidence(plan: &Plan) -> Vec<EvidenceView> {
    plan.entries()
        .iter()
        .map(|entry| EvidenceView {
            id: entry.id().clone(),
            reason: entry.reason(),
            evidence: entry.detail().to_owned(),
            version: entry.version(),
        })
        .collect()
}
