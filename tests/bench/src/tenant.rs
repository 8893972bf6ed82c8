//! The tenant that is synced: its settings, as an operator would have them.

use rollcall_core::settings::TenantSettings;
use serde_json::{Value, json};

use crate::emulated::Access;

/// Its name.
const TENANT: &str = "bench";
/// What its secret goes by.
pub(crate) const SECRET: &str = "BENCH_SECRET";

/// With three attributes mapped.
pub(crate) fn settings_of(access: &Access) -> anyhow::Result<TenantSettings> {
    let settings: Value = json!({
        "id": TENANT,
        "directory_id": access.directory_id,
        "client_id": access.client_id,
        "graph_url": access.origin,
        "login_url": access.origin,
        "credential": { "kind": "secret", "env": SECRET },
        "attributes": {
            "department": "department",
            "job_title": "jobTitle",
            "employee_id": "employeeId",
        },
        "limits": { "graph_retry_seconds_max": 10 },
    });
    Ok(serde_json::from_value(settings)?)
}
