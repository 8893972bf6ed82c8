//! The differential test: DynamoDB takes a transition exactly when the pure function allows it. The
//! state is written into the item past the store, then the store's method for the event is called.

use rollcall_core::batch::{BatchEvent, BatchState, next_batch_state};
use rollcall_core::ids::RunRef;
use rollcall_core::run::{FailReason, RunEvent, RunMode, RunState, next_run_state};
use rollcall_core::window::Window;
use rollcall_store::{
    AcquiredBatch, BatchLease, BatchResult, ChainEnd, Ruled, RunLease, RunStep, Store, StoreError,
    Usage,
};

use crate::values::{created, held, last_page, page_before_others, plan, totals};
use crate::wire::Wire;
use crate::world::{LEASE_MS, World, batch_key, commit, head_key, n};

/// The store's method for the event, under the run's own lease.
async fn apply_run(store: &Store, lease: &RunLease, event: RunEvent) -> Result<(), StoreError> {
    let start = ChainEnd::start(1);
    let usage = Usage::default();
    let record = store.run(lease.run()).await?.unwrap();
    match event {
        RunEvent::CommitPage => commit(store, lease, &start, &page_before_others())
            .await
            .map(drop),
        RunEvent::Seal => commit(store, lease, &start, &last_page()).await.map(drop),
        RunEvent::NewGeneration => store.new_generation(lease, &start, None).await.map(drop),
        RunEvent::BeginFinalizing => store.begin_finalizing(lease).await,
        RunEvent::BeginApplying => store.begin_applying(lease, 1).await,
        RunEvent::Complete => {
            let done = (&totals(), &Window::default());
            store.complete_run(lease, &record, done, &usage).await
        }
        RunEvent::Hold => {
            store
                .hold_run(lease, &record, (&held(), &totals()), &usage)
                .await
        }
        RunEvent::Fail => {
            store
                .fail_run(lease, FailReason::Deadline, "too late", &usage)
                .await?;
            store.close_failed_run(lease).await
        }
        RunEvent::Approve | RunEvent::Reject | RunEvent::Supersede => {
            panic!("{event:?} is not under the run's own lease")
        }
    }
}

fn is_under_the_runs_own_lease(event: RunEvent) -> bool {
    !matches!(
        event,
        RunEvent::Approve | RunEvent::Reject | RunEvent::Supersede
    )
}

#[tokio::test]
async fn a_run_takes_an_event_exactly_where_the_pure_function_allows_it() {
    let world = World::start().await;
    let mut number = 0;
    for state in RunState::ALL {
        for event in RunEvent::ALL {
            if !is_under_the_runs_own_lease(event) {
                continue;
            }
            number += 1;
            let lease = world.enumerating(&format!("t{number}")).await;
            world.set_run_state(lease.run(), state).await;
            let call = apply_run(&world.store, &lease, event);
            let what = format!("{event:?} in {state:?}");
            match next_run_state(state, event) {
                Ok(next) => {
                    assert_eq!(call.await, Ok(()), "{what}");
                    assert_eq!(world.run_state(lease.run()).await, next, "{what}");
                }
                Err(_) => world.refuses(&what, &StoreError::LostLease, call).await,
            }
        }
    }
    assert_eq!(number, 9 * 8);
}

#[tokio::test]
async fn a_run_is_superseded_exactly_where_the_pure_function_allows_it() {
    let world = World::start().await;
    for (number, state) in RunState::ALL.into_iter().enumerate() {
        let tenant = format!("t{number}");
        let first = world.finalizing(&tenant).await;
        world.hold(&first).await;
        let later = world.finalizing(&tenant).await;
        world.set_run_state(first.run(), state).await;

        let head = world.store.head(&later.run().tenant).await.unwrap();
        assert_eq!(head.held_run, Some(1));
        let plan = plan(later.run(), &[]);
        let call = world
            .store
            .store_plan(&later, &plan, 1, (RunMode::Full, &head));
        let what = format!("{state:?}");
        match next_run_state(state, RunEvent::Supersede) {
            Ok(next) => {
                assert_eq!(call.await, Ok(()), "{what}");
                assert_eq!(world.run_state(first.run()).await, next, "{what}");
            }
            Err(_) => {
                let refused = StoreError::Changed {
                    what: "the held run",
                };
                assert_eq!(call.await, Err(refused), "{what}");
                assert_eq!(world.run_state(first.run()).await, state, "{what}");
                let stored = world.store.plan(later.run()).await.unwrap();
                assert_eq!(stored, None, "{what}");
            }
        }
    }
}

/// A person's word is about what he saw: the state comes to be after it was read, so that the condition
/// is what decides.
#[tokio::test]
async fn a_hold_is_decided_about_exactly_where_the_pure_function_allows_it() {
    let world = World::start().await;
    let mut number = 0;
    for state in RunState::ALL {
        for event in [RunEvent::Approve, RunEvent::Reject, RunEvent::Supersede] {
            number += 1;
            let lease = world.finalizing(&format!("t{number}")).await;
            world.hold(&lease).await;
            let (run, wire) = (lease.run().clone(), Wire::default());
            let (other, its_run) = (world.clone(), run.clone());
            wire.before("TransactWriteItems", async move {
                other.set_run_state(&its_run, state).await;
            });
            let store = world.store_on(&wire);
            let ruled = match event {
                RunEvent::Approve => store.approve_hold(&run, "abc", "ada").await,
                RunEvent::Reject => store.reject_hold(&run, "ada").await,
                _ => store.lapse_hold(&run).await,
            };
            let what = format!("{event:?} in {state:?}");
            assert!(wire.is_done(), "{what}");
            match next_run_state(state, event) {
                Ok(next) => {
                    assert_eq!(ruled, Ok(Ruled::Done), "{what}");
                    assert_eq!(world.run_state(&run).await, next, "{what}");
                }
                Err(_) => {
                    assert_eq!(ruled, Ok(Ruled::NotHeld(state)), "{what}");
                    assert_eq!(world.run_state(&run).await, state, "{what}");
                }
            }
        }
    }
    assert_eq!(number, 9 * 3);
}

/// What the events of a batch are called on.
struct Subject {
    world: World,
    run: RunLease,
    batch: BatchLease,
}

impl Subject {
    async fn new(world: &World, number: usize) -> Self {
        let (run, batch) = world.working(&format!("t{number}"), &["a"]).await;
        let world = world.clone();
        Self { world, run, batch }
    }

    fn run(&self) -> &RunRef {
        self.run.run()
    }

    /// A store whose next transaction finds the batch in this state, whatever was read before.
    fn store_that_finds(&self, state: BatchState) -> Store {
        let wire = Wire::default();
        let (world, run) = (self.world.clone(), self.run().clone());
        wire.before("TransactWriteItems", async move {
            world.set_batch_state(&run, 1, state).await;
        });
        self.world.store_on(&wire)
    }

    /// `call` changes the batch exactly if the pure function allows the event, and then into the
    /// state that it says.
    async fn judge(
        &self,
        what: &str,
        state: BatchState,
        event: BatchEvent,
        call: impl Future<Output = bool>,
    ) {
        let what = format!("{what}: {event:?} in {state:?}");
        let allowed = next_batch_state(state, event);
        assert_eq!(call.await, allowed.is_ok(), "{what}");
        let after = self.world.batch_state(self.run(), 1).await;
        assert_eq!(after, allowed.unwrap_or(state), "{what}");
    }
}

#[tokio::test]
async fn a_batch_is_leased_exactly_where_the_pure_function_allows_it() {
    let world = World::start().await;
    for (number, state) in BatchState::ALL.into_iter().enumerate() {
        let subject = Subject::new(&world, number).await;
        world.clock.advance_ms(LEASE_MS);
        let store = subject.store_that_finds(state);
        let call = async {
            let acquired = store.acquire_batch(subject.run(), 1, 1, "next").await;
            matches!(acquired.unwrap(), AcquiredBatch::Granted(..))
        };
        subject
            .judge("acquire_batch", state, BatchEvent::Lease, call)
            .await;
    }
}

#[tokio::test]
async fn a_batch_is_kept_and_written_for_exactly_where_the_pure_function_allows_it() {
    let world = World::start().await;
    let mut number = 0;
    for state in BatchState::ALL {
        for method in ["keep_batch", "release_batch", "write_users"] {
            number += 1;
            let subject = Subject::new(&world, number).await;
            world.set_batch_state(subject.run(), 1, state).await;
            let writes = [created(subject.run(), "a")];
            let before = world.dump().await;
            let call = async {
                let kept = match method {
                    "keep_batch" => world.store.keep_batch(&subject.batch).await,
                    "release_batch" => world.store.release_batch(&subject.batch).await,
                    _ => world.store.write_users(&subject.batch, &writes).await,
                };
                if kept.is_err() {
                    assert_eq!(kept, Err(StoreError::LostLease), "{method} in {state:?}");
                    assert_eq!(world.dump().await, before, "{method} in {state:?}");
                }
                kept.is_ok()
            };
            subject.judge(method, state, BatchEvent::Keep, call).await;
        }
    }
}

#[tokio::test]
async fn a_batch_is_finished_exactly_where_the_pure_function_allows_it() {
    let world = World::start().await;
    for (number, state) in BatchState::ALL.into_iter().enumerate() {
        let subject = Subject::new(&world, number).await;
        world.set_batch_state(subject.run(), 1, state).await;
        let before = world.dump().await;
        let call = async {
            let (result, usage) = (BatchResult::default(), Usage::default());
            let finish = world.store.finish_batch(&subject.batch, 1, &result, &usage);
            let finished = finish.await;
            let wrote = world.dump().await != before;
            // To the holder of a batch that is done, "done" is the answer that was lost; nothing
            // is written again.
            let expected = if wrote || state == BatchState::Done {
                Ok(())
            } else {
                Err(StoreError::LostLease)
            };
            assert_eq!(finished, expected, "{state:?}");
            wrote
        };
        subject
            .judge("finish_batch", state, BatchEvent::Finish, call)
            .await;
    }
}

#[tokio::test]
async fn a_batch_is_revoked_exactly_where_the_pure_function_allows_it() {
    let world = World::start().await;
    let mut number = 0;
    for state in BatchState::ALL {
        for method in ["close_failed_run", "new_generation"] {
            number += 1;
            let subject = Subject::new(&world, number).await;
            let is_given_up = method == "close_failed_run";
            let run_state = if is_given_up {
                RunState::Failed
            } else {
                RunState::Enumerating
            };
            world.set_run_state(subject.run(), run_state).await;
            let record = world.store.run(subject.run()).await.unwrap().unwrap();
            let store = subject.store_that_finds(state);
            let call = async {
                if is_given_up {
                    store.close_failed_run(&subject.run).await.unwrap();
                } else {
                    let old = ChainEnd::of(&record);
                    store
                        .new_generation(&subject.run, &old, None)
                        .await
                        .unwrap();
                }
                // A batch that cannot be revoked is no error: it is open no more.
                let after = world.batch_state(subject.run(), 1).await;
                state.is_open() && after == BatchState::Revoked
            };
            subject.judge(method, state, BatchEvent::Revoke, call).await;
        }
    }
}

#[tokio::test]
async fn a_batch_that_is_finished_while_its_run_is_given_up_stays_done() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    world.set_run_state(run.run(), RunState::Failed).await;
    let wire = Wire::default();
    let other = world.clone();
    wire.before("TransactWriteItems", async move {
        other.finish(&batch, 1).await;
    });
    world.store_on(&wire).close_failed_run(&run).await.unwrap();
    assert!(wire.is_done());
    assert_eq!(world.batch_state(run.run(), 1).await, BatchState::Done);
    let head = world.store.head(&run.run().tenant).await.unwrap();
    assert_eq!(head.active_run, None);
}

/// In which states the store takes work, or gives a lease for a step, is said here by the events that
/// these are for, as the model in `tests/model` says it.
fn allows_one_of(state: RunState, events: &[RunEvent]) -> bool {
    events
        .iter()
        .any(|event| next_run_state(state, *event).is_ok())
}

#[tokio::test]
async fn a_batch_is_leased_exactly_while_its_run_takes_work() {
    let world = World::start().await;
    for (number, state) in RunState::ALL.into_iter().enumerate() {
        let lease = world.draining(&format!("t{number}"), &["a"]).await;
        world.set_run_state(lease.run(), state).await;
        let before = world.dump().await;
        let acquired = world.store.acquire_batch(lease.run(), 1, 1, "w").await;
        let takes_work = allows_one_of(state, &[RunEvent::CommitPage, RunEvent::BeginFinalizing]);
        match acquired.unwrap() {
            AcquiredBatch::Granted(..) => assert!(takes_work, "{state:?}"),
            AcquiredBatch::Over(_) => {
                assert!(!takes_work, "{state:?}");
                assert_eq!(world.dump().await, before, "{state:?}");
            }
            other => panic!("{state:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_runs_lease_is_kept_and_given_back_until_the_run_has_ended_well() {
    let world = World::start().await;
    for (number, state) in RunState::ALL.into_iter().enumerate() {
        let lease = world.enumerating(&format!("t{number}")).await;
        world.set_run_state(lease.run(), state).await;
        let ended_well = state.has_ended() && state != RunState::Failed;
        if ended_well {
            let lost = StoreError::LostLease;
            let keep = world.store.keep_run(&lease);
            world.refuses("keep_run", &lost, keep).await;
            let release = world.store.release_run(&lease);
            world.refuses("release_run", &lost, release).await;
        } else {
            assert_eq!(world.store.keep_run(&lease).await, Ok(()), "{state:?}");
            assert_eq!(world.store.release_run(&lease).await, Ok(()), "{state:?}");
        }
    }
}

#[tokio::test]
async fn a_runs_lease_is_given_only_for_a_step_that_its_state_is_in() {
    use RunEvent::{BeginApplying, BeginFinalizing, CommitPage, Complete, Fail};
    let world = World::start().await;
    let steps: [(RunStep, &[RunEvent]); 3] = [
        (RunStep::Enumerate, &[CommitPage]),
        (
            RunStep::Finalize,
            &[BeginFinalizing, BeginApplying, Complete],
        ),
        (RunStep::GiveUp, &[Fail]),
    ];
    for state in RunState::ALL {
        for (step, events) in steps {
            // Giving up is finished for a run that has FAILED already.
            let is_given = allows_one_of(state, events)
                || (step == RunStep::GiveUp && state == Fail.to_state());
            let tenant = format!("{step:?}-{state:?}").to_lowercase();
            let run = world.started(&tenant).await;
            // The state comes to be only after it was read, so that the condition is what decides.
            let read = events[0].from_states()[0];
            world.set_run_state(&run, read).await;
            let wire = Wire::default();
            let (other, its_run) = (world.clone(), run.clone());
            wire.before("UpdateItem", async move {
                other.set_run_state(&its_run, state).await;
            });
            let store = world.store_on(&wire);
            let acquired = store.acquire_run(&run, step, "w").await.unwrap();
            let granted = matches!(acquired, rollcall_store::AcquiredRun::Granted(..));
            assert_eq!(granted, is_given, "{step:?} in {state:?}");
            let lease = world.store.run(&run).await.unwrap().unwrap().lease;
            assert_eq!(lease.is_some(), granted, "{step:?} in {state:?}");
        }
    }
}

#[tokio::test]
async fn the_head_and_the_batch_of_these_tests_are_where_the_store_has_them() {
    let world = World::start().await;
    let lease = world.draining("t", &["a"]).await;
    world.set(&head_key("t"), "next_run", n(9)).await;
    world
        .set(&batch_key(lease.run(), 1, 1), "sightings", n(5))
        .await;
    let tenant = &lease.run().tenant;
    assert_eq!(world.store.head(tenant).await.unwrap().next_run, 9);
    let batch = world.store.batch(lease.run(), 1, 1).await.unwrap();
    assert_eq!(batch.unwrap().sightings, 5);
}
