//! The cases: tenants of several sizes, read by everybody, and synced by the system in the order of a
//! life: seen first, unchanged, some changed, many gone.

use std::path::Path;

use anyhow::{Context, bail};
use rollcall_ambient::Ambient;
use serde::{Deserialize, Serialize};

use crate::contest::{Contestant, Outcome};
use crate::emulated::{Emulated, Size};
use crate::process::Held;
use crate::ran::Ran;
use crate::stack::{Binaries, Stack};
use crate::writes::Written;

/// How long a reader may take, in milliseconds.
const READ_MS_MAX: u64 = 1_800_000;
/// One in so many is renamed.
const RENAMED_ONE_IN: usize = 100;
/// One in so many is deleted.
const DELETED_ONE_IN: usize = 10;

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// How many users the tenant has.
    pub users: usize,
    /// How long each answer of Graph waits, in milliseconds.
    pub delay_ms: u64,
    /// Who.
    pub who: String,
    /// What it did.
    pub what: String,
    /// From its start to its end, in milliseconds.
    pub wall_ms: u64,
    /// Processor time of all its processes, in milliseconds.
    pub cpu_ms: u64,
    /// The peak of its largest process, in kibibytes.
    pub peak_kib: u64,
    /// Requests to Graph and its login.
    pub requests: u64,
    /// The parts, if it is the system.
    pub ran: Option<Ran>,
    /// What was written, if it is the loop that only writes.
    pub written: Option<Written>,
}

impl Row {
    /// Processor time of what stands for AWS, in milliseconds, if it took part.
    #[must_use]
    pub fn aws_cpu_ms(&self) -> Option<u64> {
        let of_run = self.ran.as_ref().map(|ran| ran.aws_cpu_ms);
        of_run.or(self.written.map(|written| written.aws_cpu_ms))
    }

    /// Whether it measures the same as another one.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        (self.users, self.delay_ms, &self.who, &self.what)
            == (other.users, other.delay_ms, &other.who, &other.what)
    }
}

/// Whom to measure with what.
pub struct Bench<'a> {
    /// This program.
    pub program: &'a Path,
    /// The functions.
    pub binaries: &'a Binaries,
    /// The floor and the peers.
    pub readers: &'a [Contestant],
    /// What the kernel holds each environment to.
    pub held: Held,
    /// Whether only a first and an unchanged sync are measured.
    pub short: bool,
    /// How often the bare download and the unchanged sync are measured: of these the median counts.
    pub times: u32,
}

/// The name of the system in the tables.
pub const OURS: &str = "Rollcall";
/// The name of the floor.
pub const DOWNLOAD: &str = "bare loop, download";
/// The name of the loop that writes what a first sync wrote.
pub const WRITER: &str = "bare writes";
/// What the system does with a tenant that it has never seen.
pub const FIRST: &str = "first sync";
/// What it does with one in which nothing changed since.
pub const UNCHANGED: &str = "unchanged";
/// What it does with one that has lost so many that a guard holds the plan.
pub const GONE_HELD: &str = "10 % gone, held";
/// What it does when that plan is approved.
pub const GONE_APPROVED: &str = "10 % gone, approved";

impl Bench<'_> {
    /// Measures everybody on one tenant.
    ///
    /// # Errors
    /// Whatever goes wrong, or does not end as it has to.
    pub async fn measure(
        &self,
        size: Size,
        mut take: impl FnMut(Row) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut emulated = Emulated::start(self.program, size).await?;
        // Whoever comes first would find the emulator cold, and the floor is what all others are compared with.
        if let Some(first) = self.readers.first() {
            read(&mut emulated, size, first).await?;
        }
        for reader in self.readers.iter().filter(|it| size.users <= it.users_max) {
            let times = if reader.name == DOWNLOAD {
                self.times
            } else {
                1
            };
            let mut rows = Vec::new();
            for _ in 0..times {
                rows.push(read(&mut emulated, size, reader).await?);
            }
            take(median(rows)?)?;
        }
        let mut stack = Stack::start(&emulated.access, self.binaries.clone()).await?;
        stack.hold(self.held);
        let done = "COMPLETED";
        take(sync(&stack, &mut emulated, size, FIRST, done).await?)?;
        let mut rows = Vec::new();
        for _ in 0..self.times {
            rows.push(sync(&stack, &mut emulated, size, UNCHANGED, done).await?);
        }
        take(median(rows)?)?;
        if !self.short {
            emulated.change("rename", RENAMED_ONE_IN).await?;
            take(sync(&stack, &mut emulated, size, "1 % changed", done).await?)?;
            emulated.change("delete", DELETED_ONE_IN).await?;
            emulated.requests().await?;
            let (ran, record) = stack.sync().await?;
            take(row(&mut emulated, size, GONE_HELD, "HELD", ran).await?)?;
            let (ran, _) = stack.approve(&record).await?;
            take(row(&mut emulated, size, GONE_APPROVED, done, ran).await?)?;
        }
        emulated.end().await
    }
}

/// Measures a first sync beside its bare writes, with everybody on a processor of their own but for what stands for
/// AWS: that has the other one for itself, if this program was started on it.
///
/// # Errors
/// As [`Bench::measure`].
pub async fn measure_writes(
    program: &Path,
    binaries: &Binaries,
    size: Size,
    others: Held,
    mut take: impl FnMut(Row) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut emulated = Emulated::start_held(program, size, others).await?;
    let mut stack = Stack::start(&emulated.access, binaries.clone()).await?;
    stack.hold(others);
    take(sync(&stack, &mut emulated, size, FIRST, "COMPLETED").await?)?;
    take(write_again(&stack, program, size).await?)?;
    emulated.end().await
}

/// Of several measurements of one case the one in the middle, by its time.
fn median(mut rows: Vec<Row>) -> anyhow::Result<Row> {
    rows.sort_by_key(|row| row.wall_ms);
    let middle = rows.len() / 2;
    let median = rows.into_iter().nth(middle);
    median.context("it was not measured at all")
}

async fn read(emulated: &mut Emulated, size: Size, reader: &Contestant) -> anyhow::Result<Row> {
    emulated.requests().await?;
    let (access, ambient) = (emulated.access.clone(), Ambient::system());
    let read = reader.read(&access, false, READ_MS_MAX, &ambient).await?;
    if !matches!(read.outcome, Outcome::Gave { .. }) {
        bail!("{}: {:?}", reader.name, read.outcome);
    }
    Ok(Row {
        users: size.users,
        delay_ms: size.delay_ms,
        who: reader.name.clone(),
        what: "reads all".to_owned(),
        wall_ms: read.wall_ms,
        cpu_ms: read.used.cpu_ms,
        peak_kib: read.used.peak_kib,
        requests: emulated.requests().await?.sent,
        ran: None,
        written: None,
    })
}

async fn write_again(stack: &Stack, program: &Path, size: Size) -> anyhow::Result<Row> {
    let (written, used) = stack.write_again(program).await?;
    Ok(Row {
        users: size.users,
        delay_ms: size.delay_ms,
        who: WRITER.to_owned(),
        what: FIRST.to_owned(),
        wall_ms: written.wall_ms,
        cpu_ms: used.cpu_ms,
        peak_kib: used.peak_kib,
        requests: 0,
        ran: None,
        written: Some(written),
    })
}

async fn sync(
    stack: &Stack,
    emulated: &mut Emulated,
    size: Size,
    what: &str,
    state: &str,
) -> anyhow::Result<Row> {
    emulated.requests().await?;
    let (ran, _) = stack.sync().await?;
    row(emulated, size, what, state, ran).await
}

async fn row(
    emulated: &mut Emulated,
    size: Size,
    what: &str,
    state: &str,
    ran: Ran,
) -> anyhow::Result<Row> {
    if ran.state != state {
        bail!("{what}: ended as {}, not {state}: {:?}", ran.state, ran.why);
    }
    Ok(Row {
        users: size.users,
        delay_ms: size.delay_ms,
        who: OURS.to_owned(),
        what: what.to_owned(),
        wall_ms: ran.wall_ms,
        cpu_ms: ran.cpu_ms(),
        peak_kib: ran.peak_kib(),
        requests: emulated.requests().await?.sent,
        ran: Some(ran),
        written: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_three_measurements_the_middle_one_counts_whole() {
        let took = |wall_ms: u64| Row {
            users: 1,
            delay_ms: 200,
            who: DOWNLOAD.to_owned(),
            what: "reads all".to_owned(),
            wall_ms,
            cpu_ms: 10 * wall_ms,
            peak_kib: 0,
            requests: 0,
            ran: None,
            written: None,
        };
        let middle = median(vec![took(9), took(2), took(5)]).unwrap();
        assert_eq!((middle.wall_ms, middle.cpu_ms), (5, 50));
        assert!(median(Vec::new()).is_err());
    }
}
