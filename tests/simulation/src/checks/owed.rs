//! The full run that is owed: no delta tells of what a full run was to find that failed, of what a revert brought back,
//! or of what a tenant missed that rested.

use std::collections::HashMap;

use super::{Look, RunKey};
use crate::item::{Item, number, text};
use crate::mirror::Change;

pub(super) const OWED: &str = "fine print 12: a full run is owed until one has ended well";

/// When it was asked for, by the true clock and by tenant.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// The last run that began as a full one or turned into one, and when it began.
    began: HashMap<String, (u64, u64)>,
    /// When the last revert ended.
    pub(crate) reverted_ms: HashMap<String, u64>,
    /// When whoever left the tenant to rest was called, last.
    pub(crate) rested_ms: HashMap<String, u64>,
}

/// Whether a head says so.
pub(super) fn is_owed(head: &Item) -> bool {
    let due = number(head, "full_due");
    due.is_some() && number(head, "full_done") < due
}

impl Look<'_> {
    /// A delta run that goes on as a full one: what it is to find no delta tells of either.
    pub(super) fn turned_full(&mut self, run: &RunKey, change: &Change) {
        let is_full = |item: &Item| text(item, "mode") == "full";
        if is_full(&change.after) && !change.before.as_ref().is_some_and(is_full) {
            let began_ms = self.checks.started_ms.get(run).copied();
            let began = (run.1, began_ms.unwrap_or(self.now_ms));
            self.checks.owed.began.insert(run.0.clone(), began);
        }
    }

    /// A run begins. If it is a delta run, no full run is owed, by the runs and not by the head.
    pub(super) fn owes_nothing(&mut self, run: &RunKey, item: &Item) {
        if text(item, "mode") == "full" {
            let began = (run.1, self.now_ms);
            self.checks.owed.began.insert(run.0.clone(), began);
            return;
        }
        // Without one there is no link either.
        let Some((number, began_ms)) = self.checks.owed.began.get(&run.0) else {
            return;
        };
        let is_later = |it: &HashMap<String, u64>| it.get(&run.0) > Some(began_ms);
        // One that was held had ended well, whatever became of its plan.
        let has_failed =
            |last: &Item| text(last, "state") == "FAILED" && !last.contains_key("held_plan");
        let has_failed = self
            .run_item(&(run.0.clone(), *number))
            .is_some_and(has_failed);
        let why = match () {
            () if has_failed => "failed",
            () if is_later(&self.checks.owed.reverted_ms) => "began before a revert ended",
            () if is_later(&self.checks.owed.rested_ms) => "began before one was left out",
            () => return,
        };
        let detail = format!(
            "{}/{} is a delta, and full run {number} {why}",
            run.0, run.1
        );
        self.violate(OWED, &detail);
    }
}
