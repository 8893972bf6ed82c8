//! What both tables hold, kept beside the database from the writes that it took: for the checks,
//! which compare before and after, and for reads that lag.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::item::{Item, Place, Table};

/// One write that was applied.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) place: Place,
    pub(crate) before: Option<Item>,
    pub(crate) after: Item,
}

#[derive(Debug)]
struct Kept {
    item: Item,
    /// What was there before the last change, and when that was.
    before: Option<Item>,
    changed_at_ms: u64,
}

/// The tables.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    items: BTreeMap<Place, Kept>,
}

impl Mirror {
    pub(crate) fn get(&self, place: &Place) -> Option<&Item> {
        self.items.get(place).map(|kept| &kept.item)
    }

    /// Takes in an item as it is after a write.
    pub(crate) fn put(&mut self, place: Place, item: Item, at_ms: u64) -> Change {
        let before = self.items.get(&place).map(|kept| kept.item.clone());
        let kept = Kept {
            item: item.clone(),
            before: before.clone(),
            changed_at_ms: at_ms,
        };
        self.items.insert(place.clone(), kept);
        Change {
            place,
            before,
            after: item,
        }
    }

    /// The items of a partition whose sort keys begin with `prefix`, in their order.
    pub(crate) fn range<'a>(
        &'a self,
        table: Table,
        pk: &str,
        prefix: &str,
    ) -> impl Iterator<Item = (&'a Place, &'a Item)> + use<'a> {
        let (pk, prefix) = (pk.to_owned(), prefix.to_owned());
        let from = Place {
            table,
            pk: pk.clone(),
            sk: prefix.clone(),
        };
        self.items
            .range((Bound::Included(from), Bound::Unbounded))
            .take_while(move |(place, _)| {
                place.table == table && place.pk == pk && place.sk.starts_with(&prefix)
            })
            .map(|(place, kept)| (place, &kept.item))
    }

    /// The items whose partition key begins with `prefix`.
    pub(crate) fn partitions<'a>(
        &'a self,
        table: Table,
        prefix: &str,
    ) -> impl Iterator<Item = (&'a Place, &'a Item)> + use<'a> {
        let prefix = prefix.to_owned();
        let from = Place {
            table,
            pk: prefix.clone(),
            sk: String::new(),
        };
        self.items
            .range((Bound::Included(from), Bound::Unbounded))
            .take_while(move |(place, _)| place.table == table && place.pk.starts_with(&prefix))
            .map(|(place, kept)| (place, &kept.item))
    }

    /// What a read that lags may still see of an item that changed since `since_ms`: `Some(None)`
    /// when it was not there yet, `None` when the item has not changed.
    pub(crate) fn lagging(&self, place: &Place, since_ms: u64) -> Option<Option<&Item>> {
        let kept = self.items.get(place)?;
        (kept.changed_at_ms >= since_ms).then_some(kept.before.as_ref())
    }
}
