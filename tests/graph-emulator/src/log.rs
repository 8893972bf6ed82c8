//! What was asked, for tests to read.

use std::collections::{BTreeMap, VecDeque};

use uuid::Uuid;

use crate::request::Endpoint;

/// The most requests that the log holds; the oldest goes first. At about 1.5 kB each that is 30 MB.
pub const LOG_ENTRIES_MAX: usize = 20_000;

/// One request and how it was answered. It never holds a bearer or a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// When the request came, in milliseconds since 1970.
    pub at_ms: u64,
    /// What was asked.
    pub endpoint: Endpoint,
    /// The method, as it was sent.
    pub method: String,
    /// The URL as it was asked for, with the query.
    pub url: String,
    /// Whose directory, if the bearer (or, at the token endpoint, the path) tells.
    pub tenant: Option<Uuid>,
    /// The page of a list, from 1; none if it is no list or the page token is unknown.
    pub page: Option<u32>,
    /// The status that was sent; none if the connection was ended instead.
    pub status: Option<u16>,
    /// Whether a bearer came along, good or bad.
    pub bearer: bool,
    /// Whether a rule had a fault for the request.
    pub faulted: bool,
    /// The `client-request-id` header, if one was sent.
    pub client_request_id: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    entries: VecDeque<LogEntry>,
    counts: BTreeMap<Endpoint, u64>,
}

impl RequestLog {
    pub(crate) fn push(&mut self, entry: LogEntry) {
        *self.counts.entry(entry.endpoint).or_default() += 1;
        if self.entries.len() >= LOG_ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    pub(crate) fn entries(&self) -> Vec<LogEntry> {
        self.entries.iter().cloned().collect()
    }

    pub(crate) fn count(&self, endpoint: Endpoint) -> u64 {
        self.counts.get(&endpoint).copied().unwrap_or_default()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_forgets_the_oldest_request_but_not_its_count() {
        let mut log = RequestLog::default();
        let entry = |at_ms| LogEntry {
            at_ms,
            endpoint: Endpoint::Users,
            method: "GET".to_owned(),
            url: String::new(),
            tenant: None,
            page: None,
            status: None,
            bearer: false,
            faulted: false,
            client_request_id: None,
        };
        for at_ms in 0..=20_000 {
            log.push(entry(at_ms));
        }
        let entries = log.entries();
        assert_eq!((entries.len(), entries[0].at_ms), (LOG_ENTRIES_MAX, 1));
        assert_eq!(log.count(Endpoint::Users), 20_001);
    }
}
