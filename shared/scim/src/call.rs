//! One request to a service provider, and what its answer is taken for.

use reqwest::Method;
use rollcall_graph::Received;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::error::ScimError;
use crate::wire::kind;

/// A request, as often as it is sent.
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) body: Option<Value>,
    /// Whether it is the same if it is sent twice.
    pub(crate) repeatable: bool,
}

/// An answer that says something about the account that was asked for.
pub(crate) enum Answer {
    Good { status: u16, body: Vec<u8> },
    Gone,
    Taken,
}

/// Another attempt may bring an answer.
pub(crate) struct Passing {
    pub(crate) cause: String,
    pub(crate) retry_after_ms: Option<u64>,
    /// Whether nothing can have been done.
    pub(crate) is_refused: bool,
}

/// What came of one attempt.
pub(crate) enum Outcome {
    Answered(Answer),
    Passing(Passing),
    Unauthorised,
    Failed(ScimError),
}

impl Call {
    pub(crate) fn judged(&self, received: Received) -> Outcome {
        let status = received.status.as_u16();
        let retry_after_ms = received.retry_after_ms();
        let body = match received.body {
            Ok(body) => body,
            Err(lost) => {
                return Outcome::Passing(Passing {
                    cause: lost.cause,
                    retry_after_ms: None,
                    is_refused: false,
                });
            }
        };
        match status {
            200..=299 => Outcome::Answered(Answer::Good { status, body }),
            401 => Outcome::Unauthorised,
            403 => Outcome::Failed(ScimError::Denied {
                problem:
                    "status 403; let the token that scim.credential names read and write users"
                        .into(),
            }),
            404 => Outcome::Answered(Answer::Gone),
            409 => Outcome::Answered(Answer::Taken),
            408 | 429 | 500 | 502..=599 => Outcome::Passing(Passing {
                cause: format!("status {status}"),
                retry_after_ms,
                is_refused: status == 429,
            }),
            300..=399 => Outcome::Failed(ScimError::Denied {
                problem: format!(
                    "status {status}, a redirect; give the address itself as scim.url"
                ),
            }),
            _ => {
                let kind = kind(&body).unwrap_or_default();
                Outcome::Failed(self.refused(format!("status {status} {kind}").trim_end()))
            }
        }
    }

    pub(crate) fn unavailable(&self, cause: String, retry_after_ms: Option<u64>) -> ScimError {
        ScimError::Unavailable {
            operation: self.operation,
            cause,
            retry_after_ms,
        }
    }

    pub(crate) fn refused(&self, cause: &str) -> ScimError {
        ScimError::Refused {
            operation: self.operation,
            cause: cause.to_owned(),
        }
    }
}

pub(crate) fn parsed<T: DeserializeOwned>(call: &Call, body: &[u8]) -> Result<T, ScimError> {
    // Without the parser's words, which may repeat what is in the body.
    serde_json::from_slice(body)
        .map_err(|_| call.unavailable("an answer that cannot be read".into(), None))
}
