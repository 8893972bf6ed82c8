//! What happens to those who ask too much, and to those who meet now this replica and now that.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{World, code, in_scan_order, values};

const URL: &str = "/users?$select=id&$top=10";

#[tokio::test]
async fn whoever_asks_for_more_than_there_is_waits_as_long_as_he_is_told() {
    let world = World::with_users(5).await;
    world.tenant.set_units_max(10);
    let mut told = Vec::new();
    for _ in 0..10 {
        let answer = world.get(URL).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["x-ms-resource-unit"], "1");
        let used = answer.headers().get("x-ms-throttle-limit-percentage");
        told.extend(used.map(|used| used.to_str().unwrap().to_owned()));
    }
    assert_eq!(told, ["0.8", "0.9", "1.0"]);
    let refused = world.get(URL).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert!(refused.headers().contains_key("x-ms-throttle-scope"));
    assert!(refused.headers().contains_key("x-ms-throttle-information"));
    assert_eq!(code(&refused.json().await.unwrap()), "TooManyRequests");
    world.clock.advance_ms(1_000);
    assert_eq!(values(&world.page(URL).await).len(), 5);
}

#[tokio::test]
async fn in_a_batch_each_request_costs_what_it_costs_alone() {
    let world = World::with_users(5).await;
    world.tenant.set_units_max(4);
    let users = in_scan_order(&world).await;
    world.clock.advance_ms(10_000);
    let requests: Vec<_> = users
        .iter()
        .enumerate()
        .map(|(at, id)| json!({ "id": at.to_string(), "method": "GET", "url": format!("/users/{id}") }))
        .collect();
    let answer = world.post("/$batch", &json!({ "requests": requests }));
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let body: Value = answer.json().await.unwrap();
    let statuses = body["responses"].as_array().unwrap().iter();
    let throttled: Vec<_> = statuses.filter(|it| it["status"] == 429).collect();
    // The batch itself is one.
    assert_eq!(throttled.len(), 2, "{body}");
    assert_eq!(throttled[0]["headers"]["Retry-After"], "3", "{body}");
}

#[tokio::test]
async fn a_user_who_is_not_on_every_replica_is_there_every_second_time() {
    let world = World::with_users(5).await;
    let id = in_scan_order(&world).await[0];
    let script = format!("user user {id} alternately: not-found");
    world.graph().play(script.parse().unwrap());
    let mut found = Vec::new();
    for _ in 0..6 {
        let answer = world.get(&format!("/users/{id}")).send().await.unwrap();
        found.push(answer.status() == StatusCode::OK);
    }
    assert_eq!(found, [false, true, false, true, false, true]);
}
