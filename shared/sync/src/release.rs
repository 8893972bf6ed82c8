//! What a person decides about a held plan, and what of an approved one is carried out: an approval
//! is no evidence, so Graph is asked again about everybody of the plan.

use std::collections::{BTreeSet, HashSet};

use rollcall_core::evidence::{AnswersAnew, Evidence, Existence, Told, stands};
use rollcall_core::guard::PlanNumbers;
use rollcall_core::ids::{ObjectId, RunRef};
use rollcall_core::run::FailReason;
use rollcall_core::scope::Scope;
use rollcall_core::settings::TenantSettings;
use rollcall_core::status::Reason;
use rollcall_graph::GraphClient;
use rollcall_store::{Ruled, RunLease, RunRecord, Store, StoreError, StoredPlan};
use tracing::{info, warn};

use crate::app::App;
use crate::confirm::{ASKED_BY_ID_MAX, existence, some_found};
use crate::error::{HandlerError, Stop};
use crate::keep::while_kept;
use crate::members::check_canaries;
use crate::plan::settings_changed;

/// Drops a held plan. `by` is who did: it is kept with the run, and is in no log.
///
/// # Errors
/// [`StoreError`] as DynamoDB answers.
pub async fn reject(store: &Store, run: &RunRef, by: &str) -> Result<Ruled, StoreError> {
    let ruled = store.reject_hold(run, by).await?;
    if ruled == Ruled::Done {
        info!(event = "hold_rejected", tenant = %run.tenant, run = run.run);
    }
    Ok(ruled)
}

impl App {
    /// Releases exactly this held plan, and rings the finalizer for it. `by` is who approved: it is
    /// kept with the run, and is in no log.
    ///
    /// # Errors
    /// [`HandlerError`] when the store or the queue does not answer; a run that was approved, and not
    /// rung for, is found by the sweeper.
    pub async fn approve(&self, run: &RunRef, plan: &str, by: &str) -> Result<Ruled, HandlerError> {
        let ruled = self.store.approve_hold(run, plan, by).await?;
        if ruled == Ruled::Done {
            info!(event = "hold_approved", tenant = %run.tenant, run = run.run, plan);
            self.doorbell.finalize(run).await?;
        }
        Ok(ruled)
    }

    /// What of the approved plan is carried out: made once, and read back from then on.
    pub(crate) async fn release(
        &self,
        lease: &RunLease,
        record: &RunRecord,
        settings: &TenantSettings,
        approved: StoredPlan,
        graph: &mut Option<GraphClient>,
    ) -> Result<StoredPlan, Stop> {
        let run = lease.run();
        if let Some(released) = self.store.released(run).await? {
            return Ok(released);
        }
        let waited_with = record.held.as_ref().map(|held| held.plan.as_str());
        if waited_with != Some(approved.plan.hash().as_str()) {
            let detail = "the plan that is stored is not the one that was approved";
            return Err(Stop::Fail(FailReason::Incomplete, detail.into()));
        }
        let evidence = self
            .evidence_anew(lease, record, settings, &approved, graph)
            .await?;
        let plan = approved.plan.released(&evidence);
        let stays = (approved.plan.entries().len() - plan.entries().len()) as u64;
        let mut totals = approved.totals;
        totals.kept.contradicted += stays;
        let released = StoredPlan {
            numbers: PlanNumbers {
                deactivations: plan.entries().len() as u64,
                ..approved.numbers
            },
            totals,
            canaries: approved.canaries,
            plan,
        };
        info!(event = "plan_released", tenant = %run.tenant, run = run.run, token = lease.token(),
            plan = %released.plan.hash(), deactivations = released.numbers.deactivations, stays);
        let storing = self
            .store
            .store_released(lease, &released, record.settings_revision);
        match storing.await {
            Ok(()) => Ok(released),
            Err(error) => Err(settings_changed(error)),
        }
    }

    async fn evidence_anew(
        &self,
        lease: &RunLease,
        record: &RunRecord,
        settings: &TenantSettings,
        approved: &StoredPlan,
        graph: &mut Option<GraphClient>,
    ) -> Result<Vec<Evidence>, Stop> {
        let run = lease.run();
        let entries = approved.plan.entries();
        let ids: Vec<_> = entries.iter().map(|it| it.id().clone()).collect();
        let out_of_scope = entries
            .iter()
            .filter(|it| it.reason() == Reason::OutOfScope);
        let out_of_scope: Vec<_> = out_of_scope.map(|it| it.id().clone()).collect();
        let client = self.graph_client(settings, record)?;
        let scope = &settings.scope;
        let of = (ids.as_slice(), out_of_scope.as_slice());
        let asking = ask_anew(graph.insert(client), scope, of, &approved.canaries);
        let answers = while_kept(&self.store, lease, asking).await??;
        let mut evidence = Vec::with_capacity(ids.len());
        for entry in approved.plan.entries() {
            match stands(entry, &answers, &settings.scope) {
                Some(anew) => evidence.push(anew),
                None => warn!(event = "evidence_gone", tenant = %run.tenant, run = run.run,
                    id = %entry.id(), reason = %entry.reason()),
            }
        }
        Ok(evidence)
    }
}

/// Asks about everybody of a plan, and about some who were seen beside them. They were seen when the
/// plan was made, which may be weeks ago, and one may have left since; if Graph finds none of them, its
/// answers are about another tenant, or the permission is lost.
async fn ask_anew(
    graph: &GraphClient,
    scope: &Scope,
    (ids, out_of_scope): (&[ObjectId], &[ObjectId]),
    canaries: &[ObjectId],
) -> Result<AnswersAnew, Stop> {
    let asked: Vec<_> = ids.iter().chain(canaries).cloned().collect();
    let mut alive = graph.get_by_ids(&asked).await?;
    some_found(canaries, |id| alive.contains_key(id))?;
    // Where nobody's leaving the scope is said, nobody's groups decide: it would be a question for each of a plan
    // of any size, and there is one function's time for all of them.
    let of_groups: HashSet<_> = canaries.iter().chain(out_of_scope).collect();
    let users = alive.iter_mut().filter(|(id, _)| of_groups.contains(id));
    graph
        .note_groups(scope, users.map(|(_, it)| &mut it.what), canaries)
        .await?;
    let in_groups = |id: &ObjectId| alive.get(id).and_then(|it| it.what.in_groups);
    if out_of_scope.iter().any(|id| in_groups(id) == Some(false)) {
        check_canaries(canaries, |id| in_groups(id) == Some(true))?;
    }
    let rest: BTreeSet<_> = ids
        .iter()
        .filter(|id| !alive.contains_key(id))
        .cloned()
        .collect();
    let mut answers = AnswersAnew {
        alive,
        ..AnswersAnew::default()
    };
    if rest.is_empty() {
        return Ok(answers);
    }
    answers.deleted = graph.deleted_users(&rest).await?;
    let one_by_one: Vec<_> = rest.into_iter().take(ASKED_BY_ID_MAX).collect();
    let asked: Vec<_> = one_by_one.iter().chain(canaries).cloned().collect();
    let by_id = graph.users_by_id(&asked).await?;
    let by_id = by_id.into_iter().map(|(id, told)| {
        let (what, request) = (existence(told.what), told.request);
        (id, Told { what, request })
    });
    answers.by_id = by_id.collect();
    some_found(canaries, |id| {
        let told = answers.by_id.get(id);
        told.is_some_and(|it| it.what == Existence::Found)
    })?;
    Ok(answers)
}
