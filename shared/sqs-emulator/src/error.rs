//! The errors of the service, by the names that the SDKs know them under.

/// A refused request, or a refused entry of a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.query_code())]
pub struct SqsError {
    /// What went wrong, as the SDKs tell it apart.
    pub code: ErrorCode,
    /// The same for people: it names the parameter, the value and the limit.
    pub message: String,
}

impl SqsError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// A parameter's value that the service does not take, in the service's own wording.
    pub(crate) fn invalid_parameter(
        parameter: &str,
        value: impl std::fmt::Display,
        reason: &str,
    ) -> Self {
        Self::new(
            ErrorCode::InvalidParameterValue,
            format!("Value {value} for parameter {parameter} is invalid. Reason: {reason}"),
        )
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new(
            ErrorCode::MissingParameter,
            format!("The request must contain the parameter {parameter}."),
        )
    }

    pub(crate) fn no_such_queue() -> Self {
        Self::new(
            ErrorCode::QueueDoesNotExist,
            "The specified queue does not exist.",
        )
    }

    pub(crate) fn bad_receipt_handle() -> Self {
        Self::new(
            ErrorCode::ReceiptHandleIsInvalid,
            "The input receipt handle is invalid.",
        )
    }
}

/// The named errors of Amazon SQS that this emulator answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Two entries of a batch have the same id.
    BatchEntryIdsNotDistinct,
    /// The messages of a batch are longer in sum than one request may be.
    BatchRequestTooLong,
    /// A batch without entries.
    EmptyBatchRequest,
    /// A queue URL that is none.
    InvalidAddress,
    /// A queue or message attribute that does not exist.
    InvalidAttributeName,
    /// A queue attribute's value out of its range.
    InvalidAttributeValue,
    /// A batch entry's id with characters that are not allowed, or too long.
    InvalidBatchEntryId,
    /// A message body with a character that is not allowed.
    InvalidMessageContents,
    /// A parameter's value out of its range.
    InvalidParameterValue,
    /// The visibility of a message was to change that nobody holds.
    MessageNotInflight,
    /// A parameter is missing.
    MissingParameter,
    /// Too many messages in flight, or too many queues.
    OverLimit,
    /// A second purge within a minute.
    PurgeQueueInProgress,
    /// No queue of that name.
    QueueDoesNotExist,
    /// A queue of that name has other attributes.
    QueueNameExists,
    /// A receipt handle that this queue never gave out.
    ReceiptHandleIsInvalid,
    /// The emulator's own bound on stored messages is reached.
    RequestThrottled,
    /// The request's body is not the JSON that it should be.
    Serialization,
    /// A batch of more than ten entries.
    TooManyEntriesInBatchRequest,
    /// No operation of that name.
    UnknownOperation,
    /// Something that SQS can do and this emulator cannot.
    UnsupportedOperation,
}

impl ErrorCode {
    /// The shape's name, as the JSON protocol's `__type` has it.
    #[must_use]
    pub fn shape(self) -> &'static str {
        match self {
            Self::BatchEntryIdsNotDistinct => "com.amazonaws.sqs#BatchEntryIdsNotDistinct",
            Self::BatchRequestTooLong => "com.amazonaws.sqs#BatchRequestTooLong",
            Self::EmptyBatchRequest => "com.amazonaws.sqs#EmptyBatchRequest",
            Self::InvalidAddress => "com.amazonaws.sqs#InvalidAddress",
            Self::InvalidAttributeName => "com.amazonaws.sqs#InvalidAttributeName",
            Self::InvalidAttributeValue => "com.amazonaws.sqs#InvalidAttributeValue",
            Self::InvalidBatchEntryId => "com.amazonaws.sqs#InvalidBatchEntryId",
            Self::InvalidMessageContents => "com.amazonaws.sqs#InvalidMessageContents",
            Self::InvalidParameterValue => "com.amazonaws.sqs#InvalidParameterValueException",
            Self::MessageNotInflight => "com.amazonaws.sqs#MessageNotInflight",
            Self::MissingParameter => "com.amazonaws.sqs#MissingRequiredParameterException",
            Self::OverLimit => "com.amazonaws.sqs#OverLimit",
            Self::PurgeQueueInProgress => "com.amazonaws.sqs#PurgeQueueInProgress",
            Self::QueueDoesNotExist => "com.amazonaws.sqs#QueueDoesNotExist",
            Self::QueueNameExists => "com.amazonaws.sqs#QueueNameExists",
            Self::ReceiptHandleIsInvalid => "com.amazonaws.sqs#ReceiptHandleIsInvalid",
            Self::RequestThrottled => "com.amazonaws.sqs#RequestThrottled",
            Self::Serialization => "com.amazon.coral.service#SerializationException",
            Self::TooManyEntriesInBatchRequest => "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
            Self::UnknownOperation => "com.amazon.coral.service#UnknownOperationException",
            Self::UnsupportedOperation => "com.amazonaws.sqs#UnsupportedOperation",
        }
    }

    /// The older query protocol's code, which the SDKs read from `x-amzn-query-error` in
    /// preference to `__type`, and which the entries of a failed batch carry.
    #[must_use]
    pub fn query_code(self) -> &'static str {
        match self {
            Self::BatchEntryIdsNotDistinct => "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            Self::BatchRequestTooLong => "AWS.SimpleQueueService.BatchRequestTooLong",
            Self::EmptyBatchRequest => "AWS.SimpleQueueService.EmptyBatchRequest",
            Self::InvalidAddress => "InvalidAddress",
            Self::InvalidAttributeName => "InvalidAttributeName",
            Self::InvalidAttributeValue => "InvalidAttributeValue",
            Self::InvalidBatchEntryId => "AWS.SimpleQueueService.InvalidBatchEntryId",
            Self::InvalidMessageContents => "InvalidMessageContents",
            Self::InvalidParameterValue => "InvalidParameterValue",
            Self::MessageNotInflight => "AWS.SimpleQueueService.MessageNotInflight",
            Self::MissingParameter => "MissingParameter",
            Self::OverLimit => "OverLimit",
            Self::PurgeQueueInProgress => "AWS.SimpleQueueService.PurgeQueueInProgress",
            Self::QueueDoesNotExist => "AWS.SimpleQueueService.NonExistentQueue",
            Self::QueueNameExists => "QueueAlreadyExists",
            Self::ReceiptHandleIsInvalid => "ReceiptHandleIsInvalid",
            Self::RequestThrottled => "RequestThrottled",
            Self::Serialization => "MalformedInput",
            Self::TooManyEntriesInBatchRequest => {
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"
            }
            Self::UnknownOperation => "InvalidAction",
            Self::UnsupportedOperation => "AWS.SimpleQueueService.UnsupportedOperation",
        }
    }
}
