//! What changed in a directory, and in which order: what a delta is cut from.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use crate::user::User;

/// When each user changed last, and which property when. Positions count changes from 1; a user who
/// changes again moves to the end.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    count: u64,
    at: BTreeMap<u64, Uuid>,
    of: BTreeMap<Uuid, Touched>,
}

/// The changes of one user.
#[derive(Debug, Default)]
struct Touched {
    last: u64,
    /// When the user was made, or came back.
    whole: u64,
    properties: BTreeMap<String, u64>,
}

impl Changes {
    /// The position after the last change.
    pub(crate) fn now(&self) -> u64 {
        self.count + 1
    }

    /// Up to so many users who changed last at a position or after it, with that place.
    pub(crate) fn since(&self, position: u64, count: usize) -> Vec<(u64, Uuid)> {
        let later = self.at.range(position..).take(count);
        later.map(|(at, id)| (*at, *id)).collect()
    }

    /// The user was made, or came back.
    pub(crate) fn whole(&mut self, id: Uuid) {
        let now = self.touch(id);
        self.touched(id).whole = now;
    }

    /// The user is gone, for now or for good.
    pub(crate) fn gone(&mut self, id: Uuid) {
        self.touch(id);
    }

    /// The user has other properties than before.
    pub(crate) fn properties(&mut self, before: &User, after: &User) {
        let (old, new) = (before.properties(), after.properties());
        let names = old.keys().chain(new.keys());
        let changed: Vec<_> = names
            .filter(|name| old.get(*name) != new.get(*name))
            .cloned()
            .collect();
        if changed.is_empty() {
            return;
        }
        let now = self.touch(after.id);
        let touched = self.touched(after.id);
        for name in changed {
            touched.properties.insert(name, now);
        }
    }

    /// Whether a property was ever set to null, or the like, after it had a value.
    pub(crate) fn was_touched(&self, id: Uuid, property: &str) -> bool {
        let touched = self.of.get(&id);
        touched.is_some_and(|touched| touched.properties.contains_key(property))
    }

    /// Whether a delta from a position has to tell the property.
    pub(crate) fn is_new(&self, id: Uuid, property: &str, position: u64) -> bool {
        self.of.get(&id).is_some_and(|touched| {
            let of_it = touched.properties.get(property);
            touched.whole >= position || of_it.is_some_and(|at| *at >= position)
        })
    }

    fn touch(&mut self, id: Uuid) -> u64 {
        self.count += 1;
        let now = self.count;
        let touched = self.touched(id);
        let before = std::mem::replace(&mut touched.last, now);
        self.at.remove(&before);
        self.at.insert(now, id);
        now
    }

    fn touched(&mut self, id: Uuid) -> &mut Touched {
        self.of.entry(id).or_default()
    }
}

/// The properties that have a value, by Graph's names.
pub(crate) type Properties = BTreeMap<String, Value>;
