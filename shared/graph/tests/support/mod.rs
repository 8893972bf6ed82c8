//! A server that answers as a test tells it to, and remembers what it was asked.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, Response};
use futures::stream::{self, StreamExt as _};
use rollcall_ambient::{Ambient, Clock};
use rollcall_core::ids::ObjectId;
use rollcall_graph::{Credential, GraphClient, GraphConfig, Secret};
use serde_json::{Value, json};
use url::Url;

/// The `request-id` of each answer.
pub(crate) const REQUEST_ID: &str = "5f1c2f0e-8a52-4c3b-9d10-2f8c7d0e9a11";

pub(crate) const DIRECTORY: &str = "6babcaad-604b-40ac-a9d7-9fd97c0b779f";
pub(crate) const CLIENT: &str = "e46697b1-7d7a-4a7a-9d6c-1c6ac6fb2ea7";
pub(crate) const SECRET: &str = "s3cret~value";

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) root: String,
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|it| it.to_str().unwrap());
        value.unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[derive(Debug, Clone)]
enum Content {
    Whole(Vec<u8>),
    CutOff(Vec<u8>),
    Never,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    content: Content,
}

impl Reply {
    pub(crate) fn raw(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("request-id", REQUEST_ID.into())],
            content: Content::Whole(body.into()),
        }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::raw(status, body.to_string()).with("content-type", "application/json")
    }

    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(
            status,
            &json!({"error": {"code": code, "message": message}}),
        )
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The connection breaks after half of the body.
    pub(crate) fn cut_off(mut self) -> Self {
        if let Content::Whole(body) = self.content {
            self.content = Content::CutOff(body[..body.len() / 2].to_vec());
        }
        self
    }

    /// The head comes, the body never does.
    pub(crate) fn hanging(mut self) -> Self {
        self.content = Content::Never;
        self
    }

    pub(crate) fn gzipped(mut self) -> Self {
        if let Content::Whole(body) = &self.content {
            self.content = Content::Whole(gzip(body));
        }
        self.with("content-encoding", "gzip")
    }

    /// The compressed body ends early, in a message that is complete as HTTP sees it.
    pub(crate) fn gzipped_and_short(self) -> Self {
        let mut reply = self.gzipped();
        if let Content::Whole(body) = &mut reply.content {
            body.truncate(body.len() / 2);
        }
        reply
    }

    fn into_response(self) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        let body = match self.content {
            Content::Whole(body) => Body::from(body),
            Content::CutOff(body) => Body::from_stream(
                stream::iter([Ok(Bytes::from(body))]).chain(stream::once(async {
                    // The server sends nothing of what stands before an error in one go.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Err(std::io::Error::other("cut off"))
                })),
            ),
            Content::Never => Body::from_stream(stream::pending::<std::io::Result<Bytes>>()),
        };
        response.body(body).unwrap()
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// A page with these users.
pub(crate) fn page(ids: &[&str], next: Option<String>) -> Reply {
    let users: Vec<_> = ids
        .iter()
        .map(|id| json!({"id": id, "userPrincipalName": format!("{id}@contoso.com"), "accountEnabled": true}))
        .collect();
    let mut body = json!({ "value": users });
    if let Some(next) = next {
        body["@odata.nextLink"] = next.into();
    }
    Reply::json(200, &body)
}

/// A token that says the how-manieth it is.
pub(crate) fn token(nth: usize) -> Reply {
    let token = format!("token-{nth}");
    Reply::json(
        200,
        &json!({"token_type": "Bearer", "expires_in": 3600, "access_token": token}),
    )
}

type Script = Box<dyn Fn(&Seen, usize) -> Reply + Send + Sync>;

#[derive(Default)]
struct Log {
    tokens: Vec<Seen>,
    graph: Vec<Seen>,
}

pub(crate) struct Server {
    pub(crate) root: String,
    log: Arc<Mutex<Log>>,
}

impl Server {
    /// Answers requests for tokens by one script and all others by another. Each is told which of
    /// its requests it is, from 0.
    pub(crate) async fn start(
        tokens: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
        graph: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Log::default()));
        let scripts: Arc<(Script, Script)> = Arc::new((Box::new(tokens), Box::new(graph)));
        let (own_root, own_log) = (root.clone(), Arc::clone(&log));
        let router = Router::new().fallback(move |request: Request| {
            let (root, log) = (own_root.clone(), Arc::clone(&own_log));
            let scripts = Arc::clone(&scripts);
            async move { answer(root, &log, &scripts, request).await }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { root, log }
    }

    /// Gives a token to whoever asks.
    pub(crate) async fn graph(
        graph: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(|_, nth| token(nth), graph).await
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().graph.clone()
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        self.seen().into_iter().map(|it| it.target).collect()
    }

    pub(crate) fn token_requests(&self) -> Vec<Seen> {
        self.log.lock().unwrap().tokens.clone()
    }

    pub(crate) fn config(&self) -> GraphConfig {
        GraphConfig {
            graph_root: self.root.parse().unwrap(),
            login_root: self.root.parse().unwrap(),
            directory_id: DIRECTORY.into(),
            client_id: CLIENT.into(),
            credential: Credential::Secret(Secret::new(SECRET)),
            attributes: Default::default(),
            retry_ms_max: 10_000,
            request_ms_max: 5_000,
            requests_max: 100_000,
            run: None,
        }
    }

    pub(crate) fn client(&self) -> GraphClient {
        GraphClient::new(self.config(), Ambient::system()).unwrap()
    }

    pub(crate) fn url(&self) -> Url {
        self.root.parse().unwrap()
    }
}

async fn answer(
    root: String,
    log: &Mutex<Log>,
    scripts: &(Script, Script),
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let request = Seen {
        root,
        method: head.method,
        target: head.uri.path_and_query().unwrap().to_string(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let for_token = request.target.contains("/oauth2/");
    let nth = {
        let mut log = log.lock().unwrap();
        let seen = if for_token {
            &mut log.tokens
        } else {
            &mut log.graph
        };
        seen.push(request.clone());
        seen.len() - 1
    };
    let script = if for_token { &scripts.0 } else { &scripts.1 };
    script(&request, nth).into_response()
}

/// A clock that a test sets.
#[derive(Debug, Clone, Default)]
pub(crate) struct SetClock(Arc<AtomicU64>);

impl SetClock {
    pub(crate) fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) fn object_id(text: impl AsRef<str>) -> ObjectId {
    ObjectId::new(text.as_ref()).unwrap()
}
