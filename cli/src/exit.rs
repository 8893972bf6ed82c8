//! How a command ends, as other programs see it.

use std::process::ExitCode;

use rollcall_core::run::RunState;
use rollcall_local::LocalError;

/// The exit codes, in their order: of several the highest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done, and every run COMPLETED.
    Done = 0,
    /// Something that should not happen.
    Unexpected = 1,
    /// The input is wrong.
    BadInput = 2,
    /// A run is HELD.
    Held = 3,
    /// A run FAILED, or Graph refuses.
    Failed = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        // The discriminants are the codes.
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The code for an error that a command ended with.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let unusable_directory = matches!(
            error.downcast_ref(),
            Some(LocalError::DirNotUsable { .. } | LocalError::Database { .. })
        );
        if unusable_directory || error.is::<BadInput>() {
            Self::BadInput
        } else {
            Self::Unexpected
        }
    }

    /// The code for a run that ended.
    pub(crate) fn of_run(state: RunState) -> Self {
        match state {
            RunState::Completed => Self::Done,
            RunState::Held | RunState::Rejected | RunState::Superseded => Self::Held,
            RunState::Failed => Self::Failed,
            RunState::Enumerating
            | RunState::Draining
            | RunState::Finalizing
            | RunState::Applying => Self::Unexpected,
        }
    }
}

/// What was given is wrong. The message names the thing, the value and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadInput(pub(crate) String);

/// An error for bad input.
pub(crate) fn bad_input(message: impl Into<String>) -> anyhow::Error {
    BadInput(message.into()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_ends_the_highest_counts() {
        let ends = [Exit::Done, Exit::Held, Exit::Failed, Exit::Unexpected];
        assert_eq!(ends.into_iter().max(), Some(Exit::Failed));
        assert!(Exit::BadInput > Exit::Unexpected);
    }

    #[test]
    fn only_a_completed_run_is_a_success() {
        for state in RunState::ALL {
            let done = Exit::of_run(state) == Exit::Done;
            assert_eq!(done, state == RunState::Completed, "{state:?}");
        }
    }
}
