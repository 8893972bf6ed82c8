//! The catalogue of Graph's faults: each as one that passes and as one that lasts, with what becomes
//! of a run under it. Here a fault is done to a real run over HTTP; the table is rendered from what
//! the runs have to end like.

mod rows;

use rollcall_core::ids::ObjectId;
use rollcall_core::run::{FailReason, RunMode, RunState};
use rollcall_graph_emulator::{FaultScript, Paging, Population};
use rollcall_store::RunRecord;
use serde_json::json;

use crate::truth::{differs, switched_off, wrongly_off};
use crate::{Problem, World};

pub use rows::rows;

/// How many users the tenant has, and how many of them stand on a page.
const USERS: usize = 120;
const USERS_PER_PAGE: usize = 30;
/// How many runs may be needed after a fault is over: who is not found goes with the second.
const RUNS_AFTER_MAX: usize = 2;

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its number in the catalogue.
    pub number: u8,
    /// What the server sends.
    pub sends: &'static str,
    /// What the client makes of it.
    pub client: &'static str,
    /// Forms of the fault that pass.
    pub passing: Vec<Variant>,
    /// Forms that last.
    pub lasting: Vec<Variant>,
}

/// One form of a fault.
#[derive(Debug, Clone)]
pub struct Variant {
    /// In a word or two.
    pub what: &'static str,
    /// The script of the faults, given the world.
    pub faults: fn(&World) -> String,
    /// How the run has to end.
    pub ends: Ends,
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// As without the fault: the directory is the tenant's, user by user.
    AsWithout,
    /// COMPLETED, and who could not be judged stays on until the next run.
    Waiting,
    /// HELD: what is new is written, nobody is switched off.
    Held,
    /// FAILED for this reason, and nobody is switched off.
    Failed(FailReason),
}

impl Row {
    /// What kind of run meets the fault.
    #[must_use]
    pub const fn mode(&self) -> RunMode {
        match self.number {
            15 | 16 => RunMode::Delta,
            _ => RunMode::Full,
        }
    }
}

impl std::fmt::Display for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AsWithout => f.write_str("as without it"),
            Self::Waiting => f.write_str("COMPLETED, nobody off whom it is about"),
            Self::Held => f.write_str("HELD, nobody off"),
            Self::Failed(reason) => write!(f, "FAILED `{}`, nobody off", reason.name()),
        }
    }
}

/// Does a fault to a run of a tenant on a day of changes, and looks at what became of it; then the
/// fault is over, and the next runs have to leave the directory equal to the tenant.
///
/// # Errors
/// What is otherwise than it has to be.
pub async fn prove(mode: RunMode, variant: &Variant) -> Result<(), Problem> {
    let world = synced().await?;
    let before = world.users().await?;
    day_of_changes(&world)?;
    let faults: FaultScript = (variant.faults)(&world).parse()?;
    let is_faulty = !faults.0.is_empty();
    world.graph().play(faults);
    world.graph().clear_log();
    let run = world.sync_in(mode).await?;
    if is_faulty && !world.graph().log().iter().any(|entry| entry.faulted) {
        return Err(format!("{}: the fault did not happen", variant.what).into());
    }
    let after = world.users().await?;
    let off = switched_off(&before, &after);
    let is_as_wanted = match variant.ends {
        Ends::AsWithout => run.state == RunState::Completed && differs(&world, &after)?.is_none(),
        Ends::Waiting => run.state == RunState::Completed && !off.is_empty(),
        Ends::Held => run.state == RunState::Held && off.is_empty(),
        Ends::Failed(reason) => {
            run.state == RunState::Failed && run.reason == Some(reason) && off.is_empty()
        }
    };
    if !is_as_wanted {
        return Err(told(variant, &run, &off, differs(&world, &after)?));
    }
    if let Some(id) = wrongly_off(&world, &off)? {
        return Err(format!("{}: {id} is off and belongs", variant.what).into());
    }
    world.graph().clear_faults();
    for _ in 0..RUNS_AFTER_MAX {
        let next = world.sync().await?;
        if next.state != RunState::Completed {
            return Err(told(variant, &next, &off, None));
        }
    }
    match differs(&world, &world.users().await?)? {
        None => Ok(()),
        Some(difference) => Err(format!("{}, afterwards: {difference}", variant.what).into()),
    }
}

fn told(
    variant: &Variant,
    run: &RunRecord,
    off: &[ObjectId],
    difference: Option<String>,
) -> Problem {
    format!(
        "{}: wanted {:?}, is {:?} {:?} ({:?}), {} off, {difference:?}",
        variant.what,
        variant.ends,
        run.state,
        run.reason,
        run.detail,
        off.len()
    )
    .into()
}

/// A tenant in pages that was synced once.
async fn synced() -> Result<World, Problem> {
    let population = Population {
        guests: 0.0,
        disabled: 0.0,
        ..Population::new("contoso.com", 11, USERS)
    };
    // Long enough for what passes, on a busy machine too; what lasts is waited for as long.
    let limits = json!({ "limits": { "graph_retry_seconds_max": 4, "lease_seconds": 2 } });
    let world = World::start_with(population, &limits).await?;
    world.tenant.set_paging(Paging {
        page_size_max: USERS_PER_PAGE,
        ..world.tenant.paging()
    });
    match world.sync().await?.state {
        RunState::Completed => Ok(world),
        state => Err(format!("the first sync is {state:?}").into()),
    }
}

/// Some are renamed, disabled and deleted, some join. They are spread over all pages.
fn day_of_changes(world: &World) -> Result<(), Problem> {
    let mut directory = world.tenant.directory();
    let ids: Vec<_> = directory.users().map(|user| user.id).collect();
    for (index, id) in ids.into_iter().enumerate() {
        // As few go as the guards let pass.
        match index {
            3 | 43 | 73 | 103 => {
                directory.rename(id, &format!("renamed{index}@contoso.com"), "Renamed")?;
            }
            51 | 111 => directory.set_account_enabled(id, Some(false))?,
            37 | 87 => directory.soft_delete(id)?,
            _ => {}
        }
    }
    directory.add_people(6);
    Ok(())
}

/// The table, as it stands in the documentation.
#[must_use]
pub fn table() -> String {
    let mut table = String::from(
        "| # | the server sends | what is made of it | passing | lasting |\n|---:|---|---|---|---|\n",
    );
    for row in rows() {
        let ends = |variants: &[Variant]| {
            let each: Vec<_> = variants
                .iter()
                .map(|it| format!("{}: {}", it.what, it.ends))
                .collect();
            each.join("; ")
        };
        table += &format!(
            "| {} | {} | {} | {} | {} |\n",
            row.number,
            row.sends,
            row.client,
            ends(&row.passing),
            ends(&row.lasting)
        );
    }
    table
}
