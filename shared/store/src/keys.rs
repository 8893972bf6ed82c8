//! The keys of both tables. A coordination key begins with the item's kind, so that a role can be
//! limited to kinds by `dynamodb:LeadingKeys`.

use rollcall_core::ids::{ObjectId, RunRef, TenantId};
use rollcall_core::page::PageDigest;
use sha2::{Digest, Sha256};

use crate::row::Key;

/// How many partitions a tenant's part of the directory has. DynamoDB splits a hot partition by
/// itself; these let it be read and written in parallel from the first day. It never changes.
pub(crate) const DIRECTORY_SHARDS: u8 = 8;

/// `<tenant>#<shard>`
pub(crate) fn directory_partition(tenant: &TenantId, shard: u8) -> String {
    format!("{tenant}#{shard}")
}

/// `<tenant>#<shard>` / `<object id>`
pub(crate) fn directory_user(tenant: &TenantId, id: &ObjectId) -> Key {
    let shard = Sha256::digest(id.as_str())[0] % DIRECTORY_SHARDS;
    Key::new(directory_partition(tenant, shard), id.as_str())
}

/// The key of the login index: `<tenant>#<login name, case-folded>`.
pub(crate) fn login(tenant: &TenantId, login_name: &str) -> String {
    format!("{tenant}#{}", login_name.to_lowercase())
}

pub(crate) const TENANTS_PARTITION: &str = "tenants";

pub(crate) fn tenant(tenant: &TenantId) -> Key {
    Key::new(TENANTS_PARTITION, tenant.as_str())
}

pub(crate) fn head(tenant: &TenantId) -> Key {
    Key::new(format!("head#{tenant}"), "head")
}

pub(crate) fn runs_partition(tenant: &TenantId) -> String {
    format!("run#{tenant}")
}

pub(crate) fn run(run: &RunRef) -> Key {
    Key::new(runs_partition(&run.tenant), run_number(run.run))
}

/// The settings that a run works on.
pub(crate) fn snapshot(run: &RunRef) -> Key {
    Key::new(format!("snapshot#{}", run.tenant), run_number(run.run))
}

pub(crate) fn batches_partition(run: &RunRef) -> String {
    format!("batch#{}#{}", run.tenant, run.run)
}

pub(crate) fn batch(run: &RunRef, generation: u32, page: u32) -> Key {
    Key::new(
        batches_partition(run),
        format!("{}{page:06}", generation_prefix(generation)),
    )
}

/// What the sort keys of a generation's batches begin with.
pub(crate) fn generation_prefix(generation: u32) -> String {
    format!("{generation:03}#")
}

/// A page's chunk: the key holds the digest of the whole payload.
pub(crate) fn page_chunk(
    run: &RunRef,
    generation: u32,
    page: u32,
    digest: &PageDigest,
    chunk: u32,
) -> Key {
    Key::new(
        format!("page#{}#{}", run.tenant, run.run),
        format!("{generation:03}#{page:06}#{digest}#{chunk:02}"),
    )
}

pub(crate) fn plan_manifest(run: &RunRef) -> Key {
    Key::new(format!("plan#{}", run.tenant), run_number(run.run))
}

pub(crate) fn plan_chunk(run: &RunRef, hash: &str, chunk: u32) -> Key {
    Key::new(
        format!("plan#{}", run.tenant),
        format!("{}#{hash}#{chunk:04}", run_number(run.run)),
    )
}

/// The before-image of one write: the key holds the version that was overwritten, so that a second
/// change in one run keeps both.
pub(crate) fn journal(run: &RunRef, id: &ObjectId, version_before: u64) -> Key {
    Key::new(
        format!("journal#{}#{}", run.tenant, run.run),
        format!("{id}#{version_before:010}"),
    )
}

/// How often in a row an id was not found.
pub(crate) fn streak(tenant: &TenantId, id: &ObjectId) -> Key {
    Key::new(format!("streak#{tenant}"), id.as_str())
}

/// Padded, so that runs sort by their number.
fn run_number(run: u64) -> String {
    format!("{run:010}")
}
