//! A list of a group's members that cannot be had, lies, or is read twice.

use rollcall_core::run::{FailReason, RunState};
use rollcall_core::status::{Reason, Status};
use rollcall_end_to_end::sqs_event;
use rollcall_graph_emulator::{Endpoint, Fault, FaultRule, Matcher, PageTokenError, Who};
use serde_json::json;

use crate::Grouped;

// gitea#4402, for a group: an empty answer of the directory deactivated everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_group_fails_the_run_and_nobody_changes() {
    let grouped = Grouped::synced().await;
    let list = Matcher::endpoint(Endpoint::GroupMembers);
    grouped.fault(list, Fault::EmptyEnd);
    let run = grouped.fails(FailReason::GroupUnavailable).await;
    let detail = run.detail.unwrap();
    assert!(detail.contains(&grouped.outer.to_string()), "{detail}");
    grouped.world.graph().clear_faults();
    assert_eq!(grouped.sync().await.state, RunState::Completed);
    // Nor does one that is empty in truth, beside another that is not.
    let empty = grouped.world.tenant.directory().add_group();
    grouped.scope_is(&[grouped.outer, empty], json!({})).await;
    let run = grouped.fails(FailReason::GroupUnavailable).await;
    assert!(run.detail.unwrap().contains(&empty.to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_not_there_fails_the_run_and_nobody_changes() {
    let grouped = Grouped::synced().await;
    {
        let mut directory = grouped.world.tenant.directory();
        directory.remove_group(grouped.outer).unwrap();
    }
    let run = grouped.fails(FailReason::GroupUnavailable).await;
    let detail = run.detail.unwrap();
    assert!(detail.contains(&grouped.outer.to_string()), "{detail}");
    assert!(detail.contains("no such group"), "{detail}");
    // It fails before anything is read of the users.
    assert_eq!(grouped.requests(Endpoint::Users), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_members_that_never_comes_whole_fails_the_run() {
    let grouped = Grouped::synced().await;
    let second = Matcher::endpoint(Endpoint::GroupMembers).page(2);
    for (fault, reason) in [
        (
            Fault::PageToken(PageTokenError::Expired),
            FailReason::GroupUnavailable,
        ),
        (Fault::NullValue, FailReason::GroupUnavailable),
        (Fault::Denied, FailReason::GraphDenied),
        (Fault::status(503), FailReason::GraphUnavailable),
    ] {
        grouped.fault(second, fault);
        grouped.fails(reason).await;
        grouped.world.graph().clear_faults();
    }
    assert_eq!(grouped.sync().await.state, RunState::Completed);
}

// gitea#4402, netbird#4068: a list that lost somebody on the way was taken for the truth.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whom_the_list_leaves_out_is_found_by_id_and_stays() {
    let grouped = Grouped::synced().await;
    let (left_out, leaver) = (grouped.ids[5], grouped.ids[6]);
    grouped.leave(grouped.outer, leaver);
    let list = Matcher::endpoint(Endpoint::GroupMembers);
    let lie = Fault::LeftOut(Who::Ids(vec![left_out]));
    grouped.fault(list, lie);
    let run = grouped.sync().await;
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    let totals = run.totals.unwrap();
    assert_eq!(totals.kept.contradicted, 1);
    assert_eq!(totals.deactivated.out_of_scope, 1);
    grouped.is(left_out, Status::Active, Reason::Present).await;
    grouped
        .is(leaver, Status::Inactive, Reason::OutOfScope)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_cut_off_after_its_first_page_switches_nobody_off() {
    let grouped = Grouped::synced().await;
    let first = Matcher::endpoint(Endpoint::GroupMembers).page(1);
    let cut = Fault::NextLink(rollcall_graph_emulator::NextLink::Missing);
    grouped.fault(first, cut);
    let run = grouped.sync().await;
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    let totals = run.totals.unwrap();
    assert!(totals.kept.contradicted >= 20, "{totals:?}");
    assert_eq!(totals.deactivated.total(), 0);
    assert_eq!(grouped.world.active().await.unwrap(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaver_about_whom_graph_gives_no_answer_fails_the_run() {
    let grouped = Grouped::synced().await;
    grouped.leave(grouped.outer, grouped.ids[3]);
    let question = Matcher::endpoint(Endpoint::BatchItem);
    for (fault, reason) in [
        (Fault::status(503), FailReason::GraphUnavailable),
        (Fault::Denied, FailReason::GraphDenied),
    ] {
        grouped.fault(question, fault);
        grouped.fails(reason).await;
        grouped.world.graph().clear_faults();
    }
    assert_eq!(grouped.sync().await.state, RunState::Completed);
    assert_eq!(grouped.world.active().await.unwrap(), 29);
}

// Graph leaves out of the answer what the application may not look into, and an omission is no word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_by_id_that_find_nobody_in_a_group_are_believed_about_nobody() {
    let grouped = Grouped::synced().await;
    let before = grouped.world.users().await.unwrap();
    grouped.leave(grouped.outer, grouped.ids[3]);
    let outer = grouped.outer;
    let question = Matcher::endpoint(Endpoint::BatchItem);
    let graph = grouped.world.graph();
    graph.before(&grouped.world.tenant, question, move |directory| {
        directory.remove_group(outer).unwrap();
    });
    let run = grouped.sync().await;
    assert_eq!(run.reason, Some(FailReason::GroupUnavailable), "{run:?}");
    assert_eq!(grouped.world.users().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approved_plan_is_not_carried_out_while_graph_finds_nobody_in_the_groups() {
    let grouped = Grouped::synced().await;
    grouped.scope_is(&[grouped.inner], json!({})).await;
    let held = grouped.sync().await;
    let inner = grouped.inner;
    grouped
        .world
        .tenant
        .directory()
        .remove_group(inner)
        .unwrap();
    let run = grouped.world.approve(&held).await.unwrap();
    assert_eq!(run.reason, Some(FailReason::GroupUnavailable), "{run:?}");
    assert_eq!(grouped.world.active().await.unwrap(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_run_does_not_believe_a_list_that_left_a_member_out() {
    let grouped = Grouped::synced().await;
    grouped.rename(grouped.ids[3]);
    let list = Matcher::endpoint(Endpoint::GroupMembers);
    let lie = Fault::LeftOut(Who::Ids(vec![grouped.ids[3]]));
    grouped.fault(list, lie);
    let run = grouped.delta().await;
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert_eq!(run.totals.unwrap().kept.contradicted, 1);
    grouped
        .is(grouped.ids[3], Status::Active, Reason::Present)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_invocation_and_a_new_generation_go_on_with_the_members_that_were_noted() {
    let grouped = Grouped::new().await;
    grouped.world.graph().clear_log();
    let (world, app) = (&grouped.world, &grouped.world.app);
    // The first invocation's time is up when it has read the group: it commits the page that comes beside
    // the index.
    let slow = Fault::Delay { ms: 1_500 };
    let first = Matcher::endpoint(Endpoint::GroupMembers).page(1);
    world.graph().add_fault(FaultRule::once(first, slow));
    let run = world.start_run(app).await.unwrap();
    let bell = sqs_event(&json!({ "tenant": run.tenant, "run": run.run }));
    let stop_at_ms = world.ambient.now_ms() + 1_000;
    app.enumerator(bell, stop_at_ms).await.unwrap();
    let record = world.store.run(&run).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Enumerating);
    assert_eq!(record.members.as_ref().unwrap().count, 30);
    let users = grouped.requests(Endpoint::Users);
    assert_eq!((users, record.last_page), (1, 1));
    assert!(record.usage.graph.requests >= 3, "{:?}", record.usage);
    // Meanwhile somebody leaves: this run does not see it, and the next one does.
    grouped.leave(grouped.outer, grouped.ids[3]);
    let expired = Fault::PageToken(PageTokenError::Expired);
    let third = Matcher::endpoint(Endpoint::Users).page(3);
    world.graph().add_fault(FaultRule::times(third, 2, expired));
    let triggers = world.drive().await.unwrap();
    let ended = world.wait(&run).await.unwrap();
    triggers.stop().await;
    assert_eq!(
        (ended.state, ended.generation),
        (RunState::Completed, 2),
        "{ended:?}"
    );
    assert_eq!(grouped.requests(Endpoint::GroupMembers), 4);
    assert_eq!(world.active().await.unwrap(), 30);
    assert_eq!(grouped.sync().await.state, RunState::Completed);
    assert_eq!(world.active().await.unwrap(), 29);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_copies_of_each_handler_read_the_groups_as_one() {
    let grouped = Grouped::synced().await;
    grouped.leave(grouped.outer, grouped.ids[3]);
    grouped.join(grouped.inner, grouped.ids[35]);
    let run = grouped.world.sync_by(&grouped.world.app, 2).await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    let totals = run.totals.unwrap();
    assert_eq!(
        (totals.changes.created, totals.deactivated.out_of_scope),
        (1, 1)
    );
    assert_eq!(grouped.world.active().await.unwrap(), 30);
}
