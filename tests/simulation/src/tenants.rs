//! The tenants of a world: their settings, their people, and the days that these have.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rollcall_core::settings::TenantSettings;
use rollcall_graph_emulator::{
    DELTA_LIFE_MS, Directory, Graph, Member, Paging, Population, Tenant, TenantSpec, User,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::chaos::Chaos;
use crate::dice::Dice;
use crate::graph::ORIGIN;
use crate::oracle::Oracle;
use crate::provider::{self, Provider};
use crate::weather::{Story, Theme};
use crate::world::lock;

/// What every login name and display name begins with: a log that holds it tells of a person. The login
/// names of all tenants are the same; a name to show is of one tenant alone.
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
    /// A group, and another one that is a member of it.
    pub(crate) groups: [Uuid; 2],
    /// What it has of accounts elsewhere, if it has a service provider.
    pub(crate) provider: Mutex<Provider>,
    names: AtomicU64,
}

impl SimTenant {
    /// A tenant without people.
    pub(crate) fn new(dice: &Dice, graph: &Graph, number: u64, chaos: &Chaos) -> Self {
        let name = format!("t{number}");
        let mut spec = TenantSpec::new(Population::new(domain(0), number + 1, 0));
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
            has_delta: !dice.per_mille(150),
            delta_page_size_max: usize::try_from(dice.between(1, 4)).unwrap_or(1),
            delta_sparse: dice.per_mille(500),
            delta_disorder: dice.per_mille(500),
            delta_life_ms: dice.of([DELTA_LIFE_MS, DELTA_LIFE_MS, 1_200_000]),
        };
        if chaos.story == Story::Clear {
            spec.paging.token_life_ms = None;
            spec.paging.token_uses = None;
        }
        let tenant = graph.add_tenant(spec);
        let groups = nested_groups(&mut tenant.directory());
        let lease_s = match chaos.theme {
            Theme::LateWrites => dice.of([2, 2, 5]),
            _ => dice.of([2, 5, 20]),
        };
        let confirmed_by = dice.of([2, 2, 2, 3]);
        let deadline_minutes = match chaos.theme {
            Theme::Leavers => 3,
            Theme::LateWrites => dice.of([3, 3, 3, 10]),
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
            let deactivations_max = dice.between(0, 3);
            let percent_max = dice.of([5.0, 20.0, 50.0, 80.0]);
            json!({
                "deactivations_max": deactivations_max,
                "deactivations_percent_max": percent_max,
                "window_percent_max": percent_max,
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
            "credential": secret(&name),
            "scope": {
                "guests": dice.per_mille(300),
                "groups": some_groups(dice, groups),
            },
            "guards": guards,
            "limits": {
                "graph_retry_seconds_max": dice.of([5, 30, GRAPH_RETRY_S_MAX]),
                "batches_at_once": dice.of([1, 2, 3, 8]),
                "run_deadline_minutes": deadline_minutes,
                "lease_seconds": lease_s,
            },
            "attributes": { "department": "department" },
        });
        Self {
            name,
            graph: tenant,
            oracle: Mutex::new(Oracle::new(groups.to_vec())),
            lease_ms: lease_s * 1_000,
            confirmed_by,
            deadline_ms: deadline_minutes * 60_000,
            settings: Mutex::new(settings),
            anchor: dice.uuid(),
            groups,
            provider: Mutex::default(),
            names: AtomicU64::new(0),
        }
    }

    pub(crate) fn secret_name(&self) -> String {
        secret_name(&self.name)
    }

    /// From now on the tenant has a service provider.
    pub(crate) fn gets_provider(&self, provider: Provider) {
        *lock(&self.provider) = provider;
        lock(&self.settings)["scim"] = json!({
            "url": provider::url(&self.name),
            "credential": { "kind": "secret", "env": self.provider_secret() },
        });
    }

    pub(crate) fn has_provider(&self) -> bool {
        lock(&self.settings)["scim"].is_object()
    }

    pub(crate) fn provider_secret(&self) -> String {
        format!("SCIM_{}", self.name.to_uppercase())
    }

    /// What its service provider takes for a token.
    pub(crate) fn provider_token(&self) -> String {
        format!("{NAME_MARK}-token-of-{}", self.name)
    }

    /// The settings, as the store takes them.
    ///
    /// # Errors
    /// When they are none: a mistake of the simulation.
    pub(crate) fn settings(&self) -> anyhow::Result<TenantSettings> {
        Ok(serde_json::from_value(lock(&self.settings).clone())?)
    }

    /// The settings, as somebody has them in an editor.
    pub(crate) fn settings_as_written(&self) -> Value {
        lock(&self.settings).clone()
    }

    /// The settings name a secret that nobody has put anywhere.
    pub(crate) fn misplace_secret(&self, dice: &Dice) {
        lock(&self.settings)["credential"] = match dice.index(3) {
            0 => json!({ "kind": "secret", "env": "OF_NOBODY" }),
            1 => json!({ "kind": "certificate", "env": "OF_NOBODY" }),
            _ => json!({ "kind": "certificate", "pem_file": "of-nobody.pem" }),
        };
    }

    /// The settings name the right secret again.
    pub(crate) fn find_secret(&self) {
        lock(&self.settings)["credential"] = secret(&self.name);
    }

    /// The tenant has a schedule of its own: none at all, or every so many hours; or that of the stack.
    pub(crate) fn schedule(&self, dice: &Dice) {
        let hours = dice.of([1, 2, 3, 6]);
        let own = match dice.index(3) {
            0 => format!("rate({} minutes)", hours * 60),
            1 => format!("rate({hours} hour{})", if hours == 1 { "" } else { "s" }),
            _ => format!("cron(0 0/{hours} * * ? *)"),
        };
        let schedule = match dice.index(8) {
            0 => json!({ "full": "off", "delta": "off" }),
            1 => json!({ "full": own }),
            2 => json!({ "full": own, "delta": "off" }),
            3 => json!({ "delta": own }),
            _ => json!({}),
        };
        lock(&self.settings)["schedule"] = schedule;
    }

    /// Any change of the settings, for somebody who hopes that it helps.
    pub(crate) fn change_retries(&self) {
        let seconds = &mut lock(&self.settings)["limits"]["graph_retry_seconds_max"];
        *seconds = json!(if *seconds == 60 { 59 } else { 60 });
    }

    /// Guards that let everything pass, as an operator sets them who wants to see a run through.
    pub(crate) fn loosen_guards(&self) {
        lock(&self.settings)["guards"] = lenient(self.confirmed_by);
    }

    /// Guards of which one lets nothing pass, so that somebody has to decide.
    pub(crate) fn tighten_guards(&self, dice: &Dice) {
        let mut settings = lock(&self.settings);
        let guards = &mut settings["guards"];
        let tight = dice.of([
            "deactivations_max",
            "deactivations_max",
            "deactivations_percent_max",
            "window_percent_max",
            "shrink_percent_max",
        ]);
        if tight != "deactivations_max" {
            guards["exempt_max"] = json!(0);
        }
        guards[tight] = json!(0);
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
        match dice.index(5) {
            0 => settings["scope"]["guests"] = json!(dice.per_mille(500)),
            1 => {
                let one = json!([domain(0)]);
                settings["scope"]["domains"] = if dice.per_mille(500) { one } else { json!([]) };
            }
            2 => settings["scope"]["groups"] = some_groups(dice, self.groups),
            3 => {
                let property = dice.of(["department", "jobTitle"]);
                settings["attributes"] = json!({ "department": property });
            }
            _ => settings["limits"]["graph_retry_seconds_max"] = json!(dice.between(5, 60)),
        }
    }

    pub(crate) fn scope(&self) -> crate::oracle::Scope {
        crate::oracle::Scope::of(&lock(&self.settings))
    }

    /// Who is there now, but for the one who stays.
    pub(crate) fn all_but_the_anchor(&self) -> Vec<Uuid> {
        let directory = self.graph.directory();
        let ids = directory.users().map(|user| user.id);
        ids.filter(|id| *id != self.anchor).collect()
    }

    /// Who has a login name of the smaller domain.
    pub(crate) fn all_of_the_smaller_domain(&self) -> Vec<Uuid> {
        let ending = format!("@{}", domain(1));
        let directory = self.graph.directory();
        let is_of = |user: &&User| {
            let name = user.user_principal_name.as_deref();
            name.is_some_and(|name| name.ends_with(&ending))
        };
        let of_it = directory.users().filter(is_of).map(|user| user.id);
        of_it.collect()
    }

    /// Whether groups decide who belongs.
    pub(crate) fn has_groups_in_scope(&self) -> bool {
        !self.scope().groups().is_empty()
    }

    /// A number for a name that nobody has had here.
    pub(crate) fn next_name(&self) -> u64 {
        self.names.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn new_user(&self, dice: &Dice, id: Uuid) -> User {
        let number = self.next_name();
        let name = format!("{NAME_MARK}-{number}@{}", some_domain(dice));
        let mut user = User::member(id, &name, &self.shown_name(number));
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

    /// The name to show of whoever has a number.
    pub(crate) fn shown_name(&self, number: u64) -> String {
        format!("{NAME_MARK} Person {number} of {}", self.name)
    }
}

pub(crate) fn some_domain(dice: &Dice) -> &'static str {
    domain(usize::from(dice.per_mille(150)))
}

/// A group without members but another group.
fn nested_groups(directory: &mut Directory) -> [Uuid; 2] {
    let [outer, inner] = [directory.add_group(), directory.add_group()];
    // There is such a group: it was made a moment ago.
    let _ = directory.add_member(outer, Member::Group(inner));
    [outer, inner]
}

/// The groups of a scope: most have none.
fn some_groups(dice: &Dice, groups: [Uuid; 2]) -> Value {
    let [outer, inner] = groups.map(|group| group.to_string());
    match dice.index(8) {
        0 => json!([outer]),
        1 => json!([inner]),
        2 => json!([inner, outer]),
        _ => json!([]),
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

fn secret(tenant: &str) -> Value {
    json!({ "kind": "secret", "env": secret_name(tenant) })
}

fn secret_name(tenant: &str) -> String {
    format!("SECRET_{}", tenant.to_uppercase())
}

/// One of the two domains that each tenant has.
pub(crate) fn domain(which: usize) -> &'static str {
    ["main.example", "other.example"][which.min(1)]
}
