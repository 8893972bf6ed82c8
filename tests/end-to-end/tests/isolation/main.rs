//! Nothing of one tenant is reached in another's run: no request, token, secret or item, whatever the
//! other's Graph answers and whatever a message says.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where a step fails"
)]

mod alike;

use alike::{AT, Alike, NAMES, USERS, id, login_name, tenant_id};
use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::ids::TenantId;
use rollcall_core::run::{FailReason, RunState};
use rollcall_core::settings::TenantSettings;
use rollcall_end_to_end::Handler;
use rollcall_graph_emulator::{Endpoint, Fault, FaultRule, LogEntry, Matcher, NextLink};
use serde_json::json;

const ALL: [usize; 3] = [0, 1, 2];
/// How many stay of the tenant that loses everybody else.
const STAY: usize = 2;

fn completed(runs: &[rollcall_store::RunRecord]) {
    for run in runs {
        assert_eq!(
            run.state,
            RunState::Completed,
            "{}: {:?}",
            run.run,
            run.detail
        );
    }
}

#[tokio::test]
async fn tenants_with_the_same_ids_names_and_secret_know_nothing_of_each_other() {
    let town = Alike::start().await;
    completed(&town.runs(&ALL, "full").await);
    for tenant in ALL {
        town.has_its_own(tenant, USERS).await;
    }
    let before = town.items().await;
    for host in [0, 1] {
        town.asked(host);
    }

    // The first loses nearly everybody, by delta and by absence; nobody asks about the others.
    for number in STAY + 1..=USERS {
        let mut directory = town.graphs[NAMES[0]].directory();
        if number % 2 == 0 {
            directory.soft_delete(id(number)).unwrap();
        } else {
            directory.purge(id(number)).unwrap();
        }
    }
    for mode in ["delta", "full", "full", "full"] {
        completed(&town.runs(&[0], mode).await);
    }
    town.has_its_own(0, STAY).await;
    let own = Some(town.graphs[NAMES[0]].directory_id());
    assert!(town.asked(0).iter().all(|entry| entry.tenant == own));
    assert_eq!(town.asked(1), []);
    let after = town.items().await;
    assert_ne!(after[0], before[0]);
    assert!(after[1] == before[1], "an item of {} changed", NAMES[1]);
    assert!(after[2] == before[2], "an item of {} changed", NAMES[2]);

    // Nor do the others learn of it, and the first not of them.
    town.graphs[NAMES[1]]
        .directory()
        .rename(id(1), &login_name(1), "renamed of contoso-1.")
        .unwrap();
    completed(&town.runs(&[1, 2], "full").await);
    town.has_its_own(1, USERS).await;
    town.has_its_own(2, USERS).await;
    let last = town.items().await;
    assert!(last[0] == after[0], "an item of {} changed", NAMES[0]);
}

/// A link that a tenant's Graph gives in the place of its own, and how its run ends.
async fn follows(town: &Alike, link: &str, endpoint: Endpoint, mode: &str) -> Option<FailReason> {
    let own = town.graphs[NAMES[0]].directory_id();
    let when = Matcher::endpoint(endpoint).tenant(own);
    let fault = Fault::NextLink(NextLink::Exactly(link.to_owned()));
    let graph = town.hosts[0].graph();
    graph.add_fault(FaultRule::forever(when, fault));
    let before = town.items().await;
    town.asked(0);
    town.asked(1);
    let run = town.runs(&[0], mode).await.remove(0);
    graph.clear_faults();
    let after = town.items().await;
    assert!(after[1] == before[1] && after[2] == before[2], "{link}");
    // Its token is shown to nobody else, and whoever is asked tells of its own users alone.
    assert!(
        town.asked(0).iter().all(|entry| entry.tenant == Some(own)),
        "{link}"
    );
    assert_eq!(town.asked(1), [], "{link}");
    town.has_its_own(0, USERS).await;
    run.reason
}

/// The links that a tenant was given last.
fn given(town: &Alike, tenant: usize, endpoint: Endpoint, word: &str) -> String {
    let log = town.hosts[AT[tenant]].graph().log();
    let own = Some(town.graphs[NAMES[tenant]].directory_id());
    let is_it = |it: &&LogEntry| it.tenant == own && it.endpoint == endpoint;
    let mut links = log.iter().filter(is_it).map(|entry| entry.url.clone());
    links.rfind(|url| url.contains(word)).unwrap()
}

#[tokio::test]
async fn a_link_into_another_tenants_pages_leads_nowhere() {
    let town = Alike::start().await;
    completed(&town.runs(&ALL, "full").await);
    completed(&town.runs(&ALL, "delta").await);
    // Of the neighbour on the same host, and of the one on another.
    let [neighbour, stranger] = [1, 2].map(|tenant| {
        [
            given(&town, tenant, Endpoint::Users, "skiptoken"),
            given(&town, tenant, Endpoint::Delta, "deltatoken"),
        ]
    });
    for link in &stranger {
        let reason = follows(&town, link, Endpoint::Users, "full").await;
        assert_eq!(reason, Some(FailReason::UnsafeLink), "{link}");
    }
    for link in &neighbour {
        let reason = follows(&town, link, Endpoint::Users, "full").await;
        assert!(reason.is_some(), "{link}");
    }
    // A delta that is led astray on its own host goes on as a full run.
    for (links, reason) in [
        (&neighbour, None),
        (&stranger, Some(FailReason::UnsafeLink)),
    ] {
        for link in links {
            let ended = follows(&town, link, Endpoint::Delta, "delta").await;
            assert_eq!(ended, reason, "{link}");
        }
    }
}

#[tokio::test]
async fn a_delta_link_of_another_tenant_that_stands_in_the_head_tells_of_nobody() {
    let town = Alike::start().await;
    completed(&town.runs(&ALL, "full").await);
    for other in [1, 2] {
        let link = town.store.head(&tenant_id(other)).await.unwrap();
        let update = town.aws.dynamodb().update_item().table_name("coordination");
        let update = update
            .key("pk", AttributeValue::S(format!("head#{}", NAMES[0])))
            .key("sk", AttributeValue::S("head".into()))
            .update_expression("SET delta_link = :link")
            .expression_attribute_values(":link", AttributeValue::S(link.delta_link.unwrap()));
        update.send().await.unwrap();
        town.graphs[NAMES[other]]
            .directory()
            .set_account_enabled(id(7), Some(false))
            .unwrap();
        town.asked(1);
        completed(&town.runs(&[0], "delta").await);
        town.has_its_own(0, USERS).await;
        assert_eq!(town.asked(1), []);
    }
}

#[tokio::test]
async fn settings_that_lead_to_another_tenants_graph_get_nothing_from_it() {
    let town = Alike::start().await;
    completed(&town.runs(&ALL, "full").await);
    let origins = [0, 1].map(|at| town.hosts[at].origin().to_owned());
    let before = town.items().await;
    for (login, graph, reason) in [
        // Its own token is none there.
        (1, 0, FailReason::CredentialRejected),
        // And there it gets none.
        (0, 1, FailReason::CredentialRejected),
        (0, 0, FailReason::CredentialRejected),
    ] {
        town.move_to(2, &origins[login], &origins[graph]).await;
        town.asked(0);
        let run = town.runs(&[2], "full").await.remove(0);
        assert_eq!(
            run.reason,
            Some(reason),
            "{login} {graph}: {:?}",
            run.detail
        );
        let is_served = |entry: &LogEntry| entry.status == Some(200);
        assert!(!town.asked(0).iter().any(is_served), "{login} {graph}");
        town.has_its_own(2, USERS).await;
    }
    let after = town.items().await;
    assert!(after[0] == before[0] && after[1] == before[1]);
}

#[tokio::test]
async fn a_message_that_names_one_tenant_with_what_another_has_does_nothing() {
    let town = Alike::start().await;
    completed(&town.runs(&ALL, "full").await);
    // The first has two runs more than the others, and one of them has a page more.
    town.graphs[NAMES[0]].directory().add_people(1);
    for _ in 0..2 {
        completed(&town.runs(&[0], "full").await);
    }
    let run = town.store.runs(&tenant_id(0)).await.unwrap();
    assert_eq!(run.len(), 3);
    let before = town.items().await;
    town.asked(0);
    for other in [1, 2] {
        for bell in [
            json!({ "tenant": NAMES[other], "run": 3 }),
            json!({ "tenant": NAMES[other], "run": 3, "revert": true }),
        ] {
            town.tell(Handler::Enumerator, &bell).await;
            town.tell(Handler::Finalizer, &bell).await;
        }
        for (run, page) in [(3, 1), (1, 4), (3, 4)] {
            let bell = json!({ "tenant": NAMES[other], "run": run, "generation": 1, "page": page });
            town.tell(Handler::Worker, &bell).await;
        }
    }
    // A name that is the other's and a part of a key besides.
    for name in ["contoso#3", "contoso-1#1", "contoso/3", "CONTOSO", ""] {
        let bell = json!({ "tenant": name, "run": 1, "generation": 1, "page": 1 });
        for handler in [Handler::Enumerator, Handler::Worker, Handler::Finalizer] {
            town.tell(handler, &bell).await;
        }
    }
    let after = town.items().await;
    for tenant in ALL {
        assert!(after[tenant] == before[tenant], "{}", NAMES[tenant]);
    }
    assert_eq!(town.asked(0), []);
}

#[tokio::test]
async fn a_tenants_name_cannot_be_a_part_of_a_key_besides() {
    let town = Alike::start().await;
    let tenant = town.store.tenant(&tenant_id(0)).await.unwrap();
    let settings = serde_json::to_value(tenant.unwrap().settings).unwrap();
    for name in [
        "contoso#1",
        "#contoso",
        "contoso#",
        "#",
        "contoso/1",
        "contoso 1",
        "contoso:1",
        "contoso_1",
        "contoso\u{0}",
        "Contoso",
        "",
    ] {
        assert!(TenantId::new(name).is_err(), "{name:?}");
        let mut settings = settings.clone();
        settings["id"] = json!(name);
        let read = serde_json::from_value::<TenantSettings>(settings);
        let told = read.unwrap_err().to_string();
        assert!(told.contains("is not a tenant id"), "{name:?}: {told}");
    }
}
