//! The story of a seed: some days on which everything goes wrong, then calm, and the question
//! whether the directory is the tenant's.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rollcall_core::settings::TenantSettings;
use rollcall_store::StoreError;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::called_for::Occurrence;
use crate::checks::end;
use crate::hands;
use crate::lambda::{Ended, Function};
use crate::operator;
use crate::person;
use crate::publisher;
use crate::queues::call;
use crate::schedules;
use crate::telling;
use crate::weather::{Story, Theme};
use crate::world::{World, lock};

/// How long a bad day is waited for, in milliseconds. What is not over by then goes on in the next.
const DAY_MS_MAX: u64 = 2_400_000;
/// How long changes go on while runs are under way, in milliseconds: about as long as a run takes, or
/// more than that when it is left half-way.
const CHURN_MS_MAX: u64 = 30_000;
/// How long after a run's deadline its end is waited for, in milliseconds: a lease of a process that
/// died, some sweeps, and an invocation that still stands still.
pub(crate) const GRACE_MS: u64 = 2_400_000;
/// How long a run takes at most when nothing goes wrong, in milliseconds: some seconds, or some
/// invocations more where the time limits are short.
pub(crate) const RUN_MS_MAX: u64 = 180_000;
/// How many calm days of deltas follow a story that was told to its end.
const CALM_DELTAS_MAX: u64 = 2;
/// How often it is looked whether all runs have ended, in milliseconds.
const LOOK_MS: u64 = 500;
/// How often EventBridge's call of a function is tried again when it fails. Lambda's default.
const SCHEDULE_RETRIES_MAX: u32 = 2;
/// How long after, in milliseconds.
const SCHEDULE_RETRY_MS: u64 = 60_000;

/// Tells the story, to its end or to the first violation.
///
/// # Errors
/// What is wrong with the simulation itself.
pub(crate) async fn tell(world: &Arc<World>) -> anyhow::Result<()> {
    let store = world.store(0);
    store.create_tables().await?;
    // As each later start of the command line does.
    store.create_tables().await?;
    for tenant in &world.tenants {
        world.settle(tenant);
        store.put_tenant(&tenant.settings()?).await?;
    }
    let sweeper = tokio::spawn(sweep(Arc::clone(world), world.sweep_ms));
    if world.chaos.story == Story::Clear {
        sweeper.abort();
    }
    if world.chaos.theme != Theme::Any && world.dice.per_mille(700) {
        // A directory that is in step already has more to lose.
        world.tell(|| "-- a calm night".into());
        fires(Arc::clone(world), "full").await;
        wait(world, DAY_MS_MAX).await;
    }
    world.chaos.turn(true);
    for _ in 0..days(world) {
        day(world, &store).await?;
        if world.is_over() {
            return Ok(());
        }
    }
    calm_down(world).await;
    if world.chaos.story == Story::Whole {
        settle(world, &store, &sweeper).await?;
    }
    sweeper.abort();
    if !world.is_over() && world.dice.per_mille(150) {
        schedules::follow(world, &store).await?;
    }
    if !world.is_over() && world.dice.per_mille(120) {
        telling::follow(world, &store).await?;
    }
    if !world.is_over() {
        publisher::follow(world).await;
    }
    Ok(())
}

fn days(world: &World) -> u64 {
    match (world.chaos.story, world.chaos.theme) {
        (Story::Clear, _) => 1,
        // Who is absent has to be so in two runs.
        (_, Theme::Leavers | Theme::Replicas) => world.dice.of([1, 2, 2, 3]),
        (Story::Bad, _) => 1,
        (Story::Whole, _) => world.dice.of([1, 1, 1, 2, 3]),
    }
}

/// The sweeper is called, every `pause_ms` milliseconds or later.
pub(crate) async fn sweep(world: Arc<World>, pause_ms: u64) {
    while !world.is_over() {
        let late_ms = world.chaos.late_ms(&world.dice);
        sleep(Duration::from_millis(pause_ms + late_ms)).await;
        let event = json!({ "schedule": "sweep" });
        if world.chaos.is_doubled(&world.dice) {
            tokio::spawn(call(Arc::clone(&world), Function::Finalizer, event.clone()));
        }
        tokio::spawn(call(Arc::clone(&world), Function::Finalizer, event));
    }
}

/// A day: changes, a schedule that may fire late or twice, and more changes while the runs go on.
async fn day(world: &Arc<World>, store: &rollcall_store::Store) -> anyhow::Result<()> {
    world.tell(|| "-- a day begins".into());
    for tenant in &world.tenants {
        for _ in 0..world.dice.between(0, 4) {
            world.churn(tenant);
        }
        let often = match world.chaos.theme {
            Theme::Leavers => 900,
            Theme::LateWrites | Theme::Hands => 600,
            Theme::Restarts | Theme::Replicas => 300,
            Theme::Any => 0,
        };
        if world.dice.per_mille(often) {
            if world.dice.per_mille(800) {
                world.many_go(tenant);
            } else {
                world.many_come_back(tenant);
            }
        }
    }
    if world.dice.per_mille(60) {
        // A tenant is away while the schedule fires.
        let (world, store) = (Arc::clone(world), store.clone());
        tokio::spawn(async move { operator::pauses_any(&world, &store).await });
    }
    let kind = if world.chaos.is_for_deltas(&world.dice) {
        "delta"
    } else {
        "full"
    };
    let mut begun = vec![tokio::spawn(fires(Arc::clone(world), kind))];
    if world.chaos.is_doubled(&world.dice) {
        begun.push(tokio::spawn(fires(Arc::clone(world), kind)));
    }
    let changes = changes(world, store);
    for schedule in begun {
        schedule.await?;
    }
    wait(world, world.dice.of([60_000, 600_000, DAY_MS_MAX])).await;
    changes.abort();
    Ok(())
}

/// Somebody asks for runs of all tenants, full or delta ones.
pub(crate) async fn fires(world: Arc<World>, kind: &str) {
    is_answered(&world, json!({ "schedule": kind })).await;
}

/// A schedule fires: the nightly one, or that of the deltas.
pub(crate) async fn fires_at(world: Arc<World>, occurrence: Occurrence) {
    if !is_answered(&world, occurrence.event()).await {
        lock(&world.lost_occurrences).insert(occurrence.at_ms);
    }
}

/// EventBridge calls the enumerator until it answers, or some times.
async fn is_answered(world: &Arc<World>, event: Value) -> bool {
    sleep(Duration::from_millis(world.chaos.late_ms(&world.dice))).await;
    for _ in 0..=SCHEDULE_RETRIES_MAX {
        let ended = call(Arc::clone(world), Function::Enumerator, event.clone()).await;
        if matches!(ended, Ended::Answered(_)) || world.is_over() {
            return true;
        }
        sleep(Duration::from_millis(SCHEDULE_RETRY_MS)).await;
    }
    false
}

/// What people do meanwhile: the tenants' administrators, and ours.
fn changes(world: &Arc<World>, store: &rollcall_store::Store) -> JoinHandle<()> {
    let (world, store) = (Arc::clone(world), store.clone());
    tokio::spawn(async move {
        let pause_ms_max = world
            .dice
            .of([CHURN_MS_MAX / 4, CHURN_MS_MAX / 4, 2 * CHURN_MS_MAX]);
        for _ in 0..world.dice.between(0, 8) {
            let pause_ms = world.dice.between(0, pause_ms_max);
            sleep(Duration::from_millis(pause_ms)).await;
            let Some(tenant) = world.tenants.get(world.dice.index(world.tenants.len())) else {
                return;
            };
            let done = match world.dice.index(24) {
                0 | 1 => {
                    tenant.change_settings(&world.dice);
                    person::put_settings(&world, &store, tenant).await;
                    Ok(())
                }
                2 => {
                    if world.dice.per_mille(500) {
                        tenant.misplace_secret(&world.dice);
                    } else {
                        tenant.find_secret();
                    }
                    person::put_settings(&world, &store, tenant).await;
                    Ok(())
                }
                3 => operator::pauses(&world, &store, tenant).await,
                4 | 5 => operator::looks(&world, &store, tenant, false).await,
                6 => {
                    operator::errs(&world, &store, tenant).await;
                    Ok(())
                }
                7..=11 => {
                    person::decide(&world, &store, tenant).await;
                    Ok(())
                }
                _ => {
                    world.churn(tenant);
                    Ok(())
                }
            };
            if let Err(error) = done {
                // Once in a hundred thousand looks DynamoDB leaves keys as often as the store asks for them.
                let is_busy = matches!(error.downcast_ref(), Some(StoreError::Unavailable(_)));
                if !is_busy {
                    world.violate("an operator can look", error.to_string());
                }
            }
        }
    })
}

/// Waits until no run is active. Gives those that still are.
async fn wait(world: &World, ms_max: u64) -> Vec<String> {
    let until_ms = world.now_ms() + ms_max;
    loop {
        let active = |tenant: &crate::tenants::SimTenant| {
            let run = world.active_run(&tenant.name)?;
            Some(format!("{}/{run}", tenant.name))
        };
        let active: Vec<_> = world.tenants.iter().filter_map(active).collect();
        // Whoever started it rings for nobody any more once it has given up.
        let may_start = world.starts_in_flight.load(Ordering::Relaxed) > 0;
        let is_quiet = active.is_empty() && !may_start;
        if is_quiet || world.is_over() || world.now_ms() >= until_ms {
            return active;
        }
        sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// Nothing goes wrong any more: what is under way ends.
async fn calm_down(world: &World) {
    world.tell(|| "-- calm".into());
    world.calm_down();
    for tenant in &world.tenants {
        tenant.keep_page_tokens();
    }
    let deadlines = world.tenants.iter().map(|tenant| tenant.deadline_ms);
    let ms_max = match world.chaos.story {
        // Whose step has failed is called again when its message comes back.
        Story::Clear => RUN_MS_MAX + world.visibility_ms_max(),
        Story::Bad | Story::Whole => deadlines.max().unwrap_or_default() + GRACE_MS,
    };
    ended_by(world, ms_max).await;
}

/// Puts a tenant, whoever else changes its settings at this moment: a write of the storm can still be
/// under way, and there is one of them at most.
pub(crate) async fn put_at_last(
    store: &rollcall_store::Store,
    settings: &TenantSettings,
) -> anyhow::Result<()> {
    match store.put_tenant(settings).await {
        Err(StoreError::Changed { .. }) => store.put_tenant(settings).await?,
        other => other?,
    };
    Ok(())
}

/// The next runs set everything right.
async fn settle(
    world: &Arc<World>,
    store: &rollcall_store::Store,
    sweeper: &JoinHandle<()>,
) -> anyhow::Result<()> {
    // From here on nothing may need the sweeper: every step rings the next.
    sweeper.abort();
    for tenant in &world.tenants {
        world.tell_unknowns(tenant);
        tenant.loosen_guards();
        tenant.find_secret();
        put_at_last(store, &tenant.settings()?).await?;
    }
    get_in_step(world).await;
    for tenant in &world.tenants {
        operator::looks(world, store, tenant, true).await?;
    }
    for _ in 0..world.dice.between(0, CALM_DELTAS_MAX) {
        if !world.is_over() {
            calm_delta(world).await;
        }
    }
    // In half of them people decide about a plan and a run: as much again as all before.
    if !world.is_over() && world.dice.per_mille(500) {
        hands::follow(world, store).await?;
        for tenant in &world.tenants {
            world.tell_unknowns(tenant);
            tenant.loosen_guards();
            put_at_last(store, &tenant.settings()?).await?;
        }
        if world.dice.per_mille(500) {
            // Whatever a delta would not tell is owed by now.
            fires(Arc::clone(world), "delta").await;
            ended_by(world, RUN_MS_MAX).await;
        }
        get_in_step(world).await;
    }
    Ok(())
}

/// So many full runs as it takes, after which each directory is its tenant's.
async fn get_in_step(world: &Arc<World>) {
    let mut runs = runs_needed(world);
    let mut nth = 1;
    while nth <= runs && !world.is_over() {
        world.tell(|| format!("-- calm run {nth} of {runs}"));
        let before: Vec<_> = world
            .tenants
            .iter()
            .map(|tenant| last_run(world, &tenant.name))
            .collect();
        fires(Arc::clone(world), "full").await;
        ended_by(world, RUN_MS_MAX).await;
        let mut all_completed = true;
        for (tenant, before) in world.tenants.iter().zip(before) {
            all_completed &= end::completed(world, tenant, before, nth == 1);
        }
        runs += u64::from(!all_completed);
        nth += 1;
    }
    for tenant in &world.tenants {
        end::equals(world, tenant, None);
    }
}

/// Where a delta can tell what changed, it brings the directory in step as a full run would.
async fn calm_delta(world: &Arc<World>) {
    world.tell(|| "-- a calm delta".into());
    let begun_ms = world.now_ms();
    for tenant in &world.tenants {
        for _ in 0..world.dice.between(0, 6) {
            // Of a change in its groups no delta of the users tells.
            world.churn_of_people(tenant);
        }
        world.tell_unknowns(tenant);
    }
    fires(Arc::clone(world), "delta").await;
    ended_by(world, RUN_MS_MAX).await;
    for tenant in &world.tenants {
        if end::was_delta(world, tenant, last_run(world, &tenant.name)) {
            world.mark("calm deltas");
            let is_sparse = tenant.graph.paging().delta_sparse;
            end::equals(world, tenant, is_sparse.then_some(begun_ms));
        }
    }
}

pub(crate) async fn ended_by(world: &World, ms_max: u64) {
    let active = wait(world, ms_max).await;
    if !active.is_empty() && !world.is_over() {
        let detail = format!("{} did not end", active.join(", "));
        world.violate("invariant 9: every run ends", detail);
    }
}

/// Somebody who vanished without a trace goes off when so many runs in a row say so.
fn runs_needed(world: &World) -> u64 {
    let needs = |tenant: &crate::tenants::SimTenant| {
        let vanished = end::active_but_gone(world, tenant);
        if vanished { tenant.confirmed_by } else { 1 }
    };
    world.tenants.iter().map(needs).max().unwrap_or(1)
}

/// The number of the tenant's last run; 0 before the first.
fn last_run(world: &World, tenant: &str) -> u64 {
    let head = crate::item::Place::coordination(format!("head#{tenant}"), "head".into());
    let mirror = lock(&world.mirror);
    let next = mirror
        .get(&head)
        .and_then(|head| crate::item::number(head, "next_run"));
    next.map_or(0, |next| next - 1)
}
