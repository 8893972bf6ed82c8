//! Users, as JSON and as tables. The JSON is a contract: fields are added, never changed.

use std::collections::BTreeMap;

use comfy_table::Table;
use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::status::{Reason, Status, StoredUser};
use serde::Serialize;

use super::history::ChangeView;
use super::table::{harmless, or_dash, shown, table};
use super::time;

/// A user.
#[derive(Debug, Serialize)]
pub(crate) struct UserView<'a> {
    tenant: &'a TenantId,
    id: &'a ObjectId,
    status: Status,
    reason: Reason,
    status_run: Option<u64>,
    #[serde(serialize_with = "time::as_rfc3339")]
    status_at: u64,
    user_principal_name: Option<&'a str>,
    mail: Option<&'a str>,
    display_name: Option<&'a str>,
    account_enabled: Option<bool>,
    user_type: Option<&'a str>,
    in_scope: bool,
    version: u64,
    attributes: &'a BTreeMap<String, String>,
}

impl<'a> UserView<'a> {
    pub(crate) fn of(tenant: &'a TenantId, user: &'a StoredUser) -> Self {
        Self {
            tenant,
            id: &user.id,
            status: user.status,
            reason: user.reason,
            status_run: user.status_run,
            status_at: user.status_at_ms,
            user_principal_name: user.user_principal_name.as_deref(),
            mail: user.mail.as_deref(),
            display_name: user.display_name.as_deref(),
            account_enabled: user.account_enabled,
            user_type: user.user_type.as_deref(),
            in_scope: user.in_scope,
            version: user.version,
            attributes: &user.attributes,
        }
    }
}

/// A user with what happened to him, the latest first.
#[derive(Debug, Serialize)]
pub(crate) struct UserDetails<'a> {
    #[serde(flatten)]
    pub(crate) user: UserView<'a>,
    pub(crate) history: Vec<ChangeView>,
}

/// Users as a table.
pub(crate) fn users_table() -> Table {
    table([
        "tenant",
        "id",
        "status",
        "reason",
        "login name",
        "name",
        "type",
        "since",
        "run",
    ])
}

/// A row for one more user.
pub(crate) fn add_user(table: &mut Table, tenant: &TenantId, user: &StoredUser) {
    table.add_row([
        tenant.to_string(),
        user.id.to_string(),
        user.status.name().to_owned(),
        user.reason.to_string(),
        or_dash(user.user_principal_name.as_deref().map(shown)),
        or_dash(user.display_name.as_deref().map(shown)),
        or_dash(user.user_type.as_deref().map(shown)),
        time::short(user.status_at_ms),
        or_dash(user.status_run),
    ]);
}

impl UserDetails<'_> {
    /// The user and his history as tables.
    pub(crate) fn tables(&self) -> String {
        let user = &self.user;
        let mut facts = table(["field", "value"]);
        facts.add_rows([
            ["tenant".to_owned(), user.tenant.to_string()],
            ["id".into(), user.id.to_string()],
            ["status".into(), user.status.name().to_owned()],
            ["reason".into(), user.reason.to_string()],
            ["status_run".into(), or_dash(user.status_run)],
            ["status_at".into(), time::short(user.status_at)],
            [
                "user_principal_name".into(),
                or_dash(user.user_principal_name.map(harmless)),
            ],
            ["mail".into(), or_dash(user.mail.map(harmless))],
            [
                "display_name".into(),
                or_dash(user.display_name.map(harmless)),
            ],
            ["account_enabled".into(), or_dash(user.account_enabled)],
            ["user_type".into(), or_dash(user.user_type.map(harmless))],
            ["in_scope".into(), user.in_scope.to_string()],
            ["version".into(), user.version.to_string()],
        ]);
        for (name, value) in user.attributes {
            facts.add_row([format!("attributes.{name}"), harmless(value)]);
        }
        let mut history = table(["by", "at", "what", "changed", "reason", "evidence"]);
        for change in &self.history {
            history.add_row(change.row());
        }
        format!("{facts}\n\nHistory, the latest first\n{history}")
    }
}
