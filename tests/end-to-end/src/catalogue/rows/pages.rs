//! The rows about what a page of users holds, lacks, and leads to.

use rollcall_graph_emulator::Paging;

use super::{EMPTY, UNRELIABLE, UNSAFE, fault};
use crate::catalogue::{Ends, Row, Variant};

pub(super) fn pages() -> Vec<Row> {
    vec![
        Row {
            number: 3,
            sends: "a page token that is expired, not found, invalid",
            client: "the page before once more, for a fresh link; then a new generation from page 1, five at most",
            passing: vec![
                fault!(
                    "expired",
                    "users page 3 once: page-token expired",
                    Ends::AsWithout
                ),
                fault!(
                    "not found",
                    "users page 2 once: page-token not-found",
                    Ends::AsWithout
                ),
                fault!(
                    "twice",
                    "users page 4 2 times: page-token invalid",
                    Ends::AsWithout
                ),
            ],
            lasting: vec![fault!(
                "expired",
                "users page 3 always: page-token expired",
                UNRELIABLE
            )],
        },
        Row {
            number: 4,
            sends: "a 200 whose body is cut off",
            client: "no page; the same URL",
            passing: vec![fault!(
                "once",
                "users page 3 once: truncated",
                Ends::AsWithout
            )],
            lasting: vec![fault!(
                "always",
                "users page 3 always: truncated",
                UNRELIABLE
            )],
        },
        Row {
            number: 5,
            sends: "a 200 with an error in the middle of its JSON",
            client: "no page; the same URL, then a new generation in smaller pages",
            passing: vec![
                fault!("once", "users page 2 once: spliced", Ends::AsWithout),
                fault!(
                    "until it is given up",
                    "users from 2 5 times: spliced",
                    Ends::AsWithout
                ),
            ],
            lasting: vec![fault!("always", "users page 2 always: spliced", UNRELIABLE)],
        },
        Row {
            number: 6,
            sends: "a 200 with an error on top, without `value`, or with a null",
            client: "no page; the same URL",
            passing: vec![
                fault!(
                    "error",
                    "users page 1 once: error-for-value",
                    Ends::AsWithout
                ),
                fault!("without", "users page 2 once: no-value", Ends::AsWithout),
                fault!("null", "users page 4 once: null-value", Ends::AsWithout),
            ],
            lasting: vec![
                fault!("error", "users page 4 always: error-for-value", UNRELIABLE),
                fault!("null", "users page 1 always: null-value", UNRELIABLE),
            ],
        },
        Row {
            number: 7,
            sends: "an empty page with a next link",
            client: "followed; a thousand in a row are a chain that goes nowhere",
            passing: vec![fault!(
                "once",
                "users page 2 once: empty-page",
                Ends::AsWithout
            )],
            lasting: vec![
                Variant {
                    what: "every second page",
                    faults: |world| {
                        let paging = world.tenant.paging();
                        world.tenant.set_paging(Paging {
                            empty_every: Some(2),
                            ..paging
                        });
                        String::new()
                    },
                    ends: Ends::AsWithout,
                },
                fault!("without end", "users from 2 always: empty-page", UNRELIABLE),
            ],
        },
        Row {
            number: 8,
            sends: "a next link that was followed before",
            client: "a list without an end: the run fails",
            passing: vec![fault!(
                "to itself",
                "users page 3 once: next-link itself",
                UNRELIABLE
            )],
            lasting: vec![fault!(
                "to page 1",
                "users page 2 always: next-link page 1",
                UNRELIABLE
            )],
        },
        Row {
            number: 9,
            sends: "a list that ends early, or users left out of it",
            client: "the shrink guard; and whoever is missing is asked for by id",
            passing: vec![
                fault!(
                    "ends early",
                    "users page 2 once: next-link missing",
                    Ends::Held
                ),
                fault!(
                    "left out",
                    "users page 2 once: left-out first 9",
                    Ends::Waiting
                ),
            ],
            lasting: vec![
                fault!(
                    "ends early",
                    "users page 2 always: next-link missing",
                    Ends::Held
                ),
                fault!("left out", "users always: left-out first 2", Ends::Waiting),
            ],
        },
        Row {
            number: 10,
            sends: "a user twice",
            client: "the later sighting stands",
            passing: vec![fault!(
                "once",
                "users page 2 once: twice all",
                Ends::AsWithout
            )],
            lasting: vec![fault!("always", "users always: twice all", Ends::AsWithout)],
        },
        Row {
            number: 11,
            sends: "`accountEnabled` null, or missing",
            client: "unknown: no change; for all of them: the run fails",
            passing: vec![fault!(
                "a few",
                "users page 1 once: null-enabled first 3",
                Ends::AsWithout
            )],
            lasting: vec![
                fault!("null for all", "users always: null-enabled all", UNRELIABLE),
                fault!(
                    "missing for all",
                    "users always: no-enabled all",
                    UNRELIABLE
                ),
            ],
        },
        Row {
            number: 17,
            sends: "a next link or a redirect to another host",
            client: "refused: the bearer stays home",
            passing: vec![fault!(
                "link",
                "users page 2 once: next-link to https://graph.example.invalid",
                UNSAFE
            )],
            lasting: vec![
                fault!(
                    "link",
                    "users page 2 always: next-link to https://graph.example.invalid",
                    UNSAFE
                ),
                fault!(
                    "redirect",
                    "users page 3 always: redirect https://graph.example.invalid/users",
                    UNSAFE
                ),
            ],
        },
        Row {
            number: 22,
            sends: "nobody at all, and no next link",
            client: "a tenant that had users does not become empty: the run fails",
            passing: vec![fault!("once", "users page 1 once: empty-end", EMPTY)],
            lasting: vec![fault!("always", "users page 1 always: empty-end", EMPTY)],
        },
    ]
}
