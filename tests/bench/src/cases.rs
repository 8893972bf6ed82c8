//! The cases: tenants of several sizes, read by everybody, and synced by the system in the order of a
//! life: seen first, unchanged, some changed, many gone.

use std::path::Path;

use anyhow::bail;
use rollcall_ambient::Ambient;
use serde::{Deserialize, Serialize};

use crate::contest::{Contestant, Outcome};
use crate::emulated::{Emulated, Size};
use crate::process::Held;
use crate::ran::Ran;
use crate::stack::{Binaries, Stack};

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
}

impl Row {
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
}

/// The name of the system in the tables.
pub const OURS: &str = "Rollcall";
/// The name of the loop that writes what a first sync wrote.
pub const WRITER: &str = "bare writes";
/// What the system does with a tenant that it has never seen.
pub const FIRST: &str = "first sync";

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
        for reader in self.readers.iter().filter(|it| size.users <= it.users_max) {
            take(read(&mut emulated, size, reader).await?)?;
        }
        let mut stack = Stack::start(&emulated.access, self.binaries.clone()).await?;
        stack.hold(self.held);
        let done = "COMPLETED";
        take(sync(&stack, &mut emulated, size, FIRST, done).await?)?;
        take(sync(&stack, &mut emulated, size, "unchanged", done).await?)?;
        if !self.short {
            emulated.change("rename", RENAMED_ONE_IN).await?;
            take(sync(&stack, &mut emulated, size, "1 % changed", done).await?)?;
            emulated.change("delete", DELETED_ONE_IN).await?;
            emulated.requests().await?;
            let (ran, record) = stack.sync().await?;
            take(row(&mut emulated, size, "10 % gone, held", "HELD", ran).await?)?;
            let (ran, _) = stack.approve(&record).await?;
            take(row(&mut emulated, size, "10 % gone, approved", done, ran).await?)?;
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
    })
}
