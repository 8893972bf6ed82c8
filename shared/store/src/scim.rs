//! A tenant's service provider: which of its accounts are as the directory has their users, and the lease of whoever
//! tells it.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::lease::LeaseTerm;
use rollcall_core::scim::{AccountMark, AccountNote};
use rollcall_core::user::ContentHash;
use serde::{Deserialize, Serialize};

use crate::conditions::{lease_is, lease_may_be_taken, present, scim_due_is};
use crate::error::{StoreError, WriteFailure};
use crate::keys::DIRECTORY_SHARDS;
use crate::leases::{GIVEN_BACK_MS, is_same_grant, lease_changes, was_not_given_back};
use crate::read::Range;
use crate::row::{Item, Row, bytes, json, number, text};
use crate::runs::read_lease;
use crate::tenants::Head;
use crate::users::read_id;
use crate::write::{Changes, Protects, Transaction};
use crate::{Store, Table, keys};

/// How long the lease runs, in milliseconds: longer than a request to a service provider may take, so that one
/// whose sender lost its lease is over when the next sender begins.
pub const SCIM_LEASE_MS: u64 = 120_000;
/// How many accounts one transaction writes beside the lease.
pub const ACCOUNTS_PER_TRANSACTION_MAX: usize = 24;

/// How the telling of a service provider stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScimRecord {
    /// How often in a row it could not be told to the end.
    pub failed_in_a_row: u64,
    /// How many users it did not take the last time.
    pub left: u64,
    /// How far the partitions of the directory are told.
    round: ScimRound,
    lease: Option<LeaseTerm>,
}

/// One round through the partitions of the directory, which several tellings may go on with. Where one stops, the next
/// begins behind: what holds a telling up in one partition does not keep it from the others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScimRound {
    /// The partition that is told next.
    next: u8,
    /// How many in a row before it are told to their end.
    done: u8,
    /// How many users of those the service provider did not take.
    pub left: u64,
    /// When somebody of those is to be told of again, in milliseconds since 1970.
    pub again_at_ms: Option<u64>,
    /// Since when it was to be told, when the round began, in milliseconds since 1970.
    due_at_ms: Option<u64>,
}

impl ScimRound {
    /// The partition that is to be told next; `None` when the round is over.
    #[must_use]
    pub const fn shard(&self) -> Option<u8> {
        if self.done < DIRECTORY_SHARDS {
            Some(self.next)
        } else {
            None
        }
    }

    /// A partition is told to its end.
    pub const fn is_told(&mut self) {
        self.next = (self.next + 1) % DIRECTORY_SHARDS;
        self.done += 1;
    }

    /// A partition is left in its middle: it has its turn again when all others have had theirs.
    #[must_use]
    pub fn passed(&self) -> Self {
        Self {
            next: (self.next + 1) % DIRECTORY_SHARDS,
            done: 0,
            due_at_ms: None,
            ..self.clone()
        }
    }

    /// The same round, if nothing else was wanted since; or a new one, from where it stands.
    fn at(self, head: &Head) -> Self {
        if self.due_at_ms == head.scim_due_at_ms {
            return self;
        }
        Self {
            next: self.next,
            due_at_ms: head.scim_due_at_ms,
            ..Self::default()
        }
    }
}

impl ScimRecord {
    /// After a telling.
    #[must_use]
    pub fn ended(failed_in_a_row: u64, left: u64, round: &ScimRound) -> Self {
        Self {
            failed_in_a_row,
            left,
            round: ScimRound {
                next: round.next,
                ..ScimRound::default()
            },
            lease: None,
        }
    }

    /// The round to go on with, by the head that was read before.
    #[must_use]
    pub fn round(&self, head: &Head) -> ScimRound {
        self.round.clone().at(head)
    }

    fn read(item: &Item) -> Result<Self, StoreError> {
        let row = Row(item);
        Ok(Self {
            failed_in_a_row: row.number_if_any("failed_in_a_row")?.unwrap_or_default(),
            left: row.number_if_any("left")?.unwrap_or_default(),
            round: row.json_if_any("round")?.unwrap_or_default(),
            lease: read_lease(&row)?,
        })
    }
}

/// The right to tell a tenant's service provider.
#[derive(Debug, Clone)]
pub struct ScimLease {
    tenant: TenantId,
    token: u64,
    taken_from: Option<LeaseTerm>,
}

impl ScimLease {
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

impl Store {
    /// How the telling of a tenant's service provider stands.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn scim(&self, tenant: &TenantId) -> Result<ScimRecord, StoreError> {
        let item = self.get(Table::Coordination, &keys::scim(tenant)).await?;
        item.as_ref()
            .map_or(Ok(ScimRecord::default()), ScimRecord::read)
    }

    /// A tenant's service provider is to be told: at once, or at this time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn want_scim(&self, tenant: &TenantId, due_at_ms: u64) -> Result<(), StoreError> {
        let changes = Changes::new().set("scim_due_at", number(due_at_ms));
        let key = keys::head(tenant);
        let is_there = present();
        let written = self.update_if(Table::Coordination, &key, &changes, &is_there);
        match written.await {
            // Nobody has been seen yet.
            Ok(_) | Err(WriteFailure::Condition) => Ok(()),
            Err(WriteFailure::Error(error)) => Err(error),
        }
    }

    /// Asks for the lease; `None` if somebody else has it.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn acquire_scim(
        &self,
        tenant: &TenantId,
        owner: &str,
    ) -> Result<Option<(ScimLease, ScimRecord)>, StoreError> {
        let record = self.scim(tenant).await?;
        let now_ms = self.ambient.now_ms();
        let last_token = record.lease.as_ref().map_or(0, |lease| lease.token);
        let Some(term) = LeaseTerm::grant(record.lease.as_ref(), owner, now_ms, SCIM_LEASE_MS)
        else {
            return Ok(None);
        };
        let condition = lease_may_be_taken(last_token, now_ms);
        let taken_from = record.lease.filter(was_not_given_back);
        let (key, changes) = (keys::scim(tenant), lease_changes(&term));
        let written = self.update_if(Table::Coordination, &key, &changes, &condition);
        let record = match written.await {
            Ok(item) => ScimRecord::read(&item)?,
            Err(WriteFailure::Error(error)) => return Err(error),
            // Its own answer may have been lost.
            Err(WriteFailure::Condition) => {
                let now = self.scim(tenant).await?;
                let is_own = |lease: &LeaseTerm| is_same_grant(lease, &term);
                if !now.lease.as_ref().is_some_and(is_own) {
                    return Ok(None);
                }
                now
            }
        };
        let lease = ScimLease {
            tenant: tenant.clone(),
            token: term.token,
            taken_from,
        };
        Ok(Some((lease, record)))
    }

    /// Keeps the lease for another term.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when it is somebody else's.
    pub async fn keep_scim(&self, lease: &ScimLease) -> Result<(), StoreError> {
        let until_ms = self.ambient.now_ms() + SCIM_LEASE_MS;
        let key = keys::scim(&lease.tenant);
        self.set_lease_end(&key, until_ms, &lease_is(lease.token))
            .await
    }

    /// Gives the lease back before the end of the round.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when it is somebody else's.
    pub async fn release_scim(
        &self,
        lease: &ScimLease,
        round: &ScimRound,
    ) -> Result<(), StoreError> {
        let changes = Changes::new().set("round", json(round)?);
        self.give_scim_back(lease, changes).await
    }

    async fn give_scim_back(&self, lease: &ScimLease, changes: Changes) -> Result<(), StoreError> {
        let changes = changes.set("lease_until", number(GIVEN_BACK_MS));
        let key = keys::scim(&lease.tenant);
        let condition = lease_is(lease.token);
        let given = self.update_if(Table::Coordination, &key, &changes, &condition);
        match given.await {
            Ok(_) => Ok(()),
            Err(WriteFailure::Condition) => Err(StoreError::LostLease),
            Err(WriteFailure::Error(error)) => Err(error),
        }
    }

    /// The service provider was told, to the end or as far as it took: the lease is given back, and the head says
    /// when it is to be told again, unless that was wanted since the head was read.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when it is somebody else's.
    pub async fn end_scim(
        &self,
        lease: &ScimLease,
        (head, record): (&Head, &ScimRecord),
        due_at_ms: Option<u64>,
    ) -> Result<(), StoreError> {
        let changes = Changes::new()
            .set("failed_in_a_row", number(record.failed_in_a_row))
            .set("left", number(record.left))
            .set("round", json(&record.round)?);
        self.give_scim_back(lease, changes).await?;
        let next = match due_at_ms {
            Some(ms) => Changes::new().set("scim_due_at", number(ms)),
            None => Changes::new().remove("scim_due_at"),
        };
        let key = keys::head(&lease.tenant);
        let unless_wanted = scim_due_is(head.scim_due_at_ms);
        let ended = self.update_if(Table::Coordination, &key, &next, &unless_wanted);
        match ended.await {
            // It was wanted since.
            Ok(_) | Err(WriteFailure::Condition) => Ok(()),
            Err(WriteFailure::Error(error)) => Err(error),
        }
    }

    /// What is known of the accounts at one of a tenant's service providers, of the users in one partition of the
    /// directory.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn accounts(
        &self,
        tenant: &TenantId,
        provider: &str,
        shard: u8,
    ) -> Result<BTreeMap<ObjectId, AccountNote>, StoreError> {
        let mut accounts = BTreeMap::new();
        let partition = keys::accounts_partition(tenant, provider, shard);
        self.query(Range::of(Table::Coordination, &partition), |item| {
            accounts.insert(read_id(&Row(item))?, read_note(item)?);
            Ok(())
        })
        .await?;
        Ok(accounts)
    }

    /// Notes what is known of some accounts, at most [`ACCOUNTS_PER_TRANSACTION_MAX`], and keeps the lease.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when it is somebody else's.
    pub async fn note_accounts(
        &self,
        lease: &ScimLease,
        provider: &str,
        accounts: &[(ObjectId, AccountNote)],
    ) -> Result<(), StoreError> {
        let until_ms = self.ambient.now_ms() + SCIM_LEASE_MS;
        let mut transaction = Transaction::new(self).update(
            Protects::Lease,
            Table::Coordination,
            &keys::scim(&lease.tenant),
            &Changes::new().set("lease_until", number(until_ms)),
            &lease_is(lease.token),
        );
        for (id, note) in accounts {
            let key = keys::account(&lease.tenant, provider, id);
            transaction = transaction.set(Table::Coordination, &key, &note_changes(note));
        }
        transaction.send().await
    }
}

fn note_changes(note: &AccountNote) -> Changes {
    let AccountNote {
        account,
        mark,
        refused,
        late_until_ms,
        missed_since_ms,
        again_at_ms,
    } = note;
    let changes = Changes::new().set("refused", AttributeValue::Bool(*refused));
    let values = [
        ("account", account.as_ref().map(text)),
        ("status", mark.map(|mark| text(mark.status.name()))),
        ("hash", mark.map(|mark| bytes(mark.hash.0))),
        ("late_until", late_until_ms.map(number)),
        ("missed_since", missed_since_ms.map(number)),
        ("again_at", again_at_ms.map(number)),
    ];
    values
        .into_iter()
        .fold(changes, |changes, (name, value)| match value {
            Some(value) => changes.set(name, value),
            None => changes.remove(name),
        })
}

fn read_note(item: &Item) -> Result<AccountNote, StoreError> {
    let row = Row(item);
    let mark = if row.has("status") {
        let hash = row.bytes("hash")?.try_into();
        Some(AccountMark {
            status: row.named("status")?,
            hash: ContentHash(hash.map_err(|_| StoreError::Corrupt {
                item: row.name(),
                detail: "hash has another length".into(),
            })?),
        })
    } else {
        None
    };
    Ok(AccountNote {
        account: row.text_if_any("account")?.map(str::to_owned),
        mark,
        refused: row.flag("refused")?,
        late_until_ms: row.number_if_any("late_until")?,
        missed_since_ms: row.number_if_any("missed_since")?,
        again_at_ms: row.number_if_any("again_at")?,
    })
}
