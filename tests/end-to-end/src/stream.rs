//! The directory's stream, read as Lambda reads it: from a place that moves only by the function's answers; and the
//! publisher, called with what it tells.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html>

use std::collections::VecDeque;

use aws_sdk_dynamodb::types::{StreamSpecification, StreamViewType};
use rollcall_sync::Outlet;
use serde_json::{Value, json};

use crate::calls::as_function;
use crate::topic::TestTopic;
use crate::{Problem, World};

/// What stands in the place of a signature: the embedded DynamoDB wants one and judges none.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 \
    Credential=test/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0";

/// The stream of the directory table.
#[derive(Debug)]
pub struct Stream {
    endpoint: String,
    http: reqwest::Client,
    iterator: String,
    /// What was read and is not done.
    waiting: VecDeque<Value>,
}

impl Stream {
    /// Has the directory of a world tell its changes from now on.
    ///
    /// # Errors
    /// What the embedded DynamoDB refuses.
    pub async fn of_directory(world: &World) -> Result<Self, Problem> {
        let specification = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build()?;
        let table = world.aws.dynamodb().update_table();
        let changed = table
            .table_name("directory")
            .stream_specification(specification)
            .send()
            .await?;
        let arn = changed
            .table_description()
            .and_then(|table| table.latest_stream_arn())
            .ok_or("a table without a stream")?
            .to_owned();
        let mut stream = Self {
            endpoint: world.aws.dynamodb_url().to_owned(),
            http: reqwest::Client::new(),
            iterator: String::new(),
            waiting: VecDeque::new(),
        };
        let described = json!({ "StreamArn": arn });
        let described = stream.ask("DescribeStream", &described).await?;
        let [shard] = described["StreamDescription"]["Shards"]
            .as_array()
            .map_or(&[][..], Vec::as_slice)
        else {
            return Err(format!("not one shard: {described}").into());
        };
        let from = json!({ "StreamArn": arn, "ShardId": shard["ShardId"],
            "ShardIteratorType": "TRIM_HORIZON" });
        let from = stream.ask("GetShardIterator", &from).await?;
        stream.iterator = text(&from["ShardIterator"])?;
        Ok(stream)
    }

    /// The event for the next records, at most so many; `None` if there are none.
    ///
    /// # Errors
    /// What the embedded DynamoDB refuses.
    pub async fn next(&mut self, records_max: usize) -> Result<Option<Value>, Problem> {
        let read = self
            .ask("GetRecords", &json!({ "ShardIterator": self.iterator }))
            .await?;
        self.iterator = text(&read["NextShardIterator"])?;
        let records = read["Records"].as_array().ok_or("no records")?;
        self.waiting.extend(records.iter().cloned());
        let records: Vec<_> = self.waiting.iter().take(records_max).collect();
        Ok((!records.is_empty()).then(|| json!({ "Records": records })))
    }

    /// Moves on behind the records of an event, as far as the function's answer says that they are done.
    ///
    /// # Errors
    /// An answer that names a record of no event.
    pub fn answered(&mut self, event: &Value, answer: &Value) -> Result<(), Problem> {
        let delivered = event["Records"].as_array().map_or(0, Vec::len);
        let first = answer["batchItemFailures"][0]["itemIdentifier"].as_str();
        let done = match first {
            None => delivered,
            Some(first) => self
                .waiting
                .iter()
                .take(delivered)
                .position(|record| record["dynamodb"]["SequenceNumber"] == first)
                .ok_or_else(|| format!("no record has {first}"))?,
        };
        self.waiting.drain(..done);
        Ok(())
    }

    async fn ask(&self, action: &str, body: &Value) -> Result<Value, Problem> {
        let answer = self
            .http
            .post(&self.endpoint)
            .header("x-amz-target", format!("DynamoDBStreams_20120810.{action}"))
            .header("content-type", "application/x-amz-json-1.0")
            .header("authorization", AUTHORIZATION)
            .header("x-amz-date", "20260101T000000Z")
            .body(body.to_string())
            .send()
            .await?;
        let (status, body) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            return Err(format!("{action}: {status}: {body}").into());
        }
        Ok(serde_json::from_str(&body)?)
    }
}

impl World {
    /// The outlet, over the same store, to a topic.
    #[must_use]
    pub fn outlet(&self, topic: &TestTopic) -> Outlet {
        Outlet {
            store: self.store.clone(),
            topic: topic.topic(&self.recorder),
            ambient: self.ambient.clone(),
        }
    }

    /// Calls the publisher once, as the function that it is.
    ///
    /// # Errors
    /// The publisher's, or a call of it that no role allows.
    pub async fn publish(
        &self,
        outlet: &Outlet,
        event: &Value,
        stop_at_ms: u64,
    ) -> Result<Value, Problem> {
        let publishing = outlet.publisher(event.clone(), stop_at_ms);
        let answer = as_function("publisher", publishing).await;
        self.recorder.check()?;
        Ok(answer?)
    }
}

fn text(value: &Value) -> Result<String, Problem> {
    let text = value.as_str().ok_or("no iterator")?;
    Ok(text.to_owned())
}
