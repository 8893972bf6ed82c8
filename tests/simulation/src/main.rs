//! The simulation's command line: many seeds, one seed to read, or the seeded bugs.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use rollcall_ambient::Ambient;
use simulation::bugs;
use simulation::many::{self, Seeds};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs whole syncs in a world where everything goes wrong, and checks the design's invariants after
/// every write.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// How many seeds to run, from 1 (or --from) on
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    from: u64,
    /// So many seeds more, that nobody has run before
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    fresh: u64,
    /// Run each seed twice and compare the histories, byte by byte
    #[arg(long)]
    twice: bool,
    /// Stop at the first seed that fails
    #[arg(long)]
    until_failure: bool,
    /// How many seeds at a time; as many as there are processors, if it is not given
    #[arg(long, value_name = "COUNT")]
    jobs: Option<usize>,
    /// Run this one seed
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from", "fresh", "twice", "bugs"])]
    seed: Option<u64>,
    /// Print what happened in it
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Plant the seeded bugs in a copy of the sources, and hunt each
    #[arg(long)]
    bugs: bool,
    #[command(flatten)]
    bug_options: bugs::Options,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to be told when stderr is gone.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<bool> {
    let mut out = std::io::stdout();
    if cli.bugs {
        return Ok(bugs::run(&cli.bug_options)?.is_good());
    }
    if let Some(seed) = cli.seed {
        let outcome = simulation::run_seed(seed, cli.trace)?;
        out.write_all(outcome.history.as_bytes())?;
        match outcome.violation {
            None => writeln!(out, "seed {seed} passed")?,
            Some(violation) => {
                writeln!(out, "seed {seed} failed: {violation}")?;
                return Ok(false);
            }
        }
        return Ok(true);
    }
    let fresh_from = Ambient::system().random_u64() >> 16;
    let fixed = Seeds::new(cli.from, cli.seeds);
    let fresh = Seeds::new(fresh_from, cli.fresh);
    let options = many::Options {
        twice: cli.twice,
        until_failure: cli.until_failure,
        jobs: cli.jobs,
    };
    let mut passed = true;
    for (seeds, name) in [(fixed, "fixed"), (fresh, "fresh")] {
        if seeds.is_empty() || (cli.until_failure && !passed) {
            continue;
        }
        let first = seeds.first();
        let report = many::run(seeds, &options, &mut |seed, violation| {
            let told = writeln!(
                out,
                "seed {seed} failed: {violation}\n  replay it: cargo run --release -p simulation -- --seed {seed} --trace"
            );
            told.and_then(|()| out.flush())
                .context("the output cannot be written")
        })?;
        writeln!(out, "{name} seeds from {first}: {report}")?;
        passed &= report.failed == 0;
    }
    Ok(passed)
}
