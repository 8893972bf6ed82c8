//! By id: whether somebody is in one of some groups, as a server answers that is told to.

use std::collections::BTreeMap;

use rollcall_core::evidence::Membership;
use rollcall_core::ids::ObjectId;
use serde_json::{Value, json};

use crate::said;
use crate::support::{Reply, Seen, Server, object_id};

/// Answers a batch of questions about groups: of each user with what `each` says.
fn checked(seen: &Seen, each: impl Fn(&str, Vec<&str>) -> Value) -> Reply {
    let questions = seen.json();
    let questions = questions["requests"].as_array().unwrap();
    assert!(questions.len() <= 20);
    let responses = questions.iter().map(|question| {
        assert_eq!(question["method"], "POST");
        assert_eq!(question["headers"]["Content-Type"], "application/json");
        let url = question["url"].as_str().unwrap();
        let id = url.strip_prefix("/users/").unwrap();
        let id = id.strip_suffix("/checkMemberGroups").unwrap();
        let groups = question["body"]["groupIds"].as_array().unwrap();
        let groups: Vec<_> = groups.iter().map(|it| it.as_str().unwrap()).collect();
        assert!(groups.len() <= 20);
        let body = each(id, groups);
        json!({ "id": question["id"], "status": 200, "body": body })
    });
    Reply::json(200, &json!({ "responses": responses.collect::<Vec<_>>() }))
}

#[tokio::test]
async fn twenty_groups_are_asked_about_at_a_time_and_whoever_is_in_one_no_further() {
    let server = Server::graph(|seen, _| {
        checked(seen, |id, groups| match id {
            "early" => json!({ "value": groups[..1] }),
            "late" if groups.contains(&"g44") => json!({ "value": ["G44"] }),
            _ => json!({ "value": [] }),
        })
    })
    .await;
    let groups: Vec<_> = (0..45).map(|nth| object_id(format!("g{nth}"))).collect();
    let asked = ["early", "late", "never"].map(object_id);
    let told = server
        .client()
        .in_groups(&asked, &[], &groups)
        .await
        .unwrap();
    let expected = [Membership::In, Membership::In, Membership::Out];
    assert!(said(told).into_values().eq(expected));
    let questions = server.seen();
    let sizes: Vec<_> = questions
        .iter()
        .map(|seen| seen.json()["requests"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [3, 2, 2]);
}

/// The service shows no group for a moment, and then it does: the canary's answer of later vouches for none of
/// before.
#[tokio::test]
async fn that_somebody_is_in_no_group_is_believed_by_an_answer_that_has_another_in_one() {
    let server = Server::graph(|seen, nth| {
        let is_hidden = nth == 0;
        checked(seen, |id, groups| match id {
            "canary" if !is_hidden => json!({ "value": groups }),
            _ => json!({ "value": [] }),
        })
    })
    .await;
    let (leavers, canary) = (leavers(), [object_id("canary")]);
    let asked = server
        .client()
        .in_groups(&leavers, &canary, &[object_id("g")])
        .await;
    let told = said(asked.unwrap());
    assert_eq!(told[&canary[0]], Membership::In);
    let believed: Vec<_> = leavers.iter().filter(|id| told.contains_key(id)).collect();
    // Of 30 the first 19 stood in the request beside which nobody was in a group.
    assert_eq!(believed, leavers[19..].iter().collect::<Vec<_>>());
    assert!(believed.iter().all(|id| told[id] == Membership::Out));
}

#[tokio::test]
async fn while_the_canary_has_no_answer_whoever_is_in_no_group_is_asked_about_again() {
    let server = Server::graph(|seen, nth| match nth {
        0 => {
            let nobody = json!({ "id": "0", "status": 503, "body": {} });
            let hidden = json!({ "id": "1", "status": 200, "body": { "value": [] } });
            Reply::json(200, &json!({ "responses": [nobody, hidden] }))
        }
        _ => checked(seen, |_, groups| json!({ "value": groups })),
    })
    .await;
    let (leaver, canary) = ([object_id("a")], [object_id("canary")]);
    let asked = server
        .client()
        .in_groups(&leaver, &canary, &[object_id("g")])
        .await;
    assert_eq!(said(asked.unwrap())[&leaver[0]], Membership::In);
    assert_eq!(server.seen().len(), 2);
}

fn leavers() -> Vec<ObjectId> {
    (10..40).map(|nth| object_id(format!("u{nth}"))).collect()
}

#[tokio::test]
async fn an_answer_to_something_else_says_nothing_about_anybody() {
    for body in [
        json!({}),
        json!({ "value": null }),
        json!({ "value": "g" }),
        json!({ "value": [null] }),
        json!({ "value": ["other"] }),
        json!({ "value": ["g", "other"] }),
    ] {
        let answer = body.clone();
        let server = Server::graph(move |seen, _| checked(seen, |_, _| answer.clone())).await;
        let client = server.client();
        let told = client
            .in_groups(&[object_id("a")], &[], &[object_id("g")])
            .await;
        let error = told.unwrap_err();
        assert_eq!(
            error.run_reason().name(),
            "enumeration_unreliable",
            "{body}"
        );
    }
}

#[tokio::test]
async fn nobody_asked_about_is_nothing_asked() {
    let server = Server::graph(|_, _| Reply::json(200, &json!({}))).await;
    let client = server.client();
    let (somebody, group) = ([object_id("a")], [object_id("g")]);
    assert_eq!(
        client.in_groups(&[], &[], &group).await,
        Ok(BTreeMap::new())
    );
    assert_eq!(
        client.in_groups(&somebody, &[], &[]).await,
        Ok(BTreeMap::new())
    );
    assert!(server.seen().is_empty());
}
