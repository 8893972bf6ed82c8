//! The errors of Graph and of proxies before it, word for word where a client could look at words.

use crate::answer::{Draft, GraphError, LoginError, Raw};
use crate::fault::{ErrorBody, PageTokenError, SyncStateError};

impl PageTokenError {
    pub(crate) fn error(self) -> GraphError {
        let (code, message) = match self {
            Self::Expired => (
                "Directory_ExpiredPageToken",
                "The specified page token value has expired and can no longer be included in your \
                 request.",
            ),
            Self::NotFound => (
                "DirectoryPageTokenNotFoundException",
                "The directory page token was not found.",
            ),
            Self::Invalid => ("Request_BadRequest", "Specified $skiptoken is invalid."),
        };
        GraphError::new(400, code, message)
    }
}

impl SyncStateError {
    /// The error, with the address at `origin` where a delta begins anew.
    pub(crate) fn error(self, origin: &str) -> GraphError {
        let message = "The sync state generation is not found. The delta token is expired and data \
                       must be synchronized again.";
        let (status, code) = match self {
            Self::NotFound => return GraphError::new(400, "syncStateNotFound", message),
            Self::Resync => (410, "resyncRequired"),
            Self::ApplyDifferences => (410, "ResyncApplyDifferences"),
            Self::Bare => (410, ""),
        };
        let anew = format!("{origin}/v1.0/users/delta?$deltatoken=");
        GraphError::new(status, code, message).with_header("location", anew)
    }
}

const AUTHORIZATION_URI: &str = "https://login.microsoftonline.com/common/oauth2/authorize";

/// The answer to a bearer that was good once.
pub(crate) fn expired_bearer() -> GraphError {
    bearer_error("Access token has expired or is not yet valid.")
}

/// A 401 for the bearer.
pub(crate) fn bearer_error(message: &str) -> GraphError {
    GraphError::new(401, "InvalidAuthenticationToken", message).with_header(
        "www-authenticate",
        format!(
            "Bearer realm=\"\", authorization_uri=\"{AUTHORIZATION_URI}\", \
             client_id=\"00000003-0000-0000-c000-000000000000\""
        ),
    )
}

/// The answer to a bearer that was issued before the user's sessions were ended.
pub(crate) fn claims_challenge() -> GraphError {
    /// `{"access_token":{"nbf":{"essential":true,"value":"1763928902"}}}`
    const CLAIMS: &str =
        "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNzYzOTI4OTAyIn19fQ==";
    GraphError::new(
        401,
        "InvalidAuthenticationToken",
        "Continuous access evaluation resulted in challenge with result: InteractionRequired and \
         code: TokenIssuedBeforeRevocationTimestamp",
    )
    .with_header(
        "www-authenticate",
        format!(
            "Bearer realm=\"\", authorization_uri=\"{AUTHORIZATION_URI}\", \
             error=\"insufficient_claims\", claims=\"{CLAIMS}\""
        ),
    )
}

/// The one answer that says that an object is not there.
pub(crate) fn not_found(key: &str) -> GraphError {
    GraphError::new(
        404,
        "Request_ResourceNotFound",
        format!(
            "Resource '{key}' does not exist or one of its queried reference-property objects are \
             not present."
        ),
    )
}

/// An error status with a body of any kind.
pub(crate) fn status_draft(status: u16, retry_after_s: Option<u32>, body: &ErrorBody) -> Draft {
    let headers: Vec<_> = retry_after_s
        .map(|seconds| ("retry-after", seconds.to_string()))
        .into_iter()
        .collect();
    let graph = |code, message: &str| {
        let mut error = GraphError::new(status, code, message);
        error.headers.clone_from(&headers);
        Draft::Error(error)
    };
    match body {
        ErrorBody::Graph => {
            let (code, message) = usual(status);
            graph(code, message)
        }
        ErrorBody::Unknown => graph("UnknownError", ""),
        ErrorBody::EmptyCode => graph("", ""),
        ErrorBody::Empty => raw(status, "text/plain", Vec::new(), headers),
        ErrorBody::Html => raw(status, "text/html", html(status).into_bytes(), headers),
        ErrorBody::Plain => raw(status, "text/plain", b"Too Many Requests".to_vec(), headers),
        ErrorBody::Login(aadsts) => {
            let (error, message) = login_words(*aadsts);
            Draft::Login(LoginError {
                status,
                error,
                aadsts: *aadsts,
                message: message.to_owned(),
                headers,
            })
        }
    }
}

/// The OAuth error and the message that the token endpoint has for a number.
/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
fn login_words(aadsts: u32) -> (&'static str, &'static str) {
    match aadsts {
        90_033 => (
            "temporarily_unavailable",
            "A transient error has occurred. Please try again.",
        ),
        7_000_215 => ("invalid_client", "Invalid client secret provided."),
        7_000_222 => (
            "invalid_client",
            "The provided client secret keys are expired.",
        ),
        700_024 => (
            "invalid_client",
            "Client assertion is not within its valid time range.",
        ),
        700_027 => (
            "invalid_client",
            "Client assertion failed signature validation.",
        ),
        70_021 => (
            "invalid_request",
            "No matching federated identity record found for presented assertion.",
        ),
        65_001 => (
            "invalid_grant",
            "The user or administrator has not consented to use the application.",
        ),
        7_000_112 => ("unauthorized_client", "Application is disabled."),
        7_000_229 => (
            "invalid_client",
            "The client application is missing service principal in the tenant.",
        ),
        700_016 => (
            "unauthorized_client",
            "Application was not found in the directory.",
        ),
        90_002 => ("invalid_request", "Tenant not found."),
        53_003 => (
            "access_denied",
            "Access has been blocked by Conditional Access policies.",
        ),
        _ => ("invalid_request", "The request is not valid."),
    }
}

/// The code and message that Graph has for a status.
fn usual(status: u16) -> (&'static str, &'static str) {
    match status {
        429 => ("TooManyRequests", "Please retry again later."),
        500 => ("InternalServerError", "An internal server error occurred."),
        502 => ("BadGateway", "Bad gateway."),
        503 => ("ServiceUnavailable", "The service is unavailable."),
        504 => ("GatewayTimeout", "The request timed out."),
        _ => ("UnknownError", "An unknown error occurred."),
    }
}

fn html(status: u16) -> String {
    format!(
        "<!DOCTYPE html><html><head><title>{status}</title></head><body><h2>Our services aren't \
         available right now</h2><p>We're working to restore all services as soon as \
         possible.</p></body></html>"
    )
}

/// Bytes as they are.
pub(crate) fn raw(
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
    headers: Vec<(&'static str, String)>,
) -> Draft {
    Draft::Raw(Raw {
        status,
        content_type,
        headers,
        body,
    })
}
