//! Held plans: released for one hash, once, while nothing else has changed; dropped; lapsed.

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::ids::RunRef;
use rollcall_core::run::{RunMode, RunState};
use rollcall_core::window::Window;
use rollcall_store::{
    AcquiredRun, HOLD_DAYS_MAX, HoldDecision, Ruled, RunLease, RunStep, StoreError, Usage,
};

use crate::values::{held, id, other_settings, plan, totals};
use crate::wire::Wire;
use crate::world::{START_MS, World, batch_key, head_key, n, run_key, s};

const DAY_MS: u64 = 86_400_000;

/// A held run of `t`, with the lease that it was held under.
async fn with_hold() -> (World, RunLease) {
    let world = World::start().await;
    let lease = world.finalizing("t").await;
    world.hold(&lease).await;
    (world, lease)
}

async fn approve(world: &World, run: &RunRef, plan: &str) -> Result<Ruled, StoreError> {
    world.store.approve_hold(run, plan, "ada").await
}

/// The decision about a hold that something happens to between its reading and the transaction, and
/// nothing of the run's and the head's is changed but by that.
async fn approved_after(
    world: &World,
    run: &RunRef,
    errand: impl Future<Output = ()> + Send + 'static,
) -> Ruled {
    let wire = Wire::default();
    wire.before("TransactWriteItems", errand);
    let store = world.store_on(&wire);
    let ruled = store.approve_hold(run, "abc", "ada").await.unwrap();
    assert!(wire.is_done());
    assert_eq!(world.record(run).await.approved, None);
    ruled
}

/// Its batches expire ninety days after its first deadline, it itself ninety after the one that it has by its
/// approval.
#[tokio::test]
async fn an_approved_run_that_outlives_its_batches_is_given_up_all_the_same() {
    let (world, lease) = with_hold().await;
    let run = lease.run();
    assert_eq!(approve(&world, run, "abc").await, Ok(Ruled::Done));
    world.lose(&batch_key(run, 1, 1)).await;
    let lease = world.lease(run, RunStep::GiveUp, "w").await;
    world.fail(&lease).await;
    assert_eq!(world.run_state(run).await, RunState::Failed);
    let head = world.store.head(&run.tenant).await.unwrap();
    assert_eq!(head.active_run, None);
}

#[tokio::test]
async fn an_approved_run_is_the_active_one_again_with_a_new_deadline() {
    let (world, lease) = with_hold().await;
    let run = lease.run();
    let before = world.record(run).await;
    world.clock.advance_ms(20 * DAY_MS);
    assert_eq!(approve(&world, run, "abc").await, Ok(Ruled::Done));
    let head = world.store.head(&run.tenant).await.unwrap();
    assert_eq!((head.active_run, head.held()), (Some(1), vec![]));
    let after = world.record(run).await;
    assert_eq!(
        (after.state, after.ended_at_ms),
        (RunState::Finalizing, None)
    );
    let by_ada = HoldDecision {
        by: "ada".into(),
        at_ms: START_MS + 20 * DAY_MS,
    };
    assert_eq!((after.approved, after.rejected), (Some(by_ada), None));
    assert_eq!(after.deadline_at_ms, before.deadline_at_ms + 20 * DAY_MS);
    assert_eq!(after.ttl_s, before.ttl_s + 20 * DAY_MS / 1_000);
    // The finalizer that is rung for need not wait for the lease that the run was held under.
    let acquired = world.store.acquire_run(run, RunStep::Finalize, "f").await;
    assert!(matches!(acquired, Ok(AcquiredRun::Granted(..))));
}

#[tokio::test]
async fn a_plan_is_released_once_and_by_its_own_hash_alone() {
    let (world, lease) = with_hold().await;
    let run = lease.run();
    for other in ["", "ab", "abcd", "ABC"] {
        let before = world.dump().await;
        let ruled = approve(&world, run, other).await;
        assert_eq!(ruled, Ok(Ruled::OtherPlan("abc".into())), "{other}");
        assert_eq!(world.dump().await, before);
    }
    assert_eq!(approve(&world, run, "abc").await, Ok(Ruled::Done));
    let again = Ruled::NotHeld(RunState::Finalizing);
    assert_eq!(approve(&world, run, "abc").await, Ok(again));
    let unknown = "t/9".parse().unwrap();
    assert_eq!(approve(&world, &unknown, "abc").await, Ok(Ruled::Unknown));
}

#[tokio::test]
async fn the_hash_is_a_condition_of_the_release_itself() {
    let (world, lease) = with_hold().await;
    let run = lease.run().clone();
    let (other, its_run) = (world.clone(), run.clone());
    let errand = async move {
        let key = run_key(&its_run);
        let another = serde_json::to_string(&rollcall_store::Held {
            plan: "another".into(),
            ..held()
        });
        other.set(&key, "held", s(&another.unwrap())).await;
        other.set(&key, "held_plan", s("another")).await;
    };
    let ruled = approved_after(&world, &run, errand).await;
    assert_eq!(ruled, Ruled::OtherPlan("another".into()));
}

#[tokio::test]
async fn no_plan_is_released_while_another_run_is_active() {
    let (world, lease) = with_hold().await;
    let run = lease.run().clone();
    let other = world.clone();
    let errand = async move {
        other.started("t").await;
    };
    assert_eq!(
        approved_after(&world, &run, errand).await,
        Ruled::RunActive(2)
    );
    assert_eq!(approve(&world, &run, "abc").await, Ok(Ruled::RunActive(2)));
}

#[tokio::test]
async fn no_plan_is_released_under_other_settings_than_it_was_made_by() {
    let (world, lease) = with_hold().await;
    let run = lease.run().clone();
    let other = world.clone();
    let errand = async move {
        other.store.put_tenant(&other_settings("t")).await.unwrap();
    };
    let changed = Ruled::SettingsChanged;
    assert_eq!(approved_after(&world, &run, errand).await, changed);
    assert_eq!(approve(&world, &run, "abc").await, Ok(changed));
}

#[tokio::test]
async fn a_plan_that_is_void_meanwhile_is_not_released() {
    let (world, lease) = with_hold().await;
    let run = lease.run().clone();
    let (other, its_run) = (world.clone(), run.clone());
    let errand = async move {
        let rejected = other.store.reject_hold(&its_run, "grace").await;
        assert_eq!(rejected, Ok(Ruled::Done));
    };
    let rejected = Ruled::NotHeld(RunState::Rejected);
    assert_eq!(approved_after(&world, &run, errand).await, rejected);
    // As when the head forgot it: the hold and its run are one.
    let (world, lease) = with_hold().await;
    world.set(&head_key("t"), "held_run", n(7)).await;
    let approved = approve(&world, lease.run(), "abc").await;
    assert!(matches!(approved, Err(StoreError::Changed { .. })));
    assert_eq!(world.run_state(lease.run()).await, RunState::Held);
}

/// Its answer may have been lost, and the call come again long after.
#[tokio::test]
async fn whoever_held_the_run_cannot_hold_it_again_once_it_is_approved() {
    let (world, lease) = with_hold().await;
    let run = lease.run();
    let record = world.record(run).await;
    assert_eq!(approve(&world, run, "abc").await, Ok(Ruled::Done));
    let (held, totals, usage) = (held(), totals(), Usage::default());
    let window = Window::default();
    let lost = StoreError::LostLease;
    let what = (&held, &totals);
    let hold = world.store.hold_run(&lease, &record, what, &usage);
    world.refuses("hold", &lost, hold).await;
    let complete = world
        .store
        .complete_run(&lease, &record, (&totals, &window), &usage);
    world.refuses("complete", &lost, complete).await;
    let begin = world.store.begin_applying(&lease, 1);
    world.refuses("begin_applying", &lost, begin).await;
}

#[tokio::test]
async fn an_approved_run_that_completes_is_a_baseline_and_no_slow_bleed() {
    let (world, lease) = with_hold().await;
    let run = lease.run();
    world
        .set(&head_key("t"), "delta_link", s("https://g/later"))
        .await;
    assert_eq!(approve(&world, run, "abc").await, Ok(Ruled::Done));
    let lease = world.lease(run, RunStep::Finalize, "f").await;
    let record = world.record(run).await;
    let mut totals = totals();
    totals.deactivated.disabled = 501;
    let (window, usage) = (Window::default(), Usage::default());
    let complete = world
        .store
        .complete_run(&lease, &record, (&totals, &window), &usage);
    assert_eq!(complete.await, Ok(()));
    let head = world.store.head(&run.tenant).await.unwrap();
    assert_eq!((head.active_run, head.last_full_run), (None, Some(1)));
    assert_eq!(head.last_full_seen, Some(42));
    assert_eq!(head.window, Window::default());
    // Where later runs have gone on from.
    assert_eq!(head.delta_link.as_deref(), Some("https://g/later"));
}

#[tokio::test]
async fn what_is_carried_out_of_an_approved_plan_is_stored_once_beside_it() {
    let world = World::start().await;
    let lease = world.finalizing("t").await;
    let head = world.store.head(&lease.run().tenant).await.unwrap();
    let whole = plan(lease.run(), &[(id("a"), 3), (id("b"), 4)]);
    let by_full = (RunMode::Full, &head);
    let stored = world.store.store_plan(&lease, &whole, 1, by_full).await;
    assert_eq!(stored, Ok(()));
    assert_eq!(world.store.released(lease.run()).await, Ok(None));
    let part = plan(lease.run(), &[(id("a"), 3)]);
    let stored = world.store.store_released(&lease, &part, 1).await;
    assert_eq!(stored, Ok(()));
    let again = world.store.store_released(&lease, &whole, 1);
    let refused = StoreError::Changed { what: "the plan" };
    assert_eq!(again.await, Err(refused));
    let run = lease.run();
    assert_eq!(world.store.released(run).await, Ok(Some(part.clone())));
    assert_eq!(world.store.plan(run).await, Ok(Some(whole)));
    world.store.put_tenant(&other_settings("t")).await.unwrap();
    let settings = StoreError::Changed {
        what: "the tenant's settings",
    };
    let next = world.store.store_released(&lease, &part, 1).await;
    assert_eq!(next, Err(settings));
}

#[tokio::test]
async fn a_dropped_plan_waits_no_more_and_no_user_is_touched() {
    let (world, lease) = with_hold().await;
    let run = lease.run();
    assert_eq!(world.store.held_runs(&run.tenant).await.unwrap().len(), 1);
    let rejected = world.store.reject_hold(run, "grace").await;
    assert_eq!(rejected, Ok(Ruled::Done));
    assert_eq!(world.store.held_runs(&run.tenant).await, Ok(vec![]));
    let record = world.record(run).await;
    let by = record.rejected.map(|it| it.by);
    assert_eq!(
        (record.state, by),
        (RunState::Rejected, Some("grace".into()))
    );
    let head = world.store.head(&run.tenant).await.unwrap();
    assert_eq!((head.active_run, head.owes_full()), (None, false));
    let again = world.store.reject_hold(run, "grace").await;
    assert_eq!(again, Ok(Ruled::NotHeld(RunState::Rejected)));
}

/// What a held delta found is in no later delta: `head.held_delta_run` asks for a full run while it
/// waits, and so does what is decided about it.
#[tokio::test]
async fn after_a_decision_about_a_delta_runs_plan_the_next_run_is_full() {
    for approves in [true, false] {
        let (world, lease) = with_hold().await;
        let run = lease.run();
        // As if it had been a delta run.
        world.set(&run_key(run), "mode", s("delta")).await;
        world.set(&head_key("t"), "held_delta_run", n(1)).await;
        world.set(&head_key("t"), "held_run", n(0)).await;
        let ruled = match approves {
            true => approve(&world, run, "abc").await,
            false => world.store.reject_hold(run, "grace").await,
        };
        assert_eq!(ruled, Ok(Ruled::Done));
        let head = world.store.head(&run.tenant).await.unwrap();
        assert_eq!((head.held_delta_run, head.owes_full()), (None, true));
        assert_eq!(head.mode(RunMode::Delta, ""), RunMode::Full);
    }
}

#[tokio::test]
async fn a_full_run_that_meets_an_approved_plan_is_made_up_for() {
    let (world, lease) = with_hold().await;
    assert_eq!(approve(&world, lease.run(), "abc").await, Ok(Ruled::Done));
    let tenant = world.tenant("t").await;
    world.store.start_run(&tenant, RunMode::Full).await.unwrap();
    let head = world.store.head(&lease.run().tenant).await.unwrap();
    assert!(head.owes_full());
}

#[tokio::test]
async fn a_hold_lapses_before_its_items_are_dropped() {
    let (world, lease) = with_hold().await;
    let (run, store) = (lease.run(), &world.store);
    let head = store.head(&run.tenant).await.unwrap();
    let last_day = START_MS + HOLD_DAYS_MAX * DAY_MS;
    assert_eq!(head.lapsed(last_day - 1), []);
    assert_eq!(head.lapsed(last_day), [(RunMode::Full, 1)]);
    for (key, item) in world.items_of("run").await {
        let ttl = item.get("ttl").and_then(|it| it.as_n().ok());
        let ttl_ms = ttl.unwrap().parse::<u64>().unwrap() * 1_000;
        assert!(ttl_ms > last_day + 29 * DAY_MS, "{key:?}");
    }
    assert_eq!(store.lapse_hold(run).await, Ok(Ruled::Done));
    assert_eq!(world.run_state(run).await, RunState::Superseded);
    let head = store.head(&run.tenant).await.unwrap();
    assert_eq!((head.held(), head.lapsed(u64::MAX)), (vec![], vec![]));
    let item = world.items_of("head").await.remove(0).1;
    let left: Vec<&AttributeValue> = item
        .iter()
        .filter(|(name, _)| name.starts_with("held"))
        .map(|(_, value)| value)
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
