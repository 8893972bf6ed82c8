//! The faults, and how each is applied: instead of the answer, to its draft, to its bytes, or to
//! the way in which it travels.

use std::sync::Arc;

use uuid::Uuid;

use crate::answer::{Delivery, Draft, GraphError, Members, Page, json_bytes};
use crate::errors::{claims_challenge, expired_bearer, not_found, raw, status_draft};
use crate::user::{Item, Shown};

/// Something that goes wrong. Inside a `$batch` only the faults that stand in for an answer, and
/// those about users, have an effect; the connection is the whole batch's.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    // === Instead of the answer ===
    /// An error status.
    Status {
        /// The status.
        status: u16,
        /// The `Retry-After` header, in seconds.
        retry_after_s: Option<u32>,
        /// What comes along.
        body: ErrorBody,
    },
    /// 400 for the page token of the request (a page after the first one).
    PageToken(PageTokenError),
    /// The delta token of the request is lost.
    SyncState(SyncStateError),
    /// 401: the bearer of the request is no longer good, and does not become good again.
    ExpiredBearer,
    /// 401 with a claims challenge: a new token is wanted, with these claims. Until one was
    /// given out, every bearer is challenged.
    ClaimsChallenge,
    /// 403 `Authorization_RequestDenied`.
    Denied,
    /// 404 `Request_ResourceNotFound` for a user who is there: a stale replica.
    NotFound,
    /// A 307 to another place.
    Redirect {
        /// The `Location` header.
        to: String,
    },
    /// The connection is closed without an answer.
    Closed,
    /// The connection is reset without an answer.
    Reset,

    // === In a page ===
    /// A 200 that has an `error` where `value` should be.
    ErrorForValue,
    /// A 200 without `value`.
    NoValue,
    /// A 200 with `"value":null`.
    NullValue,
    /// Nobody on the page, and no next link: the scan looks finished.
    EmptyEnd,
    /// Nobody on the page, but a next link that goes on where the page would have begun.
    EmptyPage,
    /// The page has another next link than it should have.
    NextLink(NextLink),

    // === In the users of an answer ===
    /// Users who are there are left out.
    LeftOut(Who),
    /// Users who are there are told to be removed: a delta can tell again what was true before.
    RemovedAgain(Who),
    /// Users stand on the page twice.
    Twice(Who),
    /// `accountEnabled` is null.
    NullAccountEnabled(Who),
    /// `accountEnabled` is missing, though it was selected.
    NoAccountEnabled(Who),

    // === In the bytes ===
    /// The JSON ends in its middle; the HTTP message is whole.
    Truncated,
    /// An error object stands in the middle of the JSON.
    Spliced,
    /// The connection ends in the middle of the body.
    Broken,

    // === In time ===
    /// The answer waits. Together with other faults it is their latency; alone, and long enough, it
    /// is a request that hangs.
    Delay {
        /// How long, in milliseconds.
        ms: u64,
    },
}

/// What comes with an error status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorBody {
    /// The body that Graph gives with the status.
    Graph,
    /// A body in Graph's form that says nothing: `UnknownError` with an empty message.
    Unknown,
    /// A body in Graph's form with an empty code.
    EmptyCode,
    /// Nothing.
    Empty,
    /// A page of a proxy on the way.
    Html,
    /// Plain text, as the token endpoint has it for a 429.
    Plain,
    /// The token endpoint's form, with the number after AADSTS.
    Login(u32),
}

/// Why a page token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageTokenError {
    /// `Directory_ExpiredPageToken`
    Expired,
    /// `DirectoryPageTokenNotFoundException`
    NotFound,
    /// `Specified $skiptoken is invalid.`
    Invalid,
}

/// Why a delta token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncStateError {
    /// 400 `syncStateNotFound`
    NotFound,
    /// 410 `resyncRequired`, with the address of a delta that begins anew
    Resync,
    /// 410 `ResyncApplyDifferences`, in capitals as some front ends write it
    ApplyDifferences,
    /// 410 with the address alone
    Bare,
}

/// Where a next link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextLink {
    /// To the page that it is on.
    Itself,
    /// To a page that was asked for before, by its number.
    Page(u32),
    /// To the same path and query at another origin, such as `http://127.0.0.1:9`.
    Origin(String),
    /// To this address.
    Exactly(String),
    /// There is none, though there are more users.
    Missing,
}

/// Which users of an answer a fault is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// All of them.
    All,
    /// The first ones.
    First(usize),
    /// These.
    Ids(Vec<Uuid>),
}

impl Fault {
    /// 429 with Graph's body.
    #[must_use]
    pub fn throttled(retry_after_s: Option<u32>) -> Self {
        Self::Status {
            status: 429,
            retry_after_s,
            body: ErrorBody::Graph,
        }
    }

    /// An error status with Graph's body and without `Retry-After`.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            retry_after_s: None,
            body: ErrorBody::Graph,
        }
    }

    /// An error status with a body of another kind.
    #[must_use]
    pub fn status_with(status: u16, body: ErrorBody) -> Self {
        Self::Status {
            status,
            retry_after_s: None,
            body,
        }
    }

    /// The token endpoint's 429: plain text, and a minute to wait.
    #[must_use]
    pub fn login_throttled(retry_after_s: u32) -> Self {
        Self::Status {
            status: 429,
            retry_after_s: Some(retry_after_s),
            body: ErrorBody::Plain,
        }
    }

    /// The token endpoint's passing fault, AADSTS90033.
    #[must_use]
    pub fn login_transient() -> Self {
        Self::status_with(503, ErrorBody::Login(90_033))
    }

    /// The token endpoint's answer to a secret that has run out, AADSTS7000222.
    #[must_use]
    pub fn login_refused() -> Self {
        Self::status_with(401, ErrorBody::Login(7_000_222))
    }

    /// Whether the fault is there instead of an answer.
    pub(crate) fn stands_in(&self) -> bool {
        matches!(self, Self::Closed | Self::Reset) || self.draft(None).is_some()
    }

    /// The draft that stands in for an answer about a user (or about none in particular).
    pub(crate) fn draft(&self, user: Option<&str>) -> Option<Draft> {
        let error = match self {
            Self::Status {
                status,
                retry_after_s,
                body,
            } => return Some(status_draft(*status, *retry_after_s, body)),
            Self::Redirect { to } => {
                return Some(raw(
                    307,
                    "text/html",
                    Vec::new(),
                    vec![("location", to.clone())],
                ));
            }
            Self::PageToken(kind) => kind.error(),
            Self::SyncState(kind) => kind.error(""),
            Self::ExpiredBearer => expired_bearer(),
            Self::ClaimsChallenge => claims_challenge(),
            Self::Denied => GraphError::new(
                403,
                "Authorization_RequestDenied",
                "Insufficient privileges to complete the operation.",
            ),
            Self::NotFound => not_found(user.unwrap_or_default()),
            _ => return None,
        };
        Some(Draft::Error(error))
    }

    /// Bends a draft. `link` gives the link to a page that was asked for: to this one, or by its number.
    pub(crate) fn bend(&self, draft: &mut Draft, link: &dyn Fn(Option<u32>) -> Option<String>) {
        match draft {
            Draft::Page(page) => self.bend_page(page, link),
            Draft::Entity(entity) => {
                self.bend_items(std::slice::from_mut(&mut entity.item));
            }
            Draft::Error(_) | Draft::Login(_) | Draft::Raw(_) => {}
        }
    }

    fn bend_page(&self, page: &mut Page, link: &dyn Fn(Option<u32>) -> Option<String>) {
        match self {
            Self::ErrorForValue => page.members = Members::Error,
            Self::NoValue => page.members = Members::Absent,
            Self::NullValue => page.members = Members::Null,
            Self::EmptyEnd => {
                page.members = Members::Items(Vec::new());
                page.next_link = None;
            }
            Self::NextLink(NextLink::Itself) => page.next_link = link(None),
            Self::NextLink(NextLink::Page(number)) => page.next_link = link(Some(*number)),
            Self::NextLink(NextLink::Missing) => {
                page.next_link = None;
                page.delta_link = None;
            }
            Self::NextLink(NextLink::Exactly(link)) => {
                let kept = match page.delta_link {
                    Some(_) => &mut page.delta_link,
                    None => &mut page.next_link,
                };
                *kept = Some(link.clone());
            }
            Self::NextLink(NextLink::Origin(origin)) => {
                if let Some(right) = page.delta_link.take() {
                    page.delta_link = Some(moved_to(&right, origin));
                    return;
                }
                let right = page.next_link.take().or_else(|| link(None));
                page.next_link = right.map(|right| moved_to(&right, origin));
            }
            _ => {
                if let Members::Items(items) = &mut page.members {
                    if let Self::LeftOut(who) = self {
                        let mut nth = 0;
                        items.retain(|item| {
                            nth += 1;
                            !who.takes(nth - 1, item)
                        });
                    }
                    if let Self::Twice(who) = self {
                        let repeated: Vec<_> = items
                            .iter()
                            .enumerate()
                            .filter(|(index, item)| who.takes(*index, item))
                            .map(|(_, item)| item.clone())
                            .collect();
                        items.extend(repeated);
                    }
                    if let Self::RemovedAgain(who) = self {
                        for (index, item) in items.iter_mut().enumerate() {
                            if who.takes(index, item) {
                                item.shown = Shown::Removed("changed");
                            }
                        }
                    }
                    self.bend_items(items);
                }
            }
        }
    }

    fn bend_items(&self, items: &mut [Item]) {
        let (Self::NullAccountEnabled(who) | Self::NoAccountEnabled(who)) = self else {
            return;
        };
        for (index, item) in items.iter_mut().enumerate() {
            if !who.takes(index, item) {
                continue;
            }
            if matches!(self, Self::NoAccountEnabled(_)) {
                item.without_account_enabled = true;
            } else {
                Arc::make_mut(&mut item.user).account_enabled = None;
            }
        }
    }

    /// Spoils the JSON.
    pub(crate) fn spoil(&self, body: &mut Vec<u8>, error: &impl serde::Serialize) {
        let middle = body.len() / 2;
        match self {
            Self::Truncated => body.truncate(middle),
            Self::Spliced => {
                let comma = body[middle..].iter().position(|&byte| byte == b',');
                let at = comma.map_or(body.len(), |offset| middle + offset);
                body.splice(at..at, json_bytes(error));
            }
            _ => {}
        }
    }
}

/// How long the faults make an answer wait, in milliseconds.
pub(crate) fn delay_ms(faults: &[Fault]) -> u64 {
    faults
        .iter()
        .map(|fault| match fault {
            Fault::Delay { ms } => *ms,
            _ => 0,
        })
        .fold(0, u64::saturating_add)
}

/// How the faults let an answer travel.
pub(crate) fn delivery(faults: &[Fault]) -> Delivery {
    let worst = |fault: &Fault| match fault {
        Fault::Closed => Some(Delivery::Closed),
        Fault::Reset => Some(Delivery::Reset),
        Fault::Broken => Some(Delivery::Broken),
        _ => None,
    };
    faults.iter().find_map(worst).unwrap_or(Delivery::Whole)
}

impl Who {
    fn takes(&self, index: usize, item: &Item) -> bool {
        match self {
            Self::All => true,
            Self::First(count) => index < *count,
            Self::Ids(ids) => ids.contains(&item.user.id),
        }
    }
}

/// The same path and query at another origin.
fn moved_to(link: &str, origin: &str) -> String {
    let path = link
        .split_once("://")
        .and_then(|(_, rest)| rest.find('/').map(|slash| &rest[slash..]));
    format!("{origin}{}", path.unwrap_or("/"))
}
