//! One user is seen more than once in a run, or changes while it is under way: the last word counts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use rollcall_core::by_hand::Decision;
use rollcall_core::run::{FailReason, RunState};
use rollcall_core::status::{Reason, Status, StoredUser};
use rollcall_end_to_end::lost::Lost;
use rollcall_end_to_end::{World, object_id, sqs_event};
use rollcall_graph_emulator::{Directory, Endpoint, Matcher, Paging, Population};
use rollcall_store::RunRecord;
use serde_json::json;
use uuid::Uuid;

/// A tenant of 30 in pages of 10 that was synced once, where the user with the last name is
/// disabled.
async fn synced() -> (World, Uuid) {
    let population = Population {
        guests: 0.0,
        disabled: 0.0,
        ..Population::new("contoso.com", 19, 30)
    };
    let world = World::start_with(population, &json!({})).await.unwrap();
    world.tenant.set_paging(Paging {
        page_size_max: 10,
        ..world.tenant.paging()
    });
    let id = world.tenant.directory().users().next().unwrap().id;
    {
        let mut directory = world.tenant.directory();
        directory.rename(id, "zzz@contoso.com", "Last").unwrap();
        directory.set_account_enabled(id, Some(false)).unwrap();
    }
    assert_eq!(world.sync().await.unwrap().state, RunState::Completed);
    (world, id)
}

async fn stored(world: &World, id: Uuid) -> StoredUser {
    let users = world.users().await.unwrap();
    users.get(&object_id(id).unwrap()).unwrap().clone()
}

/// Page 1 shows the user enabled, under another name; page 3 shows him as he is stored. The worker
/// of page 3 comes first and finds nothing to write: page 1 must not have the say because of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_sighting_that_changes_nothing_has_the_say_in_either_order_of_workers() {
    for order in [[3, 1], [1, 3]] {
        let (world, id) = synced().await;
        let before = stored(&world, id).await;
        {
            let mut directory = world.tenant.directory();
            directory.rename(id, "aaa@contoso.com", "First").unwrap();
            directory.set_account_enabled(id, Some(true)).unwrap();
        }
        let first_page = Matcher::endpoint(Endpoint::Users).page(1);
        world
            .graph()
            .after(&world.tenant, first_page, move |directory| {
                directory.rename(id, "zzz@contoso.com", "Last").unwrap();
                directory.set_account_enabled(id, Some(false)).unwrap();
            });
        let run = world.start_run(&world.app).await.unwrap();
        let enumerate = sqs_event(&json!({ "tenant": run.tenant, "run": run.run }));
        world.app.enumerator(enumerate, u64::MAX).await.unwrap();
        for page in order {
            let bell = json!({ "tenant": run.tenant, "run": run.run, "generation": 1,
                "page": page });
            world.app.worker(sqs_event(&bell), u64::MAX).await.unwrap();
        }
        let triggers = world.drive().await.unwrap();
        let ended = world.wait(&run).await.unwrap();
        triggers.stop().await;
        assert_eq!(ended.state, RunState::Completed, "{ended:?}");
        let after = stored(&world, id).await;
        assert_eq!(
            (after.status, after.reason),
            (Status::Inactive, Reason::Disabled)
        );
        assert_eq!(after.user_principal_name, before.user_principal_name);
        assert_eq!(after.content_hash(), before.content_hash());
    }
}

/// Seen as disabled, and enabled again after the delta behind the last page, before anybody is switched
/// off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_user_who_is_enabled_again_before_the_end_stays() {
    let (world, _) = synced().await;
    let id = world.tenant.directory().users().nth(3).unwrap().id;
    world
        .tenant
        .directory()
        .set_account_enabled(id, Some(false))
        .unwrap();
    let behind = Matcher::endpoint(Endpoint::Delta).nth(2);
    world
        .graph()
        .after(&world.tenant, behind, move |directory| {
            directory.set_account_enabled(id, Some(true)).unwrap();
        });
    let run = world.sync().await.unwrap();
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert_eq!(run.totals.unwrap().kept.contradicted, 1);
    assert_eq!(run.totals.unwrap().deactivated.total(), 0);
    assert_eq!(stored(&world, id).await.status, Status::Active);
}

/// How often a story is told at most until it is another one that it is about: one in ten runs draws him among the few
/// whom it looks up to see whether Graph finds anybody.
const TOLD_MAX: usize = 20;

fn guest(directory: &mut Directory, id: Uuid) {
    let guest = Some("Guest".to_owned());
    directory.update(id, |user| user.user_type = guest).unwrap();
}

fn disabled(directory: &mut Directory, id: Uuid) {
    directory.set_account_enabled(id, Some(false)).unwrap();
}

/// Somebody is seen as `first` makes him, and then changes behind the last request of the enumeration.
async fn seen_as(
    first: fn(&mut Directory, Uuid),
    then: impl Fn(&mut Directory, Uuid) + Clone + Send + Sync + 'static,
) -> (RunRecord, StoredUser) {
    for _ in 0..TOLD_MAX {
        let (run, user) = seen_once(first, then.clone()).await;
        if run.reason != Some(FailReason::EnumerationUnreliable) {
            assert_eq!(run.state, RunState::Completed, "{run:?}");
            return (run, user);
        }
        assert_eq!(user.status, Status::Active);
    }
    panic!("he was looked up for the others' sake each time");
}

async fn seen_once(
    first: fn(&mut Directory, Uuid),
    then: impl Fn(&mut Directory, Uuid) + Send + Sync + 'static,
) -> (RunRecord, StoredUser) {
    let (world, _) = synced().await;
    let id = world.tenant.directory().users().nth(3).unwrap().id;
    first(&mut world.tenant.directory(), id);
    let behind = Matcher::endpoint(Endpoint::Delta).nth(2);
    let graph = world.graph();
    graph.after(&world.tenant, behind, move |directory| then(directory, id));
    let run = world.sync().await.unwrap();
    let user = stored(&world, id).await;
    (run, user)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_who_is_a_member_before_the_end_stays() {
    let (run, user) = seen_as(guest, |directory, id| {
        let member = Some("Member".to_owned());
        directory
            .update(id, |user| user.user_type = member)
            .unwrap();
    })
    .await;
    assert_eq!(run.totals.unwrap().kept.contradicted, 1);
    assert_eq!(run.totals.unwrap().deactivated.total(), 0);
    assert_eq!(user.status, Status::Active);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_whom_graph_does_not_find_at_the_end_stays_until_a_run_misses_him() {
    let (run, user) = seen_as(guest, |directory, id| directory.purge(id).unwrap()).await;
    assert_eq!(run.totals.unwrap().kept.awaiting_confirmation, 1);
    assert_eq!(run.totals.unwrap().deactivated.total(), 0);
    assert_eq!(user.status, Status::Active);
}

/// By id nothing is said of him; whether he was enabled again meanwhile, nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_user_whom_graph_does_not_find_at_the_end_stays_until_a_run_misses_him() {
    let (run, user) = seen_as(disabled, |directory, id| directory.purge(id).unwrap()).await;
    assert_eq!(run.totals.unwrap().kept.awaiting_confirmation, 1);
    assert_eq!(run.totals.unwrap().deactivated.total(), 0);
    assert_eq!(user.status, Status::Active);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_user_of_whom_it_is_not_said_by_id_whether_he_is_so_stays() {
    let unknown = |directory: &mut Directory, id| directory.set_account_enabled(id, None).unwrap();
    let (run, user) = seen_as(disabled, unknown).await;
    assert_eq!(run.totals.unwrap().deactivated.total(), 0);
    assert_eq!(user.status, Status::Active);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_who_is_one_at_the_end_too_goes_off_as_out_of_scope() {
    let (run, user) = seen_as(guest, |_, _| ()).await;
    assert_eq!(run.totals.unwrap().deactivated.out_of_scope, 1);
    assert_eq!(user.status, Status::Inactive);
}

/// Not found by one run, seen by a run that was held, not found by the next: that is not twice in a
/// row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sighting_by_a_held_run_breaks_the_streak() {
    let (world, _) = synced().await;
    let everyone: Vec<_> = world.tenant.directory().users().cloned().collect();
    let gone = everyone[5].clone();
    let purge = |world: &World| world.tenant.directory().purge(gone.id).unwrap();
    purge(&world);
    assert_eq!(world.sync().await.unwrap().state, RunState::Completed);
    // He is back, and a third of the others leaves: the run that sees him is held.
    world.tenant.directory().add(gone.clone()).unwrap();
    for user in &everyone[10..20] {
        world.tenant.directory().soft_delete(user.id).unwrap();
    }
    assert_eq!(world.sync().await.unwrap().state, RunState::Held);
    for user in &everyone[10..20] {
        world.tenant.directory().restore(user.id).unwrap();
    }
    purge(&world);
    let run = world.sync().await.unwrap();
    assert_eq!(run.totals.unwrap().kept.awaiting_confirmation, 1, "{run:?}");
    assert_eq!(stored(&world, gone.id).await.status, Status::Active);
    let run = world.sync().await.unwrap();
    assert_eq!(run.totals.unwrap().deactivated.not_found, 1, "{run:?}");
}

/// The index shows nobody to the enumerator, so everybody is told to be new. Nobody is made anew: not who is
/// off by a person's word, not who was renamed, and who is disabled goes off as always.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_index_does_not_show_yet_is_read_before_he_is_written() {
    let (world, _) = synced().await;
    let before = world.users().await.unwrap();
    let ids: Vec<_> = world.tenant.directory().users().map(|it| it.id).collect();
    let (by_hand, disabled, renamed) = (ids[1], ids[2], ids[3]);
    {
        let mut directory = world.tenant.directory();
        directory
            .set_account_enabled(disabled, Some(false))
            .unwrap();
        directory.rename(renamed, "new@contoso.com", "New").unwrap();
    }
    let lost = Lost::index();
    let (_, app) = world.app_over(lost.over(world.aws.dynamodb()));
    let run = world.start_run(&app).await.unwrap();
    let off = object_id(by_hand).unwrap();
    let decided = world
        .store
        .decide(&run.tenant, &off, Decision::Deactivate, "ada");
    decided.await.unwrap();
    let bell = sqs_event(&json!({ "tenant": run.tenant, "run": run.run }));
    // A query for each of the directory's partitions.
    lost.lose_next(8);
    app.enumerator(bell, u64::MAX).await.unwrap();
    assert!(lost.is_lost());
    let triggers = world.drive().await.unwrap();
    let ended = world.wait(&run).await.unwrap();
    triggers.stop().await;
    assert_eq!(ended.state, RunState::Completed, "{ended:?}");
    let changes = ended.totals.unwrap().changes;
    assert_eq!(
        (changes.created, changes.updated, changes.reactivated),
        (0, 1, 0)
    );
    let after = world.users().await.unwrap();
    assert_eq!(before.len(), after.len());
    let is = |id| {
        let user = &after[&object_id(id).unwrap()];
        (user.status, user.reason)
    };
    assert_eq!(is(by_hand), (Status::Inactive, Reason::Manual));
    assert_eq!(is(disabled), (Status::Inactive, Reason::Disabled));
    assert_eq!(is(renamed), (Status::Active, Reason::Present));
    let touched = [by_hand, disabled, renamed].map(|id| object_id(id).unwrap());
    for (id, user) in before.iter().filter(|(id, _)| !touched.contains(id)) {
        assert_eq!(user.version, after[id].version, "{id}");
    }
}
