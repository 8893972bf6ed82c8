//! The groups of a tenant's scope: who is in them, read once a run before its first page; and, by id,
//! whether those are out of them who would go for it.

use rollcall_core::evidence::{Evidence, Leaver, Membership, Resolution};
use rollcall_core::ids::ObjectId;
use rollcall_core::members::Members;
use rollcall_core::proof::CompletenessProof;
use rollcall_core::run::FailReason;
use rollcall_core::settings::TenantSettings;
use rollcall_graph::{CHECKED_GROUPS_MAX, GraphClient};
use rollcall_store::{BatchRecord, RunLease, RunRecord};
use tracing::{info, warn};

use crate::app::App;
use crate::confirm::ASKED_BY_ID_MAX;
use crate::enumerate::Used;
use crate::error::Stop;
use crate::keep::while_kept;

/// What was judged about those who left the groups.
#[derive(Default)]
pub(crate) struct LeaversJudged {
    /// They are out of every group, by id.
    pub(crate) evidence: Vec<Evidence>,
    /// How many are in one all the same. They stay.
    pub(crate) contradicted: u64,
    /// About how many there is no answer. They stay.
    pub(crate) unanswered: u64,
}

impl App {
    /// Who is in the groups of the scope, as this run has it: what was noted before, or what Graph lists
    /// now. `None` when the scope names no group.
    pub(crate) async fn members(
        &self,
        (lease, record): (&RunLease, &RunRecord),
        settings: &TenantSettings,
        graph: &GraphClient,
        used: &mut Used,
        stop_at_ms: u64,
    ) -> Result<Option<Members>, Stop> {
        let groups = &settings.scope.groups;
        if groups.is_empty() {
            return Ok(None);
        }
        if let Some(seal) = &record.members {
            let reading = self.store.members(lease.run(), seal);
            return Ok(Some(while_kept(&self.store, lease, reading).await??));
        }
        let members = self
            .read_groups((lease, record), groups, graph, stop_at_ms)
            .await?;
        let usage = self.usage(Some(graph));
        let since = usage.since(&used.reported);
        let noting = self.store.put_members(lease, &members, &since);
        let seal = while_kept(&self.store, lease, noting).await??;
        used.reported = usage;
        let run = lease.run();
        info!(event = "members_noted", tenant = %run.tenant, run = run.run,
            token = lease.token(), groups = groups.len(), members = seal.count,
            digest = %seal.digest);
        Ok(Some(members))
    }

    /// Reads each group to its end. What was read is kept when all were: an invocation whose time is up
    /// before leaves the next one to read them anew, until the run's deadline.
    async fn read_groups(
        &self,
        (lease, record): (&RunLease, &RunRecord),
        groups: &[ObjectId],
        graph: &GraphClient,
        stop_at_ms: u64,
    ) -> Result<Members, Stop> {
        let run = lease.run();
        let mut members = Members::new();
        for group in groups {
            let now_ms = self.ambient.now_ms();
            if now_ms >= record.deadline_at_ms {
                let detail = "the deadline passed while the groups of the scope were read";
                return Err(Stop::Fail(FailReason::Deadline, detail.into()));
            }
            if now_ms >= stop_at_ms {
                return Err(Stop::OutOfTime);
            }
            let reading = graph.group_members(group);
            let listed = while_kept(&self.store, lease, reading).await??;
            members.add(run, &listed.users);
            info!(event = "group_read", tenant = %run.tenant, run = run.run, %group,
                users = listed.users.len(), pages = listed.pages,
                graph_request_id = %listed.request);
        }
        Ok(members)
    }

    /// Asks Graph, by id, about those who are in none of the groups by the lists: only who is out by this
    /// answer too may go. `canaries` are on, and in the lists: if Graph says nothing of their groups
    /// either, or there are none to ask about, nobody goes.
    pub(crate) async fn judge_leavers(
        &self,
        (lease, record): (&RunLease, &RunRecord),
        settings: &TenantSettings,
        leavers: &[Leaver],
        canaries: &[ObjectId],
        graph: &mut Option<GraphClient>,
    ) -> Result<LeaversJudged, Stop> {
        let mut judged = LeaversJudged::default();
        if leavers.is_empty() {
            return Ok(judged);
        }
        let run = lease.run();
        if canaries.is_empty() {
            return Err(Stop::Fail(
                FailReason::GroupUnavailable,
                nobody_listed(leavers),
            ));
        }
        // Each is asked about once for so many groups: more groups leave time for fewer leavers.
        let rounds = settings.scope.groups.len().div_ceil(CHECKED_GROUPS_MAX);
        let asked = leavers.iter().take(ASKED_BY_ID_MAX / rounds.max(1));
        let asked: Vec<_> = asked.map(Leaver::id).cloned().collect();
        let client = match graph {
            Some(client) => client,
            None => graph.insert(self.graph_client(settings, record)?),
        };
        let asking = client.in_groups(&asked, canaries, &settings.scope.groups);
        let told = while_kept(&self.store, lease, asking).await??;
        let is_in = |id: &ObjectId| told.get(id).is_some_and(|it| it.what == Membership::In);
        check_canaries(canaries, is_in)?;
        for leaver in leavers {
            let id = leaver.id();
            match leaver.resolve(told.get(id)) {
                Resolution::Evident(evidence) => judged.evidence.push(evidence),
                Resolution::Contradicted(request) => {
                    info!(event = "leaver_contradicted", tenant = %run.tenant, run = run.run, %id,
                        graph_request_id = %request);
                    judged.contradicted += 1;
                }
                Resolution::Awaiting(..) | Resolution::Unanswered => {
                    info!(event = "leaver_unanswered", tenant = %run.tenant, run = run.run, %id);
                    judged.unanswered += 1;
                }
            }
        }
        if judged.contradicted > 0 {
            warn!(event = "members_were_wrong", tenant = %run.tenant, run = run.run,
                contradicted = judged.contradicted, leavers = leavers.len());
        }
        Ok(judged)
    }

    /// The members that the run noted, if somebody left them.
    pub(crate) async fn members_left(
        &self,
        (lease, record): (&RunLease, &RunRecord),
        leavers: &[Leaver],
    ) -> Result<Option<Members>, Stop> {
        if leavers.is_empty() {
            return Ok(None);
        }
        let Some(seal) = &record.members else {
            let detail = "somebody is out of the scope's groups, and the run has noted no members";
            return Err(Stop::Fail(FailReason::Incomplete, detail.into()));
        };
        let reading = self.store.members(lease.run(), seal);
        Ok(Some(while_kept(&self.store, lease, reading).await??))
    }
}

fn nobody_listed(leavers: &[Leaver]) -> String {
    let first = leavers.first().map_or("nobody", |it| it.id().as_str());
    format!(
        "user {first} and {} others are in none of the scope's groups, and nobody who is on is in one, \
         so there is nobody by whom to tell whether the answers are right; check the groups of the \
         tenant's scope",
        leavers.len().saturating_sub(1)
    )
}

/// Graph leaves out of an answer the groups that the application may not look into. If none of those
/// who were listed a moment ago is in a group by id, the answers say nothing about the others either.
pub(crate) fn check_canaries(
    canaries: &[ObjectId],
    is_in: impl Fn(&ObjectId) -> bool,
) -> Result<(), Stop> {
    match canaries.first() {
        Some(first) if !canaries.iter().any(is_in) => Err(Stop::Fail(
            FailReason::GroupUnavailable,
            format!(
                "user {first}, who was listed as a member a moment ago, is in none of the scope's \
                 groups by id; check that the application has GroupMember.Read.All, and \
                 Member.Read.Hidden for a group whose membership is hidden"
            ),
        )),
        _ => Ok(()),
    }
}

/// Those whom the workers found out of the groups, as far as each sighting is its id's last one.
pub(crate) fn leavers(proof: &CompletenessProof, batches: &[BatchRecord]) -> Vec<Leaver> {
    let candidates = batches
        .iter()
        .flat_map(|batch| batch.result.candidates.iter().map(move |it| (batch, it)));
    candidates
        .filter_map(|(batch, candidate)| Leaver::of(proof, candidate, &batch.request))
        .collect()
}
