//! What the application is told of a change of a user's status, as `docs/STATUS_EVENTS.md` has it.

use jiff::Timestamp;
use rollcall_core::by_hand::Decision;
use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::status::{Reason, Status, StoredUser};
use rollcall_store::{Act, ChangeCause, UserChange};
use serde::Serialize;

/// The number of the schema. What a reader may ignore is added without a new one; anything else raises it.
const SCHEMA: u32 = 1;

/// One event. It has ids, and neither names nor addresses.
#[derive(Debug, Serialize)]
pub(crate) struct StatusEvent<'a> {
    schema: u32,
    tenant: &'a TenantId,
    id: &'a ObjectId,
    /// The user's version. It rises: of two events about one user, the higher one has the say.
    version: u64,
    change: Change,
    status: Status,
    reason: Reason,
    before: Option<Standing>,
    /// When the status was set, RFC 3339, UTC.
    at: Option<String>,
    cause: Option<Cause<'a>>,
}

/// What became of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// The directory did not have him.
    Created,
    /// INACTIVE before, ACTIVE now.
    SwitchedOn,
    /// ACTIVE before, INACTIVE now: his sessions are to be dropped.
    SwitchedOff,
    /// The same status for another reason.
    Reason,
}

impl Change {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::SwitchedOn => "switched_on",
            Self::SwitchedOff => "switched_off",
            Self::Reason => "reason",
        }
    }
}

#[derive(Debug, Serialize)]
struct Standing {
    status: Status,
    reason: Reason,
}

/// Why.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Cause<'a> {
    /// A run saw him, at this generation, page and place.
    Sighting { run: u64, seen: String },
    /// A run's plan, with the evidence about him.
    Plan { run: u64, evidence: &'a str },
    /// A person decided about him. Who it was is in the journal.
    Person { decision: Decision },
    /// A person took back what this run did.
    Revert { run: u64 },
}

impl<'a> From<&'a ChangeCause> for Cause<'a> {
    fn from(cause: &'a ChangeCause) -> Self {
        match cause {
            ChangeCause::Sighting { run, order } => Self::Sighting {
                run: *run,
                seen: format!("{}/{}/{}", order.generation, order.page, order.index),
            },
            ChangeCause::Plan { run, evidence } => Self::Plan {
                run: *run,
                evidence,
            },
            ChangeCause::Person(Act::Decided(decision)) => Self::Person {
                decision: *decision,
            },
            ChangeCause::Person(Act::Reverted(run)) => Self::Revert { run: *run },
        }
    }
}

impl<'a> StatusEvent<'a> {
    /// Of a change of status, with its cause if that is known.
    pub(crate) fn new(changed: &'a UserChange, cause: Option<&'a ChangeCause>) -> Self {
        let UserChange {
            tenant,
            before,
            after,
        } = changed;
        let at = i64::try_from(after.status_at_ms)
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok());
        Self {
            schema: SCHEMA,
            tenant,
            id: &after.id,
            version: after.version,
            change: change(before.as_ref(), after),
            status: after.status,
            reason: after.reason,
            before: before.as_ref().map(|before| Standing {
                status: before.status,
                reason: before.reason,
            }),
            at: at.map(|at| at.to_string()),
            cause: cause.map(Cause::from),
        }
    }

    pub(crate) const fn change(&self) -> Change {
        self.change
    }
}

fn change(before: Option<&StoredUser>, after: &StoredUser) -> Change {
    match (before.map(|before| before.status), after.status) {
        (None, _) if after.version == 1 => Change::Created,
        // Nobody knows what he was: better his sessions are dropped once too often.
        (None | Some(Status::Inactive), Status::Active) => Change::SwitchedOn,
        (None | Some(Status::Active), Status::Inactive) => Change::SwitchedOff,
        (Some(_), _) => Change::Reason,
    }
}
