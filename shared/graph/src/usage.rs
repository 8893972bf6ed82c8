//! What a client has asked of Graph so far.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the client was made. Token requests are not among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// HTTP requests sent to Graph, repetitions included. A `$batch` is one.
    pub requests: u64,
    /// Answers with status 429, those inside a `$batch` included.
    pub throttled: u64,
    /// Requests that were repetitions.
    pub retried: u64,
    /// Resource units that Graph says it charged (`x-ms-resource-unit`).
    /// <https://learn.microsoft.com/graph/throttling-limits#identity-and-access-service-limits>
    pub resource_units: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: AtomicU64,
    throttled: AtomicU64,
    retried: AtomicU64,
    resource_units: AtomicU64,
}

impl Counters {
    pub(crate) fn sent(&self, repetition: bool) {
        self.requests.fetch_add(1, Relaxed);
        self.retried.fetch_add(u64::from(repetition), Relaxed);
    }

    pub(crate) fn throttled(&self) {
        self.throttled.fetch_add(1, Relaxed);
    }

    pub(crate) fn charged(&self, units: u64) {
        self.resource_units.fetch_add(units, Relaxed);
    }

    pub(crate) fn read(&self) -> Usage {
        Usage {
            requests: self.requests.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
            retried: self.retried.load(Relaxed),
            resource_units: self.resource_units.load(Relaxed),
        }
    }
}
