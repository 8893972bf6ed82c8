//! Starts: an occurrence of a schedule gives a tenant one run, and none to a tenant that rests or whose
//! own schedule is off.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Look;
use super::owed::{OWED, is_owed};
use serde_json::Value;

use crate::called_for::Occurrence;
use crate::item::{Item, Place, json, number};
use crate::lambda::Invocation;
use crate::mirror::{Change, Mirror};
use crate::tenants::SimTenant;
use crate::world::{World, lock};

const ONE: &str = "fan-out: a due tenant has one run an occurrence";
const RESTS: &str = "fan-out: who rests is left alone";
/// How far the clock may be off by which a rest begins and ends, in milliseconds: two machines' clocks.
pub(crate) const CLOCKS_MS: u64 = 130_000;
const HOUR_MS: u64 = 3_600_000;

/// What the checks remember of starts.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    /// By tenant and occurrence: the run that it started or met.
    had: BTreeMap<(String, Occurrence), u64>,
    /// How many of a tenant's last runs FAILED, and when the last of them freed its tenant.
    failed: HashMap<String, (u64, u64)>,
    /// The occurrences that a tenant was left alone at.
    left: BTreeSet<(String, Occurrence)>,
}

/// How long a tenant rests after so many failures, in hours.
const fn rest_hours(failed: u64) -> u64 {
    match failed {
        0..=2 => 0,
        3 => 1,
        4 => 2,
        5 => 4,
        6 => 8,
        7 => 16,
        _ => 23,
    }
}

impl Look<'_> {
    pub(super) fn starts(&mut self, tenant: &str, change: &Change) {
        let none = Item::new();
        let before = change.before.as_ref().unwrap_or(&none);
        let active = |item: &Item| number(item, "active_run");
        self.counts_failures(tenant, before, &change.after);
        let told = self.invocation.and_then(|it| it.called_for.occurrence);
        let Some(occurrence) = told else {
            return;
        };
        let Some(run) = active(&change.after) else {
            return;
        };
        let is_started = active(before).is_none();
        if !is_started && only_owes(before, &change.after) {
            // It rests, and meets what a person has started.
            return;
        }
        let met = (tenant.to_owned(), run);
        if !is_started && occurrence.is_full && self.is_delta(&met) && !is_owed(&change.after) {
            let detail = format!("{tenant}: {occurrence:?} met delta run {run}");
            self.violate(OWED, &detail);
        }
        let key = (tenant.to_owned(), occurrence);
        match self.checks.starts.had.get(&key) {
            Some(earlier) if is_started => {
                let detail = format!("{tenant}: {occurrence:?} started {run} after {earlier}");
                self.violate(ONE, &detail);
            }
            Some(_) => {}
            None => {
                self.world.mark("occurrences had by a tenant");
                self.checks.starts.had.insert(key, run);
            }
        }
        let goes_back = ["full_for", "any_for"]
            .into_iter()
            .any(|name| number(&change.after, name) < number(before, name));
        if had_at_ms(&change.after, occurrence) < Some(occurrence.at_ms) || goes_back {
            let detail = format!("{tenant}: {occurrence:?} is not remembered");
            self.violate(ONE, &detail);
        }
        if is_started {
            self.may_be_started(tenant, before, occurrence);
        }
    }

    /// Counted anew, from how the runs ended.
    fn counts_failures(&mut self, tenant: &str, before: &Item, after: &Item) {
        let lost_count = before.contains_key("failed_at") && !after.contains_key("failed_at");
        let failed = &mut self.checks.starts.failed;
        let Some(run) = number(before, "active_run") else {
            // A person has found the tenant well.
            if self.invocation.is_none() && lost_count {
                failed.remove(tenant);
            }
            return;
        };
        if number(after, "active_run").is_some() {
            return;
        }
        let run = (tenant.to_owned(), run);
        if self.run_state(&run) == "FAILED" {
            let count = self.checks.starts.failed.entry(tenant.to_owned());
            let (count, at_ms) = count.or_default();
            // The write that tells it may be on its way for longer than clocks are apart.
            let told_ms = number(after, "failed_at").map(|ms| ms + CLOCKS_MS / 2);
            let failed_ms = told_ms.map_or(self.now_ms, |ms| ms.min(self.now_ms));
            (*count, *at_ms) = (*count + 1, failed_ms);
        } else {
            self.checks.starts.failed.remove(tenant);
        }
    }

    fn may_be_started(&self, tenant: &str, head: &Item, occurrence: Occurrence) {
        let settings = Place::coordination("tenants".into(), tenant.into());
        let Some(settings) = self.mirror.get(&settings) else {
            return self.violate(ONE, &format!("{tenant} is no tenant"));
        };
        let schedule = json(settings, "settings")["schedule"].take();
        if !Wants::of(&schedule).has_due(head, occurrence) {
            let detail = format!("{tenant}: {occurrence:?} is not due by {schedule}");
            return self.violate(ONE, &detail);
        }
        let until_ms = self.checks.starts.rests_until_ms(tenant);
        if let Some(until_ms) = until_ms
            && number(settings, "revision") == number(head, "last_revision")
            && self.now_ms + CLOCKS_MS < until_ms
        {
            let detail = format!("{tenant}: {} ms too early", until_ms - self.now_ms);
            self.violate(RESTS, &detail);
        }
    }
}

/// When a tenant wants its runs.
#[derive(Debug, Clone, Copy)]
struct Wants {
    full: Every,
    delta: Every,
}

#[derive(Debug, Clone, Copy)]
enum Every {
    /// As the stack's schedule fires.
    Occurrence,
    /// Once in each so many milliseconds, counted from midnight.
    Period(u64),
    Never,
}

impl Every {
    /// Of the schedules that the tenants here have.
    fn of(schedule: &Value) -> Self {
        const UNITS: [(&str, u64); 3] = [("minutes)", 1), ("hour)", 60), ("hours)", 60)];
        let Some(text) = schedule.as_str() else {
            return Self::Occurrence;
        };
        let rate = text.strip_prefix("rate(").and_then(|it| it.split_once(' '));
        let cron = text
            .strip_prefix("cron(0 0/")
            .and_then(|it| it.split_once(' '));
        let minutes = match (rate, cron) {
            (Some((count, unit)), _) => {
                let unit = UNITS.into_iter().find(|(name, _)| *name == unit);
                count
                    .parse()
                    .ok()
                    .zip(unit)
                    .map(|(count, unit): (u64, _)| count * unit.1)
            }
            (_, Some((hours, _))) => hours.parse().ok().map(|hours: u64| hours * 60),
            (None, None) => None,
        };
        minutes.map_or(Self::Never, |minutes| Self::Period(minutes * 60_000))
    }

    /// Whether it is time again, where the stack's schedule of this kind fires or not.
    fn has_come(self, fires: bool, at_ms: u64, last_ms: Option<u64>) -> bool {
        match self {
            Self::Occurrence => fires && last_ms < Some(at_ms),
            Self::Period(ms) => last_ms.is_none_or(|last_ms| at_ms / ms > last_ms / ms),
            Self::Never => false,
        }
    }
}

impl Wants {
    fn of(schedule: &Value) -> Self {
        Self {
            full: Every::of(&schedule["full"]),
            delta: Every::of(&schedule["delta"]),
        }
    }

    /// Whether a run of either kind is due at an occurrence of the stack's. Deltas are looked for at the stack's
    /// deltas alone.
    fn has_due(self, head: &Item, occurrence: Occurrence) -> bool {
        let Occurrence { is_full, at_ms } = occurrence;
        let last = |name| number(head, name);
        self.full.has_come(is_full, at_ms, last("full_for"))
            || (!is_full && self.delta.has_come(true, at_ms, last("any_for")))
    }
}

/// Whether a write did nothing but owe the tenant a full run.
fn only_owes(before: &Item, after: &Item) -> bool {
    let others = |item: &Item| {
        let mut item = item.clone();
        item.remove("full_due");
        item
    };
    others(before) == others(after)
}

/// The last occurrence that a head has had of those that an occurrence stands among.
fn had_at_ms(head: &Item, occurrence: Occurrence) -> Option<u64> {
    let name = if occurrence.is_full {
        "full_for"
    } else {
        "any_for"
    };
    number(head, name)
}

impl Starts {
    fn rests_until_ms(&self, tenant: &str) -> Option<u64> {
        let (failed, at_ms) = self.failed.get(tenant)?;
        let hours = rest_hours(*failed);
        (hours > 0).then_some(at_ms + hours * HOUR_MS)
    }
}

/// Until when a tenant is left alone, in milliseconds since 1970; none if it is not.
pub(crate) fn rests_until_ms(world: &World, tenant: &SimTenant) -> Option<u64> {
    lock(&world.checks).starts.rests_until_ms(&tenant.name)
}

/// Whether a tenant has had an occurrence, or a later one in its place, or wants none, or was left to rest.
pub(crate) fn is_done_with(world: &World, tenant: &SimTenant, occurrence: Occurrence) -> bool {
    let mirror = lock(&world.mirror);
    let none = Item::new();
    let head = head(&mirror, &tenant.name).unwrap_or(&none);
    let wants = Wants::of(&tenant.settings_as_written()["schedule"]);
    let left = (tenant.name.clone(), occurrence);
    !wants.has_due(head, occurrence) || lock(&world.checks).starts.left.contains(&left)
}

fn head<'a>(mirror: &'a Mirror, tenant: &str) -> Option<&'a Item> {
    mirror.get(&head_place(tenant))
}

fn head_place(tenant: &str) -> Place {
    Place::coordination(format!("head#{tenant}"), "head".into())
}

/// A tenant that is left to rest has failed as often as the log says, not long ago, and under the settings
/// that it has.
pub(crate) fn is_left_to_rest(world: &World, tenant: &str, failed_in_a_row: u64) {
    world.mark("tenants left to rest");
    let Some(invocation) = Invocation::current() else {
        return;
    };
    let mirror = lock(&world.mirror);
    let mut checks = lock(&world.checks);
    if let Some(occurrence) = invocation.called_for.occurrence {
        let left = &mut checks.starts.left;
        left.insert((tenant.to_owned(), occurrence));
        if occurrence.is_full {
            let rested_ms = &mut checks.owed.rested_ms;
            rested_ms.insert(tenant.to_owned(), invocation.began_ms);
        }
    }
    let starts = &checks.starts;
    let failed = starts.failed.get(tenant).map(|it| it.0);
    let until_ms = starts.rests_until_ms(tenant).unwrap_or_default();
    drop(checks);
    let settings = Place::coordination("tenants".into(), tenant.into());
    let its_head = head_place(tenant);
    let of = |item: Option<&Item>, name| item.and_then(|item| number(item, name));
    let revision = of(mirror.get(&settings), "revision");
    // Whoever changes them at this moment, or ends a run, is not heard yet.
    let is_settled = |place| mirror.lagging(place, invocation.began_ms).is_none();
    if !is_settled(&its_head) {
        return;
    }
    let is_cured = is_settled(&settings) && revision != of(head(&mirror, tenant), "last_revision");
    drop(mirror);
    if failed != Some(failed_in_a_row) || until_ms + CLOCKS_MS < invocation.began_ms || is_cured {
        let detail = format!(
            "{tenant} after {failed_in_a_row}, and not {failed:?}, until {until_ms}; cured: {is_cured}"
        );
        world.violate("fan-out: who is well is not left to rest", detail);
    }
}
