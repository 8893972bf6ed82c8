//! The oracle: who is really there, and who ever was. It is told of each change of a tenant's
//! directory when it is made, and knows nothing of what the system believes.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_core::ids::ObjectId;
use rollcall_core::user::GraphUser;
use rollcall_graph_emulator::{Directory, Member, User};
use serde_json::Value;
use uuid::Uuid;

/// What is true of a user from some moment on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Truth {
    /// The user as he is; `None` when he is gone.
    pub(crate) user: Option<User>,
    /// Whether he is in the bin.
    pub(crate) in_bin: bool,
    /// Of the tenant's groups those that he is in, directly or through another one.
    pub(crate) groups: BTreeSet<Uuid>,
}

/// Why somebody may be off, or on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Enabled.
    On,
    Disabled,
    /// In one of the scope's groups, or the scope has none.
    InGroups,
    OutOfScope,
    /// In the bin.
    Deleted,
    /// Not there.
    Gone,
}

/// Who belongs, as a tenant's settings say: read from their JSON, not by the code under test.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    guests: bool,
    domains: Vec<String>,
    groups: BTreeSet<Uuid>,
}

impl Scope {
    /// From a tenant's settings as they are stored.
    pub(crate) fn of(settings: &Value) -> Self {
        let scope = &settings["scope"];
        let words = |name: &str| {
            let list = scope[name].as_array().into_iter().flatten();
            list.filter_map(Value::as_str)
        };
        Self {
            guests: scope["guests"].as_bool().unwrap_or_default(),
            domains: words("domains").map(str::to_lowercase).collect(),
            groups: words("groups")
                .filter_map(|it| Uuid::try_parse(it).ok())
                .collect(),
        }
    }

    /// The groups that it names.
    pub(crate) const fn groups(&self) -> &BTreeSet<Uuid> {
        &self.groups
    }

    /// Whether the tenant's user belongs; `None` when a null decides, or he is gone.
    pub(crate) fn takes(&self, truth: &Truth) -> Option<bool> {
        let user = truth.user.as_ref()?;
        self.decides(
            user.user_type.as_deref(),
            user.user_principal_name.as_deref(),
            !self.groups.is_disjoint(&truth.groups),
        )
    }

    /// The same for a user as Graph showed him.
    pub(crate) fn takes_sighted(&self, user: &GraphUser, is_member: bool) -> Option<bool> {
        self.decides(
            user.user_type.as_deref(),
            user.user_principal_name.as_deref(),
            is_member,
        )
    }

    /// The same by what decides.
    pub(crate) fn takes_stored(
        &self,
        kind: Option<&str>,
        name: Option<&str>,
        is_member: bool,
    ) -> Option<bool> {
        self.decides(kind, name, is_member)
    }

    fn decides(&self, kind: Option<&str>, name: Option<&str>, is_member: bool) -> Option<bool> {
        let member = match kind {
            _ if self.guests => Some(true),
            Some(kind) => Some(kind != "Guest"),
            None => None,
        };
        let domain = name.and_then(|name| name.split('@').next_back());
        let domain = match domain {
            _ if self.domains.is_empty() => Some(true),
            Some(domain) => Some(self.domains.contains(&domain.to_lowercase())),
            None => None,
        };
        let is_in_groups = is_member || self.groups.is_empty();
        match (member, domain) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            _ if !is_in_groups => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }
}

/// One tenant's history.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// The tenant's groups.
    groups: Vec<Uuid>,
    users: BTreeMap<Uuid, Vec<(u64, Truth)>>,
}

impl Oracle {
    /// Nobody yet, and these groups.
    pub(crate) const fn new(groups: Vec<Uuid>) -> Self {
        Self {
            groups,
            users: BTreeMap::new(),
        }
    }

    /// Takes in what has become of a user.
    pub(crate) fn note(&mut self, directory: &Directory, id: Uuid, at_ms: u64) {
        let is_in = |group: &&Uuid| {
            let members = directory.transitive_members(**group);
            members.is_some_and(|members| members.contains(&Member::User(id)))
        };
        let truth = Truth {
            user: directory.get(id).cloned(),
            in_bin: directory.deleted().any(|user| user.id == id),
            groups: self.groups.iter().filter(is_in).copied().collect(),
        };
        self.users.entry(id).or_default().push((at_ms, truth));
    }

    /// Everybody who ever was there, by id.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.users.keys().copied()
    }

    /// Whether a user was known before a moment.
    pub(crate) fn was_there_before(&self, id: Uuid, ms: u64) -> bool {
        let first = self.users.get(&id).and_then(|history| history.first());
        first.is_some_and(|(since_ms, _)| *since_ms < ms)
    }

    /// What is true of a user now.
    pub(crate) fn now(&self, id: Uuid) -> Option<&Truth> {
        self.users.get(&id)?.last().map(|(_, truth)| truth)
    }

    /// Whether a cause was there at some moment from `from_ms` to `to_ms`.
    pub(crate) fn was(
        &self,
        id: &ObjectId,
        cause: Cause,
        scope: &Scope,
        from_ms: u64,
        to_ms: u64,
    ) -> bool {
        let Ok(id) = Uuid::try_parse(id.as_str()) else {
            return false;
        };
        let Some(history) = self.users.get(&id) else {
            return false;
        };
        history
            .iter()
            .enumerate()
            .any(|(index, (since_ms, truth))| {
                let until_ms = history.get(index + 1).map_or(u64::MAX, |(next, _)| *next);
                *since_ms <= to_ms && until_ms >= from_ms && truth.is(cause, scope)
            })
    }
}

impl Truth {
    fn is(&self, cause: Cause, scope: &Scope) -> bool {
        match (cause, &self.user) {
            (Cause::On, Some(user)) => user.account_enabled == Some(true),
            (Cause::Disabled, Some(user)) => user.account_enabled == Some(false),
            (Cause::InGroups, Some(_)) => {
                scope.groups.is_empty() || !scope.groups.is_disjoint(&self.groups)
            }
            (Cause::OutOfScope, Some(_)) => scope.takes(self) == Some(false),
            (Cause::Deleted, None) => self.in_bin,
            (Cause::Gone, None) => true,
            _ => false,
        }
    }
}
