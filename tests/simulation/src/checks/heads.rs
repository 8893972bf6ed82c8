//! Heads: one active run a tenant.

use super::Look;
use crate::item::{Item, number, text};
use crate::mirror::Change;

const ONE: &str = "invariant 6: one active run a tenant";

impl Look<'_> {
    pub(super) fn head(&self, tenant: &str, change: &Change) {
        let of = |item: &Item, name| number(item, name);
        let before = change.before.as_ref();
        let active_before = before.and_then(|item| of(item, "active_run"));
        let active = of(&change.after, "active_run");
        match (active_before, active) {
            (None, Some(run)) if self.was_released(tenant, run) => {
                let next = of(&change.after, "next_run").unwrap_or_default();
                for other in (1..next).filter(|other| *other != run) {
                    self.is_closed(tenant, other);
                }
            }
            (None, Some(run)) => {
                let expected = before.and_then(|item| of(item, "next_run")).unwrap_or(1);
                if run != expected || of(&change.after, "next_run") != Some(run + 1) {
                    let detail = format!("{tenant}: run {run} began where {expected} was next");
                    self.violate(ONE, &detail);
                }
                for earlier in 1..run {
                    self.is_closed(tenant, earlier);
                }
            }
            (Some(run), None) => self.is_closed(tenant, run),
            (Some(one), Some(other)) if one != other => {
                self.violate(
                    ONE,
                    &format!("{tenant}: run {other} began beside run {one}"),
                );
            }
            _ => {}
        }
        self.delta_link(tenant, change);
        let last = of(&change.after, "last_full_run");
        let is_new = ["last_full_run", "last_full_seen"]
            .into_iter()
            .any(|name| of(&change.after, name) != before.and_then(|item| of(item, name)));
        if is_new {
            let run = (tenant.to_owned(), last.unwrap_or_default());
            if self.run_state(&run) != "COMPLETED" {
                let detail = format!("{tenant}: run {last:?} is a baseline without an end");
                self.violate("invariant 2: only a completed run is a baseline", &detail);
            }
        }
    }

    /// Whether a person releases the run's plan at this moment.
    fn was_released(&self, tenant: &str, run: u64) -> bool {
        let sk = format!("{run:010}");
        let mut runs = self.changes.iter();
        runs.any(|it| {
            let was_held = it
                .before
                .as_ref()
                .is_some_and(|it| text(it, "state") == "HELD");
            it.place.pk == format!("run#{tenant}") && it.place.sk == sk && was_held
        })
    }

    /// The delta link moves with the end of the run that followed it, and from where that began.
    fn delta_link(&self, tenant: &str, change: &Change) {
        let none = Item::new();
        let before = change.before.as_ref().unwrap_or(&none);
        let (from, to) = (
            text(before, "delta_link"),
            text(&change.after, "delta_link"),
        );
        if from == to {
            return;
        }
        let run = number(before, "active_run").unwrap_or_default();
        let run = (tenant.to_owned(), run);
        let item = self.run_item(&run).unwrap_or(&none);
        let has_ended = number(&change.after, "active_run").is_none()
            && matches!(text(item, "state"), "COMPLETED" | "HELD");
        if !has_ended || from != text(item, "delta_from") || to != text(item, "delta_to") {
            let detail = format!("{tenant}: the delta link moved with run {}", run.1);
            self.violate("fine print 12: the delta link moves with its run", &detail);
        }
    }

    /// The run has ended, and nobody works for it any more.
    fn is_closed(&self, tenant: &str, run: u64) {
        let run = (tenant.to_owned(), run);
        let state = self.run_state(&run);
        let has_ended = matches!(
            state,
            "COMPLETED" | "HELD" | "REJECTED" | "SUPERSEDED" | "FAILED"
        );
        if !has_ended {
            let detail = format!("{tenant}/{} is left while {state}", run.1);
            self.violate(ONE, &detail);
        }
        if self.open_batches(&run).next().is_some() {
            let detail = format!("{tenant}/{} is {state} and left with open batches", run.1);
            self.violate("invariant 6: open batches are revoked first", &detail);
        }
    }
}
