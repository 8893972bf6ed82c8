//! Three tenants that have everything in common but their name and their directory: the ids and login
//! names of their users, the app registration and its secret.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::status::{Status, StoredUser};
use rollcall_end_to_end::town::Town;
use rollcall_end_to_end::{Handler, sqs_event};
use rollcall_graph_emulator::{LogEntry, Paging, Population, TenantSpec, User};
use rollcall_store::RunRecord;
use serde_json::{Value, json};
use uuid::Uuid;

/// How many users each tenant has: some pages of them.
pub(crate) const USERS: usize = 60;
const USERS_PER_PAGE: usize = 20;
/// The names of the tenants: each begins with the one before it.
pub(crate) const NAMES: [&str; 3] = ["contoso", "contoso-1", "contoso-1-0"];
/// Which host each of them is at: two share one, as all do in one of Microsoft's clouds.
pub(crate) const AT: [usize; 3] = [0, 0, 1];

type Item = HashMap<String, AttributeValue>;
/// Table, partition and sort key.
type Place = (&'static str, String, String);

/// A town of them.
pub(crate) struct Alike(Town);

impl Deref for Alike {
    type Target = Town;

    fn deref(&self) -> &Town {
        &self.0
    }
}

pub(crate) fn id(number: usize) -> Uuid {
    Uuid::from_u128(0x6bab_caad_604b_40ac_a9d7_0000_0000_0000 + number as u128)
}

pub(crate) fn login_name(number: usize) -> String {
    format!("adele{number}@shared.example")
}

pub(crate) fn tenant_id(tenant: usize) -> TenantId {
    NAMES[tenant].parse().unwrap()
}

/// Guards that let everybody go.
fn loose() -> Value {
    json!({ "guards": {
        "deactivations_max": 1_000,
        "deactivations_percent_max": 100.0,
        "exempt_max": 1_000,
        "shrink_percent_max": 100.0,
    } })
}

impl Alike {
    pub(crate) async fn start() -> Self {
        let mut town = Town::start(2).await.unwrap();
        for (tenant, name) in NAMES.iter().enumerate() {
            let spec = TenantSpec {
                client_id: id(0),
                paging: Paging {
                    page_size_max: USERS_PER_PAGE,
                    ..Paging::default()
                },
                ..TenantSpec::new(Population::new("shared.example", tenant as u64 + 1, 0))
            };
            let graph = town.add(AT[tenant], name, spec, &loose()).await.unwrap();
            for number in 1..=USERS {
                // Only the name to show tells whose he is.
                let shown = format!("{number} of {name}.");
                let user = User::member(id(number), &login_name(number), &shown);
                graph.directory().add(user).unwrap();
            }
        }
        Self(town)
    }

    pub(crate) async fn runs(&self, tenants: &[usize], mode: &str) -> Vec<RunRecord> {
        let names: Vec<_> = tenants.iter().map(|tenant| NAMES[*tenant]).collect();
        self.sync(&names, mode).await.unwrap()
    }

    /// Stores a tenant's settings with other addresses.
    pub(crate) async fn move_to(&self, tenant: usize, login: &str, graph: &str) {
        let mut more = loose();
        more["login_url"] = json!(login);
        more["graph_url"] = json!(graph);
        self.put(AT[tenant], NAMES[tenant], &more).await.unwrap();
    }

    /// Calls a function with one message.
    pub(crate) async fn tell(&self, handler: Handler, bell: &Value) {
        self.call(handler, sqs_event(bell)).await.unwrap();
    }

    /// That a tenant's directory is its own, to the last name, with so many who are on.
    pub(crate) async fn has_its_own(&self, tenant: usize, active: usize) {
        let name = NAMES[tenant];
        let users = self.users(name).await.unwrap().into_iter();
        let users: BTreeMap<ObjectId, StoredUser> =
            users.map(|user| (user.id.clone(), user)).collect();
        assert_eq!(users.len(), USERS, "{name}");
        for user in users.values() {
            let shown = user.display_name.as_deref().unwrap();
            assert!(shown.ends_with(&format!(" of {name}.")), "{name}: {shown}");
        }
        let on = users.values().filter(|it| it.status == Status::Active);
        assert_eq!(on.count(), active, "{name}");
        for number in 1..=USERS {
            let (tenant, login_name) = (tenant_id(tenant), login_name(number));
            let found = self.store.users_by_login(&tenant, &login_name).await;
            let own = &users[&id(number).to_string().parse::<ObjectId>().unwrap()];
            assert_eq!(found.unwrap(), std::slice::from_ref(own), "{name}");
        }
    }

    /// What a host was asked since it was last looked.
    pub(crate) fn asked(&self, host: usize) -> Vec<LogEntry> {
        let graph = self.hosts[host].graph();
        let log = graph.log();
        graph.clear_log();
        log
    }

    /// All that both tables hold, by the tenant that it belongs to: there is nothing that belongs to
    /// none, or to two.
    pub(crate) async fn items(&self) -> [BTreeMap<Place, Item>; 3] {
        let mut items = [BTreeMap::new(), BTreeMap::new(), BTreeMap::new()];
        for table in ["directory", "coordination"] {
            let scan = self.aws.dynamodb().scan().table_name(table);
            let all = scan.into_paginator().items().send();
            for item in all.collect::<Result<Vec<_>, _>>().await.unwrap() {
                let text = |name: &str| item[name].as_s().unwrap().clone();
                let place = (table, text("pk"), text("sk"));
                let is_of = |name: &str| match place.1.as_str() {
                    "tenants" => place.2 == name,
                    pk => pk.split('#').any(|part| part == name),
                };
                let owners: Vec<_> = (0..3).filter(|tenant| is_of(NAMES[*tenant])).collect();
                assert_eq!(owners.len(), 1, "{place:?} belongs to {owners:?}");
                items[owners[0]].insert(place, item);
            }
        }
        items
    }
}
