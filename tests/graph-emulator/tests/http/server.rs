//! The server itself, and the service without one.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, Request};
use rollcall_ambient::Ambient;
use rollcall_graph_emulator::{
    Answer, Emulator, Fault, FaultRule, Graph, Matcher, Population, TenantSpec,
};
use serde_json::Value;

use crate::support::{HandClock, START_MS, World, users_page};

#[tokio::test]
async fn a_server_stops_though_a_request_hangs_and_frees_its_port() {
    let world = World::with_users(1).await;
    let hang = Fault::Delay { ms: 3_600_000 };
    world
        .graph()
        .add_fault(FaultRule::once(users_page(1), hang));
    let waiting = tokio::spawn(world.get("/users").send());
    while world.graph().log().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let port = world.emulator.origin().rsplit(':').next().unwrap();
    let port = port.parse().unwrap();
    let start = tokio::time::Instant::now();
    world.emulator.shutdown().await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(900));
    waiting.await.unwrap().unwrap();
    let again = Emulator::start_on(Ambient::system(), port).await.unwrap();
    assert!(again.origin().ends_with(&port.to_string()));
}

#[tokio::test]
async fn an_unknown_path_is_a_400_and_a_wrong_method_a_405() {
    let world = World::with_users(1).await;
    let unknown = world.get("/groups").send().await.unwrap();
    assert_eq!(unknown.status().as_u16(), 400);
    let post = world.post("/users", &Value::Null).send().await.unwrap();
    assert_eq!(post.status().as_u16(), 405);
}

#[tokio::test]
async fn a_body_that_no_request_needs_is_refused() {
    let world = World::with_users(1).await;
    let body = Value::String("x".repeat(5 * 1024 * 1024));
    // The connection may end before the client has sent it all.
    if let Ok(response) = world.post("/$batch", &body).send().await {
        assert_eq!(response.status().as_u16(), 413);
    }
    let token_requests_only = world.graph().log().len() == 1;
    assert!(token_requests_only);
}

fn ask(graph: &Graph, method: Method, path: &str, bearer: &str, body: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {bearer}"))
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .unwrap();
    graph.handle(&request)
}

/// Everything that a small history answers, headers included.
fn history(seed: u64) -> String {
    let ambient = Ambient::simulated(0, seed).with_clock(HandClock::at_ms(START_MS));
    let graph = Graph::new(ambient, "https://graph.test");
    let tenant = graph.add_tenant(TenantSpec::new(Population::new("contoso.com", 1, 300)));
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
        tenant.client_id(),
        tenant
            .client_secret()
            .replace('+', "%2b")
            .replace('&', "%26"),
        "https://graph.test/.default"
    );
    let path = format!("/{}/oauth2/v2.0/token", tenant.directory_id());
    let token = ask(&graph, Method::POST, &path, "", &form);
    let body: Value = serde_json::from_slice(&token.body).unwrap();
    let bearer = body["access_token"].as_str().unwrap();
    graph.add_fault(FaultRule::once(Matcher::any().page(2), Fault::Spliced));

    let mut told = format!("{token:?}");
    let mut url = "/v1.0/users?$select=id".to_owned();
    for _ in 0..3 {
        let page = ask(&graph, Method::GET, &url, bearer, "");
        told += &format!("{page:?}");
        let text = String::from_utf8(page.body.to_vec()).unwrap();
        let link = text.split("nextLink\":\"https://graph.test").nth(1);
        url = link.map_or(url, |link| link.split('"').next().unwrap().to_owned());
    }
    told
}

#[tokio::test]
async fn without_sockets_one_seed_gives_one_history() {
    assert_eq!(history(5), history(5));
    assert_ne!(history(5), history(6));
}
