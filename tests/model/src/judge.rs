//! The proof, the evidence and the plan, by the functions of `rollcall-core`.

use rollcall_core::batch::BatchState;
use rollcall_core::evidence::{
    Answers, Evidence, Existence, RequestId, Resolution, Streak, StreakRule, Told, resolve,
};
use rollcall_core::ids::IdKey;
use rollcall_core::page::{ChangedSighting, NextPage, PageDigest, PagePayload};
use rollcall_core::plan::Plan as CorePlan;
use rollcall_core::proof::{Absence, BatchFact, CompletenessProof, Seal, Sightings, prove};
use rollcall_core::reconcile::Candidate;
use rollcall_core::run::{RunEvent, RunMode};
use rollcall_core::status::{Reason, Status};

use crate::Protocol;
use crate::actions::Luck;
use crate::mutation::Mutation;
use crate::people::{StreakMark, Who, small};
use crate::state::{Batch, BatchAt, Content, Entries, Entry, Plan, Run, State};

/// A streak to record of each, by place.
type Streaks = [Option<StreakMark>; Who::ALL.len()];

/// The content stands for the digest: two pages with the same content are the same page.
fn digest(at: BatchAt, content: Content) -> PageDigest {
    PageDigest::from_stored(format!("{}: {content:?}", at.page))
}

fn fact(at: BatchAt, batch: &Batch) -> BatchFact {
    let before = BatchAt {
        page: at.page.saturating_sub(1),
        ..at
    };
    BatchFact {
        generation: at.generation.into(),
        page: at.page.into(),
        state: batch.state,
        digest: digest(at, batch.content),
        previous: batch.previous.map(|content| digest(before, content)),
        sightings: batch.content.sightings().into(),
        counted: batch.counted.map(u64::from),
    }
}

impl Protocol {
    /// What the proof is made from: the seal of the run, and the batches of its generation, which a
    /// lie may have cut.
    pub(crate) fn read_batches(&self, run: &Run, luck: Luck) -> (Option<Seal>, Vec<BatchFact>) {
        let mut batches: Vec<_> = run
            .current_batches()
            .map(|(at, batch)| fact(at, batch))
            .collect();
        if let Luck::ListCut(to) = luck {
            batches.truncate(to.into());
        }
        let end = BatchAt {
            generation: run.generation,
            page: run.last_page,
        };
        let is_sealed = !RunEvent::Seal.from_states().contains(&run.state);
        let seal = run.last.filter(|_| is_sealed).map(|last| Seal {
            mode: RunMode::Full,
            generation: run.generation.into(),
            pages: run.last_page.into(),
            sightings: run.sightings.into(),
            last_digest: digest(end, last),
            earlier_pages: earlier_pages(run),
        });
        if self.is_broken(Mutation::CountsAreNotCompared) {
            for batch in &mut batches {
                batch.counted = batch.counted.and(Some(batch.sightings));
            }
        }
        if self.is_broken(Mutation::NoProof)
            || (batches.is_empty() && self.is_broken(Mutation::EmptyListIsNobody))
        {
            return believed(run, batches);
        }
        (seal, batches)
    }

    /// Proves, asks, judges; `None` when there is no proof.
    pub(crate) fn judge(&self, state: &State, number: u8, luck: Luck) -> Option<(Plan, Streaks)> {
        let run = state.run(number)?;
        let proof = self.prove(run, number, luck)?;
        let candidates: Vec<_> = run
            .all_batches()
            .filter(|(_, batch)| batch.candidate)
            .filter_map(|(at, _)| self.candidate(at))
            .filter_map(|candidate| {
                Evidence::from_candidate(&proof, &candidate, &RequestId::default())
            })
            .collect();
        let active = |who: &Who| state.people[who.place()].status == Status::Active;
        let absences: Vec<_> = Who::ALL
            .into_iter()
            .filter(active)
            .filter_map(|who| proof.absence(self.facts.id(who)))
            .collect();
        let answers = self.ask(state, &absences, luck);
        let (mut evidence, streaks) = self.resolve(state, number, &proof, &absences, &answers);
        evidence.extend(candidates);
        let due = evidence.into_iter().filter_map(|evidence| {
            let who = self.facts.who(evidence.id())?;
            let version = state.people[who.place()].version;
            active(&who).then_some((evidence, version.into()))
        });
        let plan = CorePlan::new(&proof, due.collect());
        let plan = Plan {
            entries: self.entries(&plan)?,
            users_seen: small(proof.users_seen()),
            active: small(Who::ALL.iter().filter(|who| active(who)).map(|_| 1).sum()),
        };
        Some((plan, streaks))
    }

    /// Whom a plan names, by place.
    pub(crate) fn entries(&self, plan: &CorePlan) -> Option<Entries> {
        let mut entries = Entries::default();
        for entry in plan.entries() {
            let who = self.facts.who(entry.id())?;
            entries[who.place()] = Some(Entry {
                reason: entry.reason(),
                version: small(entry.version()),
            });
        }
        Some(entries)
    }

    pub(crate) fn prove(&self, run: &Run, number: u8, luck: Luck) -> Option<CompletenessProof> {
        let (seal, batches) = self.read_batches(run, luck);
        let of_run = self.facts.run(number);
        let mut sightings =
            Sightings::new(Who::ALL.map(|who| IdKey::of(of_run, self.facts.id(who))));
        for (at, batch) in run.all_batches() {
            let payload = self.payload(number, at, batch.content);
            if at.generation != run.generation {
                let generation = at.generation.into();
                sightings.add_earlier(of_run, generation, at.page.into(), &payload);
            }
        }
        for fact in &batches {
            let at = BatchAt {
                generation: small(fact.generation.into()),
                page: small(fact.page.into()),
            };
            let payload = match run.batch(at) {
                Some(batch) if fact.sightings > 0 => self.payload(number, at, batch.content),
                _ => PagePayload::empty(NextPage::END),
            };
            sightings.add_sealed(of_run, fact, fact.digest.clone(), &payload);
        }
        prove(of_run.clone(), seal?, &batches, sightings).ok()
    }

    /// A page as it is stored.
    fn payload(&self, run: u8, at: BatchAt, content: Content) -> PagePayload {
        let mut payload = PagePayload::empty(if content.last {
            NextPage::END
        } else {
            NextPage::Users("next".into())
        });
        if let Some(who) = Who::on_page(at.page).filter(|_| content.shows) {
            if content.changed {
                payload.changed.push(ChangedSighting {
                    index: 0,
                    again: false,
                    is_new: false,
                    user: self.facts.user(who, content.disabled).clone().into(),
                });
            } else {
                let key = IdKey::of(self.facts.run(run), self.facts.id(who));
                payload.seen.push(key.seen_key());
            }
        }
        payload
    }

    pub(crate) fn candidate(&self, at: BatchAt) -> Option<Candidate> {
        Some(Candidate {
            id: self.facts.id(Who::on_page(at.page)?).clone(),
            reason: Reason::Disabled,
            order: at.order(),
            by_groups: false,
        })
    }

    /// What Graph says of the absent, when it is asked by id.
    fn ask(&self, state: &State, absences: &[Absence], luck: Luck) -> Answers {
        let absent = || absences.iter().map(|absence| absence.id().clone());
        if self.is_broken(Mutation::AbsenceIsEvidence) {
            return Answers {
                deleted: absent().map(|id| (id, RequestId::default())).collect(),
                ..Answers::default()
            };
        }
        let mut answers = Answers::default();
        for id in absent() {
            let request = RequestId::default();
            let is_there = self.facts.who(&id).is_some_and(|who| state.is_there(who));
            if is_there && luck != Luck::NotFound {
                answers.alive.insert(id, request);
            } else {
                let what = Existence::NotFound;
                answers.by_id.insert(id, Told { what, request });
            }
        }
        answers
    }

    /// The evidence about the absent, and the streaks to record. Any sighting breaks a streak, and so
    /// does being found alive by id.
    fn resolve(
        &self,
        state: &State,
        number: u8,
        proof: &CompletenessProof,
        absences: &[Absence],
        answers: &Answers,
    ) -> (Vec<Evidence>, Streaks) {
        let confirmed_by = if self.is_broken(Mutation::OneRunIsEnough) {
            1
        } else {
            self.world.guards.absences_confirmed_by
        };
        let rule = StreakRule {
            run: number.into(),
            last_proven_run: state.head.last_full.map(|(run, _)| run.into()),
            confirmed_by,
        };
        let streak_of = |who: Who| state.people[who.place()].streak.map(StreakMark::streak);
        let mut streaks: [Option<Streak>; Who::ALL.len()] = [None; Who::ALL.len()];
        let mut evidence = Vec::new();
        for absence in absences {
            let Some(who) = self.facts.who(absence.id()) else {
                continue;
            };
            match resolve(absence, answers, streak_of(who), rule) {
                Resolution::Evident(evident) => {
                    if evident.reason() == Reason::NotFound {
                        streaks[who.place()] = Some(rule.extend(streak_of(who)));
                    }
                    evidence.push(evident);
                }
                Resolution::Awaiting(streak, _) => streaks[who.place()] = Some(streak),
                Resolution::Contradicted(_) | Resolution::Unanswered => {}
            }
        }
        for who in Who::ALL {
            let id = self.facts.id(who);
            let is_there = proof.absence(id).is_none() || answers.found(id).is_some();
            if is_there && streak_of(who).is_some_and(|streak| streak.runs > 0) {
                streaks[who.place()] = Some(rule.reset());
            }
        }
        (evidence, streaks.map(|streak| streak.map(StreakMark::of)))
    }
}

/// The broken finalizer's belief: these are all the batches there are, and they are done. No batch
/// at all is an enumeration of nobody.
fn believed(run: &Run, mut batches: Vec<BatchFact>) -> (Option<Seal>, Vec<BatchFact>) {
    if batches.is_empty() {
        batches.push(BatchFact {
            generation: run.generation.into(),
            page: 1,
            state: BatchState::Done,
            digest: PageDigest::from_stored("nobody".into()),
            previous: None,
            sightings: 0,
            counted: Some(0),
        });
    }
    for batch in &mut batches {
        batch.state = BatchState::Done;
        batch.counted = Some(batch.sightings);
    }
    let seal = batches.last().map(|last| Seal {
        mode: RunMode::Full,
        generation: run.generation.into(),
        pages: last.page,
        sightings: batches.iter().map(|batch| batch.sightings).sum(),
        last_digest: last.digest.clone(),
        earlier_pages: earlier_pages(run),
    });
    (seal, batches)
}

fn earlier_pages(run: &Run) -> u32 {
    let earlier = run
        .all_batches()
        .filter(|(at, _)| at.generation != run.generation);
    earlier.map(|_| 1).sum()
}
