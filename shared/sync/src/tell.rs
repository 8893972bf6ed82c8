//! Tells a tenant's service provider of its users, by SCIM: when, by whom, and what becomes of a telling that failed.

use rollcall_core::ids::TenantId;
use rollcall_scim::ScimError;
use rollcall_store::{Head, ScimLease, ScimRecord, StoreError};
use tracing::{error, info, warn};

use crate::app::App;
use crate::error::HandlerError;
use crate::telling::{Short, Telling, Told};

/// How long one telling goes on, in milliseconds; then it rings for the next one. Tellings share the finalizer with
/// the ends of runs, which wait for them.
const TELLING_MS_MAX: u64 = 60_000;
/// When a service provider that took nothing is asked again, in milliseconds, at first; it doubles, up to the second.
const AGAIN_MS_FIRST: u64 = 300_000;
const AGAIN_MS_MAX: u64 = 3_600_000;
/// So many failures in a row take a quarter of an hour: somebody should know.
const BEHIND_FAILURES_MIN: u64 = 3;
/// How far clocks are apart, in milliseconds: what another machine wants told now is not put off.
const SKEW_MS_MAX: u64 = 60_000;

impl App {
    /// Tells a tenant's service provider, if it has one and that is due, until it is told everything or time is up.
    pub(crate) async fn tell(
        &self,
        tenant: &TenantId,
        stop_at_ms: u64,
    ) -> Result<(), HandlerError> {
        // Before all else is read: what is wanted after it is wanted again.
        let head = self.store.head(tenant).await?;
        let begun_ms = self.ambient.now_ms();
        if !head.is_to_be_told(begun_ms + SKEW_MS_MAX) {
            return Ok(());
        }
        let record = self.store.tenant(tenant).await?;
        let settings = record.filter(|it| !it.removed).map(|it| it.settings);
        let Some(target) = settings.and_then(|settings| settings.scim) else {
            return Ok(());
        };
        let owner = self.ambient.random_uuid();
        let Some((lease, now)) = self.store.acquire_scim(tenant, &owner).await? else {
            info!(event = "nothing_to_do", tenant = %tenant, step = "tell", why = "leased");
            return Ok(());
        };
        let from = lease.taken_from();
        info!(event = "scim_leased", tenant = %tenant, token = lease.token(), owner,
            from_token = from.map(|it| it.token), from_owner = from.map(|it| it.owner.as_str()));
        let stop_at_ms = stop_at_ms.min(begun_ms + TELLING_MS_MAX);
        let mut told = Told::within(now.round(&head));
        let ended = match Telling::new(self, (tenant, &lease), &target, stop_at_ms) {
            Ok(telling) => telling.tell_all(&mut told).await,
            Err(error) => Err(Short::Scim(error)),
        };
        let accounts = told.told;
        match ended {
            Ok(()) => {
                info!(event = "scim_told", tenant = %tenant, token = lease.token(), accounts,
                    left = told.round.left, took_ms = self.since_ms(begun_ms));
                let ended = ScimRecord::ended(0, told.round.left, &told.round);
                self.end_telling(&lease, (&head, &ended), told.round.again_at_ms)
                    .await
            }
            Err(Short::OutOfTime) => {
                info!(event = "scim_passed_on", tenant = %tenant, token = lease.token(), accounts);
                match self.store.release_scim(&lease, &told.round).await {
                    Ok(()) | Err(StoreError::LostLease) => {}
                    Err(error) => return Err(error.into()),
                }
                // Only now: whoever meets this lease goes away.
                self.doorbell.tell(tenant).await
            }
            Err(Short::Scim(error)) => {
                // Whoever got on is no worse off than before.
                let failed = if accounts > 0 { 0 } else { now.failed_in_a_row };
                self.failed(tenant, &lease, &head, (failed + 1, &told), &error)
                    .await
            }
            Err(Short::Store(StoreError::LostLease)) => {
                info!(event = "scim_lease_lost", tenant = %tenant, token = lease.token());
                Ok(())
            }
            Err(Short::Store(error)) => Err(error.into()),
        }
    }

    /// The service provider takes nothing more: it is asked again later.
    async fn failed(
        &self,
        tenant: &TenantId,
        lease: &ScimLease,
        head: &Head,
        (failed_in_a_row, told): (u64, &Told),
        error: &ScimError,
    ) -> Result<(), HandlerError> {
        let doubled = AGAIN_MS_FIRST << (failed_in_a_row - 1).min(16);
        let asked_ms = match error {
            ScimError::Unavailable { retry_after_ms, .. } => retry_after_ms.unwrap_or(0),
            ScimError::Denied { .. } | ScimError::Refused { .. } => 0,
        };
        let wait_ms = doubled.max(asked_ms).min(AGAIN_MS_MAX);
        warn!(event = "scim_failed", tenant = %tenant, token = lease.token(), accounts = told.told,
            failed_in_a_row, wait_ms, error = %error);
        if failed_in_a_row >= BEHIND_FAILURES_MIN {
            error!(event = "scim_behind", tenant = %tenant, failed_in_a_row, error = %error);
        }
        let due_at_ms = Some(self.ambient.now_ms() + wait_ms);
        let ended = ScimRecord::ended(failed_in_a_row, told.round.left, &told.round);
        self.end_telling(lease, (head, &ended), due_at_ms).await
    }

    async fn end_telling(
        &self,
        lease: &ScimLease,
        now: (&Head, &ScimRecord),
        due_at_ms: Option<u64>,
    ) -> Result<(), HandlerError> {
        match self.store.end_scim(lease, now, due_at_ms).await {
            Ok(()) | Err(StoreError::LostLease) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Rings for a tenant's service provider, if it has one.
    pub(crate) async fn ring_told(&self, tenant: &TenantId) -> Result<(), HandlerError> {
        let record = self.store.tenant(tenant).await?;
        if record.is_some_and(|it| it.settings.scim.is_some()) {
            self.doorbell.tell(tenant).await?;
        }
        Ok(())
    }
}
