use aws_sdk_sqs::types::QueueAttributeName;

use crate::{REGION, Service, refused};

#[tokio::test]
async fn creating_a_queue_again_with_the_same_attributes_gives_the_same_queue() {
    let service = Service::start().await;
    let attributes = [(QueueAttributeName::VisibilityTimeout, "77")];
    let first = service.queue("again", &attributes).await;
    first.send("kept").await;
    let second = service.queue("again", &attributes).await;
    let without = service.queue("again", &[]).await;
    assert_eq!(first.url, second.url);
    assert_eq!(first.url, without.url);
    assert_eq!(second.bodies(0).await, ["kept"]);
}

#[tokio::test]
async fn creating_a_queue_again_with_another_attribute_is_refused_and_changes_nothing() {
    let service = Service::start().await;
    let queue = service.queue("differs", &[]).await;
    let again = service
        .client
        .create_queue()
        .queue_name("differs")
        .attributes(QueueAttributeName::VisibilityTimeout, "31")
        .send()
        .await;
    assert!(
        again
            .unwrap_err()
            .into_service_error()
            .is_queue_name_exists()
    );
    let kept = queue.attribute(QueueAttributeName::VisibilityTimeout).await;
    assert_eq!(kept, "30");
}

#[tokio::test]
async fn a_queue_that_does_not_exist_is_told_by_name_to_every_operation() {
    let service = Service::start().await;
    let client = &service.client;
    let queue = service.queue("exists", &[]).await;
    let url = &queue.url.replace("exists", "missing");

    let get = client.get_queue_url().queue_name("missing").send().await;
    assert!(
        get.unwrap_err()
            .into_service_error()
            .is_queue_does_not_exist()
    );
    let send = client.send_message().queue_url(url).message_body("m");
    let error = send.send().await.unwrap_err().into_service_error();
    assert!(error.is_queue_does_not_exist());
    let receive = client.receive_message().queue_url(url).send().await;
    let error = receive.unwrap_err().into_service_error();
    assert!(error.is_queue_does_not_exist());
    let attributes = client.get_queue_attributes().queue_url(url).send().await;
    let error = attributes.unwrap_err().into_service_error();
    assert!(error.is_queue_does_not_exist());
    let purge = client.purge_queue().queue_url(url).send().await;
    let error = purge.unwrap_err().into_service_error();
    assert!(error.is_queue_does_not_exist());
}

#[tokio::test]
async fn the_url_of_a_queue_is_found_by_its_name() {
    let service = Service::start().await;
    let queue = service.queue("findable", &[]).await;
    let found = service.client.get_queue_url().queue_name("findable");
    let found = found.send().await.unwrap();
    assert_eq!(found.queue_url.as_deref(), Some(queue.url.as_str()));
}

#[tokio::test]
async fn queues_are_listed_by_prefix_and_in_pages() {
    let service = Service::start().await;
    let mut created = Vec::new();
    for name in ["list-a", "list-b", "list-c", "other"] {
        created.push(service.queue(name, &[]).await.url);
    }
    let client = &service.client;
    let all = client.list_queues().queue_name_prefix("list-");
    let mut all = all.send().await.unwrap().queue_urls.unwrap();
    all.sort();
    assert_eq!(all, created[..3]);

    let mut paged = Vec::new();
    let mut pages = client
        .list_queues()
        .queue_name_prefix("list-")
        .max_results(2)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let urls = page.unwrap().queue_urls.unwrap();
        assert!(urls.len() <= 2);
        paged.extend(urls);
    }
    paged.sort();
    assert_eq!(paged, created[..3]);
}

#[tokio::test]
async fn the_attributes_of_a_queue_tell_its_arn_its_settings_and_its_messages() {
    let service = Service::start().await;
    let queue = service.queue("attributes", &[]).await;
    queue.send("in flight").await;
    assert_eq!(queue.receive(1).await.len(), 1);
    queue.send("visible").await;
    let delayed = service.client.send_message().queue_url(&queue.url);
    let delayed = delayed.message_body("delayed").delay_seconds(100);
    delayed.send().await.unwrap();

    let answer = service
        .client
        .get_queue_attributes()
        .queue_url(&queue.url)
        .attribute_names(QueueAttributeName::All)
        .send()
        .await
        .unwrap();
    let attributes = answer.attributes.unwrap();
    let arn = format!("arn:aws:sqs:{REGION}:000000000000:attributes");
    for (name, value) in [
        (QueueAttributeName::QueueArn, arn.as_str()),
        (QueueAttributeName::ApproximateNumberOfMessages, "1"),
        (
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            "1",
        ),
        (QueueAttributeName::ApproximateNumberOfMessagesDelayed, "1"),
        (QueueAttributeName::VisibilityTimeout, "30"),
        (QueueAttributeName::MessageRetentionPeriod, "345600"),
        (QueueAttributeName::DelaySeconds, "0"),
        (QueueAttributeName::ReceiveMessageWaitTimeSeconds, "0"),
        (QueueAttributeName::MaximumMessageSize, "1048576"),
    ] {
        assert_eq!(
            attributes.get(&name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_changed_attribute_holds_from_then_on() {
    let service = Service::start().await;
    let queue = service.queue("changed", &[]).await;
    let set = |name, value: &str| {
        let set = service.client.set_queue_attributes();
        set.queue_url(&queue.url).attributes(name, value).send()
    };
    set(QueueAttributeName::VisibilityTimeout, "1")
        .await
        .unwrap();
    queue.send("m").await;
    assert_eq!(queue.bodies(0).await, ["m"]);
    assert_eq!(queue.bodies(5).await, ["m"]);

    let error = set(QueueAttributeName::VisibilityTimeout, "43201").await;
    let error = error.unwrap_err().into_service_error();
    assert!(error.is_invalid_attribute_value(), "{error:?}");
    let error = set("NoSuchAttribute".into(), "1").await;
    let error = error.unwrap_err().into_service_error();
    assert!(error.is_invalid_attribute_name(), "{error:?}");
}

#[tokio::test]
async fn a_dead_letter_queue_must_exist() {
    let service = Service::start().await;
    let policy = |name: &str| {
        format!(
            r#"{{"deadLetterTargetArn":"arn:aws:sqs:{REGION}:000000000000:{name}","maxReceiveCount":"1"}}"#
        )
    };
    let create = |name: &str, policy: String| {
        let create = service.client.create_queue().queue_name(name);
        create
            .attributes(QueueAttributeName::RedrivePolicy, policy)
            .send()
    };
    let missing = create("source", policy("no-such-queue")).await;
    assert_eq!(refused(missing), "InvalidParameterValue");
    let own = create("source", policy("source")).await;
    assert_eq!(refused(own), "InvalidParameterValue");
    service.queue("dead", &[]).await;
    create("source", policy("dead")).await.unwrap();

    let source = service.queue("source", &[]).await;
    let set = service.client.set_queue_attributes().queue_url(&source.url);
    let own = set.attributes(QueueAttributeName::RedrivePolicy, policy("source"));
    assert_eq!(refused(own.send().await), "InvalidParameterValue");
}

#[tokio::test]
async fn a_bad_queue_name_is_refused() {
    let service = Service::start().await;
    let long = "q".repeat(81);
    for name in ["", "with space", "dot.dot", &long] {
        let create = service.client.create_queue().queue_name(name);
        assert_eq!(
            refused(create.send().await),
            "InvalidParameterValue",
            "{name:?}"
        );
    }
}

#[tokio::test]
async fn a_purged_queue_is_empty_and_cannot_be_purged_again_at_once() {
    let service = Service::start().await;
    let queue = service.queue("purged", &[]).await;
    queue.send("m").await;
    let purge = || service.client.purge_queue().queue_url(&queue.url).send();
    purge().await.unwrap();
    assert!(queue.bodies(0).await.is_empty());
    let error = purge().await.unwrap_err().into_service_error();
    assert!(error.is_purge_queue_in_progress());
}
