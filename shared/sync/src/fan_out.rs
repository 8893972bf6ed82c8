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

/// How fast the starts of a schedule follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How many tenants are gone through at once.
    pub tenants_at_once: u16,
    /// How many runs begin in a second.
    pub starts_per_second: u16,
}

impl Default for Pace {
    /// Some seconds of an invocation at once; and a thousand tenants in less than four minutes, with no
    /// more enumerators at once than Lambda and Graph give to the small ones among them.
    fn default() -> Self {
        Self {
            tenants_at_once: 100,
            starts_per_second: 5,
        }
    }
}

/// When a start that failed is tried again, in seconds. From then on the queue tries it.
const AGAIN_S: u64 = 30;

impl App {
    /// Starts what is due for the next tenants, or rings for it, and rings for those after them.
    pub(crate) async fn fan_out(&self, bell: &FanOutBell) -> Result<StartReport, HandlerError> {
        let after = bell.after.as_ref();
        let Pace {
            tenants_at_once,
            starts_per_second,
        } = self.pace;
        let at_once = tenants_at_once.into();
        let tenants = self.store.tenant_ids_after(after, at_once).await?;
        let window_s = tenants.ids.len() as u64 / u64::from(starts_per_second.max(1));
        let mut report = StartReport::default();
        for id in tenants.ids {
            let delay_s = delay_s(&id, window_s);
            let start = StartBell {
                tenant: id,
                occurrence: bell.occurrence,
            };
            match delay_s {
                0 => self.start_now(start, &mut report).await?,
                delay_s => self.doorbell.start(&start, delay_s).await?,
            }
        }
        if tenants.more_after.is_some() {
            let next = FanOutBell {
                after: tenants.more_after,
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
