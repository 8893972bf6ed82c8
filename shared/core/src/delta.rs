//! What a delta query tells of a user: the properties that changed, or that the user was removed.
//! <https://learn.microsoft.com/graph/delta-query-overview>
//!
//! A property that is absent was not told, and stays as the directory has it; that is another thing
//! than a property that is null.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::ObjectId;
use crate::status::StoredUser;
use crate::user::{AttributeMap, GraphUser};

/// A property of a delta: `None` if it is absent, `Some(None)` if it is null.
pub type Told<T> = Option<Option<T>>;

/// The `@removed` of a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// `changed`: in the bin, from where the user can come back for 30 days.
    Bin,
    /// `deleted`: for good.
    Gone,
}

/// A user in the answer of a delta query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaUser {
    /// Who it is.
    #[serde(rename = "i")]
    pub id: ObjectId,
    /// Set if the user was removed. Then nothing else is told.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Removal>,
    /// The login name.
    #[serde(
        rename = "u",
        default,
        deserialize_with = "told",
        skip_serializing_if = "Option::is_none"
    )]
    pub user_principal_name: Told<String>,
    /// The mail address.
    #[serde(
        rename = "m",
        default,
        deserialize_with = "told",
        skip_serializing_if = "Option::is_none"
    )]
    pub mail: Told<String>,
    /// The name to show.
    #[serde(
        rename = "d",
        default,
        deserialize_with = "told",
        skip_serializing_if = "Option::is_none"
    )]
    pub display_name: Told<String>,
    /// Whether the account may log in.
    #[serde(
        rename = "e",
        default,
        deserialize_with = "told",
        skip_serializing_if = "Option::is_none"
    )]
    pub account_enabled: Told<bool>,
    /// `Member` or `Guest`.
    #[serde(
        rename = "t",
        default,
        deserialize_with = "told",
        skip_serializing_if = "Option::is_none"
    )]
    pub user_type: Told<String>,
    /// The mapped attributes that were told, by their name in the directory.
    #[serde(rename = "a", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Option<String>>,
    /// As in [`GraphUser::in_groups`].
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub in_groups: Option<bool>,
}

/// A value that is there, null or not.
fn told<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Told<T>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl DeltaUser {
    /// The user of whom nothing is told yet.
    #[must_use]
    pub const fn new(id: ObjectId) -> Self {
        Self {
            id,
            removed: None,
            user_principal_name: None,
            mail: None,
            display_name: None,
            account_enabled: None,
            user_type: None,
            attributes: BTreeMap::new(),
            in_groups: None,
        }
    }

    /// All of a user, told at once: of what is mapped, what is not there is null.
    #[must_use]
    pub fn of(user: &GraphUser, mapped: &AttributeMap) -> Self {
        let mut user = user.clone();
        let attributes = mapped.keys().cloned();
        Self {
            id: user.id,
            removed: None,
            user_principal_name: Some(user.user_principal_name),
            mail: Some(user.mail),
            display_name: Some(user.display_name),
            account_enabled: Some(user.account_enabled),
            user_type: Some(user.user_type),
            attributes: attributes
                .map(|name| {
                    let text = user.attributes.remove(&name);
                    (name, text)
                })
                .collect(),
            in_groups: user.in_groups,
        }
    }

    /// Whether a field that can decide is told to be null.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.account_enabled == Some(None)
            || self.user_type == Some(None)
            || self.user_principal_name == Some(None)
    }

    /// What is told of the same user later on: property by property the last one stands. Who was
    /// removed and is told of again is back, and whoever is removed in the end is removed.
    pub fn then(&mut self, later: Self) {
        if later.removed.is_some() {
            *self = later;
            return;
        }
        let Self {
            id: _,
            removed,
            user_principal_name,
            mail,
            display_name,
            account_enabled,
            user_type,
            attributes,
            in_groups,
        } = later;
        self.removed = removed;
        self.user_principal_name = user_principal_name.or(self.user_principal_name.take());
        self.mail = mail.or(self.mail.take());
        self.display_name = display_name.or(self.display_name.take());
        self.account_enabled = account_enabled.or(self.account_enabled);
        self.user_type = user_type.or(self.user_type.take());
        self.attributes.extend(attributes);
        self.in_groups = in_groups.or(self.in_groups);
    }

    /// The whole user: what is told, and for what is absent what the directory has. `mapped` are the
    /// attributes that the tenant mirrors now.
    ///
    /// Of somebody whom the directory does not have, what is absent was never set, as a rule: a new
    /// user is told whole. But it may be somebody whom a full run left out. Without his login name too
    /// little is told of him, and he stays unknown until the next one; with it he is taken as he is told,
    /// and the next full run has what was not.
    #[must_use]
    pub fn whole(&self, stored: Option<&StoredUser>, mapped: &AttributeMap) -> GraphUser {
        let is_known = stored.is_some() || matches!(self.user_principal_name, Some(Some(_)));
        let kept = |told: &Told<String>, before: fn(&StoredUser) -> &Option<String>| {
            told.clone()
                .unwrap_or_else(|| stored.and_then(|stored| before(stored).clone()))
        };
        let account_enabled = self
            .account_enabled
            .unwrap_or_else(|| stored.and_then(|stored| stored.account_enabled));
        let attribute = |name: &String| match self.attributes.get(name) {
            Some(told) => told.clone(),
            None => stored.and_then(|stored| stored.attributes.get(name).cloned()),
        };
        GraphUser {
            id: self.id.clone(),
            user_principal_name: kept(&self.user_principal_name, |it| &it.user_principal_name),
            mail: kept(&self.mail, |it| &it.mail),
            display_name: kept(&self.display_name, |it| &it.display_name),
            account_enabled: account_enabled.filter(|_| is_known),
            user_type: kept(&self.user_type, |it| &it.user_type),
            attributes: mapped
                .keys()
                .filter_map(|name| Some((name.clone(), attribute(name)?)))
                .collect(),
            in_groups: self.in_groups,
        }
    }
}

#[cfg(test)]
#[path = "delta_tests.rs"]
mod tests;
