use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    MessageAttributeValue, MessageSystemAttributeName as System, QueueAttributeName,
};

use crate::{REGION, Service, refused};

#[tokio::test]
async fn a_message_arrives_as_it_was_sent() {
    let service = Service::start().await;
    let queue = service.queue("arrives", &[]).await;
    let body = "{\"tenant\":\"contoso\"}\n\"quoted\" \\ Zoë 🙂\t";
    let sent = service.client.send_message().queue_url(&queue.url);
    let sent = sent.message_body(body).send().await.unwrap();

    let message = queue.receive(1).await.remove(0);
    assert_eq!(message.body.as_deref(), Some(body));
    assert_eq!(message.message_id, sent.message_id);
    assert_eq!(message.md5_of_body, sent.md5_of_message_body);
    let attributes = message.attributes.unwrap();
    assert_eq!(attributes[&System::ApproximateReceiveCount], "1");
    let sent_ms: u64 = attributes[&System::SentTimestamp].parse().unwrap();
    let received_ms = attributes[&System::ApproximateFirstReceiveTimestamp].parse();
    assert!(sent_ms > 1_700_000_000_000 && received_ms.is_ok_and(|ms: u64| ms >= sent_ms));
    assert!(attributes.contains_key(&System::SenderId));
}

#[tokio::test]
async fn system_attributes_are_given_only_if_asked_for() {
    let service = Service::start().await;
    let queue = service.queue("asked", &[]).await;
    queue.send("m").await;
    let receive = service.client.receive_message().queue_url(&queue.url);
    let received = receive.visibility_timeout(0).send().await.unwrap();
    let attributes = received.messages()[0].attributes.as_ref();
    assert!(attributes.is_none_or(|attributes| attributes.is_empty()));
    let receive = service.client.receive_message().queue_url(&queue.url);
    let receive = receive.message_system_attribute_names(System::SentTimestamp);
    let received = receive.send().await.unwrap();
    let attributes = received.messages()[0].attributes.clone().unwrap();
    let names: Vec<_> = attributes.into_keys().collect();
    assert_eq!(names, [System::SentTimestamp]);
}

#[tokio::test]
async fn message_attributes_arrive_by_name_by_prefix_or_all() {
    let service = Service::start().await;
    let queue = service.queue("message-attributes", &[]).await;
    let value = |kind: &str| MessageAttributeValue::builder().data_type(kind);
    let bytes = Blob::new([0_u8, 255]);
    service
        .client
        .send_message()
        .queue_url(&queue.url)
        .message_body("m")
        .message_attributes(
            "run.id",
            value("String").string_value("r-1").build().unwrap(),
        )
        .message_attributes(
            "run.page",
            value("Number.int").string_value("7").build().unwrap(),
        )
        .message_attributes(
            "raw",
            value("Binary").binary_value(bytes.clone()).build().unwrap(),
        )
        .send()
        .await
        .unwrap();
    for (filter, expected) in [
        (vec!["All"], vec!["raw", "run.id", "run.page"]),
        (vec![".*"], vec!["raw", "run.id", "run.page"]),
        (vec!["run.*"], vec!["run.id", "run.page"]),
        (vec!["raw", "none"], vec!["raw"]),
        (vec![], vec![]),
    ] {
        let filter: Vec<_> = filter.into_iter().map(str::to_owned).collect();
        let received = service
            .client
            .receive_message()
            .queue_url(&queue.url)
            .visibility_timeout(0)
            .set_message_attribute_names(Some(filter.clone()))
            .send()
            .await
            .unwrap();
        let attributes = received.messages()[0].message_attributes.clone();
        let attributes = attributes.unwrap_or_default();
        let names: BTreeSet<_> = attributes.keys().map(String::as_str).collect();
        assert_eq!(names, expected.into_iter().collect(), "{filter:?}");
        if let Some(raw) = attributes.get("raw") {
            assert_eq!(raw.binary_value.as_ref(), Some(&bytes));
        }
    }
}

#[tokio::test]
async fn a_message_comes_again_after_its_visibility_timeout_under_another_handle() {
    let service = Service::start().await;
    let attributes = [(QueueAttributeName::VisibilityTimeout, "2")];
    let queue = service.queue("again-visible", &attributes).await;
    queue.send("m").await;
    let first = queue.receive(1).await.remove(0);
    assert!(queue.receive(0).await.is_empty());
    let second = queue.receive(5).await.remove(0);
    assert_eq!(first.message_id, second.message_id);
    assert_ne!(first.receipt_handle, second.receipt_handle);
    let attributes = second.attributes.unwrap();
    assert_eq!(attributes[&System::ApproximateReceiveCount], "2");
}

#[tokio::test]
async fn the_handle_of_an_earlier_receive_still_deletes() {
    let service = Service::start().await;
    let attributes = [(QueueAttributeName::VisibilityTimeout, "1")];
    let queue = service.queue("earlier-handle", &attributes).await;
    queue.send("m").await;
    let first = queue.receive(1).await.remove(0);
    assert_eq!(queue.receive(5).await.len(), 1);
    let delete = service.client.delete_message().queue_url(&queue.url);
    let delete = delete.receipt_handle(first.receipt_handle.unwrap());
    delete.send().await.unwrap();
    assert!(queue.receive(3).await.is_empty());
}

#[tokio::test]
async fn a_garbage_receipt_handle_is_invalid() {
    let service = Service::start().await;
    let queue = service.queue("garbage", &[]).await;
    let delete = service.client.delete_message().queue_url(&queue.url);
    let error = delete.receipt_handle("garbage").send().await.unwrap_err();
    assert!(error.into_service_error().is_receipt_handle_is_invalid());
    let change = service.client.change_message_visibility();
    let change = change.queue_url(&queue.url).receipt_handle("garbage");
    let error = change.visibility_timeout(0).send().await.unwrap_err();
    assert!(error.into_service_error().is_receipt_handle_is_invalid());
}

#[tokio::test]
async fn a_message_given_back_can_be_received_at_once() {
    let service = Service::start().await;
    let queue = service.queue("given-back", &[]).await;
    queue.send("m").await;
    let handle = queue.receive(1).await.remove(0).receipt_handle.unwrap();
    assert!(queue.receive(0).await.is_empty());
    let change = service.client.change_message_visibility();
    let change = change.queue_url(&queue.url).receipt_handle(handle);
    change.visibility_timeout(0).send().await.unwrap();
    assert_eq!(queue.bodies(0).await, ["m"]);
}

#[tokio::test]
async fn a_message_of_one_mebibyte_is_taken_and_one_byte_more_is_not() {
    let service = Service::start().await;
    let queue = service.queue("size", &[]).await;
    let send = |length: usize| {
        let send = service.client.send_message().queue_url(&queue.url);
        // Each line break is two bytes on the wire and one in the message.
        send.message_body("\n".repeat(length)).send()
    };
    send(1_048_576).await.unwrap();
    assert_eq!(refused(send(1_048_577).await), "InvalidParameterValue");
    assert_eq!(queue.bodies(1).await[0].len(), 1_048_576);
}

#[tokio::test]
async fn a_value_out_of_its_range_is_refused_by_name() {
    let service = Service::start().await;
    let queue = service.queue("ranges", &[]).await;
    let receive = || service.client.receive_message().queue_url(&queue.url);
    let send = || service.client.send_message().queue_url(&queue.url);
    for count in [-1, 0, 11] {
        let received = receive().max_number_of_messages(count).send().await;
        assert_eq!(refused(received), "InvalidParameterValue", "{count}");
    }
    for wait_s in [-1, 21] {
        let received = receive().wait_time_seconds(wait_s).send().await;
        assert_eq!(refused(received), "InvalidParameterValue", "{wait_s}");
    }
    let received = receive().visibility_timeout(43_201).send().await;
    assert_eq!(refused(received), "InvalidParameterValue");
    let sent = send().message_body("m").delay_seconds(901).send().await;
    assert_eq!(refused(sent), "InvalidParameterValue");
    assert_eq!(
        refused(send().message_body("").send().await),
        "MissingParameter"
    );
    let sent = send().message_body("\u{1}").send().await;
    let error = sent.unwrap_err().into_service_error();
    assert!(error.is_invalid_message_contents());
    let receive = receive().message_system_attribute_names("Color".into());
    assert_eq!(refused(receive.send().await), "InvalidAttributeName");
}

#[tokio::test]
async fn a_message_received_too_often_goes_to_the_dead_letter_queue() {
    let service = Service::start().await;
    let grave = service.queue("grave", &[]).await;
    let grave_arn = grave.attribute(QueueAttributeName::QueueArn).await;
    let policy = format!(r#"{{"deadLetterTargetArn":"{grave_arn}","maxReceiveCount":2}}"#);
    let attributes = [
        (QueueAttributeName::VisibilityTimeout, "1"),
        (QueueAttributeName::RedrivePolicy, policy.as_str()),
    ];
    let queue = service.queue("redrive", &attributes).await;
    let id = queue.send("poison").await;
    assert_eq!(queue.receive(3).await.len(), 1);
    assert_eq!(queue.receive(3).await.len(), 1);

    // A long poll on the dead-letter queue is woken by the move.
    let waiting = tokio::spawn(async move { grave.receive(20).await });
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(queue.receive(1).await.is_empty());
    let woken = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    let dead = woken.expect("woken at once").unwrap().remove(0);
    assert_eq!(dead.message_id, Some(id));
    let attributes = dead.attributes.unwrap();
    let source = &attributes[&System::DeadLetterQueueSourceArn];
    assert_eq!(
        *source,
        format!("arn:aws:sqs:{REGION}:000000000000:redrive")
    );
}

#[tokio::test]
async fn receivers_at_the_same_time_never_get_the_same_message() {
    let service = Service::start().await;
    let queue = service.queue("at-once", &[]).await;
    for number in 0..40 {
        queue.send(&number.to_string()).await;
    }
    let receivers = (0..8).map(|_| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.bodies(0).await })
    });
    let mut all = Vec::new();
    for receiver in receivers.collect::<Vec<_>>() {
        all.extend(receiver.await.unwrap());
    }
    let distinct: BTreeSet<_> = all.iter().cloned().collect();
    assert_eq!((all.len(), distinct.len()), (40, 40));
}
