//! The rows, in the order of the catalogue.

mod deltas;
mod pages;

use rollcall_core::run::FailReason;
use rollcall_graph_emulator::{Endpoint, ErrorBody, Fault, FaultRule, Matcher, Who};

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

use {forever, once};

/// All rows.
#[must_use]
pub fn rows() -> Vec<Row> {
    let mut rows = errors();
    rows.extend(pages::pages());
    rows.extend(deltas::deltas());
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
