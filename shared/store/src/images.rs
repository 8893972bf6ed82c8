//! A run's journal read from its beginning to its end, a page at a time.

use std::fmt;

use rollcall_core::ids::{ObjectId, RunRef};
use rollcall_core::status::StoredUser;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::keys::DIRECTORY_SHARDS;
use crate::read::Range;
use crate::row::{Item, Key, Row};
use crate::{Store, Table, keys};

/// What one user was before a run changed him.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Who.
    pub id: ObjectId,
    /// His version then; 0 if the run created him.
    pub version: u64,
    /// He; `None` if the run created him.
    pub before: Option<StoredUser>,
    /// The evidence, if the run switched him off.
    pub evidence: Option<String>,
    /// From when on DynamoDB may drop it, in seconds since 1970.
    pub(crate) ttl_s: u64,
}

impl Image {
    fn read(item: &Item) -> Result<Self, StoreError> {
        let row = Row(item);
        let key = row.text("sk")?;
        let corrupt = || StoreError::Corrupt {
            item: format!("the before-image {key}"),
            detail: "its key is none".into(),
        };
        let (id, version) = key.rsplit_once('#').ok_or_else(corrupt)?;
        Ok(Self {
            id: ObjectId::new(id).map_err(|_| corrupt())?,
            version: version.parse().map_err(|_| corrupt())?,
            before: row.json_if_any("before")?,
            evidence: row.text_if_any("evidence")?.map(str::to_owned),
            ttl_s: row.number("ttl")?,
        })
    }
}

/// A place in a run's journal: what comes next is behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalPlace {
    shard: u8,
    after: Option<String>,
}

impl fmt::Display for JournalPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = self.after.as_deref().unwrap_or_default();
        write!(f, "{}#{after}", self.shard)
    }
}

impl JournalPlace {
    /// Whether nothing comes next.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.shard >= DIRECTORY_SHARDS
    }

    /// The user whose images were the last before this place.
    #[must_use]
    pub fn last_user(&self) -> Option<&str> {
        let after = self.after.as_deref()?;
        after.rsplit_once('#').map(|(id, _)| id)
    }
}

impl Store {
    /// The next images of a run's journal, at most so many, and the place behind them. A user's
    /// images follow one another, the first one first. There may be none before the end.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for an image that cannot be read; or as DynamoDB answers.
    pub async fn images(
        &self,
        run: &RunRef,
        place: &JournalPlace,
        images_max: i32,
    ) -> Result<(Vec<Image>, JournalPlace), StoreError> {
        let partition = keys::journal_partition(run, place.shard);
        let range = Range {
            page_max: Some(images_max),
            ..Range::of(Table::Coordination, &partition)
        };
        let after = place.after.as_ref();
        let start = after.map(|sk| Key::new(&partition, sk).item());
        let page = self.query_page(&range, start).await?;
        let images = page.items.iter().map(Image::read);
        let images = images.collect::<Result<Vec<_>, _>>()?;
        let next = match page.last_key {
            Some(last) => JournalPlace {
                shard: place.shard,
                after: Some(Row(&last).text("sk")?.to_owned()),
            },
            None => JournalPlace {
                shard: place.shard + 1,
                after: None,
            },
        };
        Ok((images, next))
    }
}
