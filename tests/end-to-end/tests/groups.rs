//! A scope of groups, nested ones too: who is in one belongs; who left is asked about by id before he
//! goes; and a group that cannot be read, or reads empty, fails the run.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use rollcall_core::by_hand::Decision;
use rollcall_core::guard::GuardKind;
use rollcall_core::run::{FailReason, RunMode, RunState};
use rollcall_core::status::{Reason, Status, StoredUser};
use rollcall_end_to_end::{World, object_id, sqs_event};
use rollcall_graph_emulator::{
    Endpoint, Fault, FaultRule, Matcher, Member, PageTokenError, Paging, Population, Who,
};
use rollcall_store::RunRecord;
use serde_json::{Value, json};
use uuid::Uuid;

const USERS: usize = 40;

/// A tenant of members whose scope is one group. The first users are in it, the next in a group within
/// it, and the last ten in none.
struct Grouped {
    world: World,
    ids: Vec<Uuid>,
    outer: Uuid,
    inner: Uuid,
}

/// Whoever is in the outer group itself.
const OUTER: std::ops::Range<usize> = 0..20;
/// Whoever is in the group within it.
const INNER: std::ops::Range<usize> = 20..30;

impl Grouped {
    /// Before the first run.
    async fn new() -> Self {
        let population = Population {
            guests: 0.0,
            disabled: 0.0,
            ..Population::new("contoso.com", 23, USERS)
        };
        let world = World::start_with(population, &json!({})).await.unwrap();
        world.tenant.set_paging(Paging {
            page_size_max: 10,
            ..world.tenant.paging()
        });
        let (ids, outer, inner) = {
            let mut directory = world.tenant.directory();
            let ids: Vec<_> = directory.users().map(|user| user.id).collect();
            let (outer, inner) = (directory.add_group(), directory.add_group());
            for (group, members) in [(outer, OUTER), (inner, INNER)] {
                for id in &ids[members] {
                    directory.add_member(group, Member::User(*id)).unwrap();
                }
            }
            directory.add_member(outer, Member::Group(inner)).unwrap();
            (ids, outer, inner)
        };
        let grouped = Self {
            world,
            ids,
            outer,
            inner,
        };
        grouped.scope_is(&[outer], json!({})).await;
        grouped
    }

    /// After a first run.
    async fn synced() -> Self {
        let grouped = Self::new().await;
        let run = grouped.sync().await;
        assert_eq!(run.state, RunState::Completed, "{run:?}");
        assert_eq!(run.totals.unwrap().changes.created, 30);
        grouped
    }

    async fn scope_is(&self, groups: &[Uuid], guards: Value) {
        let groups: Vec<_> = groups.iter().map(Uuid::to_string).collect();
        let settings = json!({
            "scope": { "groups": groups },
            "guards": guards,
            // Long enough for as many attempts as an answer may be broken, on a busy machine too.
            "limits": { "graph_retry_seconds_max": 6, "lease_seconds": 2 },
        });
        self.world.put_settings(&settings).await.unwrap();
    }

    async fn sync(&self) -> RunRecord {
        self.world.graph().clear_log();
        self.world.sync().await.unwrap()
    }

    /// A delta run.
    async fn delta(&self) -> RunRecord {
        self.world.graph().clear_log();
        let run = self.world.sync_in(RunMode::Delta).await.unwrap();
        assert_eq!(run.mode, RunMode::Delta, "{run:?}");
        run
    }

    fn requests(&self, endpoint: Endpoint) -> u64 {
        self.world.graph().requests(endpoint)
    }

    fn fault(&self, when: Matcher, fault: Fault) {
        self.world
            .graph()
            .add_fault(FaultRule::forever(when, fault));
    }

    fn leave(&self, group: Uuid, user: Uuid) {
        let mut directory = self.world.tenant.directory();
        directory.remove_member(group, Member::User(user)).unwrap();
    }

    fn join(&self, group: Uuid, user: Uuid) {
        let mut directory = self.world.tenant.directory();
        directory.add_member(group, Member::User(user)).unwrap();
    }

    fn rename(&self, user: Uuid) {
        let name = format!("renamed.{}@contoso.com", user.simple());
        let mut directory = self.world.tenant.directory();
        directory.rename(user, &name, "Renamed").unwrap();
    }

    async fn stored(&self, id: Uuid) -> Option<StoredUser> {
        let users = self.world.users().await.unwrap();
        users.get(&object_id(id).unwrap()).cloned()
    }

    async fn is(&self, id: Uuid, status: Status, reason: Reason) {
        let user = self.stored(id).await.unwrap();
        assert_eq!((user.status, user.reason), (status, reason), "{user:?}");
    }

    /// The run fails for this reason, nobody is switched off, and without the fault the next run works.
    async fn fails(&self, reason: FailReason) -> RunRecord {
        let before = self.world.users().await.unwrap();
        let run = self.sync().await;
        assert_eq!(
            (run.state, run.reason),
            (RunState::Failed, Some(reason)),
            "{run:?}"
        );
        assert_eq!(self.world.users().await.unwrap(), before);
        run
    }
}

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
    // The first invocation's time is up when it has read the group.
    let slow = Fault::Delay { ms: 1_500 };
    let first = Matcher::endpoint(Endpoint::GroupMembers).page(1);
    world.graph().add_fault(FaultRule::once(first, slow));
    let run = world.start_run(app).await.unwrap();
    let bell = sqs_event(&json!({ "tenant": run.tenant, "run": run.run }));
    let stop_at_ms = world.ambient.now_ms() + 1_000;
    app.enumerator(bell, stop_at_ms).await.unwrap();
    let record = world.store.run(&run).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Enumerating);
    assert_eq!(record.members.unwrap().count, 30);
    assert_eq!(grouped.requests(Endpoint::Users), 0);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_groups_in_the_scope_no_group_is_asked_about() {
    let world = World::start(30).await.unwrap();
    let run = world.sync().await.unwrap();
    assert_eq!((run.state, run.members), (RunState::Completed, None));
    assert_eq!(world.graph().requests(Endpoint::GroupMembers), 0);
}
