//! How far runs are, on stderr: a bar each on a terminal, lines otherwise.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rollcall_core::ids::RunRef;
use rollcall_core::run::RunState;
use rollcall_store::RunRecord;
use tokio::time::Instant;

use crate::output::table::grouped;

/// How often the bars are drawn at most, in Hz.
const DRAWS_PER_SECOND: u8 = 10;
/// The pause between two lines about one run that is in the same state.
const LINE_MS: u64 = 5_000;
/// The pause between two movements of the bars' spinner.
const SPIN_MS: u64 = 120;

/// How many batches of a generation are done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BatchesDone {
    pub(crate) done: u64,
    pub(crate) of: u64,
}

/// How far runs are.
pub(crate) enum Progress {
    /// Nobody wants to know.
    Silent,
    /// A line when something happened.
    Lines(BTreeMap<RunRef, Line>),
    /// A bar a run.
    Bars(MultiProgress, BTreeMap<RunRef, ProgressBar>),
}

/// What the last line about a run said.
pub(crate) struct Line {
    state: RunState,
    text: String,
    at: Instant,
}

impl Progress {
    /// As stderr and `-q` have it.
    pub(crate) fn new(quiet: bool) -> Self {
        if quiet {
            Self::Silent
        } else if stderr().is_terminal() {
            let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
            Self::Bars(MultiProgress::with_draw_target(target), BTreeMap::new())
        } else {
            Self::Lines(BTreeMap::new())
        }
    }

    /// Whether anybody looks.
    pub(crate) const fn is_shown(&self) -> bool {
        !matches!(self, Self::Silent)
    }

    /// Something to know before the runs are watched.
    pub(crate) fn note(&self, text: &str) {
        match self {
            Self::Silent => {}
            Self::Lines(_) => eprintln!("{text}"),
            // Above the bars. It fails when stderr is gone, and then nobody reads it.
            Self::Bars(bars, _) => drop(bars.println(text)),
        }
    }

    /// Where a run is now.
    pub(crate) fn update(&mut self, run: &RunRecord, batches: BatchesDone) {
        match self {
            Self::Silent => {}
            Self::Lines(lines) => {
                let text = sentence(run, batches);
                let due = lines.get(&run.run).is_none_or(|last| {
                    let waited = last.at.elapsed() >= Duration::from_millis(LINE_MS);
                    last.state != run.state || (waited && last.text != text)
                });
                if due {
                    eprintln!("{}: {text}", run.run);
                    let (state, at) = (run.state, Instant::now());
                    lines.insert(run.run.clone(), Line { state, text, at });
                }
            }
            Self::Bars(multi, bars) => {
                let bar = bars
                    .entry(run.run.clone())
                    .or_insert_with(|| multi.add(bar(&run.run)));
                bar.set_length(batches.of.max(1));
                // The last count is from before the last batch was done.
                let all_done = !matches!(run.state, RunState::Enumerating | RunState::Draining);
                bar.set_position(if all_done {
                    batches.of.max(1)
                } else {
                    batches.done
                });
                bar.set_message(sentence(run, batches));
            }
        }
    }

    /// A run has ended; its end is told elsewhere.
    pub(crate) fn ended(&mut self, run: &RunRef) {
        match self {
            Self::Silent => {}
            Self::Lines(lines) => drop(lines.remove(run)),
            Self::Bars(_, bars) => {
                if let Some(bar) = bars.remove(run) {
                    bar.finish_and_clear();
                }
            }
        }
    }
}

fn bar(run: &RunRef) -> ProgressBar {
    // The template is a constant, and a test sees that it is understood.
    let style = style().unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(1).with_style(style);
    bar.set_prefix(run.to_string());
    bar.enable_steady_tick(Duration::from_millis(SPIN_MS));
    bar
}

fn style() -> Result<ProgressStyle, impl std::error::Error> {
    ProgressStyle::with_template("{spinner} {prefix} [{bar:24}] {msg}")
        .map(|style| style.progress_chars("=> "))
}

fn sentence(run: &RunRecord, batches: BatchesDone) -> String {
    let seen = format!(
        "{} pages, {} users",
        grouped(run.last_page.into()),
        grouped(run.sightings)
    );
    let state = run.state.shown_name();
    match run.state {
        RunState::Enumerating | RunState::Draining => format!(
            "{state}, {seen}, {} of {} batches done",
            grouped(batches.done),
            grouped(batches.of)
        ),
        _ => format!("{state}, {seen}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_bars_template_is_understood() {
        assert!(super::style().is_ok());
    }
}
