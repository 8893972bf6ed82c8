//! The service as the AWS SDK sees it.
//!
//! With `SQS_TEST_ENDPOINT_URL` set, the tests that hold for any SQS run against that service, to
//! compare the emulator with others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where a step fails"
)]

mod batches;
mod long_polls;
mod messages;
mod protocol;
mod queues;

use std::fmt::Debug;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{Message, QueueAttributeName};
use rollcall_ambient::Ambient;
use rollcall_sqs_emulator::SqsEmulator;

const REGION: &str = "eu-central-1";

/// A client, and the emulator behind it unless it is another service.
struct Service {
    client: Client,
    _emulator: Option<SqsEmulator>,
}

impl Service {
    async fn start() -> Self {
        if let Ok(url) = std::env::var("SQS_TEST_ENDPOINT_URL") {
            return Self {
                client: client(&url),
                _emulator: None,
            };
        }
        let emulator = SqsEmulator::start(REGION, Ambient::system()).await.unwrap();
        Self {
            client: client(emulator.endpoint_url()),
            _emulator: Some(emulator),
        }
    }

    async fn queue(&self, name: &str, attributes: &[(QueueAttributeName, &str)]) -> Queue {
        let mut create = self.client.create_queue().queue_name(name);
        for (attribute, value) in attributes {
            create = create.attributes(attribute.clone(), *value);
        }
        Queue {
            client: self.client.clone(),
            url: create.send().await.unwrap().queue_url.unwrap(),
        }
    }
}

fn client(endpoint_url: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .credentials_provider(Credentials::new("any", "any", None, None, "test"))
        .region(Region::new(REGION))
        .endpoint_url(endpoint_url)
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// A queue with the calls that most tests make.
#[derive(Clone)]
struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    async fn send(&self, body: &str) -> String {
        let sent = self.client.send_message().queue_url(&self.url);
        let sent = sent.message_body(body).send().await.unwrap();
        sent.message_id.unwrap()
    }

    async fn receive(&self, wait_s: i32) -> Vec<Message> {
        self.client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(10)
            .wait_time_seconds(wait_s)
            .message_system_attribute_names("All".into())
            .send()
            .await
            .unwrap()
            .messages
            .unwrap_or_default()
    }

    async fn bodies(&self, wait_s: i32) -> Vec<String> {
        let messages = self.receive(wait_s).await;
        messages.into_iter().filter_map(|m| m.body).collect()
    }

    async fn attribute(&self, name: QueueAttributeName) -> String {
        let attributes = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(name.clone())
            .send()
            .await
            .unwrap()
            .attributes
            .unwrap();
        attributes[&name].clone()
    }
}

/// The code of the error that a call must end with.
fn refused<T: Debug, E: ProvideErrorMetadata + Debug>(result: Result<T, SdkError<E>>) -> String {
    let error = result.unwrap_err();
    error.code().unwrap_or_default().to_owned()
}
