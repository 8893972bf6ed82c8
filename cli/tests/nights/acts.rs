//! The nights that no script of Graph's faults can play.

use std::time::Duration;

use rollcall_ambient::{Ambient, Clock};
use rollcall_core::ids::RunRef;
use rollcall_core::run::{RunMode, RunState};
use rollcall_end_to_end::lost::Lost;
use rollcall_end_to_end::sqs_event;
use rollcall_store::{Ruled, RunRecord};
use serde_json::{Value, json};

use crate::night::{Night, usual};

/// A little more than a lease.
const LEASE_OVER: Duration = Duration::from_millis(1_100);
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// How often a test looks whether something has happened, with this pause.
const LOOKS_MAX: u32 = 10_000;
const LOOK: Duration = Duration::from_millis(10);

/// A clock that is ahead of the others.
#[derive(Debug)]
struct Ahead {
    by_ms: u64,
    of: Ambient,
}

impl Clock for Ahead {
    fn now_ms(&self) -> u64 {
        self.of.now_ms() + self.by_ms
    }
}

fn ahead(night: &Night, by_ms: u64) -> Ambient {
    let of = night.world.ambient.clone();
    night.world.ambient.with_clock(Ahead { by_ms, of })
}

async fn settings(night: &Night, more: Value) {
    let mut all = usual();
    all.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    night.world.put_settings(&all).await.unwrap();
}

async fn completed(night: &Night, run: &RunRef) {
    assert_eq!(night.ended(run).await.state, RunState::Completed);
    night.story(run).await;
}

pub(crate) async fn late_worker(night: &Night) -> RunRef {
    night.rename_everybody("Late");
    let run = night.enumerated().await;
    let frozen = night.begun(&run, 2).await;
    tokio::time::sleep(LEASE_OVER).await;
    night.begun(&run, 2).await.await;
    frozen.await;
    completed(night, &run).await;
    run
}

pub(crate) async fn killed_worker(night: &Night) -> RunRef {
    night.rename_everybody("Killed");
    let run = night.enumerated().await;
    drop(night.begun(&run, 3).await);
    completed(night, &run).await;
    run
}

pub(crate) async fn killed_enumerator(night: &Night) -> RunRef {
    let run = night.enumerating().await;
    completed(night, &run).await;
    run
}

/// Every page is unchanged, so the run is DRAINING with no work left.
pub(crate) async fn killed_finalizer(night: &Night) -> RunRef {
    night.heal();
    let run = night.enumerated().await;
    let event = sqs_event(&json!({ "tenant": run.tenant, "run": run.run }));
    {
        let mut finalizer = Box::pin(night.world.app.finalizer(event, u64::MAX));
        let mut looks = 0;
        loop {
            tokio::select! {
                biased;
                _ = &mut finalizer => panic!("the finalizer was faster than the test"),
                () = tokio::task::yield_now() => {}
            }
            let record = night.world.store.run(&run).await.unwrap().unwrap();
            if record.state == RunState::Finalizing {
                break;
            }
            looks += 1;
            assert!(looks < LOOKS_MAX, "the finalizer does not begin");
        }
    }
    completed(night, &run).await;
    run
}

/// It takes a lease over that has half a minute left.
pub(crate) async fn skewed_worker(night: &Night) -> RunRef {
    settings(
        night,
        json!({ "limits": { "graph_retry_seconds_max": 3, "lease_seconds": 30 } }),
    )
    .await;
    night.rename_everybody("Skewed");
    let run = night.enumerated().await;
    let right = night.begun(&run, 2).await;
    let skewed = night.world.app_at(&ahead(night, HOUR_MS));
    night.begun_by(skewed, &run, 2).await.await;
    right.await;
    completed(night, &run).await;
    settings(night, json!({})).await;
    run
}

pub(crate) async fn doubled(night: &Night) -> RunRef {
    night.rename_everybody("Doubled");
    let ended = night.world.sync_by(&night.world.app, 2).await.unwrap();
    assert_eq!(ended.state, RunState::Completed);
    night.story(&ended.run).await;
    ended.run
}

pub(crate) async fn lost_messages(night: &Night) -> RunRef {
    night.rename_everybody("Unheard");
    let run = night.enumerated().await;
    let url = &night.world.aws.queues().batch.url;
    let sqs = night.world.aws.sqs();
    loop {
        let receive = sqs
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(10);
        let received = receive.send().await.unwrap();
        if received.messages().is_empty() {
            break;
        }
        for message in received.messages() {
            let handle = message.receipt_handle().unwrap();
            let delete = sqs.delete_message().queue_url(url).receipt_handle(handle);
            delete.send().await.unwrap();
        }
    }
    completed(night, &run).await;
    run
}

pub(crate) async fn lost_page(night: &Night) -> RunRef {
    night.rename_everybody("Unread");
    let run = night.enumerated().await;
    let lost = Lost::page();
    let (_, app) = night.world.app_over(lost.over(night.world.aws.dynamodb()));
    lost.lose(1);
    let bell = json!({ "tenant": run.tenant, "run": run.run, "generation": 1, "page": 2 });
    let answer = app.worker(sqs_event(&bell), u64::MAX).await.unwrap();
    assert_eq!(
        answer["batchItemFailures"].as_array().unwrap().len(),
        1,
        "{answer}"
    );
    assert!(lost.is_lost());
    completed(night, &run).await;
    run
}

pub(crate) async fn changed_settings(night: &Night) -> RunRef {
    let run = night.enumerated().await;
    settings(night, json!({ "guards": { "deactivations_max": 400 } })).await;
    // Its plan is in the lines, and was not stored.
    assert_eq!(night.ended(&run).await.state, RunState::Failed);
    settings(night, json!({})).await;
    run
}

/// The sweeper comes a day later, and nobody before it.
pub(crate) async fn overdue(night: &Night) -> RunRef {
    let run = night.enumerated().await;
    let late = night.world.app_at(&ahead(night, DAY_MS));
    late.finalizer(json!({ "schedule": "sweep" }), u64::MAX)
        .await
        .unwrap();
    let record = night.world.store.run(&run).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Failed);
    night.story(&run).await;
    run
}

pub(crate) async fn gone_group(night: &Night) -> RunRef {
    let group = "0b1c3a86-55b8-4a36-8a3c-4d5ea2a1d7f4";
    settings(night, json!({ "scope": { "groups": [group] } })).await;
    let failed = night.sync().await;
    assert_eq!(failed.state, RunState::Failed);
    night.story(&failed.run).await;
    settings(night, json!({})).await;
    // The revision before the next night is that of these settings.
    assert_eq!(night.sync().await.state, RunState::Completed);
    failed.run
}

pub(crate) async fn edited_filter(night: &Night) -> RunRef {
    settings(night, json!({ "scope": { "domains": ["elsewhere.com"] } })).await;
    let held = night.sync().await;
    assert_eq!(held.state, RunState::Held);
    night.story(&held.run).await;
    settings(night, json!({})).await;
    // Its plan is void, and everybody is in scope again.
    assert_eq!(night.sync().await.state, RunState::Completed);
    held.run
}

/// Ten of the hundred, of whom five may go.
fn ten_are(night: &Night, enabled: bool) {
    let mut directory = night.world.tenant.directory();
    let ids: Vec<_> = directory.users().map(|user| user.id).take(10).collect();
    for id in ids {
        directory.set_account_enabled(id, Some(enabled)).unwrap();
    }
}

async fn held(night: &Night) -> RunRecord {
    let held = night.sync().await;
    assert_eq!(held.state, RunState::Held);
    held
}

pub(crate) async fn rejected(night: &Night) -> RunRef {
    ten_are(night, false);
    let held = held(night).await;
    let ruled = rollcall_sync::reject(&night.world.store, &held.run, "ada")
        .await
        .unwrap();
    assert_eq!(ruled, Ruled::Done);
    night.story(&held.run).await;
    held.run
}

/// They are still disabled.
pub(crate) async fn superseded(night: &Night) -> RunRef {
    let first = held(night).await;
    held(night).await;
    night.story(&first.run).await;
    first.run
}

/// Two months later.
pub(crate) async fn lapsed(night: &Night) -> RunRef {
    let held = held(night).await;
    let late = night.world.app_at(&ahead(night, 61 * DAY_MS));
    late.finalizer(json!({ "schedule": "sweep" }), u64::MAX)
        .await
        .unwrap();
    night.story(&held.run).await;
    held.run
}

pub(crate) async fn approved_and_reverted(night: &Night) -> RunRef {
    let held = held(night).await;
    assert_eq!(
        night.world.approve(&held).await.unwrap().state,
        RunState::Completed
    );
    night.story(&held.run).await;
    night.world.app.revert(&held.run, "ada").await.unwrap();
    let triggers = night.world.drive().await.unwrap();
    let mut looks = 0;
    loop {
        let revert = night.world.store.revert(&held.run).await.unwrap();
        if revert.is_some_and(|it| it.ended_at_ms.is_some()) {
            break;
        }
        looks += 1;
        assert!(looks < LOOKS_MAX, "the revert does not end");
        tokio::time::sleep(LOOK).await;
    }
    triggers.stop().await;
    ten_are(night, true);
    assert_eq!(night.sync().await.state, RunState::Completed);
    held.run
}

/// The first night keeps him, and says so; the second switches him off.
pub(crate) async fn not_found_twice(night: &Night) -> RunRef {
    let id = night.world.tenant.directory().users().next().unwrap().id;
    night.world.tenant.directory().purge(id).unwrap();
    let first = night.sync().await;
    let story = night.story(&first.run).await;
    let cause = story["cause"].as_str().unwrap();
    assert!(
        cause.contains("1 user was kept until another run agrees, or Graph answers."),
        "{cause}"
    );
    let second = night.sync().await;
    night.story(&second.run).await;
    second.run
}

pub(crate) async fn lost_delta(night: &Night) -> RunRef {
    night.play("delta once: sync-state not-found");
    let run = night.world.sync_in(RunMode::Delta).await.unwrap();
    night.heal();
    assert_eq!(run.state, RunState::Completed);
    night.story(&run.run).await;
    run.run
}
