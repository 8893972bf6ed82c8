//! Who left the groups of the scope. Not to stand in a list of members is an absence like any other,
//! and no evidence: whoever would go for it is asked about by id.

use super::{Evidence, RequestId, Resolution, Told};
use crate::ids::ObjectId;
use crate::proof::CompletenessProof;
use crate::reconcile::Candidate;
use crate::status::{Reason, SightingOrder};

/// What Graph said when it was asked, by id, in which of the scope's groups a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// In one of them at least.
    In,
    /// In none.
    Out,
    /// There is no such user (any more): nothing is said about groups.
    NoUser,
}

/// Somebody who, by his last sighting, is in none of the scope's groups, and would belong otherwise.
/// It is a question to ask by id, not evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaver {
    id: ObjectId,
    order: SightingOrder,
    request: RequestId,
}

impl Leaver {
    /// From a worker's candidate, if its sighting is the id's last one. `request` is what the page
    /// came by.
    #[must_use]
    pub fn of(
        proof: &CompletenessProof,
        candidate: &Candidate,
        request: &RequestId,
    ) -> Option<Self> {
        let by_groups = candidate.by_groups && candidate.reason == Reason::OutOfScope;
        let is_last = proof.last_sighting(&candidate.id) == Some(candidate.order);
        (by_groups && is_last && !proof.is_removed(&candidate.id)).then(|| Self {
            id: candidate.id.clone(),
            order: candidate.order,
            request: request.clone(),
        })
    }

    /// Who.
    #[must_use]
    pub fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Judges by what Graph said of him. Only that he is in none of the groups is evidence.
    #[must_use]
    pub fn resolve(&self, told: Option<&Told<Membership>>) -> Resolution {
        let Some(Told { what, request }) = told else {
            return Resolution::Unanswered;
        };
        match what {
            Membership::In => Resolution::Contradicted(request.clone()),
            Membership::NoUser => Resolution::Unanswered,
            Membership::Out => Resolution::Evident(Evidence {
                id: self.id.clone(),
                reason: Reason::OutOfScope,
                detail: format!(
                    "seen at {}/{}/{}, request {}; in none of the scope's groups by id, request \
                     {request}",
                    self.order.generation, self.order.page, self.order.index, self.request
                ),
            }),
        }
    }
}

#[cfg(test)]
#[path = "left_tests.rs"]
mod tests;
