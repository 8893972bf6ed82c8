//! What people decide about users: written with its before-image, at the version that was read.

use rollcall_core::by_hand::{Decision, decided};
use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::status::StoredUser;

use crate::conditions::present;
use crate::error::StoreError;
use crate::journal::Cause;
use crate::row::number;
use crate::starts::owing_full;
use crate::users::UserWrite;
use crate::write::{Changes, Protects, Transaction};
use crate::{RETENTION_DAYS, Store, Table, keys};

/// How often a user who changes at the same moment is read again.
const REREADS_MAX: u32 = 10;

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// It is written; the user as he is now.
    Written(StoredUser),
    /// That is how he was already.
    Same(StoredUser),
    /// The directory has no such user.
    Unknown,
}

impl Store {
    /// Writes what a person decides about a user. `by` is who decided, for the journal. With it goes that
    /// the service provider is to be told of it, and that a full run is owed when it is a sync that decides
    /// from now on: one under way has perhaps sorted him already, and no delta need tell of him.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when somebody else goes on writing the user.
    pub async fn decide(
        &self,
        tenant: &TenantId,
        id: &ObjectId,
        decision: Decision,
        by: &str,
    ) -> Result<Decided, StoreError> {
        for _ in 0..REREADS_MAX {
            let users = self.users(tenant, std::slice::from_ref(id)).await?;
            let Some(before) = users.into_iter().next() else {
                return Ok(Decided::Unknown);
            };
            let now_ms = self.ambient.now_ms();
            let Some(after) = decided(&before, decision, now_ms) else {
                return Ok(Decided::Same(before));
            };
            let write = UserWrite {
                before: Some(before),
                after,
            };
            let run = keys::by_hand(tenant);
            let ttl_s = now_ms / 1_000 + RETENTION_DAYS * 86_400;
            let cause = Cause::Person { by, decision };
            let owed = match decision {
                Decision::Release => owing_full(Changes::new()),
                Decision::Activate | Decision::Deactivate => Changes::new(),
            };
            let transaction = Transaction::new(self).update(
                Protects::Read("the tenant's head"),
                Table::Coordination,
                &keys::head(tenant),
                // For whoever has a service provider; nobody else looks at it.
                &owed.set("scim_due_at", number(now_ms)),
                &present(),
            );
            let transaction = self.put_user(transaction, &run, &write, cause, ttl_s)?;
            match transaction.send().await {
                Ok(()) => return Ok(Decided::Written(write.after)),
                Err(StoreError::Changed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Changed {
            what: "the user, again and again,",
        })
    }
}
