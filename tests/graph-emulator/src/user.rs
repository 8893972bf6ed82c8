//! A user of a directory, and how one is written in an answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::changes::Properties;
use crate::property;
use crate::time;

/// The properties that have a field of their own and can change.
const FIXED: [&str; 11] = [
    "userPrincipalName",
    "displayName",
    "givenName",
    "surname",
    "mail",
    "accountEnabled",
    "userType",
    "department",
    "jobTitle",
    "employeeId",
    "onPremisesImmutableId",
];

/// A user object of Microsoft Graph (`microsoft.graph.user`). All but the id can be null.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct User {
    /// The object id.
    pub id: Uuid,
    /// The login name.
    pub user_principal_name: Option<String>,
    /// The name to show.
    pub display_name: Option<String>,
    /// The first name.
    pub given_name: Option<String>,
    /// The last name.
    pub surname: Option<String>,
    /// The mail address.
    pub mail: Option<String>,
    /// Whether the account may log in.
    pub account_enabled: Option<bool>,
    /// `Member` or `Guest`.
    pub user_type: Option<String>,
    /// Where in the organisation.
    pub department: Option<String>,
    /// What the person does.
    pub job_title: Option<String>,
    /// The number that the employer gave.
    pub employee_id: Option<String>,
    /// The object's id in the directory on the premises, if it is synchronised from one.
    pub on_premises_immutable_id: Option<String>,
    /// When the object was made, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// When the object was soft-deleted, in milliseconds since 1970; `None` for a live one.
    pub deleted_at_ms: Option<u64>,
    /// Any further properties, by Graph's names. What is neither here nor above is null (or empty,
    /// for a collection).
    pub other: BTreeMap<String, Value>,
}

impl User {
    /// An enabled member with a login name, a name to show, and a mail address that is the login
    /// name.
    #[must_use]
    pub fn member(id: Uuid, user_principal_name: &str, display_name: &str) -> Self {
        Self {
            id,
            user_principal_name: Some(user_principal_name.to_owned()),
            display_name: Some(display_name.to_owned()),
            mail: Some(user_principal_name.to_owned()),
            account_enabled: Some(true),
            user_type: Some("Member".to_owned()),
            ..Self::default()
        }
    }

    /// The properties that have a value, by Graph's names.
    pub(crate) fn properties(&self) -> Properties {
        let names = FIXED.iter().map(|&name| name.to_owned());
        let item = Item::of(Arc::new(self.clone()));
        let select: Vec<_> = names.chain(self.other.keys().cloned()).collect();
        let row = Row {
            item: &item,
            select: &select,
        };
        match serde_json::to_value(&row) {
            Ok(Value::Object(map)) => map.into_iter().filter(|(_, it)| !it.is_null()).collect(),
            // A row is an object.
            _ => Properties::new(),
        }
    }

    /// Whether a property has a value.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        match name {
            "id" | "createdDateTime" => true,
            "userPrincipalName" => self.user_principal_name.is_some(),
            "displayName" => self.display_name.is_some(),
            "givenName" => self.given_name.is_some(),
            "surname" => self.surname.is_some(),
            "mail" => self.mail.is_some(),
            "accountEnabled" => self.account_enabled.is_some(),
            "userType" => self.user_type.is_some(),
            "department" => self.department.is_some(),
            "jobTitle" => self.job_title.is_some(),
            "employeeId" => self.employee_id.is_some(),
            "onPremisesImmutableId" => self.on_premises_immutable_id.is_some(),
            other => self.other.get(other).is_some_and(|value| !value.is_null()),
        }
    }

    fn write<M: SerializeMap>(&self, name: &str, map: &mut M) -> Result<(), M::Error> {
        match name {
            "id" => map.serialize_entry(name, &format_args!("{}", self.id)),
            "userPrincipalName" => map.serialize_entry(name, &self.user_principal_name),
            "displayName" => map.serialize_entry(name, &self.display_name),
            "givenName" => map.serialize_entry(name, &self.given_name),
            "surname" => map.serialize_entry(name, &self.surname),
            "mail" => map.serialize_entry(name, &self.mail),
            "accountEnabled" => map.serialize_entry(name, &self.account_enabled),
            "userType" => map.serialize_entry(name, &self.user_type),
            "department" => map.serialize_entry(name, &self.department),
            "jobTitle" => map.serialize_entry(name, &self.job_title),
            "employeeId" => map.serialize_entry(name, &self.employee_id),
            "onPremisesImmutableId" => map.serialize_entry(name, &self.on_premises_immutable_id),
            "createdDateTime" => map.serialize_entry(name, &time::iso(self.created_at_ms)),
            "deletedDateTime" => map.serialize_entry(name, &self.deleted_at_ms.map(time::iso)),
            other => match self.other.get(other) {
                Some(value) => map.serialize_entry(name, value),
                None if property::is_collection(other) => map.serialize_entry(name, &[(); 0]),
                None => map.serialize_entry(name, &Value::Null),
            },
        }
    }
}

/// A user on the way into an answer, where a fault may still bend it.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) user: Arc<User>,
    /// The `@odata.type` that goes along in collections of directory objects.
    pub(crate) kind: Option<&'static str>,
    pub(crate) without_account_enabled: bool,
    pub(crate) shown: Shown,
}

/// How much of a user is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// All that was selected.
    Selected,
    /// These properties and the id: a delta tells what there is to tell.
    Only(Vec<String>),
    /// That the user is gone, and the reason for it.
    Removed(&'static str),
}

impl Item {
    pub(crate) fn of(user: Arc<User>) -> Self {
        Self {
            user,
            kind: None,
            without_account_enabled: false,
            shown: Shown::Selected,
        }
    }

    /// Writes the selected properties into a map that is already open.
    pub(crate) fn write<M: SerializeMap>(
        &self,
        select: &[String],
        map: &mut M,
    ) -> Result<(), M::Error> {
        if let Some(kind) = self.kind {
            map.serialize_entry("@odata.type", kind)?;
        }
        let select = match &self.shown {
            Shown::Selected => select,
            Shown::Only(names) => {
                if !names.iter().any(|name| name == "id") {
                    self.user.write("id", map)?;
                }
                names
            }
            Shown::Removed(reason) => {
                self.user.write("id", map)?;
                return map.serialize_entry("@removed", &json!({ "reason": reason }));
            }
        };
        select
            .iter()
            .filter(|name| !(self.without_account_enabled && name.as_str() == "accountEnabled"))
            .try_for_each(|name| self.user.write(name, map))
    }
}

/// An item with what was selected of it.
pub(crate) struct Row<'a> {
    pub(crate) item: &'a Item,
    pub(crate) select: &'a [String],
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.item.write(self.select, &mut map)?;
        map.end()
    }
}
