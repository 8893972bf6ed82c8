//! Marks: what happened in a world, counted, so that a world in which nothing happens shows.

use std::collections::BTreeMap;

use crate::world::{World, lock};

/// What happened, and how often.
pub type Marks = BTreeMap<&'static str, u64>;

impl World {
    /// It happened once more.
    pub(crate) fn mark(&self, what: &'static str) {
        *lock(&self.marks).entry(what).or_default() += 1;
    }

    pub(crate) fn take_marks(&self) -> Marks {
        std::mem::take(&mut lock(&self.marks))
    }
}
