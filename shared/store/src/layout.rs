//! The layout of items, by number: which ones this program reads.
//!
//! While a new version is deployed, functions of both versions work on the same items, and one that was
//! rolled back meets what a newer one wrote. So an attribute that may be missing, or be ignored, is added
//! without a new number; anything else raises it, in the items that are written so and in those alone.

use crate::error::StoreError;
use crate::row::{Item, Row};

/// The layout that this program writes, and the newest that it reads.
pub(crate) const LAYOUT: u32 = 1;

/// The attribute that has the number. An item without it has the first layout.
pub(crate) const SCHEMA: &str = "schema";

/// Refuses an item of a newer layout: what its attributes mean is not known here, and nothing is done by
/// them. Each write of an item comes after a read of it, so nothing is written to it either.
pub(crate) fn check(item: &Item) -> Result<(), StoreError> {
    let row = Row(item);
    let schema: u32 = row.number_if_any(SCHEMA)?.unwrap_or(LAYOUT);
    if schema <= LAYOUT {
        return Ok(());
    }
    Err(StoreError::Newer {
        item: row.name(),
        schema,
        known: LAYOUT,
    })
}
