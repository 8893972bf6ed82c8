//! The token endpoint and bearers.

use reqwest::StatusCode;
use rollcall_graph_emulator::{Endpoint, Fault, FaultRule, Matcher, Population, TenantSpec};
use serde_json::Value;

use crate::support::{World, code, fetch_bearer, ids, token_request, values};

#[tokio::test]
async fn a_bearer_lives_a_random_60_to_90_minutes() {
    let world = World::with_users(1).await;
    let scope = format!("{}/.default", world.emulator.origin());
    let client_id = world.tenant.client_id().to_string();
    let directory = world.tenant.directory_id().to_string();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id.as_str()),
        ("client_secret", world.tenant.client_secret()),
        ("scope", scope.as_str()),
    ];
    let mut lives = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let origin = world.emulator.origin();
        let response = token_request(&world.http, origin, &directory, &form).await;
        assert_eq!(response.headers()["cache-control"], "no-store, no-cache");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["token_type"], "Bearer");
        lives.insert(body["expires_in"].as_u64().unwrap());
    }
    assert!(lives.len() > 1, "{lives:?}");
    assert!(lives.iter().all(|life| (3_600..=5_400).contains(life)));
}

#[tokio::test]
async fn each_wrong_part_of_a_token_request_has_its_own_error() {
    let world = World::with_users(1).await;
    let origin = world.emulator.origin().to_owned();
    let right = [
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", world.tenant.client_id().to_string()),
        ("client_secret", world.tenant.client_secret().to_owned()),
        ("scope", format!("{origin}/.default")),
    ];
    let stranger = "00000000-0000-4000-8000-000000000000";
    let no_graph = "https://graph.microsoft.com/.default";
    let cases = [
        ("client_secret", "wrong", 401, "invalid_client", 7_000_215),
        ("client_secret", "", 401, "invalid_client", 7_000_216),
        ("client_id", stranger, 400, "unauthorized_client", 700_016),
        ("scope", no_graph, 400, "invalid_resource", 500_011),
        ("scope", "User.Read.All", 400, "invalid_scope", 1_002_012),
        ("scope", "", 400, "invalid_request", 900_144),
        (
            "grant_type",
            "password",
            400,
            "unsupported_grant_type",
            70_003,
        ),
    ];
    let directory = world.tenant.directory_id().to_string();
    for (name, wrong, status, error, number) in cases {
        let form: Vec<(&str, &str)> = right
            .iter()
            .map(|(key, value)| (*key, if *key == name { wrong } else { value.as_str() }))
            .collect();
        let response = token_request(&world.http, &origin, &directory, &form).await;
        assert_eq!(response.status().as_u16(), status, "{name}={wrong}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"], error, "{name}={wrong}");
        assert_eq!(body["error_codes"][0], number, "{name}={wrong}");
        let description = body["error_description"].as_str().unwrap();
        assert!(description.starts_with(&format!("AADSTS{number}: ")));
    }
    let form: Vec<(&str, &str)> = right.iter().map(|(key, v)| (*key, v.as_str())).collect();
    let response = token_request(&world.http, &origin, stranger, &form).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error_codes"][0], 90_002);
}

#[tokio::test]
async fn a_bearer_reads_the_directory_of_its_own_tenant_only() {
    let world = World::with_users(30).await;
    let spec = TenantSpec::new(Population::new("fabrikam.com", 8, 40));
    let other = world.graph().add_tenant(spec);
    let bearer = fetch_bearer(&world.http, world.emulator.origin(), &other).await;
    let url = format!("{}/v1.0/users?$select=id", world.emulator.origin());
    let request = world.http.get(url).bearer_auth(bearer);
    let page: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(ids([&page]).len(), 40);
    assert_eq!(ids(&world.pages("/users?$select=id").await).len(), 30);
}

#[tokio::test]
async fn a_call_without_a_good_bearer_is_refused() {
    let mut world = World::with_users(1).await;
    let url = format!("{}/v1.0/users", world.emulator.origin());
    let no_bearer = world.http.get(&url).send().await.unwrap();
    assert_eq!(no_bearer.status(), StatusCode::UNAUTHORIZED);
    assert!(no_bearer.headers().contains_key("www-authenticate"));

    let made_up = world.http.get(&url).bearer_auth("eyJ0eXAi");
    assert_refused(made_up).await;

    assert_eq!(world.get("/users").send().await.unwrap().status(), 200);
    world.graph().revoke_bearers(&world.tenant);
    assert_refused(world.get("/users")).await;

    world.tenant.set_token_life_s(60..=60);
    world.renew_bearer().await;
    world.clock.advance_ms(59_999);
    assert_eq!(world.get("/users").send().await.unwrap().status(), 200);
    world.clock.advance_ms(1);
    assert_refused(world.get("/users")).await;
}

async fn assert_refused(request: reqwest::RequestBuilder) {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let body: Value = response.json().await.unwrap();
    assert_eq!(code(&body), "InvalidAuthenticationToken");
}

#[tokio::test]
async fn after_a_claims_challenge_only_a_bearer_with_claims_is_taken() {
    let mut world = World::with_users(3).await;
    let once = FaultRule::once(Matcher::endpoint(Endpoint::Users), Fault::ClaimsChallenge);
    world.graph().add_fault(once);
    for renews in [false, true, false] {
        let challenge = world.get("/users").send().await.unwrap();
        assert_eq!(challenge.status(), StatusCode::UNAUTHORIZED);
        let header = challenge.headers()["www-authenticate"].to_str().unwrap();
        assert!(header.contains("error=\"insufficient_claims\", claims=\"eyJ"));
        if renews {
            world.renew_bearer().await;
        }
    }
    let origin = world.emulator.origin().to_owned();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &world.tenant.client_id().to_string()),
        ("client_secret", world.tenant.client_secret()),
        ("scope", &format!("{origin}/.default")),
        ("claims", r#"{"access_token":{"nbf":{"essential":true}}}"#),
    ];
    let directory = world.tenant.directory_id().to_string();
    let granted = token_request(&world.http, &origin, &directory, &form).await;
    let granted: Value = granted.json().await.unwrap();
    granted["access_token"]
        .as_str()
        .unwrap()
        .clone_into(&mut world.bearer);
    assert_eq!(values(&world.page("/users").await).len(), 3);
}
