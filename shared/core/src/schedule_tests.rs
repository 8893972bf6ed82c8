use super::*;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
/// 2026-11-23, a Monday, at midnight.
const MONDAY_MS: u64 = 1_795_392_000_000;

fn when(text: &str) -> When {
    When::try_from(text.to_owned()).unwrap()
}

fn own(full: Option<&str>, delta: Option<&str>) -> TenantSchedule {
    TenantSchedule {
        full: full.map(when),
        delta: delta.map(when),
    }
}

fn last(full_ms: u64, any_ms: u64) -> LastStarts {
    LastStarts {
        full_ms: Some(full_ms),
        any_ms: Some(any_ms),
    }
}

#[test]
fn a_tenant_without_a_schedule_follows_the_stacks_occurrence_by_occurrence() {
    let stacks = own(None, None);
    assert!(stacks.is_the_stacks());
    for mode in [RunMode::Full, RunMode::Delta] {
        let due = |at_ms, last| stacks.due(mode, at_ms, last);
        assert_eq!(due(10, LastStarts::default()), Some(mode), "the first");
        assert_eq!(due(10, last(9, 9)), Some(mode), "a later one");
        assert_eq!(due(10, last(10, 10)), None, "the same again");
        assert_eq!(due(10, last(11, 11)), None, "an old one, come late");
    }
}

#[test]
fn a_delta_is_covered_by_the_full_run_of_the_same_moment_and_a_full_run_by_no_delta() {
    let stacks = own(None, None);
    assert_eq!(stacks.due(RunMode::Delta, 10, last(10, 10)), None);
    assert_eq!(
        stacks.due(RunMode::Full, 10, last(5, 10)),
        Some(RunMode::Full)
    );
}

#[test]
fn off_is_started_by_no_schedule() {
    let off = own(Some("off"), Some("off"));
    assert_eq!(off.due(RunMode::Full, 10, LastStarts::default()), None);
    assert_eq!(off.due(RunMode::Delta, 10, LastStarts::default()), None);
    let only_full = own(None, Some("off"));
    assert_eq!(only_full.due(RunMode::Delta, 10, last(1, 1)), None);
    assert_eq!(
        only_full.due(RunMode::Full, 10, last(1, 1)),
        Some(RunMode::Full)
    );
}

#[test]
fn a_rate_is_due_once_in_each_of_its_periods() {
    let hourly = own(None, Some("rate(1 hour)"));
    let mut last_ms = MONDAY_MS;
    let mut started = Vec::new();
    for quarter in 1..=12 {
        let at_ms = MONDAY_MS + quarter * 15 * MINUTE_MS;
        if hourly
            .due(RunMode::Delta, at_ms, last(MONDAY_MS, last_ms))
            .is_some()
        {
            started.push(quarter);
            last_ms = at_ms;
        }
    }
    assert_eq!(started, [4, 8, 12]);
}

#[test]
fn an_own_full_schedule_is_found_due_when_the_stacks_deltas_fire_and_not_before() {
    let weekly = own(Some("cron(30 3 ? * MON *)"), None);
    let sunday_ms = MONDAY_MS - 6 * DAY_MS;
    let due = |at_ms, last_ms| weekly.due(RunMode::Delta, at_ms, last(last_ms, at_ms - 1));
    assert_eq!(
        due(MONDAY_MS + 3 * HOUR_MS, sunday_ms),
        Some(RunMode::Delta)
    );
    let half_past_ms = MONDAY_MS + 3 * HOUR_MS + 30 * MINUTE_MS;
    assert_eq!(due(half_past_ms, sunday_ms), Some(RunMode::Full));
    assert_eq!(
        due(half_past_ms + HOUR_MS, sunday_ms),
        Some(RunMode::Full),
        "late"
    );
    assert_eq!(
        due(half_past_ms + HOUR_MS, half_past_ms),
        Some(RunMode::Delta)
    );
    assert_eq!(
        weekly.due(RunMode::Full, MONDAY_MS + HOUR_MS, last(sunday_ms, 0)),
        None,
        "the stack's nightly one is not the tenant's"
    );
}

#[test]
fn days_of_the_week_are_counted_from_sunday_as_eventbridge_does() {
    let last_ms = MONDAY_MS - 6 * DAY_MS;
    for text in ["cron(0 0 ? * 2 *)", "cron(0 0 ? * MON *)"] {
        let due = |at_ms| when(text).is_due(at_ms, Some(last_ms));
        assert!(due(MONDAY_MS), "{text}");
        assert!(!due(MONDAY_MS - 1), "{text}");
    }
}

#[test]
fn what_is_no_schedule_is_refused_with_what_one_looks_like() {
    for (text, says) in [
        ("", "write off, rate(6 hours) or cron(0 2 * * ? *)"),
        ("daily", "write off, rate(6 hours)"),
        ("rate(1)", "a rate is like 6 hours"),
        ("rate(x hours)", "\"x\" is not a whole number"),
        ("rate(2 weeks)", "\"weeks\" is none of minutes, hours, days"),
        ("rate(4 minutes)", "5 minutes to 30 days"),
        ("rate(31 days)", "5 minutes to 30 days"),
        ("rate(99999999999999999999 days)", "is not a whole number"),
        ("cron(0 2 * * *)", "six fields"),
        ("cron(0 2 * * ? * *)", "six fields"),
        ("cron(0 25 * * ? *)", "a field of cron is not understood"),
        ("cron(0 2 L * ? *)", "L, W and # are not known here"),
        ("cron(0 2 30 2 ? *)", "a day that never comes"),
    ] {
        let refused = When::try_from(text.to_owned()).unwrap_err();
        assert!(refused.contains(says), "{text}: {refused}");
        assert!(refused.starts_with(&format!("{text:?} is no schedule")));
    }
}

#[test]
fn a_schedule_is_stored_as_it_is_written() {
    let text = r#"{"full":"cron(0 2 * * ? *)","delta":"rate(6 hours)"}"#;
    let schedule: TenantSchedule = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&schedule).unwrap(), text);
}

#[test]
fn a_tenant_waits_from_its_last_run_by_the_stacks_schedule_and_from_the_next_occurrence_by_its_own()
{
    let schedule = |full: Option<&str>, delta: Option<&str>| TenantSchedule {
        full: full.map(when),
        delta: delta.map(when),
    };
    let last_ms = MONDAY_MS + 1;
    let (hour, day) = (Some("rate(1 hour)"), Some("rate(1 day)"));
    let (in_an_hour, tomorrow) = (Some(MONDAY_MS + HOUR_MS), Some(MONDAY_MS + DAY_MS));
    for (full, delta, for_full, for_any) in [
        (None, None, Some(last_ms), Some(last_ms)),
        (day, None, tomorrow, Some(last_ms)),
        (day, hour, tomorrow, in_an_hour),
        (hour, day, in_an_hour, in_an_hour),
        (None, hour, Some(last_ms), in_an_hour),
        (None, Some("off"), Some(last_ms), None),
        (day, Some("off"), tomorrow, tomorrow),
        (Some("off"), hour, None, in_an_hour),
        (Some("off"), Some("off"), None, None),
    ] {
        let schedule = schedule(full, delta);
        assert_eq!(
            schedule.waits_for_full_since(last_ms),
            for_full,
            "{full:?} {delta:?}"
        );
        assert_eq!(
            schedule.waits_for_any_since(last_ms),
            for_any,
            "{full:?} {delta:?}"
        );
    }
    let nightly = schedule(Some("cron(0 2 * * ? *)"), None);
    assert_eq!(
        nightly.waits_for_full_since(last_ms),
        Some(MONDAY_MS + 2 * HOUR_MS)
    );
}
