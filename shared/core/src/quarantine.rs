//! Rest for a tenant whose runs keep failing: the schedules leave it alone for longer and longer.
//!
//! Each run of such a tenant costs requests to Graph that count for the application, and a line in the
//! alarm that hides the others. A person's own run is never kept back.

/// The first failed run of a row after which a tenant rests: two are a bad night.
pub const FAILED_IN_A_ROW_MIN: u64 = 3;
/// The first rest, in milliseconds: an hour. It doubles with each run that fails after it.
const REST_MS_FIRST: u64 = 3_600_000;
/// More doublings than the longest rest allows, and far fewer than a number of milliseconds holds.
const DOUBLINGS_MAX: u64 = 8;
/// The longest rest, in milliseconds: an hour less than a day, so that of a schedule that fires once a day each
/// time starts a run, which may fail an hour after it. A tenant that is well again is found so by the next day,
/// whoever forgot about it.
pub const REST_MS_MAX: u64 = 23 * 3_600_000;

/// Until when the schedules leave a tenant alone whose last run failed at this moment, in milliseconds
/// since 1970; `None` if they do not.
#[must_use]
pub fn rests_until_ms(failed_in_a_row: u64, failed_at_ms: u64) -> Option<u64> {
    let beyond = failed_in_a_row.checked_sub(FAILED_IN_A_ROW_MIN)?;
    let doubled = 1_u64 << beyond.min(DOUBLINGS_MAX);
    let rest_ms = (REST_MS_FIRST * doubled).min(REST_MS_MAX);
    Some(failed_at_ms.saturating_add(rest_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn two_failures_are_let_pass_and_from_the_third_on_the_rest_doubles_up_to_an_hour_less_than_a_day()
     {
        let rests = |failed| rests_until_ms(failed, 1_000);
        assert_eq!(rests(0), None);
        assert_eq!(rests(2), None);
        let hours = [(3, 1), (4, 2), (5, 4), (6, 8), (7, 16), (8, 23), (9, 23)];
        for (failed, hours) in hours {
            assert_eq!(rests(failed), Some(1_000 + hours * HOUR_MS), "{failed}");
        }
    }

    #[test]
    fn a_tenant_that_has_failed_for_years_still_gets_a_run_a_day() {
        for failed in [60, 66, 67, 70, 1_000_000, u64::MAX] {
            assert_eq!(rests_until_ms(failed, 0), Some(23 * HOUR_MS), "{failed}");
        }
    }
}
