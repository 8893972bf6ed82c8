//! What AWS does for the application's credential: Secrets Manager keeps its secret, or STS vouches
//! for the process, so that there is none.
//!
//! It promises that an error says who has to do what, and that a secret is read once a process, and
//! again only when it was rejected. It never asks AWS before a secret or token is needed, and never
//! puts one into a log line or an error.

mod identity;
mod keeper;
mod problem;

use std::sync::Arc;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use rollcall_graph::{Identity, Keeper};
use tokio::sync::OnceCell;

use crate::identity::Sts;
use crate::keeper::{Kept, SecretsManager};

/// How long one try of a call may take, in milliseconds. Both services answer within some hundreds.
const ATTEMPT_MS_MAX: u64 = 5_000;

/// AWS, as the environment of the process describes it: region, credentials, endpoints.
#[derive(Debug, Default)]
pub struct Aws {
    config: Arc<Loaded>,
    secrets: Arc<SecretsManager>,
}

/// The configuration, loaded when it is first needed: a process without such a credential never
/// looks for a region.
#[derive(Debug, Default)]
pub(crate) struct Loaded(OnceCell<SdkConfig>);

impl Loaded {
    pub(crate) async fn config(&self) -> &SdkConfig {
        let load = || async {
            let timeouts = TimeoutConfig::builder()
                .operation_attempt_timeout(Duration::from_millis(ATTEMPT_MS_MAX))
                .build();
            aws_config::defaults(BehaviorVersion::v2026_01_12())
                .timeout_config(timeouts)
                .load()
                .await
        };
        self.0.get_or_init(load).await
    }
}

impl Aws {
    /// As the environment has it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// By a configuration of one's own.
    #[must_use]
    pub fn with(config: SdkConfig) -> Self {
        Self {
            config: Arc::new(Loaded(OnceCell::new_with(Some(config)))),
            secrets: Arc::default(),
        }
    }
}

impl rollcall_sync::Aws for Aws {
    fn keeper(&self, id: &str) -> Arc<dyn Keeper> {
        Arc::new(Kept {
            id: id.to_owned(),
            config: Arc::clone(&self.config),
            manager: Arc::clone(&self.secrets),
        })
    }

    fn identity(&self) -> Arc<dyn Identity> {
        Arc::new(Sts(Arc::clone(&self.config)))
    }
}
