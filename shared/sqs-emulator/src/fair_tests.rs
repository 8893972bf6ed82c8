use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::message::Draft;
use crate::queue::{Now, Queue};
use crate::settings::Settings;

struct Bench {
    start: Instant,
    queue: Queue,
}

impl Bench {
    fn new() -> Self {
        let start = Instant::now();
        let now = Now {
            instant: start,
            epoch_ms: 0,
        };
        Self {
            start,
            queue: Queue::new(7, Settings::default(), now),
        }
    }

    fn at(&self, second: u64) -> Now {
        Now {
            instant: self.start + Duration::from_secs(second),
            epoch_ms: second * 1_000,
        }
    }

    fn send(&mut self, group: Option<&str>, body: &str) {
        let draft = Draft::new(body.to_owned(), BTreeMap::new()).unwrap();
        let draft = match group {
            Some(group) => draft.in_group(group).unwrap(),
            None => draft,
        };
        let now = self.at(0);
        self.queue.send(body.to_owned(), draft, None, now).unwrap();
    }

    /// Receives one; its body, and what deletes it.
    fn receive(&mut self, second: u64) -> (String, String) {
        let now = self.at(second);
        let received = self.queue.receive(1, None, now).unwrap();
        let delivery = received.delivered.first().unwrap();
        let body = delivery.message.body().to_owned();
        (body, delivery.receipt_handle.clone())
    }
}

#[test]
fn a_message_of_a_quiet_group_does_not_wait_for_the_backlog_of_a_noisy_one() {
    let mut bench = Bench::new();
    for nth in 0..100 {
        bench.send(Some("large"), &format!("large {nth}"));
    }
    bench.send(Some("small"), "small");
    assert_eq!(bench.receive(0).0, "large 0");
    assert_eq!(bench.receive(0).0, "small");
    assert_eq!(bench.receive(0).0, "large 1");
}

#[test]
fn a_group_has_its_turn_again_when_its_messages_are_done() {
    let mut bench = Bench::new();
    for body in ["a1", "a2"] {
        bench.send(Some("a"), body);
    }
    for body in ["b1", "b2"] {
        bench.send(Some("b"), body);
    }
    let (first, handle) = bench.receive(0);
    assert_eq!(first, "a1");
    let now = bench.at(0);
    bench.queue.delete(&handle, now).unwrap();
    assert_eq!(bench.receive(0).0, "a2", "nothing of a is in flight");
    assert_eq!(bench.receive(0).0, "b1");
}

#[test]
fn what_comes_back_after_its_visibility_is_in_flight_no_more() {
    let mut bench = Bench::new();
    bench.send(Some("a"), "a1");
    bench.send(Some("a"), "a2");
    bench.send(Some("b"), "b1");
    assert_eq!(bench.receive(0).0, "a1");
    assert_eq!(bench.receive(0).0, "b1");
    assert_eq!(bench.receive(30).0, "a1", "the order of sending again");
}

#[test]
fn messages_without_a_group_come_in_the_order_of_sending() {
    let mut bench = Bench::new();
    for body in ["one", "two", "three"] {
        bench.send(None, body);
    }
    for body in ["one", "two", "three"] {
        assert_eq!(bench.receive(0).0, body);
    }
}

#[test]
fn a_name_that_no_group_can_have_is_refused() {
    let long = "x".repeat(129);
    for name in ["", "two words", long.as_str(), "umläut"] {
        let draft = Draft::new("body".to_owned(), BTreeMap::new()).unwrap();
        assert!(draft.in_group(name).is_err(), "{name}");
    }
}
