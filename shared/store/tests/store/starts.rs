//! Runs that are due: once for each occurrence of a schedule, and not while a tenant rests.

use rollcall_core::run::RunMode;
use rollcall_core::schedule::When;
use rollcall_store::{DueRun, RunStep, StartedRun, Store, TenantRecord};
use serde_json::json;

use crate::values::{other_settings, settings};
use crate::wire::Wire;
use crate::world::{START_MS, World};

const HOUR_MS: u64 = 3_600_000;

fn run_of(due: DueRun) -> String {
    match due {
        DueRun::Due(StartedRun::Started(run)) => run.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn due(world: &World, tenant: &TenantRecord, fires: RunMode, at_ms: u64) -> DueRun {
    world
        .store
        .start_due_run(tenant, fires, at_ms)
        .await
        .unwrap()
}

async fn fails(world: &World, run: &str) {
    let run = run.parse().unwrap();
    let lease = world.lease(&run, RunStep::GiveUp, "w").await;
    world.fail(&lease).await;
}

#[tokio::test]
async fn an_occurrence_that_is_told_again_after_its_run_has_ended_starts_no_other() {
    let world = World::start().await;
    let tenant = world.tenant("t").await;
    let run = run_of(due(&world, &tenant, RunMode::Full, 1_000).await);
    fails(&world, &run).await;
    let before = world.dump().await;
    assert_eq!(
        due(&world, &tenant, RunMode::Full, 1_000).await,
        DueRun::NotDue
    );
    assert_eq!(
        due(&world, &tenant, RunMode::Full, 999).await,
        DueRun::NotDue
    );
    assert_eq!(world.dump().await, before);
    assert_eq!(
        run_of(due(&world, &tenant, RunMode::Full, 1_001).await),
        "t/2"
    );
}

#[tokio::test]
async fn an_occurrence_that_meets_an_active_run_has_had_it() {
    let world = World::start().await;
    let tenant = world.tenant("t").await;
    let run = world.started("t").await;
    let met = due(&world, &tenant, RunMode::Full, 1_000).await;
    assert_eq!(met, DueRun::Due(StartedRun::AlreadyActive(run.clone())));
    fails(&world, &run.to_string()).await;
    assert_eq!(
        due(&world, &tenant, RunMode::Full, 1_000).await,
        DueRun::NotDue
    );
}

#[tokio::test]
async fn of_two_who_are_told_of_one_occurrence_at_once_one_starts_it() {
    let world = World::start().await;
    let tenant = world.tenant("t").await;
    let wire = Wire::default();
    let (other, its_tenant) = (world.clone(), tenant.clone());
    wire.before("TransactWriteItems", async move {
        let run = run_of(due(&other, &its_tenant, RunMode::Full, 1_000).await);
        fails(&other, &run).await;
    });
    let late: Store = world.store_on(&wire);
    let lost = late.start_due_run(&tenant, RunMode::Full, 1_000).await;
    assert!(lost.is_err(), "{lost:?}");
    let again = late.start_due_run(&tenant, RunMode::Full, 1_000).await;
    assert_eq!(again, Ok(DueRun::NotDue));
    assert_eq!(
        world.store.runs(&tenant.settings.id).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn a_delta_of_the_moment_of_a_full_run_is_had_and_a_full_one_of_the_moment_of_a_delta_is_not()
{
    let world = World::start().await;
    let tenant = world.tenant("t").await;
    let run = run_of(due(&world, &tenant, RunMode::Delta, 1_000).await);
    fails(&world, &run).await;
    let run = run_of(due(&world, &tenant, RunMode::Full, 1_000).await);
    fails(&world, &run).await;
    assert_eq!(
        due(&world, &tenant, RunMode::Delta, 1_000).await,
        DueRun::NotDue
    );
}

#[tokio::test]
async fn a_tenant_whose_schedule_is_off_is_started_by_a_person_alone() {
    let world = World::start().await;
    let mut off = settings("t");
    off.schedule.full = Some(When::try_from("off".to_owned()).unwrap());
    world.store.put_tenant(&off).await.unwrap();
    let tenant = world.store.tenant(&off.id).await.unwrap().unwrap();
    assert_eq!(tenant.settings, off);
    assert_eq!(
        due(&world, &tenant, RunMode::Full, 1_000).await,
        DueRun::NotDue
    );
    let started = world.store.start_run(&tenant, RunMode::Full).await.unwrap();
    assert!(matches!(started, StartedRun::Started(_)));
}

#[tokio::test]
async fn from_the_third_failed_run_in_a_row_a_tenant_rests_and_a_person_starts_it_all_the_same() {
    let world = World::start().await;
    let tenant = world.tenant("t").await;
    for nth in 1..=3 {
        let run = run_of(due(&world, &tenant, RunMode::Full, nth).await);
        fails(&world, &run).await;
    }
    let until_ms = world.now_ms() + HOUR_MS;
    let rests = DueRun::Rests {
        failed_in_a_row: 3,
        until_ms,
    };
    assert_eq!(due(&world, &tenant, RunMode::Full, 4).await, rests);
    let started = world.store.start_run(&tenant, RunMode::Full).await.unwrap();
    let StartedRun::Started(run) = started else {
        panic!("{started:?}");
    };
    fails(&world, &run.to_string()).await;
    world.clock.advance_ms(HOUR_MS);
    let rests = due(&world, &tenant, RunMode::Full, 5).await;
    assert!(
        matches!(
            rests,
            DueRun::Rests {
                failed_in_a_row: 4,
                ..
            }
        ),
        "{rests:?}"
    );
    world.clock.advance_ms(HOUR_MS);
    assert_eq!(run_of(due(&world, &tenant, RunMode::Full, 6).await), "t/5");
}

#[tokio::test]
async fn a_run_that_does_not_fail_ends_the_row() {
    let world = World::start().await;
    let tenant = world.tenant("t").await;
    for nth in 1..=2 {
        let run = run_of(due(&world, &tenant, RunMode::Full, nth).await);
        fails(&world, &run).await;
    }
    let lease = world.finalizing("t").await;
    world.complete(&lease).await;
    let head = world.store.head(&tenant.settings.id).await.unwrap();
    assert_eq!((head.failed_in_a_row, head.failed_at_ms), (0, None));
}

#[tokio::test]
async fn settings_that_the_failed_runs_did_not_know_end_the_rest() {
    let world = World::start().await;
    let tenant = world.tenant("t").await;
    for nth in 1..=3 {
        let run = run_of(due(&world, &tenant, RunMode::Full, nth).await);
        fails(&world, &run).await;
    }
    world.store.put_tenant(&other_settings("t")).await.unwrap();
    let tenant = world.store.tenant(&tenant.settings.id).await.unwrap();
    assert_eq!(
        run_of(due(&world, &tenant.unwrap(), RunMode::Full, 4).await),
        "t/4"
    );
}

#[tokio::test]
async fn a_run_that_is_given_up_twice_counts_once() {
    let world = World::start().await;
    let tenant = world.tenant("t").await;
    let run = world.started("t").await;
    let lease = world.lease(&run, RunStep::GiveUp, "w").await;
    world.fail(&lease).await;
    world.store.close_failed_run(&lease).await.unwrap();
    let head = world.store.head(&tenant.settings.id).await.unwrap();
    assert_eq!(head.failed_in_a_row, 1);
    assert_eq!(head.failed_at_ms, Some(world.now_ms()));
}

/// How many tenants each answer has, of all that there are, who are these.
async fn gone_through(world: &World, count_max: i32, names: &[String]) -> Vec<usize> {
    let (mut seen, mut counts, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let some = world.store.tenant_ids_after(after.as_ref(), count_max);
        let some = some.await.unwrap();
        counts.push(some.ids.len());
        seen.extend(some.ids.iter().map(ToString::to_string));
        after = some.more_after;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, names);
    counts
}

#[tokio::test]
async fn tenants_are_gone_through_page_by_page() {
    let world = World::start().await;
    let names = ["a", "b", "c", "d", "e"].map(str::to_owned);
    for name in &names {
        world.tenant(name).await;
    }
    assert_eq!(gone_through(&world, 2, &names).await, [2, 2, 1]);
}

#[tokio::test]
async fn tenants_whose_settings_are_more_than_an_answer_holds_are_gone_through_all_the_same() {
    let world = World::start().await;
    let names: Vec<_> = (10..40).map(|nth| format!("t{nth}")).collect();
    let label = "x".repeat(59);
    let domain = |nth| format!("d{nth}.{label}.{label}.{label}.{label}.example");
    let domains: Vec<_> = (0..200).map(domain).collect();
    for name in &names {
        let mut large = settings(name);
        large.scope = serde_json::from_value(json!({ "domains": domains })).unwrap();
        world.store.put_tenant(&large).await.unwrap();
    }
    let counts = gone_through(&world, 100, &names).await;
    assert!(counts.len() > 1, "{counts:?}: an answer holds a megabyte");
}

#[tokio::test]
async fn an_occurrence_that_is_told_late_does_not_undo_that_a_later_one_was_had() {
    let world = World::start().await;
    let tenant = world.tenant("t").await;
    // The full run of an hour ago is told behind the delta of now: it starts, or meets another run.
    for (nth, is_active) in [false, true].into_iter().enumerate() {
        let now_ms = (nth as u64 + 1) * 10 * HOUR_MS;
        let run = run_of(due(&world, &tenant, RunMode::Delta, now_ms).await);
        if !is_active {
            fails(&world, &run).await;
        }
        let late = due(&world, &tenant, RunMode::Full, now_ms - HOUR_MS).await;
        let DueRun::Due(StartedRun::Started(late) | StartedRun::AlreadyActive(late)) = late else {
            panic!("{late:?}");
        };
        fails(&world, &late.to_string()).await;
        let again = due(&world, &tenant, RunMode::Delta, now_ms).await;
        assert_eq!(again, DueRun::NotDue, "active: {is_active}");
        world.store.end_rest(&tenant.settings.id).await.unwrap();
    }
}

#[tokio::test]
async fn of_two_occurrences_that_meet_a_run_at_once_the_later_one_is_remembered() {
    let world = World::start().await;
    let tenant = world.tenant("t").await;
    let run = world.started("t").await;
    let wire = Wire::default();
    let (other, its_tenant) = (world.clone(), tenant.clone());
    wire.before("TransactWriteItems", async move {
        due(&other, &its_tenant, RunMode::Full, 2_000).await;
    });
    let slow: Store = world.store_on(&wire);
    let met = slow.start_due_run(&tenant, RunMode::Full, 1_000).await;
    assert!(met.is_err(), "{met:?}");
    fails(&world, &run.to_string()).await;
    for at_ms in [1_000, 2_000] {
        let again = due(&world, &tenant, RunMode::Full, at_ms).await;
        assert_eq!(again, DueRun::NotDue, "{at_ms}");
    }
}

/// Else every occurrence until then were taken for had.
#[tokio::test]
async fn an_occurrence_that_lies_ahead_is_none_and_those_that_come_are_had() {
    let world = World::start().await;
    let tenant = world.tenant("t").await;
    for ahead_ms in [24 * HOUR_MS, HOUR_MS] {
        let ahead = due(&world, &tenant, RunMode::Full, START_MS + ahead_ms).await;
        assert_eq!(ahead, DueRun::Ahead);
    }
    // A clock that is off by a little starts what a schedule asks for all the same.
    let run = run_of(due(&world, &tenant, RunMode::Full, START_MS + 60_000).await);
    fails(&world, &run).await;
    let next = due(&world, &tenant, RunMode::Full, START_MS + 61_000).await;
    assert_eq!(run_of(next), "t/2");
}
