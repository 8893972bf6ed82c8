//! Seeded bugs: the proof that the checks have teeth.
//!
//! Each bug of `bugs/*.toml` is a small slip in the shipped code. All of them are put into one copy
//! of the sources, each asleep until an environment variable names it, and the copy is built once.
//! Then the simulation runs in that copy, bug by bug, until a seed fails. A bug that no seed finds
//! means that a check, or a corner of the world, is missing. The shipped code itself has no switch.

mod catalogue;
mod child;
mod scratch;
mod table;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};

use catalogue::Bug;
use scratch::Program;
use trial::{Trial, Verdict};

/// How often a bug is given a chance to show, unless the command says otherwise: enough for one that
/// needs three rare things at once.
pub const SEEDS_MAX: u64 = 4_000;

/// The name that stands for "no bug at all".
const NO_BUG: &str = "none";

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Run this seeded bug only; can be given more than once
    #[arg(long = "only", value_name = "NAME")]
    pub only: Vec<String>,
    /// Try the seed that the table names for a seeded bug before all others
    #[arg(long = "quick")]
    pub quick: bool,
    /// The most seeds that a seeded bug may need
    #[arg(long = "bug-seeds", value_name = "COUNT", default_value_t = SEEDS_MAX)]
    pub seeds_max: u64,
    /// Write the table of the seeded bugs into tests/simulation/README.md
    #[arg(long = "write")]
    pub write: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            quick: false,
            seeds_max: SEEDS_MAX,
            write: false,
        }
    }
}

/// What became of the bugs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How many bugs a check saw.
    pub caught: usize,
    /// The names of those that none saw, or whose run gave no verdict.
    pub missed: Vec<String>,
    /// Whether the same copy passes as many seeds with every bug asleep.
    pub is_sound: bool,
}

impl Outcome {
    /// Whether every bug was seen, and nothing else.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.missed.is_empty() && self.is_sound
    }
}

/// Plants the bugs, hunts each, and prints what it took.
///
/// # Errors
/// A bug that does not fit the sources any more, a copy that does not build, a file that cannot be
/// read or written. A bug that was not seen is no error but in the [`Outcome`].
pub fn run(options: &Options) -> Result<Outcome> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .context("the simulation's crate is not two folders below its workspace")?;
    let bugs = chosen(catalogue::load()?, &options.only)?;
    if options.write && (options.quick || !options.only.is_empty()) {
        bail!("--write needs all bugs: leave out --only and --quick");
    }
    let known = if options.quick {
        table::seeds()?
    } else {
        BTreeMap::new()
    };
    say("planting the bugs and building, which takes some minutes the first time")?;
    let program = scratch::build(sources, &catalogue::load()?)?;
    let trials = trial::hunt(&program, &bugs, options.seeds_max, &known)?;
    let asleep = sleep(&program, &trials, options.quick)?;
    say(&format!("with every bug asleep: {asleep}"))?;
    let table = table::markdown(&trials);
    say(&format!("\n{table}"))?;
    let outcome = Outcome {
        caught: trials.iter().filter(|it| it.seeds().is_some()).count(),
        missed: trials
            .iter()
            .filter(|it| it.seeds().is_none())
            .map(|it| it.bug.name.clone())
            .collect(),
        is_sound: asleep == Verdict::Passed,
    };
    tell(&trials, &asleep)?;
    if options.write && outcome.is_good() {
        table::write(&table)?;
    }
    Ok(outcome)
}

/// The same seeds with every bug asleep: those that showed a bug, and all up to the hardest if there is time.
fn sleep(program: &Program, trials: &[Trial], is_quick: bool) -> Result<Verdict> {
    let mut asleep = trials.iter().map(|it| &it.asleep);
    if let Some(failed) = asleep.find(|it| **it != Verdict::Passed) {
        return Ok(failed.clone());
    }
    let hardest = trials.iter().filter_map(Trial::seeds).max();
    let (Some(hardest), false) = (hardest, is_quick) else {
        return Ok(Verdict::Passed);
    };
    say(&format!(
        "\nall bugs asleep: {hardest} seeds, as many as the hardest bug needed"
    ))?;
    trial::judge(program, NO_BUG, 1, hardest)
}

fn chosen(bugs: Vec<Bug>, only: &[String]) -> Result<Vec<Bug>> {
    if let Some(unknown) = only
        .iter()
        .find(|name| !bugs.iter().any(|bug| bug.name == **name))
    {
        bail!("there is no seeded bug {unknown}; tests/simulation/bugs/*.toml name them");
    }
    let is_wanted = |bug: &Bug| only.is_empty() || only.contains(&bug.name);
    Ok(bugs.into_iter().filter(is_wanted).collect())
}

/// Says loudly what is wrong.
fn tell(trials: &[Trial], asleep: &Verdict) -> Result<()> {
    for trial in trials.iter().filter(|it| it.seeds().is_none()) {
        say(&format!(
            "NOT CAUGHT: {trial} ({}). A check or a circumstance is missing, or the bug is none.",
            trial.bug.breaks
        ))?;
    }
    if *asleep != Verdict::Passed {
        say(&format!(
            "NOT SOUND: with every bug asleep: {asleep}. Either the shipped code fails on that seed \
             too, or a bug's text does not behave as the original while it sleeps."
        ))?;
    }
    Ok(())
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush().context("the output cannot be written")
}
