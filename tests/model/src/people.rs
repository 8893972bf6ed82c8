//! The people of the model, the truth about them, and how they look to the rules of `rollcall-core`.
//!
//! Three are enough, one for each thing that can be true of somebody whom the directory has ACTIVE:
//! Anna is there, Ben is there and disabled, Cara is gone.

use std::collections::BTreeMap;

use rollcall_core::evidence::Streak;
use rollcall_core::ids::{BadId, ObjectId, RunRef};
use rollcall_core::scope::Scope;
use rollcall_core::status::{
    ChangeKind, LastChange, Reason, SightingOrder, Standing, Status, StoredUser,
};
use rollcall_core::user::GraphUser;

use crate::state::{BatchAt, RUNS};

/// A person of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// There, enabled, and with a new name to write.
    Anna,
    /// There, disabled, and with a new name to write.
    Ben,
    /// Gone, and not in the bin: it takes two complete runs to believe it.
    Cara,
}

impl Who {
    /// All of them, by place.
    pub const ALL: [Self; 3] = [Self::Anna, Self::Ben, Self::Cara];

    /// The place in lists of people.
    #[must_use]
    pub const fn place(self) -> usize {
        self as usize
    }

    /// Who stands on a page of a list that is whole.
    pub(crate) const fn on_page(page: u8) -> Option<Self> {
        match page {
            1 => Some(Self::Anna),
            2 => Some(Self::Ben),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Anna => "anna",
            Self::Ben => "ben",
            Self::Cara => "cara",
        }
    }
}

/// A [`Streak`], small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreakMark {
    run: u8,
    runs: u8,
    proven: Option<(u8, u8)>,
}

impl StreakMark {
    pub(crate) fn of(streak: Streak) -> Self {
        Self {
            run: small(streak.run),
            runs: small(streak.runs.into()),
            proven: streak
                .proven
                .map(|(run, runs)| (small(run), small(runs.into()))),
        }
    }

    pub(crate) fn streak(self) -> Streak {
        Streak {
            run: self.run.into(),
            runs: self.runs.into(),
            proven: self.proven.map(|(run, runs)| (run.into(), runs.into())),
        }
    }
}

/// The model counts to a few; a number that does not fit is none that it can come to.
pub(crate) fn small(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// A person as the directory has him.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Person {
    /// Whether the new name is written.
    pub renamed: bool,
    /// May log in.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// The run that set the status.
    pub status_run: Option<u8>,
    /// Rises with each write.
    pub version: u8,
    /// The run that wrote a sighting last, and the batch that it was on.
    pub sighted: Option<(u8, BatchAt)>,
    /// How many runs did not find him; kept beside the directory.
    pub streak: Option<StreakMark>,
    /// The run that wrote him last, where runs are taken back; none after a revert.
    pub written_by: Option<u8>,
}

impl Person {
    /// ACTIVE, as a run before those of the model left him.
    pub(crate) const KNOWN: Self = Self {
        renamed: false,
        status: Status::Active,
        reason: Reason::Present,
        status_run: None,
        version: 1,
        sighted: None,
        streak: None,
        written_by: None,
    };

    /// Switched off, as `reconcile::switched_off` does it.
    pub(crate) fn switch_off(&mut self, reason: Reason, run: u8) {
        self.status = Status::Inactive;
        self.reason = reason;
        self.status_run = Some(run);
        self.version += 1;
    }

    /// Whether the plan's entry is still due: as planned, and on.
    pub(crate) fn is_due(&self, version: u8) -> bool {
        self.version == version && self.status == Status::Active && self.reason != Reason::Manual
    }
}

const OLD_NAME: &str = "old";
const NEW_NAME: &str = "new";

/// What the rules want to know of people and runs, made once.
#[derive(Debug)]
pub(crate) struct Facts {
    ids: [ObjectId; Who::ALL.len()],
    runs: [RunRef; RUNS],
    enabled: [GraphUser; Who::ALL.len()],
    disabled: [GraphUser; Who::ALL.len()],
    pub(crate) scope: Scope,
}

impl Facts {
    pub(crate) fn new() -> Result<Self, BadId> {
        let ids = [
            ObjectId::new(Who::Anna.name())?,
            ObjectId::new(Who::Ben.name())?,
            ObjectId::new(Who::Cara.name())?,
        ];
        let user = |who: Who, enabled: bool| GraphUser {
            id: ids[who.place()].clone(),
            user_principal_name: None,
            mail: None,
            display_name: Some(NEW_NAME.into()),
            account_enabled: Some(enabled),
            user_type: Some("Member".into()),
            attributes: BTreeMap::new(),
            in_groups: None,
        };
        Ok(Self {
            enabled: Who::ALL.map(|who| user(who, true)),
            disabled: Who::ALL.map(|who| user(who, false)),
            runs: ["model/1".parse()?, "model/2".parse()?],
            scope: Scope::default(),
            ids,
        })
    }

    pub(crate) fn id(&self, who: Who) -> &ObjectId {
        &self.ids[who.place()]
    }

    pub(crate) fn who(&self, id: &ObjectId) -> Option<Who> {
        Who::ALL.into_iter().find(|who| self.id(*who) == id)
    }

    pub(crate) fn run(&self, run: u8) -> &RunRef {
        &self.runs[usize::from(run) - 1]
    }

    /// The person as Graph tells of him.
    pub(crate) fn user(&self, who: Who, disabled: bool) -> &GraphUser {
        let users = if disabled {
            &self.disabled
        } else {
            &self.enabled
        };
        &users[who.place()]
    }

    /// The person as the directory has him.
    pub(crate) fn stored(&self, who: Who, person: &Person) -> StoredUser {
        let name = if person.renamed { NEW_NAME } else { OLD_NAME };
        StoredUser {
            id: self.id(who).clone(),
            status: person.status,
            reason: person.reason,
            status_run: person.status_run.map(u64::from),
            status_at_ms: 0,
            user_principal_name: None,
            mail: None,
            display_name: Some(name.into()),
            account_enabled: Some(person.reason != Reason::Disabled),
            user_type: Some("Member".into()),
            in_scope: true,
            attributes: BTreeMap::new(),
            version: person.version.into(),
            last_change: person.sighted.map(|(run, at)| LastChange {
                run: run.into(),
                order: at.order(),
                kind: ChangeKind::Updated,
                counted_by: (at.generation.into(), at.page.into()),
            }),
            decided_version: None,
        }
    }

    pub(crate) fn standing(&self, who: Who, person: &Person) -> Standing {
        self.stored(who, person).standing()
    }

    /// The person after a worker wrote `user`.
    pub(crate) fn written(person: &Person, user: &StoredUser) -> Person {
        let batch = |order: SightingOrder| BatchAt {
            generation: small(order.generation.into()),
            page: small(order.page.into()),
        };
        Person {
            renamed: user.display_name.as_deref() == Some(NEW_NAME),
            status: user.status,
            reason: user.reason,
            status_run: user.status_run.map(small),
            version: small(user.version),
            sighted: user
                .last_change
                .map(|last| (small(last.run), batch(last.order))),
            streak: person.streak,
            written_by: person.written_by,
        }
    }
}
