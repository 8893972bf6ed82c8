//! Who belongs by the groups, joins one, or leaves.

use rollcall_core::by_hand::Decision;
use rollcall_core::guard::GuardKind;
use rollcall_core::run::RunState;
use rollcall_core::status::{Reason, Status};
use rollcall_end_to_end::{World, object_id};
use rollcall_graph_emulator::{Endpoint, Matcher, Member};
use serde_json::json;

use crate::Grouped;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_nested_groups_are_in_scope_and_nobody_else() {
    let grouped = Grouped::synced().await;
    let users = grouped.world.users().await.unwrap();
    let expected = grouped.ids[..30].iter().map(|id| object_id(*id).unwrap());
    assert!(users.keys().cloned().eq(expected));
    assert_eq!(grouped.world.active().await.unwrap(), 30);
    // Nobody's membership is in doubt, so nobody is asked about; and nothing is written again.
    let again = grouped.sync().await;
    let totals = again.totals.unwrap();
    assert_eq!((totals.users_seen, totals.changes.total()), (40, 0));
    assert_eq!(grouped.requests(Endpoint::Batch), 0);
    assert_eq!(grouped.requests(Endpoint::GroupMembers), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_in_one_of_several_groups_belongs() {
    let grouped = Grouped::new().await;
    let other = grouped.world.tenant.directory().add_group();
    grouped.join(other, grouped.ids[29]);
    grouped.join(other, grouped.ids[30]);
    grouped.scope_is(&[other, grouped.inner], json!({})).await;
    assert_eq!(grouped.sync().await.state, RunState::Completed);
    let users = grouped.world.users().await.unwrap();
    let expected = grouped.ids[20..31].iter().map(|id| object_id(*id).unwrap());
    assert!(users.into_keys().eq(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_a_group_goes_as_out_of_scope_on_the_evidence_of_an_answer_by_id() {
    let grouped = Grouped::synced().await;
    let (leaver, nested) = (grouped.ids[3], grouped.ids[25]);
    grouped.leave(grouped.outer, leaver);
    grouped.leave(grouped.inner, nested);
    let run = grouped.sync().await;
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert_eq!(run.totals.unwrap().deactivated.out_of_scope, 2);
    for id in [leaver, nested] {
        grouped.is(id, Status::Inactive, Reason::OutOfScope).await;
        assert!(!grouped.stored(id).await.unwrap().in_scope);
    }
    let plan = grouped.world.store.plan(&run.run).await.unwrap().unwrap();
    for entry in plan.plan.entries() {
        let detail = entry.detail();
        assert!(
            detail.contains("in none of the scope's groups by id, request "),
            "{detail}"
        );
        assert!(!detail.contains("unknown"), "{detail}");
    }
    // A leaver whom nobody disturbs is unchanged from then on.
    let again = grouped.sync().await.totals.unwrap();
    assert_eq!((again.changes.total(), again.deactivated.total()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_a_group_is_created_and_who_comes_back_is_active_at_once() {
    let grouped = Grouped::synced().await;
    let (back, new) = (grouped.ids[3], grouped.ids[35]);
    grouped.leave(grouped.outer, back);
    assert_eq!(grouped.sync().await.state, RunState::Completed);
    grouped.is(back, Status::Inactive, Reason::OutOfScope).await;
    grouped.join(grouped.inner, back);
    grouped.join(grouped.inner, new);
    let changes = grouped.sync().await.totals.unwrap().changes;
    assert_eq!((changes.created, changes.reactivated), (1, 1));
    for id in [back, new] {
        grouped.is(id, Status::Active, Reason::Present).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaver_who_is_deleted_before_he_is_asked_about_waits_for_the_next_run() {
    let grouped = Grouped::synced().await;
    let leaver = grouped.ids[3];
    grouped.leave(grouped.outer, leaver);
    let question = Matcher::endpoint(Endpoint::BatchItem);
    let graph = grouped.world.graph();
    graph.before(&grouped.world.tenant, question, move |directory| {
        directory.soft_delete(leaver).unwrap();
    });
    let totals = grouped.sync().await.totals.unwrap();
    assert_eq!(totals.kept.awaiting_confirmation, 1, "{totals:?}");
    grouped.is(leaver, Status::Active, Reason::Present).await;
    assert_eq!(grouped.sync().await.state, RunState::Completed);
    grouped.is(leaver, Status::Inactive, Reason::Deleted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_who_becomes_a_guest_goes_without_a_question_about_groups() {
    let grouped = Grouped::synced().await;
    let guest = grouped.ids[3];
    {
        let mut directory = grouped.world.tenant.directory();
        let becomes = |user: &mut rollcall_graph_emulator::User| {
            user.user_type = Some("Guest".into());
        };
        directory.update(guest, becomes).unwrap();
    }
    assert_eq!(grouped.sync().await.state, RunState::Completed);
    grouped
        .is(guest, Status::Inactive, Reason::OutOfScope)
        .await;
    assert_eq!(grouped.requests(Endpoint::Batch), 0);
}

// authentik#19295: a filter was edited, and everybody outside it was deactivated by the next sync.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_edit_that_would_switch_off_half_the_tenant_is_held_by_a_guard_and_is_no_event() {
    let grouped = Grouped::synced().await;
    grouped.scope_is(&[grouped.inner], json!({})).await;
    let run = grouped.sync().await;
    assert_eq!(run.state, RunState::Held, "{run:?}");
    let held = run.held.unwrap();
    assert_eq!(held.trip.guard, GuardKind::Percent);
    assert_eq!(held.deactivations, 20);
    assert_eq!(grouped.world.active().await.unwrap(), 30);
    // The edit is taken back, and nothing has happened.
    grouped.scope_is(&[grouped.outer], json!({})).await;
    let again = grouped.sync().await;
    assert_eq!(again.state, RunState::Completed, "{again:?}");
    assert_eq!(again.totals.unwrap().changes.total(), 0);
    assert_eq!(grouped.world.active().await.unwrap(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_edit_that_was_meant_is_released_for_those_who_are_out_by_id_then() {
    let grouped = Grouped::synced().await;
    grouped.scope_is(&[grouped.inner], json!({})).await;
    let held = grouped.sync().await;
    assert_eq!(held.held.as_ref().unwrap().deactivations, 20);
    {
        let mut directory = grouped.world.tenant.directory();
        let back = Member::User(grouped.ids[0]);
        directory.add_member(grouped.inner, back).unwrap();
    }
    let run = grouped.world.approve(&held).await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    let totals = run.totals.unwrap();
    assert_eq!(totals.deactivated.out_of_scope, 19);
    assert_eq!(totals.kept.contradicted, 1);
    grouped
        .is(grouped.ids[0], Status::Active, Reason::Present)
        .await;
    grouped
        .is(grouped.ids[1], Status::Inactive, Reason::OutOfScope)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persons_decision_stands_in_a_group_and_out_of_it() {
    let grouped = Grouped::synced().await;
    let (kept_on, kept_off) = (grouped.ids[3], grouped.ids[4]);
    let tenant = rollcall_end_to_end::TENANT.parse().unwrap();
    for (id, decision) in [
        (kept_on, Decision::Activate),
        (kept_off, Decision::Deactivate),
    ] {
        let id = object_id(id).unwrap();
        let decided = grouped.world.store.decide(&tenant, &id, decision, "me");
        decided.await.unwrap();
    }
    grouped.leave(grouped.outer, kept_on);
    assert_eq!(grouped.sync().await.state, RunState::Completed);
    grouped.is(kept_on, Status::Active, Reason::Manual).await;
    grouped.is(kept_off, Status::Inactive, Reason::Manual).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_run_judges_those_it_is_told_of_by_the_groups_as_they_are() {
    let grouped = Grouped::synced().await;
    let (leaver, joiner, untold) = (grouped.ids[3], grouped.ids[35], grouped.ids[4]);
    grouped.leave(grouped.outer, leaver);
    grouped.leave(grouped.outer, untold);
    grouped.join(grouped.inner, joiner);
    grouped.rename(leaver);
    grouped.rename(joiner);
    grouped.rename(grouped.ids[10]);
    let run = grouped.delta().await;
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert_eq!(grouped.requests(Endpoint::GroupMembers), 3);
    let totals = run.totals.unwrap();
    assert_eq!((totals.changes.created, totals.changes.updated), (1, 2));
    assert_eq!(totals.deactivated.out_of_scope, 1);
    grouped
        .is(leaver, Status::Inactive, Reason::OutOfScope)
        .await;
    grouped.is(joiner, Status::Active, Reason::Present).await;
    // A delta of the users tells nothing of groups: who left and was not told of is the full run's.
    grouped.is(untold, Status::Active, Reason::Present).await;
    assert_eq!(grouped.sync().await.state, RunState::Completed);
    grouped
        .is(untold, Status::Inactive, Reason::OutOfScope)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_groups_in_the_scope_no_group_is_asked_about() {
    let world = World::start(30).await.unwrap();
    let run = world.sync().await.unwrap();
    assert_eq!((run.state, run.members), (RunState::Completed, None));
    assert_eq!(world.graph().requests(Endpoint::GroupMembers), 0);
}
