//! What a page is made of: everything that the tables have of one run, and its log lines' story.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_core::guard::{GuardSettings, PlanNumbers};
use rollcall_core::ids::ObjectId;
use rollcall_core::run::RunState;
use rollcall_core::status::{Reason, StoredUser};
use rollcall_store::{BatchRecord, RevertRecord, RunRecord, Store, StoreError, StoredPlan};

use super::USERS_SHOWN_MAX;
use crate::output::run::RunView;
use crate::story::Story;

/// What became of somebody in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// He is INACTIVE by this run.
    SwitchedOff,
    /// A person has to decide.
    Waits,
    /// The plan was dropped, or its run failed before it was carried out.
    Dropped,
    /// The plan was approved, and Graph did not say so of him any more.
    Cleared,
    /// He changed after the plan was made, so he was left alone.
    LeftAlone,
    /// The run has not come to him yet.
    ToGo,
}

/// Somebody in a plan.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(super) id: ObjectId,
    pub(super) reason: Reason,
    pub(super) evidence: String,
    pub(super) fate: Fate,
}

/// A run's plan, and what became of it.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(super) hash: String,
    pub(super) numbers: PlanNumbers,
    pub(super) entries: Vec<Entry>,
}

impl Planned {
    /// Those of a fate.
    pub(super) fn with(&self, is: impl Fn(Fate) -> bool) -> Vec<&Entry> {
        self.entries.iter().filter(|it| is(it.fate)).collect()
    }
}

/// All that is known of a run.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(super) record: RunRecord,
    /// The run's numbers, as `run show` has them.
    pub(super) view: RunView,
    pub(super) batches: Vec<BatchRecord>,
    pub(super) guards: GuardSettings,
    pub(super) plan: Option<Planned>,
    pub(super) revert: Option<RevertRecord>,
    /// Whom the directory has now, if names were asked for.
    pub(super) names: Option<BTreeMap<ObjectId, StoredUser>>,
    pub(super) story: Option<Story>,
    pub(super) now_ms: u64,
}

impl Facts {
    /// Reads a run's items; with `names`, the users whom the page shows too.
    pub(crate) async fn load(
        store: &Store,
        record: RunRecord,
        names: bool,
        story: Option<Story>,
        now_ms: u64,
    ) -> Result<Self, StoreError> {
        let run = record.run.clone();
        let batches = store.batches(&run, None).await?;
        let plan = match store.plan(&run).await? {
            Some(stored) => Some(planned(store, &record, stored).await?),
            None => None,
        };
        let names = match &plan {
            Some(plan) if names => Some(named(store, &record, plan).await?),
            _ => None,
        };
        Ok(Self {
            view: RunView::of(&record, &batches),
            guards: store.run_settings(&run).await?.guards,
            revert: store.revert(&run).await?,
            record,
            batches,
            plan,
            names,
            story,
            now_ms,
        })
    }

    /// Where the run stands.
    pub(crate) const fn state(&self) -> &'static str {
        self.view.state
    }

    /// When the run ended, or now.
    pub(super) fn until_ms(&self) -> u64 {
        self.record.ended_at_ms.unwrap_or(self.now_ms)
    }

    /// Those of the plan who were switched off.
    pub(crate) fn switched_off(&self) -> usize {
        self.count(Fate::SwitchedOff)
    }

    /// Those of the plan with this fate.
    pub(crate) fn count(&self, fate: Fate) -> usize {
        let plan = self.plan.as_ref();
        plan.map_or(0, |plan| plan.with(|it| it == fate).len())
    }
}

async fn planned(
    store: &Store,
    record: &RunRecord,
    stored: StoredPlan,
) -> Result<Planned, StoreError> {
    let run = &record.run;
    let released = match record.approved {
        Some(_) => store.released(run).await?,
        None => None,
    };
    let off = match record.state {
        RunState::Completed | RunState::Applying => {
            let entries = stored.plan.entries().iter();
            let versions = entries.map(|entry| (entry.id(), entry.version()));
            store.switched_off(run, versions).await?
        }
        _ => BTreeSet::new(),
    };
    // What was taken anew when the plan was approved.
    let anew: Option<BTreeMap<_, _>> = released.as_ref().map(|it| {
        let entries = it.plan.entries().iter();
        entries.map(|it| (it.id(), it.detail())).collect()
    });
    let entries = stored.plan.entries().iter().map(|entry| {
        let again = anew.as_ref().map(|anew| anew.get(entry.id()));
        Entry {
            id: entry.id().clone(),
            reason: entry.reason(),
            evidence: (*again.flatten().unwrap_or(&entry.detail())).to_owned(),
            fate: match again {
                _ if off.contains(entry.id()) => Fate::SwitchedOff,
                Some(None) => Fate::Cleared,
                _ => fate_in(record.state),
            },
        }
    });
    Ok(Planned {
        hash: stored.plan.hash().to_string(),
        numbers: stored.numbers,
        entries: entries.collect(),
    })
}

/// What becomes of somebody who was not switched off.
const fn fate_in(state: RunState) -> Fate {
    match state {
        RunState::Held => Fate::Waits,
        RunState::Rejected | RunState::Superseded | RunState::Failed => Fate::Dropped,
        RunState::Completed => Fate::LeftAlone,
        RunState::Enumerating | RunState::Draining | RunState::Finalizing | RunState::Applying => {
            Fate::ToGo
        }
    }
}

async fn named(
    store: &Store,
    record: &RunRecord,
    plan: &Planned,
) -> Result<BTreeMap<ObjectId, StoredUser>, StoreError> {
    let off = plan.with(|it| it == Fate::SwitchedOff);
    let others = plan.with(|it| it != Fate::SwitchedOff);
    let shown = |entries: Vec<&Entry>| {
        let first = entries.into_iter().take(USERS_SHOWN_MAX);
        first.map(|it| it.id.clone()).collect::<Vec<_>>()
    };
    let ids = [shown(off), shown(others)].concat();
    let users = store.users(&record.run.tenant, &ids).await?;
    Ok(users.into_iter().map(|it| (it.id.clone(), it)).collect())
}
