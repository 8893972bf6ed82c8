//! Who somebody is: the object id, whatever becomes of names, addresses and their case.

use rollcall_core::run::{RunMode, RunState};
use rollcall_core::status::Status;
use rollcall_end_to_end::{World, object_id};
use rollcall_graph_emulator::{Endpoint, Population, User};
use serde_json::json;
use uuid::Uuid;

use crate::{
    DELETED, DISABLED, PRESENT, by_login, change, ids, in_step, mends, standing, stored, synced,
};

/// directory-connector#397: a user with a new surname was deleted and created as new, and lost what
/// belonged to the account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_gets_another_name_stays_the_same_user() {
    for mode in [RunMode::Full, RunMode::Delta] {
        let world = synced(40, &json!({})).await;
        let id = ids(&world)[12];
        let before = stored(&world, id).await;
        change(&world, id, |user| {
            user.user_principal_name = Some("adele.young@contoso.com".to_owned());
            user.mail = user.user_principal_name.clone();
            user.display_name = Some("Adele Young".to_owned());
            user.surname = Some("Young".to_owned());
        });
        let run = world.sync_in(mode).await.unwrap();
        assert_eq!(
            (run.mode, run.state),
            (mode, RunState::Completed),
            "{run:?}"
        );
        let totals = run.totals.unwrap();
        assert_eq!((totals.changes.created, totals.changes.updated), (0, 1));
        assert_eq!(totals.deactivated.total(), 0);

        let after = stored(&world, id).await;
        assert_eq!(standing(&world, id).await, PRESENT);
        // He was switched on once, by the first run, and that stands.
        assert_eq!(after.status_run, before.status_run);
        assert_eq!(after.version, before.version + 1);
        assert_eq!(by_login(&world, "adele.young@contoso.com").await, [after]);
        let name_before = before.user_principal_name.unwrap();
        assert_eq!(by_login(&world, &name_before).await, []);
        in_step(&world).await;
    }
}

/// user-sync.py#471: case counted where mail addresses were matched, and not where they were updated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_in_another_case_is_one_update_and_the_same_user() {
    let in_another_case = json!({ "scope": { "domains": ["CONTOSO.com"] } });
    let world = synced(40, &in_another_case).await;
    let id = ids(&world)[3];
    let before = stored(&world, id).await;
    let name = before.user_principal_name.clone().unwrap();
    let swapped: String = name
        .chars()
        .map(|letter| match letter {
            letter if letter.is_ascii_lowercase() => letter.to_ascii_uppercase(),
            letter => letter.to_ascii_lowercase(),
        })
        .collect();
    assert_ne!(swapped, name);
    change(&world, id, |user| {
        user.user_principal_name = Some(swapped.clone());
        user.mail = Some(swapped.clone());
    });

    let totals = mends(&world).await.totals.unwrap();
    assert_eq!((totals.changes.created, totals.changes.updated), (0, 1));
    // It is stored as it is written, found in any case, and no change any more.
    let after = stored(&world, id).await;
    assert_eq!(after.user_principal_name.as_ref(), Some(&swapped));
    for asked in [&name, &swapped, &name.to_uppercase()] {
        assert_eq!(by_login(&world, asked).await, std::slice::from_ref(&after));
    }
    let totals = mends(&world).await.totals.unwrap();
    assert_eq!((totals.changes.total(), totals.deactivated.total()), (0, 0));
}

/// zulip#13539: mail addresses were hidden, by which users were looked up, and everybody was deactivated as
/// one who does not match.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_and_login_names_that_all_change_at_once_are_nobodys_absence() {
    let world = synced(40, &json!({})).await;
    let before = world.users().await.unwrap();
    for id in ids(&world) {
        change(&world, id, |user| {
            user.mail = None;
            user.user_principal_name = Some(format!("user-{}@hidden.example", id.simple()));
        });
    }
    let totals = mends(&world).await.totals.unwrap();
    assert_eq!((totals.changes.created, totals.changes.updated), (0, 40));
    assert_eq!(totals.deactivated.total(), 0);
    let after = world.users().await.unwrap();
    assert!(before.keys().eq(after.keys()));
    for (id, user) in &after {
        assert_eq!(user.status, Status::Active);
        assert_eq!(user.status_run, before[id].status_run);
        assert_eq!(user.mail, None);
    }
}

/// The tenant's accounts that are disabled.
fn disabled(world: &World) -> Vec<Uuid> {
    let directory = world.tenant.directory();
    let disabled = directory
        .users()
        .filter(|user| user.account_enabled == Some(false));
    disabled.map(|user| user.id).collect()
}

/// idp-scim-sync#40: users who were suspended at the source were synced as enabled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_user_is_never_on() {
    let population = Population {
        guests: 0.0,
        disabled: 0.2,
        ..Population::new("contoso.com", 29, 40)
    };
    let world = World::start_with(population, &json!({})).await.unwrap();
    let at_first = disabled(&world);
    assert!(at_first.len() >= 3);
    mends(&world).await;
    // The list does not say it of itself.
    let log = world.graph().log();
    let mut asked = log.iter().filter(|it| it.endpoint == Endpoint::Users);
    assert!(asked.all(|it| it.url.contains("accountEnabled")));
    for id in &at_first {
        assert_eq!(standing(&world, *id).await, DISABLED);
        assert_eq!(stored(&world, *id).await.version, 1);
    }
    // Two more, one told by a full run and one by a delta run; and one is enabled.
    let ids = ids(&world);
    let mut others = ids.iter().filter(|id| !at_first.contains(id));
    for mode in [RunMode::Full, RunMode::Delta] {
        let id = *others.next().unwrap();
        change(&world, id, |user| user.account_enabled = Some(false));
        let run = world.sync_in(mode).await.unwrap();
        assert_eq!(
            (run.mode, run.state),
            (mode, RunState::Completed),
            "{run:?}"
        );
        assert_eq!(run.totals.unwrap().deactivated.disabled, 1);
        assert_eq!(standing(&world, id).await, DISABLED);
    }
    change(&world, at_first[0], |user| {
        user.account_enabled = Some(true)
    });
    assert_eq!(mends(&world).await.totals.unwrap().changes.reactivated, 1);
    assert_eq!(standing(&world, at_first[0]).await, PRESENT);
}

/// o365-moodle#3281: an account that had been recreated under a new object id was suspended by one task, again
/// and again, as that of the deleted one. ssosync#59: whoever was deleted and created again with the same
/// details was deleted and added by every run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_created_again_under_the_same_name_is_on_and_stays_on() {
    let world = synced(40, &json!({})).await;
    let old = ids(&world)[20];
    let name = stored(&world, old).await.user_principal_name.unwrap();
    let new = Uuid::from_u128(0x5e1f_c0de_0000_4000_8000_0000_0000_0001);
    {
        let mut directory = world.tenant.directory();
        directory.soft_delete(old).unwrap();
        let again = User::member(new, &name, "Again");
        directory.add(again).unwrap();
    }
    let totals = mends(&world).await.totals.unwrap();
    assert_eq!((totals.changes.created, totals.deactivated.deleted), (1, 1));
    assert_eq!(standing(&world, old).await, DELETED);
    assert_eq!(standing(&world, new).await, PRESENT);
    let before = world.users().await.unwrap();
    for mode in [RunMode::Full, RunMode::Delta, RunMode::Full] {
        let run = world.sync_in(mode).await.unwrap();
        assert_eq!(
            (run.mode, run.state),
            (mode, RunState::Completed),
            "{run:?}"
        );
        assert_eq!(world.users().await.unwrap(), before);
    }
    let on = by_login(&world, &name).await.into_iter();
    let on: Vec<_> = on.filter(|user| user.status == Status::Active).collect();
    assert_eq!(on.len(), 1);
    assert_eq!(on[0].id, object_id(new).unwrap());
}
