//! Names in a tenant's head of items that have expired. A run has its end, and a hold lapses, long before; but nothing
//! ends where no sweeper comes for months: on one machine between two commands, on a stack whose schedules are off.
//! Whatever goes by such a name would be refused for ever.

use rollcall_core::ids::RunRef;
use rollcall_core::run::RunMode;

use crate::conditions::{absent, active_run_is, held_run_is, reverting_is};
use crate::error::StoreError;
use crate::holds::{held_as, without_hold};
use crate::starts::owing_full;
use crate::write::{Changes, Protects, Transaction};
use crate::{Store, Table, keys};

/// What a head names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// The active run.
    Active,
    /// The run of this mode that waits for a person.
    Held(RunMode),
    /// The run that is taken back.
    Reverting,
}

impl Named {
    /// How it is told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active_run",
            Self::Held(mode) => held_as(mode),
            Self::Reverting => "reverting",
        }
    }
}

impl Store {
    /// Takes a name from a tenant's head, if the item is not there. What it was to find is owed: the next run is a
    /// full one. Nobody has a lease of what is not there, so nobody writes for it any more. `false` if it is there,
    /// or the head does not name it.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn forget_gone(&self, run: &RunRef, named: Named) -> Result<bool, StoreError> {
        let head = owing_full(Changes::new());
        let (item, head, is_named) = match named {
            Named::Active => (
                keys::run(run),
                head.remove("active_run"),
                active_run_is(run.run),
            ),
            Named::Held(mode) => (
                keys::run(run),
                without_hold(head, mode),
                held_run_is(held_as(mode), run.run),
            ),
            Named::Reverting => (
                keys::revert(run),
                head.remove("reverting"),
                reverting_is(run.run),
            ),
        };
        let forgotten = Transaction::new(self)
            .check(
                Protects::Read("what the head names"),
                Table::Coordination,
                &item,
                &absent(),
            )
            .update(
                Protects::Read("the tenant's head"),
                Table::Coordination,
                &keys::head(&run.tenant),
                &head,
                &is_named,
            )
            .send();
        match forgotten.await {
            Ok(()) => Ok(true),
            Err(StoreError::Changed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
