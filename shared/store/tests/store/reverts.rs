//! Reverts: a run's changes taken back from its journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollcall_core::by_hand::Decision;
use rollcall_core::ids::ObjectId;
use rollcall_core::run::{RunMode, RunState};
use rollcall_core::status::{Reason, Status, StoredUser};
use rollcall_core::window::Window;
use rollcall_store::{
    Act, BegunRevert, Decided, JournalPlace, LeftAlone, RevertLease, RunLease, StoreError, Survey,
    Usage, WRITES_PER_TRANSACTION_MAX,
};

use crate::values::{changed, created, id, plan, totals};
use crate::wire::Wire;
use crate::world::{World, head_key, n, run_key};

const DAY_MS: u64 = 86_400_000;
/// How long a revert's lease runs.
const REVERT_LEASE_MS: u64 = 60_000;
const USERS: usize = 120;

type Directory = BTreeMap<ObjectId, StoredUser>;

async fn directory(world: &World) -> Directory {
    let mut users = Directory::new();
    let tenant = "t".parse().unwrap();
    let reading = world.store.all_users(&tenant, |user| {
        users.insert(user.id.clone(), user);
        Ok(())
    });
    reading.await.unwrap();
    users
}

fn name(number: usize) -> String {
    format!("u{number:03}")
}

/// Ends a run that has written, with its changes counted.
async fn complete(world: &World, lease: &RunLease, created: u64, updated: u64, off: u64) {
    let mut totals = totals();
    totals.changes.created = created;
    totals.changes.updated = updated;
    totals.deactivated.disabled = off;
    let record = world.record(lease.run()).await;
    let (window, usage) = (Window::default(), Usage::default());
    let ended = (&totals, &window);
    let complete = world.store.complete_run(lease, &record, ended, &usage);
    complete.await.unwrap();
}

/// A tenant whose run 1 created everybody, and whose run 2 created one more, renamed every third twice
/// and switched every second off.
pub(crate) struct Bad {
    pub(crate) world: World,
    pub(crate) run: RunLease,
    before: Directory,
}

impl Bad {
    pub(crate) async fn new() -> Self {
        let world = World::start().await;
        let (first, batch) = world.working("t", &["u"]).await;
        let everybody: Vec<_> = (0..USERS)
            .map(|number| created(first.run(), &name(number)))
            .collect();
        for some in everybody.chunks(WRITES_PER_TRANSACTION_MAX) {
            world.store.write_users(&batch, some).await.unwrap();
        }
        world.finish(&batch, 1).await;
        world.store.begin_finalizing(&first).await.unwrap();
        complete(&world, &first, USERS as u64, 0, 0).await;
        let before = directory(&world).await;

        let (run, batch) = world.working("t", &["u"]).await;
        let store = &world.store;
        let new = created(run.run(), "new");
        store.write_users(&batch, &[new]).await.unwrap();
        let mut renamed = 0;
        for user in before.values().step_by(3) {
            renamed += 1;
            let named =
                |to: &'static str| move |it: &mut StoredUser| it.display_name = Some(to.into());
            let once = changed(run.run(), user, named("Wrong"));
            let twice = changed(run.run(), &once.after, named("Wrong again"));
            store.write_users(&batch, &[once]).await.unwrap();
            store.write_users(&batch, &[twice]).await.unwrap();
        }
        world.finish(&batch, 1).await;
        store.begin_finalizing(&run).await.unwrap();
        let now = directory(&world).await;
        let off: Vec<_> = now.values().step_by(2).collect();
        let due: Vec<_> = off.iter().map(|it| (it.id.clone(), it.version)).collect();
        let plan = plan(run.run(), &due);
        let head = store.head(&run.run().tenant).await.unwrap();
        let by_full = (RunMode::Full, &head);
        store.store_plan(&run, &plan, 1, by_full).await.unwrap();
        store.begin_applying(&run, 1).await.unwrap();
        let due: Vec<_> = off.into_iter().cloned().zip(plan.plan.entries()).collect();
        for some in due.chunks(WRITES_PER_TRANSACTION_MAX) {
            store.deactivate(&run, some).await.unwrap();
        }
        let switched_off = due.len() as u64;
        complete(&world, &run, 1, renamed, switched_off).await;
        Self { world, run, before }
    }

    pub(crate) async fn begin(&self) -> BegunRevert {
        let begun = self.world.store.begin_revert(self.run.run(), "ada").await;
        begun.unwrap()
    }

    async fn lease(&self) -> (RevertLease, JournalPlace) {
        let store = &self.world.store;
        let acquired = store.acquire_revert(self.run.run(), "f").await.unwrap();
        let (lease, record) = acquired.unwrap();
        (lease, record.place)
    }

    /// All steps from where the revert stands.
    pub(crate) async fn go_on(&self) {
        let (lease, mut place) = self.lease().await;
        let store = &self.world.store;
        while !place.is_end() {
            (place, _) = store.revert_step(&lease, &place, "ada").await.unwrap();
        }
        store.end_revert(&lease).await.unwrap();
    }

    /// Everybody is as before the run, but for what a revert is itself, and the one whom it created.
    pub(crate) async fn is_taken_back(&self) {
        let mut now = directory(&self.world).await;
        let created = now.remove(&id("new")).unwrap();
        assert_eq!(created.version, 2, "created, and switched off");
        let versions = |user: StoredUser| StoredUser {
            version: 0,
            decided_version: None,
            status_at_ms: 0,
            ..user
        };
        let without = |users: Directory| -> Vec<_> { users.into_values().map(versions).collect() };
        assert_eq!(without(now), without(self.before.clone()));
    }
}

#[tokio::test]
async fn every_user_whom_nobody_changed_since_is_as_before() {
    let bad = Bad::new().await;
    let (store, run) = (&bad.world.store, bad.run.run());
    let Survey::Found { restored, left } = store.survey_revert(run).await.unwrap() else {
        panic!("no survey");
    };
    let touched = directory(&bad.world).await;
    let touched = touched.values().filter(|it| it.version > 1).count();
    assert_eq!(restored.len(), touched - 1);
    assert_eq!(left.len(), 1);
    assert_eq!((&left[0].id, left[0].why), (&id("new"), LeftAlone::Created));

    assert_eq!(bad.begin().await, BegunRevert::UnderWay);
    bad.go_on().await;
    bad.is_taken_back().await;
    let record = store.revert(run).await.unwrap().unwrap();
    assert_eq!((record.restored, record.left), (restored.len() as u64, 1));
    assert_eq!(record.by, "ada");
    assert_eq!(store.left_by_revert(run).await, Ok(left));
    assert_eq!(bad.begin().await, BegunRevert::Done);
    assert_eq!(store.head(&run.tenant).await.unwrap().reverting, None);
}

#[tokio::test]
async fn a_revert_is_itself_in_the_history() {
    let bad = Bad::new().await;
    let (store, run) = (&bad.world.store, bad.run.run());
    bad.begin().await;
    bad.go_on().await;
    let user = directory(&bad.world).await.remove(&id(&name(3))).unwrap();
    let history = store.history(&run.tenant, &user).await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|entry| (entry.run, entry.by_hand.as_ref().map(|it| it.act)))
        .collect();
    // Renamed twice and switched off, after he was created.
    let taken_back = (None, Some(Act::Reverted(2)));
    let expected = [
        taken_back,
        (Some(2), None),
        (Some(2), None),
        (Some(2), None),
        (Some(1), None),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn whoever_was_changed_since_is_left_and_told() {
    let bad = Bad::new().await;
    let (store, run) = (&bad.world.store, bad.run.run());
    let kept = id(&name(0));
    let decided = store.decide(&run.tenant, &kept, Decision::Activate, "grace");
    let Ok(Decided::Written(by_hand)) = decided.await else {
        panic!("not written");
    };
    bad.begin().await;
    // And one between the reading and the writing of his step.
    let (lease, mut place) = bad.lease().await;
    let wire = Wire::default();
    let (other, tenant) = (bad.world.store.clone(), run.tenant.clone());
    wire.before("TransactWriteItems", async move {
        for number in (6..USERS).step_by(6) {
            let user = id(&name(number));
            let decided = other.decide(&tenant, &user, Decision::Activate, "grace");
            decided.await.unwrap();
        }
    });
    let raced = bad.world.store_on(&wire);
    while !place.is_end() {
        (place, _) = raced.revert_step(&lease, &place, "ada").await.unwrap();
    }
    assert!(wire.is_done());
    raced.end_revert(&lease).await.unwrap();
    let left = store.left_by_revert(run).await.unwrap();
    let changed = left.iter().filter(|it| it.why == LeftAlone::ChangedSince);
    let changed: Vec<_> = changed.map(|it| it.id.clone()).collect();
    assert!(changed.contains(&kept));
    let now = directory(&bad.world).await;
    assert_eq!(now[&kept], by_hand);
    for user in now.values().filter(|it| changed.contains(&it.id)) {
        assert_eq!(user.status, Status::Active);
        assert_eq!(user.reason, Reason::Manual);
    }
    let manual = |it: &&StoredUser| it.reason == Reason::Manual;
    assert_eq!(now.values().filter(manual).count(), changed.len());
}

/// Invocations that die after so many steps, with the answer of the last one lost.
/// The run writes somebody, a person decides about him, and the run writes him once more.
#[tokio::test]
async fn a_person_s_word_between_two_writes_of_the_run_is_left() {
    let named = |to: &'static str| move |it: &mut StoredUser| it.display_name = Some(to.into());
    let word = [
        &[Decision::Deactivate][..],
        &[Decision::Activate],
        &[Decision::Activate, Decision::Release],
    ];
    for decisions in word {
        let world = World::start().await;
        let store = &world.store;
        let (first, batch) = world.working("t", &["u"]).await;
        let new = created(first.run(), "a");
        store.write_users(&batch, &[new]).await.unwrap();
        world.finish(&batch, 1).await;
        store.begin_finalizing(&first).await.unwrap();
        complete(&world, &first, 1, 0, 0).await;

        let (run, batch) = world.working("t", &["u"]).await;
        let now = directory(&world).await.remove(&id("a")).unwrap();
        let once = changed(run.run(), &now, named("Once"));
        store.write_users(&batch, &[once]).await.unwrap();
        for decision in decisions {
            let tenant = &run.run().tenant;
            let decided = store.decide(tenant, &id("a"), *decision, "ada").await;
            assert!(matches!(decided.unwrap(), Decided::Written(_)));
        }
        let now = directory(&world).await.remove(&id("a")).unwrap();
        let twice = changed(run.run(), &now, named("Twice"));
        store.write_users(&batch, &[twice]).await.unwrap();
        world.finish(&batch, 1).await;
        store.begin_finalizing(&run).await.unwrap();
        complete(&world, &run, 0, 1, 0).await;

        let Survey::Found { restored, left } = store.survey_revert(run.run()).await.unwrap() else {
            panic!("it cannot be taken back");
        };
        assert!(restored.is_empty(), "{decisions:?}");
        let left: Vec<_> = left.into_iter().map(|it| (it.id, it.why)).collect();
        assert_eq!(left, [(id("a"), LeftAlone::ChangedSince)]);
    }
}

#[tokio::test]
async fn a_revert_that_dies_again_and_again_ends_as_one_that_does_not() {
    let bad = Bad::new().await;
    bad.begin().await;
    let mut deaths = 0;
    loop {
        let (lease, place) = bad.lease().await;
        if place.is_end() {
            break;
        }
        let wire = Wire::default();
        // Every attempt of the SDK.
        for _ in 0..3 {
            wire.lose_answer("TransactWriteItems");
        }
        let store = bad.world.store_on(&wire);
        let step = store.revert_step(&lease, &place, "ada").await;
        assert!(step.is_err(), "{step:?}");
        deaths += 1;
        // It goes on when its lease is over, and another has taken what is left.
        bad.world.clock.advance_ms(REVERT_LEASE_MS);
        let (next, _) = bad.lease().await;
        let late = bad.world.store.revert_step(&lease, &place, "ada");
        let lost = StoreError::LostLease;
        bad.world.refuses("a late step", &lost, late).await;
        let late = bad.world.store.end_revert(&lease);
        bad.world.refuses("a late end", &lost, late).await;
        bad.world.store.release_revert(&next).await.unwrap();
    }
    assert!(deaths >= 8, "{deaths}");
    bad.world.clock.advance_ms(REVERT_LEASE_MS);
    bad.go_on().await;
    bad.is_taken_back().await;
}

#[tokio::test]
async fn two_who_take_the_same_run_back_take_it_back_once() {
    let bad = Bad::new().await;
    assert_eq!(bad.begin().await, BegunRevert::UnderWay);
    assert_eq!(bad.begin().await, BegunRevert::UnderWay);
    let (store, run) = (&bad.world.store, bad.run.run());
    let (lease, place) = bad.lease().await;
    assert!(store.acquire_revert(run, "other").await.unwrap().is_none());
    let (next, _) = store.revert_step(&lease, &place, "ada").await.unwrap();
    // The same step again, as a copy with the same lease would do it.
    let lost = StoreError::LostLease;
    let again = store.revert_step(&lease, &place, "ada");
    bad.world.refuses("the step again", &lost, again).await;
    assert_ne!(place, next);
    let other = "t/1".parse().unwrap();
    let begun = store.begin_revert(&other, "ada").await;
    assert_eq!(begun, Ok(BegunRevert::Other(2)));
}

#[tokio::test]
async fn a_run_whose_journal_is_not_whole_is_not_reverted() {
    let bad = Bad::new().await;
    let (store, run) = (&bad.world.store, bad.run.run());
    let before = bad.world.dump().await;
    let images = bad.world.items_of("journal#t#2").await;
    assert!(!images.is_empty());
    // One expired a little earlier than the others.
    let (key, item) = images[0].clone();
    bad.world.lose(&key).await;
    let refused = || BegunRevert::Refused(Survey::NotWhole);
    assert_eq!(bad.begin().await, refused());
    bad.world.put(item).await;
    assert_eq!(bad.world.dump().await, before);
    // All of them are about to.
    let left_ms = bad.world.record(run).await.ttl_s * 1_000 - bad.world.now_ms();
    bad.world.clock.advance_ms(left_ms - DAY_MS + 1);
    assert_eq!(bad.begin().await, refused());
    assert_eq!(store.revert(run).await, Ok(None));
    assert_eq!(bad.world.dump().await, before);
    // A run that was approved late is kept for longer than what it wrote before.
    let ttl_s = bad.world.record(run).await.ttl_s + 30 * 86_400;
    bad.world.set(&run_key(run), "ttl", n(ttl_s)).await;
    assert_eq!(bad.begin().await, refused());
}

#[tokio::test]
async fn a_run_that_goes_on_or_never_was_is_not_reverted() {
    let bad = Bad::new().await;
    let store = &bad.world.store;
    let next = bad.world.enumerating("t").await;
    for state in RunState::ALL.into_iter().filter(|it| !it.has_ended()) {
        bad.world.set_run_state(next.run(), state).await;
        let begun = store.begin_revert(next.run(), "ada").await;
        let refused = BegunRevert::Refused(Survey::Active(state));
        assert_eq!(begun, Ok(refused));
    }
    let unknown = "t/9".parse().unwrap();
    let begun = store.begin_revert(&unknown, "ada").await;
    assert_eq!(begun, Ok(BegunRevert::Refused(Survey::Unknown)));
    // An active run does not stand in the way of one that has ended.
    assert_eq!(bad.begin().await, BegunRevert::UnderWay);
}

/// Until then its workers write, behind a revert too.
#[tokio::test]
async fn a_run_that_failed_is_reverted_only_once_its_batches_are_revoked() {
    let world = Arc::new(World::start().await);
    let (lease, batch) = world.working("t", &["u"]).await;
    let (store, run) = (&world.store, lease.run());
    world.set_run_state(run, RunState::Failed).await;
    let refused = Survey::Active(RunState::Failed);
    let begun = store.begin_revert(run, "ada").await;
    assert_eq!(begun, Ok(BegunRevert::Refused(refused.clone())));
    assert_eq!(store.survey_revert(run).await, Ok(refused));
    let late = [created(run, "late")];
    store.write_users(&batch, &late).await.unwrap();
    store.close_failed_run(&lease).await.unwrap();
    let later = [created(run, "later")];
    let writing = store.write_users(&batch, &later);
    world
        .refuses("a late write", &StoreError::LostLease, writing)
        .await;

    // It is the active one at the last moment.
    let wire = Wire::default();
    let (other, head) = (Arc::clone(&world), head_key("t"));
    wire.before("TransactWriteItems", async move {
        other.set(&head, "active_run", n(1)).await;
    });
    let begun = world.store_on(&wire).begin_revert(run, "ada").await;
    assert!(
        matches!(begun, Err(StoreError::Changed { .. })),
        "{begun:?}"
    );
    world.set(&head_key("t"), "active_run", n(2)).await;
    let begun = store.begin_revert(run, "ada").await;
    assert_eq!(begun, Ok(BegunRevert::UnderWay));
}

/// An approval would switch users off behind the revert.
#[tokio::test]
async fn a_run_whose_plan_waits_is_reverted_only_once_it_is_rejected() {
    let world = World::start().await;
    let lease = world.finalizing("t").await;
    let (store, run) = (&world.store, lease.run());
    world.hold(&lease).await;
    let begun = store.begin_revert(run, "ada").await;
    assert_eq!(begun, Ok(BegunRevert::Refused(Survey::Waits)));
    store.reject_hold(run, "ada").await.unwrap();
    let begun = store.begin_revert(run, "ada").await;
    assert_eq!(begun, Ok(BegunRevert::UnderWay));
}
