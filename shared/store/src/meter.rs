//! Counts the capacity that DynamoDB says it consumed (`ReturnConsumedCapacity`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::ConsumedCapacity;

/// Capacity units, as DynamoDB bills them.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Capacity {
    /// Read units.
    pub read_units: f64,
    /// Write units.
    pub write_units: f64,
}

/// Sums up capacity. Clones count into the same sums.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter(Arc<Sums>);

#[derive(Debug, Default)]
struct Sums {
    /// Whose sums these are a part of.
    whole: Option<Meter>,
    // In halves: DynamoDB counts in halves of a unit.
    read_halves: AtomicU64,
    write_halves: AtomicU64,
}

impl Meter {
    /// A meter that starts at nothing, and whose sums are a part of this one's.
    pub(crate) fn part(&self) -> Self {
        Self(Arc::new(Sums {
            whole: Some(self.clone()),
            ..Sums::default()
        }))
    }

    pub(crate) fn read<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.add(halves(consumed), |sums| &sums.read_halves);
    }

    pub(crate) fn write<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.add(halves(consumed), |sums| &sums.write_halves);
    }

    fn add(&self, halves: u64, of: fn(&Sums) -> &AtomicU64) {
        let mut next = Some(self);
        while let Some(meter) = next {
            of(&meter.0).fetch_add(halves, Ordering::Relaxed);
            next = meter.0.whole.as_ref();
        }
    }

    /// All so far.
    pub(crate) fn total(&self) -> Capacity {
        Capacity {
            read_units: from_halves(self.0.read_halves.load(Ordering::Relaxed)),
            write_units: from_halves(self.0.write_halves.load(Ordering::Relaxed)),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "capacities are small and positive"
)]
fn halves<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> u64 {
    consumed
        .into_iter()
        .filter_map(ConsumedCapacity::capacity_units)
        .map(|units| (units * 2.0).round() as u64)
        .sum()
}

#[expect(clippy::cast_precision_loss, reason = "sums stay far below 2^52")]
fn from_halves(halves: u64) -> f64 {
    halves as f64 / 2.0
}
