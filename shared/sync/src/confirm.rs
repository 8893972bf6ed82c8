//! Asking Graph, by id, about everybody whom a complete enumeration did not show.

use std::collections::BTreeSet;

use rollcall_core::evidence::{Answers, Existence};
use rollcall_core::ids::ObjectId;
use rollcall_core::proof::Absence;
use rollcall_core::run::FailReason;
use rollcall_graph::GraphClient;

use crate::error::Stop;

/// How many users known to be there are asked for beside the absent: one who is not found shows
/// that the answers are wrong about everybody.
pub(crate) const CANARIES_MAX: usize = 3;

/// How many absent users one run asks for one by one, 20 a request. The others stay on, and are
/// asked for by the next run; so many absences are a hold in any case.
const ASKED_BY_ID_MAX: usize = 20_000;

/// Asks three ways: in bulk who is alive, in the bin who was deleted, and one by one about the rest.
///
/// # Errors
/// Fails the run when a canary is missing, or Graph does not answer.
pub(crate) async fn ask(
    graph: &GraphClient,
    absences: &[Absence],
    canaries: &[ObjectId],
) -> Result<Answers, Stop> {
    if absences.is_empty() {
        return Ok(Answers::default());
    }
    let absent: Vec<_> = absences
        .iter()
        .map(|absence| absence.id().clone())
        .collect();
    let asked: Vec<_> = absent.iter().chain(canaries).cloned().collect();
    let alive: BTreeSet<_> = graph.get_by_ids(&asked).await?.into_keys().collect();
    if let Some(missing) = canaries.iter().find(|canary| !alive.contains(*canary)) {
        return Err(Stop::Fail(
            FailReason::EnumerationUnreliable,
            format!(
                "user {missing}, who was enumerated a moment ago, is not found by id: the tenant, \
                 the permission or the replica is wrong"
            ),
        ));
    }
    let rest: BTreeSet<_> = absent
        .into_iter()
        .filter(|id| !alive.contains(id))
        .collect();
    let deleted = if rest.is_empty() {
        BTreeSet::new()
    } else {
        graph.deleted_users(&rest).await?
    };
    let unexplained: Vec<_> = rest
        .difference(&deleted)
        .take(ASKED_BY_ID_MAX)
        .cloned()
        .collect();
    let by_id = if unexplained.is_empty() {
        std::collections::BTreeMap::new()
    } else {
        graph
            .users_by_id(&unexplained)
            .await?
            .into_iter()
            .map(|(id, existence)| match existence {
                rollcall_graph::Existence::Found { .. } => (id, Existence::Found),
                rollcall_graph::Existence::NotFound => (id, Existence::NotFound),
            })
            .collect()
    };
    Ok(Answers {
        alive,
        deleted,
        by_id,
    })
}
