//! Leases of runs and batches: taking, keeping, giving back.
//!
//! A lease value is proof that it was granted; whether it still runs is asked by the condition of
//! each write that it is used for.

use rollcall_core::batch::{BatchEvent, BatchState};
use rollcall_core::ids::RunRef;
use rollcall_core::lease::LeaseTerm;
use rollcall_core::run::RunState;

use crate::batches::BatchRecord;
use crate::conditions::{
    Condition, batch_allows, lease_is, lease_may_be_taken, run_state_in, run_takes_work,
};
use crate::error::{StoreError, WriteFailure};
use crate::row::{Key, number, text};
use crate::runs::RunRecord;
use crate::write::{Changes, Protects, Transaction};
use crate::{Store, Table, keys};

/// The right to write for a run.
#[derive(Debug, Clone)]
pub struct RunLease {
    run: RunRef,
    token: u64,
    taken_from: Option<LeaseTerm>,
    lease_ms: u64,
    ttl_s: u64,
    tells: bool,
}

impl RunLease {
    /// Whose lease lapsed before this one was granted; nobody's if the one before was given back.
    #[must_use]
    pub fn taken_from(&self) -> Option<&LeaseTerm> {
        self.taken_from.as_ref()
    }

    /// Whose.
    #[must_use]
    pub fn run(&self) -> &RunRef {
        &self.run
    }

    /// The fencing number.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// How long it runs without being renewed, in milliseconds.
    #[must_use]
    pub fn lease_ms(&self) -> u64 {
        self.lease_ms
    }

    /// When DynamoDB may drop what is written under it, in seconds since 1970.
    pub(crate) fn ttl_s(&self) -> u64 {
        self.ttl_s
    }

    /// Whether the tenant had a service provider when the run began, which is to be told of what it changed.
    #[must_use]
    pub fn tells(&self) -> bool {
        self.tells
    }
}

/// The right to write for a batch.
#[derive(Debug, Clone)]
pub struct BatchLease {
    run: RunRef,
    generation: u32,
    page: u32,
    owner: String,
    token: u64,
    taken_from: Option<LeaseTerm>,
    lease_ms: u64,
    ttl_s: u64,
}

impl BatchLease {
    /// Whose lease lapsed before this one was granted; nobody's if the one before was given back.
    #[must_use]
    pub fn taken_from(&self) -> Option<&LeaseTerm> {
        self.taken_from.as_ref()
    }

    /// Whose.
    #[must_use]
    pub fn run(&self) -> &RunRef {
        &self.run
    }

    /// The fencing number.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// How long it runs without being renewed, in milliseconds.
    #[must_use]
    pub fn lease_ms(&self) -> u64 {
        self.lease_ms
    }

    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    pub(crate) fn key(&self) -> Key {
        keys::batch(&self.run, self.generation, self.page)
    }

    pub(crate) fn ttl_s(&self) -> u64 {
        self.ttl_s
    }
}

/// What a lease of a run is wanted for: the states in which it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStep {
    /// To enumerate.
    Enumerate,
    /// To prove, plan, apply and complete.
    Finalize,
    /// To end a run whose deadline passed, or to finish ending it.
    GiveUp,
}

impl RunStep {
    const fn states(self) -> &'static [RunState] {
        match self {
            Self::Enumerate => &[RunState::Enumerating],
            Self::Finalize => &[RunState::Draining, RunState::Finalizing, RunState::Applying],
            Self::GiveUp => &[
                RunState::Enumerating,
                RunState::Draining,
                RunState::Finalizing,
                RunState::Failed,
            ],
        }
    }
}

/// When a lease lapses that was given back, in milliseconds since 1970: long ago. The giver's own time
/// would not do, for whoever comes next may have a clock that is behind it.
pub(crate) const GIVEN_BACK_MS: u64 = 0;

/// In these states a lease may be kept: a run that ended well is never written to again.
const KEPT_STATES: [RunState; 5] = [
    RunState::Enumerating,
    RunState::Draining,
    RunState::Finalizing,
    RunState::Applying,
    RunState::Failed,
];

/// What asking for a run's lease gave.
#[derive(Debug)]
pub enum AcquiredRun {
    /// The lease, with the run as it is under it.
    Granted(RunLease, Box<RunRecord>),
    /// Somebody else has it, and rings again himself if there is more to do.
    Busy,
    /// The run is in no state for this step.
    NotNow(RunState),
    /// There is no such run.
    Unknown,
}

/// What asking for a batch's lease gave.
#[derive(Debug)]
pub enum AcquiredBatch {
    /// The lease, with the batch as it is under it.
    Granted(BatchLease, Box<BatchRecord>),
    /// Somebody else has it, and rings again himself if there is more to do.
    Busy,
    /// Somebody on its page stands on an earlier page too, whose batch is still open.
    Waits,
    /// There is nothing to do: the batch is done or revoked, or its run has ended.
    Over(Box<BatchRecord>),
    /// There is no such batch.
    Unknown,
}

impl Store {
    /// Asks for a run's lease, for an invocation with a name of its own.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn acquire_run(
        &self,
        run: &RunRef,
        step: RunStep,
        owner: &str,
    ) -> Result<AcquiredRun, StoreError> {
        let Some(record) = self.run(run).await? else {
            return Ok(AcquiredRun::Unknown);
        };
        if !step.states().contains(&record.state) {
            return Ok(AcquiredRun::NotNow(record.state));
        }
        let now_ms = self.ambient.now_ms();
        let last_token = record.lease.as_ref().map_or(0, |lease| lease.token);
        let Some(term) = LeaseTerm::grant(record.lease.as_ref(), owner, now_ms, record.lease_ms)
        else {
            return Ok(AcquiredRun::Busy);
        };
        let condition = lease_may_be_taken(last_token, now_ms).and(run_state_in(step.states()));
        let taken_from = record.lease.filter(was_not_given_back);
        let key = keys::run(run);
        let written = self
            .update_if(Table::Coordination, &key, &lease_changes(&term), &condition)
            .await;
        let record = match written {
            Ok(item) => RunRecord::read(&item)?,
            Err(WriteFailure::Error(error)) => return Err(error),
            // An answer that was lost and asked for again looks like a refusal: read the owner back.
            Err(WriteFailure::Condition) => match self.run(run).await? {
                Some(now) if now.lease.as_ref().is_some_and(|l| is_same_grant(l, &term)) => now,
                Some(_) => return Ok(AcquiredRun::Busy),
                None => return Ok(AcquiredRun::Unknown),
            },
        };
        let lease = RunLease {
            run: run.clone(),
            token: term.token,
            taken_from,
            lease_ms: record.lease_ms,
            ttl_s: record.ttl_s,
            tells: record.tells,
        };
        Ok(AcquiredRun::Granted(lease, Box::new(record)))
    }

    /// Keeps a run's lease for another term.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when it is somebody else's, or the run has ended.
    pub async fn keep_run(&self, lease: &RunLease) -> Result<(), StoreError> {
        let until_ms = self.ambient.now_ms() + lease.lease_ms;
        let condition = lease_is(lease.token).and(run_state_in(&KEPT_STATES));
        self.set_lease_end(&keys::run(&lease.run), until_ms, &condition)
            .await
    }

    /// Gives a run's lease back, so that the next step need not wait for it to lapse.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] as above.
    pub async fn release_run(&self, lease: &RunLease) -> Result<(), StoreError> {
        let condition = lease_is(lease.token).and(run_state_in(&KEPT_STATES));
        self.set_lease_end(&keys::run(&lease.run), GIVEN_BACK_MS, &condition)
            .await
    }

    /// Asks for a batch's lease. It is given only while the run takes work.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn acquire_batch(
        &self,
        run: &RunRef,
        generation: u32,
        page: u32,
        owner: &str,
    ) -> Result<AcquiredBatch, StoreError> {
        let Some(batch) = self.batch(run, generation, page).await? else {
            return Ok(AcquiredBatch::Unknown);
        };
        if !batch.state.is_open() {
            return Ok(AcquiredBatch::Over(Box::new(batch)));
        }
        if batch.repeats && self.earlier_batches_open(run, generation, page).await? {
            return Ok(AcquiredBatch::Waits);
        }
        let now_ms = self.ambient.now_ms();
        let last_token = batch.lease.as_ref().map_or(0, |lease| lease.token);
        let Some(term) = LeaseTerm::grant(batch.lease.as_ref(), owner, now_ms, batch.lease_ms)
        else {
            return Ok(AcquiredBatch::Busy);
        };
        let condition = lease_may_be_taken(last_token, now_ms).and(batch_allows(BatchEvent::Lease));
        let key = keys::batch(run, generation, page);
        let changes = lease_changes(&term).set("state", text(BatchState::Leased.name()));
        let written = Transaction::new(self)
            .check(
                Protects::Read("the run"),
                Table::Coordination,
                &keys::run(run),
                &run_takes_work(),
            )
            .update(
                Protects::Read("the batch"),
                Table::Coordination,
                &key,
                &changes,
                &condition,
            )
            .send()
            .await;
        match written {
            Ok(()) => {}
            Err(StoreError::Changed { .. }) => {
                return self.after_refusal(run, &batch, now_ms).await;
            }
            Err(error) => return Err(error),
        }
        let lease = BatchLease {
            run: run.clone(),
            generation,
            page,
            owner: owner.to_owned(),
            token: term.token,
            taken_from: batch.lease.clone().filter(was_not_given_back),
            lease_ms: batch.lease_ms,
            ttl_s: batch.ttl_s,
        };
        Ok(AcquiredBatch::Granted(lease, Box::new(batch)))
    }

    /// A transaction with its token cannot be refused because of itself, so this is a real refusal.
    /// Somebody who took the lease has it, or gave it back and rang; a batch that nobody touched was
    /// refused for its run's sake.
    async fn after_refusal(
        &self,
        run: &RunRef,
        read: &BatchRecord,
        now_ms: u64,
    ) -> Result<AcquiredBatch, StoreError> {
        let Some(now) = self.batch(run, read.generation, read.page).await? else {
            return Ok(AcquiredBatch::Unknown);
        };
        let last_token = read.lease.as_ref().map(|lease| lease.token);
        let is_touched =
            |lease: &LeaseTerm| Some(lease.token) != last_token || !lease.has_lapsed(now_ms);
        match &now.lease {
            Some(lease) if now.state.is_open() && is_touched(lease) => Ok(AcquiredBatch::Busy),
            _ => Ok(AcquiredBatch::Over(Box::new(now))),
        }
    }

    async fn earlier_batches_open(
        &self,
        run: &RunRef,
        generation: u32,
        page: u32,
    ) -> Result<bool, StoreError> {
        let over = self.over_from_the_last(run, generation, Some(page)).await?;
        // Compared with how many there are, so that a list that reads empty is no "all over".
        Ok(over.count < page.saturating_sub(1))
    }

    /// Keeps a batch's lease for another term.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when it is somebody else's, or the batch was revoked.
    pub async fn keep_batch(&self, lease: &BatchLease) -> Result<(), StoreError> {
        let until_ms = self.ambient.now_ms() + lease.lease_ms;
        let condition = lease_is(lease.token).and(batch_allows(BatchEvent::Keep));
        self.set_lease_end(&lease.key(), until_ms, &condition).await
    }

    /// Gives a batch's lease back, unfinished.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] as above.
    pub async fn release_batch(&self, lease: &BatchLease) -> Result<(), StoreError> {
        let condition = lease_is(lease.token).and(batch_allows(BatchEvent::Keep));
        self.set_lease_end(&lease.key(), GIVEN_BACK_MS, &condition)
            .await
    }

    pub(crate) async fn set_lease_end(
        &self,
        key: &Key,
        until_ms: u64,
        condition: &Condition,
    ) -> Result<(), StoreError> {
        let changes = Changes::new().set("lease_until", number(until_ms));
        match self
            .update_if(Table::Coordination, key, &changes, condition)
            .await
        {
            Ok(_) => Ok(()),
            Err(WriteFailure::Condition) => Err(StoreError::LostLease),
            Err(WriteFailure::Error(error)) => Err(error),
        }
    }
}

/// Whether whoever had a lease kept it to its end: he was killed, or is late.
pub(crate) const fn was_not_given_back(lease: &LeaseTerm) -> bool {
    lease.until_ms != GIVEN_BACK_MS
}

pub(crate) fn is_same_grant(stored: &LeaseTerm, granted: &LeaseTerm) -> bool {
    stored.owner == granted.owner && stored.token == granted.token
}

pub(crate) fn lease_changes(term: &LeaseTerm) -> Changes {
    Changes::new()
        .set("lease_owner", text(&term.owner))
        .set("lease_token", number(term.token))
        .set("lease_until", number(term.until_ms))
}
