//! Evidence: what has to be in hand before anybody is switched off.
//!
//! An [`Evidence`] is made in this module alone, from a completeness proof and either a sighting
//! that shows the cause or answers that were asked for by id. Absence alone makes none.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::ids::ObjectId;
use crate::plan::Deactivation;
use crate::proof::{Absence, CompletenessProof};
use crate::reconcile::Candidate;
use crate::scope::Scope;
use crate::status::Reason;
use crate::user::GraphUser;

#[path = "left.rs"]
mod left;

pub use left::{Leaver, Membership};

/// Why one user may be switched off. The fields are private: see the module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence {
    id: ObjectId,
    reason: Reason,
    detail: String,
}

impl Evidence {
    /// Who.
    #[must_use]
    pub fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// What was seen, for the log and the history: no names.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// From a worker's candidate, if its sighting is the id's last one: a user who was seen again
    /// later on is judged by that later sighting. That somebody is deleted takes a page that says
    /// so itself, by `@removed`; that somebody left the groups is no sighting, but a [`Leaver`].
    /// `request` is what the page came by.
    #[must_use]
    pub fn from_candidate(
        proof: &CompletenessProof,
        candidate: &Candidate,
        request: &RequestId,
    ) -> Option<Self> {
        let (by_sighting, how) = match candidate.reason {
            Reason::OutOfScope if candidate.by_groups => (false, ""),
            Reason::Disabled | Reason::OutOfScope => (!proof.is_removed(&candidate.id), "seen"),
            Reason::Deleted => (proof.is_removed(&candidate.id), "removed"),
            Reason::NotFound | Reason::Present | Reason::Manual => (false, ""),
        };
        let is_last = proof.last_sighting(&candidate.id) == Some(candidate.order);
        (by_sighting && is_last).then(|| Self {
            id: candidate.id.clone(),
            reason: candidate.reason,
            detail: format!(
                "{how} at {}/{}/{}, request {request}",
                candidate.order.generation, candidate.order.page, candidate.order.index
            ),
        })
    }
}

/// What Graph said of one id that was asked for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existence {
    /// There is such a user.
    Found,
    /// 404 with the code `Request_ResourceNotFound`.
    NotFound,
}

/// Microsoft's id of the request that an answer came to, for a support case: Microsoft finds it in
/// its logs.
/// <https://learn.microsoft.com/graph/best-practices-concept#reliability-and-support>
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestId(Option<Arc<str>>);

impl From<Option<String>> for RequestId {
    fn from(id: Option<String>) -> Self {
        Self(id.map(Arc::from))
    }
}

impl RequestId {
    /// As text, if the answer had one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str().unwrap_or("unknown"))
    }
}

/// What Graph said, and in which answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<T> {
    /// What it said.
    pub what: T,
    /// The answer.
    pub request: RequestId,
}

/// Graph's answers about the absent, each kind asked for by id.
#[derive(Debug, Default)]
pub struct Answers {
    /// Given by `getByIds`. Who is left out of it is not thereby gone.
    pub alive: BTreeMap<ObjectId, RequestId>,
    /// Listed in `deletedItems`.
    pub deleted: BTreeMap<ObjectId, RequestId>,
    /// The single look-ups; an id that is missing here was not asked, or not answered.
    pub by_id: BTreeMap<ObjectId, Told<Existence>>,
}

impl Answers {
    /// The answer that has somebody, if one has.
    #[must_use]
    pub fn found(&self, id: &ObjectId) -> Option<&RequestId> {
        let by_id = self.by_id.get(id);
        let by_id = by_id.filter(|it| it.what == Existence::Found);
        by_id.map(|it| &it.request).or_else(|| self.alive.get(id))
    }
}

/// Graph's answers about everybody of an approved plan, each kind asked for by id.
#[derive(Debug, Default)]
pub struct AnswersAnew {
    /// Given by `getByIds`, each with what it says of him now.
    pub alive: BTreeMap<ObjectId, Told<GraphUser>>,
    /// Listed in `deletedItems`.
    pub deleted: BTreeMap<ObjectId, RequestId>,
    /// The single look-ups of those who are not alive.
    pub by_id: BTreeMap<ObjectId, Told<Existence>>,
}

impl AnswersAnew {
    /// What speaks against somebody for this reason, if it still does.
    fn against(&self, id: &ObjectId, reason: Reason, scope: &Scope) -> Option<String> {
        let alive = self.alive.get(id);
        match reason {
            Reason::Disabled => alive
                .filter(|it| it.what.account_enabled == Some(false))
                .map(|it| format!("disabled, request {}", it.request)),
            Reason::OutOfScope => alive
                .filter(|it| scope.contains(&it.what) == Some(false))
                .map(|it| format!("out of scope, request {}", it.request)),
            Reason::Deleted | Reason::NotFound if alive.is_none() => self.gone(id),
            Reason::Deleted | Reason::NotFound | Reason::Present | Reason::Manual => None,
        }
    }

    /// In the bin, or not found by id. Who was restored a moment ago may still be listed in the bin.
    fn gone(&self, id: &ObjectId) -> Option<String> {
        let by_id = self.by_id.get(id);
        if by_id.is_some_and(|it| it.what == Existence::Found) {
            return None;
        }
        let deleted = self.deleted.get(id);
        deleted
            .map(|request| format!("listed in deletedItems, request {request}"))
            .or_else(|| by_id.map(|it| format!("not found by id, request {}", it.request)))
    }
}

/// The evidence against somebody of an approved plan, taken anew; `None` if Graph does not say so
/// any more, or does not answer: an approval is no evidence.
#[must_use]
pub fn stands(entry: &Deactivation, answers: &AnswersAnew, scope: &Scope) -> Option<Evidence> {
    let anew = answers.against(entry.id(), entry.reason(), scope)?;
    Some(Evidence {
        id: entry.id().clone(),
        reason: entry.reason(),
        detail: format!("{}; when approved: {anew}", entry.detail()),
    })
}

/// The completed full runs in a row, up to the last one, that did not find an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streak {
    /// The last run that recorded it, proven or not.
    pub run: u64,
    /// How many in a row.
    pub runs: u32,
    /// The proven run before it and its count: what stands if `run` is never proven.
    pub proven: Option<(u64, u32)>,
}

/// How streaks are judged.
#[derive(Debug, Clone, Copy)]
pub struct StreakRule {
    /// This run.
    pub run: u64,
    /// The last full run that was proven and completed; a streak that does not reach it is broken.
    pub last_proven_run: Option<u64>,
    /// How many runs have to agree.
    pub confirmed_by: u32,
}

impl StreakRule {
    /// The streak after this run, too, did not find the id.
    #[must_use]
    pub fn extend(&self, before: Option<Streak>) -> Streak {
        if let Some(streak) = before.filter(|streak| streak.run == self.run && streak.runs > 0) {
            // This run recorded it already, before it was interrupted.
            return streak;
        }
        let proven = before.and_then(|streak| self.proven(streak));
        Streak {
            run: self.run,
            runs: proven.map_or(1, |(_, runs)| runs + 1),
            proven,
        }
    }

    /// The streak after this run saw the user: broken, whether or not the run is proven in the end.
    #[must_use]
    pub fn reset(&self) -> Streak {
        Streak {
            run: self.run,
            runs: 0,
            proven: None,
        }
    }

    /// What the last proven run recorded, if it recorded anything.
    fn proven(&self, streak: Streak) -> Option<(u64, u32)> {
        let recorded = [Some((streak.run, streak.runs)), streak.proven];
        recorded
            .into_iter()
            .flatten()
            .find(|(run, runs)| Some(*run) == self.last_proven_run && *runs > 0)
    }
}

/// What becomes of somebody who was not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// He may be switched off.
    Evident(Evidence),
    /// He is there, by this answer: the scan was wrong about him. He stays.
    Contradicted(RequestId),
    /// Not found, but too few runs have said so. He stays, and the streak is recorded.
    Awaiting(Streak, RequestId),
    /// Graph gave no answer about him. He stays, and nothing is recorded.
    Unanswered,
}

/// Judges one absence by Graph's answers.
#[must_use]
pub fn resolve(
    absence: &Absence,
    answers: &Answers,
    streak: Option<Streak>,
    rule: StreakRule,
) -> Resolution {
    let id = absence.id();
    let evidence = |reason, detail: String| {
        Resolution::Evident(Evidence {
            id: id.clone(),
            reason,
            detail,
        })
    };
    if let Some(request) = answers.found(id) {
        return Resolution::Contradicted(request.clone());
    }
    if let Some(request) = answers.deleted.get(id) {
        let detail = format!("listed in deletedItems, request {request}");
        return evidence(Reason::Deleted, detail);
    }
    match answers.by_id.get(id) {
        Some(Told {
            what: Existence::NotFound,
            request,
        }) => {
            let streak = rule.extend(streak);
            if streak.runs >= rule.confirmed_by {
                let runs = streak.runs;
                let detail = format!("not found by id in {runs} complete runs, request {request}");
                evidence(Reason::NotFound, detail)
            } else {
                Resolution::Awaiting(streak, request.clone())
            }
        }
        _ => Resolution::Unanswered,
    }
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
