//! Pages, read back and checked against their digest.

use rollcall_core::ids::RunRef;
use rollcall_core::page::{PageDigest, PagePayload};

use crate::enumeration::PAGE_CHUNKS_MAX;
use crate::error::StoreError;
use crate::row::Row;
use crate::{Store, Table, keys};

impl Store {
    /// The page with this digest, whole.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a part is missing, or the content is not what the digest says:
    /// an unreadable page is never an empty one.
    pub async fn page(
        &self,
        run: &RunRef,
        generation: u32,
        page: u32,
        digest: &PageDigest,
    ) -> Result<PagePayload, StoreError> {
        let corrupt = |detail: String| StoreError::Corrupt {
            item: format!("page {generation}/{page} of run {run}"),
            detail,
        };
        let mut payload = Vec::new();
        let mut chunks = 1;
        let mut index = 0;
        while index < chunks {
            let key = keys::page_chunk(run, generation, page, digest, index);
            let item = self
                .get(Table::Coordination, &key)
                .await?
                .ok_or_else(|| corrupt(format!("part {index} is missing")))?;
            let row = Row(&item);
            payload.extend_from_slice(row.bytes("payload")?);
            chunks = row.number("chunks")?;
            if chunks as usize > PAGE_CHUNKS_MAX {
                return Err(corrupt(format!("has {chunks} parts")));
            }
            index += 1;
        }
        if PageDigest::of(&payload) != *digest {
            return Err(corrupt("does not match its digest".into()));
        }
        PagePayload::decode(&payload).map_err(|e| corrupt(e.to_string()))
    }
}
