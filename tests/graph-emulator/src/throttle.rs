//! Resource units: what an application may ask of a tenant in ten seconds, as a bucket that fills
//! again all the time.
//! <https://learn.microsoft.com/graph/throttling-limits#identity-and-access-service-limits>

use crate::answer::GraphError;

/// The units of ten seconds, by the number of users: below 50, up to 500, and above.
const UNITS_SMALL: u32 = 3_500;
const UNITS_MEDIUM: u32 = 5_000;
const UNITS_LARGE: u32 = 8_000;

/// In how many milliseconds an empty bucket is full again.
const FILLS_IN_MS: u32 = 10_000;

/// From this share on, it is told how much is used.
const TOLD_FROM: f64 = 0.8;

/// What is used of it.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// In place of the limit by size.
    pub(crate) units_max: Option<u32>,
    used: f64,
    at_ms: u64,
}

impl Bucket {
    /// Takes units, at a time in milliseconds since 1970. Calls that are throttled count too, but not
    /// beyond a bucket that is empty.
    pub(crate) fn charge(
        &mut self,
        users: usize,
        units: u32,
        now_ms: u64,
    ) -> (Option<GraphError>, Option<f64>) {
        let units_max = f64::from(self.units_max.unwrap_or(match users {
            ..50 => UNITS_SMALL,
            50..=500 => UNITS_MEDIUM,
            _ => UNITS_LARGE,
        }));
        let passed_ms = u32::try_from(now_ms.saturating_sub(self.at_ms)).unwrap_or(u32::MAX);
        let passed = f64::from(passed_ms) / f64::from(FILLS_IN_MS);
        self.at_ms = now_ms;
        self.used = (self.used - units_max * passed).max(0.0);
        let wanted = self.used + f64::from(units);
        self.used = wanted.min(units_max);
        let share = wanted / units_max;
        let told = (share >= TOLD_FROM).then_some(share);
        // When there is room for it again, in whole seconds.
        let lacking_ms = (wanted - units_max) / units_max * f64::from(FILLS_IN_MS);
        let refusal = (wanted > units_max).then(|| throttled((lacking_ms / 1_000.0).ceil()));
        (refusal, told)
    }
}

fn throttled(retry_after_s: f64) -> GraphError {
    GraphError::new(429, "TooManyRequests", "Please retry again later.")
        .with_header("retry-after", format!("{}", retry_after_s.max(1.0)))
        .with_header(
            "x-ms-throttle-scope",
            "Tenant_Application/ReadWrite/app/tenant",
        )
        .with_header("x-ms-throttle-information", "ResourceUnitLimitExceeded")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry_after(refusal: Option<GraphError>) -> Option<String> {
        let headers = refusal?.headers;
        let found = headers.into_iter().find(|(name, _)| *name == "retry-after");
        found.map(|(_, seconds)| seconds)
    }

    #[test]
    fn a_tenant_has_the_units_of_its_size_and_gets_them_back_within_ten_seconds() {
        for (users, units_max) in [(49, 3_500), (50, 5_000), (500, 5_000), (501, 8_000)] {
            let mut bucket = Bucket::default();
            let (refusal, told) = bucket.charge(users, units_max, 50_000);
            assert!(refusal.is_none() && told == Some(1.0), "{users}");
            let (refusal, _) = bucket.charge(users, units_max / 10, 50_000);
            assert_eq!(retry_after(refusal).as_deref(), Some("1"), "{users}");
            let (refusal, _) = bucket.charge(users, units_max / 2, 54_000);
            assert_eq!(retry_after(refusal).as_deref(), Some("1"), "{users}");
            let (refusal, told) = bucket.charge(users, units_max, 70_000);
            assert!(refusal.is_none() && told == Some(1.0), "{users}");
        }
    }

    #[test]
    fn how_much_is_used_is_told_from_four_fifths_on() {
        let mut bucket = Bucket {
            units_max: Some(10),
            ..Bucket::default()
        };
        assert_eq!(bucket.charge(1, 7, 0).1, None);
        assert_eq!(bucket.charge(1, 1, 0).1, Some(0.8));
        assert_eq!(bucket.charge(1, 3, 0).1, Some(1.1));
    }
}
