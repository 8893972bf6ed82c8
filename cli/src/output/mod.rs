//! Results on stdout: JSON for programs, tables for people.

pub(crate) mod details;
pub(crate) mod dry_run;
pub(crate) mod explain;
pub(crate) mod history;
pub(crate) mod hold;
pub(crate) mod revert;
pub(crate) mod run;
pub(crate) mod table;
pub(crate) mod tenant;
pub(crate) mod time;
pub(crate) mod user;

use std::fmt::Display;
use std::io::{self, BufWriter, Write};

use serde::Serialize;

/// Where results go, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether programs read on.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// One object on a line of its own.
    pub(crate) fn object(self, value: &impl Serialize) -> anyhow::Result<()> {
        self.objects([value])
    }

    /// Objects, each on a line of its own.
    pub(crate) fn objects<T: Serialize>(
        self,
        values: impl IntoIterator<Item = T>,
    ) -> anyhow::Result<()> {
        let mut out = BufWriter::new(io::stdout().lock());
        for value in values {
            // Whole before it is written: a line is an object or it is not there.
            let line = serde_json::to_string(&value)?;
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        Ok(())
    }

    /// Text for people, and a newline.
    pub(crate) fn text(self, text: impl Display) -> anyhow::Result<()> {
        let mut out = BufWriter::new(io::stdout().lock());
        writeln!(out, "{text}")?;
        out.flush()?;
        Ok(())
    }
}
