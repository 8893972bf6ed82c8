//! `GET /users/delta`: what changed, and no more.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::StatusCode;
use rollcall_graph_emulator::{DELTA_LIFE_MS, Paging};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{World, code, ids, next_link, values};

const LATEST: &str = "/users/delta?$select=id,mail,accountEnabled,department&$deltatoken=latest";

fn delta_link(page: &Value) -> Option<String> {
    page["@odata.deltaLink"].as_str().map(str::to_owned)
}

async fn begun(world: &World) -> String {
    let page = world.page(LATEST).await;
    assert!(values(&page).is_empty() && next_link(&page).is_none());
    delta_link(&page).unwrap()
}

/// The pages of a delta, and its delta link.
async fn told(world: &World, link: &str) -> (Vec<Value>, String) {
    let pages = world.pages(link).await;
    for page in &pages[..pages.len() - 1] {
        assert_eq!(delta_link(page), None);
    }
    let last = delta_link(pages.last().unwrap()).unwrap();
    (pages, last)
}

fn set(world: &World, paging: impl FnOnce(&mut Paging)) {
    let mut changed = world.tenant.paging();
    paging(&mut changed);
    world.tenant.set_paging(changed);
}

fn everybody(world: &World) -> Vec<Uuid> {
    world
        .tenant
        .directory()
        .users()
        .map(|user| user.id)
        .collect()
}

#[tokio::test]
async fn a_delta_from_its_beginning_has_everybody_and_then_what_changed() {
    let world = World::with_users(450).await;
    let (pages, link) = told(&world, "/users/delta?$select=id").await;
    let sizes: Vec<_> = pages.iter().map(|page| values(page).len()).collect();
    assert_eq!(sizes, [200, 200, 50]);
    let found: BTreeSet<_> = ids(&pages).into_iter().collect();
    assert_eq!(found, world.true_ids());
    let joined = world.tenant.directory().add_people(3);
    let (pages, link) = told(&world, &link).await;
    let joined: Vec<_> = joined.iter().map(Uuid::to_string).collect();
    assert_eq!(ids(&pages), joined);
    let (pages, _) = told(&world, &link).await;
    assert!(ids(&pages).is_empty());
}

#[tokio::test]
async fn who_is_gone_is_told_with_the_reason_and_who_is_back_as_everybody() {
    let world = World::with_users(9).await;
    let link = begun(&world).await;
    let users = everybody(&world);
    {
        let mut directory = world.tenant.directory();
        directory.soft_delete(users[0]).unwrap();
        directory.purge(users[1]).unwrap();
        directory.soft_delete(users[2]).unwrap();
        directory.restore(users[2]).unwrap();
    }
    let (pages, _) = told(&world, &link).await;
    let by_id: BTreeMap<_, _> = values(&pages[0])
        .iter()
        .map(|user| (user["id"].as_str().unwrap().to_owned(), user.clone()))
        .collect();
    let removed = |reason| json!({ "reason": reason });
    let gone = &by_id[&users[0].to_string()];
    assert_eq!(gone["@removed"], removed("changed"));
    assert_eq!(gone.as_object().unwrap().len(), 2);
    let purged = &by_id[&users[1].to_string()];
    assert_eq!(purged["@removed"], removed("deleted"));
    let back = &by_id[&users[2].to_string()];
    assert!(back.get("@removed").is_none() && back["accountEnabled"].is_boolean());
}

#[tokio::test]
async fn what_never_was_set_is_absent_and_what_was_emptied_is_null() {
    let world = World::with_users(4).await;
    let link = begun(&world).await;
    let users = everybody(&world);
    {
        let mut directory = world.tenant.directory();
        directory
            .update(users[0], |user| user.mail = Some("a@b".into()))
            .unwrap();
        directory.update(users[0], |user| user.mail = None).unwrap();
    }
    let (pages, _) = told(&world, &link).await;
    let user = &values(&pages[0])[0];
    assert_eq!(user.get("mail"), Some(&Value::Null));
    assert!(user.get("accountEnabled").is_some());

    set(&world, |paging| paging.delta_sparse = true);
    let (pages, link) = told(&world, &link).await;
    let user = &values(&pages[0])[0];
    assert_eq!(user.as_object().unwrap().len(), 2, "{user}");
    world
        .tenant
        .directory()
        .update(users[1], |user| user.department = Some("x".into()))
        .unwrap();
    let (pages, _) = told(&world, &link).await;
    let expected = json!({ "id": users[1].to_string(), "department": "x" });
    assert_eq!(values(&pages[0]), [expected]);
}

#[tokio::test]
async fn a_delta_in_disorder_tells_the_same() {
    let world = World::with_users(60).await;
    let link = begun(&world).await;
    for id in everybody(&world) {
        let mut directory = world.tenant.directory();
        directory
            .update(id, |user| user.department = Some("y".into()))
            .unwrap();
    }
    let merged = |pages: &[Value]| {
        let mut users: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
        for user in pages.iter().flat_map(values) {
            let known = users
                .entry(user["id"].as_str().unwrap().to_owned())
                .or_default();
            let told = user.as_object().unwrap().clone();
            known.extend(told);
        }
        users
    };
    let (in_order, _) = told(&world, &link).await;
    set(&world, |paging| {
        paging.delta_disorder = true;
        paging.delta_page_size_max = 7;
    });
    let (in_disorder, _) = told(&world, &link).await;
    assert_ne!(ids(&in_order), ids(&in_disorder));
    assert_eq!(merged(&in_order), merged(&in_disorder));
}

#[tokio::test]
async fn a_token_dies_after_seven_days_and_one_that_never_was_is_not_found() {
    let mut world = World::with_users(2).await;
    let link = begun(&world).await;
    world.clock.advance_ms(DELTA_LIFE_MS);
    world.renew_bearer().await;
    assert_eq!(
        world.get(&link).send().await.unwrap().status(),
        StatusCode::OK
    );
    world.clock.advance_ms(1);
    let response = world.get(&link).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::GONE);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    assert!(location.contains("/v1.0/users/delta"));
    assert_eq!(code(&response.json().await.unwrap()), "resyncRequired");
    let never = world
        .get("/users/delta?$deltatoken=never")
        .send()
        .await
        .unwrap();
    assert_eq!(never.status(), StatusCode::BAD_REQUEST);
    assert_eq!(code(&never.json().await.unwrap()), "syncStateNotFound");
}

#[tokio::test]
async fn a_tenant_without_delta_says_so() {
    let world = World::with_users(2).await;
    set(&world, |paging| paging.has_delta = false);
    let refused = world.get(LATEST).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
}
