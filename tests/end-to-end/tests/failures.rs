//! Graph misbehaves for good: the run FAILS with its reason, nobody is switched off, and the next
//! run works.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use rollcall_core::run::{FailReason, RunState};
use rollcall_end_to_end::World;
use rollcall_graph_emulator::{
    Endpoint, ErrorBody, Fault, FaultRule, Matcher, NextLink, PageTokenError, Paging, Population,
    Who,
};
use serde_json::json;

/// A tenant of 400 in pages of 100 that was synced once.
async fn synced() -> World {
    let population = Population {
        guests: 0.0,
        disabled: 0.0,
        ..Population::new("contoso.com", 11, 400)
    };
    // Long enough for as many attempts as an answer may be broken, on a busy machine too.
    let limits = json!({ "limits": { "graph_retry_seconds_max": 6, "lease_seconds": 2 } });
    let world = World::start_with(population, &limits).await.unwrap();
    world.tenant.set_paging(Paging {
        page_size_max: 100,
        ..world.tenant.paging()
    });
    assert_eq!(world.sync().await.unwrap().state, RunState::Completed);
    world
}

/// Under the fault the run fails for this reason and nobody is switched off; without it the next
/// run completes.
async fn fails(fault: FaultRule, reason: FailReason) {
    let world = synced().await;
    world.graph().add_fault(fault);
    let failed = world.sync().await.unwrap();
    assert_eq!(failed.state, RunState::Failed, "{failed:?}");
    assert_eq!(failed.reason, Some(reason), "{failed:?}");
    assert_eq!(world.active().await.unwrap(), 400);
    world.graph().clear_faults();
    let next = world.sync().await.unwrap();
    assert_eq!(next.state, RunState::Completed, "{next:?}");
    assert_eq!(world.active().await.unwrap(), 400);
}

fn users_page(page: u32) -> Matcher {
    Matcher::endpoint(Endpoint::Users).page(page)
}

// gitea#4402: an empty answer of the directory deactivated everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_answer_fails_the_run() {
    fails(
        FaultRule::forever(users_page(1), Fault::EmptyEnd),
        FailReason::EmptyEnumeration,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_answer_fails_the_first_run_too() {
    let world = World::start(0).await.unwrap();
    let failed = world.sync().await.unwrap();
    assert_eq!(failed.reason, Some(FailReason::EmptyEnumeration));
    assert!(world.users().await.unwrap().is_empty());
}

// o365-moodle#2048: an error in the middle of the pages was taken for the end of the list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_fails_for_ever_fails_the_run() {
    fails(
        FaultRule::forever(
            users_page(3),
            Fault::Status {
                status: 503,
                retry_after_s: None,
                body: ErrorBody::Graph,
            },
        ),
        FailReason::GraphUnavailable,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_next_link_that_repeats_fails_the_run() {
    fails(
        FaultRule::forever(users_page(2), Fault::NextLink(NextLink::Page(1))),
        FailReason::EnumerationUnreliable,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_next_link_to_another_host_fails_the_run_and_the_bearer_stays_home() {
    let foreign = NextLink::Origin("https://graph.example.invalid".into());
    fails(
        FaultRule::forever(users_page(2), Fault::NextLink(foreign)),
        FailReason::UnsafeLink,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_fails_the_run() {
    fails(
        FaultRule::forever(users_page(2), Fault::Denied),
        FailReason::GraphDenied,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_body_is_never_a_page() {
    for fault in [
        Fault::Truncated,
        Fault::Spliced,
        Fault::NullValue,
        Fault::NoValue,
    ] {
        fails(
            FaultRule::forever(users_page(2), fault),
            FailReason::EnumerationUnreliable,
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn account_enabled_null_for_all_fails_the_run() {
    fails(
        FaultRule::forever(
            Matcher::endpoint(Endpoint::Users),
            Fault::NullAccountEnabled(Who::All),
        ),
        FailReason::EnumerationUnreliable,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_token_that_dies_for_good_fails_the_run_after_its_generations() {
    fails(
        FaultRule::forever(users_page(3), Fault::PageToken(PageTokenError::Expired)),
        FailReason::EnumerationUnreliable,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_token_that_dies_once_is_renewed_by_the_page_before() {
    let world = synced().await;
    for page in [2, 4] {
        world.graph().add_fault(FaultRule::once(
            users_page(page),
            Fault::PageToken(PageTokenError::Expired),
        ));
    }
    let run = world.sync().await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert_eq!(run.generation, 1);
    assert_eq!(run.totals.unwrap().users_seen, 400);
    assert_eq!(world.active().await.unwrap(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_token_that_dies_again_starts_a_new_generation_with_the_same_result() {
    let world = synced().await;
    world.graph().add_fault(FaultRule::times(
        users_page(3),
        2,
        Fault::PageToken(PageTokenError::Expired),
    ));
    let run = world.sync().await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert_eq!(run.generation, 2);
    assert_eq!(run.totals.unwrap().users_seen, 400);
    assert_eq!(world.active().await.unwrap(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_that_pass_are_waited_out() {
    let world = synced().await;
    let graph = world.graph();
    graph.add_fault(FaultRule::once(users_page(1), Fault::throttled(Some(1))));
    graph.add_fault(FaultRule::once(users_page(2), Fault::throttled(None)));
    graph.add_fault(FaultRule::once(users_page(2), Fault::Reset));
    graph.add_fault(FaultRule::once(users_page(3), Fault::Truncated));
    graph.add_fault(FaultRule::once(users_page(4), Fault::ExpiredBearer));
    let run = world.sync().await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert_eq!(run.totals.unwrap().users_seen, 400);
    assert!(run.usage.graph.throttled >= 2 && run.usage.graph.retried >= 4);
}

/// A list that ends early is complete by every sign. Only asking by id shows the truth.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_left_out_of_a_whole_looking_list_are_found_alive_and_stay() {
    let world = synced().await;
    let left_out: Vec<_> = world
        .tenant
        .directory()
        .users()
        .take(10)
        .map(|u| u.id)
        .collect();
    world.graph().add_fault(FaultRule::forever(
        Matcher::endpoint(Endpoint::Users),
        Fault::LeftOut(Who::Ids(left_out)),
    ));
    let run = world.sync().await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert_eq!(run.totals.unwrap().kept.contradicted, 10);
    assert_eq!(world.active().await.unwrap(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_ends_early_is_held_by_the_shrink_guard_and_nobody_goes() {
    let world = synced().await;
    world.graph().add_fault(FaultRule::forever(
        users_page(2),
        Fault::NextLink(NextLink::Missing),
    ));
    let run = world.sync().await.unwrap();
    assert_eq!(run.state, RunState::Held, "{run:?}");
    assert_eq!(run.totals.unwrap().kept.contradicted, 200);
    assert_eq!(world.active().await.unwrap(), 400);
}

/// The answers by id are wrong about somebody who was just enumerated: so they may be wrong about
/// anybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_is_not_found_fails_the_run() {
    let world = synced().await;
    let gone = world.tenant.directory().users().next().unwrap().id;
    world.tenant.directory().purge(gone).unwrap();
    world.graph().add_fault(FaultRule::forever(
        Matcher::endpoint(Endpoint::GetByIds),
        Fault::LeftOut(Who::All),
    ));
    let run = world.sync().await.unwrap();
    assert_eq!(
        run.reason,
        Some(FailReason::EnumerationUnreliable),
        "{run:?}"
    );
    assert_eq!(world.active().await.unwrap(), 400);
}

/// Everybody who was known is missing, and others are there: another directory answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_without_a_single_known_user_fails_the_run() {
    let world = synced().await;
    let known: Vec<_> = world.tenant.directory().users().map(|u| u.id).collect();
    {
        let mut directory = world.tenant.directory();
        for id in known {
            directory.purge(id).unwrap();
        }
        directory.add_people(400);
    }
    let run = world.sync().await.unwrap();
    assert_eq!(
        run.reason,
        Some(FailReason::EnumerationUnreliable),
        "{run:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_secret_fails_the_run_as_a_credential() {
    let world = synced().await;
    world
        .put_settings(&json!({ "credential": { "kind": "secret", "env": "NOT_THERE" } }))
        .await
        .unwrap();
    let run = world.sync().await.unwrap();
    assert_eq!(run.reason, Some(FailReason::CredentialRejected), "{run:?}");
    assert!(run.detail.unwrap().contains("NOT_THERE"));
}

// msgraph-sdk-powershell#3692: pages of 999 came with an error in their middle, smaller ones did not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_stays_broken_is_asked_for_again_in_smaller_pages() {
    let world = synced().await;
    // As often as an answer may be broken.
    world
        .graph()
        .play("users from 3 5 times: spliced".parse().unwrap());
    world.graph().clear_log();
    let run = world.sync().await.unwrap();
    assert_eq!((run.state, run.generation), (RunState::Completed, 2));
    let mut first_pages: Vec<_> = world
        .graph()
        .log()
        .into_iter()
        .filter(|it| it.endpoint == Endpoint::Users && !it.url.contains("$skiptoken"))
        .map(|it| it.url.rsplit_once("$top=").unwrap().1.to_owned())
        .collect();
    // A first page may be asked for again.
    first_pages.dedup();
    assert_eq!(first_pages, ["999", "100"]);
    assert_eq!(world.active().await.unwrap(), 400);
}
