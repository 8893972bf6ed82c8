//! Groups: members of every kind, groups within groups, and what is asked about them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::answer::{Draft, GraphError, Raw, json_bytes};
use crate::directory::{Directory, ScanKey, scan_key};
use crate::errors::not_found;
use crate::tenant::Tenant;
use crate::user::{Item, User};

/// The most groups that one checkMemberGroups takes. Source: "directoryObject: checkMemberGroups".
const CHECKED_GROUPS_MAX: usize = 20;

/// A member of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// A user of the directory.
    User(Uuid),
    /// Another group, whose members are members too.
    Group(Uuid),
    /// A device, of which the directory knows no more.
    Device(Uuid),
}

impl Member {
    /// The object id.
    #[must_use]
    pub const fn id(self) -> Uuid {
        match self {
            Self::User(id) | Self::Group(id) | Self::Device(id) => id,
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::User(_) => "#microsoft.graph.user",
            Self::Group(_) => "#microsoft.graph.group",
            Self::Device(_) => "#microsoft.graph.device",
        }
    }
}

/// The groups of a directory, each with its direct members.
#[derive(Debug, Default)]
pub(crate) struct Groups(BTreeMap<Uuid, BTreeSet<Member>>);

impl Groups {
    pub(crate) fn make(&mut self, id: Uuid) {
        self.0.entry(id).or_default();
    }

    pub(crate) fn remove(&mut self, id: Uuid) -> bool {
        self.0.remove(&id).is_some()
    }

    pub(crate) fn members_mut(&mut self, group: Uuid) -> Option<&mut BTreeSet<Member>> {
        self.0.get_mut(&group)
    }

    /// Whoever is in a group, directly or through groups within it, in circles too; none if there is no
    /// such group.
    pub(crate) fn transitive(&self, group: Uuid) -> Option<BTreeSet<Member>> {
        let mut found = self.0.get(&group)?.clone();
        let mut left: Vec<Member> = found.iter().copied().collect();
        while let Some(member) = left.pop() {
            let Member::Group(inner) = member else {
                continue;
            };
            for &member in self.0.get(&inner).into_iter().flatten() {
                if found.insert(member) {
                    left.push(member);
                }
            }
        }
        found.remove(&Member::Group(group));
        Some(found)
    }
}

/// Up to so many members of a group after a place of its list, in the order of a scan. A user who is
/// deleted softly stands in no list.
pub(crate) fn members_after(
    directory: &Directory,
    group: Uuid,
    after: Option<&ScanKey>,
    count: usize,
) -> Vec<Item> {
    let members = directory.transitive_members(group).unwrap_or_default();
    let items = members.into_iter().filter_map(|member| {
        let object = match member {
            Member::User(id) => directory.shared(id)?,
            Member::Group(id) | Member::Device(id) => Arc::new(User {
                id,
                ..User::default()
            }),
        };
        let item = Item {
            kind: Some(member.kind()),
            ..Item::of(object)
        };
        Some((scan_key(&item.user), item))
    });
    let in_order: BTreeMap<ScanKey, Item> = items.collect();
    let left = in_order
        .into_iter()
        .filter(|(key, _)| after.is_none_or(|after| key > after));
    left.map(|(_, item)| item).take(count).collect()
}

/// `GET /groups/{id}`.
pub(crate) fn group(tenant: &Tenant, origin: &str, key: &str) -> Result<Draft, GraphError> {
    let id = existing(&tenant.directory(), key)?;
    let body = json!({
        "@odata.context": format!("{origin}/v1.0/$metadata#groups/$entity"),
        "id": id.to_string(),
        "displayName": format!("Group {}", id.simple()),
        "groupTypes": [],
        "mailEnabled": false,
        "securityEnabled": true,
    });
    Ok(json_draft(&body))
}

/// The group that a path names.
pub(crate) fn existing(directory: &Directory, key: &str) -> Result<Uuid, GraphError> {
    Uuid::try_parse(key)
        .ok()
        .filter(|id| directory.transitive_members(*id).is_some())
        .ok_or_else(|| not_found(key))
}

#[derive(Deserialize)]
struct Checked {
    #[serde(rename = "groupIds")]
    groups: Vec<String>,
}

/// `POST /users/{id}/checkMemberGroups`: in which of some groups the user is, nested membership too.
/// A group that is not there is left out.
pub(crate) fn check_member_groups(
    tenant: &Tenant,
    origin: &str,
    key: &str,
    body: &[u8],
) -> Result<Draft, GraphError> {
    let bad = |message: String| GraphError::new(400, "Request_BadRequest", message);
    let asked: Checked = serde_json::from_slice(body)
        .map_err(|error| bad(format!("Invalid body of checkMemberGroups: {error}.")))?;
    if asked.groups.len() > CHECKED_GROUPS_MAX {
        return Err(bad(format!(
            "The number of group identifiers cannot exceed '{CHECKED_GROUPS_MAX}'."
        )));
    }
    let directory = tenant.directory();
    let user = Uuid::try_parse(key)
        .ok()
        .filter(|id| directory.get(*id).is_some())
        .ok_or_else(|| not_found(key))?;
    let mut found = Vec::new();
    for id in &asked.groups {
        let id =
            Uuid::try_parse(id).map_err(|_| bad(format!("Invalid object identifier '{id}'.")))?;
        let members = directory.transitive_members(id);
        if members.is_some_and(|members| members.contains(&Member::User(user))) {
            found.push(id.to_string());
        }
    }
    Ok(json_draft(&json!({
        "@odata.context": format!("{origin}/v1.0/$metadata#Collection(Edm.String)"),
        "value": found,
    })))
}

fn json_draft(body: &serde_json::Value) -> Draft {
    Draft::Raw(Raw {
        status: 200,
        content_type: "application/json",
        headers: Vec::new(),
        body: json_bytes(body),
    })
}
