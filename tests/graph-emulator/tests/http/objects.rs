//! Users by id, counts, deleted users and batches.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use rollcall_graph_emulator::{DELETED_KEPT_MS, DirectoryError, User};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{World, code, ids, in_scan_order, values};

const NOBODY: &str = "0b4781a1-0008-4000-8000-000000000008";

#[tokio::test]
async fn a_user_is_found_by_object_id_and_by_login_name() {
    let world = World::with_users(200).await;
    let users: Vec<_> = world.tenant.directory().users().cloned().collect();
    let awkward = users.iter().filter(|user| {
        let name = user.user_principal_name.as_deref().unwrap();
        name.contains(['#', '\'', '+']) || !name.is_ascii()
    });
    for user in awkward {
        let by_id = world
            .page(&format!("/users/{}?$select=id,accountEnabled", user.id))
            .await;
        assert_eq!(by_id["accountEnabled"].as_bool(), user.account_enabled);
        let mut url = reqwest::Url::parse(world.emulator.origin()).unwrap();
        url.path_segments_mut()
            .unwrap()
            .extend(["v1.0", "users"])
            .push(user.user_principal_name.as_deref().unwrap());
        let by_name = world.page(url.as_str()).await;
        assert_eq!(by_name["id"], user.id.to_string());
        assert!(by_name.get("accountEnabled").is_none());
    }
}

#[tokio::test]
async fn an_unknown_id_is_a_404_with_its_code() {
    let world = World::with_users(1).await;
    let response = world.get(&format!("/users/{NOBODY}")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let body: Value = response.json().await.unwrap();
    assert_eq!(code(&body), "Request_ResourceNotFound");
    assert_eq!(
        body["error"]["message"],
        format!(
            "Resource '{NOBODY}' does not exist or one of its queried reference-property objects \
             are not present."
        )
    );
    assert_eq!(body["error"]["innerError"]["date"], "2026-11-23T20:15:02");
}

#[tokio::test]
async fn the_count_wants_a_consistency_level() {
    let world = World::with_users(12).await;
    let refused = world.get("/users/$count").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let request = world.get("/users/$count");
    let response = request.header("ConsistencyLevel", "eventual");
    let response = response.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain");
    assert_eq!(response.text().await.unwrap(), "12");
}

#[tokio::test]
async fn get_by_ids_leaves_out_who_is_not_there_and_reorders_the_others() {
    let world = World::with_users(500).await;
    let alive = in_scan_order(&world).await;
    let gone = alive[7];
    world.tenant.directory().soft_delete(gone).unwrap();
    let asked: Vec<_> = alive.iter().map(Uuid::to_string).collect();
    let body = json!({ "types": ["user"], "ids": asked });
    let path = "/directoryObjects/getByIds?$select=id,accountEnabled";
    let answer = world.post(path, &body).send().await.unwrap();
    assert_eq!(answer.headers()["x-ms-resource-unit"], "2");
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(values(&answer)[0]["@odata.type"], "#microsoft.graph.user");
    let found = ids([&answer]);
    let expected: Vec<_> = asked
        .into_iter()
        .filter(|id| *id != gone.to_string())
        .collect();
    assert_ne!(found, expected);
    let set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(set(&found), set(&expected));

    let groups = json!({ "types": ["group"], "ids": expected });
    let answer = world.post(path, &groups).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert!(values(&answer).is_empty());
}

#[tokio::test]
async fn get_by_ids_takes_a_thousand_ids_and_ids_only() {
    let world = World::with_users(1).await;
    let many = |count| json!({ "types": ["user"], "ids": vec![NOBODY; count] });
    let cases = [
        (many(1_000), 200),
        (many(1_001), 400),
        (
            json!({ "types": ["user"], "ids": ["adele@contoso.com"] }),
            400,
        ),
        (json!({ "types": ["user"] }), 400),
    ];
    for (body, status) in cases {
        let request = world.post("/directoryObjects/getByIds", &body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status);
    }
}

const DELETED: &str = "/directory/deletedItems/microsoft.graph.user";

#[tokio::test]
async fn a_deleted_user_is_listed_for_30_days_and_a_purged_one_is_not() {
    let world = World::with_users(300).await;
    let users = in_scan_order(&world).await;
    let name = world.tenant.directory().get(users[0]).unwrap().clone();
    let name = name.user_principal_name.unwrap();
    {
        let mut directory = world.tenant.directory();
        for id in &users[..250] {
            directory.soft_delete(*id).unwrap();
        }
        directory.purge(users[250]).unwrap();
        directory.purge(users[249]).unwrap();
        directory.restore(users[248]).unwrap();
        let again = directory.restore(users[248]);
        assert_eq!(again, Err(DirectoryError::NoSuchUser(users[248])));
    }
    let url = format!("{DELETED}?$select=id,userPrincipalName,deletedDateTime&$top=100");
    let pages = world.pages(&url).await;
    assert_eq!(pages.len(), 3);
    let listed: BTreeSet<_> = ids(&pages).into_iter().collect();
    let expected: BTreeSet<_> = users[..248].iter().map(Uuid::to_string).collect();
    assert_eq!(listed, expected);
    let first = users[0].to_string();
    let mut all = pages.iter().flat_map(values);
    let user = all.find(|user| user["id"] == first.as_str()).unwrap();
    assert_eq!(user["deletedDateTime"], "2026-11-23T20:15:02Z");
    let prefixed = format!("{}{name}", users[0].simple());
    assert_eq!(user["userPrincipalName"], prefixed.as_str());
    assert_eq!(ids(&world.pages("/users?$select=id").await).len(), 50);

    world.clock.advance_ms(DELETED_KEPT_MS);
    world.graph().revoke_bearers(&world.tenant);
    let mut world = world;
    world.renew_bearer().await;
    assert!(values(&world.page(DELETED).await).is_empty());
    let late = world.tenant.directory().restore(users[0]);
    assert_eq!(late, Err(DirectoryError::NoSuchUser(users[0])));
}

#[tokio::test]
async fn a_restored_user_has_the_old_name_unless_another_took_it() {
    let world = World::with_users(10).await;
    let users = in_scan_order(&world).await;
    let mut directory = world.tenant.directory();
    let before = directory.get(users[0]).unwrap().clone();
    directory.soft_delete(users[0]).unwrap();
    directory.restore(users[0]).unwrap();
    assert_eq!(directory.get(users[0]), Some(&before));

    directory.soft_delete(users[0]).unwrap();
    let again = User::member(users[0], "other@contoso.com", "Other");
    assert_eq!(directory.add(again), Err(DirectoryError::IdTaken(users[0])));
    let name = before.user_principal_name.unwrap().to_uppercase();
    directory.rename(users[1], &name, "Other").unwrap();
    let restored = directory.restore(users[0]);
    assert_eq!(restored, Err(DirectoryError::NameTaken(users[0])));
    let taken = directory.rename(users[2], &name.to_lowercase(), "Third");
    assert_eq!(taken, Err(DirectoryError::NameTaken(users[2])));
    assert_eq!(directory.len(), 9);
    assert_ne!(
        directory.get(users[2]).unwrap().display_name.as_deref(),
        Some("Third")
    );
}

fn batch_of(urls: impl IntoIterator<Item = String>) -> Value {
    let requests: Vec<_> = urls
        .into_iter()
        .enumerate()
        .map(|(index, url)| json!({ "id": index.to_string(), "method": "GET", "url": url }))
        .collect();
    json!({ "requests": requests })
}

#[tokio::test]
async fn a_batch_answers_each_request_under_its_id_in_any_order() {
    let world = World::with_users(19).await;
    let users = in_scan_order(&world).await;
    let urls = users.iter().map(|id| format!("/users/{id}?$select=id"));
    let urls = urls.chain([format!("/users/{NOBODY}")]);
    let response = world.post("/$batch", &batch_of(urls)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body: Value = response.json().await.unwrap();
    let responses = body["responses"].as_array().unwrap();
    let order: Vec<usize> = responses
        .iter()
        .map(|item| item["id"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_ne!(order, (0..20).collect::<Vec<_>>());
    for (item, index) in responses.iter().zip(order) {
        if let Some(id) = users.get(index) {
            assert_eq!(item["status"], 200);
            assert_eq!(item["body"]["id"], id.to_string());
        } else {
            assert_eq!(item["status"], 404);
            assert_eq!(code(&item["body"]), "Request_ResourceNotFound");
        }
    }
}

#[tokio::test]
async fn a_batch_of_more_than_twenty_or_with_an_id_twice_is_refused() {
    let world = World::with_users(1).await;
    let many = batch_of((0..21).map(|_| "/users/x".to_owned()));
    let mut twice = batch_of((0..2).map(|_| "/users/x".to_owned()));
    twice["requests"][1]["id"] = "0".into();
    for body in [many, twice, json!({})] {
        let response = world.post("/$batch", &body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
}
