//! The scan of all users, against a server that misbehaves in every way that Graph has.

#![allow(missing_docs, reason = "the names of the tests say it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use rollcall_ambient::Ambient;
use rollcall_graph::{GraphClient, GraphError, NextLink, PageAt, UsersPage};
use serde_json::json;
use tokio::time::Instant;

use support::{Reply, Server, page};

const FIRST: &str = "/v1.0/users?$select=id,userPrincipalName,mail,displayName,accountEnabled,\
                     userType&$top=999";

async fn first(server: &Server) -> Result<UsersPage, GraphError> {
    server.client().users_page(PageAt::First).await
}

/// A client that soon loses patience.
fn impatient(server: &Server) -> GraphClient {
    let mut config = server.config();
    config.retry_ms_max = 4_000;
    config.request_ms_max = 500;
    GraphClient::new(config, Ambient::system()).unwrap()
}

fn ids(page: &UsersPage) -> Vec<&str> {
    page.users.iter().map(|user| user.id.as_str()).collect()
}

/// Fails in some way at first, then gives a page.
async fn after(faults: Vec<Reply>) -> Server {
    Server::graph(move |_, nth| {
        let page = || page(&["a", "b"], None);
        faults.get(nth).cloned().unwrap_or_else(page)
    })
    .await
}

/// Each of these faults is waited out at the same address, and leaves nothing behind.
async fn is_waited_out(faults: Vec<Reply>) {
    let count = faults.len();
    let server = after(faults).await;
    let client = server.client();
    let page = client.users_page(PageAt::First).await.unwrap();
    assert_eq!(ids(&page), ["a", "b"]);
    assert_eq!(page.next, None);
    assert_eq!(server.targets(), vec![FIRST; count + 1]);
    let usage = client.usage();
    assert_eq!(
        (usage.requests, usage.retried),
        (count as u64 + 1, count as u64)
    );
}

#[tokio::test]
async fn pages_are_followed_to_the_one_without_a_next_link() {
    let server = Server::graph(|seen, nth| {
        let token = "x".repeat(1_500);
        let next = |n| {
            Some(format!(
                "{}/v1.0/users?$select=id%2cmail&$skiptoken={n}'{token}",
                seen.root
            ))
        };
        match nth {
            0 => page(&["a", "b"], next(1)),
            1 => page(&[], next(2)),
            _ => page(&["c"], None),
        }
        .with("x-ms-resource-unit", "1")
    })
    .await;
    let client = server.client();
    let mut links = BTreeSet::new();
    let mut found = Vec::new();
    let mut page = client.users_page(PageAt::First).await.unwrap();
    loop {
        assert!(page.request_id.is_some());
        found.extend(page.users.iter().map(|user| user.id.to_string()));
        let Some(next) = page.next else { break };
        let next = NextLink::parse(&server.url(), next.as_str()).unwrap();
        page = client.users_page(PageAt::Link(&next)).await.unwrap();
        links.insert(next);
    }
    assert_eq!(found, ["a", "b", "c"]);
    assert_eq!(links.len(), 2);

    let seen = server.seen();
    assert_eq!(seen[0].target, FIRST);
    assert!(
        seen[1]
            .target
            .starts_with("/v1.0/users?$select=id%2cmail&$skiptoken=1%27xxx")
    );
    let mut requests = BTreeSet::new();
    for request in &seen {
        assert_eq!(request.header("authorization"), "Bearer token-0");
        assert_eq!(request.header("accept-encoding"), "gzip");
        assert_eq!(request.header("accept"), "application/json");
        assert_eq!(request.header("consistencylevel"), "");
        assert_eq!(request.header("x-ms-throttle-priority"), "Low");
        assert!(request.header("user-agent").starts_with("rollcall/"));
        requests.insert(request.header("client-request-id").to_owned());
    }
    assert_eq!(requests.len(), 3);
    let usage = client.usage();
    assert_eq!((usage.requests, usage.retried, usage.throttled), (3, 0, 0));
    assert_eq!(usage.resource_units, 3);
}

#[tokio::test]
async fn a_compressed_page_is_read() {
    let server = Server::graph(|_, _| page(&["a"], None).gzipped()).await;
    assert_eq!(ids(&first(&server).await.unwrap()), ["a"]);
}

#[tokio::test]
async fn throttling_is_waited_out_as_long_as_the_server_asks() {
    let server = after(vec![
        Reply::error(429, "TooManyRequests", "").with("retry-after", "1"),
    ])
    .await;
    let client = server.client();
    let before = Instant::now();
    client.users_page(PageAt::First).await.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.targets(), [FIRST, FIRST]);
    assert_eq!(client.usage().throttled, 1);
}

#[tokio::test]
async fn throttling_without_a_time_is_waited_out() {
    is_waited_out(vec![Reply::error(429, "TooManyRequests", "")]).await;
}

#[tokio::test]
async fn server_errors_are_waited_out() {
    is_waited_out(vec![
        Reply::error(503, "UnknownError", ""),
        Reply::error(500, "", ""),
        Reply::raw(502, "<html><body>Bad gateway</body></html>"),
    ])
    .await;
    is_waited_out(vec![Reply::raw(504, ""), Reply::raw(408, "")]).await;
    // A page under an error status is no page.
    is_waited_out(vec![Reply::json(500, &json!({"value": []}))]).await;
}

#[tokio::test]
async fn a_page_that_breaks_off_is_discarded_and_asked_for_again() {
    let spliced = include_str!("data/users-spliced-error.txt");
    is_waited_out(vec![
        page(&["x", "y"], None).cut_off(),
        Reply::raw(200, spliced),
    ])
    .await;
    is_waited_out(vec![page(&["x", "y"], None).gzipped_and_short()]).await;
    is_waited_out(vec![page(&["x", "y"], None).gzipped().cut_off()]).await;
    let whole = json!({"value": [{"id": "x"}, {"id": "y"}]}).to_string();
    is_waited_out(vec![Reply::raw(200, &whole[..whole.len() - 2])]).await;
}

#[tokio::test]
async fn a_success_that_holds_no_page_is_asked_for_again() {
    is_waited_out(vec![
        Reply::error(200, "UnknownError", ""),
        Reply::json(200, &json!({"value": null})),
        Reply::json(200, &json!({})),
    ])
    .await;
    is_waited_out(vec![
        Reply::raw(204, ""),
        Reply::json(206, &json!({"value": []})),
    ])
    .await;
}

#[tokio::test]
async fn a_page_that_stays_broken_is_never_taken() {
    for broken in [
        Reply::json(200, &json!({"error": {"code": "UnknownError"}})),
        page(&["a"], None).cut_off(),
        Reply::json(200, &json!({"value": [{"id": "a"}, {"mail": "b"}]})),
    ] {
        let server = Server::graph(move |_, _| broken.clone()).await;
        let error = first(&server).await.unwrap_err();
        assert!(
            matches!(error, GraphError::Unreliable { attempts: 5, .. }),
            "{error}"
        );
        assert_eq!(error.run_reason().name(), "enumeration_unreliable");
        assert_eq!(server.targets(), [FIRST; 5]);
    }
}

#[tokio::test]
async fn a_page_without_end_is_not_read_to_its_end() {
    let bomb = Reply::raw(200, vec![b' '; 65 * 1024 * 1024]).gzipped();
    let server = Server::graph(move |_, _| bomb.clone()).await;
    let error = first(&server).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "enumeration_unreliable");
    assert!(error.to_string().contains("longer than"), "{error}");
}

#[tokio::test]
async fn a_server_that_keeps_failing_is_given_up_within_the_budget() {
    let server = Server::graph(|_, _| Reply::error(503, "UnknownError", "")).await;
    let before = Instant::now();
    let error = impatient(&server)
        .users_page(PageAt::First)
        .await
        .unwrap_err();
    assert!(before.elapsed() < Duration::from_secs(6));
    let GraphError::Unavailable { call, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(
        (call.status, call.code.as_deref()),
        (Some(503), Some("UnknownError"))
    );
    assert_eq!(error.run_reason().name(), "graph_unavailable");
}

#[tokio::test]
async fn a_wait_past_the_budget_is_not_begun() {
    let throttled = Reply::error(429, "TooManyRequests", "").with("retry-after", "60");
    let server = Server::graph(move |_, _| throttled.clone()).await;
    let error = first(&server).await.unwrap_err();
    assert!(error.to_string().contains("60000 ms"), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_not_waited_for() {
    let server = Server::graph(|_, nth| match nth {
        0 => page(&["x"], None).hanging(),
        _ => page(&["a"], None),
    })
    .await;
    let read = impatient(&server).users_page(PageAt::First).await.unwrap();
    assert_eq!(ids(&read), ["a"]);

    let server = Server::graph(|_, _| page(&["x"], None).hanging()).await;
    let error = impatient(&server)
        .users_page(PageAt::First)
        .await
        .unwrap_err();
    assert_eq!(error.run_reason().name(), "graph_unavailable");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let server = Server::graph(|_, _| page(&[], None)).await;
    let mut config = server.config();
    config.retry_ms_max = 500;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    config.graph_root = nobody.parse().unwrap();
    let client = GraphClient::new(config, Ambient::system()).unwrap();
    let error = client.users_page(PageAt::First).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "graph_unavailable");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_budget_that_is_spent_ends_the_asking_repetitions_included() {
    let server = after(vec![Reply::error(503, "", ""), Reply::error(503, "", "")]).await;
    let mut config = server.config();
    config.requests_max = 2;
    let client = GraphClient::new(config, Ambient::system()).unwrap();
    let error = client.users_page(PageAt::First).await.unwrap_err();
    assert_eq!(error, GraphError::BudgetSpent { requests_max: 2 });
    assert_eq!(error.run_reason().name(), "graph_unavailable");
    assert_eq!(server.seen().len(), 2);
}
