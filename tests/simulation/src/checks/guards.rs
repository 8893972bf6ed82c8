//! The guards, counted again by the numbers of the stored plan, and what people are shown of them.

use rollcall_core::guard::{GuardSettings, PlanNumbers, Reading, Verdict};
use serde::Deserialize;
use serde_json::Value;

use super::{Look, RunKey};
use crate::item::{Item, Place, Table, json, number, text};

/// The window of the tenants here, in milliseconds: the settings' default, and all of the day in which it begins.
const WINDOW_MS_MAX: u64 = 8 * 86_400_000;

impl Look<'_> {
    /// The guards, counted again: nothing that one of them holds is carried out.
    pub(super) fn applying(&self, run: &RunKey) {
        let is_approved = self.checks.approved_ms.contains_key(run);
        if !is_approved && let Some((guard, counts)) = self.held_by(run) {
            let detail = format!("{}/{}: {guard} with {counts:?}", run.0, run.1);
            self.violate("invariant 7: guards hold", &detail);
        }
    }

    /// Nothing waits for a person that no guard holds.
    pub(super) fn held(&self, run: &RunKey, item: &Item) {
        let told = json(item, "held");
        let guard = self.held_by(run).map(|(guard, _)| guard);
        if told["guard"].as_str() != guard {
            let detail = format!("{}/{} waits for {told}, not {guard:?}", run.0, run.1);
            self.violate("invariant 7: a hold has its guard", &detail);
        }
    }

    /// The guard that holds the stored plan of a run, if one does.
    fn held_by(&self, run: &RunKey) -> Option<(&'static str, Counts)> {
        let place = Place::coordination(format!("plan#{}", run.0), format!("{:010}", run.1));
        let Some(manifest) = self.mirror.get(&place) else {
            let detail = format!("{}/{} has no plan", run.0, run.1);
            self.violate("invariant 1: a plan comes first", &detail);
            return None;
        };
        let settings = self.settings(run);
        let head = Place::coordination(format!("head#{}", run.0), "head".into());
        let before = self
            .mirror
            .get(&head)
            .and_then(|head| number(head, "last_full_seen"))
            .filter(|_| !self.is_delta(run));
        let of = |name| number(manifest, name).unwrap_or_default();
        let counts = Counts {
            deactivations: of("deactivations"),
            active: of("active"),
            seen: of("users_seen"),
            seen_before: before,
            whole_domain: of("whole_domain"),
            off_before: self.off_before(run),
        };
        if of("off_in_window") != counts.off_before {
            let told = of("off_in_window");
            let detail = format!("{}/{}: {told} in the window of {counts:?}", run.0, run.1);
            self.violate("invariant 7: guards hold", &detail);
        }
        let guard = tripped(&settings["guards"], &counts);
        self.shown(run, &settings["guards"], &counts, guard);
        Some((guard?, counts))
    }

    /// What people are shown of the guards: the first that trips is the one that holds.
    fn shown(&self, run: &RunKey, guards: &Value, counts: &Counts, holds: Option<&str>) {
        let Ok(guards) = GuardSettings::deserialize(guards) else {
            return self.violate("the simulation", "guards that are none");
        };
        let readings = guards.readings(PlanNumbers {
            users_seen: counts.seen,
            users_seen_before: counts.seen_before,
            active: counts.active,
            deactivations: counts.deactivations,
            whole_domain: counts.whole_domain,
            off_in_window: counts.off_before,
        });
        let trips = |it: &&Reading| it.verdict == Verdict::Trips;
        let shown = readings.iter().find(trips).map(|it| it.guard.name());
        if shown != holds {
            let detail = format!("{}/{}: {readings:?}, and {holds:?} holds", run.0, run.1);
            self.violate("what is shown is what is stored", &detail);
        }
    }

    /// How many the runs before switched off within the window. A story is shorter than it, or much longer,
    /// when a hold has lapsed.
    fn off_before(&self, run: &RunKey) -> u64 {
        let began_ms = self.now_ms.saturating_sub(WINDOW_MS_MAX);
        let pk = format!("run#{}", run.0);
        let runs = self.mirror.range(Table::Coordination, &pk, "");
        let completed = runs.filter(|(_, item)| {
            text(item, "state") == "COMPLETED"
                && number(item, "run") < Some(run.1)
                && number(item, "ended_at") > Some(began_ms)
                // What a person approved is no slow bleed.
                && !item.contains_key("approved_by")
        });
        let off = completed.map(|(_, item)| {
            let totals = json(item, "totals");
            let by_reason = totals["deactivated"].as_object();
            let counts = by_reason
                .into_iter()
                .flatten()
                .filter_map(|(_, it)| it.as_u64());
            counts.sum::<u64>()
        });
        off.sum()
    }
}

#[derive(Debug)]
struct Counts {
    deactivations: u64,
    active: u64,
    seen: u64,
    seen_before: Option<u64>,
    whole_domain: u64,
    off_before: u64,
}

/// Which guard should have held, by the numbers of the settings.
#[expect(clippy::cast_precision_loss, reason = "a handful of users")]
fn tripped(guards: &Value, counts: &Counts) -> Option<&'static str> {
    let of = |name: &str| guards[name].as_f64().unwrap_or_default();
    let gone = counts.deactivations as f64;
    if let Some(before) = counts.seen_before
        && before > counts.seen
        && (before - counts.seen) as f64 * 100.0 > of("shrink_percent_max") * before as f64
    {
        return Some("shrink");
    }
    if gone > of("deactivations_max") {
        return Some("count");
    }
    if gone <= of("exempt_max") {
        return None;
    }
    let is_over = |gone: f64, limit| gone * 100.0 > of(limit) * counts.active as f64;
    if is_over(gone, "deactivations_percent_max") {
        return Some("percent");
    }
    if counts.whole_domain as f64 > of("exempt_max") {
        return Some("domain");
    }
    is_over(gone + counts.off_before as f64, "window_percent_max").then_some("window")
}
