//! Service providers that are told while everything goes wrong: runs, people's words, a provider that is down for an
//! hour, requests that come minutes late. When it is calm, each account is as its user, without a run or a word more.

use std::sync::Arc;
use std::time::Duration;

use rollcall_core::ids::TenantId;
use rollcall_store::Store;
use tokio::time::sleep;

use crate::checks::accounts;
use crate::person;
use crate::provider::Provider;
use crate::story::{GRACE_MS, ended_by, fires, put_at_last, sweep};
use crate::tenants::SimTenant;
use crate::world::{World, lock};

/// How long after one day the next begins at most, in milliseconds.
const DAY_MS_MAX: u64 = 1_200_000;
/// How long a provider is down, in milliseconds, at most.
const DOWN_MS_MAX: u64 = 3_600_000;
/// How often the sweeper is called, in milliseconds: as the template has it.
const SWEEP_MS: u64 = 300_000;
/// How long after the faults it takes until a provider has been told, in milliseconds: an hour in which nobody asks it
/// after its failures, ten minutes in which a late request may come, and some sweeps.
const TOLD_MS_MAX: u64 = 7_200_000;
/// How often it is looked, in milliseconds.
const LOOK_MS: u64 = 20_000;

/// Tells it.
pub(crate) async fn follow(world: &Arc<World>, store: &Store) -> anyhow::Result<()> {
    world.tell(|| "-- service providers are told".into());
    for tenant in &world.tenants {
        tenant.find_secret();
        if world.dice.per_mille(800) {
            let name = someone(world, tenant).filter(|_| world.dice.per_mille(500));
            let provider = Provider::with_strangers(&world.dice, name.as_deref());
            tenant.gets_provider(provider);
        }
        put_at_last(store, &tenant.settings()?).await?;
        if tenant.has_provider() {
            // As the command does that stores a tenant.
            store
                .want_scim(&TenantId::new(&tenant.name)?, world.now_ms())
                .await?;
        }
    }
    storm(world, store).await;
    for tenant in world.tenants.iter().filter(|it| it.has_provider()) {
        is_told(world, tenant).await;
    }
    Ok(())
}

/// The login name of some user.
fn someone(world: &World, tenant: &SimTenant) -> Option<String> {
    let directory = tenant.graph.directory();
    let users: Vec<_> = directory.users().collect();
    let user = users.get(world.dice.index(users.len()))?;
    user.user_principal_name.clone()
}

async fn storm(world: &Arc<World>, store: &Store) {
    world.storm_again();
    let sweeper = tokio::spawn(sweep(Arc::clone(world), SWEEP_MS));
    for _ in 0..world.dice.between(1, 2) {
        if world.is_over() {
            break;
        }
        for tenant in &world.tenants {
            for _ in 0..world.dice.between(0, 4) {
                world.churn(tenant);
            }
            if world.chaos.is_stormy() && world.dice.per_mille(300) {
                let down_ms = world.dice.between(0, DOWN_MS_MAX);
                lock(&tenant.provider).down_until_ms = world.now_ms() + down_ms;
                world.tell(|| format!("!! {}'s provider is down for {down_ms} ms", tenant.name));
            }
        }
        let kind = world.dice.of(["full", "full", "delta"]);
        let firing = tokio::spawn(fires(Arc::clone(world), kind));
        for _ in 0..world.dice.between(0, 3) {
            sleep(Duration::from_millis(world.dice.between(0, DAY_MS_MAX / 8))).await;
            let tenant = &world.tenants[world.dice.index(world.tenants.len())];
            person::decide(world, store, tenant).await;
        }
        sleep(Duration::from_millis(world.dice.between(0, DAY_MS_MAX))).await;
        // It has been answered by now, or the world is over.
        let _ = firing.await;
    }
    world.tell(|| "-- calm".into());
    world.calm_down();
    for tenant in &world.tenants {
        tenant.keep_page_tokens();
        lock(&tenant.provider).down_until_ms = 0;
    }
    let deadlines = world.tenants.iter().map(|tenant| tenant.deadline_ms);
    ended_by(world, deadlines.max().unwrap_or_default() + GRACE_MS).await;
    let until_ms = world.now_ms() + TOLD_MS_MAX;
    let is_behind = |tenant: &&SimTenant| {
        tenant.has_provider() && accounts::difference(world, tenant).is_some()
    };
    while !world.is_over()
        && world.now_ms() < until_ms
        && world.tenants.iter().any(|it| is_behind(&it))
    {
        sleep(Duration::from_millis(LOOK_MS)).await;
    }
    sweeper.abort();
}

/// A tenant's provider has been told everything.
async fn is_told(world: &Arc<World>, tenant: &SimTenant) {
    if world.is_over() {
        return;
    }
    match accounts::difference(world, tenant) {
        None => world.mark("service providers told to the end"),
        Some(detail) => world.violate("service providers: each account is as its user", detail),
    }
}
