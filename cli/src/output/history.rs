//! What happened to a user, from the journal.

use std::collections::BTreeMap;

use rollcall_core::status::{Reason, Status, StoredUser};
use rollcall_store::JournalEntry;
use serde::Serialize;
use serde_json::Value;

use super::table::{harmless, or_dash};
use super::time;

/// What a change was, as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Created,
    Updated,
    Reactivated,
    Deactivated,
}

impl Kind {
    pub(crate) fn of(before: Option<&StoredUser>, after: &StoredUser) -> Self {
        match (before.map(|before| before.status), after.status) {
            (None, _) => Self::Created,
            (Some(Status::Inactive), Status::Active) => Self::Reactivated,
            (Some(Status::Active), Status::Inactive) => Self::Deactivated,
            (Some(_), _) => Self::Updated,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Reactivated => "reactivated",
            Self::Deactivated => "deactivated",
        }
    }
}

/// A field before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct FieldChange {
    from: Value,
    to: Value,
}

/// One change of a user.
#[derive(Debug, Serialize)]
pub(crate) struct ChangeView {
    run: Option<u64>,
    by: Option<String>,
    #[serde(serialize_with = "time::as_rfc3339")]
    at: u64,
    change: Kind,
    status: Status,
    reason: Reason,
    evidence: Option<String>,
    version: u64,
    changed: BTreeMap<String, FieldChange>,
}

impl ChangeView {
    pub(crate) fn of(entry: JournalEntry) -> Self {
        let before = entry.before.as_ref();
        Self {
            run: entry.run,
            by: entry.by_hand.map(|it| it.by),
            at: entry.at_ms,
            change: Kind::of(before, &entry.after),
            status: entry.after.status,
            reason: entry.after.reason,
            version: entry.after.version,
            changed: changed(before, &entry.after),
            evidence: entry.evidence,
        }
    }

    fn writer(&self) -> String {
        match (self.run, &self.by) {
            (Some(run), _) => run.to_string(),
            (None, by) => harmless(by.as_deref().unwrap_or("a person")),
        }
    }

    /// As a row: the run, or who decided by hand; time, what, the changed fields, reason, evidence.
    pub(crate) fn row(&self) -> [String; 6] {
        // A new user's fields are all new; they are in the table above.
        let changed: Vec<_> = match self.change {
            Kind::Created => Vec::new(),
            _ => self
                .changed
                .iter()
                .map(|(name, field)| {
                    format!("{name}: {} → {}", shown(&field.from), shown(&field.to))
                })
                .collect(),
        };
        [
            self.writer(),
            time::short(self.at),
            self.change.name().to_owned(),
            changed.join("\n"),
            self.reason.to_string(),
            or_dash(self.evidence.as_deref()),
        ]
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => harmless(text),
        other => other.to_string(),
    }
}

/// The fields that differ. A field that was not there is null.
fn changed(before: Option<&StoredUser>, after: &StoredUser) -> BTreeMap<String, FieldChange> {
    let mut from = before.map(fields).unwrap_or_default();
    let mut changed: BTreeMap<_, _> = fields(after)
        .into_iter()
        .filter_map(|(name, to)| {
            let from = from.remove(&name).unwrap_or(Value::Null);
            (from != to).then_some((name, FieldChange { from, to }))
        })
        .collect();
    // What is left of the old fields has no counterpart: an attribute that is no longer mapped.
    changed.extend(from.into_iter().map(|(name, from)| {
        let to = Value::Null;
        (name, FieldChange { from, to })
    }));
    changed
}

/// What of a user can be told from one version to the next.
fn fields(user: &StoredUser) -> BTreeMap<String, Value> {
    let named = [
        ("status", Value::from(user.status.name())),
        ("reason", user.reason.name().into()),
        (
            "user_principal_name",
            user.user_principal_name.clone().into(),
        ),
        ("mail", user.mail.clone().into()),
        ("display_name", user.display_name.clone().into()),
        ("account_enabled", user.account_enabled.into()),
        ("user_type", user.user_type.clone().into()),
        ("in_scope", user.in_scope.into()),
    ];
    let attributes = user
        .attributes
        .iter()
        .map(|(name, value)| (format!("attributes.{name}"), value.clone().into()));
    named
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .chain(attributes)
        .collect()
}

#[cfg(test)]
mod tests {
    use rollcall_core::ids::ObjectId;

    use super::*;

    fn user(name: &str) -> StoredUser {
        StoredUser {
            id: ObjectId::new("a").unwrap(),
            status: Status::Active,
            reason: Reason::Present,
            status_run: Some(1),
            status_at_ms: 0,
            user_principal_name: Some(format!("{name}@contoso.com")),
            mail: None,
            display_name: None,
            account_enabled: Some(true),
            user_type: Some("Member".into()),
            in_scope: true,
            attributes: BTreeMap::from([("team".into(), "x".into())]),
            version: 1,
            last_change: None,
            decided_version: None,
        }
    }

    #[test]
    fn only_fields_that_differ_are_told() {
        let renamed = StoredUser {
            attributes: BTreeMap::new(),
            ..user("new")
        };
        let told = changed(Some(&user("old")), &renamed);
        let names: Vec<_> = told.keys().map(String::as_str).collect();
        assert_eq!(names, ["attributes.team", "user_principal_name"]);
        assert_eq!(told["user_principal_name"].from, "old@contoso.com");
        assert_eq!(told["attributes.team"].to, Value::Null);
    }

    #[test]
    fn a_change_is_named_by_what_it_did_to_the_status() {
        let active = user("a");
        let inactive = StoredUser {
            status: Status::Inactive,
            ..user("a")
        };
        for (before, after, kind) in [
            (None, &active, Kind::Created),
            (None, &inactive, Kind::Created),
            (Some(&active), &active, Kind::Updated),
            (Some(&active), &inactive, Kind::Deactivated),
            (Some(&inactive), &active, Kind::Reactivated),
            (Some(&inactive), &inactive, Kind::Updated),
        ] {
            assert_eq!(Kind::of(before, after), kind);
        }
    }
}
