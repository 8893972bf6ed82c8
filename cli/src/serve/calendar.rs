//! When the schedules fire.

use std::time::Duration;

use crate::args::{Mode, ServeOptions};
use crate::engine::Fires;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const MINUTE_MS: u64 = 60 * 1_000;

/// The full run once a day, and the delta runs between. The first delta is due at once: whoever has
/// no full run yet gets one by it, and nobody waits for the night to see his first sync.
pub(super) fn calendar(options: &ServeOptions, now_ms: u64) -> Vec<Fires> {
    let full = Fires {
        mode: Mode::Full,
        first_after: Duration::from_millis(until(options.full_at.minute, now_ms)),
        period: Duration::from_millis(DAY_MS),
    };
    let delta = Fires {
        mode: Mode::Delta,
        first_after: Duration::ZERO,
        period: Duration::from_millis(u64::from(options.delta_minutes) * MINUTE_MS),
    };
    vec![full, delta]
}

/// How long it is until a minute of the day comes next, in UTC, in milliseconds.
fn until(minute_of_day: u16, now_ms: u64) -> u64 {
    let at_ms = u64::from(minute_of_day) * MINUTE_MS;
    let now_ms = now_ms % DAY_MS;
    if at_ms > now_ms {
        at_ms - now_ms
    } else {
        at_ms + DAY_MS - now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_comes_within_a_day_and_never_now() {
        let two = 2 * 60;
        for (now_ms, expected) in [
            (0, 120 * MINUTE_MS),
            (DAY_MS + 119 * MINUTE_MS, MINUTE_MS),
            (120 * MINUTE_MS, DAY_MS),
            (7 * DAY_MS + 121 * MINUTE_MS, DAY_MS - MINUTE_MS),
        ] {
            assert_eq!(until(two, now_ms), expected, "{now_ms}");
        }
    }
}
