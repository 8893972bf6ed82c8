//! The rows about what a delta tells, and what it does not know any more.

use rollcall_graph_emulator::{Endpoint, Fault, FaultRule, Matcher, Paging, SyncStateError};

use super::{forever, once};
use crate::catalogue::{Ends, Row, Variant};

pub(super) fn deltas() -> Vec<Row> {
    vec![
        Row {
            number: 15,
            sends: "a delta token that is lost: 410, `syncStateNotFound`, `resync…`",
            client: "the link is dropped, and the run goes on as a full one",
            passing: vec![
                once!(
                    "400 syncStateNotFound",
                    delta(),
                    Fault::SyncState(SyncStateError::NotFound),
                    Ends::AsWithout
                ),
                once!(
                    "410 resyncRequired",
                    delta(),
                    Fault::SyncState(SyncStateError::Resync),
                    Ends::AsWithout
                ),
                once!(
                    "410 resyncApplyDifferences",
                    delta(),
                    Fault::SyncState(SyncStateError::ApplyDifferences),
                    Ends::AsWithout
                ),
                once!(
                    "410 alone",
                    delta(),
                    Fault::SyncState(SyncStateError::Bare),
                    Ends::AsWithout
                ),
            ],
            lasting: vec![forever!(
                "every delta",
                delta(),
                Fault::SyncState(SyncStateError::Resync),
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
                    Vec::new()
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
                    Vec::new()
                },
                ends: Ends::AsWithout,
            }],
        },
    ]
}

fn delta() -> Matcher {
    Matcher::endpoint(Endpoint::Delta)
}
