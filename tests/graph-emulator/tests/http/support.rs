//! What the tests have in common: a running emulator with one tenant, and a client with a bearer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{RequestBuilder, Response, StatusCode};
use rollcall_ambient::{Ambient, Clock};
use rollcall_graph_emulator::{Emulator, Endpoint, Graph, Matcher, Population, Tenant, TenantSpec};
use serde_json::Value;
use uuid::Uuid;

/// A clock that is set by hand.
#[derive(Debug, Clone)]
pub(crate) struct HandClock(Arc<AtomicU64>);

impl HandClock {
    pub(crate) fn at_ms(ms: u64) -> Self {
        Self(Arc::new(AtomicU64::new(ms)))
    }

    pub(crate) fn advance_ms(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) tenant: Tenant,
    pub(crate) clock: HandClock,
    pub(crate) http: reqwest::Client,
    pub(crate) bearer: String,
}

/// 2026-11-23T20:15:02Z.
pub(crate) const START_MS: u64 = 1_795_464_902_000;

impl World {
    pub(crate) async fn with_users(users: usize) -> Self {
        Self::of(Population::new("contoso.com", 7, users)).await
    }

    pub(crate) async fn of(population: Population) -> Self {
        let clock = HandClock::at_ms(START_MS);
        let ambient = Ambient::system().with_clock(clock.clone());
        let emulator = Emulator::start(ambient).await.unwrap();
        let tenant = emulator.graph().add_tenant(TenantSpec::new(population));
        let http = client();
        let bearer = fetch_bearer(&http, emulator.origin(), &tenant).await;
        Self {
            emulator,
            tenant,
            clock,
            http,
            bearer,
        }
    }

    pub(crate) fn graph(&self) -> &Graph {
        self.emulator.graph()
    }

    pub(crate) async fn renew_bearer(&mut self) {
        self.bearer = fetch_bearer(&self.http, self.emulator.origin(), &self.tenant).await;
    }

    /// An absolute URL, or a path under `/v1.0`.
    pub(crate) fn get(&self, url: &str) -> RequestBuilder {
        self.http.get(self.url(url)).bearer_auth(&self.bearer)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.http
            .post(self.url(path))
            .bearer_auth(&self.bearer)
            .json(body)
    }

    fn url(&self, url: &str) -> String {
        if url.starts_with("http") {
            url.to_owned()
        } else {
            format!("{}/v1.0{url}", self.emulator.origin())
        }
    }

    pub(crate) async fn page(&self, url: &str) -> Value {
        let response = self.get(url).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{url}");
        response.json().await.unwrap()
    }

    /// All pages from a URL on.
    pub(crate) async fn pages(&self, url: &str) -> Vec<Value> {
        let mut pages = vec![self.page(url).await];
        while let Some(link) = next_link(pages.last().unwrap()) {
            assert!(pages.len() < 1_000, "the scan does not end");
            pages.push(self.page(&link).await);
        }
        pages
    }

    pub(crate) fn true_ids(&self) -> BTreeSet<String> {
        let directory = self.tenant.directory();
        directory.users().map(|user| user.id.to_string()).collect()
    }
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

pub(crate) async fn token_request(
    http: &reqwest::Client,
    origin: &str,
    directory: &str,
    form: &[(&str, &str)],
) -> Response {
    let url = format!("{origin}/{directory}/oauth2/v2.0/token");
    http.post(url).form(form).send().await.unwrap()
}

pub(crate) async fn fetch_bearer(http: &reqwest::Client, origin: &str, tenant: &Tenant) -> String {
    let scope = format!("{origin}/.default");
    let client_id = tenant.client_id().to_string();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id.as_str()),
        ("client_secret", tenant.client_secret()),
        ("scope", scope.as_str()),
    ];
    let directory = tenant.directory_id().to_string();
    let response = token_request(http, origin, &directory, &form).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body: Value = response.json().await.unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

pub(crate) fn next_link(page: &Value) -> Option<String> {
    page.get("@odata.nextLink")
        .map(|link| link.as_str().unwrap().to_owned())
}

pub(crate) fn values(page: &Value) -> &[Value] {
    page["value"].as_array().unwrap()
}

pub(crate) fn ids<'a>(pages: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    pages
        .into_iter()
        .flat_map(values)
        .map(|user| user["id"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn code(body: &Value) -> &str {
    body["error"]["code"].as_str().unwrap()
}

/// The first users of the directory, in the order of a scan.
pub(crate) async fn in_scan_order(world: &World) -> Vec<Uuid> {
    let pages = world.pages("/users?$select=id&$top=999").await;
    ids(&pages).iter().map(|id| id.parse().unwrap()).collect()
}

pub(crate) fn users_page(page: u32) -> Matcher {
    Matcher::endpoint(Endpoint::Users).page(page)
}
