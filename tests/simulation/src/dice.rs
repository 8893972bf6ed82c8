//! Chance: one generator, one seed, so that one seed is one history.

use std::sync::{Mutex, PoisonError};

use fastrand::Rng;
use uuid::Uuid;

/// The dice of a world.
#[derive(Debug)]
pub(crate) struct Dice(Mutex<Rng>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(Rng::with_seed(seed)))
    }

    fn draw<T>(&self, how: impl FnOnce(&mut Rng) -> T) -> T {
        // A generator is sound in any state.
        how(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// True so many times in a thousand.
    pub(crate) fn per_mille(&self, chance: u32) -> bool {
        chance > 0 && self.draw(|rng| rng.u32(0..1_000)) < chance
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        self.draw(|rng| rng.u64(low..=high.max(low)))
    }

    /// An index below `count`; 0 for an empty choice.
    pub(crate) fn index(&self, count: usize) -> usize {
        self.draw(|rng| rng.usize(0..count.max(1)))
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&self, from: &[T]) -> Option<T> {
        from.get(self.index(from.len())).copied()
    }

    /// One of a fixed list.
    pub(crate) fn of<T: Copy, const N: usize>(&self, from: [T; N]) -> T {
        const { assert!(N > 0, "nothing to choose from") };
        from[self.index(N)]
    }

    pub(crate) fn uuid(&self) -> Uuid {
        let bytes = self.draw(|rng| rng.u128(..));
        uuid::Builder::from_random_bytes(bytes.to_be_bytes()).into_uuid()
    }
}
