//! The enumerator's writes: the commit of a page, the seal, a new generation.

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::batch::BatchState;
use rollcall_core::evidence::RequestId;
use rollcall_core::page::{NextPage, PageDigest, PagePayload};
use rollcall_core::run::{RunEvent, RunMode, RunState};

use crate::conditions::{absent, chain_ends_at, lease_is, run_allows};
use crate::error::StoreError;
use crate::leases::{GIVEN_BACK_MS, RunLease};
use crate::row::{bytes, number, text};
use crate::runs::{RunRecord, Usage};
use crate::write::{Changes, Protects, Transaction};
use crate::{Store, Table, keys};

/// How large one item of a page may be. An item of DynamoDB has at most 400 KB, its attribute names
/// and keys included.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
pub(crate) const CHUNK_BYTES_MAX: usize = 350_000;
/// How many items a page may have: a transaction has at most 4 MB.
pub(crate) const PAGE_CHUNKS_MAX: usize = 11;

/// Where a generation's chain of pages ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEnd {
    /// The generation.
    pub generation: u32,
    /// The last page; 0 before the first.
    pub page: u32,
    /// Its digest.
    pub digest: Option<PageDigest>,
    /// How many users stood on the pages so far.
    pub sightings: u64,
    /// How many of them had no accountEnabled.
    pub unknown: u64,
}

impl ChainEnd {
    /// Where `run` stands.
    #[must_use]
    pub fn of(run: &RunRecord) -> Self {
        Self {
            generation: run.generation,
            page: run.last_page,
            digest: run.last_digest.clone(),
            sightings: run.sightings,
            unknown: run.unknown,
        }
    }

    /// Before the first page of a generation.
    #[must_use]
    pub fn start(generation: u32) -> Self {
        Self {
            generation,
            page: 0,
            digest: None,
            sightings: 0,
            unknown: 0,
        }
    }
}

/// A page to commit.
#[derive(Debug)]
pub struct PageCommit<'a> {
    /// Where the chain ends before it.
    pub after: &'a ChainEnd,
    /// What was on it.
    pub payload: &'a PagePayload,
    /// How many users on it had no accountEnabled.
    pub unknown: u64,
    /// The request to Graph that it came by.
    pub request: &'a RequestId,
    /// What fetching it used.
    pub usage: Usage,
    /// How many batches of the run are worked on at a time.
    pub batches_at_once: u32,
}

impl Store {
    /// Commits the next page of the chain: the page, its batch, and the chain's new end, all or
    /// nothing. A page without a next link seals the run, and gives the lease back. A page on which nothing changed has no
    /// work, so its batch is done at once.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the lease is lost, the run has ended, or a copy has committed
    /// the page: in each case the caller stops.
    pub async fn commit_page(
        &self,
        lease: &RunLease,
        page: &PageCommit<'_>,
    ) -> Result<ChainEnd, StoreError> {
        let payload = page
            .payload
            .encode()
            .map_err(|e| StoreError::Invalid(e.to_string()))?;
        let digest = PageDigest::of(&payload);
        let end = ChainEnd {
            generation: page.after.generation,
            page: page.after.page + 1,
            digest: Some(digest.clone()),
            sightings: page.after.sightings + page.payload.sightings(),
            unknown: page.after.unknown + page.unknown,
        };
        let is_last = page.payload.next.is_end();
        let event = if is_last {
            RunEvent::Seal
        } else {
            RunEvent::CommitPage
        };
        // The seal gives the lease back: the finalizer need not wait for it to lapse.
        let lease_until_ms = if is_last {
            GIVEN_BACK_MS
        } else {
            self.ambient.now_ms() + lease.lease_ms()
        };
        let mut changes = Changes::new()
            .set("state", text(event.to_state().stored_name()))
            .set("last_page", number(end.page))
            .set("last_digest", text(digest.as_str()))
            .set("sightings", number(end.sightings))
            .set("unknown", number(end.unknown))
            .set("lease_until", number(lease_until_ms));
        if let NextPage::End {
            delta_link: Some(link),
        } = &page.payload.next
        {
            changes = changes.set("delta_to", text(link));
        }
        let previous = page.after.digest.as_ref().map(PageDigest::as_str);
        let condition = lease_is(lease.token())
            .and(run_allows(event))
            .and(chain_ends_at(
                page.after.generation,
                page.after.page,
                previous,
            ));
        let mut transaction = Transaction::new(self).update(
            Protects::Lease,
            Table::Coordination,
            &keys::run(lease.run()),
            &page.usage.added_to(changes),
            &condition,
        );
        transaction = self.put_page(transaction, lease, &end, &digest, &payload)?;
        self.put_batch(transaction, lease, page, &end, &digest)
            .send()
            .await?;
        Ok(end)
    }

    fn put_page<'s>(
        &self,
        mut transaction: Transaction<'s>,
        lease: &RunLease,
        end: &ChainEnd,
        digest: &PageDigest,
        payload: &[u8],
    ) -> Result<Transaction<'s>, StoreError> {
        let chunks = payload.chunks(CHUNK_BYTES_MAX);
        let count = chunks.len();
        if count > PAGE_CHUNKS_MAX {
            return Err(StoreError::Invalid(format!(
                "page {} of run {} has {} bytes, more than a transaction holds",
                end.page,
                lease.run(),
                payload.len()
            )));
        }
        for (index, chunk) in (0u32..).zip(chunks) {
            let key = keys::page_chunk(lease.run(), end.generation, end.page, digest, index);
            let item = key.with([
                ("payload", bytes(chunk)),
                ("chunks", number(count)),
                ("ttl", number(lease.ttl_s())),
            ]);
            transaction = transaction.put(
                Protects::Read("the page"),
                Table::Coordination,
                item,
                &absent(),
            );
        }
        Ok(transaction)
    }

    fn put_batch<'s>(
        &self,
        transaction: Transaction<'s>,
        lease: &RunLease,
        page: &PageCommit<'_>,
        end: &ChainEnd,
        digest: &PageDigest,
    ) -> Transaction<'s> {
        let sightings = page.payload.sightings();
        let mut item = keys::batch(lease.run(), end.generation, end.page).with([
            ("generation", number(end.generation)),
            ("page", number(end.page)),
            ("digest", text(digest.as_str())),
            ("sightings", number(sightings)),
            ("changed", number(page.payload.changed.len())),
            ("lease_ms", number(lease.lease_ms())),
            ("at_once", number(page.batches_at_once)),
            ("ttl", number(lease.ttl_s())),
        ]);
        if let Some(request) = page.request.as_str() {
            item.insert("graph_request".into(), text(request));
        }
        if page.payload.repeats() {
            item.insert("repeats".into(), AttributeValue::Bool(true));
        }
        if let Some(previous) = &page.after.digest {
            item.insert("previous".into(), text(previous.as_str()));
        }
        let state = if page.payload.changed.is_empty() {
            item.insert("counted".into(), number(sightings));
            BatchState::Done
        } else {
            BatchState::Pending
        };
        item.insert("state".into(), text(state.name()));
        transaction.put(
            Protects::Read("the batch"),
            Table::Coordination,
            item,
            &absent(),
        )
    }

    /// Notes, before the first page of users, from where a full run drains a delta after the last one;
    /// `None` when the tenant has no delta.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the lease is lost, or a copy has got further.
    pub async fn take_bracket(
        &self,
        lease: &RunLease,
        before: &ChainEnd,
        link: Option<&str>,
    ) -> Result<(), StoreError> {
        let changes = match link {
            Some(link) => Changes::new().set("bracket", text(link)),
            None => Changes::new().set("no_delta", AttributeValue::Bool(true)),
        };
        let condition = lease_is(lease.token())
            .and(run_allows(RunEvent::CommitPage))
            .and(chain_ends_at(before.generation, 0, None));
        Transaction::new(self)
            .update(
                Protects::Lease,
                Table::Coordination,
                &keys::run(lease.run()),
                &changes,
                &condition,
            )
            .send()
            .await
    }

    /// Begins a new generation of the run, after the old one's open batches were revoked. It is a
    /// full one, whatever the old one was: a delta that cannot go on proves nothing. Its pages are
    /// asked for with at most `page_users` users, if that is given; otherwise as before.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the lease is lost or the run no longer enumerates.
    pub async fn new_generation(
        &self,
        lease: &RunLease,
        old: &ChainEnd,
        page_users: Option<u32>,
    ) -> Result<ChainEnd, StoreError> {
        self.revoke_open_batches(lease, RunState::Enumerating)
            .await?;
        let generation = old.generation + 1;
        let mut changes = Changes::new()
            .set("mode", text(RunMode::Full.name()))
            .set("generation", number(generation))
            .set("last_page", number(0))
            .set("sightings", number(0))
            .set("unknown", number(0))
            .add("earlier_pages", number(old.page))
            .set(
                "lease_until",
                number(self.ambient.now_ms() + lease.lease_ms()),
            )
            .remove("last_digest");
        if let Some(users) = page_users {
            changes = changes.set("page_users", number(users));
        }
        let digest = old.digest.as_ref().map(PageDigest::as_str);
        let condition = lease_is(lease.token())
            .and(run_allows(RunEvent::NewGeneration))
            .and(chain_ends_at(old.generation, old.page, digest));
        Transaction::new(self)
            .update(
                Protects::Lease,
                Table::Coordination,
                &keys::run(lease.run()),
                &changes,
                &condition,
            )
            .send()
            .await?;
        Ok(ChainEnd::start(generation))
    }
}
