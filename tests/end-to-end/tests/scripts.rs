//! Random scripts of faults, over HTTP: whatever Graph does, nobody is switched off who belongs, and
//! when it is over the next runs leave the directory equal to the tenant.
//!
//! `ROLLCALL_SCRIPTS` says how many. A failure prints its script, which can be played to any client by
//! the emulator's example `emulate`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use fastrand::Rng;
use futures::{StreamExt, stream};
use rollcall_core::run::{RunMode, RunState};
use rollcall_end_to_end::truth::{differs, switched_off, wrongly_off};
use rollcall_end_to_end::{Problem, World};
use rollcall_graph_emulator::{FaultScript, Paging, Population};
use serde_json::json;

/// How many scripts a plain test run plays.
const SCRIPTS: u64 = 200;
/// How many are played at once: most of their time is waiting.
const AT_ONCE: usize = 12;
const USERS: usize = 24;
const USERS_PER_PAGE: usize = 4;
/// The most rules of a script.
const RULES_MAX: usize = 5;
/// How many runs may be needed after a script is over: who is not found goes with the second.
const RUNS_AFTER_MAX: usize = 2;

const COMMON: [&str; 17] = [
    "status 429 after 1",
    "status 429",
    "status 500 unknown",
    "status 502 html",
    "status 503",
    "status 503 empty-code",
    "status 504 empty",
    "closed",
    "reset",
    "broken",
    "delay 1500",
    "truncated",
    "spliced",
    "expired-bearer",
    "claims-challenge",
    "error-for-value",
    "null-value",
];
const OF_PAGES: [&str; 12] = [
    "page-token expired",
    "page-token not-found",
    "page-token invalid",
    "no-value",
    "empty-page",
    "next-link itself",
    "next-link page 1",
    "next-link missing",
    "next-link to https://graph.example.invalid",
    "redirect https://graph.example.invalid/v1.0/users",
    "twice all",
    "denied",
];
const OF_USERS: [&str; 4] = [
    "null-enabled first 2",
    "null-enabled all",
    "no-enabled first 1",
    "empty-end",
];
const OF_DELTAS: [&str; 4] = [
    "sync-state not-found",
    "sync-state resync",
    "sync-state apply-differences",
    "sync-state bare",
];
const OF_LOGINS: [&str; 5] = [
    "status 429 after 1 plain",
    "status 503 login 90033",
    "status 401 login 7000215",
    "status 502 html",
    "closed",
];
/// What Graph says of somebody who is there. Two such sources that agree are believed, so a script
/// lies in one way.
const LIES: [&[&str]; 3] = [
    &["users", "left-out first 2"],
    &["batch-item", "not-found"],
    &["delta", "removed-again first 1"],
];

fn pick<'a>(rng: &mut Rng, of: &[&'a str]) -> &'a str {
    of[rng.usize(..of.len())]
}

fn rule(rng: &mut Rng) -> String {
    let (endpoint, own): (_, &[&str]) = match rng.u8(..16) {
        0..=5 => ("users", if rng.bool() { &OF_PAGES } else { &OF_USERS }),
        6..=9 => ("delta", if rng.bool() { &OF_DELTAS } else { &OF_PAGES }),
        10 => ("token", &OF_LOGINS),
        11 => ("get-by-ids", &["left-out first 1", "left-out all"]),
        12 => ("batch", &["denied"]),
        13 => ("batch-item", &["status 404 unknown", "status 429 after 1"]),
        14 => ("deleted", &["denied", "page-token expired"]),
        _ => ("any", &["status 503 after 1"]),
    };
    let is_own = endpoint == "token" || rng.bool();
    let fault = pick(rng, if is_own { own } else { &COMMON });
    let at = match rng.u8(..4) {
        0 if endpoint == "users" => format!(" page {}", rng.u8(1..=6)),
        1 => format!(" from {}", rng.u8(1..=4)),
        _ => String::new(),
    };
    let times = match rng.u8(..8) {
        0..=3 => "once".to_owned(),
        4..=5 => format!("{} times", rng.u8(2..=4)),
        _ => "always".to_owned(),
    };
    format!("{endpoint}{at} {times}: {fault}\n")
}

fn script(rng: &mut Rng) -> String {
    let mut script: String = (0..=rng.usize(..RULES_MAX)).map(|_| rule(rng)).collect();
    if script.contains("get-by-ids") {
        // That lies already.
        return script;
    }
    if let [endpoint, lie] = LIES[rng.usize(..LIES.len())] {
        script += &format!("{endpoint} always: {lie}\n");
    }
    script
}

async fn synced(seed: u64) -> Result<World, Problem> {
    let population = Population {
        guests: 0.0,
        ..Population::new("contoso.com", seed, USERS)
    };
    let limits = json!({ "limits": { "graph_retry_seconds_max": 3, "lease_seconds": 2 } });
    let world = World::start_with(population, &limits).await?;
    world.tenant.set_paging(Paging {
        page_size_max: USERS_PER_PAGE,
        delta_page_size_max: 3,
        delta_sparse: seed.is_multiple_of(3),
        delta_disorder: seed.is_multiple_of(2),
        ..world.tenant.paging()
    });
    match world.sync().await?.state {
        RunState::Completed => Ok(world),
        state => Err(format!("the first sync is {state:?}").into()),
    }
}

/// Somebody joins, and some are renamed, disabled, deleted and back.
fn changes(world: &World, rng: &mut Rng) -> Result<(), Problem> {
    let mut directory = world.tenant.directory();
    let ids: Vec<_> = directory.users().map(|user| user.id).collect();
    directory.add_people(rng.usize(..4));
    let mut gone = 0;
    for id in ids {
        match rng.u8(..12) {
            0 => directory.rename(id, &format!("{id}@contoso.com"), "Renamed")?,
            1 => directory.set_account_enabled(id, Some(true))?,
            // So few that the guards let them pass.
            2 if gone < 2 => {
                gone += 1;
                directory.set_account_enabled(id, Some(false))?;
            }
            3 if gone < 2 => {
                gone += 1;
                directory.soft_delete(id)?;
                if rng.bool() {
                    directory.purge(id)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Plays a script to a run. Gives whether any of its faults happened.
async fn play(seed: u64, script: &str) -> Result<bool, Problem> {
    let mut rng = Rng::with_seed(seed);
    let world = synced(seed).await?;
    let before = world.users().await?;
    changes(&world, &mut rng)?;
    world.graph().play(script.parse::<FaultScript>()?);
    world.graph().clear_log();
    let mode = if seed.is_multiple_of(2) {
        RunMode::Delta
    } else {
        RunMode::Full
    };
    let run = world.sync_in(mode).await?;
    let happened = world.graph().log().iter().any(|entry| entry.faulted);
    let off = switched_off(&before, &world.users().await?);
    if let Some(id) = wrongly_off(&world, &off)? {
        return Err(format!("{id} is off and belongs").into());
    }
    if run.state != RunState::Completed && !off.is_empty() {
        return Err(format!("{:?} with {} off", run.state, off.len()).into());
    }
    world.graph().clear_faults();
    for _ in 0..RUNS_AFTER_MAX {
        let next = world.sync().await?;
        if next.state != RunState::Completed {
            return Err(format!("afterwards: {:?} {:?}", next.state, next.detail).into());
        }
    }
    match differs(&world, &world.users().await?)? {
        None => Ok(happened),
        Some(difference) => Err(format!("afterwards: {difference}").into()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_script_of_faults_switches_somebody_off_who_belongs() {
    let count = std::env::var("ROLLCALL_SCRIPTS");
    let count = count.map_or(SCRIPTS, |it| it.parse().unwrap());
    let plays = (0..count).map(|seed| async move {
        let script = script(&mut Rng::with_seed(seed));
        let played = play(seed, &script).await;
        played.map_err(|problem| format!("seed {seed}: {problem}, under\n{script}"))
    });
    let plays: Vec<_> = stream::iter(plays)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let wrong: Vec<_> = plays.iter().filter_map(|it| it.as_ref().err()).collect();
    for problem in &wrong {
        eprintln!("{problem}");
    }
    assert!(wrong.is_empty(), "{} of {count} scripts", wrong.len());
    // A script may be about what a run does not ask.
    let happened = plays.iter().filter(|it| **it == Ok(true)).count() as u64;
    assert!(
        happened * 2 > count,
        "{happened} of {count} scripts had a fault"
    );
}
