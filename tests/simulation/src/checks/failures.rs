//! Failures: a run fails for a reason that there was, and no sooner than it must.

use std::sync::atomic::Ordering;

use rollcall_core::ids::ObjectId;

use super::{Look, RunKey};
use crate::chaos::INDEX_LAG_MS_MAX;
use crate::item::{Item, Table, number, text};
use crate::oracle::{Cause, Scope};
use crate::tenants::SimTenant;
use crate::world::lock;

const EXPLAINED: &str = "invariant 9: a run fails for a reason that there was";
/// How long after the last fault a run may still run into its deadline, in milliseconds: a lease, an
/// invocation that stood still, and some sweeps.
const RECOVERED_MS: u64 = 1_800_000;
/// How much longer than its budget a request may take, in milliseconds: the attempt under way.
pub(crate) const ATTEMPT_MS_MAX: u64 = 35_000;

impl Look<'_> {
    pub(super) fn failed(&self, run: &RunKey, item: &Item) {
        let (reason, detail) = (text(item, "reason"), text(item, "detail"));
        let started_ms = self.checks.started_ms.get(run).copied().unwrap_or_default();
        let graph_failed = self.world.graph_failed_since(started_ms);
        let is_explained = match reason {
            "incomplete" => self.world.store_has_lied(),
            "credential_rejected" if self.secret_was_misplaced(run) => true,
            "deadline" => {
                let deadline = number(item, "deadline_at").unwrap_or_default();
                let calm_ms = self.world.calm_since_ms();
                calm_ms.is_none_or(|calm_ms| deadline < calm_ms + RECOVERED_MS)
            }
            "settings_changed" => true,
            // Those who were known may really all have left.
            "enumeration_unreliable" if detail.starts_with("none of the") => true,
            // All who are asked about beside an approved plan may have left since they were seen.
            "enumeration_unreliable" if detail.starts_with("none of ") => true,
            // A canary may have left between the scan and the question.
            "enumeration_unreliable" if detail.contains("is not found by id") => {
                graph_failed || self.has_left(run, detail, started_ms)
            }
            // Whoever was listed may have left the groups since.
            "group_unavailable" if detail.contains("is in none of the scope's groups by id") => {
                graph_failed || self.has_left_groups(run, detail, started_ms)
            }
            // Of a few users nobody who is on may be in a group, or the index may not show it yet.
            "group_unavailable" if detail.contains("nobody who is on is in one") => {
                graph_failed || !self.shows_somebody_listed(run)
            }
            "enumeration_unreliable" if detail.starts_with("the page token expired") => {
                let tenant = self.world.tenant(&run.0);
                graph_failed || tenant.is_some_and(SimTenant::page_tokens_die)
            }
            _ => graph_failed,
        };
        // Nothing that Graph answers here is a refusal but another 404 to a look-up.
        let is_refusal = detail.contains("refused the request") && !detail.contains("status 404");
        if !is_explained || is_refusal || self.outlived_its_budget(run, detail) {
            let detail = format!("{}/{} FAILED {reason}: {detail}", run.0, run.1);
            self.violate(EXPLAINED, &detail);
        }
    }

    /// Whether the run's settings name a secret that nobody has.
    fn secret_was_misplaced(&self, run: &RunKey) -> bool {
        let named = self.settings(run)["credential"]["env"].clone();
        let tenant = self.world.tenant(&run.0);
        tenant.is_some_and(|tenant| named != tenant.secret_name().as_str())
    }

    /// Whether somebody is on and listed, and has been for longer than the index lags.
    fn shows_somebody_listed(&self, run: &RunKey) -> bool {
        let began_ms = self.invocation.map_or(self.now_ms, |it| it.began_ms);
        let since_ms = began_ms.saturating_sub(INDEX_LAG_MS_MAX);
        let mut users = self
            .mirror
            .partitions(Table::Directory, &format!("{}#", run.0));
        users.any(|(place, item)| {
            let is_member = ObjectId::new(&place.sk).is_ok_and(|id| self.is_member(run, &id));
            text(item, "status") == "ACTIVE"
                && is_member
                && self.mirror.lagging(place, since_ms).is_none()
        })
    }

    fn has_left(&self, run: &RunKey, detail: &str, since_ms: u64) -> bool {
        self.was(run, detail, Cause::Gone, since_ms)
    }

    fn has_left_groups(&self, run: &RunKey, detail: &str, since_ms: u64) -> bool {
        [Cause::Gone, Cause::OutOfScope]
            .into_iter()
            .any(|cause| self.was(run, detail, cause, since_ms))
    }

    /// Whether the user whom a failure names was so since a moment.
    fn was(&self, run: &RunKey, detail: &str, cause: Cause, since_ms: u64) -> bool {
        let id = detail.split(' ').nth(1).unwrap_or_default();
        let id = ObjectId::new(id.trim_end_matches(','));
        let (Ok(id), Some(tenant)) = (id, self.world.tenant(&run.0)) else {
            return false;
        };
        let scope = Scope::of(&self.settings(run));
        lock(&tenant.oracle).was(&id, cause, &scope, since_ms, self.now_ms)
    }

    fn outlived_its_budget(&self, run: &RunKey, detail: &str) -> bool {
        let tried = detail.split(" attempts in ").nth(1);
        let tried_ms = tried.and_then(|it| it.split(' ').next()?.parse::<u64>().ok());
        let settings = self.settings(run);
        let budget_s = settings["limits"]["graph_retry_seconds_max"].as_u64();
        // A machine that stood still has tried for as long.
        let stood_ms = self
            .invocation
            .map_or(0, |it| it.stood_ms.load(Ordering::Relaxed));
        let allowed_ms = budget_s.unwrap_or_default() * 1_000 + ATTEMPT_MS_MAX + stood_ms;
        tried_ms.is_some_and(|tried_ms| tried_ms > allowed_ms)
    }
}
