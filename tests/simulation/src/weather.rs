//! How much goes wrong in a seed: each has its own weather, tells one story, and may have a theme.

use crate::dice::Dice;

/// The chances, in a thousand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) lost: u32,
    pub(crate) late: u32,
    pub(crate) refused: u32,
    pub(crate) conflict: u32,
    pub(crate) unprocessed: u32,
    pub(crate) lag: u32,
    pub(crate) list_lost: u32,
    pub(crate) spoiled: u32,
    pub(crate) plan_spoiled: u32,
    pub(crate) dies: u32,
    pub(crate) plan_dies: u32,
    pub(crate) freezes: u32,
    pub(crate) plan_freezes: u32,
    pub(crate) skewed: u32,
    pub(crate) doubled: u32,
    pub(crate) message_lost: u32,
    pub(crate) redelivery_lost: u32,
    pub(crate) message_late: u32,
    pub(crate) graph: u32,
    pub(crate) graph_lasting: u32,
    pub(crate) lies: u32,
    pub(crate) moves: u32,
    pub(crate) look_ups: u32,
    pub(crate) dead_token: u32,
    pub(crate) blind: u32,
    pub(crate) by_hand: u32,
    /// Of deaths and standstills, those that come just at a write.
    pub(crate) at_writes: u32,
    /// Of the days, those on which the schedule of the deltas fires, and not the nightly one.
    pub(crate) deltas: u32,
}

impl Weather {
    pub(crate) const CALM: Self = Self {
        lost: 0,
        late: 0,
        refused: 0,
        conflict: 0,
        unprocessed: 0,
        lag: 0,
        list_lost: 0,
        spoiled: 0,
        plan_spoiled: 0,
        dies: 0,
        plan_dies: 0,
        freezes: 0,
        plan_freezes: 0,
        skewed: 0,
        doubled: 0,
        message_lost: 0,
        redelivery_lost: 0,
        message_late: 0,
        graph: 0,
        graph_lasting: 0,
        lies: 0,
        moves: 0,
        look_ups: 0,
        dead_token: 0,
        blind: 0,
        by_hand: 0,
        at_writes: 0,
        deltas: 0,
    };

    /// What is left of it when nothing is lost and nobody dies.
    pub(crate) fn cleared(self) -> Self {
        Self {
            unprocessed: self.unprocessed,
            lag: self.lag,
            skewed: self.skewed,
            doubled: self.doubled,
            moves: self.moves,
            by_hand: self.by_hand,
            deltas: self.deltas,
            ..Self::CALM
        }
    }

    /// Each kind of fault is absent, rare or frequent, each for itself: a seed in which one thing
    /// goes wrong often reaches other corners than one in which all things go wrong a little.
    pub(crate) fn of(dice: &Dice) -> Self {
        let level = |rare: u32, frequent: u32| dice.of([0, rare, rare, frequent]);
        Self {
            lost: level(6, 40),
            late: level(4, 25),
            refused: level(8, 60),
            conflict: level(10, 80),
            unprocessed: level(50, 300),
            lag: level(200, 900),
            list_lost: dice.of([0, 0, 0, 15, 100]),
            spoiled: dice.of([0, 0, 0, 5, 25]),
            plan_spoiled: dice.of([0, 0, 0, 100]),
            dies: level(40, 200),
            plan_dies: 0,
            freezes: level(40, 200),
            plan_freezes: 0,
            skewed: level(200, 800),
            doubled: level(60, 400),
            message_lost: level(20, 120),
            redelivery_lost: level(20, 120),
            message_late: level(60, 300),
            graph: level(30, 200),
            graph_lasting: level(3, 30),
            lies: level(60, 300),
            moves: level(80, 400),
            look_ups: level(30, 200),
            dead_token: 0,
            blind: 400,
            by_hand: level(10, 40),
            at_writes: dice.of([0, 300, 1_000]),
            deltas: dice.of([0, 350, 350, 700]),
        }
    }

    /// The same weather with what a theme has more of.
    pub(crate) fn with(self, theme: Theme, dice: &Dice) -> Self {
        match theme {
            Theme::Any => self,
            Theme::Leavers => Self {
                plan_dies: dice.of([0, 600]),
                plan_spoiled: dice.of([0, 0, 400]),
                at_writes: 800,
                redelivery_lost: dice.of([self.redelivery_lost, 1_000]),
                moves: self.moves.max(150),
                by_hand: self.by_hand.max(150),
                ..self
            },
            Theme::Restarts => Self {
                dead_token: 250,
                list_lost: dice.of([self.list_lost, 100]),
                spoiled: dice.of([self.spoiled, self.spoiled, 40]),
                moves: self.moves.max(300),
                graph: self.graph.max(60),
                dies: dice.of([self.dies, 300, 300]),
                at_writes: 900,
                message_late: self.message_late.max(300),
                ..self
            },
            Theme::LateWrites => Self {
                freezes: 500,
                plan_freezes: dice.of([0, 900]),
                doubled: self.doubled.max(300),
                graph_lasting: dice.of([self.graph_lasting, 30]),
                at_writes: 700,
                ..self
            },
            Theme::Hands => Self {
                by_hand: 250,
                ..self
            },
            Theme::Replicas => Self {
                lies: 300,
                graph: self.graph.max(60),
                look_ups: 350,
                graph_lasting: dice.of([self.graph_lasting, 20]),
                blind: 700,
                ..self
            },
        }
    }
}

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
    pub(crate) fn of(dice: &Dice) -> Self {
        dice.of([
            Self::Clear,
            Self::Clear,
            Self::Clear,
            Self::Bad,
            Self::Bad,
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

/// What a seed has more of than its weather gives it: corners that need several rare things at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    /// Nothing.
    Any,
    /// Many leave in one night, under guards that are tight.
    Leavers,
    /// Page tokens die for good, and people come and go while the scan begins again.
    Restarts,
    /// Machines stand still just before they write, until their lease is somebody else's.
    LateWrites,
    /// A person decides about whom a function has just read.
    Hands,
    /// Graph's replicas are stale, and its answers about single users fail.
    Replicas,
}

impl Theme {
    pub(crate) fn of(dice: &Dice, story: Story) -> Self {
        let theme = dice.of([
            Self::Any,
            Self::Any,
            Self::Leavers,
            Self::Leavers,
            Self::Restarts,
            Self::Restarts,
            Self::LateWrites,
            Self::LateWrites,
            Self::Hands,
            Self::Replicas,
        ]);
        match (story, theme) {
            (Story::Clear, Self::Restarts | Self::LateWrites | Self::Replicas) => Self::Any,
            _ => theme,
        }
    }
}
