//! Looks over the shoulder of each step: compares the state before with the one after, by rules of
//! its own that the steps do not use, and remembers what was wrong.

use rollcall_core::batch::BatchState;
use rollcall_core::run::{RunEvent, RunState, next_run_state};
use rollcall_core::status::Status;

use crate::state::{Invocation, RUNS, Role, Run, State};

/// Something that no step may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// Somebody other than the finalizer switched a user off.
    OffByAnother = 1,
    /// A user was switched off while the run was not APPLYING.
    OffOutsideApplying = 2,
    /// Something was written without the current lease.
    StaleWrite = 4,
    /// A plan was stored over batches that are not all there, done and counted.
    UnprovenPlan = 8,
    /// A run that had ended well was written.
    EndedRunWritten = 16,
    /// A grant did not raise the token.
    TokenNotRaised = 32,
    /// A run was approved that did not wait, or by somebody who had looked at another one's plan.
    ApprovedAnother = 64,
    /// A run was approved again.
    ApprovedTwice = 128,
    /// A revert wrote somebody whom its run was not the last to write.
    TookBackAnother = 256,
}

/// A set of [`Wrong`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Wrongs(u16);

impl Wrongs {
    /// Whether this is among them.
    #[must_use]
    pub const fn has(self, wrong: Wrong) -> bool {
        self.0 & wrong as u16 != 0
    }

    fn note(&mut self, wrong: Wrong, is_so: bool) {
        if is_so {
            self.0 |= wrong as u16;
        }
    }
}

/// Notes in `after` what was wrong about a step of `me`, as `me` was before it; none for the start of
/// a run and the end of a hold.
pub(crate) fn step(before: &State, after: &mut State, me: Option<&Invocation>) {
    let mut wrongs = after.wrongs;
    if let Some(me) = me {
        let wrote = before.runs != after.runs
            || before.people != after.people
            || before.head != after.head
            || before.reverts != after.reverts;
        wrongs.note(Wrong::StaleWrite, wrote && !is_current(before, me));
        let changed = || before.people.iter().zip(&after.people);
        wrongs.note(
            Wrong::TookBackAnother,
            me.role == Role::Reverter
                && changed().any(|(was, is)| was != is && was.written_by != Some(me.run)),
        );
        let someone_went_off = changed()
            .any(|(was, is)| was.status == Status::Active && is.status == Status::Inactive);
        wrongs.note(
            Wrong::OffByAnother,
            someone_went_off && me.role != Role::Finalizer,
        );
        wrongs.note(
            Wrong::OffOutsideApplying,
            someone_went_off && before.run_state(me.run) != Some(RunState::Applying),
        );
    }
    for (was, is) in before.runs.iter().zip(&after.runs) {
        if let (Some(was), Some(is)) = (was, is) {
            let stored_now = was.plan.is_none() && is.plan.is_some();
            wrongs.note(Wrong::UnprovenPlan, stored_now && !is_whole_and_done(was));
        }
    }
    wrongs.note(
        Wrong::EndedRunWritten,
        wrote_an_ended_run(before, after, None),
    );
    after.wrongs = wrongs;
}

/// Notes in `after` what was wrong about the approval of a run, by somebody who had looked at the plan of
/// `looked_at`.
pub(crate) fn approval(before: &State, after: &mut State, run: u8, looked_at: u8) {
    let mut wrongs = after.wrongs;
    let is_waiting =
        before.head.held_run == Some(run) && before.run_state(run) == Some(RunState::Held);
    wrongs.note(Wrong::ApprovedAnother, !is_waiting || looked_at != run);
    let was_approved = before.run(run).is_some_and(|run| run.approved);
    wrongs.note(Wrong::ApprovedTwice, was_approved);
    wrongs.note(
        Wrong::EndedRunWritten,
        wrote_an_ended_run(before, after, Some(run)),
    );
    after.wrongs = wrongs;
}

/// Notes in `after` what was wrong about a grant.
pub(crate) fn grant(before: &State, after: &mut State, me: &Invocation) {
    let mut wrongs = after.wrongs;
    let token = |state: &State| state.lease(me).map_or(0, |lease| lease.token);
    wrongs.note(Wrong::TokenNotRaised, token(after) <= token(before));
    wrongs.note(
        Wrong::EndedRunWritten,
        wrote_an_ended_run(before, after, None),
    );
    after.wrongs = wrongs;
}

/// Whether the lease that `me` was granted is the last that was granted, and the run was not approved
/// since; of a batch, whether it is still leased at all.
fn is_current(state: &State, me: &Invocation) -> bool {
    let token = state.lease(me).map(|lease| lease.token);
    let is_approved = state.run(me.run).is_some_and(|run| run.approved);
    let is_leased = me.batch().is_none_or(|at| {
        let batch = state.run(me.run).and_then(|run| run.batch(at));
        batch.is_some_and(|batch| batch.state == BatchState::Leased)
    });
    let is_same_run = me.role == Role::Reverter || is_approved == me.approved;
    token == Some(me.token) && is_same_run && is_leased
}

/// Whether the sealed generation has a batch for each page, each done, with the counts in agreement.
fn is_whole_and_done(run: &Run) -> bool {
    let done = run.current_batches().filter(|(_, batch)| {
        batch.state == BatchState::Done && batch.counted == Some(batch.content.sightings())
    });
    let counted: u8 = run
        .current_batches()
        .filter_map(|(_, batch)| batch.counted)
        .sum();
    run.last_page > 0
        && run.last.is_some_and(|content| content.last)
        && done.count() == usize::from(run.last_page)
        && counted == run.sightings
}

/// Whether a run changed that had ended well. Only the end of its hold is allowed: its plan becomes
/// void, or a person decides.
fn wrote_an_ended_run(before: &State, after: &State, approved: Option<u8>) -> bool {
    (0..RUNS).any(|place| match (&before.runs[place], &after.runs[place]) {
        (Some(was), Some(is)) if was.state.has_ended() && was.state != RunState::Failed => {
            let is_approved = approved.map(usize::from) == Some(place + 1);
            let allowed = |event| match next_run_state(was.state, event) {
                Ok(state) if event != RunEvent::Approve => *is == Run { state, ..*was },
                // The lease is the next one, of nobody.
                Ok(state) if is_approved => {
                    let (approved, lease) = (true, is.lease);
                    *is == Run {
                        state,
                        approved,
                        lease,
                        ..*was
                    }
                }
                _ => false,
            };
            let ends = [RunEvent::Supersede, RunEvent::Reject, RunEvent::Approve];
            is != was && !ends.into_iter().any(allowed)
        }
        _ => false,
    })
}
