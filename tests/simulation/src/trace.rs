//! The history of one seed, for a person to read.

use std::fmt::Write as _;

/// What happened, in order. It costs nothing when nobody wants to read it.
#[derive(Debug)]
pub(crate) struct Trace {
    lines: Option<String>,
}

impl Trace {
    pub(crate) fn new(wanted: bool) -> Self {
        Self {
            lines: wanted.then(String::new),
        }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.lines.is_some()
    }

    /// One line: when (since the beginning), who, what.
    pub(crate) fn line(&mut self, at_ms: u64, who: &str, what: &str) {
        let Some(lines) = &mut self.lines else {
            return;
        };
        let (seconds, ms) = (at_ms / 1_000, at_ms % 1_000);
        let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        // Writing to a string cannot fail.
        let _ = writeln!(
            lines,
            "{hours:02}:{minutes:02}:{seconds:02}.{ms:03}  {who:<15} {what}"
        );
    }

    pub(crate) fn take(&mut self) -> String {
        self.lines.take().unwrap_or_default()
    }
}
