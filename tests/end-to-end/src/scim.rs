//! A SCIM service provider on loopback, and what it does at a bad moment: in front of accounts of its own, or of a
//! server that somebody else wrote.
//! <https://www.rfc-editor.org/rfc/rfc7644>

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use rollcall_scim_emulator::Accounts;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::Problem;

/// Its token.
pub const TOKEN: &str = "scim-token";
/// The name that the token goes by.
pub const SECRET: &str = "SCIM_TOKEN";
/// How long the answer of a provider is that sends without end, in bytes.
const FLOOD_BYTES: usize = 8 << 20;
const SCIM_JSON: &str = "application/scim+json";

/// What a request meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScimMeets {
    /// Nothing is wrong.
    Nothing,
    /// It is refused for the moment, and nothing done.
    Refused,
    /// There are too many.
    Throttled,
    /// Its sender may not.
    Forbidden,
    /// It is done, and its answer is lost.
    LostAnswer,
    /// It is done, and its answer is one, but megabytes long.
    Flood,
    /// Nothing is done, and this is the answer.
    Says(StatusCode, &'static str),
    /// It is on its way until [`TestProvider::late`], and its sender hears of a failure at once.
    Late,
    /// Likewise, and its sender hears nothing.
    Hangs,
}

/// The service provider. Clones are the same.
#[derive(Debug, Clone)]
pub struct TestProvider {
    origin: String,
    /// The server behind it, if it is not its own.
    behind: Option<String>,
    http: reqwest::Client,
    state: Arc<Mutex<Held>>,
    hangs: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Held {
    accounts: Accounts,
    /// The accounts of the workspace that it is instead, if it is another one.
    elsewhere: Option<Accounts>,
    next: VecDeque<ScimMeets>,
    late: Vec<(Method, String, Option<Value>)>,
    is_down: bool,
    fails_for: Vec<String>,
    requests: u64,
}

impl TestProvider {
    /// Starts it on a free port. It stops with the process.
    ///
    /// # Errors
    /// A port that cannot be had.
    pub async fn start() -> Result<Self, Problem> {
        Self::in_front_of(None).await
    }

    /// The same in front of a server with this root, which takes [`TOKEN`].
    ///
    /// # Errors
    /// A port that cannot be had.
    pub async fn in_front_of(behind: Option<String>) -> Result<Self, Problem> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let provider = Self {
            origin: format!("http://{}", listener.local_addr()?),
            behind,
            http: reqwest::Client::new(),
            state: Arc::default(),
            hangs: Arc::default(),
        };
        let app = Router::new().fallback(answer).with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(provider)
    }

    /// Its root.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/scim/v2", self.origin)
    }

    /// The settings of a tenant whose service provider it is.
    #[must_use]
    pub fn settings(&self) -> Value {
        let credential = json!({ "kind": "secret", "env": SECRET });
        json!({ "scim": { "url": self.url(), "credential": credential } })
    }

    /// What the next requests meet, one after the other; those behind them meet nothing.
    pub fn meets(&self, next: impl IntoIterator<Item = ScimMeets>) {
        self.with(|state| state.next = next.into_iter().collect());
    }

    /// From now on it answers nothing but errors, or answers again.
    pub fn is_down(&self, is_down: bool) {
        self.with(|state| state.is_down = is_down);
    }

    /// From now on it is another workspace, which has no accounts, or the first one again.
    pub fn is_elsewhere(&self, is_elsewhere: bool) {
        self.with(|state| state.elsewhere = is_elsewhere.then(Accounts::default));
    }

    /// Comes back when a request hangs.
    pub async fn hangs(&self) {
        self.hangs.notified().await;
    }

    /// What was on its way comes. Says how many requests it was.
    ///
    /// # Errors
    /// A server behind it that does not answer.
    pub async fn late(&self) -> Result<usize, Problem> {
        let late = self.with(|state| std::mem::take(&mut state.late));
        let count = late.len();
        for (method, path, body) in late {
            self.carry_out(method, &path, body).await?;
        }
        Ok(count)
    }

    /// From now on every request about these users fails.
    pub fn fails_for(&self, ids: impl IntoIterator<Item = String>) {
        self.with(|state| state.fails_for = ids.into_iter().collect());
    }

    /// How many requests it has had.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.with(|state| state.requests)
    }

    /// All its accounts, of its first workspace.
    ///
    /// # Errors
    /// What the server behind it refuses.
    pub async fn accounts(&self) -> Result<Vec<Value>, Problem> {
        if self.behind.is_none() {
            return Ok(self.with(|state| state.accounts.all().cloned().collect()));
        }
        let mut accounts = Vec::new();
        loop {
            let path = format!("/Users?startIndex={}", accounts.len() + 1);
            let (status, body) = self.pass_on(Method::GET, &path, None).await?;
            if status != StatusCode::OK {
                return Err(format!("{status}: {body}").into());
            }
            let some = body["Resources"].as_array().cloned().unwrap_or_default();
            if some.is_empty() {
                return Ok(accounts);
            }
            accounts.extend(some);
        }
    }

    /// Makes an account by hand.
    ///
    /// # Errors
    /// What the server behind it refuses.
    pub async fn create(&self, account: Value) -> Result<Value, Problem> {
        let (status, body) = self
            .carry_out(Method::POST, "/Users", Some(account))
            .await?;
        if status != StatusCode::CREATED {
            return Err(format!("{status}: {body}").into());
        }
        Ok(body)
    }

    /// Deletes an account by hand.
    ///
    /// # Errors
    /// What the server behind it refuses.
    pub async fn delete(&self, id: &str) -> Result<(), Problem> {
        let path = format!("/Users/{id}");
        let (status, body) = self.carry_out(Method::DELETE, &path, None).await?;
        if status != StatusCode::NO_CONTENT {
            return Err(format!("{status}: {body}").into());
        }
        Ok(())
    }

    fn with<T>(&self, with: impl FnOnce(&mut Held) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn carry_out(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Value), Problem> {
        let elsewhere = self.with(|state| {
            let accounts = state.elsewhere.as_mut()?;
            Some(accounts.carry_out(&method, path, body.as_ref()))
        });
        if let Some(answer) = elsewhere {
            return Ok(answer);
        }
        match &self.behind {
            Some(_) => self.pass_on(method, path, body).await,
            None => Ok(self.with(|state| state.accounts.carry_out(&method, path, body.as_ref()))),
        }
    }

    async fn pass_on(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Value), Problem> {
        let behind = self.behind.as_deref().unwrap_or_default();
        let mut request = self
            .http
            .request(method, format!("{behind}{path}"))
            .header(AUTHORIZATION, format!("Bearer {TOKEN}"));
        if let Some(body) = body {
            request = request
                .header(CONTENT_TYPE, SCIM_JSON)
                .body(body.to_string());
        }
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    }
}

async fn answer(
    State(provider): State<TestProvider>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let meets = provider.with(|state| {
        state.requests += 1;
        match state.next.pop_front() {
            Some(meets) => meets,
            None if state.is_down => ScimMeets::Refused,
            None if state.fails(&uri, &body) => ScimMeets::Refused,
            None => ScimMeets::Nothing,
        }
    });
    let expected = format!("Bearer {TOKEN}");
    if headers
        .get(AUTHORIZATION)
        .is_none_or(|it| it != expected.as_str())
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Some(path) = uri
        .path_and_query()
        .and_then(|it| it.as_str().strip_prefix("/scim/v2"))
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (path, body) = (path.to_owned(), serde_json::from_slice(&body).ok());
    let unavailable = StatusCode::SERVICE_UNAVAILABLE.into_response();
    match meets {
        ScimMeets::Refused => unavailable,
        ScimMeets::Throttled => {
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response()
        }
        ScimMeets::Forbidden => StatusCode::FORBIDDEN.into_response(),
        ScimMeets::Says(status, body) => (status, body).into_response(),
        ScimMeets::Nothing => told(provider.carry_out(method, &path, body).await),
        ScimMeets::LostAnswer => {
            let done = provider.carry_out(method, &path, body).await;
            done.map_or_else(|problem| told(Err(problem)), |_| unavailable)
        }
        ScimMeets::Flood => {
            let done = provider.carry_out(method, &path, body).await;
            told(done.map(|(status, mut body)| {
                body["padding"] = Value::from("x".repeat(FLOOD_BYTES));
                (status, body)
            }))
        }
        ScimMeets::Late => {
            provider.with(|state| state.late.push((method, path, body)));
            unavailable
        }
        ScimMeets::Hangs => {
            provider.with(|state| state.late.push((method, path, body)));
            provider.hangs.notify_one();
            std::future::pending().await
        }
    }
}

fn told(answer: Result<(StatusCode, Value), Problem>) -> Response {
    match answer {
        Ok((StatusCode::NO_CONTENT, _)) => StatusCode::NO_CONTENT.into_response(),
        Ok((status, body)) => {
            (status, [(CONTENT_TYPE, SCIM_JSON)], body.to_string()).into_response()
        }
        Err(problem) => (StatusCode::BAD_GATEWAY, problem.to_string()).into_response(),
    }
}

impl Held {
    /// Whether a request is about the user whose all fail.
    fn fails(&self, uri: &Uri, body: &[u8]) -> bool {
        let (uri, body) = (uri.to_string(), String::from_utf8_lossy(body));
        let mut ids = self.fails_for.iter();
        ids.any(|id| uri.contains(id) || body.contains(id))
    }
}
