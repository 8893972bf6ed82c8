//! The members of the scope's groups, noted once a run: first the parts, addressed by their digest,
//! then the digest in the run, which is the commit.

use rollcall_core::ids::RunRef;
use rollcall_core::members::{Members, MembersSeal};
use rollcall_core::run::RunEvent;

use crate::conditions::{lease_is, members_are_open, run_allows};
use crate::enumeration::CHUNK_BYTES_MAX;
use crate::error::StoreError;
use crate::leases::RunLease;
use crate::row::{Row, bytes, number, text};
use crate::runs::Usage;
use crate::write::{Changes, Protects, Transaction};
use crate::{Store, Table, keys};

/// How many items the members of one run may have: eleven million members, 175 MB.
const MEMBERS_CHUNKS_MAX: usize = 500;

impl Store {
    /// Notes the members of the scope's groups, once a run. Until then nobody reads the parts, and
    /// whoever writes them again writes the same or others.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when the lease is lost, the run no longer enumerates, or a copy has
    /// noted members: in each case the caller stops.
    pub async fn put_members(
        &self,
        lease: &RunLease,
        members: &Members,
        usage: &Usage,
    ) -> Result<MembersSeal, StoreError> {
        let run = lease.run();
        let (encoded, seal) = members.sealed();
        let chunks: Vec<_> = encoded.chunks(CHUNK_BYTES_MAX).collect();
        if chunks.len() > MEMBERS_CHUNKS_MAX {
            return Err(StoreError::Invalid(format!(
                "the groups of run {run} have {} members, more than are kept",
                seal.count
            )));
        }
        let open = lease_is(lease.token())
            .and(run_allows(RunEvent::CommitPage))
            .and(members_are_open());
        for (index, chunk) in (0u32..).zip(&chunks) {
            let changes = Changes::new()
                .set("payload", bytes(*chunk))
                .set("chunks", number(chunks.len()))
                .set("ttl", number(lease.ttl_s()));
            Transaction::new(self)
                .check(Protects::Lease, Table::Coordination, &keys::run(run), &open)
                // Addressed by the digest, so writing it again writes the same.
                .set(
                    Table::Coordination,
                    &keys::members_chunk(run, &seal.digest, index),
                    &changes,
                )
                .send()
                .await?;
        }
        let changes = Changes::new()
            .set("members", number(seal.count))
            .set("members_digest", text(seal.digest.as_str()));
        Transaction::new(self)
            .update(
                Protects::Lease,
                Table::Coordination,
                &keys::run(run),
                &usage.added_to(changes),
                &open,
            )
            .send()
            .await?;
        Ok(seal)
    }

    /// The members that a run noted, whole.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a part is missing, or they are not what the run noted.
    pub async fn members(&self, run: &RunRef, seal: &MembersSeal) -> Result<Members, StoreError> {
        let corrupt = |detail: String| StoreError::Corrupt {
            item: format!("the members of run {run}"),
            detail,
        };
        let mut encoded = Vec::new();
        let mut chunks = 1;
        let mut index = 0;
        while index < chunks {
            let key = keys::members_chunk(run, &seal.digest, index);
            let item = self
                .get(Table::Coordination, &key)
                .await?
                .ok_or_else(|| corrupt(format!("part {index} is missing")))?;
            let row = Row(&item);
            encoded.extend_from_slice(row.bytes("payload")?);
            chunks = row.number("chunks")?;
            if chunks as usize > MEMBERS_CHUNKS_MAX {
                return Err(corrupt(format!("they have {chunks} parts")));
            }
            index += 1;
        }
        Members::decode(&encoded, seal).map_err(|e| corrupt(e.to_string()))
    }
}
