use std::collections::BTreeMap;

use super::*;
use crate::settings::Redrive;

/// A clock that the test turns.
struct Bench {
    start: Instant,
    queue: Queue,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let start = Instant::now();
        let now = Now {
            instant: start,
            epoch_ms: 0,
        };
        Self {
            start,
            queue: Queue::new(7, settings, now),
        }
    }

    fn at(&self, second: u64) -> Now {
        Now {
            instant: self.start + Duration::from_secs(second),
            epoch_ms: second * 1_000,
        }
    }

    fn send(&mut self, body: &str, second: u64) {
        self.send_delayed(body, None, second);
    }

    fn send_delayed(&mut self, body: &str, delay_s: Option<u64>, second: u64) {
        let draft = Draft::new(body.to_owned(), BTreeMap::new()).unwrap();
        let now = self.at(second);
        self.queue
            .send(format!("id-{body}"), draft, delay_s, now)
            .unwrap();
    }

    fn receive(&mut self, second: u64) -> Vec<Delivery> {
        let now = self.at(second);
        self.queue.receive(10, None, now).unwrap().delivered
    }

    fn bodies(&mut self, second: u64) -> Vec<String> {
        let received = self.receive(second);
        let body = |delivery: &Delivery| delivery.message.body().to_owned();
        received.iter().map(body).collect()
    }
}

fn visibility(visibility_s: u64) -> Settings {
    Settings {
        visibility_s,
        ..Settings::default()
    }
}

#[test]
fn a_received_message_is_hidden_until_its_visibility_timeout_and_not_a_moment_longer() {
    let mut bench = Bench::new(visibility(30));
    bench.send("a", 0);
    assert_eq!(bench.bodies(0), ["a"]);
    assert!(bench.bodies(29).is_empty());
    assert_eq!(bench.queue.next_due(), Some(bench.at(30).instant));
    assert_eq!(bench.bodies(30), ["a"]);
}

#[test]
fn a_receive_counts_and_keeps_the_time_of_the_first() {
    let mut bench = Bench::new(visibility(10));
    bench.send("a", 1);
    bench.receive(5);
    let again = bench.receive(20).remove(0).message;
    assert_eq!(again.receive_count, 2);
    assert_eq!(again.sent_ms, 1_000);
    assert_eq!(again.first_received_ms, Some(5_000));
}

#[test]
fn messages_come_in_the_order_of_sending_and_no_more_than_asked_for() {
    let mut bench = Bench::new(Settings::default());
    for body in ["a", "b", "c"] {
        bench.send(body, 0);
    }
    let now = bench.at(1);
    let two = bench.queue.receive(2, None, now).unwrap().delivered;
    assert_eq!(two.len(), 2);
    assert_eq!(bench.bodies(1), ["c"]);
}

#[test]
fn a_visibility_timeout_of_zero_leaves_the_message_visible_but_gives_it_once_a_call() {
    let mut bench = Bench::new(visibility(0));
    bench.send("a", 0);
    assert_eq!(bench.bodies(0), ["a"]);
    assert_eq!(bench.bodies(0), ["a"]);
}

#[test]
fn a_receive_may_set_its_own_visibility_timeout() {
    let mut bench = Bench::new(visibility(30));
    bench.send("a", 0);
    let now = bench.at(0);
    bench.queue.receive(1, Some(5), now).unwrap();
    assert!(bench.bodies(4).is_empty());
    assert_eq!(bench.bodies(5), ["a"]);
}

#[test]
fn a_deleted_message_never_comes_back_and_deleting_it_again_is_no_error() {
    let mut bench = Bench::new(visibility(30));
    bench.send("a", 0);
    let handle = bench.receive(0).remove(0).receipt_handle;
    let now = bench.at(1);
    bench.queue.delete(&handle, now).unwrap();
    bench.queue.delete(&handle, now).unwrap();
    assert!(bench.bodies(1_000).is_empty());
}

#[test]
fn an_old_handle_of_a_message_that_was_received_again_still_deletes_it() {
    let mut bench = Bench::new(visibility(30));
    bench.send("a", 0);
    let old = bench.receive(0).remove(0).receipt_handle;
    let new = bench.receive(30).remove(0).receipt_handle;
    assert_ne!(old, new);
    let now = bench.at(31);
    bench.queue.delete(&old, now).unwrap();
    assert!(bench.bodies(1_000).is_empty());
}

#[test]
fn a_handle_that_was_never_given_out_is_refused() {
    let mut bench = Bench::new(visibility(30));
    bench.send("a", 0);
    bench.send("b", 0);
    let now = bench.at(0);
    let given = bench.queue.receive(1, None, now).unwrap().delivered;
    let given = given[0].receipt_handle.clone();
    let next_receive = given.replace("-00000001", "-00000002");
    let of_b = given.replacen("0000000000000000", "0000000000000001", 1);
    let of_nobody = given.replacen("0000000000000000", "0000000000000002", 1);
    let upper = given.replacen("0000000000000007", "0000000000000008", 1);
    for garbage in [
        "",
        "garbage",
        "a-b-c",
        &next_receive,
        &of_b,
        &of_nobody,
        &upper,
    ] {
        assert_ne!(garbage, given);
        let error = bench.queue.delete(garbage, now).unwrap_err();
        assert_eq!(error.code, ErrorCode::ReceiptHandleIsInvalid, "{garbage:?}");
        let error = bench.queue.change_visibility(garbage, 0, now).unwrap_err();
        assert_eq!(error.code, ErrorCode::ReceiptHandleIsInvalid, "{garbage:?}");
    }
}

#[test]
fn visibility_changes_count_from_the_change_and_zero_gives_the_message_back() {
    let mut bench = Bench::new(visibility(30));
    bench.send("a", 0);
    let handle = bench.receive(0).remove(0).receipt_handle;
    let now = bench.at(20);
    bench.queue.change_visibility(&handle, 30, now).unwrap();
    assert!(bench.bodies(49).is_empty());
    let now = bench.at(49);
    bench.queue.change_visibility(&handle, 0, now).unwrap();
    assert_eq!(bench.bodies(49), ["a"]);
}

#[test]
fn the_visibility_of_a_message_that_nobody_holds_cannot_change() {
    let mut bench = Bench::new(visibility(30));
    bench.send("a", 0);
    let handle = bench.receive(0).remove(0).receipt_handle;
    let now = bench.at(30);
    let error = bench.queue.change_visibility(&handle, 5, now).unwrap_err();
    assert_eq!(error.code, ErrorCode::MessageNotInflight);
    bench.queue.delete(&handle, now).unwrap();
    let error = bench.queue.change_visibility(&handle, 5, now).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidParameterValue);
}

#[test]
fn a_message_cannot_be_hidden_for_more_than_twelve_hours_of_one_receive() {
    let mut bench = Bench::new(visibility(VISIBILITY_S_MAX));
    bench.send("a", 0);
    let handle = bench.receive(0).remove(0).receipt_handle;
    let now = bench.at(10);
    let error = bench
        .queue
        .change_visibility(&handle, VISIBILITY_S_MAX, now);
    assert_eq!(error.unwrap_err().code, ErrorCode::InvalidParameterValue);
    let most = VISIBILITY_S_MAX - 10;
    bench.queue.change_visibility(&handle, most, now).unwrap();
}

#[test]
fn a_delay_hides_a_new_message_and_that_of_the_message_beats_that_of_the_queue() {
    let mut bench = Bench::new(Settings {
        delay_s: 10,
        ..Settings::default()
    });
    bench.send("queue", 0);
    bench.send_delayed("message", Some(20), 0);
    bench.send_delayed("none", Some(0), 0);
    assert_eq!(bench.bodies(9), ["none"]);
    let now = bench.at(9);
    let counts = bench.queue.counts(now);
    assert_eq!(
        (counts.visible, counts.delayed, counts.in_flight),
        (0, 2, 1)
    );
    assert_eq!(bench.bodies(10), ["queue"]);
    assert!(bench.bodies(19).is_empty());
    assert_eq!(bench.bodies(20), ["message"]);
}

#[test]
fn a_message_expires_with_its_retention_even_in_flight() {
    let mut bench = Bench::new(Settings {
        retention_s: 60,
        visibility_s: 100,
        ..Settings::default()
    });
    bench.send("in flight", 0);
    let handle = bench.receive(0).remove(0).receipt_handle;
    bench.send("visible", 1);
    let now = bench.at(59);
    assert_eq!(bench.queue.counts(now).in_flight, 1);
    let now = bench.at(60);
    assert_eq!(bench.queue.counts(now).in_flight, 0);
    bench.queue.delete(&handle, now).unwrap();
    assert_eq!(bench.bodies(60), ["visible"]);
    assert!(bench.bodies(1_000).is_empty());
}

#[test]
fn a_message_leaves_for_the_dead_letter_queue_after_its_last_receive() {
    let mut bench = Bench::new(Settings {
        visibility_s: 1,
        redrive: Some(Redrive {
            target_arn: "arn:dead".into(),
            receive_count_max: 2,
        }),
        ..Settings::default()
    });
    bench.send("poison", 0);
    bench.send("next", 0);
    let now = bench.at(0);
    for second in [0, 1] {
        let now = bench.at(second);
        let received = bench.queue.receive(1, None, now).unwrap();
        assert_eq!(received.delivered[0].message.id, "id-poison");
        assert!(received.dead.is_empty());
    }
    let at_end = bench.at(2);
    let received = bench.queue.receive(1, None, at_end).unwrap();
    assert_eq!(received.dead[0].id, "id-poison");
    assert_eq!(received.delivered[0].message.id, "id-next");

    let dead = received.dead.into_iter().next().unwrap();
    let mut grave = Queue::new(8, Settings::default(), now);
    grave.bury(dead, "arn:source");
    let buried = grave.receive(10, None, at_end).unwrap().delivered;
    assert_eq!(buried[0].message.id, "id-poison");
    assert_eq!(buried[0].message.sent_ms, 0);
    assert_eq!(buried[0].message.receive_count, 3);
    let source = buried[0].message.dead_letter_source_arn.as_deref();
    assert_eq!(source, Some("arn:source"));
}

#[test]
fn a_purge_takes_everything_and_may_not_be_repeated_within_a_minute() {
    let mut bench = Bench::new(visibility(5));
    bench.send("in flight", 0);
    bench.receive(0);
    bench.send("visible", 0);
    bench.send_delayed("delayed", Some(5), 0);
    let now = bench.at(1);
    bench.queue.purge(now).unwrap();
    assert!(bench.bodies(100).is_empty());
    let now = bench.at(60);
    let error = bench.queue.purge(now).unwrap_err();
    assert_eq!(error.code, ErrorCode::PurgeQueueInProgress);
    let now = bench.at(61);
    bench.queue.purge(now).unwrap();
}

#[test]
fn no_more_messages_than_the_quota_are_in_flight_at_once() {
    let mut bench = Bench::new(visibility(30));
    for _ in 0..=IN_FLIGHT_MAX {
        bench.send("m", 0);
    }
    let now = bench.at(0);
    let all = bench.queue.receive(IN_FLIGHT_MAX + 1, None, now).unwrap();
    assert_eq!(all.delivered.len(), IN_FLIGHT_MAX);
    let error = bench.queue.receive(1, None, now).unwrap_err();
    assert_eq!(error.code, ErrorCode::OverLimit);
    let handle = &all.delivered[0].receipt_handle;
    bench.queue.delete(handle, now).unwrap();
    assert_eq!(bench.bodies(0).len(), 1);
}

#[test]
fn a_message_longer_than_the_queue_allows_is_refused() {
    let mut bench = Bench::new(Settings {
        message_bytes_max: 1_024,
        ..Settings::default()
    });
    let now = bench.at(0);
    let draft = |length| Draft::new("é".repeat(length), BTreeMap::new()).unwrap();
    bench.queue.send("1".into(), draft(512), None, now).unwrap();
    let error = bench.queue.send("2".into(), draft(513), None, now);
    assert_eq!(error.unwrap_err().code, ErrorCode::InvalidParameterValue);
}
