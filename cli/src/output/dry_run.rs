//! What a run would do: for programs all of it, for people as much as they read.

use rollcall_core::ids::ObjectId;
use rollcall_core::plan::Plan;
use rollcall_core::status::StoredUser;
use serde::Serialize;

use super::details::{EvidenceView, evidence};
use super::history::Kind;
use super::run::{RunView, runs_table};
use super::table::{grouped, table};

/// The most users that are told one by one to people.
const SHOWN_MAX: usize = 50;

/// A run on a copy, at its end.
#[derive(Debug, Serialize)]
pub(crate) struct DryRun {
    #[serde(flatten)]
    run: RunView,
    dry_run: bool,
    /// Who would be written for another cause than being switched off.
    changes: Vec<Change>,
    /// Who would be switched off, now or once a person approves.
    evidence: Vec<EvidenceView>,
}

#[derive(Debug, Serialize)]
struct Change {
    id: ObjectId,
    change: Kind,
}

impl DryRun {
    pub(crate) fn new(run: RunView, plan: Option<&Plan>) -> Self {
        Self {
            run,
            dry_run: true,
            changes: Vec::new(),
            evidence: plan.map_or_else(Vec::new, evidence),
        }
    }

    /// Adds what the run did to a user, unless it switched him off: that is in the plan.
    pub(crate) fn add(&mut self, before: Option<&StoredUser>, after: &StoredUser) {
        let change = Kind::of(before, after);
        if change != Kind::Deactivated {
            let id = after.id.clone();
            self.changes.push(Change { id, change });
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = runs_table([&self.run]).to_string();
        text.push_str("\nThis was a dry run: nothing was changed.");
        if let Some(trouble) = self.run.trouble_of_dry_run() {
            text.push_str(&format!("\n{trouble}"));
        }
        let mut users = table(["user", "would be", "reason", "evidence"]);
        for entry in self.evidence.iter().take(SHOWN_MAX) {
            let off = "switched off".to_owned();
            let reason = entry.reason.to_string();
            users.add_row([entry.id.to_string(), off, reason, entry.evidence.clone()]);
        }
        let left = SHOWN_MAX.saturating_sub(self.evidence.len());
        for it in self.changes.iter().take(left) {
            let dash = || "–".to_owned();
            users.add_row([it.id.to_string(), it.change.name().into(), dash(), dash()]);
        }
        let all = self.evidence.len() + self.changes.len();
        if all > 0 {
            text.push_str(&format!("\n{users}"));
        }
        if all > SHOWN_MAX {
            let more = grouped((all - SHOWN_MAX) as u64);
            text.push_str(&format!("\nand {more} more; --json tells all of them"));
        }
        text
    }
}
