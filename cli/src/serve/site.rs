//! The pages, on the loopback address: how the tenants stand, and each run's report.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use rollcall_ambient::Ambient;
use rollcall_core::ids::RunRef;
use rollcall_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::page;
use super::tenants::standings;
use crate::exit::bad_input;
use crate::report::{self, Facts};

/// How often a browser may be told to look again, in seconds.
const EVERY_S_MIN: u16 = 2;

/// What the pages are made from.
#[derive(Clone)]
struct Shown {
    store: Store,
    ambient: Ambient,
    address: SocketAddr,
}

/// The pages' server.
pub(super) struct Site {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Site {
    /// Serves the pages on a port of the loopback address; any free one for 0.
    ///
    /// # Errors
    /// Bad input, when the port cannot be had.
    pub(super) async fn open(port: u16, store: &Store, ambient: &Ambient) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.map_err(|error| {
            bad_input(format!(
                "port {port} cannot be had: {error}; give another one with --port, or 0 for any free one"
            ))
        })?;
        let address = listener.local_addr()?;
        let shown = Shown {
            store: store.clone(),
            ambient: ambient.clone(),
            address,
        };
        let (stop, stopped) = oneshot::channel();
        let router = router(shown);
        let server = tokio::spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(async {
                // A dropped sender means the same as one that was used.
                let _ = stopped.await;
            });
            if let Err(error) = served.await {
                eprintln!("error: the pages are not served any more: {error}");
            }
        });
        Ok(Self {
            address,
            stop,
            server,
        })
    }

    /// Where the pages are.
    pub(super) fn address(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Stops at once: a page that is lost harms nobody.
    pub(super) async fn close(self) {
        drop(self.stop);
        self.server.abort();
        // It was cut off, or has ended by itself: both are what was asked for.
        let _ = self.server.await;
    }
}

fn router(shown: Shown) -> Router {
    Router::new()
        .route("/", get(overview))
        .route("/runs/{tenant}/{run}", get(run))
        .layer(from_fn_with_state(shown.clone(), asked_by_its_address))
        .with_state(shown)
}

/// Whoever asks by another name than the loopback address does so from a page of somebody else, whose name
/// was made to lead here: he gets nothing.
async fn asked_by_its_address(
    State(shown): State<Shown>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = shown.address.port();
    let is_here = host == shown.address.to_string() || host == format!("localhost:{port}");
    if !is_here {
        let said = format!("ask for http://{}/\n", shown.address);
        return (StatusCode::MISDIRECTED_REQUEST, said).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

/// With `?every=SECONDS` the page looks again by itself.
async fn overview(State(shown): State<Shown>, RawQuery(query): RawQuery) -> Result<Response, Gone> {
    let standings = standings(&shown.store).await?;
    let every_s = query.as_deref().and_then(|it| it.strip_prefix("every="));
    let every_s = every_s.and_then(|it| it.parse().ok());
    let every_s = every_s.map(|every_s: u16| every_s.max(EVERY_S_MIN));
    let page = page::overview(&standings, shown.ambient.now_ms(), every_s);
    let mut headers = HeaderMap::new();
    if let Some(every_s) = every_s
        && let Ok(value) = HeaderValue::try_from(every_s.to_string())
    {
        headers.insert(header::REFRESH, value);
    }
    Ok((headers, Html(page)).into_response())
}

async fn run(
    State(shown): State<Shown>,
    Path((tenant, run)): Path<(String, String)>,
) -> Result<Html<String>, Gone> {
    let named: RunRef = format!("{tenant}/{run}").parse().map_err(|_| Gone::NoRun)?;
    let record = shown.store.run(&named).await?.ok_or(Gone::NoRun)?;
    let now_ms = shown.ambient.now_ms();
    let facts = Facts::load(&shown.store, record, false, None, now_ms).await?;
    Ok(Html(report::page(&facts)))
}

/// There is no page.
enum Gone {
    /// There is no such run.
    NoRun,
    /// What is stored cannot be read; stderr says why.
    Unreadable,
}

impl From<StoreError> for Gone {
    fn from(error: StoreError) -> Self {
        eprintln!("error: a page cannot be made: {error}");
        Self::Unreadable
    }
}

impl IntoResponse for Gone {
    fn into_response(self) -> Response {
        match self {
            Self::NoRun => (StatusCode::NOT_FOUND, "there is no such run\n"),
            Self::Unreadable => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "what is stored cannot be read; the terminal says why\n",
            ),
        }
        .into_response()
    }
}
