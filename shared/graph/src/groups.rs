//! Groups: who is in one, nested members too, and in which of some groups somebody is.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_core::evidence::{Membership, RequestId, Told};
use rollcall_core::ids::ObjectId;
use rollcall_core::scope::Scope;
use rollcall_core::user::GraphUser;
use serde_json::{Map, Value, json};

use crate::batch::Question;
use crate::client::GraphClient;
use crate::error::{FailedCall, GraphError};
use crate::http::Call;
use crate::link::safe_url;
use crate::page::{self, Broken};

/// Pages of one group's members, in one walk. At 999 a page this is ten million members.
const MEMBER_PAGES_MAX: usize = 10_000;

/// How often a walk through a group's members begins again when its page token expires.
const MEMBER_WALKS_MAX: u32 = 5;

/// Groups in one `checkMemberGroups`.
/// <https://learn.microsoft.com/graph/api/directoryobject-checkmembergroups>
pub const CHECKED_GROUPS_MAX: usize = 20;

pub(crate) const GROUP_MEMBERS: &str = "groupMembers";
pub(crate) const CHECK_MEMBER_GROUPS: &str = "checkMemberGroups";

const NO_SUCH_GROUP: &str = "take it out of the tenant's scope, or restore it in Microsoft 365";
const NOT_READABLE: &str = "look into the log for what Microsoft Graph answered; the next run reads \
    it again";
const EMPTY: &str = "take it out of the tenant's scope if nobody is to be in it; a group whose \
    membership is hidden shows its members to who has Member.Read.Hidden alone";

/// The users of a group, nested members too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMembers {
    /// Each once.
    pub users: BTreeSet<ObjectId>,
    /// How many pages their list had.
    pub pages: usize,
    /// The request that its last page came by.
    pub request: RequestId,
}

/// What the first page of a group's members shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstMembers {
    /// How many users stand on it.
    pub users: usize,
    /// Whether there are further pages.
    pub more: bool,
}

impl GraphClient {
    /// All users of a group, nested members too, from a list that was followed to its end. It is asked
    /// for without a filter, a cast or a count: those are answered by an index that lags. Members of
    /// other kinds are left out here.
    /// <https://learn.microsoft.com/graph/api/group-list-transitivemembers>
    ///
    /// # Errors
    /// [`GraphError::GroupUnavailable`] for a group that is not there, has no user in it, or whose list
    /// never comes whole; any other [`GraphError`] as for a page of users.
    pub async fn group_members(&self, group: &ObjectId) -> Result<GroupMembers, GraphError> {
        let mut walks = 1;
        let walked = loop {
            match self.walk_members(group).await {
                Err(GraphError::PageTokenExpired { .. }) if walks < MEMBER_WALKS_MAX => walks += 1,
                walked => break walked,
            }
        };
        let members = walked.map_err(|error| of_group(group, error))?;
        // A list without anybody is what a lost list looks like.
        if members.users.is_empty() {
            return Err(empty(group));
        }
        Ok(members)
    }

    /// The first page of a group's members: enough to tell that the group can be read.
    ///
    /// # Errors
    /// As [`GraphClient::group_members`].
    pub async fn first_members(&self, group: &ObjectId) -> Result<FirstMembers, GraphError> {
        let call = Call::get(GROUP_MEMBERS, self.endpoints().group_members(group)?);
        let fetched = self.http().fetch(&call, page::members).await;
        let ((users, next), _) = fetched.map_err(|error| of_group(group, error))?;
        let more = next.is_some();
        if users.is_empty() && !more {
            return Err(empty(group));
        }
        let users = users.len();
        Ok(FirstMembers { users, more })
    }

    async fn walk_members(&self, group: &ObjectId) -> Result<GroupMembers, GraphError> {
        let first = self.endpoints().group_members(group)?;
        // A link back to the first page is a loop as well.
        let mut followed = BTreeSet::from([first.to_string()]);
        let mut call = Call::get(GROUP_MEMBERS, first);
        let mut users = BTreeSet::new();
        for pages in 1..=MEMBER_PAGES_MAX {
            let ((some, next), request_id) = self.http().fetch(&call, page::members).await?;
            users.extend(some);
            let Some(next) = next else {
                return Ok(GroupMembers {
                    users,
                    pages,
                    request: request_id.into(),
                });
            };
            let address = safe_url(&self.endpoints().graph_root, GROUP_MEMBERS, &next)?;
            if !followed.insert(next) {
                return Err(endless("a next link repeats"));
            }
            call = Call::get(GROUP_MEMBERS, address).following_link();
        }
        Err(endless("there is no last page"))
    }

    /// Asks about users one by one, 20 a request, whether they are in one of some groups, nested
    /// membership too. Who is found in one is not asked about the others. In each request those `beside` are asked
    /// about as well, who ought to be in one: an answer may leave out what the service does not show at this
    /// moment, so that somebody is in none is believed where one of those is in one by the same request. Where none
    /// is by any, it is told as it came, and theirs with it.
    /// <https://learn.microsoft.com/graph/api/directoryobject-checkmembergroups>
    ///
    /// # Errors
    /// Any [`GraphError`]; nothing is given then.
    pub async fn in_groups(
        &self,
        ids: &[ObjectId],
        beside: &[ObjectId],
        groups: &[ObjectId],
    ) -> Result<BTreeMap<ObjectId, Told<Membership>>, GraphError> {
        let mut told = BTreeMap::new();
        let mut left = ids.to_vec();
        let is_out = |it: &Told<Membership>| it.what == Membership::Out;
        for groups in groups.chunks(CHECKED_GROUPS_MAX) {
            let answered = self.ask_each(&InGroups(groups), &left, beside).await?;
            for (id, it) in answered.told {
                let is_doubtful = answered.is_vouched && answered.alone.contains(&id);
                if is_doubtful && is_out(&it) && !beside.contains(&id) {
                    told.remove(&id);
                } else if told.get(&id).is_none_or(is_out) {
                    told.insert(id, it);
                }
            }
            left.retain(|id| told.get(id).is_some_and(is_out));
        }
        Ok(told)
    }

    /// Notes about users whether they are in one of the scope's groups, by id, as [`GraphClient::in_groups`] does.
    /// Only those are asked about for whom it decides; who is gone meanwhile is not known to be in one, nor to be
    /// in none.
    ///
    /// # Errors
    /// Any [`GraphError`]; nothing is noted then.
    pub async fn note_groups<'u>(
        &self,
        scope: &Scope,
        users: impl IntoIterator<Item = &'u mut GraphUser>,
        beside: &[ObjectId],
    ) -> Result<(), GraphError> {
        let users = users.into_iter();
        let mut open: Vec<_> = users.filter(|user| scope.groups_decide(user)).collect();
        let asked: Vec<_> = open.iter().map(|user| user.id.clone()).collect();
        let told = self.in_groups(&asked, beside, &scope.groups).await?;
        for user in &mut open {
            user.in_groups = match told.get(&user.id).map(|it| it.what) {
                Some(Membership::In) => Some(true),
                Some(Membership::Out) => Some(false),
                Some(Membership::NoUser) | None => None,
            };
        }
        Ok(())
    }
}

/// In which of these groups is he?
struct InGroups<'a>(&'a [ObjectId]);

impl Question for InGroups<'_> {
    type Answer = Membership;

    const OPERATION: &'static str = CHECK_MEMBER_GROUPS;
    const NOT_THERE: Membership = Membership::NoUser;

    fn request(&self, at: usize, id: &ObjectId) -> Value {
        json!({
            "id": at.to_string(),
            "method": "POST",
            "url": format!("/users/{id}/checkMemberGroups"),
            "headers": { "Content-Type": "application/json" },
            "body": { "groupIds": self.0 },
        })
    }

    /// The answer names those of the groups that he is in. A group that nobody asked about shows that it
    /// is the answer to something else.
    fn read(&self, _: &ObjectId, body: &Map<String, Value>) -> Result<Membership, Broken> {
        let named = body.get("value").and_then(Value::as_array);
        let named = named.ok_or(Broken("no list of groups"))?;
        for group in named {
            let group = group.as_str().and_then(|id| ObjectId::new(id).ok());
            if !group.is_some_and(|id| self.0.contains(&id)) {
                return Err(Broken("a group that was not asked about"));
            }
        }
        Ok(match named.is_empty() {
            true => Membership::Out,
            false => Membership::In,
        })
    }

    fn vouches(answer: &Membership) -> bool {
        *answer == Membership::In
    }
}

/// What it means for the run that a group's list was not to be had.
fn of_group(group: &ObjectId, error: GraphError) -> GraphError {
    let remedy = match &error {
        GraphError::Refused { call } if call.status == Some(404) => NO_SUCH_GROUP,
        GraphError::Refused { .. }
        | GraphError::PageTokenExpired { .. }
        | GraphError::Unreliable { .. } => NOT_READABLE,
        _ => return error,
    };
    let problem = match error {
        GraphError::Refused { call } if call.status == Some(404) => {
            format!("there is no such group ({call})")
        }
        GraphError::Refused { call } => format!("its members are refused ({call})"),
        other => format!("its list of members never came whole: {other}"),
    };
    GraphError::GroupUnavailable {
        group: group.clone(),
        problem,
        remedy,
    }
}

fn empty(group: &ObjectId) -> GraphError {
    GraphError::GroupUnavailable {
        group: group.clone(),
        problem: "there is no user in it".to_owned(),
        remedy: EMPTY,
    }
}

fn endless(cause: &str) -> GraphError {
    let mut call = FailedCall::of(GROUP_MEMBERS);
    call.cause = Some(cause.to_owned());
    GraphError::Unreliable { call, attempts: 1 }
}
