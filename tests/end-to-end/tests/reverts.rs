//! A plan that should not have been approved is taken back, whole, by the number of its run.
//! (Slack's undo of 2018, which overloaded its own servers, is why it is throttled.)
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use std::collections::BTreeMap;

use rollcall_core::ids::ObjectId;
use rollcall_core::run::RunState;
use rollcall_core::status::{Reason, Status, StoredUser};
use rollcall_end_to_end::World;
use rollcall_graph_emulator::Population;
use rollcall_store::{BegunRevert, LeftAlone};
use serde_json::json;

const USERS: usize = 10_000;

/// But for what a revert is itself.
fn as_it_was(user: &StoredUser) -> StoredUser {
    StoredUser {
        version: 0,
        decided_version: None,
        status_at_ms: 0,
        ..user.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_users_wrongly_switched_off_are_as_before_with_one_command() {
    let population = Population {
        guests: 0.0,
        disabled: 0.0,
        ..Population::new("contoso.com", 23, USERS)
    };
    let world = World::start_with(population, &json!({})).await.unwrap();
    assert_eq!(world.sync().await.unwrap().state, RunState::Completed);
    let before = world.users().await.unwrap();

    // A mistake on the other side, approved by somebody who did not look.
    let everyone: Vec<_> = world.tenant.directory().users().map(|u| u.id).collect();
    for id in &everyone {
        let mut directory = world.tenant.directory();
        directory.set_account_enabled(*id, Some(false)).unwrap();
    }
    world.tenant.directory().add_people(1);
    let held = world.sync().await.unwrap();
    assert_eq!(held.state, RunState::Held, "{held:?}");
    let run = world.approve(&held).await.unwrap();
    assert_eq!(run.totals.unwrap().deactivated.disabled, USERS as u64);
    let off: BTreeMap<ObjectId, StoredUser> = world.users().await.unwrap();
    let is_off = |user: &&StoredUser| user.status == Status::Inactive;
    assert_eq!(off.values().filter(is_off).count(), USERS);

    let (begun, revert) = world.take_back(&run.run).await.unwrap();
    assert_eq!(begun, BegunRevert::UnderWay);
    assert_eq!((revert.restored, revert.left), (USERS as u64, 1));
    let left = world.store.left_by_revert(&run.run).await.unwrap();
    assert_eq!(left[0].why, LeftAlone::Created);
    let mut now = world.users().await.unwrap();
    assert_eq!(now.remove(&left[0].id).unwrap().reason, Reason::Present);
    assert_eq!(now.len(), before.len());
    for (id, user) in &before {
        assert_eq!(as_it_was(&now[id]), as_it_was(user));
    }
}
