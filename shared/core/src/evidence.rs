//! Evidence: what has to be in hand before anybody is switched off.
//!
//! An [`Evidence`] is made in this module alone, from a completeness proof and either a sighting
//! that shows the cause or answers that were asked for by id. Absence alone makes none.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::ObjectId;
use crate::proof::{Absence, CompletenessProof};
use crate::reconcile::Candidate;
use crate::status::Reason;

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
    /// so itself, by `@removed`.
    #[must_use]
    pub fn from_candidate(proof: &CompletenessProof, candidate: &Candidate) -> Option<Self> {
        let (by_sighting, how) = match candidate.reason {
            Reason::Disabled | Reason::OutOfScope => (!proof.is_removed(&candidate.id), "seen"),
            Reason::Deleted => (proof.is_removed(&candidate.id), "removed"),
            Reason::NotFound | Reason::Present | Reason::Manual => (false, ""),
        };
        let is_last = proof.last_sighting(&candidate.id) == Some(candidate.order);
        (by_sighting && is_last).then(|| Self {
            id: candidate.id.clone(),
            reason: candidate.reason,
            detail: format!(
                "{how} at {}/{}/{}",
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

/// Graph's answers about the absent, each kind asked for by id.
#[derive(Debug, Default)]
pub struct Answers {
    /// Given by `getByIds`. Who is left out of it is not thereby gone.
    pub alive: BTreeSet<ObjectId>,
    /// Listed in `deletedItems`.
    pub deleted: BTreeSet<ObjectId>,
    /// The single look-ups; an id that is missing here was not asked, or not answered.
    pub by_id: BTreeMap<ObjectId, Existence>,
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
    /// He is there: the scan was wrong about him. He stays.
    Contradicted,
    /// Not found, but too few runs have said so. He stays, and the streak is recorded.
    Awaiting(Streak),
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
    let found = answers.by_id.get(id) == Some(&Existence::Found);
    if answers.alive.contains(id) || found {
        return Resolution::Contradicted;
    }
    if answers.deleted.contains(id) {
        return evidence(Reason::Deleted, "listed in deletedItems".into());
    }
    match answers.by_id.get(id) {
        Some(Existence::NotFound) => {
            let streak = rule.extend(streak);
            if streak.runs >= rule.confirmed_by {
                evidence(
                    Reason::NotFound,
                    format!("not found by id in {} complete runs", streak.runs),
                )
            } else {
                Resolution::Awaiting(streak)
            }
        }
        _ => Resolution::Unanswered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::{DeltaUser, Removal};
    use crate::page::{ChangedSighting, PagePayload, Sighted};
    use crate::proof::{Seal, Sightings, prove};
    use crate::run::RunMode;
    use crate::testing::{chain, id, order, payload_of, run};

    const RULE: StreakRule = StreakRule {
        run: 7,
        last_proven_run: Some(6),
        confirmed_by: 2,
    };

    fn proof(payloads: &[PagePayload]) -> CompletenessProof {
        let batches = chain(payloads);
        let seal = Seal {
            mode: RunMode::Full,
            generation: 1,
            pages: u32::try_from(payloads.len()).unwrap(),
            sightings: payloads.iter().map(PagePayload::sightings).sum(),
            last_digest: batches.last().unwrap().digest.clone(),
            earlier_pages: 0,
        };
        let mut sightings = Sightings::new();
        for (batch, payload) in batches.iter().zip(payloads) {
            sightings.add_sealed(&run(), batch, batch.digest.clone(), payload);
        }
        prove(run(), seal, &batches, sightings).unwrap()
    }

    fn absence() -> Absence {
        proof(&[payload_of(&["seen"])])
            .absence(&id("gone"))
            .unwrap()
    }

    fn not_found() -> Answers {
        Answers {
            by_id: BTreeMap::from([(id("gone"), Existence::NotFound)]),
            ..Answers::default()
        }
    }

    #[test]
    fn absence_alone_is_no_evidence() {
        let resolution = resolve(&absence(), &Answers::default(), None, RULE);
        assert_eq!(resolution, Resolution::Unanswered);
    }

    #[test]
    fn found_alive_contradicts_whatever_else_was_said() {
        let answers = Answers {
            alive: BTreeSet::from([id("gone")]),
            deleted: BTreeSet::from([id("gone")]),
            ..not_found()
        };
        assert_eq!(
            resolve(&absence(), &answers, None, RULE),
            Resolution::Contradicted
        );
        let by_id = Answers {
            by_id: BTreeMap::from([(id("gone"), Existence::Found)]),
            deleted: BTreeSet::from([id("gone")]),
            ..Answers::default()
        };
        assert_eq!(
            resolve(&absence(), &by_id, None, RULE),
            Resolution::Contradicted
        );
    }

    #[test]
    fn listed_as_deleted_is_evidence_at_once() {
        let answers = Answers {
            deleted: BTreeSet::from([id("gone")]),
            ..Answers::default()
        };
        let Resolution::Evident(evidence) = resolve(&absence(), &answers, None, RULE) else {
            panic!("no evidence");
        };
        assert_eq!(evidence.reason(), Reason::Deleted);
    }

    #[test]
    fn not_found_counts_only_when_the_last_proven_run_said_so_too() {
        let judge = |streak| resolve(&absence(), &not_found(), streak, RULE);
        let streak = |run, runs, proven| Streak { run, runs, proven };
        let first = streak(7, 1, None);
        assert_eq!(judge(None), Resolution::Awaiting(first));
        // Run 5 recorded it, but run 6, the last proven one, saw the user.
        let broken = Some(streak(5, 1, None));
        assert_eq!(judge(broken), Resolution::Awaiting(first));
        // A run saw the user after run 6 did not, and was never proven.
        assert_eq!(judge(Some(streak(6, 0, None))), Resolution::Awaiting(first));
        // This very run recorded it, was interrupted, and asks again.
        assert_eq!(judge(Some(first)), Resolution::Awaiting(first));
        let agreed = judge(Some(streak(6, 1, None)));
        let Resolution::Evident(evidence) = agreed else {
            panic!("no evidence");
        };
        assert_eq!(evidence.reason(), Reason::NotFound);
    }

    #[test]
    fn a_run_that_was_never_proven_neither_counts_nor_breaks_a_streak() {
        // Run 6 was proven; run 7 found the same, and was held. Run 8 counts from run 6.
        let rule = |run| StreakRule { run, ..RULE };
        let by_six = Streak {
            run: 6,
            runs: 1,
            proven: None,
        };
        let by_seven = rule(7).extend(Some(by_six));
        assert_eq!(by_seven.runs, 2);
        assert_eq!(rule(8).extend(Some(by_seven)).runs, 2);
        // Run 7 saw the user, and was held: run 8 begins anew.
        assert_eq!(rule(8).extend(Some(rule(7).reset())).runs, 1);
    }

    #[test]
    fn a_candidate_that_is_not_the_last_sighting_of_its_id_is_dropped() {
        let proof = proof(&[payload_of(&["a", "b"]), payload_of(&["a"])]);
        let candidate = |name: &str, page, index| Candidate {
            id: id(name),
            reason: Reason::Disabled,
            order: order(1, page, index),
        };
        assert!(Evidence::from_candidate(&proof, &candidate("b", 1, 1)).is_some());
        assert!(Evidence::from_candidate(&proof, &candidate("a", 1, 0)).is_none());
        assert!(Evidence::from_candidate(&proof, &candidate("a", 2, 0)).is_some());
        assert!(Evidence::from_candidate(&proof, &candidate("never", 1, 0)).is_none());
    }

    fn told(name: &str, removed: Option<Removal>) -> Sighted {
        Sighted::Part(DeltaUser {
            removed,
            ..DeltaUser::new(id(name))
        })
    }

    fn page_of(users: Vec<Sighted>) -> PagePayload {
        let changed = (0..).zip(users).map(|(index, user)| ChangedSighting {
            index,
            again: false,
            user,
        });
        PagePayload {
            changed: changed.collect(),
            ..payload_of(&[])
        }
    }

    #[test]
    fn that_somebody_is_deleted_takes_a_page_whose_last_word_it_is() {
        let removed = || told("a", Some(Removal::Bin));
        let candidate = |page| Candidate {
            id: id("a"),
            reason: Reason::Deleted,
            order: order(1, page, 0),
        };
        let gone = proof(&[page_of(vec![told("a", None)]), page_of(vec![removed()])]);
        let evidence = Evidence::from_candidate(&gone, &candidate(2)).unwrap();
        assert_eq!(evidence.reason(), Reason::Deleted);
        assert!(Evidence::from_candidate(&gone, &candidate(1)).is_none());
        let back = proof(&[page_of(vec![removed()]), page_of(vec![told("a", None)])]);
        assert!(Evidence::from_candidate(&back, &candidate(1)).is_none());
        assert!(Evidence::from_candidate(&back, &candidate(2)).is_none());
        // Whoever is removed is neither seen nor absent: there is a word on him.
        let proof = proof(&[page_of(vec![removed()])]);
        assert!(!proof.saw(&id("a")) && proof.absence(&id("a")).is_none());
        assert_eq!(proof.users_seen(), 0);
        let disabled = Candidate {
            reason: Reason::Disabled,
            ..candidate(1)
        };
        assert!(Evidence::from_candidate(&proof, &disabled).is_none());
    }

    #[test]
    fn a_candidate_never_carries_a_cause_that_takes_a_look_up() {
        let proof = proof(&[payload_of(&["a"])]);
        for reason in [
            Reason::Deleted,
            Reason::NotFound,
            Reason::Present,
            Reason::Manual,
        ] {
            let candidate = Candidate {
                id: id("a"),
                reason,
                order: order(1, 1, 0),
            };
            assert!(Evidence::from_candidate(&proof, &candidate).is_none());
        }
    }
}
