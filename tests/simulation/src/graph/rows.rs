//! Which row of the fault catalogue a fault of Graph stands for, as it is counted: a row that is never drawn any
//! more is noticed.

use rollcall_graph_emulator::{Endpoint, ErrorBody, Fault, NextLink};

/// The row's mark.
pub(super) fn mark(endpoint: Endpoint, fault: &Fault) -> &'static str {
    match fault {
        Fault::Status {
            status: 400 | 401, ..
        } if endpoint == Endpoint::Token => "Graph: a login refused for good",
        Fault::Status { .. } if endpoint == Endpoint::Token => "Graph: a login not answered",
        Fault::Status { status: 404, .. } if endpoint == Endpoint::GroupMembers => {
            "Graph: a group that is not there"
        }
        Fault::Status { status: 404, .. } => "Graph: a 404 with another code",
        Fault::Status {
            status: 429,
            retry_after_s: Some(_),
            ..
        } => "Graph: 429 with Retry-After",
        Fault::Status { status: 429, .. } => "Graph: 429 without Retry-After",
        Fault::Status {
            body: ErrorBody::Html,
            ..
        } => "Graph: a proxy's page",
        Fault::Status {
            body: ErrorBody::EmptyCode,
            ..
        } => "Graph: an error with an empty code",
        Fault::Status { .. } => "Graph: a server error",
        Fault::PageToken(_) => "Graph: a page token that is refused",
        Fault::SyncState(_) => "Graph: a delta token that is lost",
        Fault::ExpiredBearer => "Graph: 401 in the middle",
        Fault::ClaimsChallenge => "Graph: a claims challenge",
        Fault::Denied => "Graph: 403",
        Fault::NotFound => "Graph: not found, and he is there",
        Fault::Redirect { .. } => "Graph: a redirect to another host",
        Fault::Closed | Fault::Reset | Fault::Broken => "Graph: a connection that breaks",
        Fault::ErrorForValue => "Graph: an error for the value",
        Fault::NoValue | Fault::NullValue => "Graph: no value",
        Fault::EmptyEnd => "Graph: an empty page without a next link",
        Fault::EmptyPage => "Graph: an empty page with a next link",
        Fault::NextLink(NextLink::Itself | NextLink::Page(_)) => "Graph: a next link that repeats",
        Fault::NextLink(NextLink::Missing) => "Graph: a next link left out",
        Fault::NextLink(NextLink::Origin(_) | NextLink::Exactly(_)) => {
            "Graph: a next link to another host, or nowhere"
        }
        Fault::LeftOut(_) => "Graph: users left out",
        Fault::RemovedAgain(_) => "Graph: a removal told again",
        Fault::Twice(_) => "Graph: a user twice",
        Fault::NullAccountEnabled(_) | Fault::NoAccountEnabled(_) => {
            "Graph: accountEnabled null or left out"
        }
        Fault::Truncated => "Graph: a body cut off",
        Fault::Spliced => "Graph: an error spliced into the body",
        Fault::Delay { .. } => "Graph: an answer that hangs",
    }
}
