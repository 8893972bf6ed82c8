//! Runs, as they are read.

use rollcall_core::ids::{RunRef, TenantId};
use rollcall_core::lease::LeaseTerm;
use rollcall_core::members::MembersSeal;
use rollcall_core::page::PageDigest;
use rollcall_core::proof::Seal;
use rollcall_core::run::{FailReason, RunMode, RunState};
use serde::{Deserialize, Serialize};

use crate::endings::{Held, RunTotals};
use crate::error::StoreError;
use crate::holds::HoldDecision;
use crate::meter::Capacity;
use crate::read::Range;
use crate::row::{Item, Row};
use crate::write::Changes;
use crate::{Store, Table, keys, row};

/// What a run asked of Graph.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphUsage {
    /// Requests sent, retries included.
    pub requests: u64,
    /// Answers that said "too many requests".
    pub throttled: u64,
    /// Requests that were sent again.
    pub retried: u64,
    /// Resource units that Graph says it charged.
    /// <https://learn.microsoft.com/graph/throttling-limits#identity-and-access-service-limits>
    pub resource_units: u64,
}

/// What a step used: added to the run with the step's writes. The capacity of the write that
/// reports it is part of the next report.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Of Graph.
    pub graph: GraphUsage,
    /// Of DynamoDB.
    pub capacity: Capacity,
}

impl Usage {
    /// What was used since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            graph: GraphUsage {
                requests: self.graph.requests.saturating_sub(earlier.graph.requests),
                throttled: self.graph.throttled.saturating_sub(earlier.graph.throttled),
                retried: self.graph.retried.saturating_sub(earlier.graph.retried),
                resource_units: self
                    .graph
                    .resource_units
                    .saturating_sub(earlier.graph.resource_units),
            },
            capacity: Capacity {
                read_units: self.capacity.read_units - earlier.capacity.read_units,
                write_units: self.capacity.write_units - earlier.capacity.write_units,
            },
        }
    }

    pub(crate) fn added_to(&self, changes: Changes) -> Changes {
        changes
            .add("graph_requests", row::number(self.graph.requests))
            .add("graph_throttled", row::number(self.graph.throttled))
            .add("graph_retried", row::number(self.graph.retried))
            .add("graph_units", row::number(self.graph.resource_units))
            .add("read_units", row::number(self.capacity.read_units))
            .add("write_units", row::number(self.capacity.write_units))
    }

    pub(crate) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let count = |name| row.number_if_any(name).map(Option::unwrap_or_default);
        let units = |name| row.number_if_any(name).map(Option::unwrap_or_default);
        Ok(Self {
            graph: GraphUsage {
                requests: count("graph_requests")?,
                throttled: count("graph_throttled")?,
                retried: count("graph_retried")?,
                resource_units: count("graph_units")?,
            },
            capacity: Capacity {
                read_units: units("read_units")?,
                write_units: units("write_units")?,
            },
        })
    }
}

/// The delta around a full run: taken before its first page, drained after its last, so that what
/// changes while it pages is not lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bracket {
    /// Not asked for yet.
    Open,
    /// The tenant has no delta.
    NoDelta,
    /// It begins here.
    From(String),
}

impl Bracket {
    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(match row.text_if_any("bracket")? {
            Some(link) => Self::From(link.to_owned()),
            None if row.flag_if_any("no_delta")?.unwrap_or_default() => Self::NoDelta,
            None => Self::Open,
        })
    }
}

/// A run as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// Which run.
    pub run: RunRef,
    /// How it learns what changed.
    pub mode: RunMode,
    /// Where it stands.
    pub state: RunState,
    /// The generation that is being, or was, enumerated.
    pub generation: u32,
    /// The last page that was committed; 0 before the first.
    pub last_page: u32,
    /// The digest of that page.
    pub last_digest: Option<PageDigest>,
    /// How many users stood on the pages of this generation so far, repeats included.
    pub sightings: u64,
    /// How many of them had no accountEnabled.
    pub unknown: u64,
    /// How many pages the generations before this one have.
    pub earlier_pages: u32,
    /// How many users a page is asked for with at most, if that is fewer than usual.
    pub page_users: Option<u32>,
    /// Its lease, running or lapsed.
    pub lease: Option<LeaseTerm>,
    /// How long its leases run, in milliseconds.
    pub lease_ms: u64,
    /// When it started, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// When it is given up, unless it has begun to deactivate.
    pub deadline_at_ms: u64,
    /// When it ended.
    pub ended_at_ms: Option<u64>,
    /// Why it failed.
    pub reason: Option<FailReason>,
    /// The failure in words, without personal data.
    pub detail: Option<String>,
    /// The revision of the settings that it works on.
    pub settings_revision: u64,
    /// Where the next delta run would have gone on when this one started.
    pub delta_from: Option<String>,
    /// The tenant's mapping when it started.
    pub mapping: String,
    /// Whether, and from where, a full run drains a delta after its last page of users.
    pub bracket: Bracket,
    /// Who is in the groups of the scope, once they were read; always `None` in a scope without groups.
    pub members: Option<MembersSeal>,
    /// Where the next delta run goes on once this one ends: told by the last page.
    pub delta_to: Option<String>,
    /// What it did, once it ended.
    pub totals: Option<RunTotals>,
    /// What holds it, or held it.
    pub held: Option<Held>,
    /// Who released its plan.
    pub approved: Option<HoldDecision>,
    /// Who dropped its plan.
    pub rejected: Option<HoldDecision>,
    /// What it used, but for what its batches report.
    pub usage: Usage,
    /// Whether its tenant has a service provider, which is to be told of what it changes.
    pub tells: bool,
    /// When DynamoDB may drop its items, in seconds since 1970.
    pub ttl_s: u64,
}

impl RunRecord {
    pub(crate) fn read(item: &Item) -> Result<Self, StoreError> {
        let row = Row(item);
        let tenant =
            TenantId::new(row.text("tenant")?).map_err(|e| StoreError::Invalid(e.to_string()))?;
        Ok(Self {
            run: RunRef {
                tenant,
                run: row.number("run")?,
            },
            mode: row.named("mode")?,
            state: row.named("state")?,
            generation: row.number("generation")?,
            last_page: row.number("last_page")?,
            last_digest: row
                .text_if_any("last_digest")?
                .map(|digest| PageDigest::from_stored(digest.to_owned())),
            sightings: row.number("sightings")?,
            unknown: row.number("unknown")?,
            earlier_pages: row.number("earlier_pages")?,
            page_users: row.number_if_any("page_users")?,
            lease: read_lease(&row)?,
            lease_ms: row.number("lease_ms")?,
            started_at_ms: row.number("started_at")?,
            deadline_at_ms: row.number("deadline_at")?,
            ended_at_ms: row.number_if_any("ended_at")?,
            reason: if row.has("reason") {
                Some(row.named("reason")?)
            } else {
                None
            },
            detail: row.text_if_any("detail")?.map(str::to_owned),
            settings_revision: row.number("settings_revision")?,
            delta_from: row.text_if_any("delta_from")?.map(str::to_owned),
            mapping: row.text("mapping")?.to_owned(),
            bracket: Bracket::read(&row)?,
            members: read_members(&row)?,
            delta_to: row.text_if_any("delta_to")?.map(str::to_owned),
            totals: row.json_if_any("totals")?,
            held: row.json_if_any("held")?,
            approved: HoldDecision::read(&row, "approved_by", "approved_at")?,
            rejected: HoldDecision::read(&row, "rejected_by", "rejected_at")?,
            usage: Usage::read(&row)?,
            tells: row.flag_if_any("tells")?.unwrap_or_default(),
            ttl_s: row.number("ttl")?,
        })
    }

    /// What the last page sealed, if it was reached.
    #[must_use]
    pub fn seal(&self) -> Option<Seal> {
        let last_digest = self.last_digest.clone()?;
        (self.state != RunState::Enumerating).then_some(Seal {
            mode: self.mode,
            generation: self.generation,
            pages: self.last_page,
            sightings: self.sightings,
            last_digest,
            earlier_pages: self.earlier_pages,
        })
    }
}

fn read_members(row: &Row<'_>) -> Result<Option<MembersSeal>, StoreError> {
    let Some(digest) = row.text_if_any("members_digest")? else {
        return Ok(None);
    };
    Ok(Some(MembersSeal {
        digest: PageDigest::from_stored(digest.to_owned()),
        count: row.number("members")?,
    }))
}

pub(crate) fn read_lease(row: &Row<'_>) -> Result<Option<LeaseTerm>, StoreError> {
    if !row.has("lease_token") {
        return Ok(None);
    }
    Ok(Some(LeaseTerm {
        owner: row.text("lease_owner")?.to_owned(),
        token: row.number("lease_token")?,
        until_ms: row.number("lease_until")?,
    }))
}

impl Store {
    /// A run.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn run(&self, run: &RunRef) -> Result<Option<RunRecord>, StoreError> {
        let item = self.get(Table::Coordination, &keys::run(run)).await?;
        item.as_ref().map(RunRecord::read).transpose()
    }

    /// A tenant's runs, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn runs(&self, tenant: &TenantId) -> Result<Vec<RunRecord>, StoreError> {
        let mut runs = Vec::new();
        let partition = keys::runs_partition(tenant);
        self.query(Range::of(Table::Coordination, &partition), |item| {
            runs.push(RunRecord::read(item)?);
            Ok(())
        })
        .await?;
        Ok(runs)
    }
}
