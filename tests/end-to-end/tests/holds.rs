//! A held plan that a person approves is carried out on evidence that is taken anew, and on no other.
//! (firezone#10898: to release one plan, people loosened the limit for all that came after.)
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use std::collections::BTreeMap;

use rollcall_core::by_hand::Decision;
use rollcall_core::guard::GuardKind;
use rollcall_core::ids::ObjectId;
use rollcall_core::run::{FailReason, RunState};
use rollcall_core::status::{Reason, Status};
use rollcall_end_to_end::{World, object_id};
use rollcall_graph_emulator::{Endpoint, Fault, FaultRule, Matcher, Population};
use rollcall_store::RunRecord;
use serde_json::json;
use uuid::Uuid;

const USERS: usize = 100;

/// A tenant that was synced once, and whose next run is held: three users of each kind have left.
struct Held {
    world: World,
    run: RunRecord,
    disabled: Vec<Uuid>,
    deleted: Vec<Uuid>,
    moved: Vec<Uuid>,
}

impl Held {
    async fn new() -> Self {
        let population = Population {
            guests: 0.0,
            disabled: 0.0,
            ..Population::new("contoso.com", 17, USERS)
        };
        let domains = json!({ "scope": { "domains": ["contoso.com"] } });
        let world = World::start_with(population, &domains).await.unwrap();
        assert_eq!(world.sync().await.unwrap().state, RunState::Completed);
        let everyone: Vec<_> = world.tenant.directory().users().map(|u| u.id).collect();
        let mut kinds = everyone.chunks(3).map(<[Uuid]>::to_vec);
        let mut next = || kinds.next().unwrap();
        let (disabled, deleted, moved) = (next(), next(), next());
        {
            let mut directory = world.tenant.directory();
            for id in &disabled {
                directory.set_account_enabled(*id, Some(false)).unwrap();
            }
            for id in &deleted {
                directory.soft_delete(*id).unwrap();
            }
            for (nth, id) in moved.iter().enumerate() {
                let name = format!("{nth}@elsewhere.example");
                directory.rename(*id, &name, "Moved").unwrap();
            }
        }
        let held = Self {
            run: world.sync().await.unwrap(),
            world,
            disabled,
            deleted,
            moved,
        };
        assert_eq!(held.run.state, RunState::Held, "{:?}", held.run);
        let trip = held.run.held.as_ref().unwrap().trip;
        assert_eq!((trip.guard, trip.value), (GuardKind::Percent, 9.0));
        assert_eq!(held.world.active().await.unwrap(), USERS);
        held
    }

    async fn approve(&self) -> RunRecord {
        self.world.approve(&self.run).await.unwrap()
    }

    /// Who is off, and why.
    async fn off(&self) -> BTreeMap<ObjectId, Reason> {
        let users = self.world.users().await.unwrap().into_values();
        let off = users.filter(|user| user.status == Status::Inactive);
        off.map(|user| (user.id, user.reason)).collect()
    }

    fn expected<const N: usize>(of: [(&[Uuid], Reason); N]) -> BTreeMap<ObjectId, Reason> {
        let each = of
            .into_iter()
            .flat_map(|(ids, reason)| ids.iter().map(move |id| (*id, reason)));
        each.map(|(id, reason)| (object_id(id).unwrap(), reason))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approved_plan_is_carried_out_and_the_next_run_is_compared_with_it() {
    let held = Held::new().await;
    let run = held.approve().await;
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    let totals = run.totals.unwrap();
    assert_eq!(totals.deactivated.total(), 9);
    assert_eq!(totals.kept.contradicted, 0);
    let everybody = [
        (&*held.disabled, Reason::Disabled),
        (&*held.deleted, Reason::Deleted),
        (&*held.moved, Reason::OutOfScope),
    ];
    assert_eq!(held.off().await, Held::expected(everybody));
    let (world, tenant) = (&held.world, &held.run.run.tenant);
    for id in held.off().await.keys() {
        let user = world.users().await.unwrap().remove(id).unwrap();
        let history = world.store.history(tenant, &user).await.unwrap();
        let evidence = history[0].evidence.as_deref().unwrap();
        assert!(evidence.contains("; when approved: "), "{evidence}");
    }
    let head = world.store.head(tenant).await.unwrap();
    assert_eq!(head.last_full_run, Some(held.run.run.run));
    let next = world.sync().await.unwrap();
    assert_eq!(next.state, RunState::Completed, "{next:?}");
    assert_eq!(next.totals.unwrap().deactivated.total(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_back_when_the_plan_is_approved_stays() {
    let held = Held::new().await;
    {
        let mut directory = held.world.tenant.directory();
        directory
            .set_account_enabled(held.disabled[0], Some(true))
            .unwrap();
        directory
            .set_account_enabled(held.disabled[1], None)
            .unwrap();
        directory.restore(held.deleted[0]).unwrap();
        directory
            .rename(held.moved[0], "back@contoso.com", "Back")
            .unwrap();
        // Gone for good is gone.
        directory.purge(held.deleted[1]).unwrap();
        // Gone, but nobody has looked into that: the plan says that he is elsewhere.
        directory.soft_delete(held.moved[1]).unwrap();
    }
    let run = held.approve().await;
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    let left = [
        (&held.disabled[2..], Reason::Disabled),
        (&held.deleted[1..], Reason::Deleted),
        (&held.moved[2..], Reason::OutOfScope),
    ];
    assert_eq!(held.off().await, Held::expected(left));
    assert_eq!(run.totals.unwrap().kept.contradicted, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_a_person_decided_about_meanwhile_is_left_alone() {
    let held = Held::new().await;
    let (store, tenant) = (&held.world.store, &held.run.run.tenant);
    let kept = object_id(held.disabled[0]).unwrap();
    let decided = store.decide(tenant, &kept, Decision::Activate, "grace");
    decided.await.unwrap();
    let run = held.approve().await;
    assert_eq!(run.totals.unwrap().deactivated.total(), 8);
    assert!(!held.off().await.contains_key(&kept));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_is_no_evidence_when_graph_does_not_answer() {
    let held = Held::new().await;
    let ids = Matcher::endpoint(Endpoint::GetByIds);
    let down = FaultRule::forever(ids, Fault::Reset);
    held.world.graph().add_fault(down);
    let run = held.approve().await;
    assert_eq!(run.reason, Some(FailReason::GraphUnavailable), "{run:?}");
    assert_eq!(held.world.active().await.unwrap(), USERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_switched_off_while_graph_finds_none_of_those_who_were_seen() {
    let held = Held::new().await;
    let plan = held.world.store.plan(&held.run.run).await.unwrap().unwrap();
    assert_eq!(plan.canaries.len(), 3);
    for (nth, canary) in plan.canaries.iter().enumerate() {
        let id = canary.as_str().parse().unwrap();
        held.world.tenant.directory().soft_delete(id).unwrap();
        assert!(nth < 3);
    }
    let run = held.approve().await;
    assert_eq!(run.reason, Some(FailReason::EnumerationUnreliable));
    assert_eq!(held.world.active().await.unwrap(), USERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaver_among_those_who_were_seen_keeps_no_plan_from_being_released() {
    let held = Held::new().await;
    let plan = held.world.store.plan(&held.run.run).await.unwrap().unwrap();
    let canary = &plan.canaries[0];
    let id = canary.as_str().parse().unwrap();
    held.world.tenant.directory().soft_delete(id).unwrap();
    assert_eq!(held.approve().await.state, RunState::Completed);
    let is_other = |it: &&_| rollcall_core::plan::Deactivation::id(it) != canary;
    let others = plan.plan.entries().iter().filter(is_other).count();
    assert!(others >= 8);
    assert_eq!(held.off().await.len(), others);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_shrank_on_purpose_is_released_once_and_no_limit_is_loosened() {
    let population = Population {
        guests: 0.0,
        disabled: 0.0,
        ..Population::new("contoso.com", 18, USERS)
    };
    let world = World::start_with(population, &json!({})).await.unwrap();
    world.sync().await.unwrap();
    let everyone: Vec<_> = world.tenant.directory().users().map(|u| u.id).collect();
    for id in &everyone[..30] {
        world.tenant.directory().soft_delete(*id).unwrap();
    }
    let held = world.sync().await.unwrap();
    assert_eq!(held.held.as_ref().unwrap().trip.guard, GuardKind::Shrink);
    let run = world.approve(&held).await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert_eq!(world.active().await.unwrap(), 70);
    let next = world.sync().await.unwrap();
    assert_eq!(next.state, RunState::Completed, "{next:?}");
    // What comes later is held as before.
    for id in &everyone[30..50] {
        world.tenant.directory().soft_delete(*id).unwrap();
    }
    assert_eq!(world.sync().await.unwrap().state, RunState::Held);
    assert_eq!(world.active().await.unwrap(), 70);
}
