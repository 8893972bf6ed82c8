//! Schedules that fire for some hours while everything goes wrong: late, twice, again when it is long over,
//! by a function that dies among its tenants; with a tenant whose runs keep failing, and one that wants
//! none. When it is calm, whoever was due has had what was due to him.

use std::sync::Arc;
use std::time::Duration;

use rollcall_core::ids::TenantId;
use rollcall_store::Store;
use tokio::time::sleep;

use crate::called_for::Occurrence;
use crate::checks::starts::{CLOCKS_MS, is_done_with, rests_until_ms};
use crate::story::{GRACE_MS, RUN_MS_MAX, ended_by, fires_at, put_at_last, sweep};
use crate::tenants::SimTenant;
use crate::weather::Story;
use crate::world::{World, lock};

/// How much later than the one before a schedule fires at most, in milliseconds.
const PERIOD_MS_MAX: u64 = 7_200_000;
/// How long a message of an occurrence may take in a storm, in milliseconds: each of some rings after the
/// other comes late and five times, after hours.
const MESSAGES_MS_MAX: u64 = 200_000_000;
/// How often it is looked, in milliseconds.
const LOOK_MS: u64 = 5_000;
/// How often the sweeper is called, in milliseconds: as the template has it. Hours of a sweeper that comes every few
/// seconds would be most of what a seed takes.
const SWEEP_MS: u64 = 300_000;

/// Tells it.
pub(crate) async fn follow(world: &Arc<World>, store: &Store) -> anyhow::Result<()> {
    world.tell(|| "-- schedules fire".into());
    world.go_through(world.dice.of([1, 2, 2, 100]));
    let ill = world.dice.per_mille(600);
    let ill = ill.then(|| &world.tenants[world.dice.index(world.tenants.len())]);
    for tenant in &world.tenants {
        tenant.find_secret();
        tenant.schedule(&world.dice);
    }
    if let Some(ill) = ill {
        ill.misplace_secret(&world.dice);
    }
    for tenant in &world.tenants {
        put_at_last(store, &tenant.settings()?).await?;
    }
    let fired = storm(world).await?;
    for occurrence in fired {
        had_by_all(world, occurrence, MESSAGES_MS_MAX).await;
    }
    // One more, when nobody has to wait for a sweeper, and whoever rests goes on resting.
    let occurrence = fire(world, true).await;
    had_by_all(world, occurrence, RUN_MS_MAX).await;
    ended_by(world, RUN_MS_MAX).await;
    for tenant in &world.tenants {
        end_rest(world, store, tenant).await?;
    }
    // And then whoever rested is due as well.
    let occurrence = fire(world, true).await;
    had_by_all(world, occurrence, RUN_MS_MAX).await;
    ended_by(world, RUN_MS_MAX).await;
    Ok(())
}

/// The schedules' occurrences of some hours.
async fn storm(world: &Arc<World>) -> anyhow::Result<Vec<Occurrence>> {
    world.storm_again();
    let sweeper = tokio::spawn(sweep(Arc::clone(world), SWEEP_MS));
    if world.chaos.story == Story::Clear {
        sweeper.abort();
    }
    let (mut fired, mut firing) = (Vec::new(), Vec::new());
    for _ in 0..world.dice.between(3, 6) {
        let at_ms = world.now_ms();
        let is_full = world.dice.per_mille(600);
        let mut due = vec![Occurrence { is_full, at_ms }];
        if world.dice.per_mille(200) {
            // Both schedules at the same moment.
            due.push(Occurrence {
                is_full: !is_full,
                at_ms,
            });
        }
        if world.chaos.is_doubled(&world.dice) {
            due.push(due[0]);
        }
        fired.extend_from_slice(&due);
        if world.dice.per_mille(200) {
            // One of earlier is told again.
            world.mark("occurrences told long after");
            due.push(fired[world.dice.index(fired.len())]);
        }
        for occurrence in due {
            firing.push(tokio::spawn(fires_at(Arc::clone(world), occurrence)));
        }
        sleep(Duration::from_millis(
            world.dice.between(60_000, PERIOD_MS_MAX),
        ))
        .await;
        if world.is_over() {
            break;
        }
    }
    for firing in firing {
        firing.await?;
    }
    world.tell(|| "-- calm".into());
    world.calm_down();
    let deadlines = world.tenants.iter().map(|tenant| tenant.deadline_ms);
    ended_by(world, deadlines.max().unwrap_or_default() + GRACE_MS).await;
    sweeper.abort();
    Ok(fired)
}

async fn fire(world: &Arc<World>, is_full: bool) -> Occurrence {
    let at_ms = world.now_ms();
    let occurrence = Occurrence { is_full, at_ms };
    fires_at(Arc::clone(world), occurrence).await;
    occurrence
}

/// Waits until everybody has had an occurrence who was due, unless the weather has kept it from somebody.
async fn had_by_all(world: &World, occurrence: Occurrence, ms_max: u64) {
    let until_ms = world.now_ms() + ms_max;
    loop {
        let waits = |tenant: &&SimTenant| !is_done_with(world, tenant, occurrence);
        let Some(waiting) = world.tenants.iter().find(waits) else {
            return;
        };
        let is_lost = lock(&world.lost_occurrences).contains(&occurrence.at_ms);
        if is_lost || world.store_has_lied() || world.is_over() {
            return;
        }
        if world.now_ms() >= until_ms {
            let detail = format!("{} has not had {occurrence:?}", waiting.name);
            return world.violate("fan-out: a due tenant has one run an occurrence", detail);
        }
        sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// A tenant that rests is found well by a person, is changed, or has rested long enough.
async fn end_rest(world: &World, store: &Store, tenant: &SimTenant) -> anyhow::Result<()> {
    let Some(until_ms) = rests_until_ms(world, tenant) else {
        return Ok(());
    };
    match world.dice.index(3) {
        0 => {
            store.end_rest(&TenantId::new(&tenant.name)?).await?;
        }
        1 => {
            tenant.find_secret();
            tenant.change_retries();
            put_at_last(store, &tenant.settings()?).await?;
        }
        _ => {
            let rest_ms = until_ms.saturating_sub(world.now_ms()) + CLOCKS_MS;
            sleep(Duration::from_millis(rest_ms)).await;
        }
    }
    world.mark("rests ended");
    world.tell(|| format!("{} has rested", tenant.name));
    Ok(())
}
