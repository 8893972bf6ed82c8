//! The rows, in the order of the catalogue.

mod deltas;
mod pages;

use rollcall_core::run::FailReason;

use super::{Ends, Row, Variant};
use crate::World;
use uuid::Uuid;

const UNAVAILABLE: Ends = Ends::Failed(FailReason::GraphUnavailable);
const UNRELIABLE: Ends = Ends::Failed(FailReason::EnumerationUnreliable);
const DENIED: Ends = Ends::Failed(FailReason::GraphDenied);
const REJECTED: Ends = Ends::Failed(FailReason::CredentialRejected);
const UNSAFE: Ends = Ends::Failed(FailReason::UnsafeLink);
const EMPTY: Ends = Ends::Failed(FailReason::EmptyEnumeration);

/// A form of a fault that is a script of one rule.
macro_rules! fault {
    ($what:literal, $script:literal, $ends:expr) => {
        Variant {
            what: $what,
            faults: |_| $script.to_owned(),
            ends: $ends,
        }
    };
}

use fault;

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
                fault!(
                    "with",
                    "users page 2 once: status 429 after 1",
                    Ends::AsWithout
                ),
                fault!("without", "users page 3 once: status 429", Ends::AsWithout),
            ],
            lasting: vec![fault!(
                "without",
                "users page 3 always: status 429",
                UNAVAILABLE
            )],
        },
        Row {
            number: 2,
            sends: "500, 502, 503, 504, with an empty code, with HTML",
            client: "backed off from; the same URL",
            passing: vec![
                fault!(
                    "500",
                    "users page 1 once: status 500 unknown",
                    Ends::AsWithout
                ),
                fault!(
                    "502 with HTML",
                    "users page 2 once: status 502 html",
                    Ends::AsWithout
                ),
                fault!(
                    "503 with an empty code",
                    "users page 3 once: status 503 empty-code",
                    Ends::AsWithout
                ),
                fault!(
                    "504 with nothing",
                    "users page 4 once: status 504 empty",
                    Ends::AsWithout
                ),
            ],
            lasting: vec![
                fault!("503", "users page 3 always: status 503", UNAVAILABLE),
                fault!("HTML", "users page 1 always: status 502 html", UNAVAILABLE),
            ],
        },
        Row {
            number: 21,
            sends: "reset, closed, cut off, or silent",
            client: "a time limit for each attempt; the same URL",
            passing: vec![
                fault!("reset", "users page 2 once: reset", Ends::AsWithout),
                fault!("closed", "users page 3 once: closed", Ends::AsWithout),
                fault!("cut off", "users page 4 once: broken", Ends::AsWithout),
                fault!("slow", "users page 2 once: delay 1000", Ends::AsWithout),
            ],
            lasting: vec![
                fault!("reset", "users page 2 always: reset", UNAVAILABLE),
                fault!("silent", "users page 3 always: delay 60000", UNAVAILABLE),
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
            passing: vec![fault!(
                "once",
                "users page 3 once: expired-bearer",
                Ends::AsWithout
            )],
            lasting: vec![fault!(
                "always",
                "users page 3 always: expired-bearer",
                REJECTED
            )],
        },
        Row {
            number: 13,
            sends: "401 with a claims challenge",
            client: "one new token, asked for with the claims; then the run fails",
            passing: vec![fault!(
                "once",
                "users page 2 once: claims-challenge",
                Ends::AsWithout
            )],
            lasting: vec![fault!(
                "always",
                "users page 2 always: claims-challenge",
                REJECTED
            )],
        },
        Row {
            number: 14,
            sends: "403 `Authorization_RequestDenied`",
            client: "the run fails",
            passing: vec![fault!("once", "users page 2 once: denied", DENIED)],
            lasting: vec![fault!("always", "users always: denied", DENIED)],
        },
        Row {
            number: 19,
            sends: "429 in plain text, or 5xx, instead of a token",
            client: "backed off from: no word about the credential",
            passing: vec![
                fault!(
                    "429",
                    "token once: status 429 after 1 plain",
                    Ends::AsWithout
                ),
                fault!("503", "token once: status 503 login 90033", Ends::AsWithout),
            ],
            lasting: vec![fault!(
                "503",
                "token always: status 503 login 90033",
                UNAVAILABLE
            )],
        },
        Row {
            number: 20,
            sends: "a refusal of the credential",
            client: "the run fails at once, and says what to do",
            passing: vec![fault!(
                "once",
                "token once: status 401 login 7000215",
                REJECTED
            )],
            lasting: vec![fault!(
                "always",
                "token always: status 401 login 7000215",
                REJECTED
            )],
        },
    ]
}

fn confirmation() -> Vec<Row> {
    vec![Row {
        number: 18,
        sends: "404 for a user who is there",
        client: "counts only when a later run is told the same",
        passing: vec![Variant {
            what: "in one run",
            faults: |world| {
                let id = somebody_who_stays(world).unwrap_or_default();
                format!(
                    "users always: left-out ids {id}\n\
                     get-by-ids always: left-out ids {id}\n\
                     batch-item user {id} always: not-found"
                )
            },
            ends: Ends::Waiting,
        }],
        lasting: vec![fault!(
            "for everybody",
            "batch-item always: not-found",
            UNRELIABLE
        )],
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
