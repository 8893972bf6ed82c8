//! Asking about users who were not seen.

#![allow(missing_docs, reason = "the names of the tests say it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use rollcall_core::evidence::{RequestId, Told};
use rollcall_core::ids::ObjectId;
use rollcall_graph::{Existence, GraphError};
use serde_json::{Value, json};
use support::{Reply, Seen, Server, object_id, page};

fn ids(count: usize) -> Vec<ObjectId> {
    (0..count)
        .map(|at| object_id(format!("u{at:04}")))
        .collect()
}

/// What was said, and that Graph's own id of the answer is there.
fn said<T>(told: BTreeMap<ObjectId, Told<T>>) -> BTreeMap<ObjectId, T> {
    let each = told.into_iter().map(|(id, told)| {
        assert_eq!(told.request.to_string(), support::REQUEST_ID);
        (id, told.what)
    });
    each.collect()
}

fn found(account_enabled: Option<bool>) -> Existence {
    Existence::Found { account_enabled }
}

/// Answers a batch, each question by its user's id.
fn batch(seen: &Seen, mut each: impl FnMut(&str) -> Option<Value>) -> Reply {
    let questions = seen.json();
    let questions = questions["requests"].as_array().unwrap();
    assert!(questions.len() <= 20);
    let mut responses = Vec::new();
    for question in questions {
        assert_eq!(question["method"], "GET");
        let url = question["url"].as_str().unwrap();
        let id = url.strip_prefix("/users/").unwrap();
        let id = id.strip_suffix("?$select=id,accountEnabled").unwrap();
        if let Some(mut response) = each(id) {
            response["id"] = question["id"].clone();
            responses.push(response);
        }
    }
    responses.reverse();
    Reply::json(200, &json!({ "responses": responses }))
}

fn there(id: &str) -> Value {
    json!({"status": 200, "body": {"id": id, "accountEnabled": true}})
}

fn failed(status: u16, code: &str) -> Value {
    json!({"status": status, "body": {"error": {"code": code, "message": ""}}})
}

#[tokio::test]
async fn get_by_ids_asks_a_thousand_at_a_time_and_leaves_out_who_is_left_out() {
    let server = Server::graph(|seen, _| {
        let body = seen.json();
        assert_eq!(body["types"], json!(["user"]));
        let asked = body["ids"].as_array().unwrap();
        assert!(asked.len() <= 1_000);
        let mut users: Vec<_> = asked
            .iter()
            .filter(|id| id.as_str().unwrap().ends_with('7'))
            .map(|id| json!({"@odata.type": "#microsoft.graph.user", "id": id, "accountEnabled": null}))
            .collect();
        users.reverse();
        users.push(json!({"id": "never-asked", "accountEnabled": true}));
        Reply::json(200, &json!({ "value": users }))
    })
    .await;
    let mut asked = ids(2_500);
    asked.extend(ids(10));
    let answer = said(server.client().get_by_ids(&asked).await.unwrap());
    let answer: BTreeMap<_, _> = answer
        .into_iter()
        .map(|(id, user)| (id, user.account_enabled))
        .collect();
    let expected: BTreeMap<_, _> = ids(2_500)
        .into_iter()
        .filter(|id| id.as_str().ends_with('7'))
        .map(|id| (id, None))
        .collect();
    assert_eq!(answer, expected);
    let target =
        "/v1.0/directoryObjects/getByIds?$select=id,accountEnabled,userPrincipalName,userType";
    assert_eq!(server.targets(), [target; 3]);
}

#[tokio::test]
async fn an_answer_without_users_in_it_is_not_taken_for_nobody() {
    let server = Server::graph(|_, _| Reply::json(200, &json!({}))).await;
    let error = server.client().get_by_ids(&ids(1)).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "enumeration_unreliable");
}

#[tokio::test]
async fn nobody_asked_about_is_nothing_asked() {
    let server = Server::graph(|_, _| page(&[], None)).await;
    let client = server.client();
    assert!(client.get_by_ids(&[]).await.unwrap().is_empty());
    assert!(client.users_by_id(&[]).await.unwrap().is_empty());
    assert!(
        client
            .deleted_users(&BTreeSet::new())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(server.seen().is_empty());
}

fn bin_link(seen: &Seen, token: &str) -> Option<String> {
    let path = "v1.0/directory/deletedItems/microsoft.graph.user";
    Some(format!("{}/{path}?$skiptoken={token}", seen.root))
}

#[tokio::test]
async fn the_bin_is_walked_to_its_end() {
    let server = Server::graph(|seen, nth| match nth {
        0 => page(&["x1", "x2"], bin_link(seen, "1")),
        1 => page(&[], bin_link(seen, "2")),
        _ => page(&["u0001", "x3"], None),
    })
    .await;
    let among = ids(3).into_iter().collect();
    let deleted = server.client().deleted_users(&among).await.unwrap();
    let deleted: Vec<_> = deleted.into_iter().collect();
    let request = RequestId::from(Some(support::REQUEST_ID.to_owned()));
    assert_eq!(deleted, [(object_id("u0001"), request)]);
    assert_eq!(
        server.targets()[0],
        "/v1.0/directory/deletedItems/microsoft.graph.user?$select=id&$top=999"
    );
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn the_walk_stops_when_everybody_is_found() {
    let server = Server::graph(|seen, _| page(&["u0000", "u0001"], bin_link(seen, "1"))).await;
    let among: BTreeSet<_> = ids(2).into_iter().collect();
    let deleted = server.client().deleted_users(&among).await.unwrap();
    assert!(deleted.into_keys().eq(among));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_walk_in_circles_is_unreliable() {
    let server = Server::graph(|seen, nth| page(&["x"], bin_link(seen, ["1", "2"][nth % 2]))).await;
    let among = ids(1).into_iter().collect();
    let error = server.client().deleted_users(&among).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "enumeration_unreliable");
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_first_page_that_leads_back_to_itself_is_unreliable_whatever_would_come() {
    let server = Server::graph(|seen, nth| {
        let path = "v1.0/directory/deletedItems/microsoft.graph.user?$select=id&$top=999";
        match nth {
            0 => page(&["x"], Some(format!("{}/{path}", seen.root))),
            _ => page(&[], None),
        }
    })
    .await;
    let among = ids(1).into_iter().collect();
    let error = server.client().deleted_users(&among).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "enumeration_unreliable");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_walk_without_end_is_unreliable() {
    let server = Server::graph(|seen, nth| page(&[], bin_link(seen, &nth.to_string()))).await;
    let among = ids(1).into_iter().collect();
    let error = server.client().deleted_users(&among).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "enumeration_unreliable");
    assert_eq!(server.seen().len(), 10_000);
}

#[tokio::test]
async fn a_walk_does_not_leave_graph() {
    let server = Server::graph(|_, _| page(&["x"], Some("https://example.com/".into()))).await;
    let among = ids(1).into_iter().collect();
    let error = server.client().deleted_users(&among).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "unsafe_link");
}

#[tokio::test]
async fn a_walk_whose_page_token_expires_begins_again_but_not_for_ever() {
    let server = Server::graph(|seen, nth| match nth {
        1 => Reply::error(400, "Directory_ExpiredPageToken", ""),
        3 => page(&["u0001"], None),
        _ => page(&["u0000"], bin_link(seen, "1")),
    })
    .await;
    let among: BTreeSet<_> = ids(3).into_iter().collect();
    let deleted = server.client().deleted_users(&among).await.unwrap();
    assert!(deleted.into_keys().eq(ids(2)));

    let server = Server::graph(|seen, nth| match nth % 2 {
        0 => page(&["x"], bin_link(seen, "1")),
        _ => Reply::error(400, "Directory_ExpiredPageToken", ""),
    })
    .await;
    let error = server.client().deleted_users(&among).await.unwrap_err();
    assert!(
        matches!(error, GraphError::PageTokenExpired { .. }),
        "{error}"
    );
    assert_eq!(server.seen().len(), 10);
}

#[tokio::test]
async fn users_are_asked_about_one_by_one_in_batches_of_twenty() {
    let server = Server::graph(|seen, _| {
        batch(seen, |id| {
            Some(match id {
                "u0003" => failed(404, "Request_ResourceNotFound"),
                "u0004" => json!({"status": 200, "body": {"id": id}}),
                _ => there(id),
            })
        })
    })
    .await;
    let answer = said(server.client().users_by_id(&ids(45)).await.unwrap());
    assert_eq!(answer.len(), 45);
    assert_eq!(answer[&object_id("u0003")], Existence::NotFound);
    assert_eq!(answer[&object_id("u0004")], found(None));
    assert_eq!(answer[&object_id("u0044")], found(Some(true)));
    assert_eq!(server.targets(), ["/v1.0/$batch"; 3]);
}

#[tokio::test]
async fn who_is_throttled_within_a_batch_is_asked_about_again_and_only_those() {
    let server = Server::graph(|seen, nth| {
        batch(seen, |id| match (nth, id) {
            (0, "u0001") => Some(json!({"status": 429, "headers": {"Retry-After": "1"}})),
            (0, "u0002") => Some(failed(503, "")),
            // No answer at all.
            (0, "u0003") | (1, "u0002") => None,
            (_, "u0001") => Some(failed(404, "Request_ResourceNotFound")),
            _ => Some(there(id)),
        })
    })
    .await;
    let client = server.client();
    let before = tokio::time::Instant::now();
    let answer = said(client.users_by_id(&ids(5)).await.unwrap());
    assert!(before.elapsed().as_secs() >= 1);
    let expected = ids(5).into_iter().map(|id| match id.as_str() {
        "u0001" => (id, Existence::NotFound),
        _ => (id, found(Some(true))),
    });
    assert_eq!(answer, expected.collect());
    let sizes: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.json()["requests"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [5, 3, 1]);
    let usage = client.usage();
    assert_eq!((usage.requests, usage.retried, usage.throttled), (3, 2, 1));
}

#[tokio::test]
async fn a_404_of_another_kind_is_no_evidence() {
    for code in ["ResourceNotFound", "", "itemNotFound"] {
        let server = Server::graph(move |seen, _| batch(seen, |_| Some(failed(404, code)))).await;
        let error = server.client().users_by_id(&ids(2)).await.unwrap_err();
        assert!(matches!(error, GraphError::Refused { .. }), "{error}");
    }
    // The whole batch is not there: that says nothing of any user.
    let server = Server::graph(|_, _| Reply::error(404, "Request_ResourceNotFound", "")).await;
    let error = server.client().users_by_id(&ids(2)).await.unwrap_err();
    assert!(matches!(error, GraphError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_batch_whose_token_ends_gets_one_more() {
    let server = Server::graph(|seen, _| {
        let fresh = seen.header("authorization") == "Bearer token-1";
        batch(seen, |id| match id {
            "u0001" if !fresh => Some(failed(401, "InvalidAuthenticationToken")),
            _ => Some(there(id)),
        })
    })
    .await;
    assert_eq!(server.client().users_by_id(&ids(3)).await.unwrap().len(), 3);
    assert_eq!(server.seen().len(), 2);

    let server = Server::graph(|seen, _| batch(seen, |_| Some(failed(401, "")))).await;
    let error = server.client().users_by_id(&ids(3)).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "credential_rejected");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_denial_within_a_batch_ends_it() {
    let denied = |seen: &Seen, _| {
        batch(seen, |id| match id {
            "u0001" => Some(failed(403, "Authorization_RequestDenied")),
            _ => Some(there(id)),
        })
    };
    let server = Server::graph(denied).await;
    let error = server.client().users_by_id(&ids(3)).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "graph_denied");
}

#[tokio::test]
async fn a_batch_that_never_answers_everybody_is_unreliable() {
    let server =
        Server::graph(|seen, _| batch(seen, |id| (id != "u0001").then(|| there(id)))).await;
    let error = server.client().users_by_id(&ids(3)).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "enumeration_unreliable");
    assert_eq!(server.seen().len(), 5);
}
