//! Leases with fencing tokens.
//!
//! The clock decides only when a lease may be taken over. Whether a write is right is decided by
//! the token: each grant has a higher one than the last, and a write names the token that it was
//! made under.

use serde::{Deserialize, Serialize};

/// The shortest lease that a tenant may ask for, in seconds: shorter ones lapse between two calls.
pub const LEASE_SECONDS_MIN: u64 = 1;
/// The longest lease that a tenant may ask for, in seconds: a killed function's work waits so long.
pub const LEASE_SECONDS_MAX: u64 = 900;

/// A lease as it is stored in the item that it guards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseTerm {
    /// Which invocation has it: a random id, new for each invocation.
    pub owner: String,
    /// The fencing number: it rises with each grant and never falls.
    pub token: u64,
    /// From when on another may take it over, in milliseconds since 1970.
    pub until_ms: u64,
}

impl LeaseTerm {
    /// Whether somebody else may take the lease at `now_ms`.
    #[must_use]
    pub const fn has_lapsed(&self, now_ms: u64) -> bool {
        now_ms >= self.until_ms
    }

    /// The term that `owner` gets at `now_ms` for `lease_ms`, after `previous`; or `None` while
    /// `previous` still runs.
    #[must_use]
    pub fn grant(previous: Option<&Self>, owner: &str, now_ms: u64, lease_ms: u64) -> Option<Self> {
        if previous.is_some_and(|lease| !lease.has_lapsed(now_ms)) {
            return None;
        }
        Some(Self {
            owner: owner.to_owned(),
            token: previous.map_or(1, |lease| lease.token + 1),
            until_ms: now_ms.saturating_add(lease_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_over_only_when_it_lapsed_and_its_token_rises() {
        let first = LeaseTerm::grant(None, "a", 100, 50).unwrap();
        assert_eq!((first.token, first.until_ms), (1, 150));
        assert_eq!(LeaseTerm::grant(Some(&first), "b", 149, 50), None);
        let second = LeaseTerm::grant(Some(&first), "b", 150, 50).unwrap();
        assert_eq!((second.token, second.until_ms), (2, 200));
    }

    #[test]
    fn the_owner_itself_does_not_get_a_second_grant_while_the_first_runs() {
        let first = LeaseTerm::grant(None, "a", 100, 50).unwrap();
        assert_eq!(LeaseTerm::grant(Some(&first), "a", 120, 50), None);
    }
}
