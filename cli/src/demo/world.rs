//! The demo's world: two tenants at an emulator of Microsoft Graph, and what happens to them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use rollcall_ambient::Ambient;
use rollcall_core::ids::TenantId;
use rollcall_core::settings::TenantSettings;
use rollcall_core::status::{Status, StoredUser};
use rollcall_graph::Secret;
use rollcall_graph_emulator::{
    Directory, Emulator, FaultScript, Paging, Population, Tenant, TenantSpec, User,
};
use rollcall_store::Store;
use rollcall_sync::Secrets;
use uuid::Uuid;

use crate::tenant_file;

/// The tenants, by id: domain, number of users, users a page, seed.
const TENANTS: [(&str, &str, usize, usize, u64); 2] = [
    ("contoso", "contoso.com", 2_000, 250, 1),
    ("fabrikam", "fabrikam.com", 300, 999, 2),
];

/// After which page the second half of contoso's list is lost.
const LAST_PAGE_OF_HALF: u32 = 4;

/// What happens at a tenant between two syncs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changes {
    pub(super) joiners: u64,
    /// Leavers who are in the deleted items.
    pub(super) deleted: u64,
    /// Leavers without a trace.
    pub(super) gone: u64,
    pub(super) disabled: u64,
    pub(super) renamed: u64,
    /// Accounts that were disabled before.
    pub(super) enabled: u64,
}

impl Changes {
    /// Who is to be switched off, at once or after confirmation.
    pub(super) const fn leavers(&self) -> u64 {
        self.deleted + self.gone + self.disabled
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = [
            (self.joiners, "joined"),
            (self.deleted, "deleted"),
            (self.gone, "gone without a trace"),
            (self.disabled, "disabled"),
            (self.renamed, "renamed"),
            (self.enabled, "enabled again"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
        f.write_str(&parts.join(", "))
    }
}

pub(super) struct World {
    emulator: Emulator,
    tenants: BTreeMap<TenantId, Tenant>,
    /// How many days have passed, so that each day's new names are new.
    days: Cell<u32>,
}

impl World {
    pub(super) async fn start(ambient: &Ambient) -> anyhow::Result<Self> {
        let emulator = Emulator::start(ambient.clone()).await?;
        let mut tenants = BTreeMap::new();
        for (id, domain, users, page_size_max, seed) in TENANTS {
            let spec = TenantSpec {
                paging: Paging {
                    page_size_max,
                    ..Paging::default()
                },
                ..TenantSpec::new(Population::new(domain, seed, users))
            };
            tenants.insert(TenantId::new(id)?, emulator.graph().add_tenant(spec));
        }
        Ok(Self {
            emulator,
            tenants,
            days: Cell::new(0),
        })
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        Ok(self.emulator.shutdown().await?)
    }

    pub(super) fn tenants(&self) -> Vec<TenantId> {
        self.tenants.keys().cloned().collect()
    }

    /// The tenants and their sizes, in words.
    pub(super) fn description(&self) -> String {
        let parts = self.tenants.iter().map(|(id, tenant)| {
            let (users, page) = (tenant.directory().len(), tenant.paging().page_size_max);
            format!("{id} with {users} users, at most {page} on a page")
        });
        parts.collect::<Vec<_>>().join(", and ")
    }

    /// The settings, by way of a tenant file, as everybody's are.
    pub(super) fn settings(&self) -> anyhow::Result<Vec<TenantSettings>> {
        let mut file = String::new();
        for (id, tenant) in &self.tenants {
            file.push_str(&format!(
                "[[tenant]]\n\
                 id = \"{id}\"\n\
                 directory_id = \"{}\"\n\
                 client_id = \"{}\"\n\
                 graph_url = \"{origin}\"\n\
                 login_url = \"{origin}\"\n\
                 credential = {{ kind = \"secret\", env = \"{}\" }}\n",
                tenant.directory_id(),
                tenant.client_id(),
                secret_name(id),
                origin = self.emulator.origin(),
            ));
        }
        Ok(tenant_file::parse("demo", &file)?)
    }

    /// The applications' secrets: in no environment, on no disk.
    pub(super) fn secrets(&self) -> Secrets {
        let secrets = self.tenants.iter().map(|(id, tenant)| {
            let secret = Secret::new(tenant.client_secret());
            (secret_name(id), secret)
        });
        Secrets::Fixed(Arc::new(secrets.collect()))
    }

    fn tenant(&self, id: &str) -> anyhow::Result<&Tenant> {
        self.tenants
            .get(&TenantId::new(id)?)
            .with_context(|| format!("the demo has no tenant {id}"))
    }

    /// How many of a tenant's users are in scope.
    pub(super) fn members(&self, id: &TenantId) -> anyhow::Result<u64> {
        let directory = self.tenant(id.as_str())?.directory();
        Ok(directory.users().filter(|user| is_member(user)).count() as u64)
    }

    /// Lets a day pass. Gives how many of the joiners are in scope.
    pub(super) fn change(&self, id: &str, day: Changes) -> anyhow::Result<u64> {
        self.days.set(self.days.get() + 1);
        let mut directory = self.tenant(id)?.directory();
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let mut staff = staff(&directory).into_iter();
        let disabled_before: Vec<Uuid> = directory
            .users()
            .filter(|user| is_member(user) && user.account_enabled == Some(false))
            .map(|user| user.id)
            .take(count(day.enabled))
            .collect();
        for id in staff.by_ref().take(count(day.deleted)) {
            directory.soft_delete(id)?;
        }
        for id in staff.by_ref().take(count(day.gone)) {
            directory.purge(id)?;
        }
        for id in staff.by_ref().take(count(day.disabled)) {
            directory.set_account_enabled(id, Some(false))?;
        }
        for id in staff.by_ref().take(count(day.renamed)) {
            let name = format!("Renamed.{}.{}@example.com", self.days.get(), id.simple());
            directory.rename(id, &name, "Zoë O'Brien-山田")?;
        }
        for id in disabled_before {
            directory.set_account_enabled(id, Some(true))?;
        }
        let joined = directory.add_people(count(day.joiners));
        let in_scope = joined
            .iter()
            .filter(|id| directory.get(**id).is_some_and(is_member));
        Ok(in_scope.count() as u64)
    }

    /// Takes one user back out of the deleted items.
    pub(super) fn restore_one(&self, id: &str) -> anyhow::Result<()> {
        let mut directory = self.tenant(id)?.directory();
        let first = directory.deleted().map(|user| user.id).next();
        let first = first.context("nobody is in the deleted items")?;
        Ok(directory.restore(first)?)
    }

    // === What goes wrong ===

    /// Lets the list of users read empty.
    pub(super) fn answer_with_nobody(&self, id: &str) -> anyhow::Result<()> {
        self.play(id, "page 1 always: empty-end")
    }

    /// Lets the list of users end in its middle.
    pub(super) fn lose_second_half(&self, id: &str) -> anyhow::Result<()> {
        let rule = format!("page {LAST_PAGE_OF_HALF} always: next-link missing");
        self.play(id, &rule)
    }

    /// Leaves people out of the list who are there.
    pub(super) fn leave_out(&self, id: &str, count: usize) -> anyhow::Result<()> {
        let people = staff(&self.tenant(id)?.directory());
        let people: Vec<_> = people.iter().take(count).map(Uuid::to_string).collect();
        self.play(id, &format!("always: left-out ids {}", people.join(",")))
    }

    /// A fault of a tenant's list of users.
    fn play(&self, id: &str, rule: &str) -> anyhow::Result<()> {
        let directory = self.tenant(id)?.directory_id();
        let script: FaultScript = format!("users of {directory} {rule}").parse()?;
        self.emulator.graph().play(script);
        Ok(())
    }

    /// Ends what goes wrong.
    pub(super) fn heal(&self) {
        self.emulator.graph().clear_faults();
    }

    // === Whether all is right ===

    /// Compares every user with the truth at Graph; gives how many there are.
    pub(super) async fn compare(&self, store: &Store) -> anyhow::Result<u64> {
        let mut compared = 0;
        for (id, tenant) in &self.tenants {
            let mut stored = BTreeMap::new();
            store
                .all_users(id, |user| {
                    stored.insert(user.id.as_str().to_owned(), user);
                    Ok(())
                })
                .await?;
            let directory = tenant.directory();
            for user in directory.users().filter(|user| is_member(user)) {
                let Some(mirrored) = stored.remove(&user.id.to_string()) else {
                    bail!("user {} of {id} is missing", user.id);
                };
                let expected = if user.account_enabled == Some(true) {
                    Status::Active
                } else {
                    Status::Inactive
                };
                ensure!(
                    mirrored.status == expected
                        && mirrored.user_principal_name == user.user_principal_name
                        && mirrored.display_name == user.display_name
                        && mirrored.mail == user.mail,
                    "user {} of {id} is not as at Graph",
                    user.id
                );
                compared += 1;
            }
            // Who is left in the store is not at Graph any more.
            let is_off = |user: &&StoredUser| user.status == Status::Inactive;
            let left = stored.values().filter(is_off).count();
            ensure!(
                left == stored.len(),
                "{id} has active users who are not at Graph"
            );
            compared += left as u64;
        }
        Ok(compared)
    }
}

fn secret_name(id: &TenantId) -> String {
    format!("DEMO_{}", id.as_str().to_uppercase())
}

fn is_member(user: &User) -> bool {
    user.user_type.as_deref() == Some("Member")
}

/// The enabled members, by id.
fn staff(directory: &Directory) -> Vec<Uuid> {
    directory
        .users()
        .filter(|user| is_member(user) && user.account_enabled == Some(true))
        .map(|user| user.id)
        .collect()
}
