//! Whose message is next. Messages of one group take turns with those of another, so that a group with a
//! long backlog does not make another's wait: the group that has the fewest messages in flight comes
//! first, and of two that are even the one whose message is older.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A message group; messages that were sent without one are a group as well.
pub(crate) type Group = Option<Arc<str>>;

/// The messages of a queue that can be received, and how many of each group are in flight.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    visible: BTreeMap<Group, BTreeSet<u64>>,
    in_flight: BTreeMap<Group, usize>,
}

impl Turns {
    /// The message that is received next.
    pub(crate) fn next(&self) -> Option<u64> {
        let first = |(group, numbers): (&Group, &BTreeSet<u64>)| {
            let in_flight = self.in_flight.get(group).copied().unwrap_or_default();
            Some((in_flight, *numbers.first()?))
        };
        let (_, number) = self.visible.iter().filter_map(first).min()?;
        Some(number)
    }

    pub(crate) fn visible_count(&self) -> usize {
        self.visible.values().map(BTreeSet::len).sum()
    }

    pub(crate) fn show(&mut self, group: &Group, number: u64) {
        self.visible
            .entry(group.clone())
            .or_default()
            .insert(number);
    }

    pub(crate) fn hide(&mut self, group: &Group, number: u64) {
        if let Some(numbers) = self.visible.get_mut(group) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.visible.remove(group);
            }
        }
    }

    /// A message of a group is in flight from now on.
    pub(crate) fn hold(&mut self, group: &Group) {
        *self.in_flight.entry(group.clone()).or_default() += 1;
    }

    /// It is so no more.
    pub(crate) fn free(&mut self, group: &Group) {
        if let Some(count) = self.in_flight.get_mut(group) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.in_flight.remove(group);
            }
        }
    }
}

#[cfg(test)]
#[path = "fair_tests.rs"]
mod tests;
