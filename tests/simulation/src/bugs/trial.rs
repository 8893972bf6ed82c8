//! Hunting a bug: the simulation runs with it awake, seed after seed, until a check sees it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow};

use super::catalogue::{AWAKE, Bug};
use super::child;
use super::scratch::Program;
use super::{NO_BUG, say};

/// How long all seeds of one bug may take, in seconds. A bug that stops the simulation itself is
/// ended by this.
const HUNT_SECONDS_MAX: u64 = 1_200;

/// What the simulation said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A check saw it on this seed.
    Failed {
        seed: u64,
        by: String,
        detail: String,
    },
    /// No seed failed.
    Passed,
    /// It did not end in time.
    TookTooLong,
    /// It ended without a word that can be read.
    Mute(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { seed, by, detail } => write!(f, "seed {seed} failed: {by}: {detail}"),
            Self::Passed => f.write_str("all seeds passed"),
            Self::TookTooLong => write!(f, "it was ended after {HUNT_SECONDS_MAX} s"),
            Self::Mute(ending) => write!(f, "it ended without a verdict, by {ending}"),
        }
    }
}

/// A bug and what became of it.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) bug: Bug,
    pub(super) verdict: Verdict,
    /// What the seed that failed says with every bug asleep. If it fails then too, no check saw the bug.
    pub(super) asleep: Verdict,
}

impl Trial {
    fn of(program: &Program, bug: &Bug, verdict: Verdict) -> Result<Self> {
        let asleep = match verdict {
            Verdict::Failed { seed, .. } => judge(program, NO_BUG, seed, 1)?,
            Verdict::Passed | Verdict::TookTooLong | Verdict::Mute(_) => Verdict::Passed,
        };
        let bug = bug.clone();
        Ok(Self {
            bug,
            verdict,
            asleep,
        })
    }

    /// How many seeds it took; `None` if no check saw it.
    pub(super) fn seeds(&self) -> Option<u64> {
        match (&self.verdict, &self.asleep) {
            (Verdict::Failed { seed, .. }, Verdict::Passed) => Some(*seed),
            _ => None,
        }
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.bug.name, self.verdict)?;
        match &self.asleep {
            Verdict::Passed => Ok(()),
            asleep => write!(f, "; but with every bug asleep, too: {asleep}"),
        }
    }
}

/// Hunts each bug, as many at a time as there are processors: first by the seed that is `known` to show
/// it, then by all.
pub(super) fn hunt(
    program: &Program,
    bugs: &[Bug],
    seeds_max: u64,
    known: &BTreeMap<String, u64>,
) -> Result<Vec<Trial>> {
    let hunters = thread::available_parallelism().map_or(1, usize::from);
    let next = Mutex::new(0..bugs.len());
    let found = Mutex::new(Vec::new());
    let hunter = || -> Result<()> {
        // Each round takes a bug off the list, so it ends with the list.
        loop {
            let Some(at) = next.lock().map_err(|_| broken())?.next() else {
                return Ok(());
            };
            let Some(bug) = bugs.get(at) else {
                return Ok(());
            };
            let first = match known.get(&bug.name) {
                Some(seed) => judge(program, &bug.name, *seed, 1)?,
                None => Verdict::Passed,
            };
            let verdict = match first {
                Verdict::Passed => judge(program, &bug.name, 1, seeds_max)?,
                seen => seen,
            };
            let trial = Trial::of(program, bug, verdict)?;
            say(&trial.to_string())?;
            found.lock().map_err(|_| broken())?.push((at, trial));
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..hunters).map(|_| scope.spawn(hunter)).collect();
        threads
            .into_iter()
            .try_for_each(|it| it.join().unwrap_or_else(|_| Err(broken())))
    })?;
    let mut found = found.into_inner().map_err(|_| broken())?;
    found.sort_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, trial)| trial).collect())
}

fn broken() -> anyhow::Error {
    anyhow!("a thread of the hunt panicked; its message is above")
}

/// Runs so many seeds with one bug awake, until a seed fails.
pub(super) fn judge(program: &Program, name: &str, first: u64, count: u64) -> Result<Verdict> {
    // Two bugs may be seen by one seed, at the same time.
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let log = program.logs.join(format!("{name}-{call}.out"));
    let mut command = Command::new(&program.path);
    command
        .args(["--from", &first.to_string()])
        .args(["--seeds", &count.to_string(), "--until-failure"])
        .env(AWAKE, name);
    let Some(status) = child::run(&mut command, &log, HUNT_SECONDS_MAX)? else {
        return Ok(Verdict::TookTooLong);
    };
    let said = fs::read(&log).with_context(|| log.display().to_string())?;
    let said = String::from_utf8_lossy(&said);
    Ok(match (status.code(), failure(&said)) {
        (Some(0), None) => Verdict::Passed,
        (Some(1), Some(failed)) => failed,
        _ => Verdict::Mute(format!("{status}; see {}", log.display())),
    })
}

/// What the name of a promise can begin with, before its first colon.
const KINDS: [&str; 12] = [
    "invariant ",
    "fine print ",
    "guarantee",
    "conservation",
    "oracle",
    "fan-out",
    "isolation",
    "status events",
    "service providers",
    "fairness",
    "fault catalogue",
    "in step",
];

/// The first line `seed 17 failed: invariant 3: absence is not evidence: detail`.
pub(super) fn failure(said: &str) -> Option<Verdict> {
    said.lines().find_map(|line| {
        let (seed, why) = line.strip_prefix("seed ")?.split_once(" failed: ")?;
        let has_kind = KINDS.iter().any(|kind| why.starts_with(kind));
        let (end, _) = why.match_indices(": ").nth(usize::from(has_kind))?;
        let (by, detail) = (&why[..end], &why[end + 2..]);
        Some(Verdict::Failed {
            seed: seed.parse().ok()?,
            by: by.to_owned(),
            detail: detail.to_owned(),
        })
    })
}
