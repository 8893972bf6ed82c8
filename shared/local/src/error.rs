//! What can go wrong before anything runs. All of it is for a person to mend.

use std::path::PathBuf;

use rollcall_sqs_emulator::StartError;

/// The local AWS could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The directory cannot be made, or no file can be written in it.
    #[error(
        "the directory {} cannot be used: {source}; give one that exists or can be made, and that \
         you may write to", dir.display()
    )]
    DirNotUsable {
        /// The directory that was given.
        dir: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error(
        "the directory {} is in use by another process; wait until that one ends, or give another \
         directory", dir.display()
    )]
    DirInUse {
        /// The directory that was given.
        dir: PathBuf,
    },
    /// The database's file is not one, or is of a newer version.
    #[error("the database {name} cannot be opened: {message}")]
    Database {
        /// The file, or `:memory:`.
        name: String,
        /// What the database said.
        message: String,
    },
    /// No loopback port for DynamoDB.
    #[error("no loopback port for the embedded DynamoDB: {0}")]
    Port(#[source] std::io::Error),
    /// No loopback port for SQS.
    #[error(transparent)]
    Sqs(#[from] StartError),
    /// A queue was refused, so its settings are out of range.
    #[error("the queue {name} cannot be made: {message}")]
    Queue {
        /// The queue's name.
        name: String,
        /// What SQS said.
        message: String,
    },
}

/// Triggers could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TriggerError {
    /// The queue does not exist or SQS does not answer.
    #[error("the queue {queue_url} cannot be read: {message}")]
    Queue {
        /// The event source's queue.
        queue_url: String,
        /// What SQS said.
        message: String,
    },
    /// A number of an event source or a schedule is out of its range.
    #[error("{what} of {of} is {value}; it must be {range}")]
    OutOfRange {
        /// The setting.
        what: &'static str,
        /// The queue or the schedule.
        of: String,
        /// Its value.
        value: u64,
        /// What it must be.
        range: &'static str,
    },
    /// Messages would come again while their function still runs. Lambda refuses this, too.
    #[error(
        "the visibility timeout of {queue_url} is {visibility_ms} ms, less than the {function_ms} \
         ms that its function may take; raise the first or lower the second"
    )]
    VisibilityTooShort {
        /// The event source's queue.
        queue_url: String,
        /// The queue's visibility timeout.
        visibility_ms: u64,
        /// The function's time limit.
        function_ms: u64,
    },
}
