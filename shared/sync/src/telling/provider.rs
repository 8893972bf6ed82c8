//! A tenant's service provider: the name that it is known by, and the client that it is told by.

use std::sync::Arc;

use rollcall_ambient::Ambient;
use rollcall_core::credential::{Credential, Kept};
use rollcall_core::scim::ScimTarget;
use rollcall_graph::{GraphError, Transport};
use rollcall_scim::{ScimClient, ScimConfig, ScimError};
use sha2::{Digest, Sha256};

use crate::secrets::Secrets;

/// The time limit of one attempt, in milliseconds.
const REQUEST_MS_MAX: u64 = 15_000;
/// The longest answer that is read, in bytes: one account has a few thousand, and a provider that sends without end must
/// not take the memory in which other tenants' runs end.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How much of a service provider's name tells it from another one of the tenant.
const PROVIDER_CHARS: usize = 12;

/// What a service provider is told apart by from another one of the tenant, which knows nobody: its address, and the
/// name of the credential, since one address may serve many workspaces by their tokens.
pub(super) fn provider_name(target: &ScimTarget) -> String {
    let address = target.url.as_url().as_str().trim_end_matches('/');
    let mut named = address.to_owned();
    if let Credential::Secret(Kept::Env(name) | Kept::File(name) | Kept::SecretsManager(name)) =
        &target.credential
    {
        // No address has a line break.
        named.push('\n');
        named.push_str(name);
    }
    let digest = Sha256::digest(named);
    let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    name.chars().take(PROVIDER_CHARS).collect()
}

/// The client of a tenant's service provider, over the network.
///
/// # Errors
/// [`ScimError::Denied`] naming what cannot work: the address, or what is not where the token should be kept.
pub fn scim_client(
    target: &ScimTarget,
    secrets: &Secrets,
    ambient: &Ambient,
) -> Result<ScimClient, ScimError> {
    client(target, secrets, ambient, None)
}

/// The same over this transport, if there is one.
pub(super) fn client(
    target: &ScimTarget,
    secrets: &Secrets,
    ambient: &Ambient,
    transport: Option<Arc<dyn Transport>>,
) -> Result<ScimClient, ScimError> {
    let denied = |error: GraphError| ScimError::Denied {
        problem: error.to_string(),
    };
    let root = target.url.as_url();
    let config = ScimConfig {
        root: root.clone(),
        bearer: secrets.bearer(&target.credential).map_err(denied)?,
        request_ms_max: REQUEST_MS_MAX,
    };
    let transport = match transport {
        Some(transport) => transport,
        None => rollcall_graph::network(root, ANSWER_BYTES_MAX).map_err(denied)?,
    };
    ScimClient::new(transport, config, ambient.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn another_address_or_another_credential_is_another_provider() {
        let name = |url: &str, kept: &str, id: &str| {
            let target = json!({ "url": url, "credential": { "kind": "secret", kept: id } });
            provider_name(&serde_json::from_value(target).unwrap())
        };
        let ours = name("https://app.example/scim", "env", "OURS");
        assert_eq!(ours, name("https://app.example/scim/", "env", "OURS"));
        assert_ne!(ours, name("https://app.example/scim/v2", "env", "OURS"));
        assert_ne!(ours, name("https://app.example/scim", "env", "OURS_TOO"));
        let kept = |id| name("https://app.example/scim", "secrets_manager", id);
        assert_ne!(kept("rollcall/ours"), kept("rollcall/ours-too"));
    }
}
