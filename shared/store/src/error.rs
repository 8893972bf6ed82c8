//! What can go wrong, by what the caller does next.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// An error of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The lease is somebody else's by now, or its run or batch has ended. Stop: write nothing.
    #[error("the lease is lost")]
    LostLease,
    /// A condition other than the lease failed: what was read is no longer so. Read again.
    #[error("{what} changed in the meantime")]
    Changed {
        /// What.
        what: &'static str,
    },
    /// DynamoDB could not be reached, or is throttled, beyond the retries. Come back later; the
    /// write may or may not have been applied.
    #[error("DynamoDB is not available: {0}")]
    Unavailable(String),
    /// DynamoDB refused: a missing table, a missing permission. Nothing will change by itself.
    #[error("DynamoDB refused: {0}")]
    Refused(String),
    /// An item is not as this program writes it. Never read as "nothing".
    #[error("item {item} is unreadable: {detail}")]
    Corrupt {
        /// Its key.
        item: String,
        /// What is wrong.
        detail: String,
    },
    /// An item was written by a newer version, in a layout that this one does not know. Nothing was
    /// changed by it; the newer version goes on with it.
    #[error(
        "item {item} has layout {schema}, and this version knows those up to {known}: deploy the newer version again"
    )]
    Newer {
        /// Its key.
        item: String,
        /// The number of its layout.
        schema: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// What was asked for cannot be done, and the message says why.
    #[error("{0}")]
    Invalid(String),
}

/// A failed conditional write, as DynamoDB tells it.
pub(crate) enum WriteFailure {
    /// The condition did not hold.
    Condition,
    /// Anything else.
    Error(StoreError),
}

const TRANSIENT_CODES: [&str; 6] = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "InternalServerError",
    "TransactionInProgressException",
    "TransactionConflictException",
];

/// Sorts an SDK error. The message of DynamoDB's own errors carries keys and expressions, no
/// values, so it may be logged.
pub(crate) fn from_sdk<E, R>(error: &SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match error {
        SdkError::ServiceError(service) => {
            let passes = |code| TRANSIENT_CODES.contains(&code);
            if service.err().code().is_some_and(passes) {
                StoreError::Unavailable(said_by_aws(error))
            } else {
                StoreError::Refused(said_by_aws(error))
            }
        }
        SdkError::ConstructionFailure(_) => StoreError::Refused(said_by_aws(error)),
        _ => StoreError::Unavailable(said_by_aws(error)),
    }
}

/// What an error of AWS's SDK says, in one line for a log: the service's code and message, or what kept
/// the request from the service, cause by cause.
pub fn said_by_aws<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    if let SdkError::ServiceError(service) = error {
        let code = service.err().code().unwrap_or("unknown");
        let message = service.err().message().unwrap_or_default();
        return format!("{code}: {message}");
    }
    error_chain(error)
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::error::ErrorMetadata;
    use aws_sdk_dynamodb::operation::put_item::PutItemError;

    use super::*;

    #[test]
    fn what_aws_says_is_its_code_and_message_without_request_or_answer() {
        let said = ErrorMetadata::builder()
            .code("AccessDeniedException")
            .message("not authorized");
        let error = SdkError::service_error(
            PutItemError::generic(said.build()),
            "the answer, with all its headers",
        );
        assert_eq!(said_by_aws(&error), "AccessDeniedException: not authorized");
    }

    #[test]
    fn what_kept_a_request_from_aws_is_told_cause_by_cause() {
        let cause = std::io::Error::other("connection refused");
        let error = SdkError::<PutItemError, &str>::timeout_error(cause);
        assert_eq!(
            said_by_aws(&error),
            "request has timed out: connection refused"
        );
    }
}
