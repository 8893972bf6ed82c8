//! Held runs: what a person decides about a plan that a guard holds, and the hold that nobody
//! decides about.

use rollcall_core::ids::{RunRef, TenantId};
use rollcall_core::run::{RunEvent, RunMode, RunState};
use serde::Serialize;

use crate::conditions::{
    held_plan_is, held_run_is, lease_is, no_run_is_active, revision_is, run_allows,
};
use crate::error::StoreError;
use crate::leases::GIVEN_BACK_MS;
use crate::row::{Row, number, text};
use crate::runs::RunRecord;
use crate::starts::owing_full;
use crate::tenants::Head;
use crate::write::{Changes, Protects, Transaction};
use crate::{RETENTION_DAYS, Store, Table, keys};

/// How long a plan waits for a person, in days. It lapses a month before DynamoDB may drop what it
/// consists of.
pub const HOLD_DAYS_MAX: u64 = 60;

/// Who has a run's lease between its approval and the finalizer: nobody, but the token has risen,
/// so that whoever held the run before writes nothing more.
const APPROVAL_OWNER: &str = "approval";

/// How often a decision that met another change of the same tenant is looked at again.
const ATTEMPTS_MAX: u32 = 5;

/// Who decided about a held plan, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HoldDecision {
    /// Who: locally the user, on AWS the caller's identity.
    pub by: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

impl HoldDecision {
    pub(crate) fn read(row: &Row<'_>, by: &str, at: &str) -> Result<Option<Self>, StoreError> {
        Ok(match row.text_if_any(by)? {
            None => None,
            Some(by) => Some(Self {
                by: by.to_owned(),
                at_ms: row.number(at)?,
            }),
        })
    }
}

/// What became of a person's decision about a held plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruled {
    /// It is done.
    Done,
    /// There is no such run.
    Unknown,
    /// The run waits for nobody: it is in this state.
    NotHeld(RunState),
    /// The plan that waits is another one: this.
    OtherPlan(String),
    /// Another run of the tenant is active. Its plan, if it is a full run, will take this one's place.
    RunActive(u64),
    /// The tenant's settings are not those that the plan was made by, or the tenant was removed.
    SettingsChanged,
}

/// The attribute of the head that names a held run.
pub(crate) const fn held_as(mode: RunMode) -> &'static str {
    match mode {
        RunMode::Full => "held_run",
        RunMode::Delta => "held_delta_run",
    }
}

/// The attribute of the head that says when that hold lapses.
pub(crate) const fn held_until(mode: RunMode) -> &'static str {
    match mode {
        RunMode::Full => "held_run_until",
        RunMode::Delta => "held_delta_run_until",
    }
}

/// The head without a hold.
pub(crate) fn without_hold(head: Changes, mode: RunMode) -> Changes {
    head.remove(held_as(mode)).remove(held_until(mode))
}

impl Store {
    /// The runs of a tenant whose plans wait for a person.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn held_runs(&self, tenant: &TenantId) -> Result<Vec<RunRecord>, StoreError> {
        let mut held = Vec::new();
        for run in self.head(tenant).await?.held() {
            let tenant = tenant.clone();
            held.extend(self.run(&RunRef { tenant, run }).await?);
        }
        Ok(held)
    }

    /// Releases a held plan, and no other: the one with this hash, made by the settings that the tenant
    /// has now, once, while no other run is active. The run is the tenant's active one then, and
    /// finalizes anew; the finalizer has to be rung for.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when the tenant's runs or settings change again and again.
    pub async fn approve_hold(
        &self,
        run: &RunRef,
        plan: &str,
        by: &str,
    ) -> Result<Ruled, StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let record = match self.held(run).await? {
                Ok(record) => record,
                Err(ruled) => return Ok(ruled),
            };
            let waiting = record.held.as_ref().map(|held| held.plan.as_str());
            if let Some(waiting) = waiting.filter(|it| *it != plan) {
                return Ok(Ruled::OtherPlan(waiting.to_owned()));
            }
            if let Some(active) = self.head(&run.tenant).await?.active_run {
                return Ok(Ruled::RunActive(active));
            }
            let settings = self.tenant(&run.tenant).await?;
            let is_same = |it: &crate::TenantRecord| it.revision == record.settings_revision;
            if !settings.is_some_and(|it| is_same(&it) && !it.removed) {
                return Ok(Ruled::SettingsChanged);
            }
            match self.approve(&record, plan, by).await {
                Ok(()) => return Ok(Ruled::Done),
                Err(StoreError::Changed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(again_and_again())
    }

    async fn approve(&self, record: &RunRecord, plan: &str, by: &str) -> Result<(), StoreError> {
        let run = &record.run;
        let limits = self.run_settings(run).await?.limits;
        let now_ms = self.ambient.now_ms();
        let deadline_ms = now_ms + limits.run_deadline_minutes * 60_000;
        let token = record.lease.as_ref().map_or(0, |lease| lease.token);
        let head = without_hold(Changes::new(), record.mode).set("active_run", number(run.run));
        let changes = Changes::new()
            .set("state", text(RunEvent::Approve.to_state().stored_name()))
            .set("approved_by", text(by))
            .set("approved_at", number(now_ms))
            .set("deadline_at", number(deadline_ms))
            .set("ttl", number(deadline_ms / 1_000 + RETENTION_DAYS * 86_400))
            .set("lease_owner", text(APPROVAL_OWNER))
            .set("lease_token", number(token + 1))
            .set("lease_until", number(GIVEN_BACK_MS))
            .remove("ended_at");
        let waits = run_allows(RunEvent::Approve)
            .and(held_plan_is(plan))
            .and(lease_is(token));
        Transaction::new(self)
            .check(
                Protects::Read("the tenant's settings"),
                Table::Coordination,
                &keys::tenant(&run.tenant),
                &revision_is(record.settings_revision),
            )
            .update(
                Protects::Read("the tenant's active run"),
                Table::Coordination,
                &keys::head(&run.tenant),
                &wanting_full(head, record.mode),
                &no_run_is_active().and(held_run_is(held_as(record.mode), run.run)),
            )
            .update(
                Protects::Read("the held run"),
                Table::Coordination,
                &keys::run(run),
                &changes,
                &waits,
            )
            .send()
            .await
    }

    /// Drops a held plan. What the run updated stands.
    ///
    /// # Errors
    /// As [`Store::approve_hold`].
    pub async fn reject_hold(&self, run: &RunRef, by: &str) -> Result<Ruled, StoreError> {
        let now_ms = self.ambient.now_ms();
        let changes = Changes::new()
            .set("rejected_by", text(by))
            .set("rejected_at", number(now_ms));
        self.drop_hold(run, RunEvent::Reject, changes).await
    }

    /// Lets a hold lapse that nobody decided about in time.
    ///
    /// # Errors
    /// As [`Store::approve_hold`].
    pub async fn lapse_hold(&self, run: &RunRef) -> Result<Ruled, StoreError> {
        self.drop_hold(run, RunEvent::Supersede, Changes::new())
            .await
    }

    async fn drop_hold(
        &self,
        run: &RunRef,
        event: RunEvent,
        changes: Changes,
    ) -> Result<Ruled, StoreError> {
        let changes = changes.set("state", text(event.to_state().stored_name()));
        for _ in 0..ATTEMPTS_MAX {
            let record = match self.held(run).await? {
                Ok(record) => record,
                Err(ruled) => return Ok(ruled),
            };
            let head = without_hold(Changes::new(), record.mode);
            let dropped = Transaction::new(self)
                .update(
                    Protects::Read("the tenant's held runs"),
                    Table::Coordination,
                    &keys::head(&run.tenant),
                    &wanting_full(head, record.mode),
                    &held_run_is(held_as(record.mode), run.run),
                )
                .update(
                    Protects::Read("the held run"),
                    Table::Coordination,
                    &keys::run(run),
                    &changes,
                    &run_allows(event),
                )
                .send();
            match dropped.await {
                Ok(()) => return Ok(Ruled::Done),
                Err(StoreError::Changed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(again_and_again())
    }

    /// The run, if it waits for a person.
    async fn held(&self, run: &RunRef) -> Result<Result<RunRecord, Ruled>, StoreError> {
        Ok(match self.run(run).await? {
            None => Err(Ruled::Unknown),
            Some(record) if record.state == RunState::Held => Ok(record),
            Some(record) => Err(Ruled::NotHeld(record.state)),
        })
    }
}

impl Head {
    /// The runs that wait for a person.
    #[must_use]
    pub fn held(&self) -> Vec<u64> {
        [self.held_run, self.held_delta_run]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Those of them that have waited too long.
    #[must_use]
    pub fn lapsed(&self, now_ms: u64) -> Vec<(RunMode, u64)> {
        let full = (RunMode::Full, self.held_run, self.held_run_until_ms);
        let delta = (
            RunMode::Delta,
            self.held_delta_run,
            self.held_delta_run_until_ms,
        );
        let has_lapsed = |until: Option<u64>| until.is_some_and(|until| now_ms >= until);
        let holds = [full, delta].into_iter();
        let lapsed = holds.filter(|(_, _, until)| has_lapsed(*until));
        lapsed
            .filter_map(|(mode, run, _)| Some((mode, run?)))
            .collect()
    }
}

/// What a held delta run found is in no later delta: whatever becomes of its plan, only a full run
/// finds again whom it leaves.
fn wanting_full(head: Changes, mode: RunMode) -> Changes {
    match mode {
        RunMode::Full => head,
        RunMode::Delta => owing_full(head),
    }
}

fn again_and_again() -> StoreError {
    StoreError::Changed {
        what: "the tenant's runs, again and again,",
    }
}
