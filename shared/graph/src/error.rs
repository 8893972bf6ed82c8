//! What can go wrong, by what the caller does next.

use std::fmt;

use rollcall_core::ids::ObjectId;
use rollcall_core::run::FailReason;

use crate::groups::{CHECK_MEMBER_GROUPS, GROUP_MEMBERS};

/// One call that failed, as far as it may be told: no address, no name, no free text of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCall {
    /// What was asked, such as `users` or `getByIds`.
    pub operation: &'static str,
    /// The HTTP status, if an answer came.
    pub status: Option<u16>,
    /// The error code of the answer.
    pub code: Option<String>,
    /// Microsoft's id of the request, for a support case.
    pub request_id: Option<String>,
    /// What else is known: the transport's error, or what the answer lacks.
    pub cause: Option<String>,
}

impl FailedCall {
    pub(crate) fn of(operation: &'static str) -> Box<Self> {
        Box::new(Self {
            operation,
            status: None,
            code: None,
            request_id: None,
            cause: None,
        })
    }
}

impl fmt::Display for FailedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation)?;
        if let Some(status) = self.status {
            write!(f, ", status {status}")?;
        }
        if let Some(code) = &self.code {
            write!(f, ", code {code}")?;
        }
        if let Some(cause) = &self.cause {
            write!(f, ", {cause}")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, ", request-id {id}")?;
        }
        Ok(())
    }
}

/// Why Microsoft Graph gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// It kept failing in ways that pass: no connection, a time-out, throttling, a server error.
    /// Worth another run later.
    #[error(
        "Microsoft Graph was not available ({call}); gave up after {attempts} attempts in {tried_ms} ms{}",
        told_wait(*retry_after_ms)
    )]
    Unavailable {
        /// The last attempt.
        call: Box<FailedCall>,
        /// How often it was tried.
        attempts: u32,
        /// For how long, in milliseconds.
        tried_ms: u64,
        /// How long the server asked to wait before another attempt, if it did.
        retry_after_ms: Option<u64>,
    },
    /// It refused the request in a way that no repetition mends.
    #[error(
        "Microsoft Graph refused the request ({call}); check the cloud or graph_url, and that each mapped attribute is a property that users have in Graph v1.0"
    )]
    Refused {
        /// The answer.
        call: Box<FailedCall>,
    },
    /// The application may not do that.
    #[error(
        "Microsoft Graph denied access ({call}); grant the application the application permission {}, with admin consent",
        permission(call.operation)
    )]
    Denied {
        /// The answer.
        call: Box<FailedCall>,
    },
    /// The token service gives no token for this credential, or Graph does not take a fresh one.
    #[error("the credential was rejected ({call}); {remedy}")]
    CredentialRejected {
        /// The answer.
        call: Box<FailedCall>,
        /// The number after `AADSTS`, when one was given.
        aadsts: Option<u32>,
        /// What a person can do.
        remedy: &'static str,
    },
    /// An answer led to an address that must not get the access token.
    #[error("{operation}: refused to follow a link: {problem}")]
    UnsafeLink {
        /// What was asked, such as `users`.
        operation: &'static str,
        /// What is wrong with the link: scheme and host at most.
        problem: String,
    },
    /// The page token of a next link is no longer taken.
    #[error("the page token expired ({call})")]
    PageTokenExpired {
        /// The answer.
        call: Box<FailedCall>,
    },
    /// What changed since the link was given is not known any more: a full scan has to tell. It never
    /// means that anybody is gone.
    #[error("the delta link is no longer good ({call}); a full run finds what changed")]
    DeltaLost {
        /// The answer.
        call: Box<FailedCall>,
    },
    /// It answers, but what it answers is not what it should be, again and again.
    #[error("Microsoft Graph gave answers that cannot be relied on ({call}); {attempts} attempts")]
    Unreliable {
        /// The last attempt.
        call: Box<FailedCall>,
        /// How often it was tried.
        attempts: u32,
    },
    /// A group could not be read to its end, or nobody is in it: what a list that got lost looks like.
    #[error("group {group} of the scope cannot be read: {problem}; {remedy}")]
    GroupUnavailable {
        /// Which group.
        group: ObjectId,
        /// What is wrong with it.
        problem: String,
        /// What a person can do.
        remedy: &'static str,
    },
    /// As many requests were sent as the client may send.
    #[error(
        "{requests_max} requests were left for Microsoft Graph, and all were sent; look into the log for what was asked again and again"
    )]
    BudgetSpent {
        /// How many.
        requests_max: u64,
    },
    /// The settings cannot work.
    #[error("{setting}: {problem}")]
    BadConfig {
        /// The setting, by its name in a tenant file.
        setting: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
}

impl GraphError {
    pub(crate) fn bad_config(setting: &'static str, problem: String) -> Self {
        Self::BadConfig { setting, problem }
    }

    /// The reason that a run which fails by this error is given.
    #[must_use]
    pub fn run_reason(&self) -> FailReason {
        match self {
            Self::Unavailable { .. } | Self::Refused { .. } | Self::BudgetSpent { .. } => {
                FailReason::GraphUnavailable
            }
            Self::Denied { .. } => FailReason::GraphDenied,
            Self::CredentialRejected { .. } => FailReason::CredentialRejected,
            Self::UnsafeLink { .. } => FailReason::UnsafeLink,
            Self::GroupUnavailable { .. } => FailReason::GroupUnavailable,
            Self::PageTokenExpired { .. } | Self::DeltaLost { .. } | Self::Unreliable { .. } => {
                FailReason::EnumerationUnreliable
            }
            // A secret that is not there is a credential that does not work.
            Self::BadConfig {
                setting: "credential",
                ..
            } => FailReason::CredentialRejected,
            Self::BadConfig { .. } => FailReason::GraphUnavailable,
        }
    }
}

fn told_wait(retry_after_ms: Option<u64>) -> String {
    retry_after_ms.map_or_else(String::new, |ms| {
        format!("; the server asks to wait {ms} ms before another attempt")
    })
}

/// The least application permission that an operation needs.
/// <https://learn.microsoft.com/graph/api/user-list#permissions>,
/// <https://learn.microsoft.com/graph/api/directoryobject-getbyids#permissions>,
/// <https://learn.microsoft.com/graph/api/group-list-transitivemembers#permissions>,
/// <https://learn.microsoft.com/graph/api/directoryobject-checkmembergroups#permissions>
fn permission(operation: &str) -> &'static str {
    match operation {
        "getByIds" => "Directory.Read.All",
        GROUP_MEMBERS | CHECK_MEMBER_GROUPS => "GroupMember.Read.All (or Directory.Read.All)",
        _ => "User.Read.All",
    }
}

/// The longest error code that is repeated, in characters. Graph's are below 60.
const CODE_CHARS_MAX: usize = 80;

/// An error code as it may be logged. Codes are words; whatever else a server puts in their place
/// could hold a name.
pub(crate) fn loggable_code(code: &str) -> Option<String> {
    let fits = (1..=CODE_CHARS_MAX).contains(&code.len())
        && code
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    fits.then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_is_not_a_word_is_not_repeated() {
        assert_eq!(
            loggable_code("Authorization_RequestDenied").as_deref(),
            Some("Authorization_RequestDenied")
        );
        for code in ["", "user adele@contoso.com", "a\nb", &"x".repeat(81)] {
            assert_eq!(loggable_code(code), None, "{code:?}");
        }
    }
}
