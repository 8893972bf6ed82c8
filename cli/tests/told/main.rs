//! `explain --from-logs` against the truth: runs with faults over the local stack, their lines written
//! as on AWS, and the story that the binary makes of them compared with what the tables hold.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

mod night;

use std::time::Duration;

use rollcall_core::run::RunState;
use rollcall_store::BegunRevert;
use serde_json::{Value, json};

use crate::night::{Night, explain, text, told};

/// How often a test looks whether a revert has ended.
const REVERT_LOOKS_MAX: u32 = 1_000;

#[track_caller]
fn names(story: &Value, cause: &str) {
    let said = text(&story["cause"]);
    assert!(said.contains(cause), "{cause} in {said}");
}

/// One night after the other over one stack, so that each finds the lines of those before it too.
#[tokio::test(flavor = "multi_thread")]
async fn the_story_that_the_lines_tell_is_what_the_tables_hold() {
    let night = Night::begin().await;

    night.play("users page 3 once: page-token expired");
    let freshened = night.sync().await;
    let story = night.story(&freshened.run).await;
    names(&story, "1 page link expired and was replaced");
    assert_eq!(story["graph"]["links_freshened"], 1);

    night.heal();
    night.play("users page 3 2 times: page-token expired");
    let restarted = night.sync().await;
    let story = night.story(&restarted.run).await;
    names(&story, "the enumeration began again, up to generation 2");
    assert_eq!(story["generations"][0]["generation"], 2);

    night.heal();
    night.play("users page 2 3 times: status 429");
    let throttled = night.sync().await;
    let story = night.story(&throttled.run).await;
    names(&story, "Microsoft Graph throttled 3 requests");
    assert_eq!(story["graph"]["throttled"], throttled.usage.graph.throttled);

    night.heal();
    night.play("users page 2 always: status 429");
    let failed = night.sync().await;
    assert_eq!(failed.state, RunState::Failed);
    let story = night.story(&failed.run).await;
    names(
        &story,
        "Microsoft Graph throttled the application for longer",
    );

    night.heal();
    late_worker(&night).await;
    killed_worker(&night).await;
    killed_enumerator(&night).await;
    queued(&night).await;
    leavers(&night).await;
    edited_filter(&night).await;
    whole_file(&night);
}

/// A worker is frozen, as Lambda freezes one, and goes on when its batch is in other hands.
async fn late_worker(night: &Night) {
    night.rename_everybody("Late");
    let run = night.enumerated().await;
    let frozen = night.begun(&run, 2).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    night.begun(&run, 2).await.await;
    frozen.await;
    assert_eq!(night.ended(&run).await.state, RunState::Completed);
    let story = night.story(&run).await;
    names(
        &story,
        "1 function was late (the worker of batch 1/2): the lease was lost, a write of it was refused,",
    );
    let leases = &story["pages"][1]["leases"];
    assert_eq!(leases[0]["ended"], "lost");
    assert_eq!(leases[1]["taken_from"], 1);
    assert_eq!(leases[1]["ended"], "done");
}

/// A worker dies with its lease in its hands.
async fn killed_worker(night: &Night) {
    night.rename_everybody("Killed");
    let run = night.enumerated().await;
    drop(night.begun(&run, 3).await);
    assert_eq!(night.ended(&run).await.state, RunState::Completed);
    let story = night.story(&run).await;
    names(
        &story,
        "1 function was killed or cut off (the worker of batch 1/3)",
    );
    assert_eq!(story["pages"][2]["leases"][0]["ended"], "taken_over");
}

/// An enumerator dies between two pages.
async fn killed_enumerator(night: &Night) {
    let run = night.enumerating().await;
    assert_eq!(night.ended(&run).await.state, RunState::Completed);
    let story = night.story(&run).await;
    names(&story, "1 function was killed or cut off (the enumerator)");
    let leases = &story["leases"];
    assert_eq!(leases[0]["ended"], "taken_over");
    assert_eq!(leases[1]["step"], "enumerate");
    assert_eq!(leases[1]["taken_from"], 1);
    assert_eq!(story["pages"][3]["token"], 2);
}

/// Messages name a run and a page, and hold nothing else.
async fn queued(night: &Night) {
    night.rename_everybody("Queued");
    let run = night.enumerated().await;
    let queues = night.world.aws.queues();
    let mut bodies = 0;
    for url in [
        &queues.enumerate.url,
        &queues.batch.url,
        &queues.finalize.url,
    ] {
        let receive = night.world.aws.sqs().receive_message().queue_url(url);
        let received = receive.max_number_of_messages(10).send().await.unwrap();
        for message in received.messages() {
            let body: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            for (name, value) in body.as_object().unwrap() {
                let is_right = match name.as_str() {
                    "tenant" => value == "contoso",
                    "revert" => value.is_boolean(),
                    "run" | "generation" | "page" | "waits" => value.is_u64(),
                    _ => false,
                };
                assert!(is_right, "{name} in {body}");
            }
            bodies += 1;
        }
    }
    assert!(bodies >= 6, "{bodies}");
    assert_eq!(night.ended(&run).await.state, RunState::Completed);
}

async fn leavers(night: &Night) {
    let users: Vec<_> = night.world.tenant.directory().users().cloned().collect();
    {
        let mut directory = night.world.tenant.directory();
        directory.soft_delete(users[0].id).unwrap();
        directory
            .set_account_enabled(users[1].id, Some(false))
            .unwrap();
        directory.purge(users[2].id).unwrap();
    }
    let run = night.sync().await;
    let story = night.story(&run.run).await;
    names(&story, "nothing went wrong");
    assert_eq!(story["deactivated"].as_array().unwrap().len(), 2);
    assert_eq!(story["awaiting"], json!([users[2].id.to_string()]));
    night
        .world
        .tenant
        .directory()
        .set_account_enabled(users[1].id, Some(true))
        .unwrap();
    let run = night.sync().await;
    let story = night.story(&run.run).await;
    let again = json!([{ "id": users[1].id.to_string(), "reason": "disabled" }]);
    assert_eq!(story["switched_on_again"], again);
}

async fn edited_filter(night: &Night) {
    let edited = json!({ "scope": { "domains": ["elsewhere.com"] } });
    night.world.put_settings(&edited).await.unwrap();
    let held = night.sync().await;
    assert_eq!(held.state, RunState::Held);
    let story = night.story(&held.run).await;
    names(
        &story,
        "the tenant's settings were edited (revision 1 to 2)",
    );
    names(&story, "a person has to decide");

    let approved = night.world.approve(&held).await.unwrap();
    assert_eq!(approved.state, RunState::Completed);
    let story = night.story(&held.run).await;
    assert_eq!(story["held"]["ruling"], "approved");
    names(&story, "It completed after an approval");

    let begun = night.world.app.revert(&held.run, "ada").await.unwrap();
    assert_eq!(begun, BegunRevert::UnderWay);
    let triggers = night.world.drive().await.unwrap();
    let mut looks = 0;
    let revert = loop {
        let revert = night.world.store.revert(&held.run).await.unwrap().unwrap();
        if revert.ended_at_ms.is_some() {
            break revert;
        }
        looks += 1;
        assert!(looks < REVERT_LOOKS_MAX, "the revert did not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    triggers.stop().await;
    let story = told(&night.logs, &held.run);
    assert_eq!(story["reverted"]["ended"], true);
    assert_eq!(story["reverted"]["restored"], revert.restored);
}

/// All runs of the file at once; in another order, twice, and wrapped, it tells the same.
fn whole_file(night: &Night) {
    let plain = explain(&night.logs, &["--json"]);
    assert!(plain.lines().count() > 8);
    let lines = std::fs::read_to_string(&night.logs).unwrap();
    let mut mixed: Vec<_> = lines.lines().rev().map(str::to_owned).collect();
    mixed.extend(lines.lines().map(|line| {
        json!({ "@timestamp": "2026-11-25 22:00:00.000", "@message": line }).to_string()
    }));
    mixed.push("START RequestId: 5f1c Version: $LATEST".into());
    let other = night.logs.with_file_name("mixed.json");
    std::fs::write(&other, mixed.join("\n")).unwrap();
    assert_eq!(explain(&other, &["--json"]), plain);
    let text = explain(&other, &[]);
    for part in ["COMPLETED", "FAILED", "taken over from lease 1", "request "] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
