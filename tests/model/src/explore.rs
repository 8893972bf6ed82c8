//! Exploring a protocol to its last state, and telling what was found.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use rollcall_core::ids::BadId;
use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

use crate::actions::Action;
use crate::mutation::Mutation;
use crate::protocol::Protocol;
use crate::state::State;
use crate::world::World;

/// What was found about one property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Its name.
    pub property: &'static str,
    /// Whether it is something that has to be possible, rather than to hold.
    pub is_possibility: bool,
    /// Whether it is as it should be: it holds in every state, or is possible in one.
    pub is_good: bool,
}

/// A world, explored completely.
#[derive(Debug)]
pub struct Explored {
    /// How many different states there are.
    pub states: usize,
    /// How many steps lead from one to another.
    pub steps: usize,
    /// One for each property.
    pub verdicts: Vec<Verdict>,
}

impl Explored {
    /// The properties that are not as they should be.
    pub fn bad(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|verdict| !verdict.is_good)
    }
}

/// How something comes to be: what happened, in order.
pub type Story = Vec<String>;

fn threads() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Explores the protocol in a world. There is no limit of time, depth or number, and the search ends
/// early only when every property was refuted or met; so it is complete as soon as one that should
/// always hold was not refuted.
///
/// # Errors
/// As [`Protocol::new`].
pub fn explore(world: World) -> Result<Explored, BadId> {
    let checker = Protocol::new(world)?
        .checker()
        .threads(threads())
        .spawn_bfs()
        .join();
    let found = checker.discoveries();
    let verdicts = checker.model().properties();
    let verdicts = verdicts.into_iter().map(|property| {
        let is_possibility = property.expectation == Expectation::Sometimes;
        Verdict {
            property: property.name,
            is_possibility,
            is_good: found.contains_key(property.name) == is_possibility,
        }
    });
    Ok(Explored {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        verdicts: verdicts.collect(),
    })
}

/// How a protocol with lines taken out comes to violate a property; `None` if it never does.
///
/// # Errors
/// As [`Protocol::new`].
pub fn counterexample(
    world: World,
    mutations: &[Mutation],
    property: &'static str,
) -> Result<Option<Story>, BadId> {
    let checker = Protocol::broken(world, mutations)?
        .checker()
        .threads(threads())
        .finish_when(HasDiscoveries::AnyOf([property].into()))
        .spawn_bfs()
        .join();
    Ok(checker.discovery(property).map(tell))
}

fn tell(path: Path<State, Action>) -> Story {
    let told = path.into_vec().into_iter();
    told.filter_map(|(state, action)| Some(describe(&state, action?)))
        .collect()
}

/// What an action is in a state, in words.
#[must_use]
pub fn describe(state: &State, action: Action) -> String {
    let who = |place: usize| match state.invocations.get(place).copied().flatten() {
        Some(i) => format!(
            "{:?} of run {}, token {}: {:?}",
            i.role, i.run, i.token, i.step
        ),
        None => "nobody".into(),
    };
    match action {
        Action::Start => format!("run {} starts", state.head.next_run),
        Action::Wake(role, run) => format!("{role:?} of run {run} is woken"),
        Action::WakeWorker(run, at) => format!("Worker of run {run} is woken for {at:?}"),
        Action::Go(place, luck) => format!("{} ({luck:?})", who(place)),
        Action::LoseToken(place) => format!("{}: the page token died", who(place)),
        Action::GiveUp(place) => format!("{}: gives the run up", who(place)),
        Action::Pause(place) => format!("{}: is late, its lease lapses", who(place)),
        Action::Crash(place) => format!("{}: dies", who(place)),
        Action::LoseAnswer(place) => format!("{}: holds the run, and does not hear it", who(place)),
        Action::Approve { run, plan } => {
            format!("somebody who looked at the plan of run {plan} approves run {run}")
        }
        Action::Reject(run) => format!("somebody rejects the plan of run {run}"),
        Action::Lapse(run) => format!("the plan of run {run} has waited too long"),
        Action::BeginRevert(run) => format!("somebody asks for run {run} to be taken back"),
        Action::Return(who) => format!("{who:?} is back"),
    }
}
