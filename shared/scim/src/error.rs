//! What can go wrong, by what the caller does next.

use thiserror::Error;

/// Why an account could not be brought to what it has to be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScimError {
    /// It may pass: the same is asked for again later.
    #[error("the service provider does not answer: {operation}: {cause}")]
    Unavailable {
        /// What was asked for.
        operation: &'static str,
        /// What came instead of an answer.
        cause: String,
        /// When it wants to be asked again, in milliseconds from now, if it said so.
        retry_after_ms: Option<u64>,
    },
    /// Nothing is taken until somebody does something.
    #[error("the service provider takes nothing: {problem}")]
    Denied {
        /// What is wrong, and what to do.
        problem: String,
    },
    /// This one account is not taken; others may be.
    #[error("the service provider does not take the account: {operation}: {cause}")]
    Refused {
        /// What was asked for.
        operation: &'static str,
        /// Status and kind of error.
        cause: String,
    },
}
