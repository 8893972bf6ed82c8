//! The service over HTTP on a loopback port.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use rollcall_ambient::Ambient;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::{ErrorCode, SqsError};
use crate::service::Sqs;

/// The longest request that is read: a batch of 1 MiB whose every character is escaped takes two
/// bytes for one, and names and handles come on top.
const BODY_BYTES_MAX: usize = 4 * 1_048_576;
/// How long a shutdown waits for requests under way. Long polls are ended at once, so what is left
/// takes no time unless a client stopped in the middle of sending.
const SHUTDOWN_MS_MAX: u64 = 2_000;
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
const TARGET_PREFIX: &str = "AmazonSQS.";

/// The emulator could not be started.
#[derive(Debug, thiserror::Error)]
#[error("no loopback port for the SQS emulator: {0}")]
pub struct StartError(#[from] std::io::Error);

/// A running emulator. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct SqsEmulator {
    endpoint_url: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl SqsEmulator {
    /// Starts an emulator without queues on a free port of 127.0.0.1. ARNs name the region.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start(region: &str, ambient: Ambient) -> Result<Self, StartError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(address).await?;
        let endpoint_url = format!("http://{}", listener.local_addr()?);
        let sqs = Arc::new(Sqs::new(endpoint_url.clone(), region, ambient));
        let router = Router::new()
            .route("/", post(answer))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(Arc::clone(&sqs));
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(async move {
            let ended = async move {
                // A dropped sender means the same as one that was used.
                let _ = stopped.await;
                sqs.close();
            };
            let served = axum::serve(listener, router).with_graceful_shutdown(ended);
            if let Err(error) = served.await {
                tracing::error!(%error, "the SQS emulator stopped");
            }
        });
        Ok(Self {
            endpoint_url,
            stop,
            server,
        })
    }

    /// The URL to give to an SDK as its endpoint.
    #[must_use]
    pub fn endpoint_url(&self) -> &str {
        &self.endpoint_url
    }

    /// Ends the long polls, lets other requests finish and stops.
    pub async fn shutdown(self) {
        let Self { stop, server, .. } = self;
        drop(stop);
        let abort = server.abort_handle();
        let patience = Duration::from_millis(SHUTDOWN_MS_MAX);
        if tokio::time::timeout(patience, server).await.is_err() {
            abort.abort();
        }
    }
}

async fn answer(
    State(sqs): State<Arc<Sqs>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let target = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .unwrap_or_default();
    let operation = target.strip_prefix(TARGET_PREFIX).unwrap_or(target);
    let result = match body {
        Ok(body) => sqs.call(operation, &body).await,
        Err(rejection) => Err(SqsError::new(
            ErrorCode::InvalidParameterValue,
            format!("The request cannot be read: {rejection}"),
        )),
    };
    match result {
        Ok(value) => respond(&sqs, StatusCode::OK, &value, None),
        Err(error) => {
            tracing::debug!(operation, code = error.code.query_code(), "request refused");
            let body = json!({ "__type": error.code.shape(), "message": error.message });
            respond(&sqs, StatusCode::BAD_REQUEST, &body, Some(error.code))
        }
    }
}

fn respond(sqs: &Sqs, status: StatusCode, body: &Value, error: Option<ErrorCode>) -> Response {
    let headers = [
        (header::CONTENT_TYPE.as_str(), CONTENT_TYPE.to_owned()),
        ("x-amzn-requestid", sqs.request_id()),
    ];
    let query_error = error.map(|code| {
        let value = format!("{};Sender", code.query_code());
        [("x-amzn-query-error", value)]
    });
    match query_error {
        Some(query_error) => (status, headers, query_error, body.to_string()).into_response(),
        None => (status, headers, body.to_string()).into_response(),
    }
}
