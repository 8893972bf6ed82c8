//! The trailing window: how many users a tenant's runs switched off, day by day.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::guard::WINDOW_DAYS_MAX;

const DAY_MS: u64 = 86_400_000;

/// Users switched off by runs that no person approved, by the day (since 1970, UTC).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Window(BTreeMap<u64, u64>);

impl Window {
    /// With so many more at this moment, and without what no window reaches any more.
    #[must_use]
    pub fn with(&self, at_ms: u64, switched_off: u64) -> Self {
        let today = at_ms / DAY_MS;
        let mut days = self.0.clone();
        *days.entry(today).or_default() += switched_off;
        days.retain(|day, users| day + u64::from(WINDOW_DAYS_MAX) >= today && *users > 0);
        Self(days)
    }

    /// How many in the last `days`. The day in which the window begins counts as a whole: the sum is
    /// never less than that of the hours.
    #[must_use]
    pub fn sum(&self, now_ms: u64, days: u32) -> u64 {
        let first = (now_ms / DAY_MS).saturating_sub(u64::from(days));
        self.0.range(first..).map(|(_, users)| users).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 20_000 * DAY_MS + DAY_MS / 2;

    #[test]
    fn a_day_adds_up_and_leaves_the_window_when_all_of_it_is_past() {
        let window = Window::default().with(NOON, 3).with(NOON + 1, 4);
        assert_eq!(window.sum(NOON, 7), 7);
        assert_eq!(window.sum(NOON + 7 * DAY_MS, 7), 7);
        assert_eq!(window.sum(NOON + 8 * DAY_MS, 7), 0);
        assert_eq!(window.sum(NOON + DAY_MS, 1), 7);
    }

    #[test]
    fn it_keeps_as_many_days_as_the_longest_window_has() {
        let nights = 0..400_u64;
        let window = nights.fold(Window::default(), |window, night| {
            window.with(NOON + night * DAY_MS, 1)
        });
        let days = u64::from(WINDOW_DAYS_MAX) + 1;
        assert_eq!(window.0.len() as u64, days);
        assert_eq!(window.sum(NOON + 399 * DAY_MS, WINDOW_DAYS_MAX), days);
    }

    #[test]
    fn it_reads_back_as_it_was_stored() {
        let window = Window::default().with(NOON, 3).with(NOON + DAY_MS, 0);
        let stored = serde_json::to_string(&window).unwrap();
        assert_eq!(stored, r#"{"20000":3}"#);
        assert_eq!(serde_json::from_str::<Window>(&stored).unwrap(), window);
    }
}
