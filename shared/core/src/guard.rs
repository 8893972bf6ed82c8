//! Guards: they hold a plan, they don't guess. Each says which number tripped it.

use serde::{Deserialize, Serialize};

use crate::bounds::bounded;

/// The `[tenant.guards]` of a tenant file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardSettings {
    /// The most users that one run may switch off.
    pub deactivations_max: u64,
    /// The most, in percent of the active users.
    #[serde(deserialize_with = "percent")]
    pub deactivations_percent_max: f64,
    /// A plan of at most so many users passes percent, domain and window, and a domain of at most so
    /// many may go as a whole.
    pub exempt_max: u64,
    /// How much smaller than the last completed run's the number of users seen may be, in percent.
    #[serde(deserialize_with = "percent")]
    pub shrink_percent_max: f64,
    /// The length of the trailing window, in days.
    #[serde(deserialize_with = "window_days")]
    pub window_days: u32,
    /// The most that may be switched off within the window, in percent of the active users.
    #[serde(deserialize_with = "percent")]
    pub window_percent_max: f64,
    /// How many complete runs in a row have to find a user gone, where Graph gives no positive
    /// evidence. At least 2: a stale replica can say "not found" once.
    #[serde(deserialize_with = "confirmed_by")]
    pub absences_confirmed_by: u32,
}

impl Default for GuardSettings {
    fn default() -> Self {
        Self {
            deactivations_max: 500,
            deactivations_percent_max: 5.0,
            exempt_max: 5,
            shrink_percent_max: 20.0,
            window_days: 7,
            window_percent_max: 10.0,
            absences_confirmed_by: 2,
        }
    }
}

/// The longest trailing window, in days.
pub const WINDOW_DAYS_MAX: u32 = 90;
/// The most runs that an absence may have to be confirmed by.
pub const CONFIRMED_BY_MAX: u32 = 30;

fn percent<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(from)?;
    if (0.0..=100.0).contains(&value) {
        Ok(value)
    } else {
        Err(serde::de::Error::custom(format!(
            "{value} is not a percentage from 0 to 100"
        )))
    }
}

fn window_days<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    bounded(from, 1, WINDOW_DAYS_MAX, "days")
}

fn confirmed_by<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    bounded(from, 2, CONFIRMED_BY_MAX, "complete runs")
}

/// Which guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardKind {
    /// `deactivations_max`
    Count,
    /// `deactivations_percent_max`
    Percent,
    /// `shrink_percent_max`
    Shrink,
    /// Everybody of a mail domain, and more than `exempt_max` of them.
    Domain,
    /// `window_percent_max`
    Window,
}

impl GuardKind {
    /// The name that is stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Percent => "percent",
            Self::Shrink => "shrink",
            Self::Domain => "domain",
            Self::Window => "window",
        }
    }
}

/// A guard that tripped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trip {
    /// Which.
    pub guard: GuardKind,
    /// What it allows.
    pub limit: f64,
    /// What it found.
    pub value: f64,
}

/// What a run's plan means in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanNumbers {
    /// How many different users the run saw.
    pub users_seen: u64,
    /// How many the last completed full run saw; `None` before the first.
    pub users_seen_before: Option<u64>,
    /// How many users of the directory are ACTIVE before the plan is carried out.
    pub active: u64,
    /// How many the plan would switch off.
    pub deactivations: u64,
    /// How many of them are all the ACTIVE users of one domain of login names; of several such
    /// domains the largest, and 0 if there is none.
    pub whole_domain: u64,
    /// How many were switched off within the trailing window, but for those whom a person approved.
    pub off_in_window: u64,
}

impl PlanNumbers {
    /// Its deactivations in percent of the active users.
    fn share(&self) -> f64 {
        percent_of(self.deactivations, self.active)
    }

    /// The same, with those of the trailing window.
    fn share_in_window(&self) -> f64 {
        percent_of(self.off_in_window + self.deactivations, self.active)
    }
}

/// What a guard says of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It lets pass.
    Passes,
    /// It holds the plan.
    Trips,
    /// It is not asked about a plan of at most `exempt_max` users.
    Exempt,
    /// It has nothing to compare with: no full run has completed before, or the run is a delta run.
    NoBaseline,
}

/// A guard with its numbers, whether or not it holds the plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Which.
    pub guard: GuardKind,
    /// What it allows.
    pub limit: f64,
    /// What it found; `None` without a baseline.
    pub value: Option<f64>,
    /// What it says.
    pub verdict: Verdict,
}

impl GuardSettings {
    /// What each guard says, for people: in the order in which [`GuardSettings::check`] asks them, which
    /// stops at the first that trips.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "numbers of users are far below 2^52"
    )]
    pub fn readings(&self, plan: PlanNumbers) -> [Reading; 5] {
        use GuardKind::{Count, Domain, Percent, Shrink, Window};
        let is_exempt = plan.deactivations <= self.exempt_max;
        let shrunk = shrunk_by(plan.users_seen, plan.users_seen_before);
        let values = [
            (Shrink, self.shrink_percent_max, shrunk, false),
            (
                Count,
                self.deactivations_max as f64,
                Some(plan.deactivations as f64),
                false,
            ),
            (
                Percent,
                self.deactivations_percent_max,
                Some(plan.share()),
                is_exempt,
            ),
            (
                Domain,
                self.exempt_max as f64,
                Some(plan.whole_domain as f64),
                is_exempt,
            ),
            (
                Window,
                self.window_percent_max,
                Some(plan.share_in_window()),
                is_exempt,
            ),
        ];
        values.map(|(guard, limit, value, is_exempt)| Reading {
            guard,
            limit,
            value,
            verdict: match value {
                None => Verdict::NoBaseline,
                Some(_) if is_exempt => Verdict::Exempt,
                Some(value) if trip(guard, limit, value).is_some() => Verdict::Trips,
                Some(_) => Verdict::Passes,
            },
        })
    }

    fn shrink(&self, users_seen: u64, users_seen_before: Option<u64>) -> Option<Trip> {
        let value = shrunk_by(users_seen, users_seen_before)?;
        trip(GuardKind::Shrink, self.shrink_percent_max, value)
    }

    /// All guards, the first that trips. At its limit a guard lets pass.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "numbers of users are far below 2^52"
    )]
    pub fn check(&self, plan: PlanNumbers) -> Option<Trip> {
        self.shrink(plan.users_seen, plan.users_seen_before)
            .or_else(|| {
                trip(
                    GuardKind::Count,
                    self.deactivations_max as f64,
                    plan.deactivations as f64,
                )
            })
            .or_else(|| {
                if plan.deactivations <= self.exempt_max {
                    return None;
                }
                self.check_shares(plan)
            })
    }

    /// The guards that a small plan passes: in a small tenant one leaver is a large share.
    #[expect(
        clippy::cast_precision_loss,
        reason = "numbers of users are far below 2^52"
    )]
    fn check_shares(&self, plan: PlanNumbers) -> Option<Trip> {
        let (share, in_window) = (plan.share(), plan.share_in_window());
        trip(GuardKind::Percent, self.deactivations_percent_max, share)
            .or_else(|| {
                trip(
                    GuardKind::Domain,
                    self.exempt_max as f64,
                    plan.whole_domain as f64,
                )
            })
            .or_else(|| trip(GuardKind::Window, self.window_percent_max, in_window))
    }
}

fn trip(guard: GuardKind, limit: f64, value: f64) -> Option<Trip> {
    (value > limit).then_some(Trip {
        guard,
        limit,
        value,
    })
}

/// By how much fewer users were seen than before, in percent; `None` if there is no before.
fn shrunk_by(users_seen: u64, users_seen_before: Option<u64>) -> Option<f64> {
    let before = users_seen_before.filter(|before| *before > 0)?;
    Some(percent_of(before.saturating_sub(users_seen), before))
}

/// `part` of `whole` in percent; all of nothing is 100.
#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of users are far below 2^52"
)]
fn percent_of(part: u64, whole: u64) -> f64 {
    if part == 0 {
        0.0
    } else if whole == 0 {
        100.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
