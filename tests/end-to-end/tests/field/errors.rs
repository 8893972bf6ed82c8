//! An error in place of an answer: it was read as the end of the list, or as nobody.

use rollcall_core::run::{FailReason, RunState};
use rollcall_graph_emulator::{
    Endpoint, Fault, FaultRule, LogEntry, Matcher, PageTokenError, Times,
};
use serde_json::json;

use crate::{
    DELETED, DISABLED, PRESENT, a_day, fails, ids, in_step, mends, patient, standing, synced,
    users_page,
};

/// o365-moodle#2048: a full sync went on to its suspensions after an error in an API call, and
/// suspended 5,160 accounts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_between_two_pages_ends_the_run_before_anybody_goes() {
    let world = synced(40, &json!({})).await;
    let day = a_day(&world);
    let error = FaultRule::forever(users_page(3), Fault::status(500));
    world.graph().add_fault(error);
    fails(&world, FailReason::GraphUnavailable).await;
    // Those who do leave wait for a run that is told of everybody.
    assert_eq!(standing(&world, day.disabled).await, PRESENT);
    assert_eq!(standing(&world, day.deleted).await, PRESENT);

    let run = mends(&world).await;
    assert_eq!(run.totals.unwrap().deactivated.total(), 2);
    assert_eq!(standing(&world, day.joined).await, PRESENT);
    assert_eq!(standing(&world, day.disabled).await, DISABLED);
    assert_eq!(standing(&world, day.deleted).await, DELETED);
}

/// o365-moodle#1650: twice, while Office 365 could not be reached, the sync deleted users.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_that_begins_at_any_request_of_a_run_switches_nobody_off() {
    let world = synced(30, &json!({})).await;
    let day = a_day(&world);
    world.graph().clear_log();
    let requests = {
        // What an undisturbed run asks, told by a run that fails at its last request.
        let last = FaultRule::forever(Matcher::endpoint(Endpoint::Batch), Fault::Closed);
        world.graph().add_fault(last);
        fails(&world, FailReason::GraphUnavailable).await;
        world.graph().clear_faults();
        let log = world.graph().log();
        let is_request = |it: &&LogEntry| !it.faulted && it.endpoint != Endpoint::BatchItem;
        log.iter().filter(is_request).count() as u64
    };
    assert!(requests >= 8, "{requests}");
    for first in 1..=requests {
        let outage = FaultRule::forever(Matcher::any().nth(first), Fault::Closed);
        world.graph().add_fault(outage);
        fails(&world, FailReason::GraphUnavailable).await;
        world.graph().clear_faults();
    }
    mends(&world).await;
    assert_eq!(standing(&world, day.deleted).await, DELETED);
}

/// ssosync#278: a 503 now and then was not tried again, and users were deleted for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_answers_503_every_second_time_changes_nothing_about_the_result() {
    let world = synced(40, &patient()).await;
    let day = a_day(&world);
    for endpoint in [
        Endpoint::Token,
        Endpoint::Users,
        Endpoint::Delta,
        Endpoint::GetByIds,
        Endpoint::DeletedItems,
        Endpoint::Batch,
    ] {
        world.graph().add_fault(FaultRule {
            when: Matcher::endpoint(endpoint),
            times: Times::Alternately,
            fault: Fault::status(503),
        });
    }
    let run = world.sync().await.unwrap();
    assert_eq!(
        (run.state, run.generation),
        (RunState::Completed, 1),
        "{run:?}"
    );
    // Four pages, the delta on both sides of them, and three ways to ask about who is missing.
    assert!(run.usage.graph.retried >= 9, "{:?}", run.usage);
    assert_eq!(run.totals.unwrap().users_seen, 40);
    assert_eq!(standing(&world, day.deleted).await, DELETED);
    in_step(&world).await;
}

/// gitea#4402: the search for users ran into its time limit, which was logged, and then everybody was
/// deactivated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_does_not_come_in_time_is_no_list() {
    let world = synced(40, &json!({})).await;
    for page in [1, 4] {
        let hangs = Fault::Delay { ms: 600_000 };
        let rule = FaultRule::forever(users_page(page), hangs);
        world.graph().add_fault(rule);
        fails(&world, FailReason::GraphUnavailable).await;
        world.graph().clear_faults();
    }
    let run = mends(&world).await;
    assert_eq!(run.totals.unwrap().changes.total(), 0);
}

/// keycloak#24669: as it was reported, users were deleted from the database when the network failed under
/// a query.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_under_any_query_leaves_everybody_who_he_was() {
    let world = synced(40, &patient()).await;
    let leaver = ids(&world)[7];
    world.tenant.directory().soft_delete(leaver).unwrap();
    let before = world.users().await.unwrap();
    let queries = [
        users_page(2),
        Matcher::endpoint(Endpoint::Delta),
        Matcher::endpoint(Endpoint::GetByIds),
        Matcher::endpoint(Endpoint::DeletedItems),
        Matcher::endpoint(Endpoint::Batch),
    ];
    for query in queries {
        let rule = FaultRule::forever(query, Fault::Broken);
        world.graph().add_fault(rule);
        fails(&world, FailReason::EnumerationUnreliable).await;
        assert_eq!(world.users().await.unwrap(), before, "{query:?}");
        world.graph().clear_faults();
    }
    mends(&world).await;
    assert_eq!(standing(&world, leaver).await, DELETED);
    let mut after = world.users().await.unwrap();
    after.retain(|_, user| (user.status, user.reason) == PRESENT);
    assert_eq!(after.len(), 39);
    assert!(after.iter().all(|(id, user)| before[id] == *user));
}

/// cartography#2853: a page token that had expired ended the listing of a group's members, which has to
/// begin anew from its first page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_token_that_dies_in_each_of_its_ways_costs_a_new_beginning_and_nobody() {
    for error in [
        PageTokenError::Expired,
        PageTokenError::NotFound,
        PageTokenError::Invalid,
    ] {
        let world = synced(40, &json!({})).await;
        let day = a_day(&world);
        // The fresh link that the page before gives is dead too.
        let dies = FaultRule::times(users_page(3), 2, Fault::PageToken(error));
        world.graph().add_fault(dies);
        // Between the two beginnings one of the first page leaves, and one joins.
        let gone = ids(&world)[9];
        world
            .graph()
            .after(&world.tenant, users_page(2), move |directory| {
                directory.soft_delete(gone).unwrap();
                directory.add_people(1);
            });
        let run = world.sync().await.unwrap();
        let ended = (run.state, run.generation);
        assert_eq!(ended, (RunState::Completed, 2), "{error:?}: {run:?}");
        assert_eq!(world.graph().scripts_left(), 0);
        assert_eq!(standing(&world, day.joined).await, PRESENT);
        assert_eq!(standing(&world, gone).await, DELETED);
        in_step(&world).await;
    }
}

/// `AzureHound`#35: a 429 without `Retry-After` could not be read, and the objects it was about were given
/// up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_without_a_word_on_how_long_gives_nobody_up() {
    let world = synced(40, &patient()).await;
    let day = a_day(&world);
    let asked = [
        users_page(1),
        users_page(4),
        Matcher::endpoint(Endpoint::Delta),
        Matcher::endpoint(Endpoint::GetByIds),
        Matcher::endpoint(Endpoint::DeletedItems),
        Matcher::endpoint(Endpoint::BatchItem),
    ];
    for when in asked {
        let rule = FaultRule::times(when, 2, Fault::throttled(None));
        world.graph().add_fault(rule);
    }
    let run = world.sync().await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert!(run.usage.graph.throttled >= 12, "{:?}", run.usage);
    assert_eq!(run.totals.unwrap().users_seen, 40);
    assert_eq!(standing(&world, day.deleted).await, DELETED);
    in_step(&world).await;

    let for_good = FaultRule::forever(users_page(4), Fault::throttled(None));
    world.graph().add_fault(for_good);
    fails(&world, FailReason::GraphUnavailable).await;
    mends(&world).await;
}
