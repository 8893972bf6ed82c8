//! The store: two DynamoDB tables, every item, key and condition in them.
//!
//! It promises:
//! - each write of a run, a batch or a user is conditional on a lease, which only this crate can
//!   hand out ([`RunLease`], [`BatchLease`]), and fails with [`StoreError::LostLease`] once the
//!   lease is somebody else's; a person's decision alone needs none, but the version that was read;
//! - a user is written together with the image of what he was before;
//! - a state changes only as the pure functions of `rollcall-core` allow, because the conditions are
//!   made from their tables;
//! - an item that is missing, unreadable or of a newer layout is an error and never "nothing".
//!
//! It never deletes anything, never decides anything about users, and knows no HTTP, SQS or Graph.

mod batches;
mod by_hand;
mod changes;
mod conditions;
mod copy;
mod endings;
mod enumeration;
mod error;
mod gone;
mod holds;
mod images;
mod journal;
mod keys;
mod layout;
mod leases;
mod members;
mod meter;
mod pages;
mod plans;
mod read;
mod reverts;
mod row;
mod runs;
mod schema;
mod scim;
mod standings;
mod starts;
mod streaks;
mod survey;
mod tenants;
mod users;
mod weight;
mod write;

use aws_sdk_dynamodb::Client;
use rollcall_ambient::Ambient;

pub use batches::{BatchRecord, BatchResult};
pub use by_hand::Decided;
pub use changes::{ChangeCause, UserChange};
pub use endings::{Held, RunTotals};
pub use enumeration::{ChainEnd, PageCommit};
pub use error::{StoreError, said_by_aws};
pub use gone::Named;
pub use holds::{HOLD_DAYS_MAX, HoldDecision, Ruled};
pub use images::{Image, JournalPlace};
pub use journal::{Act, ByHand, JournalEntry};
pub use leases::{AcquiredBatch, AcquiredRun, BatchLease, RunLease, RunStep};
use meter::Meter;

pub use meter::Capacity;
pub use plans::StoredPlan;
pub use reverts::{BegunRevert, RevertLease, RevertRecord};
pub use runs::{Bracket, GraphUsage, RunRecord, Usage};
pub use schema::{LOGIN_INDEX, STANDING_INDEX};
pub use scim::{ACCOUNTS_PER_TRANSACTION_MAX, SCIM_LEASE_MS, ScimLease, ScimRecord, ScimRound};
pub use standings::UserStanding;
pub use starts::{DueRun, StartedRun};
pub use survey::{Left, LeftAlone, Survey};
pub use tenants::{Head, PutTenant, SomeTenants, TenantMark, TenantRecord};
pub use users::{UserWrite, WRITES_PER_TRANSACTION_MAX};

/// How long the items of a run are kept after its end, in days: the time in which a run can still
/// be looked into and taken back.
pub const RETENTION_DAYS: u64 = 90;

/// How many partitions a tenant's part of the directory has.
pub const DIRECTORY_SHARDS: u8 = keys::DIRECTORY_SHARDS;

/// The names of the two tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableNames {
    /// The users: what the application reads.
    pub directory: String,
    /// Everything that a run needs.
    pub coordination: String,
}

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Directory,
    Coordination,
}

/// The store. Clones share the client; [`Store::metered`] gives one that counts for itself.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    tables: TableNames,
    ambient: Ambient,
    meter: Meter,
}

impl Store {
    /// Over a client, with the tables' names.
    #[must_use]
    pub fn new(client: Client, tables: TableNames, ambient: Ambient) -> Self {
        Self {
            client,
            tables,
            ambient,
            meter: Meter::default(),
        }
    }

    /// The same store with a meter of its own, which starts at nothing. What it counts is counted by
    /// this store too.
    #[must_use]
    pub fn metered(&self) -> Self {
        Self {
            meter: self.meter.part(),
            ..self.clone()
        }
    }

    /// The capacity that this store, and its clones, consumed.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        self.meter.total()
    }

    pub(crate) fn table(&self, table: Table) -> &str {
        match table {
            Table::Directory => &self.tables.directory,
            Table::Coordination => &self.tables.coordination,
        }
    }
}
