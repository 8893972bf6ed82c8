//! Whose last completed run is the longest ago.

use rollcall_core::ids::TenantId;
use rollcall_core::quarantine::rests_until_ms;
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
    fn look(&mut self, tenant: &TenantId, since_ms: Option<u64>, now_ms: u64) {
        let Some(since_ms) = since_ms else {
            return;
        };
        let seconds = now_ms.saturating_sub(since_ms) / 1_000;
        if self.tenant.is_none() || seconds > self.seconds {
            *self = Self {
                seconds,
                tenant: Some(tenant.clone()),
            };
        }
    }
}

impl Overdue {
    /// Nobody waits for a run of a tenant that was removed, or whose schedule is off.
    pub(crate) fn look(&mut self, tenant: &TenantMark, head: &Head, now_ms: u64) {
        if tenant.removed {
            return;
        }
        self.tenants += 1;
        // A tenant that has had its schedule since just now could have no run by it yet; nor could one that the
        // schedules leave alone. Other events tell of that one, and here it would hide the others for weeks.
        let rested_at_ms = head
            .failed_at_ms
            .and_then(|at_ms| rests_until_ms(head.failed_in_a_row, at_ms));
        let could_at_ms = tenant.scheduled_at_ms.max(rested_at_ms.unwrap_or_default());
        let last = |at_ms: Option<u64>| at_ms.unwrap_or_default().max(could_at_ms);
        let any = tenant
            .schedule
            .waits_for_any_since(last(head.completed_at_ms));
        let full = tenant
            .schedule
            .waits_for_full_since(last(head.full_completed_at_ms));
        self.any.look(&tenant.id, any, now_ms);
        self.full.look(&tenant.id, full, now_ms);
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
    use rollcall_core::schedule::TenantSchedule;

    use super::*;

    fn tenant(id: &str, removed: bool, scheduled_at_ms: u64) -> TenantMark {
        TenantMark {
            tells_scim: false,
            id: TenantId::new(id).unwrap(),
            removed,
            schedule: TenantSchedule::default(),
            scheduled_at_ms,
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
        // Put back after a year, it does not wait since a year.
        let mut overdue = Overdue::default();
        let head = Head {
            completed_at_ms: Some(1_000),
            ..Head::default()
        };
        overdue.look(&tenant("back", false, 90_000), &head, 100_000);
        assert_eq!(overdue.any.seconds, 10);
    }

    #[test]
    fn a_tenant_that_rests_hides_nobody_and_waits_from_the_end_of_its_rest() {
        const HOUR_MS: u64 = 3_600_000;
        let head = |failed_in_a_row: u64, failed_at_ms: Option<u64>, completed_h: u64| Head {
            failed_in_a_row,
            failed_at_ms,
            completed_at_ms: Some(completed_h * HOUR_MS),
            full_completed_at_ms: Some(completed_h * HOUR_MS),
            ..Head::default()
        };
        let waits = |failed_in_a_row: u64, now_h: u64| {
            let mut overdue = Overdue::default();
            let failed = head(failed_in_a_row, Some(1_000 * HOUR_MS), 0);
            let well = head(0, None, 998);
            overdue.look(&tenant("failing", false, 0), &failed, now_h * HOUR_MS);
            overdue.look(&tenant("well", false, 0), &well, now_h * HOUR_MS);
            let longest = |of: &Longest| (of.tenant.clone().unwrap(), of.seconds / 3_600);
            assert_eq!(longest(&overdue.any), longest(&overdue.full));
            let (tenant, hours) = longest(&overdue.any);
            (tenant.as_str().to_owned(), hours)
        };
        let of = |tenant: &str, hours: u64| (tenant.to_owned(), hours);
        // Two failures are no rest.
        assert_eq!(waits(2, 1_001), of("failing", 1_001));
        // It rests for 23 hours; then a run is due that does not come.
        assert_eq!(waits(9, 1_001), of("well", 3));
        assert_eq!(waits(9, 1_030), of("well", 32));
        let mut overdue = Overdue::default();
        let failed = head(9, Some(1_000 * HOUR_MS), 0);
        overdue.look(&tenant("failing", false, 0), &failed, 1_030 * HOUR_MS);
        assert_eq!(overdue.any.seconds, 7 * 3_600);
    }

    #[test]
    fn a_tenant_waits_by_its_own_schedule_and_one_whose_schedule_is_off_does_not_wait() {
        const HOUR_MS: u64 = 3_600_000;
        let own = |full: &str, delta: &str| TenantMark {
            schedule: TenantSchedule {
                full: Some(full.to_owned().try_into().unwrap()),
                delta: Some(delta.to_owned().try_into().unwrap()),
            },
            ..tenant("own", false, 0)
        };
        let head = Head {
            completed_at_ms: Some(HOUR_MS / 2),
            full_completed_at_ms: Some(HOUR_MS / 2),
            ..Head::default()
        };
        let waits = |schedule: &TenantMark, hours: u64| {
            let mut overdue = Overdue::default();
            overdue.look(schedule, &head, hours * HOUR_MS);
            let hours = |longest: Longest| longest.tenant.map(|_| longest.seconds / 3_600);
            (hours(overdue.any), hours(overdue.full))
        };
        assert_eq!(waits(&own("off", "off"), 999), (None, None));
        let weekly = own("rate(7 days)", "rate(6 hours)");
        assert_eq!(waits(&weekly, 6), (Some(0), Some(0)));
        assert_eq!(waits(&weekly, 8), (Some(2), Some(0)));
        assert_eq!(waits(&weekly, 7 * 24 + 3), (Some(7 * 24 - 3), Some(3)));
        let nightly = own("cron(0 2 * * ? *)", "off");
        assert_eq!(waits(&nightly, 5), (Some(3), Some(3)));
    }
}
