//! The states of a batch: the work of one page, as a pure function.

use serde::{Deserialize, Serialize};

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BatchState {
    /// Waits for a worker.
    Pending,
    /// A worker has it, or had it and is late.
    Leased,
    /// All its writes are made. A page on which nothing changed is born so.
    Done,
    /// Its run was given up, or began a new generation. Nothing may write for it any more.
    Revoked,
}

impl BatchState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Leased, Self::Done, Self::Revoked];

    /// The name that is stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Leased => "LEASED",
            Self::Done => "DONE",
            Self::Revoked => "REVOKED",
        }
    }

    /// Whether a worker still has to do something.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Leased)
    }
}

/// The page whose batch has to be over before that of `page` has its turn, where so many are worked on at a time; `None`
/// for the first pages.
#[must_use]
pub fn turn_after(page: u32, at_once: u32) -> Option<u32> {
    page.checked_sub(at_once).filter(|before| *before > 0)
}

/// What can happen to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BatchEvent {
    /// A worker takes the lease, anew or over.
    Lease,
    /// The holder renews the lease, or writes users under it.
    Keep,
    /// The holder reports that all writes are made.
    Finish,
    /// The run is given up.
    Revoke,
}

impl BatchEvent {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Lease, Self::Keep, Self::Finish, Self::Revoke];

    /// The states in which this may happen.
    #[must_use]
    pub const fn from_states(self) -> &'static [BatchState] {
        match self {
            Self::Lease | Self::Revoke => &[BatchState::Pending, BatchState::Leased],
            Self::Keep | Self::Finish => &[BatchState::Leased],
        }
    }

    /// The state after it.
    #[must_use]
    pub const fn to_state(self) -> BatchState {
        match self {
            Self::Lease | Self::Keep => BatchState::Leased,
            Self::Finish => BatchState::Done,
            Self::Revoke => BatchState::Revoked,
        }
    }
}

/// An event that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} is not allowed in {state:?}")]
pub struct IllegalBatchEvent {
    /// Where the batch stood.
    pub state: BatchState,
    /// What was tried.
    pub event: BatchEvent,
}

/// The transition function.
///
/// # Errors
/// [`IllegalBatchEvent`] where the state does not allow the event.
pub fn next_batch_state(
    state: BatchState,
    event: BatchEvent,
) -> Result<BatchState, IllegalBatchEvent> {
    if event.from_states().contains(&state) {
        Ok(event.to_state())
    } else {
        Err(IllegalBatchEvent { state, event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_is_done_or_revoked_stays_so() {
        for state in [BatchState::Done, BatchState::Revoked] {
            for event in BatchEvent::ALL {
                assert!(
                    next_batch_state(state, event).is_err(),
                    "{state:?} {event:?}"
                );
            }
        }
    }

    #[test]
    fn nobody_finishes_a_batch_without_a_lease() {
        assert!(next_batch_state(BatchState::Pending, BatchEvent::Finish).is_err());
        assert_eq!(
            next_batch_state(BatchState::Leased, BatchEvent::Finish),
            Ok(BatchState::Done)
        );
    }
}
