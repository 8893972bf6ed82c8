//! Each guard at its limit, one below and one above, in tenants of three sizes.

use super::*;

const SIZES: [u64; 3] = [3, 50, 5_000];

/// Guards that let everything pass, so that one at a time can be looked at.
fn open() -> GuardSettings {
    GuardSettings {
        deactivations_max: u64::MAX,
        deactivations_percent_max: 100.0,
        exempt_max: 0,
        shrink_percent_max: 100.0,
        window_percent_max: 100.0,
        ..GuardSettings::default()
    }
}

/// A tenant of so many, of whom everybody was seen and nobody goes.
fn quiet(size: u64) -> PlanNumbers {
    PlanNumbers {
        users_seen: size,
        users_seen_before: Some(size),
        active: size,
        deactivations: 0,
        whole_domain: 0,
        off_in_window: 0,
    }
}

fn tripped(guards: &GuardSettings, plan: PlanNumbers) -> Option<GuardKind> {
    guards.check(plan).map(|trip| trip.guard)
}

/// The limit in percent that exactly so many of a tenant reach.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn percent_for(users: u64, size: u64) -> f64 {
    users as f64 * 100.0 / size as f64
}

/// For each size: a plan at, below and above `limit` users, against guards made for it.
fn holds_above_alone(
    guard: GuardKind,
    limits: [u64; 3],
    guards: impl Fn(u64, u64) -> GuardSettings,
    plan: impl Fn(u64, u64) -> PlanNumbers,
) {
    for (size, limit) in SIZES.into_iter().zip(limits) {
        let guards = guards(limit, size);
        for (users, expected) in [(limit - 1, None), (limit, None), (limit + 1, Some(guard))] {
            let found = tripped(&guards, plan(users, size));
            assert_eq!(found, expected, "{users} of {size}");
        }
    }
}

#[test]
fn the_count_guard_holds_one_above_its_limit() {
    let guards = |limit, _| GuardSettings {
        deactivations_max: limit,
        ..open()
    };
    let plan = |deactivations, size| PlanNumbers {
        deactivations,
        ..quiet(size)
    };
    holds_above_alone(GuardKind::Count, [1, 20, 500], guards, plan);
}

#[test]
fn the_percent_guard_holds_one_above_its_limit() {
    let guards = |limit, size| GuardSettings {
        deactivations_percent_max: percent_for(limit, size),
        ..open()
    };
    let plan = |deactivations, size| PlanNumbers {
        deactivations,
        ..quiet(size)
    };
    holds_above_alone(GuardKind::Percent, [1, 5, 250], guards, plan);
}

#[test]
fn the_shrink_guard_holds_one_above_its_limit_whatever_the_plan() {
    let guards = |limit, size| GuardSettings {
        shrink_percent_max: percent_for(limit, size),
        ..open()
    };
    let plan = |missing, size| PlanNumbers {
        users_seen: size - missing,
        ..quiet(size)
    };
    holds_above_alone(GuardKind::Shrink, [1, 10, 1_000], guards, plan);
}

#[test]
fn the_domain_guard_holds_a_whole_domain_one_above_what_may_go_as_a_whole() {
    let guards = |limit, _| GuardSettings {
        exempt_max: limit,
        ..open()
    };
    // One more goes, of another domain: the plan itself is larger than what passes.
    let plan = |whole_domain, size| PlanNumbers {
        deactivations: whole_domain + 1,
        whole_domain,
        ..quiet(size)
    };
    holds_above_alone(GuardKind::Domain, [1, 5, 5], guards, plan);
}

#[test]
fn a_domain_of_which_somebody_stays_is_no_whole_one() {
    let guards = GuardSettings {
        exempt_max: 5,
        ..open()
    };
    let plan = PlanNumbers {
        deactivations: 2_000,
        ..quiet(5_000)
    };
    assert_eq!(tripped(&guards, plan), None);
}

#[test]
fn the_window_guard_holds_one_above_its_limit_whatever_each_night_was() {
    let guards = |limit, size| GuardSettings {
        window_percent_max: percent_for(limit, size),
        ..open()
    };
    let plan = |in_all: u64, size| PlanNumbers {
        deactivations: 1,
        off_in_window: in_all.saturating_sub(1),
        ..quiet(size)
    };
    // Nobody in all is no plan of one.
    holds_above_alone(GuardKind::Window, [2, 5, 500], guards, plan);
}

#[test]
fn a_slow_bleed_is_held_by_the_window_long_before_a_nights_limit() {
    let guards = GuardSettings::default();
    let nights = (0..).map(|night| PlanNumbers {
        deactivations: 40,
        off_in_window: night * 40,
        ..quiet(1_000 - night * 40)
    });
    let held = nights.take(7).position(|plan| guards.check(plan).is_some());
    assert_eq!(held, Some(2));
    let plan = PlanNumbers {
        deactivations: 40,
        off_in_window: 80,
        ..quiet(920)
    };
    assert_eq!(tripped(&guards, plan), Some(GuardKind::Window));
}

#[test]
fn whoever_goes_from_among_nobody_is_all_of_them() {
    let guards = GuardSettings {
        deactivations_percent_max: 99.0,
        ..open()
    };
    let plan = PlanNumbers {
        deactivations: 1,
        active: 0,
        ..quiet(3)
    };
    assert_eq!(tripped(&guards, plan), Some(GuardKind::Percent));
}

#[test]
fn a_small_plan_passes_percent_domain_and_window_however_small_the_tenant() {
    let guards = GuardSettings::default();
    let of = |deactivations| PlanNumbers {
        deactivations,
        whole_domain: deactivations,
        off_in_window: 100,
        ..quiet(6)
    };
    assert_eq!(tripped(&guards, of(5)), None);
    assert_eq!(tripped(&guards, of(6)), Some(GuardKind::Percent));
}

#[test]
fn a_small_plan_passes_neither_count_nor_shrink() {
    let guards = GuardSettings {
        deactivations_max: 1,
        ..GuardSettings::default()
    };
    let two = PlanNumbers {
        deactivations: 2,
        ..quiet(50)
    };
    assert_eq!(tripped(&guards, two), Some(GuardKind::Count));
    let shrunk = PlanNumbers {
        users_seen: 39,
        ..quiet(50)
    };
    assert_eq!(tripped(&guards, shrunk), Some(GuardKind::Shrink));
}

#[test]
fn the_defaults_are_those_that_are_documented() {
    let guards = GuardSettings::default();
    let of = |deactivations| PlanNumbers {
        deactivations,
        ..quiet(100_000)
    };
    assert_eq!(tripped(&guards, of(500)), None);
    assert_eq!(tripped(&guards, of(501)), Some(GuardKind::Count));
    let of = |deactivations| PlanNumbers {
        deactivations,
        ..quiet(1_000)
    };
    assert_eq!(tripped(&guards, of(50)), None);
    assert_eq!(tripped(&guards, of(51)), Some(GuardKind::Percent));
}

#[test]
fn a_first_run_and_a_growing_directory_do_not_shrink() {
    for users_seen_before in [None, Some(0), Some(9_000)] {
        let plan = PlanNumbers {
            users_seen_before,
            ..quiet(10_000)
        };
        assert_eq!(tripped(&GuardSettings::default(), plan), None);
    }
}

#[test]
fn the_readings_say_which_guard_trips_first_and_what_it_found() {
    let guards = GuardSettings {
        deactivations_max: 9,
        ..GuardSettings::default()
    };
    let mut said = std::collections::BTreeSet::new();
    for (seen, before) in [(100, Some(100)), (79, Some(100)), (50, None), (50, Some(0))] {
        for deactivations in [0, 5, 6, 9, 10] {
            for (whole_domain, off_in_window) in [(0, 0), (5, 4), (0, 9), (6, 9)] {
                let plan = PlanNumbers {
                    users_seen: seen,
                    users_seen_before: before,
                    active: 120,
                    deactivations,
                    whole_domain,
                    off_in_window,
                };
                let readings = guards.readings(plan);
                let first = readings.iter().find(|it| it.verdict == Verdict::Trips);
                let as_trip = |it: &Reading| (it.guard, it.limit, it.value);
                let trip = guards.check(plan);
                assert_eq!(
                    first.map(as_trip),
                    trip.map(|it| (it.guard, it.limit, Some(it.value))),
                    "{plan:?}"
                );
                said.extend(readings.map(|it| (it.guard.name(), format!("{:?}", it.verdict))));
            }
        }
    }
    for (guard, verdict) in [
        ("shrink", "NoBaseline"),
        ("count", "Trips"),
        ("percent", "Exempt"),
        ("domain", "Trips"),
        ("window", "Trips"),
    ] {
        assert!(
            said.contains(&(guard, verdict.to_owned())),
            "{guard} {verdict}"
        );
    }
}
