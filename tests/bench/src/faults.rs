//! Eight faults of Graph, and how many users each reader would switch off who should be on.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::bail;
use rollcall_ambient::Ambient;
use serde::{Deserialize, Serialize};

use crate::contest::{Contestant, Outcome};
use crate::emulated::{Emulated, Size};
use crate::stack::{Binaries, Stack};

/// How long a reader may be at it, in milliseconds; on a whole list none takes a tenth of that.
const READ_MS_MAX: u64 = 60_000;
/// The words of an error that are kept.
const ERROR_CHARS_MAX: usize = 90;
/// How a reader ends that noticed nothing.
pub(crate) const NO_ERROR: &str = "no error";

/// A fault, and the rule that makes it. Page 7 is neither the first nor the last.
pub const FAULTS: [(&str, &str); 8] = [
    (
        "an empty 200 for the first page",
        "users page 1 always: empty-end",
    ),
    ("page 7 fails for ever", "users page 7 always: status 503"),
    (
        "page 7: 429 without Retry-After, once",
        "users page 7 once: status 429",
    ),
    (
        "the link to page 7 has expired, once",
        "users page 7 once: page-token expired",
    ),
    (
        "page 7 ends in its middle, once",
        "users page 7 once: truncated",
    ),
    (
        "page 7 links to itself",
        "users page 7 always: next-link itself",
    ),
    (
        "page 7 has no next link",
        "users page 7 always: next-link missing",
    ),
    (
        "accountEnabled is null on page 7",
        "users page 7 always: null-enabled all",
    ),
];

/// What one reader makes of one fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Who.
    pub who: String,
    /// How many who are enabled would be switched off, or are.
    pub wrongly_off: usize,
    /// How it ended.
    pub ended: String,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRow {
    /// What went wrong.
    pub fault: String,
    /// The rule.
    pub rule: String,
    /// How many users are enabled.
    pub enabled: usize,
    /// Each reader, and at the end ours.
    pub cells: Vec<Cell>,
}

/// Does each fault to each reader, on a tenant of this size.
///
/// # Errors
/// Whatever does not start, or a fault that did not happen.
pub async fn table(
    bench: &Path,
    binaries: &Binaries,
    readers: &[Contestant],
    size: Size,
) -> anyhow::Result<Vec<FaultRow>> {
    let ambient = Ambient::system();
    healthy(bench, readers, size).await?;
    let mut rows = Vec::with_capacity(FAULTS.len());
    for (fault, rule) in FAULTS {
        let mut emulated = Emulated::start(bench, size).await?;
        let enabled: BTreeSet<String> = emulated.enabled().await?.into_iter().collect();
        let mut cells = Vec::new();
        for reader in readers {
            begin(&mut emulated, rule).await?;
            let read = reader.read(&emulated.access, true, READ_MS_MAX, &ambient);
            let outcome = read.await?.outcome;
            end(&mut emulated, fault, &reader.name).await?;
            cells.push(of_reader(&reader.name, outcome, &enabled));
        }
        let stack = Stack::start(&emulated.access, binaries.clone()).await?;
        let (first, _) = stack.sync().await?;
        if first.state != "COMPLETED" {
            bail!("the first sync ended as {} ({:?})", first.state, first.why);
        }
        begin(&mut emulated, rule).await?;
        let (ran, _) = stack.sync().await?;
        end(&mut emulated, fault, "Rollcall").await?;
        let off = stack.off().await?;
        cells.push(Cell {
            who: "Rollcall".to_owned(),
            wrongly_off: off.iter().filter(|id| enabled.contains(*id)).count(),
            ended: match ran.why {
                Some(why) => format!("{}: {why}", ran.state),
                None => ran.state,
            },
        });
        emulated.end().await?;
        rows.push(FaultRow {
            fault: fault.to_owned(),
            rule: rule.to_owned(),
            enabled: enabled.len(),
            cells,
        });
    }
    Ok(rows)
}

/// Whoever does not read a healthy tenant whole would seem to be careful when there is a fault.
async fn healthy(bench: &Path, readers: &[Contestant], size: Size) -> anyhow::Result<()> {
    let (mut emulated, ambient) = (Emulated::start(bench, size).await?, Ambient::system());
    let enabled: BTreeSet<String> = emulated.enabled().await?.into_iter().collect();
    for reader in readers {
        let read = reader.read(&emulated.access, true, READ_MS_MAX, &ambient);
        let cell = of_reader(&reader.name, read.await?.outcome, &enabled);
        if cell.wrongly_off > 0 || cell.ended != NO_ERROR {
            bail!("without a fault: {cell:?}");
        }
    }
    emulated.end().await
}

async fn begin(emulated: &mut Emulated, rule: &str) -> anyhow::Result<()> {
    emulated.requests().await?;
    emulated.play(rule).await
}

async fn end(emulated: &mut Emulated, fault: &str, who: &str) -> anyhow::Result<()> {
    let requests = emulated.requests().await?;
    emulated.heal().await?;
    if requests.faulted == 0 {
        bail!(
            "{fault}: it did not happen to {who}, in {} requests",
            requests.sent
        );
    }
    Ok(())
}

/// A program that takes the users whom it was given for all there are: everybody else goes.
fn of_reader(who: &str, outcome: Outcome, enabled: &BTreeSet<String>) -> Cell {
    let (wrongly_off, ended) = match outcome {
        Outcome::Gave { ids, .. } => {
            let given: BTreeSet<String> = ids.into_iter().collect();
            (enabled.difference(&given).count(), NO_ERROR.to_owned())
        }
        Outcome::Failed(error) => {
            let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
            let error: String = error.chars().take(ERROR_CHARS_MAX).collect();
            (0, format!("an error: {error}"))
        }
        Outcome::Endless => (
            0,
            format!("it did not end within {} s", READ_MS_MAX / 1_000),
        ),
        Outcome::Died => (0, "its process died".to_owned()),
    };
    Cell {
        who: who.to_owned(),
        wrongly_off,
        ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_not_given_goes_and_an_error_lets_nobody_go() {
        let enabled = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let gave = Outcome::Gave {
            users: 2,
            ids: vec!["b".to_owned(), "c".to_owned()],
        };
        assert_eq!(of_reader("it", gave, &enabled).wrongly_off, 1);
        let failed = Outcome::Failed("no\n  page".to_owned());
        let cell = of_reader("it", failed, &enabled);
        assert_eq!(
            (cell.wrongly_off, cell.ended.as_str()),
            (0, "an error: no page")
        );
    }
}
