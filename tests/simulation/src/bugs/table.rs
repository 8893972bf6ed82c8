//! The table of the bugs, and its place in the README.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::trial::{Trial, Verdict};

const BEGIN: &str =
    "<!-- the seeded bugs: written by `cargo run --release -p simulation -- --bugs --write` -->";
const END: &str = "<!-- the end of the seeded bugs -->";

/// What each bug is, what saw it, and how many seeds it took.
pub(super) fn markdown(trials: &[Trial]) -> String {
    let mut table = String::from(
        "| seeded bug | breaks | seen by | seeds | what it does |\n|---|---|---|---:|---|\n",
    );
    for trial in trials {
        let (by, seeds) = match &trial.verdict {
            Verdict::Failed { seed, by, .. } => (by.as_str(), seed.to_string()),
            _ => ("**nothing**", "-".to_owned()),
        };
        let bug = &trial.bug;
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {seeds} | {}{} |",
            bug.name,
            cell(&bug.breaks),
            cell(by),
            if bug.was_real { "† " } else { "" },
            cell(&bug.story)
        );
    }
    table
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Puts the table into the README, between its marks.
pub(super) fn write(table: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let told = || format!("the table in {}", path.display());
    let before = if path.exists() {
        fs::read_to_string(&path).with_context(told)?
    } else {
        format!("{BEGIN}\n{END}\n")
    };
    let after = between(&before, table).with_context(told)?;
    fs::write(&path, after).with_context(told)
}

/// By bug: the seed that showed it when the table was written.
pub(super) fn seeds() -> Result<BTreeMap<String, u64>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("the table in {} cannot be read", path.display()))?;
    Ok(seed_rows(&text))
}

pub(super) fn seed_rows(text: &str) -> BTreeMap<String, u64> {
    let row = |line: &str| {
        let mut cells = line.split(" | ");
        let name = cells.next()?.strip_prefix("| `")?.strip_suffix('`')?;
        Some((name.to_owned(), cells.nth(2)?.parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

/// `text` with `table` between the marks.
pub(super) fn between(text: &str, table: &str) -> Result<String> {
    let missing = || format!("the marks are not there; add the lines\n{BEGIN}\n{END}");
    let (before, rest) = text.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    Ok(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}
