//! Stories from recorded lines.

use rollcall_core::ids::RunRef;
use serde_json::{Value, json};

use super::{End, LeaseEnd, Story, tell};

/// A line of contoso/7, so many milliseconds after ten.
fn line(ms: u32, event: &str, fields: Value) -> String {
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let mut line = json!({
        "timestamp": format!("2026-11-24T22:00:{seconds:02}.{ms:03}Z"),
        "level": "INFO",
        "event": event,
        "tenant": "contoso",
        "run": 7,
        "target": "rollcall_sync",
    });
    let (Some(all), Value::Object(fields)) = (line.as_object_mut(), fields) else {
        panic!("{event} has no fields");
    };
    all.extend(fields);
    line.to_string()
}

fn leased(ms: u32, step: &str, token: u64, from: Option<u64>) -> String {
    let fields = json!({
        "step": step, "token": token, "owner": format!("owner-{token}"), "mode": "full",
        "state": "ENUMERATING", "generation": 1, "page": 0, "settings_revision": 4,
        "from_token": from, "from_owner": from.map(|it| format!("owner-{it}")),
    });
    line(ms, "run_leased", fields)
}

fn page(ms: u32, page: u32, changed: u64, last: bool, token: u64) -> String {
    let fields = json!({
        "generation": 1, "page": page, "token": token, "delta": false, "users": 25,
        "changed": changed, "last": last, "graph_request_id": format!("request-{page}"),
        "took_ms": 40,
    });
    line(ms, "page_committed", fields)
}

fn batch(ms: u32, event: &str, token: u64, more: Value) -> String {
    let mut fields = json!({ "generation": 1, "page": 1, "token": token, "took_ms": 5 });
    let (Some(all), Value::Object(more)) = (fields.as_object_mut(), more) else {
        panic!("{event} has no fields");
    };
    all.extend(more);
    line(ms, event, fields)
}

fn batch_leased(ms: u32, token: u64, from: Option<u64>) -> String {
    let owner = format!("worker-{token}");
    let more = json!({ "owner": owner, "changed": 9, "from_token": from });
    batch(ms, "batch_leased", token, more)
}

fn batch_done(ms: u32, token: u64) -> String {
    let more = json!({
        "counted": 25, "created": 0, "updated": 9, "reactivated": 0, "unknown": 0,
        "candidates": 0,
    });
    batch(ms, "batch_done", token, more)
}

/// A worker is late with page 1; another goes on with it.
fn late_night() -> Vec<String> {
    vec![
        leased(0, "enumerate", 1, None),
        page(100, 1, 9, false, 1),
        page(200, 2, 0, true, 1),
        batch_leased(250, 1, None),
        batch_leased(5_000, 2, Some(1)),
        batch(
            5_100,
            "users_written",
            2,
            json!({ "users": 9, "created": 0, "updated": 9, "reactivated": 0 }),
        ),
        batch_done(5_200, 2),
        batch(9_000, "batch_lease_lost", 1, json!({ "fenced": true })),
        leased(9_100, "finalize", 2, None),
        line(
            9_200,
            "run_completed",
            json!({
                "token": 2, "mode": "full", "took_ms": 9_200, "users_seen": 50, "created": 0,
                "updated": 9, "reactivated": 0, "deactivated": 0, "disabled": 0, "deleted": 0,
                "not_found": 0, "out_of_scope": 0, "contradicted": 0, "unknown": 0,
                "awaiting_confirmation": 0,
            }),
        ),
    ]
}

fn one(file: &str) -> Story {
    let mut stories = tell(file.as_bytes()).unwrap();
    assert_eq!(stories.len(), 1);
    stories.remove(0)
}

#[test]
fn a_late_worker_is_told_from_one_that_was_killed() {
    let lines = late_night();
    let story = one(&lines.join("\n"));
    assert_eq!(story.state, End::Completed);
    assert_eq!(
        story.cause,
        "It completed, although 1 function was late (the worker of batch 1/1): the lease was lost, a \
        write of it was refused, and nothing more was written under it; what it did rests on its \
        proof all the same."
    );
    let leases = &story.pages[0].leases;
    assert_eq!(leases[0].ended, LeaseEnd::Lost);
    assert_eq!(
        (leases[1].taken_from, leases[1].ended),
        (Some(1), LeaseEnd::Done)
    );
    assert_eq!(
        (story.pages[0].state, story.pages[1].state),
        ("DONE", "DONE")
    );
    assert_eq!(story.pages[0].written, 9);

    let unheard: Vec<_> = lines
        .into_iter()
        .filter(|it| !it.contains("lease_lost"))
        .collect();
    let story = one(&unheard.join("\n"));
    assert_eq!(story.pages[0].leases[0].ended, LeaseEnd::TakenOver);
    assert!(
        story.cause.contains("1 function was killed or cut off"),
        "{}",
        story.cause
    );
}

#[test]
fn a_lease_that_is_taken_over_too_early_tells_of_clocks_that_differ() {
    let with_lease = |line: String| line.replace("\"token\"", "\"lease_ms\":4000,\"token\"");
    for (taken_ms, lost_ms, differ) in [
        (5_000, 5_100, false),
        // What lies between an act and its line.
        (4_100, 4_000, false),
        (1_000, 1_100, true),
        // The taker's clock is ahead, and with it his lines.
        (40_000, 5_000, true),
    ] {
        let lines = [
            leased(0, "enumerate", 1, None),
            page(10, 1, 9, true, 1),
            with_lease(batch_leased(20, 1, None)),
            with_lease(batch_leased(20 + taken_ms, 2, Some(1))),
            batch(
                20 + lost_ms,
                "batch_lease_lost",
                1,
                json!({ "fenced": false }),
            ),
        ];
        let story = one(&lines.join("\n"));
        assert_eq!(story.pages[0].leases[0].ended, LeaseEnd::Lost);
        let told = story.cause.contains("the clocks of two functions differ");
        assert_eq!(told, differ, "{taken_ms} {lost_ms}: {}", story.cause);
        assert!(!story.cause.contains("refused"), "{}", story.cause);
    }
}

#[test]
fn neither_the_order_of_lines_nor_doubles_nor_foreign_lines_change_a_story() {
    let lines = late_night();
    let plain = one(&lines.join("\n"));
    let mut mixed: Vec<_> = lines.iter().rev().cloned().collect();
    mixed.extend(lines.iter().cloned());
    mixed.insert(3, "START RequestId: 5f1c Version: $LATEST".into());
    mixed.insert(5, r#"{"level":"WARN","message":"of a library {"}"#.into());
    mixed.insert(6, String::new());
    mixed.insert(7, "{ not json".into());
    assert_eq!(one(&mixed.join("\r\n")), plain);
}

#[test]
fn lines_are_found_in_what_cloudwatch_makes_of_them() {
    let lines = late_night();
    let plain = one(&lines.join("\n"));
    let tailed = lines
        .iter()
        .map(|it| format!("2026-11-24T22:00:00.000000+00:00 stream[1] {it}"));
    assert_eq!(one(&tailed.collect::<Vec<_>>().join("\n")), plain);
    let of = |name: &str| -> Vec<Value> { lines.iter().map(|it| json!({ name: it })).collect() };
    let rows: Vec<_> = lines
        .iter()
        .map(|it| json!([{ "field": "@message", "value": it }]))
        .collect();
    for export in [
        json!({ "events": of("message"), "searchedLogStreams": [] }),
        json!({ "messageType": "DATA_MESSAGE", "logEvents": of("message") }),
        json!(of("@message")),
        json!({ "results": rows, "status": "Complete" }),
    ] {
        assert_eq!(one(&export.to_string()), plain, "{export}");
        assert_eq!(one(&format!("{export:#}")), plain, "{export:#}");
    }
}

#[test]
fn a_broken_line_is_named() {
    let mut lines = late_night();
    let whole = lines[2].clone();
    for (broken, problem) in [
        (whole[..whole.len() - 9].to_owned(), "is the line cut off?"),
        (
            whole.replace("\"users\":25", "\"users\":\"many\""),
            "users is not a whole number",
        ),
        (
            whole.replace("\"run\":7", "\"run\":\"7\""),
            "run is not a run's number",
        ),
        (
            whole.replace("\"contoso\"", "\"Contoso\""),
            "tenant is not a tenant's id",
        ),
        (
            whole.replace("2026-11-24T", "yesterday "),
            "timestamp is not a time in RFC 3339",
        ),
        (
            whole.replace("\"took_ms\":40,", ""),
            "took_ms is not a whole number",
        ),
    ] {
        lines[2] = broken;
        let bad = tell(lines.join("\n").as_bytes()).unwrap_err().to_string();
        assert!(
            bad.starts_with("line 3: ") && bad.contains(problem),
            "{problem} in {bad}"
        );
    }
}

#[test]
fn runs_are_kept_apart_and_an_edited_filter_is_seen_between_two() {
    let plan = json!({
        "token": 2, "plan": "9b1c", "deactivations": 40, "disabled": 1, "deleted": 0,
        "not_found": 0, "out_of_scope": 39, "active": 50, "users_seen": 50,
        "users_seen_before": 50, "absent": 0, "contradicted": 0, "awaiting_confirmation": 0,
        "took_ms": 9,
    });
    let held = json!({
        "token": 2, "guard": "Percent", "limit": 5.0, "value": 80.0, "plan": "9b1c",
        "deactivations": 40,
    });
    let next = |line: String| line.replace("\"run\":7", "\"run\":8");
    let mut lines = late_night();
    lines.push(next(
        leased(20_000, "finalize", 2, None).replace("_revision\":4", "_revision\":5"),
    ));
    lines.push(next(line(20_100, "plan_made", plan)));
    lines.push(next(line(20_200, "run_held", held)));
    let stories = tell(lines.join("\n").as_bytes()).unwrap();
    assert_eq!(stories.len(), 2);
    let run: RunRef = "contoso/8".parse().unwrap();
    assert!(stories[1].is_of(&run) && !stories[0].is_of(&run));
    let cause = &stories[1].cause;
    for part in [
        "It is held",
        "edited (revision 4 to 5), and 39 of 40",
        "a person has to decide",
    ] {
        assert!(cause.contains(part), "{part} in {cause}");
    }
}

#[test]
fn a_page_whose_commit_was_not_told_is_known_from_those_who_went_on() {
    let lines = [
        leased(0, "enumerate", 1, None),
        page(100, 1, 0, false, 1),
        leased(5_000, "enumerate", 2, Some(1)).replace("\"page\":0", "\"page\":2"),
        page(5_100, 4, 0, true, 2),
    ];
    let story = one(&lines.join("\n"));
    let known: Vec<_> = story
        .pages
        .iter()
        .map(|it| it.committed_at.is_some())
        .collect();
    assert_eq!(known, [true, false, false, true]);
    assert!(
        story
            .to_string()
            .contains("page 1/2: the line of its commit is missing")
    );

    let far = lines[3].replace("\"page\":4", "\"page\":4000000000");
    let bad = tell(far.as_bytes()).unwrap_err().to_string();
    assert!(bad.contains("page is not one that a run can have"), "{bad}");
}

#[test]
fn a_run_without_an_end_says_how_far_it_came() {
    let story = one(&leased(0, "enumerate", 1, None));
    assert_eq!(story.state, End::Unknown);
    assert_eq!(
        story.cause,
        "No line tells of an end: the last that is known is enumerate."
    );
    let text = story.to_string();
    assert!(
        text.contains("lease 1 to enumerate: owner-1 from 22:00:00.000Z"),
        "{text}"
    );
}

#[test]
fn a_file_without_lines_of_this_system_tells_of_nothing() {
    for file in [
        "",
        "\n\n",
        "END RequestId: 5f1c",
        "[1,2,3]",
        r#"{"event":"token_asked"}"#,
    ] {
        assert_eq!(tell(file.as_bytes()).unwrap(), []);
    }
    assert_eq!(tell(&[0xff, 0xfe, b'\n', b'{']).unwrap(), []);
}
