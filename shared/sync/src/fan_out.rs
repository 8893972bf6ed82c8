//! A schedule that fires: the tenants' starts, spread over some time.
//!
//! Tenants are gone through by id, some at a time, and the next some are rung for when these have been
//! rung for. Whatever is told twice, after a crash or by a queue, starts nothing twice: a tenant's head
//! names the occurrence that it has had.

use rollcall_core::ids::TenantId;
use sha2::{Digest, Sha256};
use tracing::error;

use crate::app::App;
use crate::doorbell::{FanOutBell, StartBell};
use crate::error::HandlerError;
use crate::start::{NotStarted, StartReport};

/// How many tenants are gone through at once: some seconds of an invocation.
const TENANTS_AT_ONCE: i32 = 100;
/// How many runs begin in a second: a thousand tenants in less than four minutes, and no more
/// enumerators at once than Lambda and Graph give to the small ones among them.
const STARTS_PER_SECOND: u64 = 5;
/// When a start that failed is tried again, in seconds. From then on the queue tries it.
const AGAIN_S: u64 = 30;

impl App {
    /// Starts what is due for the next tenants, or rings for it, and rings for those after them.
    pub(crate) async fn fan_out(&self, bell: &FanOutBell) -> Result<StartReport, HandlerError> {
        let after = bell.after.as_ref();
        let ids = self.store.tenant_ids_after(after, TENANTS_AT_ONCE).await?;
        let window_s = ids.len() as u64 / STARTS_PER_SECOND;
        let mut report = StartReport::default();
        for id in &ids {
            let start = StartBell {
                tenant: id.clone(),
                occurrence: bell.occurrence,
            };
            match delay_s(id, window_s) {
                0 => self.start_now(start, &mut report).await?,
                delay_s => self.doorbell.start(&start, delay_s).await?,
            }
        }
        if let Some(last) = ids.last()
            && ids.len() as u64 >= u64::from(TENANTS_AT_ONCE.unsigned_abs())
        {
            let next = FanOutBell {
                after: Some(last.clone()),
                ..bell.clone()
            };
            self.doorbell.fan_out(&next, window_s).await?;
        }
        Ok(report)
    }

    /// A tenant that fails to start does not keep the others from starting.
    async fn start_now(
        &self,
        start: StartBell,
        report: &mut StartReport,
    ) -> Result<(), HandlerError> {
        match self.start_due(&start).await {
            Ok(started) => report.runs.extend(started),
            Err(problem) => {
                error!(event = "run_not_started", tenant = %start.tenant, error = %problem);
                self.doorbell.start(&start, AGAIN_S).await?;
                report.failed.push(NotStarted {
                    tenant: start.tenant,
                    error: problem.to_string(),
                });
            }
        }
        Ok(())
    }
}

/// Where in its window a tenant starts, in seconds: at the same place each time, so that its runs are
/// as far apart as its schedule says.
fn delay_s(tenant: &TenantId, window_s: u64) -> u64 {
    let digest = Sha256::digest(tenant.as_str());
    let draw = digest
        .iter()
        .take(8)
        .fold(0_u64, |draw, byte| draw.wrapping_shl(8) | u64::from(*byte));
    draw.checked_rem(window_s).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starts_of_many_tenants_are_spread_evenly_and_each_has_its_place() {
        let window_s = 20;
        let mut starts = vec![0_u32; 20];
        for nth in 0..1_000 {
            let tenant = TenantId::new(&format!("tenant-{nth}")).unwrap();
            let delay_s = delay_s(&tenant, window_s);
            assert_eq!(delay_s, super::delay_s(&tenant, window_s));
            starts[usize::try_from(delay_s).unwrap()] += 1;
        }
        // Fifty are expected in each.
        assert!(
            starts.iter().all(|count| (25..=80).contains(count)),
            "{starts:?}"
        );
    }

    #[test]
    fn a_few_tenants_start_at_once() {
        let tenant = TenantId::new("contoso").unwrap();
        assert_eq!(delay_s(&tenant, 0), 0);
        assert_eq!(delay_s(&tenant, 1), 0);
    }
}
