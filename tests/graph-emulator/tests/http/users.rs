//! `GET /users`, page by page.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use flate2::read::GzDecoder;
use reqwest::StatusCode;
use rollcall_graph_emulator::{Paging, Population};
use serde_json::Value;

use crate::support::{START_MS, World, code, ids, next_link, values};

const SELECT: &str = "id,userPrincipalName,mail,accountEnabled,userType";

#[tokio::test]
async fn a_scan_finds_everybody_once() {
    let world = World::with_users(2_500).await;
    let pages = world.pages("/users?$select=id&$top=999").await;
    let sizes: Vec<_> = pages.iter().map(|page| values(page).len()).collect();
    assert_eq!(sizes, [999, 999, 502]);
    let found: BTreeSet<_> = ids(&pages).into_iter().collect();
    assert_eq!(found, world.true_ids());
}

#[tokio::test]
async fn without_options_there_are_100_users_and_no_account_enabled() {
    let world = World::with_users(150).await;
    let page = world.page("/users").await;
    assert_eq!(values(&page).len(), 100);
    let user = values(&page)[0].as_object().unwrap();
    assert_eq!(user.len(), 11);
    assert!(user.contains_key("businessPhones") && user.contains_key("userPrincipalName"));
    assert!(!user.contains_key("accountEnabled"));
}

#[tokio::test]
async fn a_user_has_what_was_selected_and_no_more() {
    let world = World::with_users(20).await;
    let page = world
        .page(&format!("/users?$select={SELECT},companyName,otherMails"))
        .await;
    for user in values(&page) {
        assert_eq!(user.as_object().unwrap().len(), 7);
        assert_eq!(user["companyName"], Value::Null);
        assert_eq!(user["otherMails"], Value::Array(Vec::new()));
        let id = user["id"].as_str().unwrap().parse().unwrap();
        let directory = world.tenant.directory();
        let truth = directory.get(id).unwrap();
        assert_eq!(user["mail"].as_str(), truth.mail.as_deref());
        assert_eq!(user["accountEnabled"].as_bool(), truth.account_enabled);
        assert_eq!(user["userType"].as_str(), truth.user_type.as_deref());
    }
}

#[tokio::test]
async fn what_the_query_cannot_have_is_a_400_that_names_it() {
    let world = World::with_users(1).await;
    let cases = [
        ("$top=0", "Request_UnsupportedQuery", "'0'"),
        ("$top=1000", "Request_UnsupportedQuery", "'1000'"),
        ("$top=many", "Request_UnsupportedQuery", "'many'"),
        (
            "$select=id,accountenabled",
            "BadRequest",
            "'accountenabled'",
        ),
        (
            "$filter=accountEnabled",
            "Request_UnsupportedQuery",
            "'$filter'",
        ),
        ("$skiptoken=x", "Request_BadRequest", "$skiptoken"),
    ];
    for (query, expected, names) in cases {
        let request = world.get(&format!("/users?{query}"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(code(&body), expected, "{query}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(names), "{query}: {message}");
    }
}

#[tokio::test]
async fn a_next_link_is_absolute_long_escaped_and_carries_the_options() {
    let world = World::with_users(3).await;
    let page = world.page("/users?$select=id,mail&$top=2").await;
    let link = next_link(&page).unwrap();
    let start = format!(
        "{}/v1.0/users?$select=id%2cmail&$top=2&$skiptoken=",
        world.emulator.origin()
    );
    assert!(link.starts_with(&start), "{link}");
    assert!(link.len() > 1_000 && link.contains('\'') && link.contains("%2b%22"));
    let last = world.page(&link).await;
    assert_eq!(values(&last).len(), 1);
    assert!(values(&last)[0].get("mail").is_some());
    // Escaped once more, it is another token.
    let spoilt = link.replace("%2b", "%252b");
    let response = world.get(&spoilt).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_count_is_on_the_first_page_for_those_who_take_a_stale_one() {
    let world = World::with_users(5).await;
    let url = "/users?$count=true&$top=3";
    assert!(world.page(url).await.get("@odata.count").is_none());
    let eventual = |url: &str| world.get(url).header("ConsistencyLevel", "eventual");
    let first: Value = eventual(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(first["@odata.count"], 5);
    let link = next_link(&first).unwrap();
    assert!(link.contains("$count=true"));
    let second: Value = eventual(&link).send().await.unwrap().json().await.unwrap();
    assert!(second.get("@odata.count").is_none());
}

#[tokio::test]
async fn short_empty_and_repeating_pages_still_show_everybody() {
    let world = World::with_users(500).await;
    world.tenant.set_paging(Paging {
        page_size_max: 40,
        empty_every: Some(4),
        short_every: Some(3),
        repeat_every: Some(2),
        ..Paging::default()
    });
    let pages = world.pages("/users?$select=id&$top=999").await;
    let sizes: Vec<_> = pages.iter().map(|page| values(page).len()).collect();
    assert!(sizes.iter().all(|size| *size <= 40), "{sizes:?}");
    assert!(sizes.iter().skip(3).step_by(4).all(|size| *size == 0));
    assert!(sizes[2] < 40, "{sizes:?}");
    assert_eq!(ids([&pages[0]]).last(), ids([&pages[1]]).first());
    let found = ids(&pages);
    let unique: BTreeSet<_> = found.iter().cloned().collect();
    assert!(found.len() > unique.len());
    assert_eq!(unique, world.true_ids());
}

#[tokio::test]
async fn a_scan_in_pages_of_one_ends_though_pages_are_to_be_empty_or_repeat() {
    let world = World::with_users(12).await;
    world.tenant.set_paging(Paging {
        page_size_max: 1,
        empty_every: Some(1),
        short_every: Some(2),
        repeat_every: Some(2),
        ..Paging::default()
    });
    let found = ids(&world.pages("/users?$select=id").await);
    assert_eq!(found.len(), 12);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), world.true_ids());
}

#[tokio::test]
async fn a_page_token_dies_by_time_by_use_or_at_once() {
    let world = World::with_users(5).await;
    let fresh = async || next_link(&world.page("/users?$top=2").await).unwrap();
    let paging = |token_life_ms, token_uses| Paging {
        token_life_ms,
        token_uses,
        ..Paging::default()
    };
    world.tenant.set_paging(paging(Some(60_000), None));
    let link = fresh().await;
    world.clock.advance_ms(60_000);
    world.page(&link).await;
    world.clock.advance_ms(1);
    assert_expired(&world, &link).await;

    world.tenant.set_paging(paging(None, Some(1)));
    let link = fresh().await;
    world.page(&link).await;
    assert_expired(&world, &link).await;

    world.tenant.set_paging(paging(None, Some(0)));
    assert_expired(&world, &fresh().await).await;
}

#[tokio::test]
async fn a_page_token_is_good_for_its_own_list_only() {
    let world = World::with_users(5).await;
    let link = next_link(&world.page("/users?$top=2").await).unwrap();
    let other = link.replace("/users?", "/directory/deletedItems/microsoft.graph.user?");
    let response = world.get(&other).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    world.page(&link).await;
}

#[tokio::test]
async fn a_property_that_is_selected_twice_is_written_once() {
    let world = World::with_users(1).await;
    let request = world.get("/users?$select=id,mail,id");
    let text = request.send().await.unwrap().text().await.unwrap();
    assert_eq!(text.matches("\"id\":").count(), 1, "{text}");
}

async fn assert_expired(world: &World, link: &str) {
    let response = world.get(link).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let body: Value = response.json().await.unwrap();
    assert_eq!(code(&body), "Directory_ExpiredPageToken");
}

#[tokio::test]
async fn bodies_are_gzip_in_chunks_for_those_who_take_it() {
    let world = World::with_users(999).await;
    let plain = reqwest::Client::builder().no_proxy().no_gzip();
    let plain = plain.build().unwrap();
    let url = format!("{}/v1.0/users?$top=999", world.emulator.origin());
    let request = || plain.get(&url).bearer_auth(&world.bearer);

    let packed = request().header("Accept-Encoding", "gzip, br");
    let packed = packed.send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert_eq!(packed.headers()["transfer-encoding"], "chunked");
    assert!(packed.headers().get("content-length").is_none());
    let packed = packed.bytes().await.unwrap();
    let mut unpacked = Vec::new();
    GzDecoder::new(packed.as_ref())
        .read_to_end(&mut unpacked)
        .unwrap();

    let bare = request().send().await.unwrap();
    assert!(bare.headers().get("content-encoding").is_none());
    let bare: Value = bare.json().await.unwrap();
    assert!(packed.len() < unpacked.len() / 2);
    let unpacked: Value = serde_json::from_slice(&unpacked).unwrap();
    assert_eq!(unpacked["value"], bare["value"]);
}

#[tokio::test]
async fn the_headers_are_those_of_graph() {
    let world = World::with_users(1).await;
    let own = "0d0f6c1e-6a0b-4c58-9a65-3f6a51f0b001";
    let request = world
        .get("/users?$select=id")
        .header("client-request-id", own);
    let response = request.send().await.unwrap();
    let headers = response.headers();
    assert_eq!(headers["client-request-id"], own);
    assert_eq!(headers["date"], "Mon, 23 Nov 2026 20:15:02 GMT");
    assert_eq!(headers["x-ms-resource-unit"], "1");
    assert_eq!(headers["odata-version"], "4.0");
    assert_eq!(headers["request-id"].len(), 36);
    let diagnostic: Value =
        serde_json::from_str(headers["x-ms-ags-diagnostic"].to_str().unwrap()).unwrap();
    assert_eq!(diagnostic["ServerInfo"]["DataCenter"], "West Europe");
    let kind = headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/json;odata.metadata=minimal"));

    let logged = world.graph().log().pop().unwrap();
    assert_eq!(logged.client_request_id.as_deref(), Some(own));
    assert_eq!((logged.status, logged.page), (Some(200), Some(1)));
    assert_eq!(logged.at_ms, START_MS);
    assert!(logged.bearer && !logged.faulted);
}

#[tokio::test]
async fn a_population_is_as_awkward_as_a_real_one_and_the_same_for_the_same_seed() {
    let mut population = Population::new("contoso.com", 3, 5_000);
    population.null_user_type = 0.1;
    let one = World::of(population.clone()).await;
    let other = World::of(population).await;
    assert_eq!(one.true_ids(), other.true_ids());

    let directory = one.tenant.directory();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut note = |what, is: bool| *seen.entry(what).or_default() += usize::from(is);
    for user in directory.users() {
        let name = user.user_principal_name.as_deref().unwrap();
        note("guest", name.contains("#EXT#"));
        note("quote", name.contains('\''));
        note("plus", name.contains('+'));
        note("not ascii", !name.is_ascii());
        note("upper case", name.to_lowercase() != name);
        note("no mail", user.mail.is_none());
        note("disabled", user.account_enabled == Some(false));
        note("no type", user.user_type.is_none());
        note("department", user.department.is_some());
    }
    for (what, count) in seen {
        assert!((20..5_000).contains(&count), "{what}: {count}");
    }
    let names: BTreeSet<_> = directory
        .users()
        .map(|user| user.user_principal_name.as_deref().unwrap().to_lowercase())
        .collect();
    assert_eq!(names.len(), 5_000);
    assert!(directory.find("ZOË.müller@contoso.com").is_some());
}
