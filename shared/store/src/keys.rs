//! The keys of both tables. A coordination key begins with the item's kind, so that a role can be
//! limited to kinds by `dynamodb:LeadingKeys`.

use rollcall_core::ids::{ObjectId, RunRef, TenantId};
use rollcall_core::page::PageDigest;
use sha2::{Digest, Sha256};

use crate::images::JournalPlace;
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
    Key::new(directory_partition(tenant, shard(id)), id.as_str())
}

fn shard(id: &ObjectId) -> u8 {
    Sha256::digest(id.as_str())[0] % DIRECTORY_SHARDS
}

/// The key of the login index: `<tenant>#<login name, case-folded>`.
pub(crate) fn login(tenant: &TenantId, login_name: &str) -> String {
    format!("{tenant}#{}", case_folded(login_name))
}

/// Character by character to lower, upper and lower case again: by that ς and σ, ß and ss, ﬁ and fi
/// are one, as in Unicode's full case folding. Lower case alone leaves them apart.
fn case_folded(text: &str) -> String {
    text.chars()
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

pub(crate) const TENANTS_PARTITION: &str = "tenants";

pub(crate) fn tenant(tenant: &TenantId) -> Key {
    Key::new(TENANTS_PARTITION, tenant.as_str())
}

pub(crate) fn head(tenant: &TenantId) -> Key {
    Key::new(format!("head#{tenant}"), "head")
}

/// How the telling of a tenant's service provider stands.
pub(crate) fn scim(tenant: &TenantId) -> Key {
    Key::new(format!("scim#{tenant}"), "scim")
}

/// What is known of the accounts at a service provider, in as many partitions as the directory.
pub(crate) fn accounts_partition(tenant: &TenantId, provider: &str, shard: u8) -> String {
    format!("account#{tenant}#{provider}#{shard}")
}

pub(crate) fn account(tenant: &TenantId, provider: &str, id: &ObjectId) -> Key {
    Key::new(accounts_partition(tenant, provider, shard(id)), id.as_str())
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

/// A chunk of the members of the scope's groups: the key holds the digest of all of them.
pub(crate) fn members_chunk(run: &RunRef, digest: &PageDigest, chunk: u32) -> Key {
    Key::new(
        format!("members#{}#{}", run.tenant, run.run),
        format!("{digest}#{chunk:04}"),
    )
}

pub(crate) fn plan_manifest(run: &RunRef) -> Key {
    Key::new(format!("plan#{}", run.tenant), run_number(run.run))
}

/// What of an approved plan is carried out.
pub(crate) fn released_manifest(run: &RunRef) -> Key {
    Key::new(
        format!("plan#{}", run.tenant),
        format!("{}#released", run_number(run.run)),
    )
}

pub(crate) fn plan_chunk(run: &RunRef, hash: &str, chunk: u32) -> Key {
    Key::new(
        format!("plan#{}", run.tenant),
        format!("{}#{hash}#{chunk:04}", run_number(run.run)),
    )
}

/// A revert of a run.
pub(crate) fn revert(run: &RunRef) -> Key {
    Key::new(format!("revert#{}", run.tenant), run_number(run.run))
}

/// Whom the revert of a run left as they are.
pub(crate) fn left_partition(run: &RunRef) -> String {
    format!("left#{}#{}", run.tenant, run.run)
}

/// Those that the step at this place left.
pub(crate) fn left(run: &RunRef, place: &JournalPlace) -> Key {
    Key::new(left_partition(run), place.to_string())
}

/// The run whose journal has what people change by hand. The first run of a tenant is 1.
pub(crate) fn by_hand(tenant: &TenantId) -> RunRef {
    RunRef {
        tenant: tenant.clone(),
        run: 0,
    }
}

/// The before-image of one write, in as many partitions as the directory, because it is written
/// as often. The key holds the version that was overwritten, so that a second
/// change in one run keeps both.
pub(crate) fn journal(run: &RunRef, id: &ObjectId, version_before: u64) -> Key {
    Key::new(
        journal_partition(run, shard(id)),
        format!("{id}#{version_before:010}"),
    )
}

pub(crate) fn journal_partition(run: &RunRef, shard: u8) -> String {
    format!("journal#{}#{}#{shard}", run.tenant, run.run)
}

pub(crate) fn streaks_partition(tenant: &TenantId) -> String {
    format!("streak#{tenant}")
}

/// How often in a row an id was not found.
pub(crate) fn streak(tenant: &TenantId, id: &ObjectId) -> Key {
    Key::new(streaks_partition(tenant), id.as_str())
}

/// Padded, so that runs sort by their number.
fn run_number(run: u64) -> String {
    format!("{run:010}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_names_that_differ_in_case_have_one_key() {
        let folds = |one: &str, other: &str| assert_eq!(case_folded(one), case_folded(other));
        folds("Adele.Vance@Contoso.com", "ADELE.VANCE@CONTOSO.COM");
        folds("Βασίλης.Π@contoso.com", "ΒΑΣΊΛΗΣ.Π@CONTOSO.COM");
        folds("Straße.Weiß@contoso.com", "STRASSE.WEISS@CONTOSO.COM");
        folds("ẞig@contoso.com", "ssig@contoso.com");
        folds("ﬁnn@contoso.com", "FINN@contoso.com");
        assert_ne!(case_folded("a@contoso.com"), case_folded("ä@contoso.com"));
    }
}
