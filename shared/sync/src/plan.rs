//! Making the plan: the proof, the finalizer's own view of the directory, the evidence.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_core::batch::BatchState;
use rollcall_core::counts::{ChangeCounts, DeactivatedBy};
use rollcall_core::evidence::{
    Answers, Evidence, RequestId, Resolution, Streak, StreakRule, resolve,
};
use rollcall_core::guard::PlanNumbers;
use rollcall_core::ids::{IdKey, ObjectId, RunRef};
use rollcall_core::plan::Plan;
use rollcall_core::proof::{Absence, CompletenessProof, NotProven, Sightings, prove};
use rollcall_core::run::{FailReason, RunMode};
use rollcall_core::settings::TenantSettings;
use rollcall_core::status::{LastChange, Reason};
use rollcall_graph::GraphClient;
use rollcall_store::{BatchRecord, Head, RunLease, RunRecord, RunTotals, StoreError, StoredPlan};
use tracing::{info, warn};

use crate::app::App;
use crate::confirm::{Asked, Questions, ask};
use crate::error::Stop;
use crate::finalize::sealed;
use crate::keep::while_kept;
use crate::members::leavers;
use crate::view::View;

/// What was judged about the absent.
#[derive(Default)]
struct Judged {
    evidence: Vec<Evidence>,
    streaks: Vec<(ObjectId, Streak)>,
    back: BTreeMap<ObjectId, RequestId>,
    unanswered: BTreeSet<ObjectId>,
    contradicted: u64,
    awaiting: u64,
}

impl App {
    /// Proves, confirms, and stores the plan.
    pub(crate) async fn make_plan(
        &self,
        lease: &RunLease,
        record: &RunRecord,
        settings: &TenantSettings,
        head: &Head,
        graph: &mut Option<GraphClient>,
    ) -> Result<StoredPlan, Stop> {
        let run = lease.run();
        let begun_at_ms = self.ambient.now_ms();
        let batches = while_kept(&self.store, lease, self.store.batches(run, None)).await??;
        let proving = self.prove(record, &batches);
        let proof = while_kept(&self.store, lease, proving).await??;
        info!(event = "run_proven", tenant = %run.tenant, run = run.run,
            token = lease.token(), generation = record.generation, pages = proof.seal().pages,
            sightings = proof.seal().sightings, users_seen = proof.users_seen(),
            took_ms = self.since_ms(begun_at_ms));
        let candidates = candidates(&proof, &batches);
        let leavers = leavers(&proof, &batches);
        let members = self.members_left((lease, record), &leavers).await?;
        let may_go = (candidates.as_slice(), leavers.len());
        let viewing = self.view(&proof, members.as_ref(), may_go, settings);
        let view = while_kept(&self.store, lease, viewing).await??;
        if record.mode == RunMode::Full && view.known > 0 && view.known_seen == 0 {
            return Err(Stop::Fail(
                FailReason::EnumerationUnreliable,
                format!("none of the {} known active users was seen", view.known),
            ));
        }
        // The plan is made even when the shrink guard will hold it: a hold names a plan, and what
        // Graph says of the absent is what the person who decides needs.
        let mut judged = self
            .judge(
                lease,
                settings,
                (record, head),
                &proof,
                &view,
                &candidates,
                graph,
            )
            .await?;
        let left = self
            .judge_leavers((lease, record), settings, &leavers, &view.listed, graph)
            .await?;
        judged.contradicted += left.contradicted;
        judged.awaiting += left.unanswered;
        let mut evidence = std::mem::take(&mut judged.evidence);
        evidence.extend(left.evidence);
        evidence.extend(
            candidates
                .into_iter()
                .filter(|candidate| !judged.back.contains_key(candidate.id()))
                .filter(|candidate| !judged.unanswered.contains(candidate.id())),
        );
        let due = self.at_their_versions(lease, evidence).await?;
        let plan = Plan::new(&proof, due.entries);
        let revoked = while_kept(&self.store, lease, self.by_revoked(run, &batches)).await??;
        let stored = StoredPlan {
            numbers: PlanNumbers {
                users_seen: proof.users_seen(),
                // A delta run sees those who changed, and does not shrink by it.
                users_seen_before: head.last_full_seen.filter(|_| record.mode == RunMode::Full),
                active: view.active,
                deactivations: plan.entries().len() as u64,
                whole_domain: view.whole_domain(&due.domains),
                off_in_window: head
                    .window
                    .sum(self.ambient.now_ms(), settings.guards.window_days),
            },
            totals: totals(record, &batches, &proof, &judged, revoked),
            canaries: view.canaries_of(&plan),
            plan,
        };
        let by = by_reason(&stored.plan);
        info!(event = "plan_made", tenant = %run.tenant, run = run.run, token = lease.token(),
            plan = %stored.plan.hash(), deactivations = stored.numbers.deactivations,
            disabled = by.disabled, deleted = by.deleted, not_found = by.not_found,
            out_of_scope = by.out_of_scope, active = view.active,
            users_seen = proof.users_seen(), users_seen_before = stored.numbers.users_seen_before,
            absent = view.absences.len(), contradicted = judged.contradicted,
            awaiting_confirmation = judged.awaiting, took_ms = self.since_ms(begun_at_ms));
        match self
            .store
            .store_plan(
                lease,
                &stored,
                record.settings_revision,
                (record.mode, head),
            )
            .await
        {
            Ok(()) => {
                let held = head.held().into_iter();
                for held in held.filter(|_| record.mode == RunMode::Full) {
                    info!(event = "hold_superseded", tenant = %run.tenant, run = held,
                        by_run = run.run);
                }
                Ok(stored)
            }
            Err(error) => Err(settings_changed(error)),
        }
    }

    /// Reads every page of the run and proves that the sealed generation is whole.
    async fn prove(
        &self,
        record: &RunRecord,
        batches: &[BatchRecord],
    ) -> Result<CompletenessProof, Stop> {
        let run = &record.run;
        let candidates = batches.iter().flat_map(|batch| &batch.result.candidates);
        let mut sightings = Sightings::new(candidates.map(|it| IdKey::of(run, &it.id)));
        let mut facts = Vec::new();
        for batch in batches {
            let page = self
                .store
                .page(run, batch.generation, batch.page, &batch.digest)
                .await?;
            if batch.generation == record.generation {
                let fact = batch.fact();
                sightings.add_sealed(run, &fact, batch.digest.clone(), &page);
                facts.push(fact);
            } else {
                sightings.add_earlier(run, batch.generation, batch.page, &page);
            }
        }
        prove(run.clone(), sealed(record)?, &facts, sightings).map_err(|problem| match problem {
            NotProven::Incomplete(detail) => Stop::Fail(FailReason::Incomplete, detail),
            // It was closed before this step began, and a batch never opens again.
            NotProven::Open { .. } => Stop::Fail(FailReason::Incomplete, problem.to_string()),
        })
    }

    /// What the workers of revoked batches wrote before they lost them: such a batch reports nothing,
    /// and whoever saw its users later left them to it.
    async fn by_revoked(
        &self,
        run: &RunRef,
        batches: &[BatchRecord],
    ) -> Result<ChangeCounts, StoreError> {
        let mut counts = ChangeCounts::default();
        for batch in batches.iter().filter(|it| it.state == BatchState::Revoked) {
            let at = (batch.generation, batch.page);
            let page = self.store.page(run, at.0, at.1, &batch.digest).await?;
            let ids: BTreeSet<_> = page.changed.iter().map(|it| it.user.id().clone()).collect();
            let ids: Vec<_> = ids.into_iter().collect();
            for user in self.store.users(&run.tenant, &ids).await? {
                let by_it = |last: &LastChange| last.run == run.run && last.counted_by == at;
                if let Some(last) = user.last_change.filter(by_it) {
                    counts.count(last.kind);
                }
            }
        }
        Ok(counts)
    }

    /// Asks about the absent, and about the disabled, those out of scope and the removed; and records the streaks.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one of the things that the judgement rests on"
    )]
    async fn judge(
        &self,
        lease: &RunLease,
        settings: &TenantSettings,
        (record, head): (&RunRecord, &Head),
        proof: &CompletenessProof,
        view: &View,
        candidates: &[Evidence],
        graph: &mut Option<GraphClient>,
    ) -> Result<Judged, Stop> {
        let run = lease.run();
        let reading = self.store.streaks(&run.tenant);
        let streaks = while_kept(&self.store, lease, reading).await??;
        let seen_as = |reason| {
            let candidates = candidates.iter().filter(move |it| it.reason() == reason);
            candidates.map(|it| it.id().clone()).collect::<Vec<_>>()
        };
        let removed = seen_as(Reason::Deleted);
        let questions = Questions {
            absences: &view.absences,
            disabled: &seen_as(Reason::Disabled),
            outside: &seen_as(Reason::OutOfScope),
            scope: &settings.scope,
            removed: &removed,
            canaries: &view.canaries,
            untold: if removed.is_empty() {
                &[]
            } else {
                &view.untold
            },
        };
        let asked = if questions.are_none() {
            Asked::default()
        } else {
            let client = self.graph_client(settings, record)?;
            let asking = ask(graph.insert(client), &questions);
            while_kept(&self.store, lease, asking).await??
        };
        let rule = StreakRule {
            run: run.run,
            last_proven_run: head.last_full_run,
            confirmed_by: settings.guards.absences_confirmed_by,
        };
        let mut judged = judge_all(lease, &view.absences, &asked.answers, &streaks, rule);
        for (id, request) in &asked.back {
            info!(event = "candidate_contradicted", tenant = %run.tenant, run = run.run, %id,
                graph_request_id = %request);
        }
        judged.back = asked.back;
        judged.contradicted += judged.back.len() as u64;
        for id in &asked.unanswered {
            info!(event = "candidate_unanswered", tenant = %run.tenant, run = run.run, %id);
        }
        judged.unanswered = asked.unanswered;
        judged.awaiting += judged.unanswered.len() as u64;
        if judged.contradicted > 0 {
            warn!(event = "scan_was_wrong", tenant = %run.tenant, run = run.run,
                contradicted = judged.contradicted, absent = view.absences.len());
        }
        // Any sighting breaks a streak, and so does being found alive by id.
        let is_there = |id: &ObjectId| proof.saw(id) || asked.answers.found(id).is_some();
        let broken = streaks
            .iter()
            .filter(|(id, streak)| streak.runs > 0 && is_there(id))
            .map(|(id, _)| (id.clone(), rule.reset()));
        judged.streaks.extend(broken);
        let recording = self.store.record_streaks(lease, &judged.streaks);
        while_kept(&self.store, lease, recording).await??;
        Ok(judged)
    }
}

fn by_reason(plan: &Plan) -> DeactivatedBy {
    let mut by = DeactivatedBy::default();
    for entry in plan.entries() {
        by.count(entry.reason());
    }
    by
}

/// A plan that could not be stored since the settings are others by now fails its run.
pub(crate) fn settings_changed(error: StoreError) -> Stop {
    match error {
        StoreError::Changed {
            what: "the tenant's settings",
        } => Stop::Fail(
            FailReason::SettingsChanged,
            "the tenant's settings changed while the run was under way".into(),
        ),
        error => error.into(),
    }
}

fn judge_all(
    lease: &RunLease,
    absences: &[Absence],
    answers: &Answers,
    streaks: &BTreeMap<ObjectId, Streak>,
    rule: StreakRule,
) -> Judged {
    let run = lease.run();
    let mut judged = Judged::default();
    for absence in absences {
        let id = absence.id();
        match resolve(absence, answers, streaks.get(id).copied(), rule) {
            Resolution::Evident(evidence) => {
                if evidence.reason() == Reason::NotFound {
                    judged
                        .streaks
                        .push((id.clone(), rule.extend(streaks.get(id).copied())));
                }
                judged.evidence.push(evidence);
            }
            Resolution::Contradicted(request) => {
                info!(event = "absence_contradicted", tenant = %run.tenant, run = run.run, %id,
                    graph_request_id = %request);
                judged.contradicted += 1;
            }
            Resolution::Awaiting(streak, request) => {
                info!(event = "absence_awaits", tenant = %run.tenant, run = run.run, %id,
                    runs = streak.runs, graph_request_id = %request);
                judged.streaks.push((id.clone(), streak));
                judged.awaiting += 1;
            }
            Resolution::Unanswered => {
                info!(event = "absence_unanswered", tenant = %run.tenant, run = run.run, %id);
                judged.awaiting += 1;
            }
        }
    }
    judged
}

/// The workers' candidates, as far as each is its id's last sighting.
fn candidates(proof: &CompletenessProof, batches: &[BatchRecord]) -> Vec<Evidence> {
    batches
        .iter()
        .flat_map(|batch| batch.result.candidates.iter().map(move |it| (batch, it)))
        .filter_map(|(batch, candidate)| Evidence::from_candidate(proof, candidate, &batch.request))
        .collect()
}

fn totals(
    record: &RunRecord,
    batches: &[BatchRecord],
    proof: &CompletenessProof,
    judged: &Judged,
    revoked: ChangeCounts,
) -> RunTotals {
    let mut totals = RunTotals {
        users_seen: proof.users_seen(),
        changes: revoked,
        ..RunTotals::default()
    };
    for batch in batches {
        totals.changes.add(batch.result.changes);
        totals.workers.read_units += batch.usage.capacity.read_units;
        totals.workers.write_units += batch.usage.capacity.write_units;
        if batch.generation == record.generation {
            totals.batches += 1;
            totals.kept.unknown += batch.result.unknown;
        }
    }
    totals.kept.contradicted = judged.contradicted;
    totals.kept.awaiting_confirmation = judged.awaiting;
    totals
}
