//! What AWS is to the system, on one machine and in one process.
//!
//! - [`LocalAws`] is DynamoDB (embedded, its data in a file of a directory, or in memory) and SQS
//!   (embedded, in memory), both behind the real SDK clients over loopback, with the system's three
//!   queues and their dead-letter queues.
//! - [`Triggers`] are what drives functions: an [`EventSource`] polls a queue and hands its
//!   messages over as the event JSON that Lambda delivers, a [`Schedule`] fires on a period.
//!
//! It promises: what DynamoDB answered is still there after the process is killed; one directory
//! has one process at a time; a message is deleted only when a function reported it done, and comes
//! again otherwise, until it goes to the dead-letter queue; a function that fails, panics or takes
//! too long is a failure and nothing more; everything stops within a bounded time.
//!
//! It never keeps messages over a restart: what a run needs is in DynamoDB, and its sweeper rings
//! again. It never creates tables and knows nothing of what the functions do.

mod aws;
mod clients;
mod database;
mod directory;
mod error;
mod event;
mod function;
mod queues;
mod schedule;
mod source;
mod triggers;

pub use aws::LocalAws;
pub use clients::dynamodb_client;
pub use error::{LocalError, TriggerError};
pub use function::{Answer, Function, function};
pub use queues::{LocalSettings, Queue, QueueSettings, Queues};
pub use schedule::Schedule;
pub use source::EventSource;
pub use triggers::Triggers;
