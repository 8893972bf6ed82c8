//! The checks, after every write that the database took: the ten invariants of the design, each by
//! its number, and the oracle's word. They read the items, not the code that wrote them.

pub(crate) mod accounts;
mod batches;
pub(crate) mod end;
pub(crate) mod failures;
mod guards;
pub(crate) mod hands;
mod heads;
pub(crate) mod isolation;
mod members;
pub(crate) mod owed;
mod pages;
pub(crate) mod plans;
mod runs;
pub(crate) mod starts;
mod step;
pub(crate) mod told;
mod users;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rollcall_core::page::PagePayload;

use crate::item::{Item, Place, Table, number, text};
use crate::lambda::{Function, Invocation};
use crate::mirror::{Change, Mirror};
use crate::world::{World, lock};
use owed::Owed;
use pages::Pages;
use starts::Starts;

/// A tenant and the number of a run.
pub(crate) type RunKey = (String, u64);

/// What the checks remember.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// By run or batch: the token that was granted last, and to whom.
    grants: HashMap<Place, (u64, u64)>,
    /// When each run began, by the true clock.
    started_ms: HashMap<RunKey, u64>,
    /// When a person released each run's plan, by the true clock.
    approved_ms: HashMap<RunKey, u64>,
    /// Whom each run switched off.
    deactivated: HashMap<RunKey, BTreeSet<String>>,
    /// What each run did to a user first, by its batches.
    worked: HashMap<RunKey, BTreeMap<String, &'static str>>,
    /// Which invocation made each run's plan.
    planners: HashMap<RunKey, u64>,
    /// In which runs a finalizer was told that a user is not found.
    not_found: HashMap<(String, String), BTreeSet<u64>>,
    /// The runs of each tenant that completed, in their order.
    completed: HashMap<String, Vec<u64>>,
    /// What the pages of each run hold.
    pages: HashMap<RunKey, Pages>,
    /// What was read of each page, by the digest of its bytes: unpacking is the dearest part of a check.
    read: HashMap<String, Arc<PagePayload>>,
    /// Who was seen disabled, and may be on all the same at the end.
    kept_on: BTreeSet<(RunKey, String)>,
    /// When a revert took whom back last, by tenant and id.
    taken_back_ms: HashMap<(String, String), u64>,
    /// What started each tenant's runs, and how they ended.
    starts: Starts,
    /// Who is owed a full run.
    pub(crate) owed: Owed,
}

/// One look at what a write did.
pub(crate) struct Look<'a> {
    world: &'a World,
    mirror: &'a Mirror,
    checks: &'a mut Checks,
    changes: &'a [Change],
    invocation: Option<&'a Invocation>,
    now_ms: u64,
}

/// Looks at the changes of one write or transaction.
pub(crate) fn applied(world: &World, changes: &[Change], invocation: Option<&Invocation>) {
    let mirror = lock(&world.mirror);
    let mut checks = lock(&world.checks);
    let mut look = Look {
        world,
        mirror: &mirror,
        checks: &mut checks,
        changes,
        invocation,
        now_ms: world.now_ms(),
    };
    if invocation.is_some_and(|it| it.function == Function::Publisher) {
        look.violate("status events: the publisher writes nothing", "a write");
    }
    for change in changes {
        look.change(change);
    }
}

impl Look<'_> {
    fn change(&mut self, change: &Change) {
        if change.place.table == Table::Directory {
            return self.user(change);
        }
        let mut parts = change.place.pk.split('#');
        let kind = parts.next().unwrap_or_default();
        let tenant = parts.next().unwrap_or_default().to_owned();
        if matches!(
            kind,
            "run"
                | "batch"
                | "page"
                | "plan"
                | "journal"
                | "snapshot"
                | "members"
                | "revert"
                | "left"
        ) {
            self.expires_late(change);
        }
        match kind {
            "run" => self.run(&tenant, change),
            "batch" => {
                let run = parts.next().and_then(|run| run.parse().ok());
                self.batch(&(tenant, run.unwrap_or_default()), change);
            }
            "page" => {
                let run = parts.next().and_then(|run| run.parse().ok());
                self.page(&(tenant, run.unwrap_or_default()), change);
            }
            "head" => {
                self.head(&tenant, change);
                self.starts(&tenant, change);
            }
            "plan" => self.plan(&tenant, change),
            "streak" => self.streak(&tenant, change),
            "journal" => self.journal(change),
            "revert" => self.revert(&tenant, change),
            "left" => self.left(change),
            "snapshot" => self.written_once(change),
            "scim" => self.lease(change),
            "account" => self.account(&tenant, change),
            "members" => {
                let run = parts.next().and_then(|run| run.parse().ok());
                self.members_part(&(tenant, run.unwrap_or_default()));
            }
            "tenants" => {
                if self.invocation.is_some() {
                    self.violate(
                        "invariant 4: no write without a lease",
                        "a function wrote settings",
                    );
                }
            }
            other => self.violate("the tables", &format!("an item of unknown kind {other}")),
        }
    }

    /// What belongs to a run can be looked into for as long as it is kept.
    fn expires_late(&self, change: &Change) {
        const DAY_S: u64 = 86_400;
        let ttl_s = number(&change.after, "ttl").unwrap_or_default();
        // A hold that lapses is dropped long after its run's end.
        let ended_ms = change.before.as_ref().and_then(|it| number(it, "ended_at"));
        let from_ms = ended_ms.unwrap_or(self.now_ms);
        // A clock that is off by a minute, and a run that took a day.
        let earliest_s = from_ms / 1_000 + (rollcall_store::RETENTION_DAYS - 1) * DAY_S;
        if ttl_s < earliest_s {
            let detail = format!("{} expires too early", change.place);
            self.violate("fine print 14: a run is kept after its end", &detail);
        }
    }

    fn violate(&self, broken: &str, detail: &str) {
        let who = self.invocation.map_or("nobody".to_owned(), |invocation| {
            format!("{}#{}", invocation.function, invocation.id)
        });
        self.world.violate(broken, format!("{detail} (by {who})"));
    }

    // === What several checks need ===

    fn run_place(run: &RunKey) -> Place {
        Place::coordination(format!("run#{}", run.0), format!("{:010}", run.1))
    }

    fn run_item(&self, run: &RunKey) -> Option<&Item> {
        self.mirror.get(&Self::run_place(run))
    }

    fn run_state(&self, run: &RunKey) -> &str {
        self.run_item(run).map_or("", |item| text(item, "state"))
    }

    fn batches(&self, run: &RunKey) -> Vec<&Item> {
        let pk = format!("batch#{}#{}", run.0, run.1);
        let batches = self.mirror.range(Table::Coordination, &pk, "");
        batches.map(|(_, item)| item).collect()
    }

    fn settings(&self, run: &RunKey) -> serde_json::Value {
        let place = Place::coordination(format!("snapshot#{}", run.0), format!("{:010}", run.1));
        let item = self.mirror.get(&place);
        item.map(|item| crate::item::json(item, "settings"))
            .unwrap_or_default()
    }

    /// Whether the lease of a run or batch was granted last to whoever wrote this.
    fn holds(&self, place: &Place) -> bool {
        let granted = self.checks.grants.get(place);
        self.invocation
            .is_some_and(|invocation| granted.is_some_and(|(_, to)| *to == invocation.id))
    }

    /// Looks at the lease in an item: tokens only rise, and a new one is a grant.
    fn lease(&mut self, change: &Change) {
        let token = |item: &Item| number(item, "lease_token").unwrap_or_default();
        let before = change.before.as_ref().map_or(0, token);
        let after = token(&change.after);
        let owner = |item: &Item| text(item, "lease_owner").to_owned();
        let changed_hands = change.before.as_ref().map(owner) != Some(owner(&change.after));
        let place = &change.place;
        if after < before || (after == before && after > 0 && changed_hands) {
            let detail = format!("{place}: token {before} was followed by {after}");
            self.violate("invariant 4: tokens only rise", &detail);
        }
        if after > before {
            self.grant(change, before, after);
            match self.invocation {
                Some(invocation) => {
                    let granted = (after, invocation.id);
                    let taken = self.checks.grants.insert(place.clone(), granted);
                    if let Some((_, from)) = taken
                        && let Some(standing) = lock(&self.world.standing).remove(&from)
                    {
                        standing.thaw();
                    }
                    // What it was told before belongs to an earlier lease.
                    lock(&invocation.told).clear();
                    lock(&invocation.listed).clear();
                    lock(&invocation.asked).clear();
                }
                None => self.violate("invariant 4: no write without a lease", &place.to_string()),
            }
        } else if let Some(invocation) = self.invocation
            && self.holds(place)
        {
            let is_free = number(&change.after, "lease_until") == Some(0);
            // A finalizer that finds open batches leaves it to the last of them to ring.
            if is_free && invocation.function != Function::Finalizer {
                lock(&invocation.gave_back).insert(place.clone());
            }
        } else if change.before.is_some() && !self.holds(place) {
            let detail = format!("{place} was written by somebody who has not its lease");
            self.violate("invariant 4: no write without a lease", &detail);
        }
    }

    /// A grant takes the next token, and only after the term before has lapsed by the taker's clock.
    fn grant(&self, change: &Change, before: u64, after: u64) {
        let until = |item: &Item| number(item, "lease_until").unwrap_or_default();
        let lease_ms = number(&change.after, "lease_ms").unwrap_or_default();
        let earliest = change.before.as_ref().map_or(0, until) + lease_ms;
        if after != before + 1 || until(&change.after) < earliest {
            let detail = format!("{} was leased before it lapsed", change.place);
            self.violate("invariant 4: a lease is taken when it lapsed", &detail);
        }
    }

    fn written_once(&self, change: &Change) {
        if change.before.is_some() {
            let detail = format!("{} was written again", change.place);
            self.violate("invariant 2: what a run rests on is written once", &detail);
        }
    }

    fn needs_run_lease(&self, run: &RunKey, what: &str) {
        if !self.holds(&Self::run_place(run)) {
            let detail = format!("{what} of {}/{} without the run's lease", run.0, run.1);
            self.violate("invariant 4: no write without a lease", &detail);
        }
    }

    fn streak(&mut self, tenant: &str, change: &Change) {
        if change.after.contains_key("ttl") {
            let detail = format!("{} expires", change.place);
            self.violate("fine print 8: a streak outlives its run", &detail);
        }
        let run = (
            tenant.to_owned(),
            number(&change.after, "run").unwrap_or_default(),
        );
        self.needs_run_lease(&run, "a streak");
        if self.run_state(&run) != "FINALIZING" {
            let detail = format!("{} in {}", change.place, self.run_state(&run));
            self.violate("invariant 9: each step in its state", &detail);
        }
        self.streak_is_borne_out(&run, change);
    }
}
