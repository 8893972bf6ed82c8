//! Service providers: the lease of whoever tells one, what is noted of accounts, and when one is due.

use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::scim::{AccountMark, AccountNote, Outcome};
use rollcall_core::status::Status;
use rollcall_core::user::ContentHash;
use rollcall_store::{Head, SCIM_LEASE_MS, ScimLease, ScimRecord, ScimRound, StoreError};
use serde_json::json;

use crate::values::settings;
use crate::world::World;

const PROVIDER: &str = "0123456789ab";

fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

async fn granted(world: &World, owner: &str) -> (ScimLease, ScimRecord) {
    let granted = world.store.acquire_scim(&tenant(), owner).await.unwrap();
    granted.expect("it is free")
}

async fn leased(world: &World, owner: &str) -> ScimLease {
    granted(world, owner).await.0
}

fn noted(id: &str, note: AccountNote) -> (ObjectId, AccountNote) {
    (ObjectId::new(id).unwrap(), note)
}

#[tokio::test]
async fn whoever_lost_the_lease_notes_nothing_and_the_next_token_is_higher() {
    let world = World::start().await;
    world.started("t").await;
    let first = leased(&world, "first").await;
    let busy = world.store.acquire_scim(&tenant(), "second").await.unwrap();
    assert!(busy.is_none());
    world.clock.advance_ms(SCIM_LEASE_MS);
    let second = leased(&world, "second").await;
    assert_eq!((first.token(), second.token()), (1, 2));
    assert_eq!(second.taken_from().unwrap().owner, "first");
    let noted = [noted("u", AccountNote::begun(None, 7))];
    let note = world.store.note_accounts(&first, PROVIDER, &noted);
    assert_eq!(note.await, Err(StoreError::LostLease));
    let head = world.store.head(&tenant()).await.unwrap();
    let (_, record) = (&second, world.store.scim(&tenant()).await.unwrap());
    let end = world.store.end_scim(&first, (&head, &record), None);
    assert_eq!(end.await, Err(StoreError::LostLease));
    let release = world.store.release_scim(&first, &record.round(&head)).await;
    assert_eq!(release, Err(StoreError::LostLease));
    world
        .store
        .note_accounts(&second, PROVIDER, &noted)
        .await
        .unwrap();
    world
        .store
        .release_scim(&second, &record.round(&head))
        .await
        .unwrap();
    let third = leased(&world, "third").await;
    assert_eq!((third.token(), third.taken_from()), (3, None));
}

#[tokio::test]
async fn what_is_noted_of_an_account_is_read_as_it_was_noted_and_keeps_the_lease() {
    let world = World::start().await;
    world.started("t").await;
    let lease = leased(&world, "first").await;
    let mark = |status| AccountMark {
        status,
        hash: ContentHash([9; 16]),
    };
    let told_of = |account: Option<&str>, status| {
        let outcome = Outcome::Told(account.map(str::to_owned), mark(status));
        AccountNote::after(None, outcome, false, 3)
    };
    let told = [
        noted("on", told_of(Some("a1"), Status::Active)),
        noted("off", told_of(None, Status::Inactive)),
        noted(
            "refused",
            AccountNote::after(None, Outcome::Refused(mark(Status::Active)), true, 3),
        ),
        noted("begun", AccountNote::begun(None, 7)),
        noted(
            "missed",
            AccountNote::after(None, Outcome::Missed(mark(Status::Inactive)), false, 3),
        ),
    ];
    for _ in 0..3 {
        world.clock.advance_ms(SCIM_LEASE_MS - 1);
        world
            .store
            .note_accounts(&lease, PROVIDER, &told)
            .await
            .unwrap();
    }
    let mut read = Vec::new();
    for shard in 0..rollcall_store::DIRECTORY_SHARDS {
        let accounts = world
            .store
            .accounts(&tenant(), PROVIDER, shard)
            .await
            .unwrap();
        read.extend(accounts);
        let others = world
            .store
            .accounts(&tenant(), "another", shard)
            .await
            .unwrap();
        assert!(others.is_empty());
    }
    read.sort_by(|a, b| b.0.cmp(&a.0));
    let mut told = told.to_vec();
    told.sort_by(|a, b| b.0.cmp(&a.0));
    assert_eq!(read, told);
    // A note of less leaves nothing of the one before.
    let now = [noted("on", AccountNote::default())];
    world
        .store
        .note_accounts(&lease, PROVIDER, &now)
        .await
        .unwrap();
    let mut found = 0;
    for shard in 0..rollcall_store::DIRECTORY_SHARDS {
        let accounts = world
            .store
            .accounts(&tenant(), PROVIDER, shard)
            .await
            .unwrap();
        found += accounts.into_iter().filter(|it| *it == now[0]).count();
    }
    assert_eq!(found, 1);
}

#[tokio::test]
async fn what_is_wanted_while_it_is_told_is_due_after_it() {
    let world = World::start().await;
    world.started("t").await;
    let now_ms = world.now_ms();
    world.store.want_scim(&tenant(), now_ms).await.unwrap();
    let head = world.store.head(&tenant()).await.unwrap();
    assert!(head.is_to_be_told(now_ms));
    let (lease, record) = world
        .store
        .acquire_scim(&tenant(), "first")
        .await
        .unwrap()
        .unwrap();
    world.store.want_scim(&tenant(), now_ms + 1).await.unwrap();
    world
        .store
        .end_scim(&lease, (&head, &record), None)
        .await
        .unwrap();
    let wanted = world.store.head(&tenant()).await.unwrap();
    assert_eq!(wanted.scim_due_at_ms, Some(now_ms + 1));

    let (lease, record) = world
        .store
        .acquire_scim(&tenant(), "second")
        .await
        .unwrap()
        .unwrap();
    let later = Some(now_ms + 300_000);
    world
        .store
        .end_scim(&lease, (&wanted, &record), later)
        .await
        .unwrap();
    let head = world.store.head(&tenant()).await.unwrap();
    assert_eq!(head.scim_due_at_ms, later);
    assert!(!head.is_to_be_told(now_ms) && head.is_to_be_told(now_ms + 300_000));
}

// A provider that the tenant got in the middle of the run was told before the run went on.
#[tokio::test]
async fn a_run_that_began_without_a_provider_has_one_told_of_what_it_changed() {
    let world = World::start().await;
    let due = async || world.store.head(&tenant()).await.unwrap().scim_due_at_ms;
    for end in ["completes", "is held", "fails"] {
        world.clock.advance_ms(1_000);
        let lease = world.finalizing("t").await;
        match end {
            "completes" => world.complete(&lease).await,
            "is held" => world.hold(&lease).await,
            _ => world.fail(&lease).await,
        }
        assert_eq!(due().await, Some(world.now_ms()), "it {end}");
    }
}

#[tokio::test]
async fn a_copy_of_a_tenant_tells_nobody() {
    let world = World::start().await;
    let mut told = settings("t");
    told.scim = serde_json::from_value(json!({
        "url": "https://app.example/scim",
        "credential": { "kind": "secret", "env": "TOKEN" },
    }))
    .unwrap();
    assert!(told.scim.is_some());
    world.started("t").await;
    world.store.put_tenant(&told).await.unwrap();
    world.store.want_scim(&tenant(), 1).await.unwrap();
    let marks = world.store.tenant_marks().await.unwrap();
    assert!(marks[0].tells_scim);

    let copy = World::start().await;
    world
        .store
        .copy_tenant(&copy.store, &tenant())
        .await
        .unwrap();
    let copied = copy.store.tenant(&tenant()).await.unwrap().unwrap();
    assert_eq!(copied.settings.scim, None);
    assert!(!copy.store.tenant_marks().await.unwrap()[0].tells_scim);
    let head = copy.store.head(&tenant()).await.unwrap();
    assert_eq!((head.scim_due_at_ms, head.active_run), (None, None));
}

fn shards(round: &mut ScimRound, count: usize) -> Vec<u8> {
    let mut shards = Vec::new();
    for _ in 0..count {
        shards.extend(round.shard());
        round.is_told();
    }
    shards
}

#[tokio::test]
async fn a_telling_that_was_cut_short_is_gone_on_with_where_it_stopped() {
    let world = World::start().await;
    world.started("t").await;
    world.store.want_scim(&tenant(), 1).await.unwrap();
    let head = world.store.head(&tenant()).await.unwrap();
    let (lease, record) = granted(&world, "first").await;
    let mut round = record.round(&head);
    assert_eq!(shards(&mut round, 3), [0, 1, 2]);
    round.left = 7;
    world.store.release_scim(&lease, &round).await.unwrap();
    let (lease, record) = granted(&world, "second").await;
    let mut round = record.round(&head);
    assert_eq!(round.left, 7);
    assert_eq!(shards(&mut round, 5), [3, 4, 5, 6, 7]);
    assert_eq!(round.shard(), None);
    // What is wanted anew is a round of its own, and begins where the last one ended.
    world.store.release_scim(&lease, &round).await.unwrap();
    world.store.want_scim(&tenant(), 2).await.unwrap();
    let head = world.store.head(&tenant()).await.unwrap();
    let (_, record) = granted(&world, "third").await;
    let mut round = record.round(&head);
    assert_eq!((round.left, shards(&mut round, 8).len()), (0, 8));
}

/// Accounts that hang in one part of the directory take all of a telling's time, again and again.
#[test]
fn a_part_of_the_directory_that_is_left_in_its_middle_has_its_turn_when_all_others_have_had_theirs()
{
    let mut round = ScimRound::default();
    assert_eq!(shards(&mut round, 3), [0, 1, 2]);
    let mut next = round.passed();
    assert_eq!(shards(&mut next, 8), [4, 5, 6, 7, 0, 1, 2, 3]);
    assert_eq!(next.shard(), None);
    let ended = ScimRecord::ended(1, 0, &round.passed());
    assert_eq!(ended.round(&Head::default()).shard(), Some(4));
}
