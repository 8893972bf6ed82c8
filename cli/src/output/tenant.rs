//! Tenants, as JSON and as tables. There are no secrets in a tenant's settings.

use std::fmt::Write as _;

use comfy_table::Table;
use rollcall_core::credential::{Credential, Kept};
use rollcall_core::ids::TenantId;
use rollcall_core::schedule::When;
use rollcall_core::settings::TenantSettings;
use rollcall_store::{Head, TenantRecord};
use serde::Serialize;

use super::table::{grouped, or_dash, right, table};
use super::time::short;

/// A tenant: what its file says, and which revision that is.
#[derive(Debug, Serialize)]
pub(crate) struct TenantView<'a> {
    #[serde(flatten)]
    settings: &'a TenantSettings,
    revision: u64,
}

impl<'a> TenantView<'a> {
    pub(crate) fn of(tenant: &'a TenantRecord) -> Self {
        Self {
            settings: &tenant.settings,
            revision: tenant.revision,
        }
    }
}

/// What became of one tenant of a file, or of one that was removed.
#[derive(Debug, Serialize)]
pub(crate) struct TenantChange {
    pub(crate) tenant: TenantId,
    /// `added`, `changed`, `same` or `removed`.
    pub(crate) result: &'static str,
    pub(crate) revision: u64,
}

/// Where the tenant's Graph is, in a word.
fn service(settings: &TenantSettings) -> String {
    match (&settings.cloud, &settings.graph_url) {
        (Some(cloud), _) => serde_json::to_value(cloud)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_default(),
        (None, url) => or_dash(url.as_ref().map(|url| url.as_url())),
    }
}

/// Tenants with their heads as a table.
pub(crate) fn tenants_table<'a>(
    tenants: impl IntoIterator<Item = &'a (TenantRecord, Head)>,
) -> Table {
    let mut table = table([
        "tenant",
        "directory",
        "service",
        "revision",
        "active run",
        "held run",
        "last full run",
        "users seen",
        "rests until",
    ]);
    right(&mut table, &[3, 4, 5, 6, 7]);
    for (tenant, head) in tenants {
        let settings = &tenant.settings;
        table.add_row([
            settings.id.to_string(),
            settings.directory_id.to_string(),
            service(settings),
            tenant.revision.to_string(),
            or_dash(head.active_run),
            or_dash(head.held_run),
            or_dash(head.last_full_run),
            or_dash(head.last_full_seen.map(grouped)),
            or_dash(head.rests_until_ms(tenant).map(short)),
        ]);
    }
    table
}

fn credential(credential: &Credential) -> String {
    let (what, kept) = match credential {
        Credential::Secret(kept) => ("the secret", kept),
        Credential::Certificate(kept) => ("the certificate", kept),
        Credential::Federated => return "none: AWS vouches for the process".to_owned(),
    };
    match kept {
        Kept::Env(name) => format!("{what} in the environment variable {name}"),
        Kept::File(path) => format!("{what} in the file {path}"),
        Kept::SecretsManager(id) => format!("{what} in Secrets Manager as {id}"),
    }
}

fn when(when: Option<&When>) -> String {
    when.map_or_else(|| "the stack's".to_owned(), ToString::to_string)
}

/// One tenant as a table of settings.
pub(crate) fn settings_table(tenant: &TenantRecord) -> Table {
    let settings = &tenant.settings;
    let (guards, limits, scope) = (&settings.guards, &settings.limits, &settings.scope);
    let mut attributes = String::new();
    for (name, property) in &settings.attributes {
        // Writing to a String does not fail.
        let _ = writeln!(attributes, "{name} = {property}");
    }
    let domains = match scope.domains.as_slice() {
        [] => "all".to_owned(),
        domains => domains.join(", "),
    };
    let groups: Vec<_> = scope.groups.iter().map(ToString::to_string).collect();
    let groups = match groups.as_slice() {
        [] => "all".to_owned(),
        groups => groups.join("\n"),
    };
    let mut table = table(["setting", "value"]);
    table.add_rows([
        ["id".to_owned(), settings.id.to_string()],
        ["revision".into(), tenant.revision.to_string()],
        ["directory_id".into(), settings.directory_id.to_string()],
        ["client_id".into(), settings.client_id.to_string()],
        ["service".into(), service(settings)],
        ["credential".into(), credential(&settings.credential)],
        ["scope.guests".into(), scope.guests.to_string()],
        ["scope.domains".into(), domains],
        ["scope.groups".into(), groups],
        [
            "guards.deactivations_max".into(),
            guards.deactivations_max.to_string(),
        ],
        [
            "guards.deactivations_percent_max".into(),
            guards.deactivations_percent_max.to_string(),
        ],
        ["guards.exempt_max".into(), guards.exempt_max.to_string()],
        [
            "guards.shrink_percent_max".into(),
            guards.shrink_percent_max.to_string(),
        ],
        ["guards.window_days".into(), guards.window_days.to_string()],
        [
            "guards.window_percent_max".into(),
            guards.window_percent_max.to_string(),
        ],
        [
            "guards.absences_confirmed_by".into(),
            guards.absences_confirmed_by.to_string(),
        ],
        [
            "limits.graph_retry_seconds_max".into(),
            limits.graph_retry_seconds_max.to_string(),
        ],
        [
            "limits.run_deadline_minutes".into(),
            limits.run_deadline_minutes.to_string(),
        ],
        [
            "limits.lease_seconds".into(),
            limits.lease_seconds.to_string(),
        ],
        [
            "limits.batches_at_once".into(),
            limits.batches_at_once().to_string(),
        ],
        ["attributes".into(), attributes.trim_end().to_owned()],
        [
            "schedule.full".into(),
            when(settings.schedule.full.as_ref()),
        ],
        [
            "schedule.delta".into(),
            when(settings.schedule.delta.as_ref()),
        ],
    ]);
    if let Some(scim) = &settings.scim {
        table.add_rows([
            ["scim.url".to_owned(), scim.url.as_url().to_string()],
            ["scim.credential".into(), credential(&scim.credential)],
        ]);
    }
    table
}
