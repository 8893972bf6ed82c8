//! Random histories.

use std::time::Duration;

use fastrand::Rng;
use rollcall_core::by_hand::Decision;
use rollcall_end_to_end::scim::ScimMeets;

use crate::{HOUR_MS, Provided};

/// How many random histories are told; `ROLLCALL_SCIM_HISTORIES` says another number.
const HISTORIES: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_random_histories_with_faults_on_both_sides_the_accounts_are_the_directory() {
    let histories = std::env::var("ROLLCALL_SCIM_HISTORIES").ok();
    let histories = histories.map_or(HISTORIES, |it| it.parse().unwrap());
    for seed in 1..=histories {
        let mut rng = Rng::with_seed(seed);
        let it = Provided::start(12).await;
        for _ in 0..rng.u32(1..4) {
            churn(&it, &mut rng).await;
            let faults = rng.usize(0..12);
            it.provider
                .meets((0..faults).map(|_| fault(&mut rng)).collect::<Vec<_>>());
            it.world.sync().await.unwrap();
            for _ in 0..rng.u32(0..3) {
                for _ in 0..rng.u32(0..3) {
                    tell_or_die(&it, &mut rng).await;
                }
                it.provider.late().await.unwrap();
                it.pass(rng.u64(0..HOUR_MS));
            }
        }
        it.provider.meets([]);
        it.sync_and_tell().await;
        it.provider.late().await.unwrap();
        it.pass(HOUR_MS);
        it.settle().await;
        let differs = it.differs().await;
        assert_eq!(differs, None, "history {seed}");
    }
}

fn fault(rng: &mut Rng) -> ScimMeets {
    match rng.u32(0..6) {
        0 => ScimMeets::Refused,
        1 => ScimMeets::LostAnswer,
        2 => ScimMeets::Late,
        3 if rng.u32(0..4) == 0 => ScimMeets::Throttled,
        _ => ScimMeets::Nothing,
    }
}

/// The finalizer is rung, and may die at any moment.
async fn tell_or_die(it: &Provided, rng: &mut Rng) {
    if rng.bool() {
        return it.tell().await;
    }
    let dies = tokio::time::sleep(Duration::from_millis(rng.u64(0..80)));
    tokio::select! {
        () = it.tell() => {}
        () = dies => {}
    }
}

async fn churn(it: &Provided, rng: &mut Rng) {
    let users: Vec<_> = {
        let directory = it.world.tenant.directory();
        directory.users().map(|user| user.id).collect()
    };
    let people = || it.world.tenant.directory();
    for _ in 0..rng.u32(0..6) {
        let id = users[rng.usize(0..users.len())];
        let name = format!("n{}@contoso.com", rng.u32(0..1_000_000));
        match rng.u32(0..6) {
            // Whoever is gone cannot change.
            enabled @ (0 | 1) => drop(people().set_account_enabled(id, Some(enabled == 1))),
            2 => drop(people().rename(id, &name, &name)),
            3 => drop(people().add_people(1)),
            4 => drop(people().soft_delete(id)),
            _ => {
                let decision = [Decision::Activate, Decision::Deactivate, Decision::Release];
                it.decide(id, decision[rng.usize(0..3)]).await;
            }
        }
    }
}
