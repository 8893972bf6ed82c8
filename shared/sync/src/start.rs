//! Starting runs, when a person asks, or when they are due.

use rollcall_core::ids::{RunRef, TenantId};
use rollcall_core::run::RunMode;
use rollcall_store::{DueRun, StartedRun, StoreError, TenantMark};
use serde::Serialize;
use tracing::{error, info, warn};

use crate::app::App;
use crate::doorbell::StartBell;
use crate::error::HandlerError;

/// How often a start that met another change of the same tenant is tried again.
const START_ATTEMPTS_MAX: u32 = 5;

/// What a start did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct StartReport {
    pub(crate) runs: Vec<Started>,
    pub(crate) failed: Vec<NotStarted>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Started {
    #[serde(flatten)]
    run: RunRef,
    /// Whether the run was active already.
    joined: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct NotStarted {
    pub(crate) tenant: TenantId,
    pub(crate) error: String,
}

impl App {
    /// Starts a run of each tenant, or of those named, and rings the enumerator for it. A tenant
    /// that fails to start does not keep the others from starting.
    pub(crate) async fn start(
        &self,
        only: Option<&[TenantId]>,
        mode: RunMode,
    ) -> Result<StartReport, HandlerError> {
        let mut report = StartReport::default();
        for TenantMark { id, .. } in self.store.tenant_marks().await? {
            if !only.is_none_or(|only| only.contains(&id)) {
                continue;
            }
            match self.start_one(&id, mode).await {
                Ok(started) => report.runs.extend(started),
                Err(problem) => {
                    error!(event = "run_not_started", tenant = %id, error = %problem);
                    report.failed.push(NotStarted {
                        tenant: id,
                        error: problem.to_string(),
                    });
                }
            }
        }
        Ok(report)
    }

    /// Nothing is started for a tenant that was removed.
    async fn start_one(
        &self,
        id: &TenantId,
        mode: RunMode,
    ) -> Result<Option<Started>, HandlerError> {
        let mut attempt = 1;
        let started = loop {
            let tenant = self.store.tenant(id).await?;
            let Some(tenant) = tenant.filter(|tenant| !tenant.removed) else {
                return Ok(None);
            };
            match self.store.start_run(&tenant, mode).await {
                Err(StoreError::Changed { .. }) if attempt < START_ATTEMPTS_MAX => attempt += 1,
                other => break other?,
            }
        };
        self.started(started).await.map(Some)
    }

    /// Starts what is due for a tenant now that a schedule fires, if anything is.
    pub(crate) async fn start_due(
        &self,
        bell: &StartBell,
    ) -> Result<Option<Started>, HandlerError> {
        let (id, occurrence) = (&bell.tenant, bell.occurrence);
        let mut attempt = 1;
        let due = loop {
            let tenant = self.store.tenant(id).await?;
            let Some(tenant) = tenant.filter(|tenant| !tenant.removed) else {
                return Ok(None);
            };
            let start = self
                .store
                .start_due_run(&tenant, occurrence.fires, occurrence.at_ms);
            match start.await {
                Err(StoreError::Changed { .. }) if attempt < START_ATTEMPTS_MAX => attempt += 1,
                other => break other?,
            }
        };
        match due {
            DueRun::NotDue => Ok(None),
            DueRun::Ahead => {
                warn!(event = "occurrence_ahead", tenant = %id, at_ms = occurrence.at_ms);
                Ok(None)
            }
            DueRun::Rests {
                failed_in_a_row,
                until_ms,
            } => {
                warn!(event = "tenant_rests", tenant = %id, failed_in_a_row, until_ms);
                Ok(None)
            }
            DueRun::Due(started) => self.started(started).await.map(Some),
        }
    }

    async fn started(&self, started: StartedRun) -> Result<Started, HandlerError> {
        let (run, joined) = match started {
            StartedRun::Started(run) => (run, false),
            StartedRun::AlreadyActive(run) => (run, true),
        };
        info!(event = "run_started", tenant = %run.tenant, run = run.run, joined);
        if !joined {
            self.doorbell.enumerate(&run).await?;
        }
        Ok(Started { run, joined })
    }
}
