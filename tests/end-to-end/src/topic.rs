//! An SNS topic on loopback, as far as publishing to it goes, and what it does at a bad moment.
//! <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sns::config::{BehaviorVersion, Credentials, Region};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rollcall_sync::Topic;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::Problem;
use crate::calls::Recorder;

/// The topic's ARN.
const ARN: &str = "arn:aws:sns:us-east-1:000000000000:rollcall-status.fifo";
/// The most messages of one request, and the most bytes of it.
const MESSAGES_MAX: usize = 10;
const BYTES_MAX: usize = 262_144;

/// What a request meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meets {
    /// Nothing is wrong.
    Nothing,
    /// It is refused, and nothing of it taken.
    Refused,
    /// It is taken, and its answer is lost.
    LostAnswer,
    /// Every second of its messages is taken.
    InPart,
    /// It is taken, and its sender dies before the answer comes.
    Death,
}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its group.
    pub group: String,
    /// What tells a repetition.
    pub deduplication: String,
    /// Its text, read.
    pub body: Value,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

/// A running topic. Clones are the same.
#[derive(Debug, Clone)]
pub struct TestTopic {
    endpoint: String,
    state: Arc<Mutex<Taken>>,
    death: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Taken {
    messages: Vec<Message>,
    next: VecDeque<Meets>,
}

impl TestTopic {
    /// Starts it on a free port. It stops with the process.
    ///
    /// # Errors
    /// A port that cannot be had.
    pub async fn start() -> Result<Self, Problem> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let topic = Self {
            endpoint: format!("http://{}", listener.local_addr()?),
            state: Arc::default(),
            death: Arc::default(),
        };
        let app = Router::new().fallback(answer).with_state(topic.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(topic)
    }

    /// The topic as the outlet has it. A request is sent once: what comes of it is the test's to decide.
    pub(crate) fn topic(&self, recorder: &Recorder) -> Topic {
        let config = aws_sdk_sns::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(&self.endpoint)
            .interceptor(recorder.clone())
            .retry_config(aws_sdk_sns::config::retry::RetryConfig::disabled())
            .build();
        Topic {
            client: aws_sdk_sns::Client::from_conf(config),
            arn: ARN.to_owned(),
        }
    }

    /// What the next requests meet, one after the other; those behind them meet nothing.
    pub fn meets(&self, next: impl IntoIterator<Item = Meets>) {
        self.with(|taken| taken.next = next.into_iter().collect());
    }

    /// What was taken, in its order.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.with(|taken| taken.messages.clone())
    }

    /// Comes back when a sender is to die.
    pub async fn death(&self) {
        self.death.notified().await;
    }

    fn with<T>(&self, with: impl FnOnce(&mut Taken) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what a request has, and says what it meets and which of its entries were taken.
    fn take(&self, entries: Vec<(String, Message)>) -> (Meets, Vec<String>) {
        self.with(|taken| {
            let meets = taken.next.pop_front().unwrap_or(Meets::Nothing);
            if meets == Meets::Refused {
                return (meets, Vec::new());
            }
            let step = if meets == Meets::InPart { 2 } else { 1 };
            let mut ids = Vec::new();
            for (id, message) in entries.into_iter().step_by(step) {
                ids.push(id);
                taken.messages.push(message);
            }
            (meets, ids)
        })
    }
}

async fn answer(State(topic): State<TestTopic>, body: String) -> Response {
    let entries = match entries(&body) {
        Ok(entries) => entries,
        Err(problem) => return (StatusCode::BAD_REQUEST, refusal(&problem)).into_response(),
    };
    let all: Vec<_> = entries.iter().map(|(id, _)| id.clone()).collect();
    let (meets, taken) = topic.take(entries);
    match meets {
        Meets::Nothing | Meets::InPart => published(&all, &taken).into_response(),
        Meets::Refused | Meets::LostAnswer => {
            let problem = "the service is not available";
            (StatusCode::SERVICE_UNAVAILABLE, refusal(problem)).into_response()
        }
        Meets::Death => {
            topic.death.notify_one();
            std::future::pending().await
        }
    }
}

/// The messages of a request, each under its id.
fn entries(body: &str) -> Result<Vec<(String, Message)>, String> {
    let mut form: BTreeMap<String, String> = form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let mut take = |name: &str| form.remove(name).ok_or(format!("{name} is missing"));
    if take("Action")? != "PublishBatch" || take("TopicArn")? != ARN {
        return Err("another action, or another topic".into());
    }
    let mut entries = Vec::new();
    for number in 1.. {
        let entry = format!("PublishBatchRequestEntries.member.{number}");
        let Ok(id) = take(&format!("{entry}.Id")) else {
            break;
        };
        let mut attributes = BTreeMap::new();
        for number in 1.. {
            let attribute = format!("{entry}.MessageAttributes.entry.{number}");
            let Ok(name) = take(&format!("{attribute}.Name")) else {
                break;
            };
            attributes.insert(name, take(&format!("{attribute}.Value.StringValue"))?);
        }
        let text = take(&format!("{entry}.Message"))?;
        let message = Message {
            group: take(&format!("{entry}.MessageGroupId"))?,
            deduplication: take(&format!("{entry}.MessageDeduplicationId"))?,
            body: serde_json::from_str(&text).map_err(|e| e.to_string())?,
            attributes,
        };
        entries.push((id, message));
    }
    if entries.is_empty() || entries.len() > MESSAGES_MAX || body.len() > BYTES_MAX {
        return Err(format!("{} messages, {} bytes", entries.len(), body.len()));
    }
    Ok(entries)
}

const XMLNS: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

fn published(all: &[String], taken: &[String]) -> String {
    let (mut successful, mut failed) = (String::new(), String::new());
    for id in all {
        let written = if taken.contains(id) {
            write!(
                successful,
                "<member><Id>{id}</Id><MessageId>m-{id}</MessageId></member>"
            )
        } else {
            write!(
                failed,
                "<member><Id>{id}</Id><Code>InternalError</Code><SenderFault>false</SenderFault></member>"
            )
        };
        // A text takes whatever is written to it.
        written.unwrap_or_default();
    }
    format!(
        "<PublishBatchResponse xmlns=\"{XMLNS}\"><PublishBatchResult><Successful>{successful}</Successful>\
         <Failed>{failed}</Failed></PublishBatchResult></PublishBatchResponse>"
    )
}

fn refusal(problem: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"{XMLNS}\"><Error><Type>Receiver</Type><Code>ServiceUnavailable</Code>\
         <Message>{problem}</Message></Error></ErrorResponse>"
    )
}
