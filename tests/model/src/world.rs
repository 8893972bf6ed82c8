//! The worlds that are explored: how many of each there are, and how much may go wrong.

use rollcall_core::guard::GuardSettings;

use crate::state::{INVOCATIONS_MAX, Role};

/// How many invocations die, are late, or come too early, together, in one history. Each costs a
/// token of a lease, so this bounds the tokens and makes the space finite. With two, a holder is
/// overtaken, and its successor too. Three were explored once, and found nothing that two do not, in
/// five times as many states.
pub const INTERRUPTIONS: u8 = 2;

/// How many lies of Graph or of a read there are, together, in one history: a list that leaves
/// somebody out, a list that is cut off, a list of batches that is cut off, a page that a worker reads
/// as empty, a "not found" about somebody who is there. With two, a lie about absence meets one about existence. It takes four to
/// have somebody switched off who is there, both lies in each of two runs in a row: a tenant can ask
/// for more runs, but no rule tells that from the truth.
pub const LIES: u8 = 2;

/// What there is in a world.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// Its name.
    pub name: &'static str,
    /// How many enumerators may be under way at once.
    pub enumerators: usize,
    /// How many workers.
    pub workers: usize,
    /// How many finalizers.
    pub finalizers: usize,
    /// How many sweepers.
    pub sweepers: usize,
    /// How many reverters; with none, nobody asks for a run to be taken back.
    pub reverters: usize,
    /// How many generations a run may have.
    pub generations: u8,
    /// How many interruptions there may be.
    pub interruptions: u8,
    /// How many lies.
    pub lies: u8,
    /// Whether people decide about the plans that are held, and who is named in one may be back.
    pub decisions: bool,
    /// The tenant's guards.
    pub guards: GuardSettings,
}

impl World {
    /// Two workers on two batches, an enumerator, a finalizer, a sweeper, and a second run.
    #[must_use]
    pub fn protocol() -> Self {
        Self {
            name: "protocol",
            enumerators: 1,
            workers: 2,
            finalizers: 1,
            sweepers: 1,
            reverters: 0,
            generations: 1,
            interruptions: INTERRUPTIONS,
            lies: LIES,
            decisions: false,
            guards: GuardSettings::default(),
        }
    }

    /// Each function that has the run's lease beside a copy of itself.
    #[must_use]
    pub fn copies() -> Self {
        Self {
            name: "copies",
            enumerators: 2,
            workers: 1,
            finalizers: 2,
            sweepers: 2,
            lies: 1,
            ..Self::protocol()
        }
    }

    /// Page tokens die, and runs begin again from page 1.
    #[must_use]
    pub fn generations() -> Self {
        Self {
            name: "generations",
            workers: 1,
            generations: 2,
            lies: 1,
            ..Self::protocol()
        }
    }

    /// Every plan is held, and people decide about it.
    #[must_use]
    pub fn held() -> Self {
        Self {
            name: "held",
            workers: 1,
            decisions: true,
            guards: GuardSettings {
                deactivations_max: 0,
                ..GuardSettings::default()
            },
            ..Self::protocol()
        }
    }

    /// Runs are taken back, beside other runs.
    #[must_use]
    pub fn reverted() -> Self {
        Self {
            name: "reverted",
            workers: 1,
            reverters: 2,
            lies: 0,
            ..Self::protocol()
        }
    }

    /// Every plan is held, people decide about it, and take runs back. Two interruptions were explored
    /// once, and found nothing that one does not, in six times as many states.
    #[must_use]
    pub fn reopened() -> Self {
        Self {
            name: "reopened",
            reverters: 1,
            interruptions: 1,
            lies: 0,
            ..Self::held()
        }
    }

    /// All of them.
    #[must_use]
    pub fn all() -> [Self; 6] {
        [
            Self::protocol(),
            Self::copies(),
            Self::generations(),
            Self::held(),
            Self::reverted(),
            Self::reopened(),
        ]
    }

    /// How many of a role may be under way at once.
    pub(crate) const fn at_once(&self, role: Role) -> usize {
        match role {
            Role::Enumerator => self.enumerators,
            Role::Worker => self.workers,
            Role::Finalizer => self.finalizers,
            Role::Sweeper => self.sweepers,
            Role::Reverter => self.reverters,
        }
    }

    /// Whether a state has a place for each invocation.
    pub(crate) const fn fits(&self) -> bool {
        let of_runs = self.enumerators + self.workers + self.finalizers + self.sweepers;
        of_runs + self.reverters <= INVOCATIONS_MAX
    }
}
