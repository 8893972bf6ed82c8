//! When a tenant's runs are due: by the stack's schedules, or by its own.
//!
//! A schedule that fires is an *occurrence*, named by the moment that it was due at, and a tenant's head
//! names the last one that started a run of each kind. So an occurrence that is told twice, or told
//! again after a crash, starts nothing twice; and what a tenant's own schedule asks for is found out
//! from what was, at any occurrence of the stack's.

use std::fmt;
use std::str::FromStr;

use jiff_cron::Schedule;
use jiff_cron::jiff::Timestamp;
use jiff_cron::jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::run::RunMode;

/// The shortest period that a tenant may be synced in, in minutes. The stack's own schedule of deltas
/// is what tenants' schedules are looked at by, and Microsoft asks for no shorter polling.
pub const RATE_MINUTES_MIN: u64 = 5;
/// The longest, in minutes: a delta link lasts about a week, evidence is kept for a quarter.
pub const RATE_MINUTES_MAX: u64 = 30 * 24 * 60;

/// The `[tenant.schedule]` of a tenant file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantSchedule {
    /// When full runs are due; the stack's schedule if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<When>,
    /// When delta runs are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<When>,
}

/// The occurrences that last started a run, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LastStarts {
    /// A full one.
    pub full_ms: Option<u64>,
    /// Any: a full run finds what a delta would have found.
    pub any_ms: Option<u64>,
}

impl TenantSchedule {
    /// Whether it is the stack's in everything.
    #[must_use]
    pub fn is_the_stacks(&self) -> bool {
        *self == Self::default()
    }

    /// What is due when the stack's schedule of a mode fires at this moment. Nothing, if the tenant has
    /// had this occurrence already.
    #[must_use]
    pub fn due(&self, fires: RunMode, at_ms: u64, last: LastStarts) -> Option<RunMode> {
        let is_later = |last_ms: Option<u64>| last_ms.is_none_or(|last_ms| last_ms < at_ms);
        let full = match &self.full {
            None => fires == RunMode::Full,
            Some(when) => when.is_due(at_ms, last.full_ms),
        };
        if full && is_later(last.full_ms) {
            return Some(RunMode::Full);
        }
        let delta = match &self.delta {
            None => fires == RunMode::Delta,
            Some(when) => fires == RunMode::Delta && when.is_due(at_ms, last.any_ms),
        };
        (delta && is_later(last.any_ms)).then_some(RunMode::Delta)
    }

    /// Since when a tenant waits for a full run, in milliseconds since 1970, if the last one ended then:
    /// from the end, where the stack's schedule says when the next one is; from the next occurrence, where the
    /// tenant's own does. `None` if it waits for none.
    #[must_use]
    pub fn waits_for_full_since(&self, last_ms: u64) -> Option<u64> {
        match &self.full {
            None => Some(last_ms),
            Some(when) => when.next_ms(last_ms),
        }
    }

    /// Likewise for any run. Where the tenant wants no deltas and full runs as the stack has them, the wait for
    /// a full run says it all.
    #[must_use]
    pub fn waits_for_any_since(&self, last_ms: u64) -> Option<u64> {
        let Some(delta) = &self.delta else {
            return Some(last_ms);
        };
        let full = self.full.as_ref().and_then(|when| when.next_ms(last_ms));
        delta.next_ms(last_ms).into_iter().chain(full).min()
    }
}

/// When something is due, in UTC, in the words of EventBridge.
/// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct When {
    text: String,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Off,
    Rate { ms: u64 },
    Cron(Box<Schedule>),
}

impl When {
    /// Whether it has come since then.
    fn is_due(&self, at_ms: u64, last_ms: Option<u64>) -> bool {
        match (&self.rule, last_ms) {
            (Rule::Off, _) => false,
            // Who never ran waits for nothing.
            (_, None) => true,
            (Rule::Rate { ms }, Some(last_ms)) => at_ms / ms > last_ms / ms,
            (Rule::Cron(schedule), Some(last_ms)) => {
                next_ms(schedule, last_ms).is_some_and(|next_ms| next_ms <= at_ms)
            }
        }
    }

    /// When it comes next after that.
    fn next_ms(&self, after_ms: u64) -> Option<u64> {
        match &self.rule {
            Rule::Off => None,
            Rule::Rate { ms } => Some((after_ms / ms + 1) * ms),
            Rule::Cron(schedule) => next_ms(schedule, after_ms),
        }
    }
}

fn next_ms(schedule: &Schedule, after_ms: u64) -> Option<u64> {
    let after = Timestamp::from_millisecond(i64::try_from(after_ms).ok()?).ok()?;
    let next = schedule.after(after.to_zoned(TimeZone::UTC)).next()?;
    u64::try_from(next.timestamp().as_millisecond()).ok()
}

/// Two are the same if they are written the same.
impl PartialEq for When {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for When {}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<When> for String {
    fn from(when: When) -> Self {
        when.text
    }
}

impl TryFrom<String> for When {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let rule = rule(&text).map_err(|why| format!("{text:?} is no schedule: {why}"))?;
        Ok(Self { text, rule })
    }
}

fn rule(text: &str) -> Result<Rule, String> {
    let within = |name: &str| text.strip_prefix(name)?.strip_suffix(')');
    if text == "off" {
        Ok(Rule::Off)
    } else if let Some(rate) = within("rate(") {
        self::rate(rate)
    } else if let Some(fields) = within("cron(") {
        cron(fields)
    } else {
        Err("write off, rate(6 hours) or cron(0 2 * * ? *)".into())
    }
}

fn rate(text: &str) -> Result<Rule, String> {
    let (count, unit) = text.split_once(' ').ok_or("a rate is like 6 hours")?;
    let count = u64::from_str(count).map_err(|_| format!("{count:?} is not a whole number"))?;
    let unit_minutes = match unit {
        "minute" | "minutes" => 1,
        "hour" | "hours" => 60,
        "day" | "days" => 24 * 60,
        _ => return Err(format!("{unit:?} is none of minutes, hours, days")),
    };
    let minutes = count.saturating_mul(unit_minutes);
    if (RATE_MINUTES_MIN..=RATE_MINUTES_MAX).contains(&minutes) {
        Ok(Rule::Rate {
            ms: minutes * 60_000,
        })
    } else {
        Err(format!(
            "a rate is {RATE_MINUTES_MIN} minutes to {} days",
            RATE_MINUTES_MAX / (24 * 60)
        ))
    }
}

/// EventBridge's fields: minutes, hours, day of the month, month, day of the week, year.
fn cron(fields: &str) -> Result<Rule, String> {
    if fields.split_whitespace().count() != 6 {
        return Err(
            "cron takes six fields: minutes, hours, day of the month, month, day of the week, year"
                .into(),
        );
    }
    // On the minute: the first field of the crate's are seconds.
    let schedule = Schedule::from_str(&format!("0 {fields}"))
        .map_err(|_| "a field of cron is not understood; L, W and # are not known here")?;
    if next_ms(&schedule, 0).is_none() {
        return Err("cron names a day that never comes".into());
    }
    Ok(Rule::Cron(Box::new(schedule)))
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
