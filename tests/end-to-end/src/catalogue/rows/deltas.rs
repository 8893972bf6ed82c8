//! The rows about what a delta tells, and what it does not know any more.

use rollcall_graph_emulator::Paging;

use super::fault;
use crate::catalogue::{Ends, Row, Variant};

pub(super) fn deltas() -> Vec<Row> {
    vec![
        Row {
            number: 15,
            sends: "a delta token that is lost: 410, `syncStateNotFound`, `resync…`",
            client: "the link is dropped, and the run goes on as a full one",
            passing: vec![
                fault!(
                    "400 syncStateNotFound",
                    "delta once: sync-state not-found",
                    Ends::AsWithout
                ),
                fault!(
                    "410 resyncRequired",
                    "delta once: sync-state resync",
                    Ends::AsWithout
                ),
                fault!(
                    "410 resyncApplyDifferences",
                    "delta once: sync-state apply-differences",
                    Ends::AsWithout
                ),
                fault!("410 alone", "delta once: sync-state bare", Ends::AsWithout),
            ],
            lasting: vec![fault!(
                "every delta",
                "delta always: sync-state resync",
                Ends::AsWithout
            )],
        },
        Row {
            number: 16,
            sends: "a delta that does not tell a property",
            client: "it stays as it is stored",
            passing: vec![Variant {
                what: "a user in two parts",
                faults: |world| {
                    world.tenant.set_paging(Paging {
                        delta_disorder: true,
                        ..world.tenant.paging()
                    });
                    String::new()
                },
                ends: Ends::AsWithout,
            }],
            lasting: vec![Variant {
                what: "only what changed",
                faults: |world| {
                    world.tenant.set_paging(Paging {
                        delta_sparse: true,
                        delta_disorder: true,
                        delta_page_size_max: 4,
                        ..world.tenant.paging()
                    });
                    String::new()
                },
                ends: Ends::AsWithout,
            }],
        },
    ]
}
