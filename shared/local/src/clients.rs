//! The SDK clients, set up for a service in the same process.

use std::time::Duration;

use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{
    BehaviorVersion, Credentials, Region, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};

/// The region that both services say they are in.
pub(crate) const REGION: &str = "us-east-1";
/// How often a call is tried that failed in a way that may pass. The embedded services do not
/// throttle, so more would only hide that they are gone.
const ATTEMPTS_MAX: u32 = 3;
/// How long one try may take: longer than the longest long poll, which is 20 seconds.
const ATTEMPT_MS_MAX: u64 = 30_000;

/// A DynamoDB client for an endpoint.
pub fn dynamodb_client(endpoint_url: &str) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static(REGION))
        .credentials_provider(credentials())
        .endpoint_url(endpoint_url)
        .http_client(loopback_http())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
        .timeout_config(timeouts())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

/// An SQS client for an endpoint.
pub(crate) fn sqs(endpoint_url: &str) -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static(REGION))
        .credentials_provider(credentials())
        .endpoint_url(endpoint_url)
        .http_client(loopback_http())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
        .timeout_config(timeouts())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    aws_sdk_sqs::Client::from_conf(config)
}

/// The embedded services check no credentials, but the SDK signs its requests with some.
fn credentials() -> Credentials {
    Credentials::new("local", "local", None, None, "rollcall-local")
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_millis(ATTEMPT_MS_MAX))
        .build()
}

/// Plain HTTP to this machine. The SDK's own client would read the system's certificates for
/// nothing, and would send loopback requests to the proxy of `HTTP_PROXY`.
fn loopback_http() -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Connector::builder().build_http());
    http_client_fn(move |_, _| connector.clone())
}
