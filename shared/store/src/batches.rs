//! Batches, as they are read, and their two ends: done and revoked.

use std::ops::ControlFlow;

use rollcall_core::batch::{BatchEvent, BatchState, turn_after};
use rollcall_core::counts::ChangeCounts;
use rollcall_core::evidence::RequestId;
use rollcall_core::ids::RunRef;
use rollcall_core::lease::LeaseTerm;
use rollcall_core::page::PageDigest;
use rollcall_core::proof::BatchFact;
use rollcall_core::reconcile::Candidate;
use rollcall_core::run::RunState;

use crate::conditions::{batch_allows, lease_is, run_state_in};
use crate::error::{StoreError, WriteFailure};
use crate::leases::{BatchLease, RunLease};
use crate::read::Range;
use crate::row::{Item, Row, json, number, text};
use crate::runs::{RunRecord, Usage, read_lease};
use crate::write::{Changes, Protects, Transaction};
use crate::{Store, Table, keys};

/// The most actions of one transaction.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
pub(crate) const TRANSACTION_ACTIONS_MAX: usize = 100;

/// How many batches one answer has when one that is open is looked for: some kilobytes, or some hundred where the
/// batches have many candidates.
const LOOKED_AT_ONCE: i32 = 50;

/// How many batches are over, before one that is open.
#[derive(Debug, Default)]
pub(crate) struct Over {
    pub(crate) count: u32,
    /// Whether there is one that is open.
    pub(crate) then_open: bool,
}

/// A batch as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRecord {
    /// Its generation.
    pub generation: u32,
    /// Its page.
    pub page: u32,
    /// Where it stands.
    pub state: BatchState,
    /// The digest of its page.
    pub digest: PageDigest,
    /// The digest of the page before.
    pub previous: Option<PageDigest>,
    /// How many users stand on the page.
    pub sightings: u64,
    /// How many of them are new or changed.
    pub changed: u64,
    /// The request to Graph that its page came by.
    pub request: RequestId,
    /// Whether somebody on it stands on an earlier page too: it is worked on after those.
    pub repeats: bool,
    /// How many users the worker counted; `None` until it is done.
    pub counted: Option<u64>,
    /// How many batches of the run are worked on at a time; `None` if each is worked on when it comes.
    pub at_once: Option<u32>,
    /// Its lease, running or lapsed.
    pub lease: Option<LeaseTerm>,
    /// How long its leases run, in milliseconds.
    pub lease_ms: u64,
    /// What the worker did.
    pub result: BatchResult,
    /// What the worker used.
    pub usage: Usage,
    pub(crate) ttl_s: u64,
}

/// What a worker reports of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchResult {
    /// How many users it created, updated and reactivated.
    pub changes: ChangeCounts,
    /// How many users had a null in a field that decides.
    pub unknown: u64,
    /// Who should go off.
    pub candidates: Vec<Candidate>,
}

impl BatchRecord {
    fn read(item: &Item) -> Result<Self, StoreError> {
        let row = Row(item);
        let count = |name| row.number_if_any(name).map(Option::unwrap_or_default);
        Ok(Self {
            generation: row.number("generation")?,
            page: row.number("page")?,
            state: row.named("state")?,
            digest: PageDigest::from_stored(row.text("digest")?.to_owned()),
            previous: row
                .text_if_any("previous")?
                .map(|digest| PageDigest::from_stored(digest.to_owned())),
            sightings: row.number("sightings")?,
            changed: row.number("changed")?,
            request: row.text_if_any("graph_request")?.map(str::to_owned).into(),
            repeats: row.flag_if_any("repeats")?.unwrap_or_default(),
            counted: row.number_if_any("counted")?,
            at_once: row.number_if_any("at_once")?,
            lease: read_lease(&row)?,
            lease_ms: row.number("lease_ms")?,
            result: BatchResult {
                changes: ChangeCounts {
                    created: count("created")?,
                    updated: count("updated")?,
                    reactivated: count("reactivated")?,
                },
                unknown: count("unknown")?,
                candidates: row.json_if_any("candidates")?.unwrap_or_default(),
            },
            usage: Usage::read(&row)?,
            ttl_s: row.number("ttl")?,
        })
    }

    /// The page whose batch has to be over before this one has its turn.
    #[must_use]
    pub fn turn_after(&self) -> Option<u32> {
        turn_after(self.page, self.at_once?)
    }

    /// The page whose batch has its turn when this one is over.
    #[must_use]
    pub fn next_turn(&self) -> Option<u32> {
        self.page.checked_add(self.at_once?)
    }

    /// What the proof needs of it.
    #[must_use]
    pub fn fact(&self) -> BatchFact {
        BatchFact {
            generation: self.generation,
            page: self.page,
            state: self.state,
            digest: self.digest.clone(),
            previous: self.previous.clone(),
            sightings: self.sightings,
            counted: self.counted,
        }
    }
}

impl Store {
    /// A batch.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn batch(
        &self,
        run: &RunRef,
        generation: u32,
        page: u32,
    ) -> Result<Option<BatchRecord>, StoreError> {
        let key = keys::batch(run, generation, page);
        let item = self.get(Table::Coordination, &key).await?;
        item.as_ref().map(BatchRecord::read).transpose()
    }

    /// The batches of a run, or of one generation of it, by generation and page.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn batches(
        &self,
        run: &RunRef,
        generation: Option<u32>,
    ) -> Result<Vec<BatchRecord>, StoreError> {
        let partition = keys::batches_partition(run);
        let prefix = generation.map(keys::generation_prefix);
        let range = Range {
            prefix: prefix.as_deref(),
            ..Range::of(Table::Coordination, &partition)
        };
        let mut batches = Vec::new();
        self.query(range, |item| {
            batches.push(BatchRecord::read(item)?);
            Ok(())
        })
        .await?;
        Ok(batches)
    }

    /// Whether a batch of a generation is open. Good to wake somebody by, and no more: an empty list has no open
    /// batch. What is proven compares the list with the seal.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn has_open_batch(&self, run: &RunRef, generation: u32) -> Result<bool, StoreError> {
        let over = self.over_from_the_last(run, generation, None).await?;
        Ok(over.then_open)
    }

    /// The batches of a generation, or of its pages before one, that are over: from the last page to the first, and no
    /// further than to one that is open. Batches end in about the order of their pages, so that one is near.
    pub(crate) async fn over_from_the_last(
        &self,
        run: &RunRef,
        generation: u32,
        before: Option<u32>,
    ) -> Result<Over, StoreError> {
        let partition = keys::batches_partition(run);
        let prefix = keys::generation_prefix(generation);
        let range = Range {
            prefix: Some(&prefix),
            page_max: Some(LOOKED_AT_ONCE),
            backward: true,
            after: before.map(|page| keys::batch(run, generation, page)),
            ..Range::of(Table::Coordination, &partition)
        };
        let mut over = Over::default();
        self.query_until(range, |item| {
            let state: BatchState = Row(item).named("state")?;
            if state.is_open() {
                over.then_open = true;
                return Ok(ControlFlow::Break(()));
            }
            over.count += 1;
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        Ok(over)
    }

    /// Reports a batch as done.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the lease is somebody else's or the batch was revoked.
    pub async fn finish_batch(
        &self,
        lease: &BatchLease,
        counted: u64,
        result: &BatchResult,
        usage: &Usage,
    ) -> Result<(), StoreError> {
        let mut changes = Changes::new()
            .set("state", text(BatchState::Done.name()))
            .set("counted", number(counted))
            .set("created", number(result.changes.created))
            .set("updated", number(result.changes.updated))
            .set("reactivated", number(result.changes.reactivated))
            .set("unknown", number(result.unknown));
        if !result.candidates.is_empty() {
            changes = changes.set("candidates", json(&result.candidates)?);
        }
        let condition = lease_is(lease.token()).and(batch_allows(BatchEvent::Finish));
        let changes = usage.added_to(changes);
        let written = self
            .update_if(Table::Coordination, &lease.key(), &changes, &condition)
            .await;
        match written {
            Ok(_) => Ok(()),
            Err(WriteFailure::Error(error)) => Err(error),
            // An answer that was lost and asked for again looks like a refusal: read it back.
            Err(WriteFailure::Condition) => {
                let item = self.get(Table::Coordination, &lease.key()).await?;
                let batch = item.as_ref().map(BatchRecord::read).transpose()?;
                let mine = batch.is_some_and(|batch| {
                    batch.state == BatchState::Done
                        && batch.lease.is_some_and(|held| {
                            held.token == lease.token() && held.owner == lease.owner()
                        })
                });
                if mine {
                    Ok(())
                } else {
                    Err(StoreError::LostLease)
                }
            }
        }
    }

    /// Revokes what is still open of a run's generation, so that no worker can write for it any
    /// more; earlier generations were revoked when they were left. It can be done again, and goes on
    /// where it was interrupted. Gives the run as it was read.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the run's lease is somebody else's, or the run is not in
    /// `state`: what goes on keeps its batches; [`StoreError::Corrupt`] when the list of batches is
    /// shorter than the chain of pages: a batch that is not in the list would stay open.
    pub(crate) async fn revoke_open_batches(
        &self,
        lease: &RunLease,
        state: RunState,
    ) -> Result<RunRecord, StoreError> {
        // One action is the check of the lease.
        const PER_TRANSACTION: usize = TRANSACTION_ACTIONS_MAX - 1;
        let run = self.run(lease.run()).await?.ok_or(StoreError::LostLease)?;
        if run.approved.is_some() {
            // It was proven before it was held, so none is open; and they may have expired before it.
            return Ok(run);
        }
        let batches = self.batches(&run.run, Some(run.generation)).await?;
        if batches.len() < run.last_page as usize {
            return Err(StoreError::Corrupt {
                item: format!("the list of batches of run {}", run.run),
                detail: format!("has {} of {} batches", batches.len(), run.last_page),
            });
        }
        let open: Vec<_> = batches.iter().filter(|b| b.state.is_open()).collect();
        for chunk in open.chunks(PER_TRANSACTION) {
            match self.revoke(lease, state, chunk).await {
                Ok(()) => {}
                // A worker finished one of them at this moment: take them one by one.
                Err(StoreError::Changed { .. }) => {
                    self.revoke_one_by_one(lease, state, chunk).await?
                }
                Err(error) => return Err(error),
            }
        }
        Ok(run)
    }

    async fn revoke_one_by_one(
        &self,
        lease: &RunLease,
        state: RunState,
        batches: &[&BatchRecord],
    ) -> Result<(), StoreError> {
        for batch in batches {
            match self.revoke(lease, state, &[batch]).await {
                // It is done by now, so it is open no more.
                Ok(()) | Err(StoreError::Changed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn revoke(
        &self,
        lease: &RunLease,
        state: RunState,
        batches: &[&BatchRecord],
    ) -> Result<(), StoreError> {
        let mut transaction = Transaction::new(self).check(
            Protects::Lease,
            Table::Coordination,
            &keys::run(lease.run()),
            &lease_is(lease.token()).and(run_state_in(&[state])),
        );
        for batch in batches {
            transaction = transaction.update(
                Protects::Read("the batch"),
                Table::Coordination,
                &keys::batch(lease.run(), batch.generation, batch.page),
                &Changes::new().set("state", text(BatchState::Revoked.name())),
                &batch_allows(BatchEvent::Revoke),
            );
        }
        transaction.send().await
    }
}
