//! How fast something counts up, and how long it still takes.

use std::collections::VecDeque;

/// Over how long a rate is taken, in milliseconds: long enough to be steady, short enough to follow a
/// change.
const WINDOW_MS: u64 = 20_000;
/// Before that no rate is told: the first counts come in lumps.
const SHORTEST_MS: u64 = 1_000;

/// Counts, with the time at which each was seen.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    seen: VecDeque<(u64, u64)>,
}

impl Pace {
    /// A count at a time, in milliseconds since any moment. A smaller count than before begins anew.
    pub(crate) fn note(&mut self, at_ms: u64, count: u64) {
        if self.seen.back().is_some_and(|(_, last)| count < *last) {
            self.seen.clear();
        }
        self.seen.push_back((at_ms, count));
        while self.seen.len() > 2 && self.seen[1].0 + WINDOW_MS <= at_ms {
            self.seen.pop_front();
        }
    }

    /// How many a second; `None` while nobody can tell.
    pub(crate) fn per_second(&self) -> Option<f64> {
        let ((from_ms, first), (to_ms, last)) = (self.seen.front()?, self.seen.back()?);
        let ms = to_ms.saturating_sub(*from_ms);
        (ms >= SHORTEST_MS && last > first).then(|| (last - first) as f64 * 1_000.0 / ms as f64)
    }

    /// How many milliseconds are left until `total`, if it goes on like this.
    pub(crate) fn left_ms(&self, total: u64) -> Option<u64> {
        let (_, last) = self.seen.back()?;
        let left = total.checked_sub(*last).filter(|left| *left > 0)?;
        Some((left as f64 * 1_000.0 / self.per_second()?) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds_and_tells_what_is_left() {
        let mut pace = Pace::default();
        assert_eq!((pace.per_second(), pace.left_ms(100)), (None, None));
        pace.note(0, 0);
        pace.note(500, 400);
        assert_eq!(pace.per_second(), None, "half a second is no rate");
        pace.note(2_000, 1_000);
        assert_eq!(pace.per_second(), Some(500.0));
        assert_eq!(pace.left_ms(2_000), Some(2_000));
        assert_eq!(pace.left_ms(1_000), None);
        assert_eq!(pace.left_ms(900), None, "more came than was expected");
        // Slow from then on: what was fast is forgotten.
        for second in 3..60 {
            pace.note(second * 1_000, 1_000 + second);
        }
        let slow = pace.per_second().unwrap();
        assert!((0.9..1.2).contains(&slow), "{slow}");
    }

    #[test]
    fn a_count_that_begins_anew_has_a_rate_of_its_own() {
        let mut pace = Pace::default();
        pace.note(0, 5_000);
        pace.note(2_000, 9_000);
        pace.note(3_000, 10);
        assert_eq!(pace.per_second(), None);
        pace.note(5_000, 30);
        assert_eq!(pace.per_second(), Some(10.0));
    }

    #[test]
    fn the_counts_that_are_kept_are_bounded() {
        let mut pace = Pace::default();
        for at in 0..100_000 {
            pace.note(at * 100, at);
        }
        assert!(pace.seen.len() < 300, "{}", pace.seen.len());
    }
}
