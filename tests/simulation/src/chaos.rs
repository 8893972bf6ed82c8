//! What goes wrong next: drawn from the seed's weather, as long as the story says that it is bad.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::dice::Dice;
use crate::lambda::Function;
use crate::weather::{Story, Theme, Weather};

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
    /// Its process dies.
    Dies(At),
    /// Its machine stands still for so long, in milliseconds.
    Freezes(At, u64),
    /// Its machine stands still until one of its leases is somebody else's, or so long, in milliseconds: what it
    /// was about to write comes at the worst moment.
    FreezesUntilTaken(At, u64),
}

/// Which calls of an invocation are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// All.
    Calls,
    /// Those that write.
    Writes,
    /// Those that write, from the first call on that is about the end of something: a plan, a
    /// generation whose batches are revoked.
    LastWrites,
}

/// When something happens to an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    /// At which of them: the first is 1.
    pub(crate) nth: u32,
    /// Of which calls.
    pub(crate) of: Of,
    /// Not before the call is sent, but after it was applied.
    pub(crate) after: bool,
}

/// How often something is doubled in one seed at most, a ring that was sent twice included. A batch
/// that waits for an earlier page rings again, each of its doubles too; without a bound they would
/// double each other.
const DOUBLES_MAX: u32 = 100;

/// How far a clock may be off, in milliseconds.
const SKEW_MS_MAX: u64 = 60_000;

/// How far a read may be behind that may be behind, in milliseconds.
const READ_LAG_MS_MAX: u64 = 1_500;

/// Likewise for a read of an index, for which DynamoDB promises no bound: longer than the time between two runs.
pub(crate) const INDEX_LAG_MS_MAX: u64 = 10 * 60_000;

/// The weather of a seed, and whether it is on.
#[derive(Debug)]
pub(crate) struct Chaos {
    pub(crate) story: Story,
    pub(crate) theme: Theme,
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
        let theme = Theme::of(dice, story);
        let weather = Weather::of(dice).with(theme, dice);
        Self {
            story,
            theme,
            weather: match story {
                Story::Clear => weather.cleared(),
                Story::Bad | Story::Whole => weather,
            },
            on: AtomicBool::new(false),
            doubles_left: AtomicU32::new(DOUBLES_MAX),
            latency_ms_max: match theme {
                Theme::LateWrites => dice.of([20, 60, 300]),
                _ => dice.of([3, 20, 20, 60, 300]),
            },
            graph_latency_ms_max: dice.of([10, 100, 400]),
            query_page_max: dice.of([None, None, None, Some(2), Some(5)]),
        }
    }

    /// From now on things go wrong, or not any more.
    pub(crate) fn turn(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// Whether calls are refused, and not merely late.
    pub(crate) fn is_stormy(&self) -> bool {
        self.is_on() && self.story != Story::Clear
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

    /// Whether calls are so quick that a finalizer plans within some seconds.
    pub(crate) fn is_quick(&self) -> bool {
        self.latency_ms_max <= 20 && self.graph_latency_ms_max <= 100
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

    /// Whether an item reads otherwise than it was written. A part of a plan is read so seldom that
    /// it would hardly be among them.
    pub(crate) fn spoils(&self, dice: &Dice, is_plan: bool) -> bool {
        let weather = self.weather();
        dice.per_mille(if is_plan {
            weather.plan_spoiled
        } else {
            weather.spoiled
        })
    }

    /// How far a read is behind that may be behind.
    pub(crate) fn read_lag_ms(&self, dice: &Dice, is_index: bool) -> Option<u64> {
        let lag_ms_max = if is_index && dice.index(2) == 0 {
            INDEX_LAG_MS_MAX
        } else {
            READ_LAG_MS_MAX
        };
        dice.per_mille(self.weather().lag)
            .then(|| dice.between(100, lag_ms_max))
    }

    /// How many of `count` keys are processed, if not all.
    pub(crate) fn processed_keys(&self, dice: &Dice, count: usize) -> Option<usize> {
        (count > 0 && dice.per_mille(self.weather().unprocessed)).then(|| dice.index(count))
    }

    /// Whether the topic takes a part of a request.
    pub(crate) fn takes_in_part(&self, dice: &Dice) -> bool {
        dice.per_mille(self.weather().unprocessed)
    }

    pub(crate) fn fate(
        &self,
        dice: &Dice,
        function: Function,
        lease_ms: u64,
        limit_ms: u64,
    ) -> Fate {
        let weather = self.weather();
        // The publisher writes nothing.
        let of_writes = function != Function::Publisher && dice.per_mille(weather.at_writes);
        // A worker makes a dozen calls, a finalizer three or four dozen; a third of them writes at
        // most. The first write takes the lease, the last of a finalizer's carry the plan out.
        let (of, last) = match (of_writes, function) {
            (false, Function::Worker | Function::Publisher) => {
                dice.of([(Of::Calls, 5), (Of::Calls, 5), (Of::Calls, 30)])
            }
            (false, _) => dice.of([(Of::Calls, 10), (Of::Calls, 30), (Of::Calls, 60)]),
            (true, Function::Finalizer) => {
                let plan = (Of::LastWrites, 6);
                dice.of([(Of::Writes, 8), (Of::Writes, 1), plan, plan])
            }
            (true, Function::Enumerator) if self.theme == Theme::Restarts => {
                dice.of([(Of::Writes, 6), (Of::LastWrites, 3)])
            }
            (true, _) => dice.of([(Of::Writes, 6), (Of::Writes, 6), (Of::Writes, 1)]),
        };
        let (dies, freezes) = match function {
            Function::Finalizer => (
                weather.dies.max(weather.plan_dies),
                weather.freezes.max(weather.plan_freezes),
            ),
            _ => (weather.dies, weather.freezes),
        };
        let at = At {
            nth: u32::try_from(dice.between(1, last)).unwrap_or(1),
            of,
            after: dice.per_mille(if of_writes { 300 } else { 500 }),
        };
        if dice.per_mille(dies) {
            Fate::Dies(at)
        } else if dice.per_mille(freezes) {
            if self.theme == Theme::LateWrites && dice.per_mille(600) {
                let at = At { after: false, ..at };
                return Fate::FreezesUntilTaken(at, limit_ms - limit_ms / 4);
            }
            // For a moment, beyond its lease, or until it is time to stop.
            let any_ms = dice.between(100, 3 * lease_ms);
            let long_ms = dice.between(lease_ms, 3 * lease_ms);
            Fate::Freezes(at, dice.of([any_ms, long_ms, limit_ms - limit_ms / 4]))
        } else {
            Fate::Lives
        }
    }

    /// Whether a day is one on which the schedule of the deltas fires.
    pub(crate) fn is_for_deltas(&self, dice: &Dice) -> bool {
        dice.per_mille(self.weather().deltas)
    }

    /// How far a machine's clock is off, in milliseconds: up to a minute, and less where a function
    /// has not much longer to live. One that is behind stops its step late and may be cut off, which
    /// is no clear day.
    pub(crate) fn skew_ms(&self, dice: &Dice, limit_ms: u64) -> i64 {
        if !dice.per_mille(self.weather().skewed) {
            return 0;
        }
        let ahead = ahead_ms_max(limit_ms);
        let behind = match self.story {
            Story::Clear => ahead / 10,
            Story::Bad | Story::Whole => ahead,
        };
        let off = i64::try_from(dice.between(0, ahead + behind)).unwrap_or(0);
        off - i64::try_from(behind).unwrap_or(0)
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

    /// Whether a message is lost, the first time or when it should come again.
    pub(crate) fn loses_message(&self, dice: &Dice, came_already: bool) -> bool {
        let weather = self.weather();
        dice.per_mille(if came_already {
            weather.redelivery_lost
        } else {
            weather.message_lost
        })
    }

    /// How long a message or a schedule is late, in milliseconds.
    pub(crate) fn late_ms(&self, dice: &Dice) -> u64 {
        if dice.per_mille(self.weather().message_late) {
            dice.between(100, 120_000)
        } else {
            0
        }
    }

    pub(crate) fn graph_fails(&self, dice: &Dice, is_look_up: bool) -> bool {
        let weather = self.weather();
        dice.per_mille(if is_look_up {
            weather.look_ups
        } else {
            weather.graph
        })
    }

    pub(crate) fn graph_fails_for_long(&self, dice: &Dice) -> bool {
        dice.per_mille(self.weather().graph_lasting)
    }

    /// Whether a page token is dead before it is used.
    pub(crate) fn token_is_dead(&self, dice: &Dice) -> bool {
        dice.per_mille(self.weather().dead_token)
    }

    /// Whether a fault that lasts is that Graph sees nobody.
    pub(crate) fn graph_is_blind(&self, dice: &Dice) -> bool {
        dice.per_mille(self.weather().blind)
    }

    /// Whether a person decides about somebody whom a function has just read.
    pub(crate) fn decides_by_hand(&self, dice: &Dice) -> bool {
        dice.per_mille(self.weather().by_hand)
    }

    /// Whether somebody changes between two pages.
    pub(crate) fn moves_somebody(&self, dice: &Dice) -> bool {
        dice.per_mille(self.weather().moves)
    }

    /// Whether a replica of Graph is stale about somebody; one that was stale a moment ago is so more
    /// often.
    pub(crate) fn graph_lies(&self, dice: &Dice, has_lied: bool) -> bool {
        let times = if has_lied { 2 } else { 1 };
        dice.per_mille(times * self.weather().lies)
    }
}

/// How far a clock is ahead at most, in milliseconds, of a function that lives so long.
pub(crate) fn ahead_ms_max(limit_ms: u64) -> u64 {
    (limit_ms / 3).min(SKEW_MS_MAX)
}
