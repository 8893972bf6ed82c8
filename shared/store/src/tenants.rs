//! Tenants: their settings, each change a revision, and the head that says which run is active.

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::ids::{RunRef, TenantId};
use rollcall_core::run::RunMode;
use rollcall_core::schedule::{LastStarts, TenantSchedule};
use rollcall_core::settings::TenantSettings;
use rollcall_core::window::Window;

use crate::conditions::revision_was;
use crate::error::StoreError;
use crate::holds::held_until;
use crate::read::Range;
use crate::row::{Item, Row, json, number};
use crate::write::{Protects, Transaction};
use crate::{Store, Table, keys};

/// A tenant as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantRecord {
    /// What the tenant file said.
    pub settings: TenantSettings,
    /// Rises by one with each change.
    pub revision: u64,
    /// Whether it is synced no more.
    pub removed: bool,
    /// Since when it has had its schedule, in milliseconds since 1970: when it was put for the first time,
    /// or back after it was removed, or with another schedule.
    pub scheduled_at_ms: u64,
}

impl TenantRecord {
    fn read(item: &Item) -> Result<Self, StoreError> {
        let row = Row(item);
        Ok(Self {
            settings: settings_of(&id_of(item)?, item)?,
            revision: row.number("revision")?,
            removed: row.flag("removed")?,
            scheduled_at_ms: row.number_if_any("scheduled_at")?.unwrap_or_default(),
        })
    }
}

/// What there is to know of a tenant between its runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantMark {
    /// Its id.
    pub id: TenantId,
    /// Whether it is synced no more.
    pub removed: bool,
    /// Whether a service provider is told of its users.
    pub tells_scim: bool,
    /// When runs are due; the stack's schedule where its settings cannot be read.
    pub schedule: TenantSchedule,
    /// As [`TenantRecord::scheduled_at_ms`].
    pub scheduled_at_ms: u64,
}

/// What putting a tenant did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutTenant {
    /// It is new, or was removed before.
    Added,
    /// Its settings changed.
    Changed,
    /// It was the same already.
    Same,
}

/// Some of the tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SomeTenants {
    /// Their ids, in order.
    pub ids: Vec<TenantId>,
    /// The id after which there may be more.
    pub more_after: Option<TenantId>,
}

/// A tenant's head: what its runs hand on to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The number that the next run gets.
    pub next_run: u64,
    /// The run that is active.
    pub active_run: Option<u64>,
    /// The full run whose plan waits for a person.
    pub held_run: Option<u64>,
    /// The delta run whose plan waits for a person. It asks for a full run.
    pub held_delta_run: Option<u64>,
    /// When the full run's plan lapses, in milliseconds since 1970.
    pub held_run_until_ms: Option<u64>,
    /// When the delta run's does.
    pub held_delta_run_until_ms: Option<u64>,
    /// The run that is being reverted.
    pub reverting: Option<u64>,
    /// Where the next delta run goes on.
    pub delta_link: Option<String>,
    /// The mapping under which that link was made: a delta tells of the properties that were selected
    /// at its beginning.
    pub delta_mapping: Option<String>,
    /// A full run is owed: one of this number or a later one has to end well.
    pub full_due: Option<u64>,
    /// The last full run that ended well, completed or held.
    pub full_done: Option<u64>,
    /// The last full run that was proven and completed.
    pub last_full_run: Option<u64>,
    /// How many users it saw.
    pub last_full_seen: Option<u64>,
    /// When a run was last completed, in milliseconds since 1970.
    pub completed_at_ms: Option<u64>,
    /// When a full one was.
    pub full_completed_at_ms: Option<u64>,
    /// How many users the runs switched off lately.
    pub window: Window,
    /// The schedules' occurrences that last started its runs.
    pub started_for: LastStarts,
    /// The revision of the settings that its last run works on.
    pub last_revision: Option<u64>,
    /// How many of its last runs FAILED, without one in between that did not.
    pub failed_in_a_row: u64,
    /// When the last of them did, in milliseconds since 1970.
    pub failed_at_ms: Option<u64>,
    /// When its service provider is to be told, in milliseconds since 1970.
    pub scim_due_at_ms: Option<u64>,
}

impl Head {
    /// How a run that was asked for in this mode learns what changed. Without a link there is nothing
    /// that a delta could go on from; and what a held delta run found is in no later delta, so only
    /// a full run finds it again, whatever the person decides. Nor does a delta tell of properties that
    /// are mapped since it began.
    #[must_use]
    pub fn mode(&self, asked: RunMode, mapping: &str) -> RunMode {
        let is_mapped = self.delta_mapping.as_deref() == Some(mapping);
        let waits = self.held_delta_run.is_some();
        if self.delta_link.is_none() || !is_mapped || waits || self.owes_full() {
            RunMode::Full
        } else {
            asked
        }
    }

    /// Whether a full run is owed: one was begun or asked for, and none that began since has ended well.
    #[must_use]
    pub fn owes_full(&self) -> bool {
        self.full_due.is_some_and(|due| self.full_done < Some(due))
    }

    /// Whether its service provider is to be told.
    #[must_use]
    pub fn is_to_be_told(&self, now_ms: u64) -> bool {
        self.scim_due_at_ms.is_some_and(|due_ms| due_ms <= now_ms)
    }

    fn read(item: &Item) -> Result<Self, StoreError> {
        let row = Row(item);
        Ok(Self {
            next_run: row.number("next_run")?,
            active_run: row.number_if_any("active_run")?,
            held_run: row.number_if_any("held_run")?,
            held_delta_run: row.number_if_any("held_delta_run")?,
            reverting: row.number_if_any("reverting")?,
            held_run_until_ms: row.number_if_any(held_until(RunMode::Full))?,
            held_delta_run_until_ms: row.number_if_any(held_until(RunMode::Delta))?,
            delta_link: row.text_if_any("delta_link")?.map(str::to_owned),
            delta_mapping: row.text_if_any("delta_mapping")?.map(str::to_owned),
            full_due: row.number_if_any("full_due")?,
            full_done: row.number_if_any("full_done")?,
            last_full_run: row.number_if_any("last_full_run")?,
            last_full_seen: row.number_if_any("last_full_seen")?,
            completed_at_ms: row.number_if_any("completed_at")?,
            full_completed_at_ms: row.number_if_any("full_completed_at")?,
            window: row.json_if_any("window")?.unwrap_or_default(),
            started_for: LastStarts {
                full_ms: row.number_if_any("full_for")?,
                any_ms: row.number_if_any("any_for")?,
            },
            last_revision: row.number_if_any("last_revision")?,
            failed_in_a_row: row.number_if_any("failed_in_a_row")?.unwrap_or_default(),
            failed_at_ms: row.number_if_any("failed_at")?,
            scim_due_at_ms: row.number_if_any("scim_due_at")?,
        })
    }
}

impl Default for Head {
    /// Of a tenant that never ran.
    fn default() -> Self {
        Self {
            next_run: 1,
            active_run: None,
            held_run: None,
            held_delta_run: None,
            held_run_until_ms: None,
            reverting: None,
            held_delta_run_until_ms: None,
            delta_link: None,
            delta_mapping: None,
            full_due: None,
            full_done: None,
            last_full_run: None,
            last_full_seen: None,
            completed_at_ms: None,
            full_completed_at_ms: None,
            window: Window::default(),
            started_for: LastStarts::default(),
            last_revision: None,
            failed_in_a_row: 0,
            failed_at_ms: None,
            scim_due_at_ms: None,
        }
    }
}

impl Store {
    /// Adds a tenant, or changes its settings.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the directory id differs from the stored one: another directory
    /// under the same name would turn everybody absent. [`StoreError::Changed`] when somebody else
    /// changed the tenant at the same moment.
    pub async fn put_tenant(&self, settings: &TenantSettings) -> Result<PutTenant, StoreError> {
        let before = self.tenant(&settings.id).await?;
        if let Some(before) = &before {
            if before.settings.directory_id != settings.directory_id {
                return Err(StoreError::Invalid(format!(
                    "tenant {}: directory_id is {} and cannot become {}; put the other directory \
                     under another id",
                    settings.id, before.settings.directory_id, settings.directory_id
                )));
            }
            if before.settings == *settings && !before.removed {
                return Ok(PutTenant::Same);
            }
        }
        let revision_before = before.as_ref().map_or(0, |before| before.revision);
        let before = before.filter(|before| !before.removed);
        let scheduled_at_ms = before
            .as_ref()
            .filter(|before| before.settings.schedule == settings.schedule)
            .map_or_else(|| self.ambient.now_ms(), |before| before.scheduled_at_ms);
        let record = TenantRecord {
            settings: settings.clone(),
            revision: revision_before + 1,
            removed: false,
            scheduled_at_ms,
        };
        self.write_tenant(&record).await?;
        Ok(match before {
            Some(_) => PutTenant::Changed,
            None => PutTenant::Added,
        })
    }

    /// Stops syncing a tenant. No user is touched. `false` if there is no such tenant.
    ///
    /// # Errors
    /// As [`Store::put_tenant`].
    pub async fn remove_tenant(&self, tenant: &TenantId) -> Result<bool, StoreError> {
        match self.tenant(tenant).await? {
            Some(record) if !record.removed => {
                let removed = TenantRecord {
                    revision: record.revision + 1,
                    removed: true,
                    ..record
                };
                self.write_tenant(&removed).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Writes what follows the revision before.
    async fn write_tenant(&self, record: &TenantRecord) -> Result<(), StoreError> {
        let item = keys::tenant(&record.settings.id).with([
            ("settings", json(&record.settings)?),
            ("revision", number(record.revision)),
            ("removed", AttributeValue::Bool(record.removed)),
            ("scheduled_at", number(record.scheduled_at_ms)),
        ]);
        Transaction::new(self)
            .put(
                Protects::Read("the tenant's settings"),
                Table::Coordination,
                item,
                &revision_was(record.revision - 1),
            )
            .send()
            .await
    }

    /// A tenant's settings, removed or not.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn tenant(&self, tenant: &TenantId) -> Result<Option<TenantRecord>, StoreError> {
        let item = self.get(Table::Coordination, &keys::tenant(tenant)).await?;
        item.as_ref().map(TenantRecord::read).transpose()
    }

    /// All tenants, removed ones too, by id.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn tenants(&self) -> Result<Vec<TenantRecord>, StoreError> {
        let mut tenants = Vec::new();
        self.query(
            Range::of(Table::Coordination, keys::TENANTS_PARTITION),
            |item| {
                tenants.push(TenantRecord::read(item)?);
                Ok(())
            },
        )
        .await?;
        Ok(tenants)
    }

    /// All tenants, removed ones too, even if their settings cannot be read: one of those keeps no other
    /// from being looked after.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn tenant_marks(&self) -> Result<Vec<TenantMark>, StoreError> {
        let mut marks = Vec::new();
        let range = Range {
            attributes: Some(&["pk", "sk", "removed", "settings", "scheduled_at"]),
            ..Range::of(Table::Coordination, keys::TENANTS_PARTITION)
        };
        self.query(range, |item| {
            let (row, id) = (Row(item), id_of(item)?);
            let settings = settings_of(&id, item).ok();
            marks.push(TenantMark {
                removed: row.flag("removed").unwrap_or_default(),
                tells_scim: settings.as_ref().is_some_and(|it| it.scim.is_some()),
                schedule: settings.map(|it| it.schedule).unwrap_or_default(),
                scheduled_at_ms: row.number("scheduled_at").unwrap_or_default(),
                id,
            });
            Ok(())
        })
        .await?;
        Ok(marks)
    }

    /// The ids of so many tenants at most, removed ones too, that come after this one. They can be fewer
    /// though there are more: settings are large, and one answer of DynamoDB is not.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn tenant_ids_after(
        &self,
        after: Option<&TenantId>,
        count_max: i32,
    ) -> Result<SomeTenants, StoreError> {
        let range = Range {
            attributes: Some(&["pk", "sk"]),
            page_max: Some(count_max),
            ..Range::of(Table::Coordination, keys::TENANTS_PARTITION)
        };
        let start = after.map(|id| keys::tenant(id).item());
        let page = self.query_page(&range, start).await?;
        let ids = page.items.iter().map(id_of);
        Ok(SomeTenants {
            ids: ids.collect::<Result<_, _>>()?,
            more_after: page.last_key.as_ref().map(id_of).transpose()?,
        })
    }

    /// A tenant's head; that of a tenant that never ran is new.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn head(&self, tenant: &TenantId) -> Result<Head, StoreError> {
        let item = self.get(Table::Coordination, &keys::head(tenant)).await?;
        item.as_ref()
            .map_or_else(|| Ok(Head::default()), Head::read)
    }

    /// The settings that a run works on.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when they are missing.
    pub async fn run_settings(&self, run: &RunRef) -> Result<TenantSettings, StoreError> {
        let key = keys::snapshot(run);
        let item = self.get(Table::Coordination, &key).await?;
        let item = item.ok_or_else(|| StoreError::Corrupt {
            item: format!("{} {}", key.pk, key.sk),
            detail: "is missing".into(),
        })?;
        settings_of(&run.tenant, &item)
    }
}

/// Settings that are another tenant's would have its secret shown to this one's Graph, and its users
/// written into this one's directory.
pub(crate) fn settings_of(tenant: &TenantId, item: &Item) -> Result<TenantSettings, StoreError> {
    let row = Row(item);
    let settings: TenantSettings = row.json("settings")?;
    if settings.id != *tenant {
        return Err(StoreError::Corrupt {
            item: format!("{} {}", row.text("pk")?, row.text("sk")?),
            detail: format!("holds the settings of tenant {}", settings.id),
        });
    }
    Ok(settings)
}

fn id_of(item: &Item) -> Result<TenantId, StoreError> {
    TenantId::new(Row(item).text("sk")?).map_err(|e| StoreError::Invalid(e.to_string()))
}
