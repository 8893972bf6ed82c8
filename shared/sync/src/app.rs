//! What every step works with.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use rollcall_ambient::Ambient;
use rollcall_core::settings::{Cloud, Credential, Kept, TenantSettings};
use rollcall_graph::{Certificate, GraphClient, GraphConfig, GraphError, Secret, Transport};
use rollcall_store::{GraphUsage, Store, Usage};

use crate::doorbell::{Doorbell, Queues};

/// The time limit of one request to Graph, in milliseconds. The service answers within 3 seconds;
/// ten times that is a hang.
const GRAPH_REQUEST_MS_MAX: u64 = 30_000;

/// The longest file that is read as a secret, in bytes: a certificate with a key of 8,192 bits and a
/// chain takes a quarter.
const SECRET_BYTES_MAX: u64 = 65_536;

/// The three functions over their common means. Clones are cheap.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) store: Store,
    pub(crate) doorbell: Doorbell,
    pub(crate) ambient: Ambient,
    secrets: Secrets,
    /// How Graph is reached, if not over the network.
    transport: Option<Arc<dyn Transport>>,
}

impl App {
    /// Over a store, queues and secrets; Graph is reached over the network.
    #[must_use]
    pub fn new(store: Store, queues: Queues, secrets: Secrets, ambient: Ambient) -> Self {
        Self {
            store,
            doorbell: Doorbell::new(queues),
            ambient,
            secrets,
            transport: None,
        }
    }

    /// The same with another way to reach Graph.
    #[must_use]
    pub fn over(self, transport: Arc<dyn Transport>) -> Self {
        Self {
            transport: Some(transport),
            ..self
        }
    }

    pub(crate) fn graph_client(
        &self,
        settings: &TenantSettings,
    ) -> Result<GraphClient, GraphError> {
        match &self.transport {
            None => graph_client(settings, &self.secrets, &self.ambient),
            Some(transport) => {
                let config = graph_config(settings, &self.secrets)?;
                GraphClient::over(Arc::clone(transport), config, self.ambient.clone())
            }
        }
    }

    /// The same with a store that counts for one invocation.
    pub(crate) fn metered(&self) -> Self {
        Self {
            store: self.store.metered(),
            ..self.clone()
        }
    }

    /// What this invocation has used so far.
    pub(crate) fn usage(&self, graph: Option<&GraphClient>) -> Usage {
        let graph = graph.map(GraphClient::usage).unwrap_or_default();
        Usage {
            graph: GraphUsage {
                requests: graph.requests,
                throttled: graph.throttled,
                retried: graph.retried,
            },
            capacity: self.store.capacity(),
        }
    }
}

/// Where secrets come from.
#[derive(Debug, Clone)]
pub enum Secrets {
    /// The process's environment variables and files.
    Environment,
    /// A fixed set, by the names or paths that the settings give them.
    Fixed(Arc<BTreeMap<String, Secret>>),
}

impl Secrets {
    fn get(&self, kept: &Kept) -> Result<Secret, GraphError> {
        match (self, kept) {
            (Self::Environment, Kept::Env(name)) => {
                let value = std::env::var(name).ok().filter(|value| !value.is_empty());
                value.map(Secret::new).ok_or_else(|| missing(kept))
            }
            (Self::Environment, Kept::File(path)) => read_secret(path),
            (Self::Fixed(secrets), Kept::Env(key) | Kept::File(key)) => {
                secrets.get(key).cloned().ok_or_else(|| missing(kept))
            }
        }
    }
}

/// What is said of a secret that is not where the settings say.
fn missing(kept: &Kept) -> GraphError {
    let problem = match kept {
        Kept::Env(name) => {
            format!("the environment variable {name} is not set; put the secret in it")
        }
        Kept::File(path) => format!("there is no file {path:?}"),
    };
    GraphError::BadConfig {
        setting: "credential",
        problem,
    }
}

fn read_secret(path: &str) -> Result<Secret, GraphError> {
    let unreadable = |problem: String| GraphError::BadConfig {
        setting: "credential",
        problem: format!("{path:?} cannot be read: {problem}; check the path and who may read it"),
    };
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut text = String::new();
    file.take(SECRET_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(unreadable(format!(
            "it has more than {SECRET_BYTES_MAX} bytes"
        )));
    }
    Ok(Secret::new(text))
}

/// The Graph client of a tenant, over the network.
///
/// # Errors
/// [`GraphError::BadConfig`] naming the setting, or what is not where the secret should be kept.
pub fn graph_client(
    settings: &TenantSettings,
    secrets: &Secrets,
    ambient: &Ambient,
) -> Result<GraphClient, GraphError> {
    GraphClient::new(graph_config(settings, secrets)?, ambient.clone())
}

fn graph_config(settings: &TenantSettings, secrets: &Secrets) -> Result<GraphConfig, GraphError> {
    let credential = match &settings.credential {
        Credential::Secret(kept) => rollcall_graph::Credential::Secret(secrets.get(kept)?),
        Credential::Certificate(kept) => {
            let pem = secrets.get(kept)?;
            rollcall_graph::Credential::Certificate(Certificate::from_pem(&pem)?)
        }
    };
    let (graph_root, login_root) = match (&settings.graph_url, &settings.login_url) {
        (Some(graph), Some(login)) => (graph.as_url().clone(), login.as_url().clone()),
        _ => {
            let cloud = cloud(settings.cloud.unwrap_or(Cloud::Global));
            (cloud.graph_root()?, cloud.login_root()?)
        }
    };
    Ok(GraphConfig {
        graph_root,
        login_root,
        directory_id: settings.directory_id.as_str().to_owned(),
        client_id: settings.client_id.as_str().to_owned(),
        credential,
        attributes: settings.attributes.clone(),
        retry_ms_max: settings.limits.graph_retry_seconds_max * 1_000,
        request_ms_max: GRAPH_REQUEST_MS_MAX,
    })
}

const fn cloud(cloud: Cloud) -> rollcall_graph::Cloud {
    match cloud {
        Cloud::Global => rollcall_graph::Cloud::Global,
        Cloud::Usgov => rollcall_graph::Cloud::UsGov,
        Cloud::UsgovDod => rollcall_graph::Cloud::UsGovDod,
        Cloud::China => rollcall_graph::Cloud::China,
    }
}
