//! Items of the two tables, as the world sees them pass by.

use std::collections::HashMap;

use dynoxide::AttributeValue;

/// An item.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    Directory,
    Coordination,
}

impl Table {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Coordination => "coordination",
        }
    }

    pub(crate) fn of(name: &str) -> Self {
        if name == Self::Directory.name() {
            Self::Directory
        } else {
            Self::Coordination
        }
    }
}

/// Where an item is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) table: Table,
    pub(crate) pk: String,
    pub(crate) sk: String,
}

impl Place {
    /// Of an item, or of a key.
    pub(crate) fn of(table: &str, item: &Item) -> Self {
        Self {
            table: Table::of(table),
            pk: text(item, "pk").to_owned(),
            sk: text(item, "sk").to_owned(),
        }
    }

    pub(crate) fn coordination(pk: String, sk: String) -> Self {
        let table = Table::Coordination;
        Self { table, pk, sk }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.table {
            Table::Directory => "user ",
            Table::Coordination => "",
        };
        // A page's key ends in its digest, and a plan's too: the beginning tells them apart.
        let sk: String = self.sk.chars().take(24).collect();
        write!(f, "{name}{}/{sk}", self.pk)
    }
}

/// A text attribute; empty if there is none.
pub(crate) fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    match item.get(name) {
        Some(AttributeValue::S(value)) => value,
        _ => "",
    }
}

/// A text attribute, if there is one.
pub(crate) fn text_if_any<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    match item.get(name) {
        Some(AttributeValue::S(value)) => Some(value),
        _ => None,
    }
}

/// A text within a map attribute, if there is one.
pub(crate) fn member<'a>(item: &'a Item, map: &str, name: &str) -> Option<&'a str> {
    match item.get(map) {
        Some(AttributeValue::M(members)) => text_if_any(members, name),
        _ => None,
    }
}

/// How many members a map attribute has.
pub(crate) fn members(item: &Item, map: &str) -> usize {
    match item.get(map) {
        Some(AttributeValue::M(members)) => members.len(),
        _ => 0,
    }
}

/// A number attribute, if there is one.
pub(crate) fn number(item: &Item, name: &str) -> Option<u64> {
    match item.get(name) {
        Some(AttributeValue::N(value)) => value.parse().ok(),
        _ => None,
    }
}

/// A binary attribute; empty if there is none.
pub(crate) fn bytes<'a>(item: &'a Item, name: &str) -> &'a [u8] {
    match item.get(name) {
        Some(AttributeValue::B(value)) => value,
        _ => &[],
    }
}

/// A truth value, if there is one.
pub(crate) fn flag(item: &Item, name: &str) -> Option<bool> {
    match item.get(name) {
        Some(AttributeValue::BOOL(value)) => Some(*value),
        _ => None,
    }
}

/// JSON in a text attribute; null if there is none.
pub(crate) fn json(item: &Item, name: &str) -> serde_json::Value {
    serde_json::from_str(text(item, name)).unwrap_or_default()
}
