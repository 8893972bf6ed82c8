use aws_sdk_dynamodb::types::{AttributeValue, TimeToLiveSpecification};
use aws_sdk_sqs::types::QueueAttributeName;
use rollcall_ambient::Ambient;
use rollcall_local::{LocalAws, LocalError, LocalSettings, QueueSettings};

use crate::{TABLE, create_table, exists, put_all, start, until};

#[tokio::test]
async fn the_data_of_a_directory_is_there_after_a_restart() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("made/if/missing");
    let aws = start(Some(&dir)).await.unwrap();
    create_table(aws.dynamodb()).await;
    put_all(aws.dynamodb(), &["kept".to_owned()]).await;
    aws.shutdown().await;

    let aws = start(Some(&dir)).await.unwrap();
    assert!(exists(aws.dynamodb(), "kept").await);
    assert!(!exists(aws.dynamodb(), "other").await);
    aws.shutdown().await;
}

#[tokio::test]
async fn items_past_their_time_to_live_go_away_and_others_stay() {
    let temp = tempfile::tempdir().unwrap();
    let aws = start(Some(temp.path())).await.unwrap();
    create_table(aws.dynamodb()).await;
    let ttl = TimeToLiveSpecification::builder().enabled(true);
    let ttl = ttl.attribute_name("expires").build().unwrap();
    let update = aws.dynamodb().update_time_to_live().table_name(TABLE);
    update.time_to_live_specification(ttl).send().await.unwrap();
    let now_s = Ambient::system().now_ms() / 1_000;
    for (id, expires_s) in [("past", now_s - 10), ("future", now_s + 1_000)] {
        let put = aws.dynamodb().put_item().table_name(TABLE);
        let put = put.item("id", AttributeValue::S(id.to_owned()));
        let put = put.item("expires", AttributeValue::N(expires_s.to_string()));
        put.send().await.unwrap();
    }
    put_all(aws.dynamodb(), &["without".to_owned()]).await;
    aws.shutdown().await;

    let aws = start(Some(temp.path())).await.unwrap();
    let gone = async || !exists(aws.dynamodb(), "past").await;
    until("the item is swept", gone).await;
    assert!(exists(aws.dynamodb(), "future").await);
    assert!(exists(aws.dynamodb(), "without").await);
}

#[tokio::test]
async fn two_databases_in_memory_know_nothing_of_each_other() {
    let (one, two) = (start(None).await.unwrap(), start(None).await.unwrap());
    create_table(one.dynamodb()).await;
    let tables = two.dynamodb().list_tables().send().await.unwrap();
    assert!(tables.table_names().is_empty());
}

#[tokio::test]
async fn a_directory_in_use_is_refused_by_its_name_and_free_after_a_shutdown() {
    let temp = tempfile::tempdir().unwrap();
    let aws = start(Some(temp.path())).await.unwrap();
    let error = start(Some(temp.path())).await.unwrap_err();
    assert!(matches!(&error, LocalError::DirInUse { dir } if dir == temp.path()));
    assert!(error.to_string().contains(temp.path().to_str().unwrap()));
    aws.shutdown().await;
    start(Some(temp.path())).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_refused_by_its_name() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    std::fs::write(&file, "no directory").unwrap();
    for dir in [file.clone(), file.join("below")] {
        let error = start(Some(&dir)).await.unwrap_err();
        let LocalError::DirNotUsable { dir: named, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*named, dir);
        assert!(error.to_string().contains(dir.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("dynamodb.sqlite");
    let text = "not a database, but longer than the head of one would be ".repeat(10);
    std::fs::write(&file, &text).unwrap();
    let error = start(Some(temp.path())).await.unwrap_err();
    let LocalError::Database { name, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(name, file.to_str().unwrap());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[cfg(unix)]
#[tokio::test]
async fn a_directory_made_here_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    start(Some(&dir)).await.unwrap().shutdown().await;
    let mode = std::fs::metadata(&dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn every_queue_has_its_settings_and_a_dead_letter_queue() {
    let settings = LocalSettings {
        enumerate: QueueSettings {
            visibility_s: 11,
            receive_count_max: 1,
        },
        finalize: QueueSettings {
            visibility_s: 22,
            receive_count_max: 9,
        },
        ..LocalSettings::default()
    };
    let aws = LocalAws::start(None, Ambient::system(), settings);
    let aws = aws.await.unwrap();
    let queues = aws.queues();
    for (queue, visibility, receives) in [
        (&queues.enumerate, "11", 1),
        (&queues.batch, "60", 5),
        (&queues.finalize, "22", 9),
    ] {
        let attributes = |url: &str| {
            let get = aws.sqs().get_queue_attributes().queue_url(url);
            let get = get.attribute_names(QueueAttributeName::All).send();
            async { get.await.unwrap().attributes.unwrap() }
        };
        let own = attributes(&queue.url).await;
        let dead = attributes(&queue.dead_letter_url).await;
        assert_eq!(own[&QueueAttributeName::VisibilityTimeout], visibility);
        let policy = &own[&QueueAttributeName::RedrivePolicy];
        let policy: serde_json::Value = serde_json::from_str(policy).unwrap();
        assert_eq!(policy["maxReceiveCount"], receives);
        assert_eq!(
            policy["deadLetterTargetArn"],
            dead[&QueueAttributeName::QueueArn]
        );
        assert_eq!(dead[&QueueAttributeName::MessageRetentionPeriod], "1209600");
    }
}

#[tokio::test]
async fn settings_that_sqs_refuses_are_refused_with_the_queue_and_the_reason() {
    let settings = LocalSettings {
        batch: QueueSettings {
            visibility_s: 43_201,
            receive_count_max: 5,
        },
        ..LocalSettings::default()
    };
    let error = LocalAws::start(None, Ambient::system(), settings).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("rollcall-batch"), "{error}");
    assert!(error.contains("VisibilityTimeout"), "{error}");
}
