//! Amazon SQS in one process: standard queues, in memory, over the JSON protocol that the AWS SDKs
//! speak, on a loopback port.
//!
//! - [`Queue`] is one queue as a state machine. It reads no clock and opens no socket: every call
//!   is told the time.
//! - [`Sqs`] is the service: queues by name, dead-letter queues, long polls, requests and answers.
//! - [`SqsEmulator`] serves it over HTTP on 127.0.0.1.
//!
//! It promises what SQS promises of a standard queue, and the same named errors: a message stays
//! until it is deleted, expires or is purged; while it is in flight nobody else receives it; after
//! its visibility timeout it comes again under a new receipt handle; after `maxReceiveCount`
//! receives it goes to the dead-letter queue; message groups take turns (fair queues). It never delivers a message twice on its own account
//! and keeps the order of sending where it can, so a test that needs duplicates or disorder has to
//! make them.
//!
//! It never checks credentials or signatures, never writes to disk, and knows no FIFO queues, tags,
//! policies or encryption: a request that needs one of these is refused, not half done.
//!
//! Facts about the service are from the Amazon SQS API Reference, version 2012-11-05, and the
//! quotas page of its Developer Guide.

mod batch;
mod error;
mod fair;
mod message;
mod queue;
mod request;
mod server;
mod service;
mod settings;

pub use error::{ErrorCode, SqsError};
pub use message::{AttributeValue, Draft, Message};
pub use queue::{Counts, Delivery, Now, Queue, Received};
pub use server::{SqsEmulator, StartError};
pub use service::{ACCOUNT_ID, Sqs};
pub use settings::{Redrive, Settings};
