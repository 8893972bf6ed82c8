//! The tenants of a world: their settings, their people, and the days that these have.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rollcall_core::settings::TenantSettings;
use rollcall_graph_emulator::{Graph, Paging, Population, Tenant, TenantSpec, User};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::chaos::Chaos;
use crate::dice::Dice;
use crate::graph::ORIGIN;
use crate::oracle::Oracle;
use crate::weather::{Story, Theme};
use crate::world::{World, lock};

/// What every login name and display name begins with: a log that holds it tells of a person.
pub(crate) const NAME_MARK: &str = "zq";

/// The longest that a tenant here has a request to Graph tried, in seconds.
pub(crate) const GRAPH_RETRY_S_MAX: u64 = 120;

/// A tenant.
#[derive(Debug)]
pub(crate) struct SimTenant {
    pub(crate) name: String,
    /// Microsoft's side.
    pub(crate) graph: Tenant,
    pub(crate) oracle: Mutex<Oracle>,
    pub(crate) lease_ms: u64,
    pub(crate) confirmed_by: u64,
    pub(crate) deadline_ms: u64,
    /// The settings as the tenant file would have them.
    settings: Mutex<Value>,
    /// Somebody who is always there, so that the directory never turns empty.
    pub(crate) anchor: Uuid,
    names: AtomicU64,
}

impl SimTenant {
    /// A tenant without people.
    pub(crate) fn new(dice: &Dice, graph: &Graph, number: u64, chaos: &Chaos) -> Self {
        let name = format!("t{number}");
        let mut spec = TenantSpec::new(Population::new(&domain(&name, 0), number + 1, 0));
        let every = || dice.of([None, None, Some(2), Some(3)]);
        spec.paging = Paging {
            page_size_max: match chaos.theme {
                Theme::Restarts => 2,
                _ => usize::try_from(dice.between(2, 5)).unwrap_or(2),
            },
            empty_every: every(),
            short_every: every(),
            repeat_every: every(),
            token_life_ms: dice.of([None, None, None, None, Some(4_000)]),
            token_uses: dice.of([None, None, None, Some(1), Some(2)]),
        };
        if chaos.story == Story::Clear {
            spec.paging.token_life_ms = None;
            spec.paging.token_uses = None;
        }
        let tenant = graph.add_tenant(spec);
        let lease_s = match chaos.theme {
            Theme::LateWrites => dice.of([2, 2, 5]),
            _ => dice.of([2, 5, 20]),
        };
        let confirmed_by = dice.of([2, 2, 2, 3]);
        let deadline_minutes = match chaos.theme {
            Theme::Leavers | Theme::LateWrites => dice.of([3, 3, 3, 10]),
            _ => dice.of([3, 10, 120]),
        };
        let is_lenient = if chaos.theme == Theme::Leavers {
            400
        } else {
            600
        };
        let guards = if dice.per_mille(is_lenient) {
            lenient(confirmed_by)
        } else {
            json!({
                "deactivations_max": dice.between(0, 3),
                "deactivations_percent_max": dice.of([5.0, 20.0, 50.0]),
                "exempt_max": dice.between(0, 3),
                "shrink_percent_max": dice.of([10.0, 30.0, 100.0]),
                "absences_confirmed_by": confirmed_by,
            })
        };
        let settings = json!({
            "id": name,
            "directory_id": tenant.directory_id().to_string(),
            "client_id": tenant.client_id().to_string(),
            "graph_url": ORIGIN,
            "login_url": ORIGIN,
            "credential": { "kind": "secret", "env": secret_name(&name) },
            "scope": { "guests": dice.per_mille(300) },
            "guards": guards,
            "limits": {
                "graph_retry_seconds_max": dice.of([5, 30, GRAPH_RETRY_S_MAX]),
                "run_deadline_minutes": deadline_minutes,
                "lease_seconds": lease_s,
            },
            "attributes": { "department": "department" },
        });
        Self {
            name,
            graph: tenant,
            oracle: Mutex::default(),
            lease_ms: lease_s * 1_000,
            confirmed_by,
            deadline_ms: deadline_minutes * 60_000,
            settings: Mutex::new(settings),
            anchor: dice.uuid(),
            names: AtomicU64::new(0),
        }
    }

    pub(crate) fn secret_name(&self) -> String {
        secret_name(&self.name)
    }

    /// The settings, as the store takes them.
    ///
    /// # Errors
    /// When they are none: a mistake of the simulation.
    pub(crate) fn settings(&self) -> anyhow::Result<TenantSettings> {
        Ok(serde_json::from_value(lock(&self.settings).clone())?)
    }

    /// Guards that let everything pass, as an operator sets them who wants to see a run through.
    pub(crate) fn loosen_guards(&self) {
        lock(&self.settings)["guards"] = lenient(self.confirmed_by);
    }

    /// Whether page tokens die early here.
    pub(crate) fn page_tokens_die(&self) -> bool {
        let paging = self.graph.paging();
        paging.token_life_ms.is_some() || paging.token_uses.is_some()
    }

    /// Page tokens that live, from now on.
    pub(crate) fn keep_page_tokens(&self) {
        self.graph.set_paging(Paging {
            token_life_ms: None,
            token_uses: None,
            ..self.graph.paging()
        });
    }

    /// Another part of the settings changes.
    pub(crate) fn change_settings(&self, dice: &Dice) {
        let mut settings = lock(&self.settings);
        match dice.index(4) {
            0 => settings["scope"]["guests"] = json!(dice.per_mille(500)),
            1 => {
                let one = json!([domain(&self.name, 0)]);
                settings["scope"]["domains"] = if dice.per_mille(500) { one } else { json!([]) };
            }
            2 => {
                let property = dice.of(["department", "jobTitle"]);
                settings["attributes"] = json!({ "department": property });
            }
            _ => settings["limits"]["graph_retry_seconds_max"] = json!(dice.between(5, 60)),
        }
    }

    pub(crate) fn scope(&self) -> crate::oracle::Scope {
        crate::oracle::Scope::of(&lock(&self.settings))
    }

    fn new_user(&self, dice: &Dice, id: Uuid) -> User {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let name = format!("{NAME_MARK}-{number}@{}", self.some_domain(dice));
        let mut user = User::member(id, &name, &format!("{NAME_MARK} Person {number}"));
        user.department = Some(dice.of(["sales", "plant", "it"]).to_owned());
        user.job_title = Some(dice.of(["lead", "clerk"]).to_owned());
        if dice.per_mille(120) {
            user.user_type = Some("Guest".into());
        }
        if dice.per_mille(80) {
            user.account_enabled = Some(false);
        }
        if dice.per_mille(30) {
            user.mail = None;
        }
        user
    }

    fn some_domain(&self, dice: &Dice) -> String {
        domain(&self.name, usize::from(dice.per_mille(150)))
    }
}

fn lenient(confirmed_by: u64) -> Value {
    json!({
        "deactivations_max": 500,
        "deactivations_percent_max": 100.0,
        "exempt_max": 500,
        "shrink_percent_max": 100.0,
        "absences_confirmed_by": confirmed_by,
    })
}

fn secret_name(tenant: &str) -> String {
    format!("SECRET_{}", tenant.to_uppercase())
}

fn domain(tenant: &str, which: usize) -> String {
    format!("{}.{tenant}.example", ["main", "other"][which.min(1)])
}

impl World {
    /// The first people of a tenant, one of whom stays for ever.
    pub(crate) fn settle(&self, tenant: &SimTenant) {
        let count = match self.chaos.theme {
            Theme::Restarts | Theme::Leavers => self.dice.between(4, 7),
            _ => self.dice.between(2, 6),
        };
        for number in 0..=count {
            let id = if number == 0 {
                tenant.anchor
            } else {
                self.dice.uuid()
            };
            let mut user = tenant.new_user(&self.dice, id);
            if number == 0 {
                user.account_enabled = Some(true);
                user.user_type = Some("Member".into());
                user.user_principal_name =
                    Some(format!("{NAME_MARK}-anchor@{}", domain(&tenant.name, 0)));
            }
            self.change(tenant, id, "is there", |directory| {
                directory.add(user).is_ok()
            });
        }
    }

    /// One change in a tenant's directory.
    pub(crate) fn churn(&self, tenant: &SimTenant) {
        let dice = &self.dice;
        let live: Vec<_> = {
            let directory = tenant.graph.directory();
            let ids = directory.users().map(|user| user.id);
            ids.filter(|id| *id != tenant.anchor).collect()
        };
        let someone = dice.pick(&live).unwrap_or(tenant.anchor);
        let is_anchor = someone == tenant.anchor;
        match dice.index(16) {
            0..=2 => {
                let user = tenant.new_user(dice, dice.uuid());
                self.change(tenant, user.id, "joins", |d| d.add(user).is_ok());
            }
            3 | 4 if !is_anchor => {
                self.change(tenant, someone, "is deleted", |d| {
                    d.soft_delete(someone).is_ok()
                });
            }
            5 if !is_anchor => {
                self.change(tenant, someone, "vanishes", |d| d.purge(someone).is_ok());
            }
            6 | 7 if !is_anchor => self.set_enabled(tenant, someone, Some(false)),
            8 | 9 => self.enable_somebody(tenant),
            10 => self.restore_somebody(tenant),
            11 if !is_anchor => self.set_enabled(tenant, someone, None),
            12 => {
                let kind = dice.of([Some("Guest"), Some("Member"), Some("Member"), None]);
                let kind = kind.filter(|_| !is_anchor).or(Some("Member"));
                self.set_type(tenant, someone, kind);
            }
            13 => {
                let department = dice.of(["sales", "plant", "it"]).to_owned();
                self.change(tenant, someone, "changes department", |d| {
                    d.update(someone, |user| user.department = Some(department))
                        .is_ok()
                });
            }
            _ if !is_anchor => {
                // The scan is in the order of names, so who is renamed is seen twice, or not at all.
                let number = tenant.names.fetch_add(1, Ordering::Relaxed);
                let first = dice.of(["a", "m", "z"]);
                let name = format!("{first}{NAME_MARK}-{number}@{}", tenant.some_domain(dice));
                self.change(tenant, someone, "is renamed", |d| {
                    d.rename(someone, &name, &format!("{NAME_MARK} Person {number}"))
                        .is_ok()
                });
            }
            _ => {}
        }
    }

    /// Somebody comes back from the bin.
    pub(crate) fn restore_somebody(&self, tenant: &SimTenant) {
        let binned: Vec<_> = tenant.graph.directory().deleted().map(|u| u.id).collect();
        if let Some(id) = self.dice.pick(&binned) {
            self.change(tenant, id, "comes back", |d| d.restore(id).is_ok());
        }
    }

    /// Somebody who was disabled is enabled.
    pub(crate) fn enable_somebody(&self, tenant: &SimTenant) {
        let off: Vec<_> = {
            let directory = tenant.graph.directory();
            let off = directory
                .users()
                .filter(|user| user.account_enabled != Some(true));
            off.map(|user| user.id).collect()
        };
        if let Some(id) = self.dice.pick(&off) {
            self.set_enabled(tenant, id, Some(true));
        }
    }

    /// A night in which many leave, each in his own way, or those who left come back.
    pub(crate) fn many_go(&self, tenant: &SimTenant) {
        let dice = &self.dice;
        let share = dice.of([200, 500, 800]);
        let ids: Vec<_> = {
            let directory = tenant.graph.directory();
            let ids = directory.users().map(|user| user.id);
            ids.filter(|id| *id != tenant.anchor).collect()
        };
        let kind = dice.index(8);
        for id in ids {
            if !dice.per_mille(share) {
                continue;
            }
            // Often all in the same way: that is what a guard is for, and what a mistake looks like.
            match if kind < 5 { kind } else { dice.index(5) } {
                0 => self.change(tenant, id, "is deleted", |d| d.soft_delete(id).is_ok()),
                1 => self.change(tenant, id, "vanishes", |d| d.purge(id).is_ok()),
                2 => self.set_enabled(tenant, id, Some(false)),
                3 => self.set_type(tenant, id, Some("Guest")),
                _ => self.set_type(tenant, id, None),
            }
        }
    }

    /// A night in which everybody comes back who can.
    pub(crate) fn many_come_back(&self, tenant: &SimTenant) {
        let binned: Vec<_> = tenant.graph.directory().deleted().map(|u| u.id).collect();
        for id in binned {
            self.change(tenant, id, "comes back", |d| d.restore(id).is_ok());
        }
        let off: Vec<_> = {
            let directory = tenant.graph.directory();
            let off = directory
                .users()
                .filter(|user| user.account_enabled == Some(false));
            off.map(|user| user.id).collect()
        };
        for id in off {
            self.set_enabled(tenant, id, Some(true));
        }
    }

    /// Somebody changes while he is scanned: he is renamed and comes again on a later page, or is gone
    /// when the scan begins again.
    pub(crate) fn churn_behind_the_scan(&self, tenant: &SimTenant) {
        let dice = &self.dice;
        let live: Vec<_> = {
            let directory = tenant.graph.directory();
            let ids = directory.users().map(|user| user.id);
            ids.filter(|id| *id != tenant.anchor).collect()
        };
        let Some(id) = dice.pick(&live) else {
            return;
        };
        if dice.per_mille(250) {
            self.change(tenant, id, "is deleted", |d| d.soft_delete(id).is_ok());
            return;
        }
        let number = tenant.names.fetch_add(1, Ordering::Relaxed);
        let name = format!("z{NAME_MARK}-{number}@{}", tenant.some_domain(dice));
        self.change(tenant, id, "is renamed", |d| {
            d.rename(id, &name, &format!("{NAME_MARK} Person {number}"))
                .is_ok()
        });
    }

    /// The last unknowns are told, so that the truth can be compared.
    pub(crate) fn tell_unknowns(&self, tenant: &SimTenant) {
        let unknown: Vec<_> = {
            let directory = tenant.graph.directory();
            let is_unknown =
                |user: &&User| user.account_enabled.is_none() || user.user_type.is_none();
            directory
                .users()
                .filter(is_unknown)
                .map(|user| user.id)
                .collect()
        };
        for id in unknown {
            self.change(tenant, id, "is known", |d| {
                d.update(id, |user| {
                    user.account_enabled.get_or_insert(true);
                    user.user_type.get_or_insert_with(|| "Member".into());
                })
                .is_ok()
            });
        }
    }

    fn set_type(&self, tenant: &SimTenant, id: Uuid, kind: Option<&str>) {
        let kind = kind.map(str::to_owned);
        self.change(tenant, id, &format!("becomes {kind:?}"), |d| {
            d.update(id, |user| user.user_type = kind).is_ok()
        });
    }

    fn set_enabled(&self, tenant: &SimTenant, id: Uuid, enabled: Option<bool>) {
        self.change(tenant, id, &format!("is enabled: {enabled:?}"), |d| {
            d.set_account_enabled(id, enabled).is_ok()
        });
    }
}
