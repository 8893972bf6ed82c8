//! A SCIM service provider on loopback, and what it does at a bad moment: in front of accounts of its own, or of a
//! server that somebody else wrote.
//! <https://www.rfc-editor.org/rfc/rfc7644>

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::Problem;

/// Its token.
pub const TOKEN: &str = "scim-token";
/// The name that the token goes by.
pub const SECRET: &str = "SCIM_TOKEN";
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
    /// It is done, and its answer is lost.
    LostAnswer,
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
    state: Arc<Mutex<Accounts>>,
    hangs: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Accounts {
    by_id: BTreeMap<String, Value>,
    created: u64,
    next: VecDeque<ScimMeets>,
    late: Vec<(Method, String, Option<Value>)>,
    is_down: bool,
    fails_for: Option<String>,
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

    /// From now on every request about this user fails.
    pub fn fails_for(&self, id: String) {
        self.with(|state| state.fails_for = Some(id));
    }

    /// How many requests it has had.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.with(|state| state.requests)
    }

    /// All its accounts.
    ///
    /// # Errors
    /// What the server behind it refuses.
    pub async fn accounts(&self) -> Result<Vec<Value>, Problem> {
        if self.behind.is_none() {
            return Ok(self.with(|state| state.by_id.values().cloned().collect()));
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

    fn with<T>(&self, with: impl FnOnce(&mut Accounts) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn carry_out(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Value), Problem> {
        match &self.behind {
            Some(_) => self.pass_on(method, path, body).await,
            None => Ok(self.with(|state| state.carry_out(&method, path, body.as_ref()))),
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
        ScimMeets::Nothing => told(provider.carry_out(method, &path, body).await),
        ScimMeets::LostAnswer => {
            let done = provider.carry_out(method, &path, body).await;
            done.map_or_else(|problem| told(Err(problem)), |_| unavailable)
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

impl Accounts {
    /// Whether a request is about the user whose all fail.
    fn fails(&self, uri: &Uri, body: &[u8]) -> bool {
        let Some(id) = &self.fails_for else {
            return false;
        };
        uri.to_string().contains(id) || String::from_utf8_lossy(body).contains(id)
    }

    fn carry_out(
        &mut self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match (method, path.strip_prefix("/Users"), body) {
            (&Method::GET, Some(""), _) => self.list(query),
            (&Method::POST, Some(""), Some(account)) => self.post(account.clone()),
            (&Method::GET, Some(id), _) => self.get(id.trim_start_matches('/')),
            (&Method::PATCH, Some(id), Some(patch)) => {
                self.patch(id.trim_start_matches('/'), patch)
            }
            _ => refused(StatusCode::NOT_FOUND, ""),
        }
    }

    fn list(&self, query: &str) -> (StatusCode, Value) {
        let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let filter = query.get("filter").and_then(|it| it.split_once(" eq "));
        let Some((attribute, value)) = filter else {
            return refused(StatusCode::BAD_REQUEST, "invalidFilter");
        };
        let Ok(value) = serde_json::from_str::<String>(value) else {
            return refused(StatusCode::BAD_REQUEST, "invalidFilter");
        };
        let fits = |account: &&Value| is(&account[attribute], attribute, &value);
        let found: Vec<_> = self.by_id.values().filter(fits).collect();
        (
            StatusCode::OK,
            json!({ "totalResults": found.len(), "Resources": found }),
        )
    }

    fn get(&self, id: &str) -> (StatusCode, Value) {
        match self.by_id.get(id) {
            Some(account) => (StatusCode::OK, account.clone()),
            None => refused(StatusCode::NOT_FOUND, ""),
        }
    }

    /// Whether somebody else has a login name already.
    fn is_taken(&self, name: &Value, id: &str) -> bool {
        let name = name.as_str().unwrap_or_default();
        let mut others = self.by_id.iter().filter(|(it, _)| *it != id);
        others.any(|(_, account)| is(&account["userName"], "userName", name))
    }

    fn post(&mut self, mut account: Value) -> (StatusCode, Value) {
        if !account["userName"].is_string() {
            return refused(StatusCode::BAD_REQUEST, "invalidValue");
        }
        if self.is_taken(&account["userName"], "") {
            return refused(StatusCode::CONFLICT, "uniqueness");
        }
        self.created += 1;
        let id = format!("a{}", self.created);
        account["id"] = json!(id);
        self.by_id.insert(id, account.clone());
        (StatusCode::CREATED, account)
    }

    fn patch(&mut self, id: &str, patch: &Value) -> (StatusCode, Value) {
        let Some(mut account) = self.by_id.get(id).cloned() else {
            return refused(StatusCode::NOT_FOUND, "");
        };
        for operation in patch["Operations"].as_array().into_iter().flatten() {
            let (Some(path), Some(members)) = (operation["path"].as_str(), account.as_object_mut())
            else {
                return refused(StatusCode::BAD_REQUEST, "invalidPath");
            };
            match operation["op"].as_str() {
                Some("replace") => members.insert(path.into(), operation["value"].clone()),
                Some("remove") => members.remove(path),
                _ => return refused(StatusCode::BAD_REQUEST, "invalidSyntax"),
            };
        }
        if self.is_taken(&account["userName"], id) {
            return refused(StatusCode::CONFLICT, "uniqueness");
        }
        self.by_id.insert(id.to_owned(), account);
        (StatusCode::NO_CONTENT, Value::Null)
    }
}

/// Login names are compared without regard to case.
/// <https://www.rfc-editor.org/rfc/rfc7643#section-4.1.1>
fn is(stored: &Value, attribute: &str, value: &str) -> bool {
    let stored = stored.as_str().unwrap_or_default();
    match attribute {
        "userName" => stored.to_lowercase() == value.to_lowercase(),
        _ => stored == value,
    }
}

fn refused(status: StatusCode, kind: &str) -> (StatusCode, Value) {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": status.as_u16().to_string(),
        "scimType": kind,
    });
    (status, body)
}
