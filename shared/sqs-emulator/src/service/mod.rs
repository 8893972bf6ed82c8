//! The service: queues by name, and one function an operation.

mod messages;
mod queues;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rollcall_ambient::Ambient;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::error::{ErrorCode, SqsError};
use crate::queue::{Now, Queue};
use crate::request::{parse, required};

/// The account that every queue belongs to.
pub const ACCOUNT_ID: &str = "000000000000";

/// How many queues there may be: one page of `ListQueues`.
const QUEUES_MAX: usize = 1_000;
/// The service without its socket: operations by name, bodies as JSON.
#[derive(Debug)]
pub struct Sqs {
    endpoint_url: String,
    region: String,
    ambient: Ambient,
    /// One lock over all: a receive may move messages to another queue.
    queues: Mutex<BTreeMap<String, Shelf>>,
    closed: watch::Sender<bool>,
}

/// A queue and the bell of its long polls.
#[derive(Debug)]
struct Shelf {
    queue: Queue,
    changed: Arc<Notify>,
}

impl Sqs {
    /// A service without queues. Queue URLs start with `endpoint_url`, ARNs name the region.
    #[must_use]
    pub fn new(endpoint_url: String, region: &str, ambient: Ambient) -> Self {
        Self {
            endpoint_url,
            region: region.to_owned(),
            ambient,
            queues: Mutex::default(),
            closed: watch::Sender::new(false),
        }
    }

    /// Ends every long poll, now and from now on.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Does one operation of the API reference: its name, the request's JSON, the answer's JSON.
    ///
    /// # Errors
    /// As the API reference has them, `UnknownOperation` for a name that it has not, and
    /// `Serialization` for a body that is not such a request or asks for what is not emulated.
    pub async fn call(&self, operation: &str, body: &[u8]) -> Result<Value, SqsError> {
        match operation {
            "CreateQueue" => self.create_queue(parse(body)?),
            "GetQueueUrl" => self.get_queue_url(parse(body)?),
            "ListQueues" => self.list_queues(parse(body)?),
            "GetQueueAttributes" => self.get_queue_attributes(parse(body)?),
            "SetQueueAttributes" => self.set_queue_attributes(parse(body)?),
            "PurgeQueue" => self.purge_queue(parse(body)?),
            "SendMessage" => self.send_message(parse(body)?),
            "SendMessageBatch" => self.send_message_batch(parse(body)?),
            "ReceiveMessage" => self.receive_message(parse(body)?).await,
            "DeleteMessage" => self.delete_message(parse(body)?),
            "DeleteMessageBatch" => self.delete_message_batch(parse(body)?),
            "ChangeMessageVisibility" => self.change_visibility(parse(body)?),
            "ChangeMessageVisibilityBatch" => self.change_visibility_batch(parse(body)?),
            _ => Err(SqsError::new(
                ErrorCode::UnknownOperation,
                format!("The operation {operation:?} is unknown to the emulator."),
            )),
        }
    }

    /// An id for a request.
    #[must_use]
    pub fn request_id(&self) -> String {
        self.ambient.random_uuid()
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT_ID}/{name}", self.endpoint_url)
    }

    fn arn(&self, name: &str) -> String {
        format!("arn:aws:sqs:{}:{ACCOUNT_ID}:{name}", self.region)
    }

    fn name_of_arn(&self, arn: &str) -> Option<String> {
        let name = arn.strip_prefix(&self.arn(""))?;
        Some(name.to_owned())
    }

    fn with_queue<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Shelf, Now) -> Result<T, SqsError>,
    ) -> Result<T, SqsError> {
        let now = self.now();
        let mut queues = self.lock();
        act(
            queues.get_mut(name).ok_or_else(SqsError::no_such_queue)?,
            now,
        )
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Shelf>> {
        // A queue keeps its rules within each call, so a panic elsewhere does not spoil it.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now {
        Now {
            instant: Instant::now(),
            epoch_ms: self.ambient.now_ms(),
        }
    }
}

/// The queue's name from its URL. The host does not count: a client may reach the same service
/// under another one.
fn queue_name(url: Option<String>) -> Result<String, SqsError> {
    let url = required(url, "QueueUrl")?;
    let mut parts = url.rsplit('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), Some(ACCOUNT_ID), Some(_)) => Ok(name.to_owned()),
        _ => Err(SqsError::new(
            ErrorCode::InvalidAddress,
            format!("The address {url} is not valid for this endpoint."),
        )),
    }
}
/// The attributes asked for, `All` spelt out.
fn wanted_names(
    asked: &[String],
    known: impl Iterator<Item = &'static str> + Clone,
) -> Result<Vec<String>, SqsError> {
    let mut names = Vec::new();
    for name in asked {
        if name == "All" {
            names.extend(known.clone().map(str::to_owned));
        } else if known.clone().any(|known| known == name) {
            names.push(name.clone());
        } else {
            return Err(SqsError::new(
                ErrorCode::InvalidAttributeName,
                format!("Unknown Attribute {name}."),
            ));
        }
    }
    Ok(names)
}
fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
