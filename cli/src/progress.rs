//! How far runs are, on stderr: a bar each on a terminal, lines otherwise. A bar has how fast it goes and
//! how long it still takes, has room in 80 columns, and no colour.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rollcall_core::ids::RunRef;
use rollcall_core::run::{RunMode, RunState};
use rollcall_store::RunRecord;
use tokio::time::Instant;

use crate::output::table::grouped;
use crate::output::time::took;
use crate::pace::Pace;

/// How often the bars are drawn at most, in Hz.
const DRAWS_PER_SECOND: u8 = 10;
/// The pause between two lines about one run that is in the same state.
const LINE_MS: u64 = 5_000;
/// The pause between two movements of the bars' spinner.
const SPIN_MS: u64 = 120;
/// The longest name of a run that is shown, in characters. Of a longer one the end is, with its number.
const NAME_CHARS_MAX: usize = 20;

/// How many batches of a generation are done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BatchesDone {
    pub(crate) done: u64,
    pub(crate) of: u64,
}

/// What is known of a run besides its record.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Far {
    pub(crate) batches: BatchesDone,
    /// How many users the last full run saw: as many as this one is to read, about.
    pub(crate) expected: Option<u64>,
}

/// How far runs are.
pub(crate) enum Progress {
    /// Nobody wants to know.
    Silent,
    /// A line when something happened.
    Lines(BTreeMap<RunRef, Line>),
    /// A bar a run.
    Bars(MultiProgress, BTreeMap<RunRef, Shown>),
}

/// A bar, and what it was told since its run came to the state that it is in.
pub(crate) struct Shown {
    bar: ProgressBar,
    state: RunState,
    since: Instant,
    pace: Pace,
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
    pub(crate) fn update(&mut self, run: &RunRecord, far: Far) {
        let batches = far.batches;
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
                let shown = bars.entry(run.run.clone()).or_insert_with(|| Shown {
                    bar: multi.add(bar(&run.run)),
                    state: run.state,
                    since: Instant::now(),
                    pace: Pace::default(),
                });
                if shown.state != run.state {
                    (shown.state, shown.since) = (run.state, Instant::now());
                    shown.pace = Pace::default();
                }
                let part = Part::of(run, far);
                let at_ms = shown.since.elapsed().as_millis() as u64;
                shown.pace.note(at_ms, part.done);
                shown.bar.set_length(part.of.unwrap_or_default().max(1));
                shown.bar.set_position(part.done);
                shown.bar.set_message(part.told(&shown.pace, at_ms));
            }
        }
    }

    /// A run has ended; its end is told elsewhere.
    pub(crate) fn ended(&mut self, run: &RunRef) {
        match self {
            Self::Silent => {}
            Self::Lines(lines) => drop(lines.remove(run)),
            Self::Bars(_, bars) => {
                if let Some(shown) = bars.remove(run) {
                    shown.bar.finish_and_clear();
                }
            }
        }
    }
}

/// What a run is at, and how much of it is done.
struct Part {
    doing: &'static str,
    things: &'static str,
    done: u64,
    /// `None` when nobody knows.
    of: Option<u64>,
}

impl Part {
    fn of(run: &RunRecord, far: Far) -> Self {
        match run.state {
            RunState::Enumerating => Self {
                doing: "reading",
                things: "users",
                done: run.sightings,
                // It tells of those who changed, and nobody knows how many they are.
                of: far.expected.filter(|_| run.mode == RunMode::Full),
            },
            RunState::Draining => Self {
                doing: "working",
                things: "batches",
                done: far.batches.done,
                of: Some(far.batches.of),
            },
            _ => Self {
                doing: "finalizing",
                things: "",
                done: 1,
                of: Some(1),
            },
        }
    }

    /// The most important first: what has no room is cut off at the end.
    fn told(&self, pace: &Pace, since_ms: u64) -> String {
        if self.things.is_empty() {
            return format!("{} for {}", self.doing, took(0, since_ms));
        }
        let mut text = format!("{} {}", self.doing, grouped(self.done));
        // A list may have become longer than the last one was.
        if let Some(of) = self.of.filter(|of| *of >= self.done) {
            text.push_str(&format!(" of {}", grouped(of)));
        }
        text.push_str(&format!(" {}", self.things));
        if let Some(left_ms) = self.of.and_then(|of| pace.left_ms(of)) {
            text.push_str(&format!(", {} left", took(0, left_ms)));
        }
        if let Some(per_second) = pace.per_second() {
            text.push_str(&format!(", {per_second:.0}/s"));
        }
        text
    }
}

/// The name of a run as a bar has room for it.
fn name(run: &RunRef) -> String {
    let name = run.to_string();
    match name.chars().count().checked_sub(NAME_CHARS_MAX) {
        None | Some(0) => name,
        Some(over) => format!("…{}", name.chars().skip(over + 1).collect::<String>()),
    }
}

fn bar(run: &RunRef) -> ProgressBar {
    // The template is a constant, and a test sees that it is understood.
    let style = style().unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(1).with_style(style);
    bar.set_prefix(name(run));
    bar.enable_steady_tick(Duration::from_millis(SPIN_MS));
    bar
}

fn style() -> Result<ProgressStyle, impl std::error::Error> {
    ProgressStyle::with_template("{spinner} {prefix} [{bar:12}] {wide_msg}")
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
    use super::*;

    /// What stands around the name and the message: the spinner, the bar with its brackets, the blanks.
    const AROUND_CHARS: usize = 1 + 1 + 1 + 14 + 1;

    #[test]
    fn the_bars_template_is_understood() {
        assert!(style().is_ok());
    }

    #[test]
    fn how_fast_and_how_long_still_have_room_in_80_columns() {
        let mut pace = Pace::default();
        pace.note(0, 1_000);
        pace.note(10_000, 25_000);
        let reading = |done, of| Part {
            doing: "reading",
            things: "users",
            done,
            of,
        };
        let told = reading(25_000, Some(145_000)).told(&pace, 10_000);
        assert_eq!(told, "reading 25,000 of 145,000 users, 50.0 s left, 2400/s");
        let first = reading(25_000, None).told(&pace, 10_000);
        assert_eq!(first, "reading 25,000 users, 2400/s");
        let grown = reading(25_000, Some(20_000)).told(&pace, 10_000);
        assert_eq!(grown, "reading 25,000 users, 2400/s");
        let working = Part {
            doing: "working",
            things: "batches",
            done: 3,
            of: Some(24),
        };
        assert_eq!(working.told(&Pace::default(), 0), "working 3 of 24 batches");
        let finalizing = Part {
            doing: "finalizing",
            things: "",
            done: 1,
            of: Some(1),
        };
        assert_eq!(
            finalizing.told(&Pace::default(), 61_000),
            "finalizing for 1 min 1 s"
        );
        let run: RunRef = "contoso/12".parse().unwrap();
        assert!(AROUND_CHARS + name(&run).len() + told.len() <= 80, "{told}");
    }

    #[test]
    fn a_long_name_leaves_its_number() {
        let run: RunRef = "a-tenant-with-a-very-long-name-indeed/1234"
            .parse()
            .unwrap();
        assert_eq!(name(&run), "…ng-name-indeed/1234");
        assert_eq!(name(&run).chars().count(), NAME_CHARS_MAX);
    }
}
