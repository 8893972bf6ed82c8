//! Groups: their members, nested ones too, and whether a user is in one.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use rollcall_graph_emulator::{DirectoryError, Endpoint, Fault, FaultRule, Matcher, Member, Who};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{World, code, ids, in_scan_order, values};

const NOBODY: &str = "0b4781a1-0008-4000-8000-000000000008";

/// A group with the first users in it, and a group within it with the others; the inner one has the outer
/// one in it again, and a device.
async fn nested(users: usize) -> (World, Uuid, Vec<Uuid>) {
    let world = World::with_users(users).await;
    let everybody = in_scan_order(&world).await;
    let outer = {
        let mut directory = world.tenant.directory();
        let (outer, inner) = (directory.add_group(), directory.add_group());
        for (nth, id) in everybody.iter().enumerate() {
            let group = if nth % 2 == 0 { outer } else { inner };
            directory.add_member(group, Member::User(*id)).unwrap();
        }
        directory.add_member(outer, Member::Group(inner)).unwrap();
        directory.add_member(inner, Member::Group(outer)).unwrap();
        let device = Member::Device(Uuid::from_u128(7));
        directory.add_member(inner, device).unwrap();
        outer
    };
    (world, outer, everybody)
}

fn members_of(group: Uuid) -> String {
    format!("/groups/{group}/transitiveMembers?$select=id")
}

#[tokio::test]
async fn members_of_nested_groups_come_in_pages_with_their_types() {
    let (world, group, everybody) = nested(250).await;
    let pages = world.pages(&members_of(group)).await;
    assert_eq!(pages.len(), 3);
    let members: Vec<_> = pages.iter().flat_map(values).collect();
    let of_type = |kind: &str| {
        let kind = format!("#microsoft.graph.{kind}");
        let found = members
            .iter()
            .filter(|it| it["@odata.type"] == kind.as_str());
        found
            .map(|it| it["id"].as_str().unwrap().parse().unwrap())
            .collect::<BTreeSet<Uuid>>()
    };
    assert_eq!(of_type("user"), everybody.into_iter().collect());
    // The group within, and not the group itself.
    assert_eq!((of_type("group").len(), of_type("device").len()), (1, 1));
    assert_eq!(members.len(), 252);
    let whole = world
        .pages(&format!("{}&$top=999", members_of(group)))
        .await;
    assert_eq!(whole.len(), 1);
}

#[tokio::test]
async fn a_deleted_user_is_in_no_list_and_a_restored_one_is_again() {
    let (world, group, everybody) = nested(4).await;
    let listed = async || ids(&world.pages(&members_of(group)).await).len();
    world.tenant.directory().soft_delete(everybody[0]).unwrap();
    assert_eq!(listed().await, 5);
    world.tenant.directory().restore(everybody[0]).unwrap();
    assert_eq!(listed().await, 6);
}

#[tokio::test]
async fn a_group_that_is_not_there_is_a_404() {
    let (world, group, _) = nested(2).await;
    assert_eq!(
        world.page(&format!("/groups/{group}")).await["id"],
        group.to_string()
    );
    world.tenant.directory().remove_group(group).unwrap();
    let again = world.tenant.directory().remove_group(group);
    assert_eq!(again, Err(DirectoryError::NoSuchGroup(group)));
    for path in [
        format!("/groups/{group}"),
        members_of(group),
        "/groups/x/transitiveMembers".into(),
    ] {
        let response = world.get(&path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(code(&body), "Request_ResourceNotFound");
    }
}

#[tokio::test]
async fn a_member_is_checked_by_id_alone_and_in_a_batch() {
    let (world, group, everybody) = nested(2).await;
    let other = world.tenant.directory().add_group();
    let body = json!({ "groupIds": [group.to_string(), other.to_string(), NOBODY] });
    let path = |id: &str| format!("/users/{id}/checkMemberGroups");
    let answer = world.post(&path(&everybody[1].to_string()), &body);
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.headers()["x-ms-resource-unit"], "4");
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["value"], json!([group.to_string()]));

    let question = |at: &str, id: &str| {
        json!({ "id": at, "method": "POST", "url": path(id), "body": body,
            "headers": { "Content-Type": "application/json" } })
    };
    let batch = json!({ "requests": [
        question("0", &everybody[0].to_string()),
        question("1", NOBODY),
    ]});
    let answer = world.post("/$batch", &batch).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    for response in answer["responses"].as_array().unwrap() {
        match response["id"].as_str().unwrap() {
            "0" => assert_eq!(response["body"]["value"], json!([group.to_string()])),
            _ => assert_eq!(response["status"], 404),
        }
    }
}

#[tokio::test]
async fn at_most_twenty_groups_are_checked_and_only_ids() {
    let (world, group, everybody) = nested(2).await;
    let path = format!("/users/{}/checkMemberGroups", everybody[0]);
    for (groups, status) in [
        (json!(vec![group.to_string(); 20]), 200),
        (json!(vec![group.to_string(); 21]), 400),
        (json!(["everybody"]), 400),
    ] {
        let body = json!({ "groupIds": groups });
        let response = world.post(&path, &body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status);
    }
}

#[tokio::test]
async fn a_fault_is_made_for_one_group() {
    let (world, group, everybody) = nested(3).await;
    let other = world.tenant.directory().add_group();
    let of_group = |group| Matcher::endpoint(Endpoint::GroupMembers).user(group);
    world
        .graph()
        .add_fault(FaultRule::forever(of_group(other), Fault::Denied));
    let left_out = Fault::LeftOut(Who::Ids(vec![everybody[0]]));
    world
        .graph()
        .add_fault(FaultRule::forever(of_group(group), left_out));
    let denied = world.get(&members_of(other)).send().await.unwrap();
    assert_eq!(denied.status(), StatusCode::FORBIDDEN);
    let listed = ids(&world.pages(&members_of(group)).await);
    assert!(!listed.contains(&everybody[0].to_string()));
    assert_eq!(listed.len(), 4);
}
