//! A revert: how many are as before, and who was left as he is.

use std::collections::BTreeSet;

use rollcall_core::ids::{ObjectId, RunRef, TenantId};
use rollcall_store::{Left, LeftAlone, RevertRecord};
use serde::Serialize;

use super::table::{grouped, table};
use super::time;

/// The most users that are told one by one to people.
const SHOWN_MAX: usize = 50;

/// A revert at its end, or one that would be.
#[derive(Debug, Serialize)]
pub(crate) struct RevertView {
    tenant: TenantId,
    run: u64,
    dry_run: bool,
    restored: u64,
    left: u64,
    /// Who would be as before; of a dry run alone.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    restored_users: BTreeSet<ObjectId>,
    left_users: Vec<Left>,
    #[serde(serialize_with = "time::as_rfc3339_or_null")]
    started_at: Option<u64>,
    #[serde(serialize_with = "time::as_rfc3339_or_null")]
    ended_at: Option<u64>,
}

impl RevertView {
    pub(crate) fn of_dry_run(run: &RunRef, restored: BTreeSet<ObjectId>, left: Vec<Left>) -> Self {
        Self {
            tenant: run.tenant.clone(),
            run: run.run,
            dry_run: true,
            restored: restored.len() as u64,
            left: left.len() as u64,
            restored_users: restored,
            left_users: left,
            started_at: None,
            ended_at: None,
        }
    }

    pub(crate) fn of(revert: &RevertRecord, left: Vec<Left>) -> Self {
        Self {
            tenant: revert.run.tenant.clone(),
            run: revert.run.run,
            dry_run: false,
            restored: revert.restored,
            left: revert.left,
            restored_users: BTreeSet::new(),
            left_users: left,
            started_at: Some(revert.started_at_ms),
            ended_at: revert.ended_at_ms,
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let run = format!("{}/{}", self.tenant, self.run);
        let (restored, left) = (grouped(self.restored), grouped(self.left));
        let mut text = if self.dry_run {
            format!(
                "{run} would be taken back: {restored} users would be as before it, {left} would be \
                 left as they are. This was a dry run: nothing was changed."
            )
        } else {
            format!(
                "{run} is taken back: {restored} users are as before it, {left} were left as they \
                 are."
            )
        };
        let mut users = table(["user", "then", "why"]);
        let restored = self.restored_users.iter().map(|id| (id, "as before", "–"));
        let left = self.left_users.iter().map(|left| {
            let why = match left.why {
                LeftAlone::ChangedSince => "changed since",
                LeftAlone::Created => "created by the run, and nobody is deleted",
            };
            (&left.id, "left", why)
        });
        let all = self.restored_users.len() + self.left_users.len();
        for (id, then, why) in left.chain(restored).take(SHOWN_MAX) {
            users.add_row([id.as_str(), then, why]);
        }
        if all > 0 {
            text.push_str(&format!("\n{users}"));
        }
        if all > SHOWN_MAX {
            let more = grouped((all - SHOWN_MAX) as u64);
            text.push_str(&format!("\nand {more} more; --json tells all of them"));
        }
        text
    }
}
