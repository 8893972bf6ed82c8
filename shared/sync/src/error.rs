//! How a step can end short of its work.

use rollcall_core::run::FailReason;
use rollcall_graph::GraphError;
use rollcall_store::StoreError;

/// Why an event was not handled. The caller (SQS, the scheduler) delivers it again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HandlerError {
    /// The event is none that this function gets.
    #[error("the event is not understood: {0}")]
    BadEvent(String),
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A queue could not be written.
    #[error("a queue is not available: {0}")]
    Queue(String),
    /// The topic did not take an event.
    #[error("the topic is not available: {0}")]
    Topic(String),
}

/// What ends a step before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The run cannot be completed: fail it, with this reason.
    Fail(FailReason, String),
    /// Somebody else has the lease, or the run has ended: write nothing more.
    Lost {
        /// Whether a write was refused for it; if not, the lease was only to be renewed.
        fenced: bool,
    },
    /// Time is up: go on in another invocation.
    OutOfTime,
    /// Something that may pass: the event comes again.
    Error(HandlerError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::LostLease => Self::Lost { fenced: true },
            // A list that cannot be read is never an empty list; what cannot be stored now cannot be
            // stored later either.
            StoreError::Corrupt { .. } | StoreError::Invalid(_) => {
                Self::Fail(FailReason::Incomplete, error.to_string())
            }
            other => Self::Error(HandlerError::Store(other)),
        }
    }
}

impl Stop {
    /// What a lease that could not be renewed means.
    pub(crate) fn not_kept(error: StoreError) -> Self {
        match error {
            StoreError::LostLease => Self::Lost { fenced: false },
            other => other.into(),
        }
    }
}

impl From<GraphError> for Stop {
    fn from(error: GraphError) -> Self {
        Self::Fail(error.run_reason(), error.to_string())
    }
}

impl From<HandlerError> for Stop {
    fn from(error: HandlerError) -> Self {
        match error {
            HandlerError::Store(error) => error.into(),
            other => Self::Error(other),
        }
    }
}
