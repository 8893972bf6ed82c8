//! The incident of August 2024, replayed: batches run in parallel, one worker ends early, its copy
//! runs late, and the list of batches reads empty once. The same story is told to this system and to
//! a model of the old design, so that the test can tell the two apart.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::ids::RunRef;
use rollcall_core::run::{FailReason, RunMode, RunState};
use rollcall_end_to_end::lost::Lost;
use rollcall_end_to_end::{Handler, World, sqs_event};
use rollcall_graph_emulator::{Paging, Population};
use rollcall_store::{AcquiredBatch, BatchResult, StoreError, Usage, UserWrite};
use rollcall_sync::App;
use serde_json::json;

const PAGES: u32 = 4;
const USERS_PER_PAGE: usize = 50;

/// The old design: the keys of a sync are shared, and whoever believes to be the last deletes them.
#[derive(Default)]
struct OldDesign {
    /// The shared sync key: which batches there are.
    batch_keys: Vec<u32>,
    /// The batch keys: who is in each batch.
    batches: BTreeMap<u32, Vec<usize>>,
    active: BTreeSet<usize>,
}

impl OldDesign {
    fn with_users(users: usize) -> Self {
        Self {
            active: (0..users).collect(),
            ..Self::default()
        }
    }

    /// A sync begins: its keys are laid out.
    fn enumerate(&mut self) {
        for page in 1..=PAGES {
            let first = (page as usize - 1) * USERS_PER_PAGE;
            self.batch_keys.push(page);
            self.batches
                .insert(page, (first..first + USERS_PER_PAGE).collect());
        }
    }

    /// A worker: does its batch, strikes it from the list, and when the list is empty switches off
    /// whoever is in no batch, and deletes the keys.
    fn work(&mut self, page: u32) {
        self.batch_keys.retain(|key| *key != page);
        if self.batch_keys.is_empty() {
            let seen: BTreeSet<_> = self.batches.values().flatten().copied().collect();
            self.active.retain(|user| seen.contains(user));
            self.batches.clear();
        }
    }

    /// The worker that ended early, and took its own end for that of the whole sync.
    fn end_early(&mut self) {
        self.batch_keys.clear();
        self.batches.clear();
    }
}

/// The story, told to the old design: one worker ends early, its copy runs late; or none of it
/// happens. How many users are active at its end?
fn told_to_the_old_design(goes_wrong: bool) -> usize {
    let mut old = OldDesign::with_users(PAGES as usize * USERS_PER_PAGE);
    old.enumerate();
    old.work(1);
    if goes_wrong {
        old.end_early();
    }
    (2..=PAGES).for_each(|page| old.work(page));
    if goes_wrong {
        old.work(1);
    }
    old.active.len()
}

#[test]
fn the_model_of_the_old_design_works_as_long_as_nothing_goes_wrong() {
    let everybody = PAGES as usize * USERS_PER_PAGE;
    assert_eq!(told_to_the_old_design(false), everybody);
}

async fn world() -> World {
    let population = Population {
        guests: 0.0,
        disabled: 0.0,
        ..Population::new("contoso.com", 17, PAGES as usize * USERS_PER_PAGE)
    };
    let limits = json!({ "limits": { "graph_retry_seconds_max": 2, "lease_seconds": 1 } });
    let world = World::start_with(population, &limits).await.unwrap();
    world.tenant.set_paging(Paging {
        page_size_max: USERS_PER_PAGE,
        ..world.tenant.paging()
    });
    assert_eq!(world.sync().await.unwrap().state, RunState::Completed);
    world
}

/// Every user gets a new display name, so that every page has work.
fn rename_everybody(world: &World, round: u32) {
    let mut directory = world.tenant.directory();
    let everyone: Vec<_> = directory
        .users()
        .map(|u| (u.id, u.user_principal_name.clone()))
        .collect();
    for (id, name) in everyone {
        let name = name.unwrap_or_default();
        directory
            .rename(id, &name, &format!("Name {round}"))
            .unwrap();
    }
}

async fn all_active(world: &World) {
    let active = world.active().await.unwrap();
    assert_eq!(active, PAGES as usize * USERS_PER_PAGE);
}

async fn work(app: &App, run: &RunRef, page: u32) {
    let bell = json!({ "tenant": run.tenant, "run": run.run, "generation": 1, "page": page });
    let answer = app.worker(sqs_event(&bell), u64::MAX).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
}

async fn run_step(world: &World, app: &App, run: &RunRef, finalize: bool) -> RunState {
    let event = sqs_event(&json!({ "tenant": run.tenant, "run": run.run }));
    let answer = if finalize {
        app.finalizer(event, u64::MAX).await
    } else {
        app.enumerator(event, u64::MAX).await
    };
    assert_eq!(answer.unwrap(), json!({ "batchItemFailures": [] }));
    world.store.run(run).await.unwrap().unwrap().state
}

/// A worker that takes its batch and is then paused for longer than its lease: what it wants to
/// write afterwards is refused.
struct Paused {
    lease: rollcall_store::BatchLease,
    write: UserWrite,
}

impl Paused {
    async fn take(world: &World, run: &RunRef, page: u32) -> Self {
        let acquired = world.store.acquire_batch(run, 1, page, "paused").await;
        let AcquiredBatch::Granted(lease, _) = acquired.unwrap() else {
            panic!("the batch is not free");
        };
        let before = world.users().await.unwrap().into_values().next().unwrap();
        let mut after = before.clone();
        after.version += 1;
        after.display_name = Some("written late".into());
        let write = UserWrite {
            before: Some(before),
            after,
        };
        Self { lease, write }
    }

    async fn wake(self, world: &World) {
        let written = world
            .store
            .write_users(&self.lease, std::slice::from_ref(&self.write))
            .await;
        assert_eq!(written, Err(StoreError::LostLease));
        let done = world
            .store
            .finish_batch(&self.lease, 0, &BatchResult::default(), &Usage::default())
            .await;
        assert_eq!(done, Err(StoreError::LostLease));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_incident_switches_off_everybody_in_the_old_design_and_nobody_in_this_one() {
    assert_eq!(told_to_the_old_design(true), 0);
    let world = world().await;
    rename_everybody(&world, 1);
    let lost = Lost::batch_list();
    let (_, app) = world.app_over(lost.over(world.aws.dynamodb()));

    let run = world.start_run(&app).await.unwrap();
    assert_eq!(
        run_step(&world, &app, &run, false).await,
        RunState::Draining
    );
    // One worker takes batch 2 and is paused. Another ends early, and believes that all is done.
    let paused = Paused::take(&world, &run, 2).await;
    work(&app, &run, 1).await;
    assert_eq!(run_step(&world, &app, &run, true).await, RunState::Draining);
    all_active(&world).await;
    // The paused worker's batch is taken over; the others run in parallel.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    tokio::join!(
        work(&app, &run, 2),
        work(&app, &run, 3),
        work(&app, &run, 4)
    );
    paused.wake(&world).await;
    // The first worker's copy runs late.
    work(&app, &run, 1).await;
    // The list of batches reads empty, once.
    lost.lose(1);
    assert_eq!(run_step(&world, &app, &run, true).await, RunState::Failed);
    let failed = world.store.run(&run).await.unwrap().unwrap();
    assert_eq!(failed.reason, Some(FailReason::Incomplete));
    all_active(&world).await;
    // After the end, copies of everything run once more.
    for page in 1..=PAGES {
        work(&app, &run, page).await;
    }
    assert_eq!(run_step(&world, &app, &run, true).await, RunState::Failed);
    all_active(&world).await;

    rename_everybody(&world, 2);
    let next = world.sync().await.unwrap();
    assert_eq!(next.state, RunState::Completed, "{next:?}");
    let users = world.users().await.unwrap();
    assert!(
        users
            .values()
            .all(|u| u.display_name.as_deref() == Some("Name 2"))
    );
    all_active(&world).await;
}

/// The head holds the baseline that a plan is judged by: a run that the head does not name is judged
/// by nobody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_its_tenants_head_does_not_name_fails() {
    let world = world().await;
    let run = world.start_run(&world.app).await.unwrap();
    run_step(&world, &world.app, &run, false).await;
    let head = world
        .aws
        .dynamodb()
        .update_item()
        .table_name("coordination");
    head.key("pk", AttributeValue::S("head#contoso".into()))
        .key("sk", AttributeValue::S("head".into()))
        .update_expression("REMOVE active_run")
        .send()
        .await
        .unwrap();
    assert_eq!(
        run_step(&world, &world.app, &run, true).await,
        RunState::Failed
    );
    all_active(&world).await;
}

/// Runs are kept for three months. Where no sweeper comes for longer, the head names one that is gone, which every
/// start would join for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_active_run_that_has_expired_is_forgotten_by_the_sweeper_and_the_next_one_is_full() {
    let world = world().await;
    let run = world.start_run(&world.app).await.unwrap();
    let gone = world.aws.dynamodb().delete_item();
    let number = format!("{:010}", run.run);
    gone.table_name("coordination")
        .key("pk", AttributeValue::S("run#contoso".into()))
        .key("sk", AttributeValue::S(number))
        .send()
        .await
        .unwrap();
    world
        .call(Handler::Finalizer, json!({ "schedule": "sweep" }))
        .await
        .unwrap();
    rename_everybody(&world, 1);
    let next = world.sync_in(RunMode::Delta).await.unwrap();
    assert!(next.run.run > run.run);
    assert_eq!(
        (next.mode, next.state),
        (RunMode::Full, RunState::Completed)
    );
    all_active(&world).await;
}

/// Whatever is the matter with it, it is nobody's absence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_leased_again_and_again_and_never_done_ends_its_run() {
    let world = world().await;
    rename_everybody(&world, 1);
    let run = world.start_run(&world.app).await.unwrap();
    run_step(&world, &world.app, &run, false).await;
    let sweep = async || {
        let event = json!({ "schedule": "sweep" });
        world.app.finalizer(event, u64::MAX).await.unwrap();
        world.store.run(&run).await.unwrap().unwrap()
    };
    for lease in 1..=20 {
        assert_eq!(
            sweep().await.state,
            RunState::Draining,
            "before lease {lease}"
        );
        let acquired = world.store.acquire_batch(&run, 1, 2, "dies").await.unwrap();
        let AcquiredBatch::Granted(lease, _) = acquired else {
            panic!("the batch is not free");
        };
        world.store.release_batch(&lease).await.unwrap();
    }
    let failed = sweep().await;
    assert_eq!(failed.state, RunState::Failed);
    assert_eq!(failed.reason, Some(FailReason::Incomplete));
    all_active(&world).await;
    let next = world.sync().await.unwrap();
    assert_eq!(next.state, RunState::Completed, "{next:?}");
}

/// The list reads empty at every point at which it is read, one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_batches_that_reads_empty_switches_nobody_off_wherever_it_is_read() {
    let world = world().await;
    let lost = Lost::batch_list();
    let (_, app) = world.app_over(lost.over(world.aws.dynamodb()));
    for lose_after_ms in [0, 5, 10, 20, 40, 60, 80] {
        rename_everybody(&world, lose_after_ms);
        let arm = async {
            tokio::time::sleep(Duration::from_millis(lose_after_ms.into())).await;
            lost.lose(1);
        };
        let (run, ()) = tokio::join!(world.sync_by(&app, 1), arm);
        let run = run.unwrap();
        let as_it_should =
            run.state == RunState::Completed || run.reason == Some(FailReason::Incomplete);
        assert!(as_it_should, "{run:?}");
        all_active(&world).await;
    }
    lost.lose(0);
    assert_eq!(world.sync().await.unwrap().state, RunState::Completed);
}
