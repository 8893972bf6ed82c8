//! The directory: users, read and written.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::batch::BatchEvent;
use rollcall_core::ids::{ObjectId, RunRef, TenantId};
use rollcall_core::plan::Deactivation;
use rollcall_core::reconcile::switched_off;
use rollcall_core::run::RunState;
use rollcall_core::status::{ChangeKind, LastChange, SightingOrder, Status, StoredUser};

use crate::batches::TRANSACTION_ACTIONS_MAX;
use crate::conditions::{absent, batch_allows, lease_is, run_state_in, version_is};
use crate::error::StoreError;
use crate::journal::{Cause, journal_item};
use crate::layout::{LAYOUT, SCHEMA};
use crate::leases::{BatchLease, RunLease};
use crate::read::{Consistency, Range};
use crate::row::{Item, Row, bytes, number, text};
use crate::schema::LOGIN_INDEX;
use crate::standings::{STANDING, packed};
use crate::weight::groups;
use crate::write::{Protects, Transaction};
use crate::{Store, Table, keys};

/// How many users fit in one transaction: each is two actions (the user and his before-image), and
/// one action is the check of the lease.
pub const WRITES_PER_TRANSACTION_MAX: usize = (TRANSACTION_ACTIONS_MAX - 1) / 2;

/// A user to write, with what was read before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserWrite {
    /// As read; `None` if the directory had no such user, or nobody looked: he is written only if there is
    /// none.
    pub before: Option<StoredUser>,
    /// As it is to be.
    pub after: StoredUser,
}

fn user_item(tenant: &TenantId, user: &StoredUser) -> Item {
    let mut item = keys::directory_user(tenant, &user.id).with([
        ("status", text(user.status.name())),
        ("reason", text(user.reason.name())),
        ("status_at", number(user.status_at_ms)),
        ("in_scope", AttributeValue::Bool(user.in_scope)),
        ("version", number(user.version)),
        (STANDING, bytes(packed(user))),
        (SCHEMA, number(LAYOUT)),
    ]);
    let attributes = user
        .attributes
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect();
    item.insert("attributes".into(), AttributeValue::M(attributes));
    let texts = [
        ("user_principal_name", &user.user_principal_name),
        ("mail", &user.mail),
        ("display_name", &user.display_name),
        ("user_type", &user.user_type),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            item.insert(name.into(), text(value));
        }
    }
    if let Some(login_name) = &user.user_principal_name {
        item.insert("login".into(), text(keys::login(tenant, login_name)));
    }
    if let Some(enabled) = user.account_enabled {
        item.insert("account_enabled".into(), AttributeValue::Bool(enabled));
    }
    if let Some(run) = user.status_run {
        item.insert("status_run".into(), number(run));
    }
    if let Some(version) = user.decided_version {
        item.insert("decided_version".into(), number(version));
    }
    if let Some(change) = &user.last_change {
        let order = change.order;
        let (generation, page) = change.counted_by;
        let kind = match change.kind {
            ChangeKind::Created => "created",
            ChangeKind::Updated => "updated",
            ChangeKind::Reactivated => "reactivated",
        };
        item.insert("sync_run".into(), number(change.run));
        item.insert("sync_kind".into(), text(kind));
        item.insert(
            "sync_order".into(),
            text(format!(
                "{}.{}.{}",
                order.generation, order.page, order.index
            )),
        );
        item.insert("sync_batch".into(), text(format!("{generation}.{page}")));
    }
    item
}

pub(crate) fn read_user(item: &Item) -> Result<StoredUser, StoreError> {
    let row = Row(item);
    let optional = |name| row.text_if_any(name).map(|value| value.map(str::to_owned));
    Ok(StoredUser {
        id: read_id(&row)?,
        status: row.named("status")?,
        reason: row.named("reason")?,
        status_run: row.number_if_any("status_run")?,
        status_at_ms: row.number("status_at")?,
        user_principal_name: optional("user_principal_name")?,
        mail: optional("mail")?,
        display_name: optional("display_name")?,
        account_enabled: row.flag_if_any("account_enabled")?,
        user_type: optional("user_type")?,
        in_scope: row.flag("in_scope")?,
        attributes: row.texts("attributes")?,
        version: row.number("version")?,
        last_change: read_change(&row)?,
        decided_version: row.number_if_any("decided_version")?,
    })
}

pub(crate) fn read_id(row: &Row<'_>) -> Result<ObjectId, StoreError> {
    ObjectId::new(row.text("sk")?).map_err(|e| StoreError::Invalid(e.to_string()))
}

fn read_change(row: &Row<'_>) -> Result<Option<LastChange>, StoreError> {
    let Some(run) = row.number_if_any("sync_run")? else {
        return Ok(None);
    };
    let parts = |name: &str| -> Result<Vec<u32>, StoreError> {
        let text = row.text(name)?;
        text.split('.')
            .map(|part| part.parse::<u32>())
            .collect::<Result<_, _>>()
            .map_err(|_| StoreError::Corrupt {
                item: format!("user {}", row.text("sk").unwrap_or("?")),
                detail: format!("{name} is not a list of numbers"),
            })
    };
    let (order, batch) = (parts("sync_order")?, parts("sync_batch")?);
    let (&[generation, page, index], &[batch_generation, batch_page]) =
        (order.as_slice(), batch.as_slice())
    else {
        return Err(StoreError::Corrupt {
            item: format!("user {}", row.text("sk")?),
            detail: "sync_order or sync_batch has another length".into(),
        });
    };
    Ok(Some(LastChange {
        run,
        order: SightingOrder {
            generation,
            page,
            index,
        },
        kind: row.named("sync_kind")?,
        counted_by: (batch_generation, batch_page),
    }))
}

impl Store {
    /// Users by id, with every write before seen; those that are there, in no order.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn users(
        &self,
        tenant: &TenantId,
        ids: &[ObjectId],
    ) -> Result<Vec<StoredUser>, StoreError> {
        let keys: Vec<_> = ids
            .iter()
            .map(|id| keys::directory_user(tenant, id))
            .collect();
        let items = self.get_many(Table::Directory, &keys).await?;
        items.iter().map(read_user).collect()
    }

    /// The users with a login name, whatever its case. More than one while a deleted user's name
    /// was given to a new one.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn users_by_login(
        &self,
        tenant: &TenantId,
        login_name: &str,
    ) -> Result<Vec<StoredUser>, StoreError> {
        let login = keys::login(tenant, login_name);
        let range = Range {
            index: Some(LOGIN_INDEX),
            partition_name: "login",
            consistency: Consistency::Eventual,
            ..Range::of(Table::Directory, &login)
        };
        let mut ids = Vec::new();
        self.query(range, |item| {
            ids.push(read_id(&Row(item))?);
            Ok(())
        })
        .await?;
        let mut users = self.users(tenant, &ids).await?;
        // The index may still show a name that somebody had until a moment ago, and a person's decision
        // would fall on him.
        users.retain(|it| {
            let name = it.user_principal_name.as_deref();
            name.is_some_and(|name| keys::login(tenant, name) == login)
        });
        Ok(users)
    }

    /// Every user of a tenant, whole, in the order of partition and id.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers, or the first one that `take` gives.
    pub async fn all_users(
        &self,
        tenant: &TenantId,
        mut take: impl FnMut(StoredUser) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for shard in 0..keys::DIRECTORY_SHARDS {
            let partition = keys::directory_partition(tenant, shard);
            self.query(Range::of(Table::Directory, &partition), |item| {
                take(read_user(item)?)
            })
            .await?;
        }
        Ok(())
    }

    /// Writes users under a batch's lease, each with his before-image in the same transaction. At
    /// most [`WRITES_PER_TRANSACTION_MAX`], each id once; they are one transaction unless they are
    /// too large for one.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the batch is somebody else's or was revoked;
    /// [`StoreError::Changed`] when a user is not at the version that was read; and
    /// [`StoreError::Invalid`] for a write that would switch a user off, which no worker may.
    pub async fn write_users(
        &self,
        lease: &BatchLease,
        writes: &[UserWrite],
    ) -> Result<(), StoreError> {
        let switches_off = |write: &&UserWrite| {
            let was_active = write
                .before
                .as_ref()
                .is_some_and(|before| before.status == Status::Active);
            was_active && write.after.status == Status::Inactive
        };
        if let Some(write) = writes.iter().find(switches_off) {
            return Err(StoreError::Invalid(format!(
                "a worker may not switch off user {}",
                write.after.id
            )));
        }
        let condition = lease_is(lease.token()).and(batch_allows(BatchEvent::Keep));
        for group in groups(writes) {
            let mut transaction = Transaction::new(self).check(
                Protects::Lease,
                Table::Coordination,
                &lease.key(),
                &condition,
            );
            for write in group {
                let cause = Cause::Sighting;
                transaction =
                    self.put_user(transaction, lease.run(), write, cause, lease.ttl_s())?;
            }
            transaction.send().await?;
        }
        Ok(())
    }

    /// Switches users off, under the lease of a run that is carrying out its plan. Each user has to
    /// be at the version that was planned.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the run is somebody else's or does not apply a plan;
    /// [`StoreError::Changed`] when a user is not at the version that was planned.
    pub async fn deactivate(
        &self,
        lease: &RunLease,
        users: &[(StoredUser, &Deactivation)],
    ) -> Result<(), StoreError> {
        let now_ms = self.ambient.now_ms();
        let mut writes = Vec::with_capacity(users.len());
        let mut evidence = BTreeMap::new();
        for (user, deactivation) in users {
            let planned = (deactivation.id(), deactivation.version());
            if (&user.id, user.version) != planned {
                return Err(StoreError::Changed { what: "a user" });
            }
            evidence.insert(&user.id, deactivation.detail());
            writes.push(UserWrite {
                before: Some(user.clone()),
                after: switched_off(user, deactivation, lease.run().run, now_ms),
            });
        }
        let condition = lease_is(lease.token()).and(run_state_in(&[RunState::Applying]));
        for group in groups(&writes) {
            let mut transaction = Transaction::new(self).check(
                Protects::Lease,
                Table::Coordination,
                &keys::run(lease.run()),
                &condition,
            );
            for write in group {
                let detail = evidence.get(&write.after.id).copied();
                let cause = Cause::Plan(detail.unwrap_or_default());
                transaction =
                    self.put_user(transaction, lease.run(), write, cause, lease.ttl_s())?;
            }
            transaction.send().await?;
        }
        Ok(())
    }

    /// Puts a user together with his before-image, at the version that was read.
    pub(crate) fn put_user<'s>(
        &self,
        transaction: Transaction<'s>,
        run: &RunRef,
        write: &UserWrite,
        cause: Cause<'_>,
        ttl_s: u64,
    ) -> Result<Transaction<'s>, StoreError> {
        let version_before = write.before.as_ref().map_or(0, |before| before.version);
        let journal = journal_item(run, write, cause, self.ambient.now_ms(), ttl_s)?;
        Ok(transaction
            .put(
                Protects::Read("a user"),
                Table::Directory,
                user_item(&run.tenant, &write.after),
                &version_is(version_before),
            )
            .put(
                Protects::Read("a user's before-image"),
                Table::Coordination,
                journal,
                &absent(),
            ))
    }
}
