//! The file of results: every figure, and the machine that it is of.

use std::path::Path;

use anyhow::{Context, bail};
use jiff::Timestamp;
use rollcall_ambient::Ambient;
use serde::{Deserialize, Serialize};

use crate::cases::Row;
use crate::faults::FaultRow;
use crate::{picture, told};

/// What stands around the tables in a page.
const BEGIN: &str = "<!-- figures: written by tests/bench/run -->";
const END: &str = "<!-- end of the figures -->";

/// What the figures were measured on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The model of the processor.
    pub processor: String,
    /// How many of it there are.
    pub processors: usize,
    /// Memory in gibibytes.
    pub memory_gib: u64,
    /// The day, as YYYY-MM-DD.
    pub day: String,
}

impl Machine {
    /// This one, today.
    ///
    /// # Errors
    /// When there is no `/proc`.
    pub fn this() -> anyhow::Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).with_context(|| path.to_owned());
        let (cpu, memory) = (read("/proc/cpuinfo")?, read("/proc/meminfo")?);
        let model = cpu.lines().find(|line| line.starts_with("model name"));
        let model = model.and_then(|line| line.split_once(": "));
        let total = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"));
        let total = total.and_then(|line| line.split_whitespace().next());
        let now_ms = i64::try_from(Ambient::system().now_ms())?;
        let now = Timestamp::from_millisecond(now_ms)?;
        Ok(Self {
            processor: model.map_or("unknown", |(_, name)| name).trim().to_owned(),
            processors: std::thread::available_parallelism()?.get(),
            memory_gib: total.context("no MemTotal")?.parse::<u64>()? / 1_048_576,
            day: now.strftime("%Y-%m-%d").to_string(),
        })
    }
}

/// All figures.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Results {
    /// What they were measured on.
    pub machine: Machine,
    /// The measurements.
    pub rows: Vec<Row>,
    /// Those of a first sync beside its bare writes, AWS on a processor of its own.
    pub writes: Vec<Row>,
    /// Those of functions that were held to a size.
    pub held_to: Vec<(u64, Row)>,
    /// The faults.
    pub faults: Vec<FaultRow>,
}

impl Results {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is not there or in another form.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Reads a file, if it is there.
    ///
    /// # Errors
    /// As [`Results::read`].
    pub fn read_or_new(path: &Path) -> anyhow::Result<Self> {
        match path.exists() {
            true => Self::read(path),
            false => Ok(Self::default()),
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = format!("{}\n", serde_json::to_string_pretty(self)?);
        std::fs::write(path, text).with_context(|| path.display().to_string())
    }

    /// Takes a measurement of the writes, in place of an earlier one of the same.
    pub fn put_writes(&mut self, row: Row) {
        self.writes.retain(|it| !it.is_of(&row));
        self.writes.push(row);
    }

    /// Takes a measurement, in place of an earlier one of the same.
    pub fn put(&mut self, row: Row, megabytes_max: Option<u64>) {
        if let Some(megabytes) = megabytes_max {
            self.held_to
                .retain(|(of, it)| *of != megabytes || !it.is_of(&row));
            self.held_to.push((megabytes, row));
            return;
        }
        self.rows.retain(|it| !it.is_of(&row));
        self.rows.push(row);
    }

    /// Writes the tables into a page, between its markers, and the picture.
    ///
    /// # Errors
    /// A page without the markers, or files that cannot be read or written.
    pub fn tell(&self, page: &Path, picture: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(page).with_context(|| page.display().to_string())?;
        let parts = text
            .split_once(BEGIN)
            .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
        let Some((before, after)) = parts else {
            bail!("{} has no {BEGIN:?} with {END:?} behind it", page.display());
        };
        let told = told::tables(self);
        let text = format!("{before}{BEGIN}\n\n{told}\n{END}{after}");
        std::fs::write(page, text).with_context(|| page.display().to_string())?;
        std::fs::write(picture, picture::draw(self)).with_context(|| picture.display().to_string())
    }
}
