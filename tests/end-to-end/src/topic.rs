//! An SNS topic on loopback, as far as publishing to it goes, and what it does at a bad moment.
//! <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sns::config::{BehaviorVersion, Credentials, Region};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
pub use rollcall_sns_wire::Message;
use rollcall_sns_wire::{entries, published, refusal};
use rollcall_sync::Topic;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::Problem;
use crate::calls::Recorder;

/// The topic's ARN.
const ARN: &str = "arn:aws:sns:us-east-1:000000000000:rollcall-status.fifo";

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
    let entries = match entries(ARN, &body) {
        Ok(entries) => entries,
        Err(problem) => {
            let refused = refusal("InvalidParameter", &problem);
            return (StatusCode::BAD_REQUEST, refused).into_response();
        }
    };
    let all: Vec<_> = entries.iter().map(|(id, _)| id.clone()).collect();
    let (meets, taken) = topic.take(entries);
    match meets {
        Meets::Nothing | Meets::InPart => {
            let (taken, failed): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|id| taken.contains(id));
            published(&taken, &failed).into_response()
        }
        Meets::Refused | Meets::LostAnswer => {
            let refused = refusal("ServiceUnavailable", "the service is not available");
            (StatusCode::SERVICE_UNAVAILABLE, refused).into_response()
        }
        Meets::Death => {
            topic.death.notify_one();
            std::future::pending().await
        }
    }
}
