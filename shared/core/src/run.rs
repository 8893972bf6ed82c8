//! The states of a run, as a pure function: `state × event → state`, or it is illegal.
//!
//! `ENUMERATING → DRAINING → FINALIZING → COMPLETED | HELD | FAILED`. The store turns each event
//! into exactly one DynamoDB condition, from [`RunEvent::from_states`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunState {
    /// The enumerator is fetching pages.
    Enumerating,
    /// The last page is committed; batches are still open.
    Draining,
    /// The finalizer is proving, confirming and planning. Nobody has been switched off.
    Finalizing,
    /// The plan is being carried out: from here a run only rolls forward. Shown as FINALIZING.
    Applying,
    /// Ended, and the directory is in step.
    Completed,
    /// A guard holds the plan until a person decides. The updates stand.
    Held,
    /// A person dropped the held plan.
    Rejected,
    /// A later full run stored a plan of its own, so the held one is void.
    Superseded,
    /// Ended without switching anybody off.
    Failed,
}

impl RunState {
    /// All of them, for tests and for reading a stored name back.
    pub const ALL: [Self; 9] = [
        Self::Enumerating,
        Self::Draining,
        Self::Finalizing,
        Self::Applying,
        Self::Completed,
        Self::Held,
        Self::Rejected,
        Self::Superseded,
        Self::Failed,
    ];

    /// The name that is stored.
    #[must_use]
    pub const fn stored_name(self) -> &'static str {
        match self {
            Self::Enumerating => "ENUMERATING",
            Self::Draining => "DRAINING",
            Self::Finalizing => "FINALIZING",
            Self::Applying => "APPLYING",
            Self::Completed => "COMPLETED",
            Self::Held => "HELD",
            Self::Rejected => "REJECTED",
            Self::Superseded => "SUPERSEDED",
            Self::Failed => "FAILED",
        }
    }

    /// The name that is shown: carrying out a plan is a part of FINALIZING.
    #[must_use]
    pub const fn shown_name(self) -> &'static str {
        match self {
            Self::Applying => "FINALIZING",
            other => other.stored_name(),
        }
    }

    /// Whether nothing more happens to the run without a person. A held run has ended too: it is
    /// no longer its tenant's active run.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Held | Self::Rejected | Self::Superseded | Self::Failed
        )
    }
}

/// What can happen to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunEvent {
    /// A page was fetched and has a successor.
    CommitPage,
    /// A page token died; page 1 comes next, in a new generation.
    NewGeneration,
    /// The last page was fetched.
    Seal,
    /// Every batch is done.
    BeginFinalizing,
    /// The plan passed its guards (or was approved) and is carried out now.
    BeginApplying,
    /// Everything is done.
    Complete,
    /// A guard tripped.
    Hold,
    /// The run cannot reach its end.
    Fail,
    /// A person released the held plan.
    Approve,
    /// A person dropped the held plan.
    Reject,
    /// A later full run stored its own plan.
    Supersede,
}

impl RunEvent {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::CommitPage,
        Self::NewGeneration,
        Self::Seal,
        Self::BeginFinalizing,
        Self::BeginApplying,
        Self::Complete,
        Self::Hold,
        Self::Fail,
        Self::Approve,
        Self::Reject,
        Self::Supersede,
    ];

    /// The states in which this may happen.
    #[must_use]
    pub const fn from_states(self) -> &'static [RunState] {
        use RunState::{Applying, Draining, Enumerating, Finalizing, Held};
        match self {
            Self::CommitPage | Self::NewGeneration | Self::Seal => &[Enumerating],
            Self::BeginFinalizing => &[Draining],
            Self::BeginApplying => &[Finalizing],
            // A plan that is empty has no first deactivation to roll forward from.
            Self::Complete => &[Finalizing, Applying],
            Self::Hold => &[Finalizing],
            // Not from Applying: after the first deactivation a run only rolls forward.
            Self::Fail => &[Enumerating, Draining, Finalizing],
            Self::Approve | Self::Reject | Self::Supersede => &[Held],
        }
    }

    /// The state after it.
    #[must_use]
    pub const fn to_state(self) -> RunState {
        match self {
            Self::CommitPage | Self::NewGeneration => RunState::Enumerating,
            Self::Seal => RunState::Draining,
            Self::BeginFinalizing | Self::Approve => RunState::Finalizing,
            Self::BeginApplying => RunState::Applying,
            Self::Complete => RunState::Completed,
            Self::Hold => RunState::Held,
            Self::Fail => RunState::Failed,
            Self::Reject => RunState::Rejected,
            Self::Supersede => RunState::Superseded,
        }
    }
}

/// An event that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} is not allowed in {state:?}")]
pub struct IllegalRunEvent {
    /// Where the run stood.
    pub state: RunState,
    /// What was tried.
    pub event: RunEvent,
}

/// The transition function.
///
/// # Errors
/// [`IllegalRunEvent`] where the state does not allow the event.
pub fn next_run_state(state: RunState, event: RunEvent) -> Result<RunState, IllegalRunEvent> {
    if event.from_states().contains(&state) {
        Ok(event.to_state())
    } else {
        Err(IllegalRunEvent { state, event })
    }
}

/// Why a run failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailReason {
    /// Graph gave no user at all.
    EmptyEnumeration,
    /// What Graph gave cannot be a true list.
    EnumerationUnreliable,
    /// A page or a batch is missing, unreadable or does not add up.
    Incomplete,
    /// Graph refused (403).
    GraphDenied,
    /// Graph could not be reached, or went on failing.
    GraphUnavailable,
    /// The credential was refused.
    CredentialRejected,
    /// The run took longer than its tenant allows.
    Deadline,
    /// A next link or a redirect led to another origin.
    UnsafeLink,
    /// The tenant's settings changed under the run.
    SettingsChanged,
    /// A group of the scope could not be read.
    GroupUnavailable,
}

impl FailReason {
    /// The name that is stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EmptyEnumeration => "empty_enumeration",
            Self::EnumerationUnreliable => "enumeration_unreliable",
            Self::Incomplete => "incomplete",
            Self::GraphDenied => "graph_denied",
            Self::GraphUnavailable => "graph_unavailable",
            Self::CredentialRejected => "credential_rejected",
            Self::Deadline => "deadline",
            Self::UnsafeLink => "unsafe_link",
            Self::SettingsChanged => "settings_changed",
            Self::GroupUnavailable => "group_unavailable",
        }
    }
}

impl fmt::Display for FailReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a run learns what changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunMode {
    /// The whole directory, page by page: the only mode that can find an absence.
    Full,
    /// What changed since the last run. Who is not told of is not absent.
    Delta,
}

impl RunMode {
    /// The name that is stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Delta => "delta",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_has_begun_to_deactivate_can_only_complete() {
        let allowed: Vec<_> = RunEvent::ALL
            .into_iter()
            .filter(|event| next_run_state(RunState::Applying, *event).is_ok())
            .collect();
        assert_eq!(allowed, [RunEvent::Complete]);
    }

    #[test]
    fn nothing_follows_an_end_but_a_persons_word_on_a_held_run() {
        for state in RunState::ALL.into_iter().filter(|s| s.has_ended()) {
            let allowed: Vec<_> = RunEvent::ALL
                .into_iter()
                .filter(|event| next_run_state(state, *event).is_ok())
                .collect();
            if state == RunState::Held {
                assert_eq!(
                    allowed,
                    [RunEvent::Approve, RunEvent::Reject, RunEvent::Supersede]
                );
            } else {
                assert!(allowed.is_empty(), "{state:?} allows {allowed:?}");
            }
        }
    }

    #[test]
    fn every_state_before_the_first_deactivation_can_fail() {
        for state in [
            RunState::Enumerating,
            RunState::Draining,
            RunState::Finalizing,
        ] {
            assert_eq!(next_run_state(state, RunEvent::Fail), Ok(RunState::Failed));
        }
    }

    #[test]
    fn names_read_back() {
        for state in RunState::ALL {
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{}\"", state.stored_name()));
        }
        let json = serde_json::to_string(&FailReason::EmptyEnumeration).unwrap();
        assert_eq!(json, format!("\"{}\"", FailReason::EmptyEnumeration.name()));
    }
}
