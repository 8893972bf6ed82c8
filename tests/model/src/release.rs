//! What of an approved plan is carried out: an approval is no evidence, so Graph is asked again about
//! everybody of the plan, by the functions of `rollcall-core`.

use rollcall_core::batch::BatchState;
use rollcall_core::evidence::{
    Answers, AnswersAnew, Evidence, Existence, RequestId, Resolution, StreakRule, Told, resolve,
    stands,
};
use rollcall_core::plan::Plan as CorePlan;
use rollcall_core::proof::CompletenessProof;
use rollcall_core::run::RunState;
use rollcall_core::status::Reason;

use crate::Protocol;
use crate::actions::Luck;
use crate::conditions::takes_a_plan;
use crate::mutation::Mutation;
use crate::people::Who;
use crate::state::{
    Batch, BatchAt, Content, Entry, Invocation, Lease, PAGES, Plan, Run, State, Step,
};

impl Protocol {
    /// Asks, and drops from the plan whom nothing speaks against any more. What Graph says here is so:
    /// nobody can tell a lie about somebody from his having changed.
    pub(crate) fn ask_anew(&self, state: &State, number: u8, plan: Plan) -> Option<Plan> {
        if self.is_broken(Mutation::NobodyIsAskedAnew) {
            return Some(plan);
        }
        let approved = self.read_back(number, plan)?;
        let mut answers = AnswersAnew::default();
        for entry in approved.entries() {
            let who = self.facts.who(entry.id())?;
            let (id, request) = (entry.id().clone(), RequestId::default());
            if state.is_there(who) {
                let what = self.facts.user(who, state.is_disabled(who)).clone();
                answers.alive.insert(id, Told { what, request });
            } else {
                let what = Existence::NotFound;
                answers.by_id.insert(id, Told { what, request });
            }
        }
        let entries = approved.entries().iter();
        let evidence: Vec<_> = entries
            .filter_map(|entry| stands(entry, &answers, &self.facts.scope))
            .collect();
        let entries = self.entries(&approved.released(&evidence))?;
        Some(Plan { entries, ..plan })
    }

    /// Stores what is carried out, once.
    pub(crate) fn store_released(
        &self,
        state: &mut State,
        me: &Invocation,
        plan: Plan,
    ) -> Option<Step> {
        let run = self.leased(state, me)?;
        if !takes_a_plan(run.state) || run.released.is_some() {
            return None;
        }
        run.released = Some(plan);
        Some(Step::Guard)
    }

    /// The plan as the core has it. Only evidence makes one: so it is made once more, over pages that
    /// show those who were seen, and from answers that do not find the others.
    fn read_back(&self, number: u8, plan: Plan) -> Option<CorePlan> {
        let proof = self.prove(&seen(plan), number, Luck::Truth)?;
        let mut evidence = Vec::new();
        for who in Who::ALL {
            if let Some(entry) = plan.entries[who.place()] {
                evidence.push((self.evidence(&proof, who, entry)?, entry.version.into()));
            }
        }
        Some(CorePlan::new(&proof, evidence))
    }

    fn evidence(&self, proof: &CompletenessProof, who: Who, entry: Entry) -> Option<Evidence> {
        let id = self.facts.id(who);
        if entry.reason != Reason::NotFound {
            let seen = (1..=PAGES).find(|page| Who::on_page(*page) == Some(who))?;
            let at = BatchAt {
                generation: 1,
                page: seen,
            };
            return Evidence::from_candidate(proof, &self.candidate(at)?, &RequestId::default());
        }
        let told = Told {
            what: Existence::NotFound,
            request: RequestId::default(),
        };
        let answers = Answers {
            by_id: [(id.clone(), told)].into(),
            ..Answers::default()
        };
        let rule = StreakRule {
            run: 1,
            last_proven_run: None,
            confirmed_by: 1,
        };
        match resolve(&proof.absence(id)?, &answers, None, rule) {
            Resolution::Evident(evidence) => Some(evidence),
            _ => None,
        }
    }
}

/// A run that saw all but those whom the plan has as not found.
fn seen(plan: Plan) -> Run {
    let mut run = Run {
        state: RunState::Finalizing,
        ..Run::STARTED
    };
    for page in 1..=PAGES {
        let entry = |who: Who| plan.entries[who.place()];
        let who = Who::on_page(page)
            .filter(|who| entry(*who).is_none_or(|it| it.reason != Reason::NotFound));
        let content = Content {
            shows: who.is_some(),
            changed: who.is_some(),
            disabled: who.and_then(entry).is_some(),
            last: page == PAGES,
        };
        *run.slot(BatchAt {
            generation: 1,
            page,
        }) = Some(Batch {
            state: BatchState::Done,
            content,
            previous: run.last,
            counted: Some(content.sightings()),
            candidate: content.disabled,
            lease: Lease::default(),
        });
        run.last_page = page;
        run.last = Some(content);
        run.sightings += content.sightings();
    }
    run
}
