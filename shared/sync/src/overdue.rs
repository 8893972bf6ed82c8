//! Whose last completed run is the longest ago.

use rollcall_core::ids::TenantId;
use rollcall_store::{Head, TenantMark};
use tracing::info;

/// Over the tenants of one sweep.
#[derive(Debug, Default)]
pub(crate) struct Overdue {
    tenants: u64,
    any: Longest,
    full: Longest,
}

/// The longest time, in seconds, and whose.
#[derive(Debug, Default)]
struct Longest {
    seconds: u64,
    tenant: Option<TenantId>,
}

impl Longest {
    fn look(&mut self, tenant: &TenantMark, since_ms: Option<u64>, now_ms: u64) {
        // A tenant that was put just now, for the first time or again, could have none yet.
        let since_ms = since_ms.unwrap_or_default().max(tenant.changed_at_ms);
        let seconds = now_ms.saturating_sub(since_ms) / 1_000;
        if self.tenant.is_none() || seconds > self.seconds {
            *self = Self {
                seconds,
                tenant: Some(tenant.id.clone()),
            };
        }
    }
}

impl Overdue {
    /// Nobody waits for a run of a tenant that was removed.
    pub(crate) fn look(&mut self, tenant: &TenantMark, head: &Head, now_ms: u64) {
        if tenant.removed {
            return;
        }
        self.tenants += 1;
        self.any.look(tenant, head.completed_at_ms, now_ms);
        self.full.look(tenant, head.full_completed_at_ms, now_ms);
    }

    /// One line a sweep, however many tenants there are.
    pub(crate) fn tell(&self) {
        let of = |longest: &Longest| longest.tenant.clone().map(tracing::field::display);
        info!(
            event = "swept",
            tenants = self.tenants,
            since_completed_s = self.any.seconds,
            tenant = of(&self.any),
            since_full_s = self.full.seconds,
            full_tenant = of(&self.full)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(id: &str, removed: bool, changed_at_ms: u64) -> TenantMark {
        TenantMark {
            id: TenantId::new(id).unwrap(),
            removed,
            changed_at_ms,
        }
    }

    #[test]
    fn the_tenant_that_waits_longest_is_told_and_one_that_was_removed_does_not_wait() {
        let now_ms = 1_000_000;
        let mut overdue = Overdue::default();
        let head = |any: Option<u64>, full: Option<u64>| Head {
            completed_at_ms: any,
            full_completed_at_ms: full,
            ..Head::default()
        };
        let at = |seconds: u64| Some(now_ms - seconds * 1_000);
        overdue.look(&tenant("fresh", false, 0), &head(at(10), at(900)), now_ms);
        overdue.look(&tenant("late", false, 0), &head(at(70), at(80)), now_ms);
        overdue.look(&tenant("gone", true, 0), &head(at(999), at(999)), now_ms);
        assert_eq!((overdue.tenants, overdue.any.seconds), (2, 70));
        assert_eq!(overdue.any.tenant.unwrap().as_str(), "late");
        assert_eq!(overdue.full.seconds, 900);
        assert_eq!(overdue.full.tenant.unwrap().as_str(), "fresh");
    }

    #[test]
    fn a_tenant_that_never_completed_a_run_waits_since_it_was_put() {
        let mut overdue = Overdue::default();
        overdue.look(&tenant("new", false, 40_000), &Head::default(), 100_000);
        assert_eq!((overdue.any.seconds, overdue.full.seconds), (60, 60));
        // Put again after a year, it does not wait since a year.
        let mut overdue = Overdue::default();
        let head = Head {
            completed_at_ms: Some(1_000),
            ..Head::default()
        };
        overdue.look(&tenant("back", false, 90_000), &head, 100_000);
        assert_eq!(overdue.any.seconds, 10);
    }
}
