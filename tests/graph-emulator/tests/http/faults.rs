//! Each fault, as a client meets it.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use rollcall_graph_emulator::{
    Emulator, Endpoint, ErrorBody, Fault, FaultRule, Matcher, NextLink, PageTokenError, Who,
};
use serde_json::{Value, json};

use crate::support::{
    World, code, fetch_bearer, ids, in_scan_order, next_link, token_request, users_page, values,
};

const URL: &str = "/users?$select=id,accountEnabled&$top=10";

/// 25 users, so that a scan has three pages, with one fault rule.
async fn with_fault(rule: FaultRule) -> World {
    let world = World::with_users(25).await;
    world.graph().add_fault(rule);
    world
}

async fn faulty(fault: Fault) -> Response {
    let world = with_fault(FaultRule::once(users_page(1), fault)).await;
    let response = world.get(URL).send().await.unwrap();
    // The fault has passed: the same request is answered now.
    assert_eq!(values(&world.page(URL).await).len(), 10);
    response
}

#[tokio::test]
async fn an_error_status_comes_with_or_without_retry_after_and_with_any_body() {
    let throttled = faulty(Fault::throttled(Some(7))).await;
    assert_eq!(throttled.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(throttled.headers()["retry-after"], "7");
    assert_eq!(code(&throttled.json().await.unwrap()), "TooManyRequests");

    let bare = faulty(Fault::throttled(None)).await;
    assert!(bare.headers().get("retry-after").is_none());

    for status in [500, 502, 503, 504] {
        let response = faulty(Fault::status(status)).await;
        assert_eq!(response.status().as_u16(), status);
        assert!(!code(&response.json().await.unwrap()).is_empty());
    }
    let body = async |body| faulty(Fault::status_with(503, body)).await;
    let unknown: Value = body(ErrorBody::Unknown).await.json().await.unwrap();
    assert_eq!(
        (code(&unknown), &unknown["error"]["message"]),
        ("UnknownError", &json!(""))
    );
    let empty_code: Value = body(ErrorBody::EmptyCode).await.json().await.unwrap();
    assert_eq!(code(&empty_code), "");
    assert_eq!(body(ErrorBody::Empty).await.text().await.unwrap(), "");
    let html = body(ErrorBody::Html).await;
    assert_eq!(html.headers()["content-type"], "text/html");
    assert!(html.text().await.unwrap().starts_with("<!DOCTYPE html>"));
}

#[tokio::test]
async fn a_denied_call_looks_as_graph_sends_it() {
    let denied = faulty(Fault::Denied).await;
    assert_eq!(denied.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        code(&denied.json().await.unwrap()),
        "Authorization_RequestDenied"
    );
}

#[tokio::test]
async fn a_bearer_that_expires_in_mid_scan_stays_expired() {
    let mut world = with_fault(FaultRule::once(users_page(2), Fault::ExpiredBearer)).await;
    let first = world.page(URL).await;
    let link = next_link(&first).unwrap();
    for _ in 0..2 {
        let response = world.get(&link).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    world.renew_bearer().await;
    assert_eq!(values(&world.page(&link).await).len(), 10);
}

#[tokio::test]
async fn a_page_token_can_be_refused_in_three_ways() {
    let cases = [
        (PageTokenError::Expired, "Directory_ExpiredPageToken"),
        (
            PageTokenError::NotFound,
            "DirectoryPageTokenNotFoundException",
        ),
        (PageTokenError::Invalid, "Request_BadRequest"),
    ];
    for (kind, expected) in cases {
        let rule = FaultRule::forever(users_page(2), Fault::PageToken(kind));
        let world = with_fault(rule).await;
        let link = next_link(&world.page(URL).await).unwrap();
        for _ in 0..2 {
            let response = world.get(&link).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
            assert_eq!(code(&response.json().await.unwrap()), expected);
        }
    }
}

#[tokio::test]
async fn a_200_can_be_cut_off_spliced_or_without_its_value() {
    for fault in [Fault::Truncated, Fault::Spliced] {
        let response = faulty(fault.clone()).await;
        assert_eq!(response.status(), StatusCode::OK);
        let text = response.text().await.unwrap();
        assert!(text.starts_with("{\"@odata.context\""));
        assert_eq!(
            text.contains("InternalServerError"),
            fault == Fault::Spliced
        );
        assert!(serde_json::from_str::<Value>(&text).is_err());
    }
    let missing: Value = faulty(Fault::NoValue).await.json().await.unwrap();
    assert!(missing.get("value").is_none() && missing.get("error").is_none());
    let null: Value = faulty(Fault::NullValue).await.json().await.unwrap();
    assert!(null["value"].is_null() && null.get("value").is_some());
    let error: Value = faulty(Fault::ErrorForValue).await.json().await.unwrap();
    assert!(error.get("value").is_none());
    assert_eq!(code(&error), "InternalServerError");
}

#[tokio::test]
async fn an_empty_page_either_ends_the_scan_or_loses_nobody() {
    let end: Value = faulty(Fault::EmptyEnd).await.json().await.unwrap();
    assert!(values(&end).is_empty() && next_link(&end).is_none());

    for page in 1..=3 {
        let world = with_fault(FaultRule::once(users_page(page), Fault::EmptyPage)).await;
        let pages = world.pages(URL).await;
        assert_eq!(pages.len(), 4);
        assert!(values(&pages[page as usize - 1]).is_empty());
        assert_eq!(ids(&pages).len(), 25);
    }
}

#[tokio::test]
async fn a_next_link_can_lead_back_away_or_nowhere() {
    let back = |to| FaultRule::once(users_page(2), Fault::NextLink(to));
    let second_page = async |world: &World| {
        let first = world.page(URL).await;
        let link = next_link(&first).unwrap();
        let second = world.page(&link).await;
        (link, second)
    };
    let world = with_fault(back(NextLink::Itself)).await;
    let (link, second) = second_page(&world).await;
    assert_eq!(next_link(&second), Some(link));

    let world = with_fault(back(NextLink::Page(1))).await;
    let (_, second) = second_page(&world).await;
    let first_url = format!("{}/v1.0{URL}", world.emulator.origin());
    assert_eq!(next_link(&second), Some(first_url));

    let world = with_fault(back(NextLink::Missing)).await;
    assert_eq!(ids(&world.pages(URL).await).len(), 20);

    let elsewhere = Emulator::start(rollcall_ambient::Ambient::system())
        .await
        .unwrap();
    let away = NextLink::Origin(elsewhere.origin().to_owned());
    let world = with_fault(back(away)).await;
    let (_, second) = second_page(&world).await;
    let link = next_link(&second).unwrap();
    assert!(link.starts_with(elsewhere.origin()) && link.contains("$skiptoken="));
    // The other host tells whether it was asked, and whether a bearer came along.
    world.get(&link).send().await.unwrap();
    let log = elsewhere.graph().log();
    assert_eq!(
        (log.len(), log[0].bearer, log[0].status),
        (1, true, Some(401))
    );
}

#[tokio::test]
async fn a_redirect_names_another_place() {
    let to = "http://127.0.0.1:9/v1.0/users".to_owned();
    let response = faulty(Fault::Redirect { to: to.clone() }).await;
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(response.headers()["location"], to.as_str());
}

#[tokio::test]
async fn users_can_be_left_out_of_a_page_and_of_get_by_ids() {
    let world = World::with_users(25).await;
    let all = in_scan_order(&world).await;
    let left_out = Fault::LeftOut(Who::Ids(vec![all[4]]));
    let both = [users_page(1), Matcher::endpoint(Endpoint::GetByIds)];
    for when in both {
        world
            .graph()
            .add_fault(FaultRule::forever(when, left_out.clone()));
    }
    let first = Fault::LeftOut(Who::First(3));
    world
        .graph()
        .add_fault(FaultRule::forever(users_page(2), first));
    let pages = world.pages(URL).await;
    let sizes: Vec<_> = pages.iter().map(|page| values(page).len()).collect();
    assert_eq!(sizes, [9, 7, 5]);
    assert!(!ids(&pages).contains(&all[4].to_string()));

    let body = json!({ "types": ["user"], "ids": [all[3].to_string(), all[4].to_string()] });
    let request = world.post("/directoryObjects/getByIds?$select=id", &body);
    let found: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(ids([&found]), [all[3].to_string()]);
}

#[tokio::test]
async fn account_enabled_can_be_null_or_absent_for_one_or_for_all() {
    let world = World::with_users(10).await;
    let id = in_scan_order(&world).await[1];
    let only = Who::Ids(vec![id]);
    let shown = async |fault: Fault| {
        world.graph().clear_faults();
        world
            .graph()
            .add_fault(FaultRule::once(users_page(1), fault));
        let page = world.page(URL).await;
        let keys = values(&page)
            .iter()
            .map(|user| user.get("accountEnabled").cloned());
        keys.collect::<Vec<_>>()
    };
    let one_null = shown(Fault::NullAccountEnabled(only.clone())).await;
    assert_eq!(one_null[1], Some(Value::Null));
    assert!(one_null[0].as_ref().unwrap().is_boolean());
    let one_absent = shown(Fault::NoAccountEnabled(only)).await;
    assert!(one_absent[1].is_none() && one_absent[0].is_some());
    let all_null = shown(Fault::NullAccountEnabled(Who::All)).await;
    assert!(all_null.iter().all(|shown| *shown == Some(Value::Null)));
    let all_absent = shown(Fault::NoAccountEnabled(Who::All)).await;
    assert!(all_absent.iter().all(Option::is_none));
    // The truth is what it was.
    let directory = world.tenant.directory();
    assert!(directory.get(id).unwrap().account_enabled.is_some());
}

#[tokio::test]
async fn one_living_user_can_be_a_404_alone_and_in_a_batch() {
    let world = World::with_users(10).await;
    let users = in_scan_order(&world).await;
    let stale = Matcher::any().user(users[0]);
    world
        .graph()
        .add_fault(FaultRule::times(stale, 2, Fault::NotFound));
    let url = format!("/users/{}", users[0]);
    let alone = world.get(&url).send().await.unwrap();
    assert_eq!(alone.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        code(&alone.json().await.unwrap()),
        "Request_ResourceNotFound"
    );
    let batch = json!({ "requests": [{ "id": "a", "method": "GET", "url": url }] });
    let body: Value = batched(&world, &batch).await;
    assert_eq!(body["responses"][0]["status"], 404);
    let body: Value = batched(&world, &batch).await;
    assert_eq!(body["responses"][0]["status"], 200);
}

async fn batched(world: &World, batch: &Value) -> Value {
    let response = world.post("/$batch", batch).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_429_can_be_inside_a_batch_that_is_a_200() {
    let item = Matcher::endpoint(Endpoint::BatchItem).nth(2);
    let world = with_fault(FaultRule::once(item, Fault::throttled(Some(7)))).await;
    let users = in_scan_order(&world).await;
    let requests: Vec<_> = users[..3]
        .iter()
        .map(|id| json!({ "id": id.to_string(), "method": "GET", "url": format!("/users/{id}") }))
        .collect();
    let body = batched(&world, &json!({ "requests": requests })).await;
    let throttled: Vec<_> = body["responses"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["status"] == 429)
        .collect();
    assert_eq!(throttled.len(), 1);
    assert_eq!(throttled[0]["id"], users[1].to_string());
    assert_eq!(throttled[0]["headers"]["Retry-After"], "7");
    assert_eq!(code(&throttled[0]["body"]), "TooManyRequests");
    assert_eq!(world.graph().requests(Endpoint::BatchItem), 3);
}

#[tokio::test]
async fn a_connection_can_end_before_or_in_the_middle_of_an_answer() {
    for fault in [Fault::Closed, Fault::Reset] {
        let world = with_fault(FaultRule::once(users_page(1), fault.clone())).await;
        let error = world.get(URL).send().await.unwrap_err();
        assert!(!error.is_timeout(), "{fault:?}: {error:?}");
        let told = format!("{error:?}");
        assert_eq!(
            told.contains("ConnectionReset"),
            fault == Fault::Reset,
            "{told}"
        );
        assert_eq!(world.graph().log().last().unwrap().status, None);
        world.page(URL).await;
    }
    let world = with_fault(FaultRule::once(users_page(1), Fault::Broken)).await;
    let response = world.get(URL).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.bytes().await.unwrap_err();
    world.page(URL).await;
}

#[tokio::test]
async fn an_answer_can_wait_and_be_wrong_as_well() {
    let world = with_fault(FaultRule::forever(Matcher::any(), Fault::Delay { ms: 80 })).await;
    world
        .graph()
        .add_fault(FaultRule::once(users_page(1), Fault::status(500)));
    let start = tokio::time::Instant::now();
    let response = world.get(URL).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 500);
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn a_client_with_a_time_limit_gives_up_on_a_request_that_hangs() {
    let hang = Fault::Delay { ms: 3_600_000 };
    let world = with_fault(FaultRule::once(users_page(1), hang)).await;
    let request = world.get(URL).timeout(Duration::from_millis(100));
    assert!(request.send().await.unwrap_err().is_timeout());
    world.page(URL).await;
}

#[tokio::test]
async fn the_token_endpoint_has_its_own_faults() {
    let world = World::with_users(1).await;
    let origin = world.emulator.origin();
    let directory = world.tenant.directory_id().to_string();
    let ask = async |fault| {
        let when = Matcher::endpoint(Endpoint::Token);
        world.graph().add_fault(FaultRule::once(when, fault));
        token_request(&world.http, origin, &directory, &[]).await
    };
    let throttled = ask(Fault::login_throttled(60)).await;
    assert_eq!(throttled.status().as_u16(), 429);
    assert_eq!(throttled.headers()["retry-after"], "60");
    assert_eq!(throttled.headers()["content-type"], "text/plain");
    assert_eq!(throttled.text().await.unwrap(), "Too Many Requests");
    let transient = ask(Fault::login_transient()).await;
    assert_eq!(transient.status().as_u16(), 503);
    let body: Value = transient.json().await.unwrap();
    assert_eq!(
        (&body["error"], &body["error_codes"][0]),
        (&json!("temporarily_unavailable"), &json!(90_033))
    );
    let refused = ask(Fault::login_refused()).await;
    assert_eq!(refused.status().as_u16(), 401);
    fetch_bearer(&world.http, origin, &world.tenant).await;
}

#[tokio::test]
async fn rules_count_fitting_requests_and_one_answer_takes_one_stand_in() {
    let world = World::with_users(1).await;
    let users = Matcher::endpoint(Endpoint::Users);
    let rule = |when, times, status| FaultRule::times(when, times, Fault::status(status));
    world.graph().add_fault(rule(users.nth(2), 2, 500));
    world.graph().add_fault(rule(users, 2, 503));
    let mut statuses = Vec::new();
    for _ in 0..5 {
        world.get("/users/$count").send().await.unwrap();
        statuses.push(world.get(URL).send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [503, 500, 500, 503, 200]);

    world
        .graph()
        .add_fault(FaultRule::forever(users, Fault::status(502)));
    assert_eq!(world.get(URL).send().await.unwrap().status().as_u16(), 502);
    world.graph().clear_faults();
    world.page(URL).await;
}
