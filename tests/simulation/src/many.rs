//! Many seeds, on as many threads as there are processors.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, anyhow};
use rollcall_ambient::Ambient;

use crate::world::{Violation, lock};
use crate::{Outcome, run_seed_safely};

/// The most failures that are told: the first few say what the others would.
const FAILURES_TOLD_MAX: u64 = 20;

/// After how many seeds it is told how far they are: some minutes.
const PROGRESS_SEEDS: u64 = 5_000;

/// Seeds in a row.
#[derive(Debug, Clone)]
pub struct Seeds(Range<u64>);

impl Seeds {
    /// So many from `first` on.
    #[must_use]
    pub fn new(first: u64, count: u64) -> Self {
        Self(first..first.saturating_add(count))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.0.start
    }
}

/// How to run them.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Each seed twice, with its histories compared.
    pub twice: bool,
    /// Only until one fails.
    pub until_failure: bool,
    /// How many at a time, if not one a processor.
    pub jobs: Option<usize>,
}

/// What came of them.
#[derive(Debug, Default)]
pub struct Report {
    /// How many were run.
    pub seeds: u64,
    /// How many of them broke a promise.
    pub failed: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What happened in them, and how often.
    pub marks: BTreeMap<&'static str, u64>,
}

impl fmt::Display for Report {
    #[expect(clippy::cast_precision_loss, reason = "for a person to read")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took_ms as f64 / 1_000.0;
        let rate = self.seeds as f64 / seconds.max(0.001);
        write!(
            f,
            "{} run, {} failed, in {seconds:.1} s ({rate:.1} a second)",
            self.seeds, self.failed
        )?;
        for (mark, count) in &self.marks {
            write!(f, "\n  {count:>10}  {mark}")?;
        }
        Ok(())
    }
}

/// Hears of a seed that failed.
pub type Tell<'a> = dyn FnMut(u64, &Violation) -> Result<()> + Send + 'a;

struct Shared<'a> {
    next: Mutex<Range<u64>>,
    stop: AtomicBool,
    report: Mutex<Report>,
    options: &'a Options,
}

/// Runs them all; `tell` hears of each that fails, in no order.
///
/// # Errors
/// What `tell` gives.
pub fn run(seeds: Seeds, options: &Options, tell: &mut Tell<'_>) -> Result<Report> {
    let ambient = Ambient::system();
    let started_ms = ambient.now_ms();
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let jobs = options.jobs.unwrap_or(processors).max(1);
    let shared = Shared {
        next: Mutex::new(seeds.0),
        stop: AtomicBool::new(false),
        report: Mutex::default(),
        options,
    };
    let tell = Mutex::new(tell);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs)
            .map(|_| scope.spawn(|| work(&shared, &tell)))
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err(anyhow!("a thread died")))
        })
    })?;
    let mut report = shared.report.into_inner().unwrap_or_default();
    report.took_ms = ambient.now_ms().saturating_sub(started_ms);
    Ok(report)
}

fn work(shared: &Shared<'_>, tell: &Mutex<&mut Tell<'_>>) -> Result<()> {
    // Each round takes a seed, so it ends with the seeds.
    loop {
        let Some(seed) = lock(&shared.next).next() else {
            return Ok(());
        };
        if shared.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let outcome = judge(seed, shared.options.twice);
        let failed = {
            let mut report = lock(&shared.report);
            report.seeds += 1;
            for (mark, count) in outcome.marks {
                *report.marks.entry(mark).or_default() += count;
            }
            report.failed += u64::from(outcome.violation.is_some());
            if report.seeds.is_multiple_of(PROGRESS_SEEDS) {
                // Nobody may be there to read it.
                let _ = writeln!(
                    std::io::stderr(),
                    "{} run, {} failed so far",
                    report.seeds,
                    report.failed
                );
            }
            report.failed
        };
        let Some(violation) = outcome.violation else {
            continue;
        };
        if shared.options.until_failure && shared.stop.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        if failed <= FAILURES_TOLD_MAX {
            lock(tell)(seed, &violation)?;
        }
    }
}

fn judge(seed: u64, twice: bool) -> Outcome {
    let mut first = run_seed_safely(seed, twice);
    if twice && first.violation.is_none() {
        let second = run_seed_safely(seed, true);
        if first.history != second.history {
            let differs = |(one, other): &(&str, &str)| one != other;
            let mut lines = first.history.lines().zip(second.history.lines());
            let (one, other) = lines.find(differs).unwrap_or(("the end", "the end"));
            first.violation = Some(Violation {
                broken: "one seed, one history".into(),
                detail: format!("first {one:?}, then {other:?}"),
            });
        }
    }
    first
}
