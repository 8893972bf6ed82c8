//! The local AWS through the SDK's clients, and functions behind it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where a step fails"
)]

mod aws;
mod crash;
mod schedules;
mod sources;

use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::Client as DynamoDb;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, Put,
    ScalarAttributeType, TransactWriteItem,
};
use rollcall_ambient::Ambient;
use rollcall_local::{LocalAws, LocalError, LocalSettings, QueueSettings};

const TABLE: &str = "things";

async fn start(dir: Option<&Path>) -> Result<LocalAws, LocalError> {
    // Messages come again soon, so that the tests need not wait long; not so soon that a busy
    // machine gives one again that is about to be deleted.
    let queue = QueueSettings {
        visibility_s: 2,
        receive_count_max: 3,
    };
    let settings = LocalSettings {
        batch: queue,
        ..LocalSettings::default()
    };
    LocalAws::start(dir, Ambient::system(), settings).await
}

async fn create_table(dynamodb: &DynamoDb) {
    let key = AttributeDefinition::builder().attribute_name("id");
    let key = key.attribute_type(ScalarAttributeType::S).build().unwrap();
    let schema = KeySchemaElement::builder().attribute_name("id");
    dynamodb
        .create_table()
        .table_name(TABLE)
        .attribute_definitions(key)
        .key_schema(schema.key_type(KeyType::Hash).build().unwrap())
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .unwrap();
}

/// Puts several items in one transaction.
async fn put_all(dynamodb: &DynamoDb, ids: &[String]) {
    let puts = ids.iter().map(|id| {
        let put = Put::builder().table_name(TABLE);
        let put = put.item("id", AttributeValue::S(id.clone()));
        TransactWriteItem::builder()
            .put(put.build().unwrap())
            .build()
    });
    let puts = puts.collect();
    let write = dynamodb.transact_write_items();
    write.set_transact_items(Some(puts)).send().await.unwrap();
}

async fn exists(dynamodb: &DynamoDb, id: &str) -> bool {
    let get = dynamodb.get_item().table_name(TABLE);
    let got = get.key("id", AttributeValue::S(id.to_owned())).send().await;
    got.unwrap().item.is_some()
}

/// Waits until something holds, for 15 seconds at most.
async fn until<F: AsyncFnMut() -> bool>(what: &str, mut holds: F) {
    for _ in 0..300 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came to this: {what}");
}
