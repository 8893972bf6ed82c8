//! One HTTP exchange: a request goes out, an answer comes back whole, or it is said how it did not.

use std::error::Error;
use std::fmt::{Debug, Write};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Request, Response, StatusCode};
use url::Url;

use crate::config::may_carry_secrets;
use crate::error::GraphError;

/// The longest body that is read of Graph, in bytes after decompression. A page of 999 users with many
/// mapped properties stays below 10 MB.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How deep the chain of a transport error is told.
const CAUSES_MAX: usize = 6;

/// An idle connection is dropped after this: servers in front of Graph close theirs after a minute
/// or more, and a function that was frozen meanwhile would find it dead.
const IDLE_MS_MAX: u64 = 45_000;

/// How long a silent HTTP/2 connection with requests under way may go without a sign of life. The
/// connection is given up then, so that the next attempt gets a new one.
const PING_MS: u64 = 10_000;

/// An answer, its body read to the end or not readable.
#[derive(Debug)]
pub struct Received {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, unpacked; or what became of it.
    pub body: Result<Vec<u8>, Lost>,
}

/// What did not arrive.
#[derive(Debug)]
pub struct Lost {
    /// Whether the time limit of the request ended it.
    pub timed_out: bool,
    /// What happened, without an address: it is logged.
    pub cause: String,
}

/// An exchange under way.
pub type Exchange<'a> = Pin<Box<dyn Future<Output = Result<Received, Lost>> + Send + 'a>>;

/// How requests travel: over the network, or, in a simulation, to a service in the same process.
pub trait Transport: Debug + Send + Sync {
    /// Sends a request and reads the answer to its end. It keeps to the request's own time limit,
    /// follows no redirect and repeats nothing.
    fn exchange(&self, request: Request) -> Exchange<'_>;
}

/// The network.
#[derive(Debug)]
pub(crate) struct Network {
    client: reqwest::Client,
    body_bytes_max: usize,
}

impl Received {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `Retry-After`, in milliseconds, when it is given in seconds, as Microsoft does.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        seconds_as_ms(self.header("retry-after")?)
    }

    /// What is wrong with a redirect that would be followed elsewhere; nothing, when it stays.
    pub(crate) fn leads_away(&self, operation: &'static str, from: &Url) -> Option<GraphError> {
        let to = from.join(self.header("location")?).ok()?;
        (to.origin() != from.origin()).then(|| GraphError::UnsafeLink {
            operation,
            problem: format!(
                "a redirect leads to {}, not to {}",
                to.origin().ascii_serialization(),
                from.origin().ascii_serialization()
            ),
        })
    }
}

/// The caller's own id of a request: Microsoft finds it in its logs.
pub(crate) const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");

/// A UUID as a header.
pub(crate) fn id_header(id: &str) -> HeaderValue {
    // A UUID is text that a header takes; anything else would be left out of the request alone.
    HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static(""))
}

/// Whole seconds as milliseconds.
pub(crate) fn seconds_as_ms(text: &str) -> Option<u64> {
    text.trim().parse::<u64>().ok()?.checked_mul(1_000)
}

impl Network {
    /// The connections of one tenant. A longer body than this is not read.
    pub(crate) fn new(plain_http: bool, body_bytes_max: usize) -> Result<Self, GraphError> {
        let client = client(plain_http)?;
        Ok(Self {
            client,
            body_bytes_max,
        })
    }
}

/// The network, to the service with this root alone: over TLS, or plain to a loopback address. Of an answer with more
/// bytes than this, after decompression, nothing is kept.
///
/// # Errors
/// [`GraphError::BadConfig`] for a root to which no secret may go, or when no TLS can be had.
pub fn network(root: &Url, body_bytes_max: usize) -> Result<Arc<dyn Transport>, GraphError> {
    if !may_carry_secrets(root) {
        let problem = "must be https (plain http only on a loopback address)";
        return Err(GraphError::bad_config("url", problem.to_owned()));
    }
    let network = Network::new(root.scheme() == "http", body_bytes_max)?;
    Ok(Arc::new(network))
}

impl Transport for Network {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        Box::pin(async {
            let mut response = self.client.execute(request).await.map_err(lost)?;
            Ok(Received {
                status: response.status(),
                headers: std::mem::take(response.headers_mut()),
                body: read(response, self.body_bytes_max).await,
            })
        })
    }
}

fn client(plain_http: bool) -> Result<reqwest::Client, GraphError> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        // Retries are decided in one place, and that is not here.
        .retry(reqwest::retry::never())
        .gzip(true)
        .pool_idle_timeout(Duration::from_millis(IDLE_MS_MAX))
        .http2_keep_alive_interval(Duration::from_millis(PING_MS))
        .http2_keep_alive_timeout(Duration::from_millis(PING_MS));
    let builder = if plain_http {
        // A loopback address is on this machine; a proxy is not.
        builder.no_proxy()
    } else {
        builder.https_only(true)
    };
    builder.build().map_err(|e| {
        let cause = told(e);
        GraphError::bad_config("tls", format!("no HTTP client could be made: {cause}"))
    })
}

async fn read(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, Lost> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(Lost {
                timed_out: false,
                cause: format!("the body is longer than {bytes_max} bytes"),
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn lost(error: reqwest::Error) -> Lost {
    Lost {
        timed_out: error.is_timeout(),
        cause: told(error),
    }
}

/// A transport error with its causes and without the address, which can hold a page token.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    for _ in 0..CAUSES_MAX {
        let Some(inner) = cause else { break };
        // Writing to a string cannot fail.
        let _ = write!(text, ": {inner}");
        cause = inner.source();
    }
    text
}
