//! Reverts: a run's changes taken back from its journal, step by step, under a lease of their own.

use rollcall_core::ids::RunRef;
use rollcall_core::lease::LeaseTerm;

use crate::conditions::{
    absent, lease_is, lease_may_be_taken, no_revert_is_active, revert_is_at, revert_runs,
    reverting_is, run_is_not_active,
};
use crate::error::{StoreError, WriteFailure};
use crate::images::JournalPlace;
use crate::journal::Cause;
use crate::leases::{GIVEN_BACK_MS, is_same_grant, lease_changes, was_not_given_back};
use crate::read::Range;
use crate::row::{Item, Row, json, number, text};
use crate::runs::read_lease;
use crate::starts::owing_full;
use crate::survey::{IMAGES_AT_ONCE, Left, Sorted, Survey};
use crate::tenants::Head;
use crate::weight::groups;
use crate::write::{Changes, Protects, Transaction};
use crate::{RETENTION_DAYS, Store, Table, keys};

/// How long the lease of a revert runs, in milliseconds. Each step renews it, and takes a fraction of
/// a second.
const LEASE_MS: u64 = 60_000;
/// How often a group of users that changed under the revert is read again.
const REREADS_MAX: u32 = 10;

/// A revert as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevertRecord {
    /// The run that is taken back.
    pub run: RunRef,
    /// Who asked for it.
    pub by: String,
    /// How far it is.
    pub place: JournalPlace,
    /// How many users are as before.
    pub restored: u64,
    /// How many were left as they are.
    pub left: u64,
    /// When it began, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// When it ended.
    pub ended_at_ms: Option<u64>,
    lease: Option<LeaseTerm>,
}

impl RevertRecord {
    fn read(run: &RunRef, item: &Item) -> Result<Self, StoreError> {
        let row = Row(item);
        Ok(Self {
            run: run.clone(),
            by: row.text("by")?.to_owned(),
            place: row.json("place")?,
            restored: row.number("restored")?,
            left: row.number("left")?,
            started_at_ms: row.number("started_at")?,
            ended_at_ms: row.number_if_any("ended_at")?,
            lease: read_lease(&row)?,
        })
    }
}

/// The right to write for a revert.
#[derive(Debug, Clone)]
pub struct RevertLease {
    run: RunRef,
    token: u64,
    taken_from: Option<LeaseTerm>,
}

impl RevertLease {
    /// Whose lease lapsed before this one was granted; nobody's if the one before was given back.
    #[must_use]
    pub const fn taken_from(&self) -> Option<&LeaseTerm> {
        self.taken_from.as_ref()
    }

    /// The fencing number.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.token
    }
}

/// What asking for a revert gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BegunRevert {
    /// It is under way, begun now or before.
    UnderWay,
    /// It was done before.
    Done,
    /// There can be none.
    Refused(Survey),
    /// Another run of the tenant is being reverted.
    Other(u64),
}

impl Store {
    /// Begins a revert, or finds the one that is under way. It has to be rung for.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when the tenant's head changes again and again.
    pub async fn begin_revert(&self, run: &RunRef, by: &str) -> Result<BegunRevert, StoreError> {
        let head = match self.known_revert(run).await? {
            Ok(head) => head,
            Err(known) => return Ok(known),
        };
        match self.survey(run, &head).await? {
            Survey::Found { .. } => {}
            refused => return Ok(BegunRevert::Refused(refused)),
        }
        let now_ms = self.ambient.now_ms();
        let item = keys::revert(run).with([
            ("by", text(by)),
            ("place", json(&JournalPlace::default())?),
            ("restored", number(0)),
            ("left", number(0)),
            ("started_at", number(now_ms)),
            ("ttl", number(now_ms / 1_000 + RETENTION_DAYS * 86_400)),
        ]);
        let begun = Transaction::new(self)
            .put(
                Protects::Read("the revert"),
                Table::Coordination,
                item,
                &absent(),
            )
            .update(
                Protects::Read("the tenant's revert"),
                Table::Coordination,
                &keys::head(&run.tenant),
                &Changes::new().set("reverting", number(run.run)),
                &no_revert_is_active().and(run_is_not_active(run.run)),
            )
            .send();
        match begun.await {
            Ok(()) => Ok(BegunRevert::UnderWay),
            Err(error @ StoreError::Changed { .. }) => {
                let known = self.known_revert(run).await?.err();
                known.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The revert that stands in the way of a new one; or else the tenant's head.
    async fn known_revert(&self, run: &RunRef) -> Result<Result<Head, BegunRevert>, StoreError> {
        if let Some(revert) = self.revert(run).await? {
            return Ok(Err(match revert.ended_at_ms {
                None => BegunRevert::UnderWay,
                Some(_) => BegunRevert::Done,
            }));
        }
        let head = self.head(&run.tenant).await?;
        Ok(match head.reverting {
            Some(other) => Err(BegunRevert::Other(other)),
            None => Ok(head),
        })
    }

    /// A revert.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn revert(&self, run: &RunRef) -> Result<Option<RevertRecord>, StoreError> {
        let item = self.get(Table::Coordination, &keys::revert(run)).await?;
        item.as_ref()
            .map(|item| RevertRecord::read(run, item))
            .transpose()
    }

    /// Whom a revert left as they are, as far as it is.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn left_by_revert(&self, run: &RunRef) -> Result<Vec<Left>, StoreError> {
        let mut left = Vec::new();
        let partition = keys::left_partition(run);
        self.query(Range::of(Table::Coordination, &partition), |item| {
            left.extend(Row(item).json::<Vec<Left>>("left")?);
            Ok(())
        })
        .await?;
        Ok(left)
    }

    /// Asks for a revert's lease; `None` if somebody else has it, or it has ended.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn acquire_revert(
        &self,
        run: &RunRef,
        owner: &str,
    ) -> Result<Option<(RevertLease, RevertRecord)>, StoreError> {
        let Some(record) = self.revert(run).await? else {
            return Ok(None);
        };
        if record.ended_at_ms.is_some() {
            return Ok(None);
        }
        let now_ms = self.ambient.now_ms();
        let last_token = record.lease.as_ref().map_or(0, |lease| lease.token);
        let Some(term) = LeaseTerm::grant(record.lease.as_ref(), owner, now_ms, LEASE_MS) else {
            return Ok(None);
        };
        let condition = lease_may_be_taken(last_token, now_ms).and(revert_runs());
        let taken_from = record.lease.filter(was_not_given_back);
        let key = keys::revert(run);
        let changes = lease_changes(&term);
        let written = self.update_if(Table::Coordination, &key, &changes, &condition);
        let record = match written.await {
            Ok(item) => RevertRecord::read(run, &item)?,
            Err(WriteFailure::Error(error)) => return Err(error),
            // Its own answer may have been lost.
            Err(WriteFailure::Condition) => match self.revert(run).await? {
                Some(now)
                    if now
                        .lease
                        .as_ref()
                        .is_some_and(|it| is_same_grant(it, &term)) =>
                {
                    now
                }
                _ => return Ok(None),
            },
        };
        let lease = RevertLease {
            run: run.clone(),
            token: term.token,
            taken_from,
        };
        Ok(Some((lease, record)))
    }

    /// Gives a revert's lease back.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when it is somebody else's, or the revert has ended.
    pub async fn release_revert(&self, lease: &RevertLease) -> Result<(), StoreError> {
        let condition = lease_is(lease.token).and(revert_runs());
        let key = keys::revert(&lease.run);
        self.set_lease_end(&key, GIVEN_BACK_MS, &condition).await
    }

    /// Takes the next images back: each user who is as the run left him is as before again, together with
    /// the place behind him, in one transaction. Gives that place, and how many were written.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the revert is somebody else's or has ended;
    /// [`StoreError::Changed`] when its users go on changing.
    pub async fn revert_step(
        &self,
        lease: &RevertLease,
        place: &JournalPlace,
        by: &str,
    ) -> Result<(JournalPlace, usize), StoreError> {
        let run = &lease.run;
        let mut images_max = IMAGES_AT_ONCE;
        for _ in 0..REREADS_MAX {
            let (images, next) = self.images(run, place, images_max).await?;
            let sorted = self.sort_images(run, place, images).await?;
            if groups(&sorted.writes).len() > 1 {
                // Too large together for one transaction.
                images_max /= 2;
                continue;
            }
            match self.write_step(lease, place, &next, &sorted, by).await {
                Ok(()) => return Ok((next, sorted.writes.len())),
                Err(StoreError::Changed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Changed {
            what: "a user, again and again,",
        })
    }

    async fn write_step(
        &self,
        lease: &RevertLease,
        place: &JournalPlace,
        next: &JournalPlace,
        sorted: &Sorted,
        by: &str,
    ) -> Result<(), StoreError> {
        let run = &lease.run;
        let now_ms = self.ambient.now_ms();
        let ttl_s = now_ms / 1_000 + RETENTION_DAYS * 86_400;
        let changes = Changes::new()
            .set("place", json(next)?)
            .set("lease_until", number(now_ms + LEASE_MS))
            .add("restored", number(sorted.writes.len()))
            .add("left", number(sorted.left.len()));
        let mut transaction = Transaction::new(self).update(
            Protects::Lease,
            Table::Coordination,
            &keys::revert(run),
            &changes,
            &lease_is(lease.token).and(revert_is_at(json(place)?)),
        );
        if !sorted.left.is_empty() {
            let item = keys::left(run, place)
                .with([("left", json(&sorted.left)?), ("ttl", number(ttl_s))]);
            let left = Protects::Read("the users left");
            transaction = transaction.put(left, Table::Coordination, item, &absent());
        }
        let journal = keys::by_hand(&run.tenant);
        let reverted = run.run;
        for write in &sorted.writes {
            let cause = Cause::Revert { by, reverted };
            transaction = self.put_user(transaction, &journal, write, cause, ttl_s)?;
        }
        transaction.send().await
    }

    /// Ends a revert at the end of the journal.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] as above.
    pub async fn end_revert(&self, lease: &RevertLease) -> Result<(), StoreError> {
        let run = &lease.run;
        Transaction::new(self)
            .update(
                Protects::Lease,
                Table::Coordination,
                &keys::revert(run),
                &Changes::new().set("ended_at", number(self.ambient.now_ms())),
                &lease_is(lease.token).and(revert_runs()),
            )
            .update(
                Protects::Read("the tenant's revert"),
                Table::Coordination,
                &keys::head(&run.tenant),
                // Whom Microsoft 365 has otherwise by now, no delta from behind the run tells again.
                &owing_full(Changes::new())
                    .remove("reverting")
                    // For whoever has a service provider; nobody else looks at it.
                    .set("scim_due_at", number(self.ambient.now_ms())),
                &reverting_is(run.run),
            )
            .send()
            .await
    }
}
