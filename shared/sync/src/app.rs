//! What every step works with.

use std::sync::Arc;

use rollcall_ambient::Ambient;
use rollcall_core::settings::{Cloud, TenantSettings};
use rollcall_graph::{GraphClient, GraphConfig, GraphError, Transport};
use rollcall_store::{GraphUsage, RunRecord, Store, Usage};

use crate::doorbell::{Doorbell, Queues};
use crate::fan_out::Pace;
use crate::secrets::Secrets;

/// The time limit of one request to Graph, in milliseconds. The service answers within 3 seconds;
/// ten times that is a hang.
const GRAPH_REQUEST_MS_MAX: u64 = 30_000;

/// The most requests to Graph of one run: the longest chain that is followed, each page of it tried
/// twice, and the questions by id. What asks more often asks the same again, and at the cost of what
/// the application may ask for other tenants.
const GRAPH_REQUESTS_MAX: u64 = 250_000;

/// The three functions over their common means. Clones are cheap.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) store: Store,
    pub(crate) doorbell: Doorbell,
    pub(crate) ambient: Ambient,
    pub(crate) pace: Pace,
    pub(crate) secrets: Secrets,
    /// How Graph is reached, if not over the network.
    pub(crate) transport: Option<Arc<dyn Transport>>,
}

impl App {
    /// Over a store, queues and secrets; Graph is reached over the network.
    #[must_use]
    pub fn new(store: Store, queues: Queues, secrets: Secrets, ambient: Ambient) -> Self {
        Self {
            store,
            doorbell: Doorbell::new(queues),
            ambient,
            pace: Pace::default(),
            secrets,
            transport: None,
        }
    }

    /// The same with schedules that start tenants at another pace.
    #[must_use]
    pub fn at_pace(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// The same with another way to reach Graph.
    #[must_use]
    pub fn over(self, transport: Arc<dyn Transport>) -> Self {
        Self {
            transport: Some(transport),
            ..self
        }
    }

    /// The client for what is left of a run.
    pub(crate) fn graph_client(
        &self,
        settings: &TenantSettings,
        record: &RunRecord,
    ) -> Result<GraphClient, GraphError> {
        let spent = record.usage.graph.requests;
        let config = GraphConfig {
            run: Some(record.run.clone()),
            ..graph_config(settings, &self.secrets, spent)?
        };
        let ambient = self.ambient.clone();
        match &self.transport {
            None => GraphClient::new(config, ambient),
            Some(transport) => GraphClient::over(Arc::clone(transport), config, ambient),
        }
    }

    /// The same with a store that counts for one invocation.
    pub(crate) fn metered(&self) -> Self {
        Self {
            store: self.store.metered(),
            ..self.clone()
        }
    }

    /// How many milliseconds have passed since then, for the log.
    pub(crate) fn since_ms(&self, then_ms: u64) -> u64 {
        self.ambient.now_ms().saturating_sub(then_ms)
    }

    /// What this invocation has used so far.
    pub(crate) fn usage(&self, graph: Option<&GraphClient>) -> Usage {
        let graph = graph.map(GraphClient::usage).unwrap_or_default();
        Usage {
            graph: GraphUsage {
                requests: graph.requests,
                throttled: graph.throttled,
                retried: graph.retried,
                resource_units: graph.resource_units,
            },
            capacity: self.store.capacity(),
        }
    }
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
    GraphClient::new(graph_config(settings, secrets, 0)?, ambient.clone())
}

/// The client's settings, for a run that has sent so many requests already.
fn graph_config(
    settings: &TenantSettings,
    secrets: &Secrets,
    spent: u64,
) -> Result<GraphConfig, GraphError> {
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
        credential: secrets.credential(&settings.credential)?,
        attributes: settings.attributes.clone(),
        retry_ms_max: settings.limits.graph_retry_seconds_max * 1_000,
        request_ms_max: GRAPH_REQUEST_MS_MAX,
        requests_max: GRAPH_REQUESTS_MAX.saturating_sub(spent),
        run: None,
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
