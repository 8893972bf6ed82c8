//! Three ways to ask about users who were not seen.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_core::evidence::{RequestId, Told};
use rollcall_core::ids::ObjectId;
use rollcall_core::user::GraphUser;
use serde_json::json;

use crate::batch::{self, Answered, BATCH_REQUESTS_MAX, IsThere, Question, told};
use crate::client::GraphClient;
use crate::error::{FailedCall, GraphError};
use crate::http::{Call, Verdict};
use crate::link::safe_url;
use crate::page;
use crate::retry::Fault;

/// Ids in one `getByIds`.
/// <https://learn.microsoft.com/graph/api/directoryobject-getbyids>
const GET_BY_IDS_MAX: usize = 1_000;

/// Pages of the bin, in one walk. At 999 a page this is ten million users, more than Entra keeps.
const DELETED_PAGES_MAX: usize = 10_000;

/// How often a walk through the bin begins again when its page token expires.
const DELETED_WALKS_MAX: u32 = 5;

const DELETED_USERS: &str = "deletedItems";

/// What Graph says of one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existence {
    /// The user is there.
    Found {
        /// Whether the account may log in. `None` is unknown.
        account_enabled: Option<bool>,
    },
    /// A 404 with the code `Request_ResourceNotFound`. A replica that lags says so too.
    NotFound,
}

impl GraphClient {
    /// Asks about any number of users by id, 1,000 a request, and gives those that Graph has, with all that
    /// decides about a user: `accountEnabled`, `userType` and the login name. What else a user has is not asked
    /// for. Who is left out may be gone, or may not: an omission proves nothing.
    ///
    /// # Errors
    /// Any [`GraphError`]; nothing is given then.
    pub async fn get_by_ids(
        &self,
        ids: &[ObjectId],
    ) -> Result<BTreeMap<ObjectId, Told<GraphUser>>, GraphError> {
        let asked: BTreeSet<&ObjectId> = ids.iter().collect();
        let each_once: Vec<&ObjectId> = asked.iter().copied().collect();
        let mut found = BTreeMap::new();
        for some in each_once.chunks(GET_BY_IDS_MAX) {
            let question = json!({ "ids": some, "types": ["user"] });
            let address = self.endpoints().get_by_ids.clone();
            let call = Call::post("getByIds", address, &question);
            let (answered, request_id) = self.http().fetch(&call, &page::deciding).await?;
            let request = RequestId::from(request_id);
            let answered = answered.into_iter().map(|it| (it.id.clone(), it));
            let asked_for = answered.filter(|(id, _)| asked.contains(id));
            found.extend(told(asked_for, &request));
        }
        Ok(found)
    }

    /// Walks through the deleted users and gives those of `among` that are there. Graph keeps them
    /// for 30 days.
    /// <https://learn.microsoft.com/graph/api/directory-deleteditems-list>
    ///
    /// # Errors
    /// Any [`GraphError`]. [`GraphError::Unreliable`] for a next link that repeats, and for a walk
    /// without end.
    pub async fn deleted_users(
        &self,
        among: &BTreeSet<ObjectId>,
    ) -> Result<BTreeMap<ObjectId, RequestId>, GraphError> {
        let mut found = BTreeMap::new();
        let mut walks = 1;
        loop {
            match self.walk_deleted_users(among, &mut found).await {
                // Who was found is found; the rest is looked for again, from the first page.
                Err(GraphError::PageTokenExpired { .. }) if walks < DELETED_WALKS_MAX => walks += 1,
                Err(error) => return Err(error),
                Ok(()) => return Ok(found),
            }
        }
    }

    async fn walk_deleted_users(
        &self,
        among: &BTreeSet<ObjectId>,
        found: &mut BTreeMap<ObjectId, RequestId>,
    ) -> Result<(), GraphError> {
        let first = self.endpoints().deleted_users.clone();
        // A link back to the first page is a loop as well.
        let mut followed = BTreeSet::from([first.to_string()]);
        let mut call = Call::get(DELETED_USERS, first);
        for _ in 0..DELETED_PAGES_MAX {
            if found.len() == among.len() {
                return Ok(());
            }
            let ((ids, next), request_id) = self.http().fetch(&call, page::ids).await?;
            let request = RequestId::from(request_id);
            let wanted = ids.into_iter().filter(|id| among.contains(id));
            found.extend(wanted.map(|id| (id, request.clone())));
            let Some(next) = next else { return Ok(()) };
            let address = safe_url(&self.endpoints().graph_root, DELETED_USERS, &next)?;
            if !followed.insert(next) {
                return Err(endless("a next link repeats"));
            }
            call = Call::get(DELETED_USERS, address).following_link();
        }
        Err(endless("there is no last page"))
    }

    /// Asks about users one by one, 20 a request.
    /// <https://learn.microsoft.com/graph/api/user-get>
    ///
    /// # Errors
    /// Any [`GraphError`]; nothing is given then. Each request, and all repetitions for those of it
    /// who had no answer yet, share one retry budget.
    pub async fn users_by_id(
        &self,
        ids: &[ObjectId],
    ) -> Result<BTreeMap<ObjectId, Told<Existence>>, GraphError> {
        Ok(self.ask_each(&IsThere, ids, &[]).await?.told)
    }

    /// Asks a question about users one by one, 20 a request, and in each request about those beside them.
    pub(crate) async fn ask_each<Q: Question>(
        &self,
        question: &Q,
        ids: &[ObjectId],
        beside: &[ObjectId],
    ) -> Result<Answered<Q::Answer>, GraphError> {
        let each_once: BTreeSet<_> = ids.iter().filter(|id| !beside.contains(id)).collect();
        let each_once: Vec<ObjectId> = each_once.into_iter().cloned().collect();
        let at_once = BATCH_REQUESTS_MAX.saturating_sub(beside.len()).max(1);
        let mut answered = Answered::nothing();
        for some in each_once.chunks(at_once) {
            answered.add::<Q>(self.ask_some(question, some, beside).await?);
        }
        Ok(answered)
    }

    async fn ask_some<Q: Question>(
        &self,
        question: &Q,
        ids: &[ObjectId],
        beside: &[ObjectId],
    ) -> Result<Answered<Q::Answer>, GraphError> {
        let http = self.http();
        let mut retry = http.retry();
        let mut answered = Answered::nothing();
        let mut left = ids.to_vec();
        // `Retry` bounds the rounds.
        loop {
            let asked: Vec<_> = beside.iter().chain(&left).cloned().collect();
            let address = self.endpoints().batch.clone();
            let call = Call::post(Q::OPERATION, address, &batch::asked(question, &asked));
            let answer = http.send(&call, &mut retry).await?;
            let settled = match batch::settle(question, &asked, &answer.body) {
                Ok(settled) => settled,
                Err(broken) => {
                    let failed = answer.failed(&call, broken);
                    retry.wait(Fault::broken(failed)).await?;
                    continue;
                }
            };
            for _ in 0..settled.throttled {
                http.counters.throttled();
            }
            let request = RequestId::from(answer.request_id.clone());
            if let Some(round) = Answered::of::<Q>(settled.known, beside, &request) {
                answered.add::<Q>(round);
                left.retain(|id| !answered.told.contains_key(id));
            }
            if left.is_empty() {
                return Ok(answered);
            }
            match (settled.ended, settled.passing) {
                (Some((Verdict::Unauthorised, failed)), _) => {
                    http.renew_token(answer.token_serial, failed, settled.claims, &mut retry)
                        .await?;
                }
                (Some((Verdict::Denied, call)), _) => return Err(GraphError::Denied { call }),
                (Some((_, call)), _) => return Err(GraphError::Refused { call }),
                (None, Some((failed, retry_after_ms))) => {
                    retry.wait(Fault::passing(failed, retry_after_ms)).await?;
                }
                (None, None) => {
                    let missing = page::Broken("the batch leaves questions out");
                    retry
                        .wait(Fault::broken(answer.failed(&call, missing)))
                        .await?;
                }
            }
        }
    }
}

fn endless(cause: &str) -> GraphError {
    let mut call = FailedCall::of(DELETED_USERS);
    call.cause = Some(cause.to_owned());
    GraphError::Unreliable { call, attempts: 1 }
}
