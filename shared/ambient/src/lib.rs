//! The one place in the system that reads a clock and draws random numbers.
//!
//! Everything else is handed an [`Ambient`] and asks it. It promises that a program that is given
//! [`Ambient::simulated`] and runs on a paused tokio runtime sees the same times and the same
//! random numbers each time that it runs. It never decides anything: no retry, no lease, no wait
//! is in here. `clippy.toml` forbids the underlying calls everywhere else.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

/// Tells the time.
pub trait Clock: Debug + Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> u64;
}

/// Gives random numbers: good enough for jitter, request ids and lease owners, not for keys.
pub trait Entropy: Debug + Send + Sync {
    /// The next number, uniform over all of `u64`.
    fn next_u64(&self) -> u64;
}

/// Time and randomness as values, cheap to clone.
#[derive(Debug, Clone)]
pub struct Ambient {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Ambient {
    /// From any clock and any source of randomness.
    pub fn new(clock: impl Clock + 'static, entropy: impl Entropy + 'static) -> Self {
        Self {
            clock: Arc::new(clock),
            entropy: Arc::new(entropy),
        }
    }

    /// The machine's own clock and a generator seeded by the operating system.
    #[must_use]
    pub fn system() -> Self {
        Self::new(SystemClock, Seeded::from_os())
    }

    /// Virtual time, which starts at `epoch_ms` and moves with tokio's clock (so it stands still on
    /// a paused runtime until something sleeps), and a generator with a fixed seed.
    #[must_use]
    pub fn simulated(epoch_ms: u64, seed: u64) -> Self {
        Self::new(TokioClock::starting_at(epoch_ms), Seeded::new(seed))
    }

    /// The same randomness under another clock: for a part whose clock is skewed or set by hand.
    #[must_use]
    pub fn with_clock(&self, clock: impl Clock + 'static) -> Self {
        Self {
            clock: Arc::new(clock),
            entropy: Arc::clone(&self.entropy),
        }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// A random number, uniform over all of `u64`.
    #[must_use]
    pub fn random_u64(&self) -> u64 {
        self.entropy.next_u64()
    }

    /// A random whole number from 0 to `max`, both included.
    #[must_use]
    pub fn random_up_to(&self, max: u64) -> u64 {
        let draw = u128::from(self.random_u64());
        // The high half of draw × (max + 1), by Lemire: no modulo bias worth a name.
        u64::try_from((draw * (u128::from(max) + 1)) >> 64).unwrap_or(max)
    }

    /// A random version 4 UUID, in lower case with dashes.
    #[must_use]
    pub fn random_uuid(&self) -> String {
        let (high, low) = (self.random_u64(), self.random_u64());
        let high = (high & 0xffff_ffff_ffff_0fff) | 0x4000;
        let low = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

/// The operating system's clock.
#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one reader of the clock")]
    fn now_ms(&self) -> u64 {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            })
    }
}

/// Tokio's clock, set to a date.
#[derive(Debug)]
struct TokioClock {
    epoch_ms: u64,
    start: tokio::time::Instant,
}

impl TokioClock {
    fn starting_at(epoch_ms: u64) -> Self {
        Self {
            epoch_ms,
            start: tokio::time::Instant::now(),
        }
    }
}

impl Clock for TokioClock {
    fn now_ms(&self) -> u64 {
        let elapsed_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.epoch_ms.saturating_add(elapsed_ms)
    }
}

/// A small generator with a seed.
#[derive(Debug)]
struct Seeded(Mutex<fastrand::Rng>);

impl Seeded {
    fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that draws a seed from the system"
    )]
    fn from_os() -> Self {
        Self(Mutex::new(fastrand::Rng::new()))
    }
}

impl Entropy for Seeded {
    fn next_u64(&self) -> u64 {
        // A generator is sound in any state, so a poisoned lock is no reason to stop.
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .u64(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_moves_only_with_tokio_time() {
        let ambient = Ambient::simulated(1_000, 7);
        assert_eq!(ambient.now_ms(), 1_000);
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        assert_eq!(ambient.now_ms(), 1_250);
    }

    #[tokio::test]
    async fn one_seed_gives_one_history() {
        let draw = |seed| {
            let ambient = Ambient::simulated(0, seed);
            (ambient.random_u64(), ambient.random_uuid())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[tokio::test]
    async fn a_random_number_keeps_to_its_bound() {
        let ambient = Ambient::simulated(0, 3);
        let drawn: std::collections::BTreeSet<_> =
            (0..200).map(|_| ambient.random_up_to(4)).collect();
        assert_eq!(drawn, (0..=4).collect());
    }

    #[tokio::test]
    async fn a_random_uuid_is_a_version_4_uuid() {
        let id = Ambient::simulated(0, 3).random_uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
