//! The start of a run: because somebody asked for one, or because it is due.

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::ids::{RunRef, TenantId};
use rollcall_core::quarantine::rests_until_ms;
use rollcall_core::run::{RunMode, RunState};
use rollcall_core::settings::TenantSettings;

use crate::conditions::{
    absent, active_run_is, full_due_is, last_run_failed, next_run_is, present, revision_is,
    started_for_is,
};
use crate::error::{StoreError, WriteFailure};
use crate::row::{Item, json, number, text};
use crate::runs::RunRecord;
use crate::tenants::{Head, TenantRecord};
use crate::write::{Changes, Protects, Transaction};
use crate::{RETENTION_DAYS, Store, Table, keys};

/// What starting a run gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartedRun {
    /// A new run. Nobody has its lease yet.
    Started(RunRef),
    /// Another run is active.
    AlreadyActive(RunRef),
}

/// How far an occurrence may lie ahead of the clock that it is started by, in milliseconds: clocks are off by a minute
/// at most. Whatever claims to be later would have the tenant's every occurrence until then taken for had.
const OCCURRENCE_AHEAD_MS_MAX: u64 = 5 * 60_000;

/// What an occurrence of a schedule came to for a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DueRun {
    /// Nothing is due: its own schedule says so, or it has had this occurrence.
    NotDue,
    /// It lies in the future, so it is none.
    Ahead,
    /// Its last runs failed, so it is left alone.
    Rests {
        /// How many, in a row.
        failed_in_a_row: u64,
        /// Until when, in milliseconds since 1970.
        until_ms: u64,
    },
    /// A run is active now.
    Due(StartedRun),
}

impl Store {
    /// Starts a run on a snapshot of the tenant's settings. Its lease is free. A delta run that has
    /// nothing to go on from is started as a full one.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when the settings or the head changed at the same moment.
    pub async fn start_run(
        &self,
        tenant: &TenantRecord,
        mode: RunMode,
    ) -> Result<StartedRun, StoreError> {
        let head = self.head(&tenant.settings.id).await?;
        self.start_from(tenant, &head, mode, None).await
    }

    /// Starts what is due when a schedule fires at this moment, once for each such occurrence.
    ///
    /// # Errors
    /// As [`Store::start_run`].
    pub async fn start_due_run(
        &self,
        tenant: &TenantRecord,
        fires: RunMode,
        at_ms: u64,
    ) -> Result<DueRun, StoreError> {
        if at_ms > self.ambient.now_ms() + OCCURRENCE_AHEAD_MS_MAX {
            return Ok(DueRun::Ahead);
        }
        let head = self.head(&tenant.settings.id).await?;
        let schedule = &tenant.settings.schedule;
        let Some(mode) = schedule.due(fires, at_ms, head.started_for) else {
            return Ok(DueRun::NotDue);
        };
        if let Some(until_ms) = head.rests_until_ms(tenant)
            && self.ambient.now_ms() < until_ms
        {
            if mode == RunMode::Full {
                self.owe_full(&tenant.settings.id).await?;
            }
            return Ok(DueRun::Rests {
                failed_in_a_row: head.failed_in_a_row,
                until_ms,
            });
        }
        let started = self.start_from(tenant, &head, mode, Some(at_ms)).await?;
        Ok(DueRun::Due(started))
    }

    /// Ends the rest of a tenant that is well again: its next runs are started as they are due. `false` if
    /// its last run did not fail.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn end_rest(&self, tenant: &TenantId) -> Result<bool, StoreError> {
        let ended = Transaction::new(self)
            .update(
                Protects::Read("that the tenant's last run failed"),
                Table::Coordination,
                &keys::head(tenant),
                &Changes::new().remove("failed_in_a_row").remove("failed_at"),
                &last_run_failed(),
            )
            .send()
            .await;
        match ended {
            Ok(()) => Ok(true),
            Err(StoreError::Changed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The tenant's next run is a full one.
    async fn owe_full(&self, tenant: &TenantId) -> Result<(), StoreError> {
        let head = owing_full(Changes::new());
        let key = keys::head(tenant);
        match self
            .update_if(Table::Coordination, &key, &head, &present())
            .await
        {
            Ok(_) => Ok(()),
            Err(WriteFailure::Condition) => Err(StoreError::Changed {
                what: "the tenant's head",
            }),
            Err(WriteFailure::Error(error)) => Err(error),
        }
    }

    async fn start_from(
        &self,
        tenant: &TenantRecord,
        head: &Head,
        mode: RunMode,
        at_ms: Option<u64>,
    ) -> Result<StartedRun, StoreError> {
        let id = &tenant.settings.id;
        if let Some(active) = head.active_run {
            let active = RunRef {
                tenant: id.clone(),
                run: active,
            };
            self.meet(head, &active, mode, at_ms).await?;
            return Ok(StartedRun::AlreadyActive(active));
        }
        let run = RunRef {
            tenant: id.clone(),
            run: head.next_run,
        };
        let asked = mode;
        let mode = head.mode(mode, &mapping(&tenant.settings)?);
        let mut next = Changes::new()
            .set("next_run", number(run.run + 1))
            .set("active_run", number(run.run))
            .set("last_revision", number(tenant.revision));
        if let Some(at_ms) = at_ms {
            next = had(next, head, asked, at_ms);
        }
        let now_ms = self.ambient.now_ms();
        let limits = &tenant.settings.limits;
        let deadline_ms = now_ms + limits.run_deadline_minutes * 60_000;
        let ttl_s = deadline_ms / 1_000 + RETENTION_DAYS * 86_400;
        let mut run_item = run_item(tenant, &run, mode)?;
        run_item.extend([
            ("started_at".into(), number(now_ms)),
            ("deadline_at".into(), number(deadline_ms)),
            ("ttl".into(), number(ttl_s)),
        ]);
        if let Some(link) = &head.delta_link {
            run_item.insert("delta_from".into(), text(link));
        }
        if tenant.settings.scim.is_some() {
            run_item.insert("tells".into(), AttributeValue::Bool(true));
        }
        let snapshot = keys::snapshot(&run).with([
            ("settings", json(&tenant.settings)?),
            ("revision", number(tenant.revision)),
            ("ttl", number(ttl_s)),
        ]);
        // The mode was chosen by what was owed, and the occurrence by those before it.
        let is_as_read = next_run_is(run.run)
            .and(full_due_is(head.full_due))
            .and(started_for_is(head.started_for));
        Transaction::new(self)
            .check(
                Protects::Read("the tenant's settings"),
                Table::Coordination,
                &keys::tenant(id),
                &revision_is(tenant.revision),
            )
            .update(
                Protects::Read("the tenant's active run"),
                Table::Coordination,
                &keys::head(id),
                &next,
                &is_as_read,
            )
            .put(
                Protects::Read("the run"),
                Table::Coordination,
                run_item,
                &absent(),
            )
            .put(
                Protects::Read("the run's settings"),
                Table::Coordination,
                snapshot,
                &absent(),
            )
            .send()
            .await?;
        Ok(StartedRun::Started(run))
    }

    /// A full run that meets a delta run, or an approved plan, is not lost: the next run will be one. And
    /// an occurrence that meets a run has had it.
    async fn meet(
        &self,
        now: &Head,
        active: &RunRef,
        mode: RunMode,
        at_ms: Option<u64>,
    ) -> Result<(), StoreError> {
        let mut head = Changes::new();
        let wants_full = mode == RunMode::Full && {
            let record = self.run(active).await?;
            // The plan that a person approved looks at nobody else; and of a run that cannot be read nobody knows.
            let looks_at_all = |it: RunRecord| it.mode == RunMode::Full && it.approved.is_none();
            !record.is_some_and(looks_at_all)
        };
        if wants_full {
            head = owing_full(head);
        }
        let mut is_as_read = active_run_is(active.run);
        match at_ms {
            Some(at_ms) => {
                head = had(head, now, mode, at_ms);
                is_as_read = is_as_read.and(started_for_is(now.started_for));
            }
            None if !wants_full => return Ok(()),
            None => {}
        }
        Transaction::new(self)
            .update(
                Protects::Read("the tenant's active run"),
                Table::Coordination,
                &keys::head(&active.tenant),
                &head,
                &is_as_read,
            )
            .send()
            .await
    }
}

impl Head {
    /// Until when the schedules leave the tenant alone, in milliseconds since 1970. Settings that its
    /// last run did not know may be the cure, so they end its rest.
    #[must_use]
    pub fn rests_until_ms(&self, tenant: &TenantRecord) -> Option<u64> {
        let is_changed = self.last_revision != Some(tenant.revision);
        let failed_at_ms = self.failed_at_ms.filter(|_| !is_changed)?;
        rests_until_ms(self.failed_in_a_row, failed_at_ms)
    }
}

/// A full run is owed, and none that has begun pays for it: what was asked for now may be behind it.
pub(crate) fn owing_full(head: Changes) -> Changes {
    head.copy("full_due", "next_run")
}

/// The occurrence that was due at this moment has been had. One that is told late, behind a later one of
/// the other mode, does not undo that this one has been had too.
fn had(head: Changes, now: &Head, mode: RunMode, at_ms: u64) -> Changes {
    let any_ms = now.started_for.any_ms.unwrap_or_default().max(at_ms);
    let head = head.set("any_for", number(any_ms));
    match mode {
        RunMode::Full => head.set("full_for", number(at_ms)),
        RunMode::Delta => head,
    }
}

/// A run at its beginning, but for its times.
fn run_item(tenant: &TenantRecord, run: &RunRef, mode: RunMode) -> Result<Item, StoreError> {
    Ok(keys::run(run).with([
        ("tenant", text(run.tenant.as_str())),
        ("run", number(run.run)),
        ("mode", text(mode.name())),
        ("state", text(RunState::Enumerating.stored_name())),
        ("generation", number(1)),
        ("last_page", number(0)),
        ("sightings", number(0)),
        ("unknown", number(0)),
        ("earlier_pages", number(0)),
        ("mapping", text(mapping(&tenant.settings)?)),
        ("lease_ms", number(tenant.settings.limits.lease_ms())),
        ("settings_revision", number(tenant.revision)),
    ]))
}

/// What of a user is mapped to what, as text.
fn mapping(settings: &TenantSettings) -> Result<String, StoreError> {
    serde_json::to_string(&settings.attributes).map_err(|e| StoreError::Invalid(e.to_string()))
}
