//! Who of those with evidence is due: read again, with every write seen, at the version that he is at.

use std::collections::BTreeMap;

use rollcall_core::evidence::Evidence;
use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::scope::domain_of;
use rollcall_core::status::{Reason, Status, StoredUser};
use rollcall_store::{RunLease, StoreError};

use crate::app::App;
use crate::error::Stop;
use crate::keep::while_kept;

/// How many users of a plan are read at once: what one request takes.
const READ_AT_ONCE: usize = 100;

/// Who is to go.
pub(crate) struct Due {
    /// Each with the version that he is at.
    pub(crate) entries: Vec<(Evidence, u64)>,
    /// How many of each domain of login names.
    pub(crate) domains: BTreeMap<String, u64>,
}

impl App {
    /// The version of each user of the plan, read with every write seen. Who is not ACTIVE any
    /// more, or was decided about by a person, is left out.
    pub(crate) async fn at_their_versions(
        &self,
        lease: &RunLease,
        evidence: Vec<Evidence>,
    ) -> Result<Due, Stop> {
        let reading = self.versions(&lease.run().tenant, &evidence);
        let (versions, domains) = while_kept(&self.store, lease, reading).await??;
        let at_version = |evidence: Evidence| {
            let version = *versions.get(evidence.id())?;
            Some((evidence, version))
        };
        Ok(Due {
            entries: evidence.into_iter().filter_map(at_version).collect(),
            domains,
        })
    }

    /// The versions of those who can be switched off, and how many of each domain they are. The users
    /// themselves are in memory only a few at a time.
    async fn versions(
        &self,
        tenant: &TenantId,
        evidence: &[Evidence],
    ) -> Result<(BTreeMap<ObjectId, u64>, BTreeMap<String, u64>), StoreError> {
        let is_due =
            |user: &StoredUser| user.status == Status::Active && user.reason != Reason::Manual;
        let (mut versions, mut domains) = (BTreeMap::new(), BTreeMap::new());
        for some in evidence.chunks(READ_AT_ONCE) {
            let ids: Vec<_> = some.iter().map(|it| it.id().clone()).collect();
            for user in self
                .store
                .users(tenant, &ids)
                .await?
                .into_iter()
                .filter(is_due)
            {
                if let Some(login_name) = &user.user_principal_name {
                    *domains.entry(domain_of(login_name)).or_default() += 1;
                }
                versions.insert(user.id, user.version);
            }
        }
        Ok((versions, domains))
    }
}
