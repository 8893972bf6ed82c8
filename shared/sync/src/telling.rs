//! One telling of a service provider: each account is brought to what the directory has of its user now, whatever
//! happened in between.
//!
//! An account is switched off only because a read of the directory says that its user is INACTIVE, which he is by a
//! run's plan or a person's word; never because somebody is missing anywhere.

mod provider;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::scim::{Account, AccountMark, AccountNote, Outcome, ScimTarget};
use rollcall_core::status::{Status, StoredUser};
use rollcall_scim::{Absence, Brought, ScimClient, ScimError};
use rollcall_store::{
    ACCOUNTS_PER_TRANSACTION_MAX, SCIM_LEASE_MS, ScimLease, ScimRound, StoreError,
};
use tokio::time::timeout;
use tracing::{info, warn};

use self::provider::{client, provider_name};
use crate::app::App;

pub use self::provider::scim_client;

/// How many accounts are told at a time: service providers throttle by the second, and a directory that changes as
/// usual is told within one.
const ACCOUNTS_AT_ONCE: usize = 4;
/// How long before its lease lapses a group is given up, in milliseconds: nobody else tells while it does.
const LEASE_MARGIN_MS: u64 = 20_000;
/// And how long it may go on after it is time to stop, in milliseconds.
const OVERTIME_MS_MAX: u64 = 30_000;
/// After so many accounts that failed one after the other, and had not before, there is no use in the next.
const FAILURES_MAX: u64 = 8;
/// When somebody whose account failed, while others did not, is told of again, in milliseconds.
const FAILED_AGAIN_MS: u64 = 300_000;

/// What ends a telling before its end.
pub(crate) enum Short {
    /// Time is up.
    OutOfTime,
    /// The service provider takes nothing more.
    Scim(ScimError),
    /// The store.
    Store(StoreError),
}

impl From<StoreError> for Short {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// How far a telling came.
#[derive(Debug)]
pub(crate) struct Told {
    /// How many accounts took what they were told.
    pub(crate) told: u64,
    /// The round through the partitions, with what earlier tellings know of it.
    pub(crate) round: ScimRound,
    /// How many failed since one took what it was told.
    failing: u64,
}

/// Somebody to be told of, and what is known of his account.
struct Due {
    id: ObjectId,
    status: Status,
    note: Option<AccountNote>,
}

impl Due {
    fn has_failed(&self) -> bool {
        self.note.as_ref().is_some_and(|note| note.refused)
    }
}

/// Who tells, and whom.
pub(crate) struct Telling<'a> {
    app: &'a App,
    tenant: &'a TenantId,
    lease: &'a ScimLease,
    provider: String,
    client: ScimClient,
    stop_at_ms: u64,
}

impl<'a> Telling<'a> {
    /// Under a lease, up to a moment in milliseconds since 1970.
    pub(crate) fn new(
        app: &'a App,
        (tenant, lease): (&'a TenantId, &'a ScimLease),
        target: &ScimTarget,
        stop_at_ms: u64,
    ) -> Result<Self, ScimError> {
        Ok(Self {
            app,
            tenant,
            lease,
            provider: provider_name(target),
            client: client(target, &app.secrets, &app.ambient, app.transport.clone())?,
            stop_at_ms,
        })
    }

    fn now_ms(&self) -> u64 {
        self.app.ambient.now_ms()
    }

    /// Tells of everybody who is to be told of, to the end of the round.
    pub(crate) async fn tell_all(&self, told: &mut Told) -> Result<(), Short> {
        let mut last_problem = None;
        // Each turn ends a partition, or the telling.
        while let Some(shard) = told.round.shard() {
            // To read a partition may take as long as a lease runs.
            self.app.store.keep_scim(self.lease).await?;
            let before = told.round.clone();
            let mut due = self.due_in(shard, told).await?.into_iter();
            let mut has_begun = false;
            loop {
                let group: Vec<_> = due.by_ref().take(ACCOUNTS_PER_TRANSACTION_MAX).collect();
                if group.is_empty() {
                    break;
                }
                if self.now_ms() >= self.stop_at_ms {
                    told.round = if has_begun {
                        told.round.passed()
                    } else {
                        before
                    };
                    return Err(match last_problem {
                        Some(problem) if told.told == 0 => Short::Scim(problem),
                        _ => Short::OutOfTime,
                    });
                }
                has_begun = true;
                if let Some(problem) = self.tell_group(group, told).await? {
                    if told.failing >= FAILURES_MAX {
                        told.round = told.round.passed();
                        return Err(Short::Scim(problem));
                    }
                    last_problem = Some(problem);
                }
            }
            told.round.is_told();
        }
        match last_problem {
            Some(problem) if told.told == 0 => Err(Short::Scim(problem)),
            _ => Ok(()),
        }
    }

    /// Whose account is not known to be as he is, in one partition of the directory: whoever is off first, and whose
    /// account failed before last.
    async fn due_in(&self, shard: u8, told: &mut Told) -> Result<Vec<Due>, StoreError> {
        let now_ms = self.now_ms();
        let store = &self.app.store;
        let mut notes = store.accounts(self.tenant, &self.provider, shard).await?;
        let mut due = Vec::new();
        store
            .standings_now(self.tenant, shard, |user| {
                let note = notes.remove(&user.id);
                let mark = AccountMark::from(&user.standing);
                if AccountNote::is_due(note.as_ref(), mark, now_ms) {
                    due.push(Due {
                        id: user.id,
                        status: user.standing.status,
                        note,
                    });
                } else if let Some(note) = note {
                    told.round.left += u64::from(note.refused);
                    told.look_again(note.next_look_ms());
                }
            })
            .await?;
        due.sort_by_key(|due| (due.has_failed(), due.status == Status::Active));
        Ok(due)
    }

    /// Tells of some users. Before, it is noted that they are told, so that nobody takes for told what was begun. Gives
    /// what went wrong with one who was neither told nor refused.
    async fn tell_group(
        &self,
        group: Vec<Due>,
        told: &mut Told,
    ) -> Result<Option<ScimError>, Short> {
        let (store, now_ms) = (&self.app.store, self.now_ms());
        // Before the lease is kept by the note: past this moment somebody else may tell.
        let until_ms = (now_ms + SCIM_LEASE_MS - LEASE_MARGIN_MS)
            .min(self.stop_at_ms.saturating_add(OVERTIME_MS_MAX));
        let ids: Vec<_> = group.iter().map(|due| due.id.clone()).collect();
        let begun: Vec<_> = group
            .iter()
            .map(|due| {
                let begun = AccountNote::begun(due.note.as_ref(), until_ms);
                (due.id.clone(), begun)
            })
            .collect();
        store
            .note_accounts(self.lease, &self.provider, &begun)
            .await?;
        let users = store.users(self.tenant, &ids).await?;
        let mut users: BTreeMap<_, _> = users
            .into_iter()
            .map(|user| (user.id.clone(), user))
            .collect();
        let before = group.iter().filter(|due| due.has_failed());
        let before: BTreeSet<_> = before.map(|due| due.id.clone()).collect();
        let each = group
            .into_iter()
            .filter_map(|due| users.remove(&due.id).map(|user| (due, user)))
            .map(|(due, user)| self.tell_one(due, user, until_ms));
        let answers: Vec<_> = stream::iter(each)
            .buffer_unordered(ACCOUNTS_AT_ONCE)
            .collect()
            .await;
        let (mut noted, mut problem) = (Vec::with_capacity(answers.len()), None);
        for (id, note, outcome) in answers {
            told.look_again(note.next_look_ms());
            let failed_before = before.contains(&id);
            noted.push((id, note));
            match outcome {
                Ok(is_told) => {
                    told.told += u64::from(is_told);
                    told.failing = 0;
                }
                Err(ScimError::Refused { .. }) => {
                    told.round.left += 1;
                    told.failing = 0;
                }
                Err(error) => {
                    told.round.left += 1;
                    told.failing += u64::from(!failed_before);
                    problem = Some(error);
                }
            }
        }
        store
            .note_accounts(self.lease, &self.provider, &noted)
            .await?;
        Ok(problem)
    }

    /// Tells of one user. Gives what is known of his account after it, and whether it is as he is.
    async fn tell_one(
        &self,
        due: Due,
        user: StoredUser,
        until_ms: u64,
    ) -> (ObjectId, AccountNote, Result<bool, ScimError>) {
        let (note, gave_up) = (due.note.as_ref(), AtomicBool::new(false));
        let told = self.bring(note, &user, until_ms, &gave_up).await;
        let (tenant, token) = (self.tenant, self.lease.token());
        let mark = AccountMark::from(&user.standing());
        let (outcome, told) = match told {
            Ok(Brought::NoneYet) => {
                info!(event = "scim_account_awaited", tenant = %tenant, id = %user.id, token);
                (Outcome::Unknown, Ok(false))
            }
            Ok(Brought::Account(account)) => {
                info!(event = "scim_account_told", tenant = %tenant, id = %user.id,
                    status = user.status.name(), version = user.version, token);
                (Outcome::Told(Some(account), mark), Ok(true))
            }
            Ok(Brought::NoneNeeded) => (Outcome::Told(None, mark), Ok(true)),
            Ok(Brought::Missing) => {
                let missing = ScimError::Refused {
                    operation: "find",
                    cause: "the account that is known is not found; it is looked for again".into(),
                };
                (Outcome::Missed(mark), Err(missing))
            }
            Err(error) => {
                let outcome = match &error {
                    ScimError::Refused { .. } => Outcome::Refused(mark),
                    ScimError::Unavailable { .. } | ScimError::Denied { .. } => {
                        Outcome::Failed(mark, FAILED_AGAIN_MS)
                    }
                };
                (outcome, Err(error))
            }
        };
        if let Err(error) = &told {
            warn!(event = "scim_account_left", tenant = %tenant, id = %user.id, token,
                error = %error);
        }
        let gave_up = gave_up.load(Ordering::Relaxed);
        let after = AccountNote::after(note, outcome, gave_up, self.now_ms());
        (due.id, after, told)
    }

    async fn bring(
        &self,
        note: Option<&AccountNote>,
        user: &StoredUser,
        until_ms: u64,
        gave_up: &AtomicBool,
    ) -> Result<Brought, ScimError> {
        let (account, now_ms) = (Account::of(user), self.now_ms());
        let known = note.and_then(|note| note.account.as_deref());
        let may_create = AccountNote::may_create(note, now_ms);
        let absence = Absence {
            is_believed: AccountNote::is_absence_believed(note, now_ms),
            may_create,
        };
        let left = Duration::from_millis(until_ms.saturating_sub(now_ms));
        let bringing = self.client.bring(known, &account, absence, gave_up);
        timeout(left, bringing).await.unwrap_or_else(|_| {
            gave_up.store(true, Ordering::Relaxed);
            Err(ScimError::Unavailable {
                operation: "tell",
                cause: "it takes too long".into(),
                retry_after_ms: None,
            })
        })
    }
}

impl Told {
    /// Nobody is told yet.
    pub(crate) fn within(round: ScimRound) -> Self {
        Self {
            told: 0,
            round,
            failing: 0,
        }
    }

    /// Somebody is to be looked at again at this time.
    fn look_again(&mut self, at_ms: Option<u64>) {
        let known = self.round.again_at_ms.into_iter();
        self.round.again_at_ms = known.chain(at_ms).min();
    }
}
