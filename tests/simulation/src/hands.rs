//! What becomes of a plan that waits for a person, and of a run that is taken back, while everything goes
//! wrong once more: two who approve, one who rejects, a schedule that fires, people who come back.

use std::sync::Arc;
use std::time::Duration;

use rollcall_core::ids::RunRef;
use rollcall_store::{BegunRevert, RETENTION_DAYS, Ruled, Store};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::checks::hands::HOLD_MS_MAX;
use crate::checks::starts::CLOCKS_MS;
use crate::item::{Item, Place, number, text};
use crate::lambda::Function;
use crate::person;
use crate::queues::call;
use crate::story::{GRACE_MS, RUN_MS_MAX, ended_by, fires, put_at_last, sweep};
use crate::tenants::SimTenant;
use crate::world::{World, lock};

/// How long a person takes to decide, in milliseconds.
const DECIDES_MS_MAX: u64 = 60_000;
/// Within how long those who take the same run back ask for it, in milliseconds: they meet.
const ASKS_MS_MAX: u64 = 2_000;
/// How long after the storm a revert is waited for, in milliseconds: its lease, some sweeps, and an
/// invocation that still stands still.
const REVERT_MS_MAX: u64 = GRACE_MS;
/// How often it is looked for its end, in milliseconds.
const LOOK_MS: u64 = 500;

/// Tells it of one tenant.
pub(crate) async fn follow(world: &Arc<World>, store: &Store) -> anyhow::Result<()> {
    let Some(nth) = (!world.tenants.is_empty()).then(|| world.dice.index(world.tenants.len()))
    else {
        return Ok(());
    };
    world.tell(|| "-- a plan waits for a person".into());
    world.tenants[nth].tighten_guards(&world.dice);
    put_at_last(store, &world.tenants[nth].settings()?).await?;
    for _ in 0..world.dice.of([1, 1, 2]) {
        world.many_go(&world.tenants[nth]);
        let kind = world.dice.of(["full", "full", "delta"]);
        fires(Arc::clone(world), kind).await;
        ended_by(world, RUN_MS_MAX).await;
        let Some((run, plan)) = held(world, &world.tenants[nth]) else {
            continue;
        };
        if world.dice.per_mille(150) {
            lapses(world, &run).await;
            continue;
        }
        let sweeper = storm(world);
        let is_taken_back = decide(world, store, nth, &run, &plan).await?;
        calm(
            world,
            &world.tenants[nth],
            &sweeper,
            is_taken_back.then_some(&run),
        )
        .await;
        if world.is_over() {
            return Ok(());
        }
    }
    taken_back(world, store, nth).await
}

/// The run that waits with a plan, and the plan's hash.
fn held(world: &World, tenant: &SimTenant) -> Option<(RunRef, String)> {
    let mirror = lock(&world.mirror);
    let head = Place::coordination(format!("head#{}", tenant.name), "head".into());
    let head = mirror.get(&head)?;
    let run = number(head, "held_run").or_else(|| number(head, "held_delta_run"))?;
    let named = format!("{}/{run}", tenant.name).parse().ok()?;
    let run = Place::coordination(format!("run#{}", tenant.name), format!("{run:010}"));
    let plan = text(mirror.get(&run)?, "held_plan").to_owned();
    Some((named, plan))
}

/// Nobody decides about a plan until it is too old for it.
async fn lapses(world: &Arc<World>, run: &RunRef) {
    world.tell(|| format!("nobody decides about {run}"));
    sleep(Duration::from_millis(HOLD_MS_MAX + CLOCKS_MS)).await;
    let event = json!({ "schedule": "sweep" });
    call(Arc::clone(world), Function::Finalizer, event).await;
    let place = Place::coordination(format!("run#{}", run.tenant), format!("{:010}", run.run));
    let waits = {
        let mirror = lock(&world.mirror);
        let state = mirror.get(&place).map(|item| text(item, "state"));
        state != Some("SUPERSEDED")
    };
    if waits && !world.is_over() {
        let detail = format!("{run} waits for ever");
        return world.violate(
            "invariant 7: a hold ends by a person or a later plan",
            detail,
        );
    }
    world.mark("holds lapsed");
}

fn storm(world: &Arc<World>) -> JoinHandle<()> {
    world.tell(|| "-- the storm is back".into());
    world.storm_again();
    tokio::spawn(sweep(Arc::clone(world), world.sweep_ms))
}

async fn calm(
    world: &World,
    tenant: &SimTenant,
    sweeper: &JoinHandle<()>,
    taken_back: Option<&RunRef>,
) {
    world.tell(|| "-- calm".into());
    world.calm_down();
    ended_by(world, tenant.deadline_ms + GRACE_MS).await;
    if let Some(run) = taken_back {
        ended(world, run).await;
    }
    sweeper.abort();
}

/// Several decide about one plan, somebody would rather take its run back, and life goes on. `true` if a
/// revert is under way then.
async fn decide(
    world: &Arc<World>,
    store: &Store,
    nth: usize,
    run: &RunRef,
    plan: &str,
) -> anyhow::Result<bool> {
    let mut busy = Vec::new();
    let mut approved_after_ms = 0;
    for by in 0..world.dice.of([1, 1, 2, 3]) {
        approved_after_ms = world.dice.between(0, DECIDES_MS_MAX);
        let typed = match world.dice.index(8) {
            0 => "0".repeat(64),
            _ => plan.to_owned(),
        };
        busy.push(tokio::spawn(approves(
            Arc::clone(world),
            run.clone(),
            typed,
            (by, approved_after_ms),
        )));
    }
    if world.dice.per_mille(150) {
        busy.push(tokio::spawn(rejects(Arc::clone(world), run.clone())));
    }
    if world.dice.per_mille(300) {
        let kind = world.dice.of(["full", "delta"]);
        // Half of them at the very moment at which somebody approves.
        let after_ms = world.dice.of([0, approved_after_ms]);
        let world = Arc::clone(world);
        busy.push(tokio::spawn(async move {
            sleep(Duration::from_millis(after_ms)).await;
            fires(world, kind).await;
        }));
    }
    let reverts_it = world
        .dice
        .per_mille(300)
        .then(|| tokio::spawn(reverts(Arc::clone(world), run.clone(), DECIDES_MS_MAX)));
    let tenant = &world.tenants[nth];
    for _ in 0..world.dice.between(0, 6) {
        sleep(Duration::from_millis(
            world.dice.between(0, DECIDES_MS_MAX / 4),
        ))
        .await;
        match world.dice.index(8) {
            0 | 1 => person::decide(world, store, tenant).await,
            2 => world.many_come_back(tenant),
            3 => {
                tenant.change_settings(&world.dice);
                person::put_settings(world, store, tenant).await;
            }
            _ => world.churn(tenant),
        }
    }
    for somebody in busy {
        somebody.await?;
    }
    match reverts_it {
        Some(somebody) => Ok(somebody.await?),
        None => Ok(false),
    }
}

/// A person's call may be lost like any other, or its answer.
async fn approves(world: Arc<World>, run: RunRef, typed: String, (by, after_ms): (u64, u64)) {
    sleep(Duration::from_millis(after_ms)).await;
    let by = format!("person{by}");
    world.tell(|| format!("{by} approves {run}: {typed}"));
    let ruled = person::asks(world.app(0).approve(&run, &typed, &by)).await;
    world.tell(|| format!("{by} is told: {ruled:?}"));
    let Ok(ruled) = ruled else { return };
    world.mark(match ruled {
        Ruled::Done => "plans approved",
        _ => "approvals refused",
    });
    let place = Place::coordination(format!("run#{}", run.tenant), format!("{:010}", run.run));
    let mirror = lock(&world.mirror);
    let none = Item::new();
    let stored = mirror.get(&place).unwrap_or(&none);
    let is_by = text(stored, "approved_by") == by;
    let is_asked = text(stored, "held_plan") == typed;
    if ruled == Ruled::Done && !(is_by && is_asked) {
        let detail = format!("{run}: {by} was told that {typed} is approved");
        world.violate("invariant 7: a plan is released by its hash, once", detail);
    }
}

async fn rejects(world: Arc<World>, run: RunRef) {
    sleep(Duration::from_millis(world.dice.between(0, DECIDES_MS_MAX))).await;
    world.tell(|| format!("somebody rejects {run}"));
    let store = world.store(0);
    if person::asks(rollcall_sync::reject(&store, &run, "nobody")).await == Ok(Ruled::Done) {
        world.mark("plans rejected");
    }
}

/// A run of the tenant is taken back, by two at once, while people go on.
async fn taken_back(world: &Arc<World>, store: &Store, nth: usize) -> anyhow::Result<()> {
    let tenant = &world.tenants[nth];
    let Some(run) = written_last(world, tenant) else {
        return Ok(());
    };
    if world.dice.per_mille(100) {
        // What it left may be gone by then, in part.
        world.tell(|| format!("{run} is long over"));
        world.mark("runs that are too old to be taken back");
        let kept_ms = RETENTION_DAYS * 86_400_000;
        sleep(Duration::from_millis(kept_ms)).await;
    }
    let sweeper = storm(world);
    let mut busy = Vec::new();
    for _ in 0..world.dice.of([1, 2]) {
        busy.push(tokio::spawn(reverts(
            Arc::clone(world),
            run.clone(),
            ASKS_MS_MAX,
        )));
    }
    for _ in 0..world.dice.between(0, 4) {
        sleep(Duration::from_millis(world.dice.between(0, 3_000))).await;
        person::decide(world, store, tenant).await;
    }
    let mut is_begun = false;
    for somebody in busy {
        is_begun |= somebody.await?;
    }
    world.calm_down();
    if is_begun {
        ended(world, &run).await;
    }
    sweeper.abort();
    for left in store.left_by_revert(&run).await? {
        world.tell(|| format!("{} was left: {:?}", left.id, left.why));
        world.mark("users left by a revert");
    }
    Ok(())
}

/// The last run that has ended and left images.
fn written_last(world: &World, tenant: &SimTenant) -> Option<RunRef> {
    let mirror = lock(&world.mirror);
    let pk = format!("run#{}", tenant.name);
    let runs = mirror.range(crate::item::Table::Coordination, &pk, "");
    let has_ended = |item: &Item| {
        let state = text(item, "state");
        matches!(
            state,
            "COMPLETED" | "HELD" | "REJECTED" | "SUPERSEDED" | "FAILED"
        )
    };
    let ended = runs.filter(|(_, item)| has_ended(item));
    let numbers: Vec<_> = ended.filter_map(|(_, item)| number(item, "run")).collect();
    let has_images = |run: &&u64| {
        let prefix = format!("journal#{}#{run}#", tenant.name);
        let mut images = mirror.partitions(crate::item::Table::Coordination, &prefix);
        images.next().is_some()
    };
    let run = numbers.iter().rev().find(has_images)?;
    format!("{}/{run}", tenant.name).parse().ok()
}

/// `true` if the revert is under way then.
async fn reverts(world: Arc<World>, run: RunRef, ms_max: u64) -> bool {
    sleep(Duration::from_millis(world.dice.between(0, ms_max))).await;
    world.tell(|| format!("somebody takes {run} back"));
    let begun = person::asks(world.app(0).revert(&run, "ada")).await;
    world.tell(|| format!("somebody is told: {begun:?}"));
    match begun {
        Ok(begun) => matches!(begun, BegunRevert::UnderWay | BegunRevert::Done),
        // It may have begun all the same.
        Err(_) => {
            let mirror = lock(&world.mirror);
            mirror.get(&place_of_revert(&run)).is_some()
        }
    }
}

fn place_of_revert(run: &RunRef) -> Place {
    Place::coordination(format!("revert#{}", run.tenant), format!("{:010}", run.run))
}

async fn ended(world: &World, run: &RunRef) {
    let until_ms = world.now_ms() + REVERT_MS_MAX;
    let place = place_of_revert(run);
    while !world.is_over() {
        let has_ended = {
            let mirror = lock(&world.mirror);
            mirror
                .get(&place)
                .is_some_and(|item| item.contains_key("ended_at"))
        };
        if has_ended {
            return world.mark("runs taken back");
        }
        if world.now_ms() >= until_ms {
            let detail = format!("the revert of {run} did not end");
            return world.violate("invariant 9: every revert ends", detail);
        }
        sleep(Duration::from_millis(LOOK_MS)).await;
    }
}
