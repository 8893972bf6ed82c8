//! How much goes wrong, and what. Each seed has its own weather; it ends when the story says so.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::dice::Dice;

/// What the network does to a call of DynamoDB or SQS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireFault {
    /// It never arrives.
    LostBefore,
    /// It is applied, and its answer is lost.
    LostAfter,
    /// It is applied so much later, in milliseconds, even if its sender is gone by then.
    Late { ms: u64 },
    /// The service refuses it for the moment.
    Refused { status: u16, code: &'static str },
    /// Another transaction is at the same items.
    Conflict,
}

impl WireFault {
    /// How it is counted.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            Self::LostBefore => "fault: a call lost before it was applied",
            Self::LostAfter => "fault: a call applied, its answer lost",
            Self::Late { .. } => "fault: a call applied late",
            Self::Refused { .. } => "fault: a call refused for the moment",
            Self::Conflict => "fault: a transaction conflict",
        }
    }
}

impl fmt::Display for WireFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LostBefore => f.write_str("lost on the way there"),
            Self::LostAfter => f.write_str("applied, the answer is lost"),
            Self::Late { ms } => write!(f, "arrives {ms} ms late"),
            Self::Refused { code, .. } => f.write_str(code),
            Self::Conflict => f.write_str("meets another transaction"),
        }
    }
}

/// What happens to an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on to its end, or to its time limit.
    Lives,
    /// At this call its process dies: before the call is sent, or after it was applied.
    Dies { at_call: u32, after: bool },
    /// At this call its machine stands still for so long, in milliseconds.
    Freezes { at_call: u32, after: bool, ms: u64 },
}

/// The chances, in a thousand.
#[derive(Debug, Clone, Copy)]
struct Weather {
    lost: u32,
    late: u32,
    refused: u32,
    conflict: u32,
    unprocessed: u32,
    lag: u32,
    list_lost: u32,
    dies: u32,
    freezes: u32,
    skewed: u32,
    doubled: u32,
    message_lost: u32,
    message_late: u32,
    graph: u32,
    graph_lasting: u32,
    lies: u32,
    moves: u32,
}

impl Weather {
    const CALM: Self = Self {
        lost: 0,
        late: 0,
        refused: 0,
        conflict: 0,
        unprocessed: 0,
        lag: 0,
        list_lost: 0,
        dies: 0,
        freezes: 0,
        skewed: 0,
        doubled: 0,
        message_lost: 0,
        message_late: 0,
        graph: 0,
        graph_lasting: 0,
        lies: 0,
        moves: 0,
    };

    /// What is left of it when nothing is lost and nobody dies.
    fn cleared(self) -> Self {
        Self {
            unprocessed: self.unprocessed,
            lag: self.lag,
            skewed: self.skewed,
            doubled: self.doubled,
            moves: self.moves,
            ..Self::CALM
        }
    }

    /// Each kind of fault is absent, rare or frequent, each for itself: a seed in which one thing
    /// goes wrong often reaches other corners than one in which all things go wrong a little.
    fn of(dice: &Dice) -> Self {
        let level = |rare: u32, frequent: u32| dice.of([0, rare, rare, frequent]);
        Self {
            lost: level(6, 40),
            late: level(4, 25),
            refused: level(8, 60),
            conflict: level(10, 80),
            unprocessed: level(50, 300),
            lag: level(200, 900),
            list_lost: dice.of([0, 0, 0, 15, 100]),
            dies: level(40, 200),
            freezes: level(40, 200),
            skewed: level(200, 800),
            doubled: level(60, 400),
            message_lost: level(20, 120),
            message_late: level(60, 300),
            graph: level(30, 200),
            graph_lasting: level(3, 30),
            lies: level(60, 300),
            moves: level(80, 400),
        }
    }
}

/// How often something is doubled in one seed at most, a ring that was sent twice included. Who meets
/// another's lease on a run or batch rings again, so doubles stay; without a bound they would double
/// each other.
const DOUBLES_MAX: u32 = 30;

/// How far a clock may be off, in milliseconds.
const SKEW_MS_MAX: u64 = 60_000;

/// Which story a seed tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Story {
    /// A day on which nothing is lost and nobody dies: nothing may need the sweeper.
    Clear,
    /// One bad day, after which everything that was begun has to end.
    Bad,
    /// Some bad days, and further runs until the directory is the tenant's.
    Whole,
}

impl Story {
    fn of(dice: &Dice) -> Self {
        dice.of([
            Self::Clear,
            Self::Clear,
            Self::Bad,
            Self::Bad,
            Self::Bad,
            Self::Bad,
            Self::Whole,
            Self::Whole,
            Self::Whole,
        ])
    }
}

/// The weather of a seed, and whether it is on.
#[derive(Debug)]
pub(crate) struct Chaos {
    pub(crate) story: Story,
    weather: Weather,
    on: AtomicBool,
    doubles_left: AtomicU32,
    latency_ms_max: u64,
    graph_latency_ms_max: u64,
    query_page_max: Option<u64>,
}

impl Chaos {
    pub(crate) fn new(dice: &Dice) -> Self {
        let story = Story::of(dice);
        let weather = Weather::of(dice);
        Self {
            story,
            weather: match story {
                Story::Clear => weather.cleared(),
                Story::Bad | Story::Whole => weather,
            },
            on: AtomicBool::new(true),
            doubles_left: AtomicU32::new(DOUBLES_MAX),
            latency_ms_max: dice.of([3, 20, 20, 60, 300]),
            graph_latency_ms_max: dice.of([10, 100, 400]),
            query_page_max: dice.of([None, None, None, Some(2), Some(5)]),
        }
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn end(&self) {
        self.on.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    fn weather(&self) -> Weather {
        if self.is_on() {
            self.weather
        } else {
            Weather::CALM
        }
    }

    /// How long a message takes one way, in milliseconds.
    pub(crate) fn latency_ms(&self, dice: &Dice) -> u64 {
        dice.between(1, self.latency_ms_max)
    }

    /// How long Graph takes for an answer, in milliseconds.
    pub(crate) fn graph_latency_ms(&self, dice: &Dice) -> u64 {
        dice.between(1, self.graph_latency_ms_max)
    }

    /// Whether calls take so long that a function gets nothing done in a few seconds.
    pub(crate) fn is_slow(&self) -> bool {
        self.latency_ms_max > 100
    }

    pub(crate) fn wire_fault(&self, dice: &Dice, operation: &str) -> Option<WireFault> {
        let weather = self.weather();
        if dice.per_mille(weather.lost) {
            return Some(dice.of([WireFault::LostBefore, WireFault::LostAfter]));
        }
        if dice.per_mille(weather.late) {
            // Later than a try waits, or than a lease runs, or than a function lives.
            let (low, high) = dice.of([(50, 4_000), (4_000, 20_000), (10_000, 200_000)]);
            return Some(WireFault::Late {
                ms: dice.between(low, high),
            });
        }
        if dice.per_mille(weather.refused) {
            let (status, code) = dice.of([
                (400, "ThrottlingException"),
                (400, "ProvisionedThroughputExceededException"),
                (500, "InternalServerError"),
            ]);
            return Some(WireFault::Refused { status, code });
        }
        let writes = matches!(operation, "UpdateItem" | "TransactWriteItems");
        (writes && dice.per_mille(weather.conflict)).then_some(WireFault::Conflict)
    }

    /// How many items a query's page has; no bound if `None`.
    pub(crate) fn query_page(&self, dice: &Dice) -> Option<usize> {
        let max = self.query_page_max?;
        usize::try_from(dice.between(1, max)).ok()
    }

    /// Whether the list of a run's batches reads empty, once: what began the incident.
    pub(crate) fn loses_list(&self, dice: &Dice, query: &str) -> bool {
        query.contains("\"batch#") && dice.per_mille(self.weather().list_lost)
    }

    /// How far a read is behind that may be behind.
    pub(crate) fn read_lag_ms(&self, dice: &Dice) -> Option<u64> {
        dice.per_mille(self.weather().lag)
            .then(|| dice.between(100, 1_500))
    }

    /// How many of `count` keys are processed, if not all.
    pub(crate) fn processed_keys(&self, dice: &Dice, count: usize) -> Option<usize> {
        (count > 0 && dice.per_mille(self.weather().unprocessed)).then(|| dice.index(count))
    }

    pub(crate) fn fate(&self, dice: &Dice, lease_ms: u64) -> Fate {
        let weather = self.weather();
        // A worker makes a dozen calls, a finalizer three or four dozen.
        let last_call = dice.of([10, 30, 60]);
        let at_call = u32::try_from(dice.between(1, last_call)).unwrap_or(1);
        let after = dice.per_mille(500);
        if dice.per_mille(weather.dies) {
            Fate::Dies { at_call, after }
        } else if dice.per_mille(weather.freezes) {
            let ms = dice.between(100, 3 * lease_ms);
            Fate::Freezes { at_call, after, ms }
        } else {
            Fate::Lives
        }
    }

    /// How far a machine's clock is off, in milliseconds: up to a minute, and less where a function
    /// has not much longer to live.
    pub(crate) fn skew_ms(&self, dice: &Dice, limit_ms: u64) -> i64 {
        if !dice.per_mille(self.weather().skewed) {
            return 0;
        }
        let most = (limit_ms / 3).min(SKEW_MS_MAX);
        let off = i64::try_from(dice.between(0, 2 * most)).unwrap_or(0);
        off - i64::try_from(most).unwrap_or(0)
    }

    /// Whether something happens twice: a message, an event, a schedule.
    pub(crate) fn is_doubled(&self, dice: &Dice) -> bool {
        dice.per_mille(self.weather().doubled) && self.may_double()
    }

    /// Whether there may be one more double.
    pub(crate) fn may_double(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        let left = &self.doubles_left;
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    pub(crate) fn loses_message(&self, dice: &Dice) -> bool {
        dice.per_mille(self.weather().message_lost)
    }

    /// How long a message or a schedule is late, in milliseconds.
    pub(crate) fn late_ms(&self, dice: &Dice) -> u64 {
        if dice.per_mille(self.weather().message_late) {
            dice.between(100, 120_000)
        } else {
            0
        }
    }

    pub(crate) fn graph_fails(&self, dice: &Dice) -> bool {
        dice.per_mille(self.weather().graph)
    }

    pub(crate) fn graph_fails_for_long(&self, dice: &Dice) -> bool {
        dice.per_mille(self.weather().graph_lasting)
    }

    /// Whether somebody changes between two pages.
    pub(crate) fn moves_somebody(&self, dice: &Dice) -> bool {
        dice.per_mille(self.weather().moves)
    }

    /// Whether a replica of Graph is stale about somebody.
    pub(crate) fn graph_lies(&self, dice: &Dice) -> bool {
        dice.per_mille(self.weather().lies)
    }
}
