//! The rows. Those about delta queries are not among them: no delta query is sent.

use rollcall_core::run::FailReason;
use rollcall_graph_emulator::{
    Endpoint, ErrorBody, Fault, FaultRule, Matcher, NextLink, PageTokenError, Who,
};

use super::{Ends, Row, Variant};
use crate::World;
use uuid::Uuid;

const UNAVAILABLE: Ends = Ends::Failed(FailReason::GraphUnavailable);
const UNRELIABLE: Ends = Ends::Failed(FailReason::EnumerationUnreliable);
const DENIED: Ends = Ends::Failed(FailReason::GraphDenied);
const REJECTED: Ends = Ends::Failed(FailReason::CredentialRejected);
const UNSAFE: Ends = Ends::Failed(FailReason::UnsafeLink);
const EMPTY: Ends = Ends::Failed(FailReason::EmptyEnumeration);

fn page(page: u32) -> Matcher {
    Matcher::endpoint(Endpoint::Users).page(page)
}

fn users() -> Matcher {
    Matcher::endpoint(Endpoint::Users)
}

fn token() -> Matcher {
    Matcher::endpoint(Endpoint::Token)
}

/// A page's fault that happens once, and one that stays.
macro_rules! once {
    ($what:literal, $at:expr, $fault:expr, $ends:expr) => {
        Variant {
            what: $what,
            faults: |_| vec![FaultRule::once($at, $fault)],
            ends: $ends,
        }
    };
}
macro_rules! forever {
    ($what:literal, $at:expr, $fault:expr, $ends:expr) => {
        Variant {
            what: $what,
            faults: |_| vec![FaultRule::forever($at, $fault)],
            ends: $ends,
        }
    };
}

/// All rows.
#[must_use]
pub fn rows() -> Vec<Row> {
    let mut rows = errors();
    rows.extend(pages());
    rows.extend(credentials());
    rows.extend(confirmation());
    rows.sort_by_key(|row| row.number);
    rows
}

fn errors() -> Vec<Row> {
    vec![
        Row {
            number: 1,
            sends: "429, with or without `Retry-After`",
            client: "waited for, as long as it says; the same URL",
            passing: vec![
                once!("with", page(2), Fault::throttled(Some(1)), Ends::AsWithout),
                once!("without", page(3), Fault::throttled(None), Ends::AsWithout),
            ],
            lasting: vec![forever!(
                "without",
                page(3),
                Fault::throttled(None),
                UNAVAILABLE
            )],
        },
        Row {
            number: 2,
            sends: "500, 502, 503, 504, with an empty code, with HTML",
            client: "backed off from; the same URL",
            passing: vec![
                once!(
                    "500",
                    page(1),
                    Fault::status_with(500, ErrorBody::Unknown),
                    Ends::AsWithout
                ),
                once!(
                    "502 with HTML",
                    page(2),
                    Fault::status_with(502, ErrorBody::Html),
                    Ends::AsWithout
                ),
                once!(
                    "503 with an empty code",
                    page(3),
                    Fault::status_with(503, ErrorBody::EmptyCode),
                    Ends::AsWithout
                ),
                once!(
                    "504 with nothing",
                    page(4),
                    Fault::status_with(504, ErrorBody::Empty),
                    Ends::AsWithout
                ),
            ],
            lasting: vec![
                forever!("503", page(3), Fault::status(503), UNAVAILABLE),
                forever!(
                    "HTML",
                    page(1),
                    Fault::status_with(502, ErrorBody::Html),
                    UNAVAILABLE
                ),
            ],
        },
        Row {
            number: 21,
            sends: "reset, closed, cut off, or silent",
            client: "a time limit for each attempt; the same URL",
            passing: vec![
                once!("reset", page(2), Fault::Reset, Ends::AsWithout),
                once!("closed", page(3), Fault::Closed, Ends::AsWithout),
                once!("cut off", page(4), Fault::Broken, Ends::AsWithout),
                once!("slow", page(2), Fault::Delay { ms: 1_000 }, Ends::AsWithout),
            ],
            lasting: vec![
                forever!("reset", page(2), Fault::Reset, UNAVAILABLE),
                forever!("silent", page(3), Fault::Delay { ms: 60_000 }, UNAVAILABLE),
            ],
        },
    ]
}

fn pages() -> Vec<Row> {
    vec![
        Row {
            number: 3,
            sends: "a page token that is expired, not found, invalid",
            client: "the page before once more, for a fresh link; then a new generation from page 1, five at most",
            passing: vec![
                once!(
                    "expired",
                    page(3),
                    Fault::PageToken(PageTokenError::Expired),
                    Ends::AsWithout
                ),
                once!(
                    "not found",
                    page(2),
                    Fault::PageToken(PageTokenError::NotFound),
                    Ends::AsWithout
                ),
                Variant {
                    what: "twice",
                    faults: |_| {
                        let fault = Fault::PageToken(PageTokenError::Invalid);
                        vec![FaultRule::times(page(4), 2, fault)]
                    },
                    ends: Ends::AsWithout,
                },
            ],
            lasting: vec![forever!(
                "expired",
                page(3),
                Fault::PageToken(PageTokenError::Expired),
                UNRELIABLE
            )],
        },
        Row {
            number: 4,
            sends: "a 200 whose body is cut off",
            client: "no page; the same URL",
            passing: vec![once!("once", page(3), Fault::Truncated, Ends::AsWithout)],
            lasting: vec![forever!("always", page(3), Fault::Truncated, UNRELIABLE)],
        },
        Row {
            number: 5,
            sends: "a 200 with an error in the middle of its JSON",
            client: "no page; the same URL",
            passing: vec![once!("once", page(2), Fault::Spliced, Ends::AsWithout)],
            lasting: vec![forever!("always", page(2), Fault::Spliced, UNRELIABLE)],
        },
        Row {
            number: 6,
            sends: "a 200 with an error on top, without `value`, or with a null",
            client: "no page; the same URL",
            passing: vec![
                once!("error", page(1), Fault::ErrorForValue, Ends::AsWithout),
                once!("without", page(2), Fault::NoValue, Ends::AsWithout),
                once!("null", page(4), Fault::NullValue, Ends::AsWithout),
            ],
            lasting: vec![
                forever!("error", page(4), Fault::ErrorForValue, UNRELIABLE),
                forever!("null", page(1), Fault::NullValue, UNRELIABLE),
            ],
        },
        Row {
            number: 7,
            sends: "an empty page with a next link",
            client: "followed",
            passing: vec![once!("once", page(2), Fault::EmptyPage, Ends::AsWithout)],
            lasting: vec![Variant {
                what: "every second page",
                faults: |world| {
                    let paging = world.tenant.paging();
                    world.tenant.set_paging(rollcall_graph_emulator::Paging {
                        empty_every: Some(2),
                        ..paging
                    });
                    Vec::new()
                },
                ends: Ends::AsWithout,
            }],
        },
        Row {
            number: 8,
            sends: "a next link that was followed before",
            client: "a list without an end: the run fails",
            passing: vec![once!(
                "to itself",
                page(3),
                Fault::NextLink(NextLink::Itself),
                UNRELIABLE
            )],
            lasting: vec![forever!(
                "to page 1",
                page(2),
                Fault::NextLink(NextLink::Page(1)),
                UNRELIABLE
            )],
        },
        Row {
            number: 9,
            sends: "a list that ends early, or users left out of it",
            client: "the shrink guard; and whoever is missing is asked for by id",
            passing: vec![
                once!(
                    "ends early",
                    page(2),
                    Fault::NextLink(NextLink::Missing),
                    Ends::Held
                ),
                once!(
                    "left out",
                    page(2),
                    Fault::LeftOut(Who::First(9)),
                    Ends::Waiting
                ),
            ],
            lasting: vec![
                forever!(
                    "ends early",
                    page(2),
                    Fault::NextLink(NextLink::Missing),
                    Ends::Held
                ),
                forever!(
                    "left out",
                    users(),
                    Fault::LeftOut(Who::First(2)),
                    Ends::Waiting
                ),
            ],
        },
        Row {
            number: 10,
            sends: "a user twice",
            client: "the later sighting stands",
            passing: vec![once!(
                "once",
                page(2),
                Fault::Twice(Who::All),
                Ends::AsWithout
            )],
            lasting: vec![forever!(
                "always",
                users(),
                Fault::Twice(Who::All),
                Ends::AsWithout
            )],
        },
        Row {
            number: 11,
            sends: "`accountEnabled` null, or missing",
            client: "unknown: no change; for all of them: the run fails",
            passing: vec![once!(
                "a few",
                page(1),
                Fault::NullAccountEnabled(Who::First(3)),
                Ends::AsWithout
            )],
            lasting: vec![
                forever!(
                    "null for all",
                    users(),
                    Fault::NullAccountEnabled(Who::All),
                    UNRELIABLE
                ),
                forever!(
                    "missing for all",
                    users(),
                    Fault::NoAccountEnabled(Who::All),
                    UNRELIABLE
                ),
            ],
        },
        Row {
            number: 17,
            sends: "a next link or a redirect to another host",
            client: "refused: the bearer stays home",
            passing: vec![once!(
                "link",
                page(2),
                Fault::NextLink(NextLink::Origin("https://graph.example.invalid".into())),
                UNSAFE
            )],
            lasting: vec![
                forever!(
                    "link",
                    page(2),
                    Fault::NextLink(NextLink::Origin("https://graph.example.invalid".into())),
                    UNSAFE
                ),
                forever!(
                    "redirect",
                    page(3),
                    Fault::Redirect {
                        to: "https://graph.example.invalid/users".into()
                    },
                    UNSAFE
                ),
            ],
        },
        Row {
            number: 22,
            sends: "nobody at all, and no next link",
            client: "a tenant that had users does not become empty: the run fails",
            passing: vec![once!("once", page(1), Fault::EmptyEnd, EMPTY)],
            lasting: vec![forever!("always", page(1), Fault::EmptyEnd, EMPTY)],
        },
    ]
}

fn credentials() -> Vec<Row> {
    vec![
        Row {
            number: 12,
            sends: "401 in the middle of a scan",
            client: "one new token; the same URL",
            passing: vec![once!(
                "once",
                page(3),
                Fault::ExpiredBearer,
                Ends::AsWithout
            )],
            lasting: vec![forever!("always", page(3), Fault::ExpiredBearer, REJECTED)],
        },
        Row {
            number: 13,
            sends: "401 with a claims challenge",
            client: "one new token, then the run fails",
            passing: vec![once!(
                "once",
                page(2),
                Fault::ClaimsChallenge,
                Ends::AsWithout
            )],
            lasting: vec![forever!(
                "always",
                page(2),
                Fault::ClaimsChallenge,
                REJECTED
            )],
        },
        Row {
            number: 14,
            sends: "403 `Authorization_RequestDenied`",
            client: "the run fails",
            passing: vec![once!("once", page(2), Fault::Denied, DENIED)],
            lasting: vec![forever!("always", users(), Fault::Denied, DENIED)],
        },
        Row {
            number: 19,
            sends: "429 in plain text, or 5xx, instead of a token",
            client: "backed off from: no word about the credential",
            passing: vec![
                once!("429", token(), Fault::login_throttled(1), Ends::AsWithout),
                once!("503", token(), Fault::login_transient(), Ends::AsWithout),
            ],
            lasting: vec![forever!(
                "503",
                token(),
                Fault::login_transient(),
                UNAVAILABLE
            )],
        },
        Row {
            number: 20,
            sends: "a refusal of the credential",
            client: "the run fails at once, and says what to do",
            passing: vec![once!("once", token(), refusal(), REJECTED)],
            lasting: vec![forever!("always", token(), refusal(), REJECTED)],
        },
    ]
}

fn refusal() -> Fault {
    Fault::status_with(
        401,
        ErrorBody::Login {
            error: "invalid_client",
            aadsts: 7_000_215,
            message: "Invalid client secret provided.",
        },
    )
}

fn confirmation() -> Vec<Row> {
    vec![Row {
        number: 18,
        sends: "404 for a user who is there",
        client: "counts only when a later run is told the same",
        passing: vec![Variant {
            what: "in one run",
            faults: |world| {
                let Some(id) = somebody_who_stays(world) else {
                    return Vec::new();
                };
                let left_out = || Fault::LeftOut(Who::Ids(vec![id]));
                vec![
                    FaultRule::forever(users(), left_out()),
                    FaultRule::forever(Matcher::endpoint(Endpoint::GetByIds), left_out()),
                    FaultRule::forever(
                        Matcher::endpoint(Endpoint::BatchItem).user(id),
                        Fault::NotFound,
                    ),
                ]
            },
            ends: Ends::Waiting,
        }],
        lasting: Vec::new(),
    }]
}

/// An enabled user whom the day of changes leaves alone.
fn somebody_who_stays(world: &World) -> Option<Uuid> {
    let directory = world.tenant.directory();
    let mut enabled = directory
        .users()
        .filter(|user| user.account_enabled == Some(true));
    enabled.next().map(|user| user.id)
}
