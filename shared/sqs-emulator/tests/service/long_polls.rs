use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use rollcall_ambient::Ambient;
use rollcall_sqs_emulator::SqsEmulator;
use tokio::time::{Instant, sleep, timeout};

use crate::{REGION, Service, client};

/// Less than any wait of these tests: what comes within it did not come by a time-out.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_long_poll_is_woken_by_a_send() {
    let service = Service::start().await;
    let queue = service.queue("woken", &[]).await;
    let poll = queue.clone();
    let poll = tokio::spawn(async move { poll.bodies(20).await });
    sleep(Duration::from_millis(300)).await;
    queue.send("m").await;
    let bodies = timeout(SOON, poll).await.expect("woken at once");
    assert_eq!(bodies.unwrap(), ["m"]);
}

#[tokio::test]
async fn every_message_wakes_one_of_many_long_polls() {
    let service = Service::start().await;
    let queue = service.queue("woken-many", &[]).await;
    let polls: Vec<_> = (0..5)
        .map(|_| {
            let poll = queue.clone();
            let receive = async move {
                let receive = poll.client.receive_message().queue_url(&poll.url);
                let received = receive.wait_time_seconds(20).send().await.unwrap();
                received.messages().len()
            };
            tokio::spawn(receive)
        })
        .collect();
    sleep(Duration::from_millis(300)).await;
    for number in 0..5 {
        queue.send(&number.to_string()).await;
    }
    for poll in polls {
        assert_eq!(timeout(SOON, poll).await.expect("woken").unwrap(), 1);
    }
}

#[tokio::test]
async fn a_long_poll_is_woken_by_a_message_given_back() {
    let service = Service::start().await;
    let queue = service.queue("woken-back", &[]).await;
    queue.send("m").await;
    let handle = queue.receive(1).await.remove(0).receipt_handle.unwrap();
    let poll = queue.clone();
    let poll = tokio::spawn(async move { poll.bodies(20).await });
    sleep(Duration::from_millis(300)).await;
    let change = service.client.change_message_visibility();
    let change = change.queue_url(&queue.url).receipt_handle(handle);
    change.visibility_timeout(0).send().await.unwrap();
    let bodies = timeout(SOON, poll).await.expect("woken at once");
    assert_eq!(bodies.unwrap(), ["m"]);
}

#[tokio::test]
async fn a_long_poll_without_a_message_ends_empty_after_its_wait() {
    let service = Service::start().await;
    let queue = service.queue("empty", &[]).await;
    let start = Instant::now();
    assert!(queue.receive(1).await.is_empty());
    let waited = start.elapsed();
    assert!(
        waited >= Duration::from_millis(950) && waited < Duration::from_secs(4),
        "{waited:?}"
    );
}

#[tokio::test]
async fn a_receive_waits_as_long_as_the_queue_says_unless_it_says_so_itself() {
    let service = Service::start().await;
    let attributes = [(QueueAttributeName::ReceiveMessageWaitTimeSeconds, "2")];
    let queue = service.queue("queue-wait", &attributes).await;
    let start = Instant::now();
    let receive = service.client.receive_message().queue_url(&queue.url);
    receive.send().await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(1_950));
    let start = Instant::now();
    assert!(queue.receive(0).await.is_empty());
    assert!(start.elapsed() < Duration::from_millis(1_900));
}

#[tokio::test]
async fn a_long_poll_sees_a_delayed_message_when_its_delay_ends() {
    let service = Service::start().await;
    let queue = service.queue("delayed", &[]).await;
    let poll = queue.clone();
    let poll = tokio::spawn(async move { poll.bodies(20).await });
    sleep(Duration::from_millis(100)).await;
    let send = service.client.send_message().queue_url(&queue.url);
    let start = Instant::now();
    send.message_body("m")
        .delay_seconds(1)
        .send()
        .await
        .unwrap();
    let bodies = timeout(SOON, poll).await.expect("seen");
    assert_eq!(bodies.unwrap(), ["m"]);
    assert!(start.elapsed() >= Duration::from_millis(950));
}

#[tokio::test]
async fn a_shutdown_ends_long_polls_at_once() {
    let emulator = SqsEmulator::start(REGION, Ambient::system()).await.unwrap();
    let client = client(emulator.endpoint_url());
    let created = client.create_queue().queue_name("shutdown").send().await;
    let url = created.unwrap().queue_url.unwrap();
    let receive = client.receive_message().queue_url(url);
    let poll = tokio::spawn(receive.wait_time_seconds(20).send());
    sleep(Duration::from_millis(300)).await;
    timeout(SOON, emulator.shutdown()).await.expect("stopped");
    let received = poll.await.unwrap().expect("answered, not cut off");
    assert!(received.messages().is_empty());
    assert!(client.list_queues().send().await.is_err());
}
