//! Changes between the pages of a scan.

use rollcall_graph_emulator::{Endpoint, Matcher, User};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{World, ids, in_scan_order, users_page, values};

const URL: &str = "/users?$select=id,userPrincipalName,accountEnabled&$top=10";

#[tokio::test]
async fn a_scan_sees_what_changes_ahead_of_it_and_not_what_changes_behind() {
    let world = World::with_users(30).await;
    let order = in_scan_order(&world).await;
    let (ahead, behind) = (order[25], order[2]);
    let (late, early) = (Uuid::from_u128(1), Uuid::from_u128(2));
    world
        .graph()
        .after(&world.tenant, users_page(1), move |directory| {
            directory.soft_delete(ahead).unwrap();
            directory.soft_delete(behind).unwrap();
            let user = |id, name| User::member(id, name, "New");
            directory
                .add(user(late, "\u{fffd}late@contoso.com"))
                .unwrap();
            directory.add(user(early, "!early@contoso.com")).unwrap();
        });
    let found = ids(&world.pages(URL).await);
    let has = |id: Uuid| found.contains(&id.to_string());
    assert!(!has(ahead) && has(behind));
    assert!(has(late) && !has(early));
    assert_eq!(world.graph().scripts_left(), 0);
}

#[tokio::test]
async fn a_user_renamed_in_mid_scan_is_met_twice_or_not_at_all() {
    let world = World::with_users(30).await;
    let order = in_scan_order(&world).await;
    let (twice, never) = (order[3], order[27]);
    world
        .graph()
        .before(&world.tenant, users_page(2), move |directory| {
            directory
                .rename(twice, "\u{fffd}last@contoso.com", "Last")
                .unwrap();
            directory
                .rename(never, "!first@contoso.com", "First")
                .unwrap();
        });
    let pages = world.pages(URL).await;
    let met = |id: Uuid| {
        ids(&pages)
            .iter()
            .filter(|seen| **seen == id.to_string())
            .count()
    };
    assert_eq!((met(twice), met(never)), (2, 0));
    let last = values(pages.last().unwrap()).last().unwrap();
    assert_eq!(last["userPrincipalName"], "\u{fffd}last@contoso.com");
}

#[tokio::test]
async fn a_change_before_a_request_is_in_its_answer_and_one_after_it_is_not() {
    let world = World::with_users(5).await;
    let id = in_scan_order(&world).await[0];
    let users = Matcher::endpoint(Endpoint::Users);
    let (graph, tenant) = (world.graph(), &world.tenant);
    graph.before(tenant, users.nth(2), move |directory| {
        directory.set_account_enabled(id, Some(false)).unwrap();
    });
    graph.after(tenant, users.nth(2), move |directory| {
        directory.set_account_enabled(id, None).unwrap();
    });
    let enabled = async || values(&world.page(URL).await)[0]["accountEnabled"].clone();
    let before = tenant.directory().get(id).unwrap().account_enabled;
    assert_eq!(enabled().await, Value::from(before));
    assert_eq!(enabled().await, Value::Bool(false));
    assert_eq!(enabled().await, Value::Null);
    assert_eq!(graph.requests(Endpoint::Users), 4);
}
