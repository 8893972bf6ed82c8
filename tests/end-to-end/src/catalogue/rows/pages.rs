//! The rows about what a page of users holds, lacks, and leads to.

use rollcall_graph_emulator::{Fault, FaultRule, NextLink, PageTokenError, Paging, Who};

use super::{EMPTY, UNRELIABLE, UNSAFE, forever, once, page, users};
use crate::catalogue::{Ends, Row, Variant};

pub(super) fn pages() -> Vec<Row> {
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
                    world.tenant.set_paging(Paging {
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
