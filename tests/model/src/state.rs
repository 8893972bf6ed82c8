//! What a state of the model is: what the tables hold, and which invocations are under way.

use rollcall_core::batch::BatchState;
use rollcall_core::run::RunState;
use rollcall_core::status::{Reason, SightingOrder};

use crate::audit::Wrongs;
use crate::people::{Person, StreakMark, Who};
use crate::revert::Revert;

/// How many runs a tenant has in the model: one, and one that starts after its end.
pub(crate) const RUNS: usize = 2;
/// How many pages a whole list has: two batches are the fewest of which one can be done while the
/// other is not.
pub(crate) const PAGES: u8 = 2;
/// How many generations a run can have in any world.
pub(crate) const GENERATIONS_MAX: u8 = 2;
/// How many invocations can be under way in any world.
pub(crate) const INVOCATIONS_MAX: usize = 7;

/// A lease in the item that it guards. Time is reduced to the one thing that it decides: whether the
/// lease runs, or has lapsed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The last token that was granted; 0 before the first.
    pub token: u8,
    /// Whether nobody else may take it.
    pub runs: bool,
}

/// Where a batch stands in its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchAt {
    /// From 1.
    pub generation: u8,
    /// From 1.
    pub page: u8,
}

impl BatchAt {
    /// The order of the one sighting on its page.
    pub(crate) fn order(self) -> SightingOrder {
        SightingOrder {
            generation: self.generation.into(),
            page: self.page.into(),
            index: 0,
        }
    }

    const fn place(self) -> (usize, usize) {
        (self.generation as usize - 1, self.page as usize - 1)
    }
}

/// All that a page's content can differ in: it stands for the page's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Content {
    /// Whether the page shows the person who should stand on it.
    pub shows: bool,
    /// Whether he is new or changed.
    pub changed: bool,
    /// Whether he is disabled.
    pub disabled: bool,
    /// Whether the page has no next link.
    pub last: bool,
}

impl Content {
    /// How many users stand on the page.
    pub(crate) const fn sightings(self) -> u8 {
        self.shows as u8
    }
}

/// A batch item, with the page that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Batch {
    /// Where it stands.
    pub state: BatchState,
    /// What its page shows.
    pub content: Content,
    /// The page before.
    pub previous: Option<Content>,
    /// How many users the worker counted.
    pub counted: Option<u8>,
    /// Whether the worker found the person to be one who should go off.
    pub candidate: bool,
    /// Its lease.
    pub lease: Lease,
}

/// A user of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Why.
    pub reason: Reason,
    /// At which version.
    pub version: u8,
}

/// The users of a plan, by place.
pub type Entries = [Option<Entry>; Who::ALL.len()];

/// A plan, with what the guards want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Plan {
    /// Whom.
    pub entries: Entries,
    /// How many users the run saw.
    pub users_seen: u8,
    /// How many users were ACTIVE.
    pub active: u8,
}

impl Plan {
    pub(crate) fn deactivations(&self) -> u8 {
        self.entries.iter().flatten().map(|_| 1).sum()
    }
}

/// A run item, with its batches and its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    /// Where it stands.
    pub state: RunState,
    /// The generation that is, or was, enumerated.
    pub generation: u8,
    /// The last page that was committed; 0 before the first.
    pub last_page: u8,
    /// What that page showed.
    pub last: Option<Content>,
    /// How many users stood on the pages of this generation.
    pub sightings: u8,
    /// Its lease.
    pub lease: Lease,
    /// By generation and page.
    pub batches: [[Option<Batch>; PAGES as usize]; GENERATIONS_MAX as usize],
    /// Its plan, once it is stored.
    pub plan: Option<Plan>,
    /// Whether a person approved that plan.
    pub approved: bool,
    /// What of an approved plan is carried out, once it is stored.
    pub released: Option<Plan>,
}

impl Run {
    /// A run that was started a moment ago.
    pub(crate) const STARTED: Self = Self {
        state: RunState::Enumerating,
        generation: 1,
        last_page: 0,
        last: None,
        sightings: 0,
        lease: Lease {
            token: 0,
            runs: false,
        },
        batches: [[None; PAGES as usize]; GENERATIONS_MAX as usize],
        plan: None,
        approved: false,
        released: None,
    };

    /// The plan that is, or would be, carried out.
    pub(crate) fn carried_out(&self) -> Option<Plan> {
        if self.approved {
            self.released
        } else {
            self.plan
        }
    }

    pub(crate) fn batch(&self, at: BatchAt) -> Option<&Batch> {
        let (generation, page) = at.place();
        self.batches.get(generation)?.get(page)?.as_ref()
    }

    pub(crate) fn slot(&mut self, at: BatchAt) -> &mut Option<Batch> {
        let (generation, page) = at.place();
        &mut self.batches[generation][page]
    }

    /// The batches that were committed, by generation and page.
    pub fn all_batches(&self) -> impl Iterator<Item = (BatchAt, &Batch)> {
        (1..=GENERATIONS_MAX)
            .flat_map(|generation| (1..=PAGES).map(move |page| BatchAt { generation, page }))
            .filter_map(|at| Some((at, self.batch(at)?)))
    }

    /// The batches of the generation that is, or was, enumerated.
    pub(crate) fn current_batches(&self) -> impl Iterator<Item = (BatchAt, &Batch)> {
        let generation = self.generation;
        self.all_batches()
            .filter(move |(at, _)| at.generation == generation)
    }

    /// Whether a worker could still write for it.
    #[must_use]
    pub fn has_open_batches(&self) -> bool {
        self.all_batches().any(|(_, batch)| batch.state.is_open())
    }
}

/// The head item of the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Head {
    /// The number of the next run.
    pub next_run: u8,
    /// The run that is active.
    pub active_run: Option<u8>,
    /// The run whose plan waits for a person.
    pub held_run: Option<u8>,
    /// The last run that completed, and how many users it saw.
    pub last_full: Option<(u8, u8)>,
    /// The run that is being taken back.
    pub reverting: Option<u8>,
}

/// What a function does when it is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Commits pages.
    Enumerator,
    /// Works through a batch.
    Worker,
    /// Proves, plans, and alone switches off.
    Finalizer,
    /// Gives up what is overdue.
    Sweeper,
    /// Takes a run back.
    Reverter,
}

/// What an invocation does next, with all that it remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Fetch and commit the page after this end of the chain.
    Enumerate(BatchAt),
    /// Revoke what is open from this page on, before a new generation.
    LeaveGeneration(BatchAt),
    /// Begin the generation after this one.
    BeginGeneration(u8),
    /// Read and write the user of this batch.
    Work(BatchAt),
    /// Report this batch as done; whether its user should go off.
    Finish(BatchAt, bool),
    /// Look whether all batches are done.
    Look,
    /// Say that they are.
    BeginFinalizing,
    /// Prove, ask and judge; or read the plan that is stored.
    Judge,
    /// Record the streaks, before the plan is stored.
    Record(Plan, [Option<StreakMark>; Who::ALL.len()]),
    /// Store the plan.
    Store(Plan),
    /// Store what of the approved plan still stands.
    Release(Plan),
    /// Ask the guards.
    Guard,
    /// Switch off the user of the plan at this place, and those after; then complete.
    Apply(usize),
    /// Fail the run.
    Fail,
    /// Revoke what is open of the failed run from this page on.
    Revoke(u8),
    /// Free the tenant for its next run.
    ClearHead,
    /// Take back whom the journal has at this place; behind the last one, end.
    Revert(u8),
}

/// An invocation that has a lease, or believes to have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Invocation {
    /// What it is.
    pub role: Role,
    /// The run that it was woken for.
    pub run: u8,
    /// The token that it was granted.
    pub token: u8,
    /// Whether the run was approved by then.
    pub approved: bool,
    /// What it does next.
    pub step: Step,
}

impl Invocation {
    /// The batch whose lease it has; none if it has the run's, or a revert's.
    pub(crate) const fn batch(&self) -> Option<BatchAt> {
        match self.step {
            Step::Work(at) | Step::Finish(at, _) => Some(at),
            _ => None,
        }
    }
}

/// A state of the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The head item.
    pub head: Head,
    /// The run items, by number.
    pub runs: [Option<Run>; RUNS],
    /// The revert items, by the run's number.
    pub reverts: [Option<Revert>; RUNS],
    /// Whom each run has changed, by place, as he was before.
    pub images: [[Option<Person>; Who::ALL.len()]; RUNS],
    /// Who is back in Microsoft 365 as he was before the plan that waits.
    pub back: Option<Who>,
    /// The directory, by place.
    pub people: [Person; Who::ALL.len()],
    /// What is under way, sorted, so that two workers in each other's place are one state.
    pub invocations: [Option<Invocation>; INVOCATIONS_MAX],
    /// How many invocations may still die, be late, or come too early.
    pub interruptions_left: u8,
    /// How often Graph or a read may still lie.
    pub lies_left: u8,
    /// What went wrong on the way here.
    pub wrongs: Wrongs,
}

impl State {
    /// The run with this number, if it was started.
    #[must_use]
    pub fn run(&self, run: u8) -> Option<&Run> {
        self.runs.get(usize::from(run).checked_sub(1)?)?.as_ref()
    }

    pub(crate) fn run_mut(&mut self, run: u8) -> Option<&mut Run> {
        self.runs
            .get_mut(usize::from(run).checked_sub(1)?)?
            .as_mut()
    }

    /// The revert of the run with this number, if somebody asked for it.
    #[must_use]
    pub fn revert(&self, run: u8) -> Option<&Revert> {
        self.reverts.get(usize::from(run).checked_sub(1)?)?.as_ref()
    }

    pub(crate) fn revert_mut(&mut self, run: u8) -> Option<&mut Revert> {
        self.reverts
            .get_mut(usize::from(run).checked_sub(1)?)?
            .as_mut()
    }

    /// Where the run with this number stands, if it was started.
    #[must_use]
    pub fn run_state(&self, run: u8) -> Option<RunState> {
        self.run(run).map(|run| run.state)
    }

    /// Whether Microsoft 365 has the person.
    pub(crate) fn is_there(&self, who: Who) -> bool {
        who != Who::Cara || self.back == Some(who)
    }

    /// Whether the person is disabled there.
    pub(crate) fn is_disabled(&self, who: Who) -> bool {
        who == Who::Ben && self.back != Some(who)
    }

    pub(crate) fn lease_mut(&mut self, of: &Invocation) -> Option<&mut Lease> {
        if of.role == Role::Reverter {
            return self.revert_mut(of.run).map(|revert| &mut revert.lease);
        }
        let run = self.run_mut(of.run)?;
        match of.batch() {
            None => Some(&mut run.lease),
            Some(at) => run.slot(at).as_mut().map(|batch| &mut batch.lease),
        }
    }

    /// The lease that an invocation has, or had.
    #[must_use]
    pub fn lease(&self, of: &Invocation) -> Option<Lease> {
        if of.role == Role::Reverter {
            return self.revert(of.run).map(|revert| revert.lease);
        }
        let run = self.run(of.run)?;
        match of.batch() {
            None => Some(run.lease),
            Some(at) => run.batch(at).map(|batch| batch.lease),
        }
    }
}
