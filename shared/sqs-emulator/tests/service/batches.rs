use std::collections::BTreeMap;

use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry as ChangeEntry,
    DeleteMessageBatchRequestEntry as DeleteEntry, SendMessageBatchRequestEntry as SendEntry,
};

use crate::{Queue, Service, refused};

fn entry(id: &str, body: &str) -> SendEntry {
    let entry = SendEntry::builder().id(id).message_body(body);
    entry.build().unwrap()
}

async fn send_batch(
    queue: &Queue,
    entries: Vec<SendEntry>,
) -> Result<aws_sdk_sqs::operation::send_message_batch::SendMessageBatchOutput, String> {
    let send = queue.client.send_message_batch().queue_url(&queue.url);
    let sent = send.set_entries(Some(entries)).send().await;
    match sent {
        Ok(sent) => Ok(sent),
        refusal => Err(refused(refusal)),
    }
}

#[tokio::test]
async fn a_batch_of_sends_answers_each_entry_on_its_own() {
    let service = Service::start().await;
    let queue = service.queue("batch", &[]).await;
    let late = SendEntry::builder().id("late").message_body("late");
    let late = late.delay_seconds(901).build().unwrap();
    let entries = vec![
        entry("one", "1"),
        entry("binary", "\u{1}"),
        late,
        entry("two", "2"),
    ];
    let sent = send_batch(&queue, entries).await.unwrap();
    let successful: Vec<_> = sent.successful().iter().map(|entry| entry.id()).collect();
    assert_eq!(successful, ["one", "two"]);
    assert!(
        sent.successful()
            .iter()
            .all(|entry| !entry.message_id().is_empty())
    );
    let failed: BTreeMap<_, _> = sent
        .failed()
        .iter()
        .map(|entry| (entry.id(), (entry.code(), entry.sender_fault())))
        .collect();
    assert_eq!(failed["binary"], ("InvalidMessageContents", true));
    assert_eq!(failed["late"], ("InvalidParameterValue", true));
    let mut bodies = queue.bodies(1).await;
    bodies.sort();
    assert_eq!(bodies, ["1", "2"]);
}

#[tokio::test]
async fn a_batch_that_is_wrong_as_a_whole_sends_nothing() {
    let service = Service::start().await;
    let queue = service.queue("wrong-batch", &[]).await;
    let many = |count: usize| (0..count).map(|n| entry(&n.to_string(), "m")).collect();
    let half = "x".repeat(524_289);
    let long_id = "i".repeat(81);
    for (entries, code) in [
        (vec![], "EmptyBatchRequest"),
        (many(11), "TooManyEntriesInBatchRequest"),
        (
            vec![entry("a", "1"), entry("a", "2")],
            "BatchEntryIdsNotDistinct",
        ),
        (
            vec![entry("a", "1"), entry("b c", "2")],
            "InvalidBatchEntryId",
        ),
        (vec![entry(&long_id, "1")], "InvalidBatchEntryId"),
        (
            vec![entry("a", &half), entry("b", &half)],
            "BatchRequestTooLong",
        ),
    ] {
        let error = send_batch(&queue, entries).await.unwrap_err();
        assert_eq!(error, format!("AWS.SimpleQueueService.{code}"));
    }
    assert!(queue.bodies(0).await.is_empty());
    assert_eq!(
        send_batch(&queue, many(10))
            .await
            .unwrap()
            .successful()
            .len(),
        10
    );
}

#[tokio::test]
async fn a_batch_of_one_mebibyte_in_sum_is_taken() {
    let service = Service::start().await;
    let queue = service.queue("long-batch", &[]).await;
    let half = "x".repeat(524_288);
    let entries = vec![entry("a", &half), entry("b", &half)];
    let sent = send_batch(&queue, entries).await.unwrap();
    assert_eq!(sent.successful().len(), 2);
}

#[tokio::test]
async fn a_batch_of_deletes_answers_each_entry_on_its_own() {
    let service = Service::start().await;
    let queue = service.queue("delete-batch", &[]).await;
    queue.send("m").await;
    let handle = queue.receive(1).await.remove(0).receipt_handle.unwrap();
    let entry = |id: &str, handle: &str| {
        let entry = DeleteEntry::builder().id(id).receipt_handle(handle);
        entry.build().unwrap()
    };
    let deleted = service
        .client
        .delete_message_batch()
        .queue_url(&queue.url)
        .entries(entry("bad", "garbage"))
        .entries(entry("good", &handle))
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.successful()[0].id(), "good");
    assert_eq!(deleted.failed()[0].id(), "bad");
    assert_eq!(deleted.failed()[0].code(), "ReceiptHandleIsInvalid");
    let left = queue
        .attribute(aws_sdk_sqs::types::QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
    assert_eq!(left.await, "0");
}

#[tokio::test]
async fn a_batch_of_visibility_changes_answers_each_entry_on_its_own() {
    let service = Service::start().await;
    let queue = service.queue("change-batch", &[]).await;
    queue.send("m").await;
    let handle = queue.receive(1).await.remove(0).receipt_handle.unwrap();
    let entry = |id: &str, handle: &str, visibility_s| {
        let entry = ChangeEntry::builder().id(id).receipt_handle(handle);
        entry.visibility_timeout(visibility_s).build().unwrap()
    };
    let changed = service
        .client
        .change_message_visibility_batch()
        .queue_url(&queue.url)
        .entries(entry("bad", "garbage", 0))
        .entries(entry("long", &handle, 43_201))
        .entries(entry("good", &handle, 0))
        .send()
        .await
        .unwrap();
    assert_eq!(changed.successful()[0].id(), "good");
    let failed: BTreeMap<_, _> = changed
        .failed()
        .iter()
        .map(|entry| (entry.id(), entry.code()))
        .collect();
    assert_eq!(failed["bad"], "ReceiptHandleIsInvalid");
    assert_eq!(failed["long"], "InvalidParameterValue");
    assert_eq!(queue.bodies(0).await, ["m"]);
}
