//! A service provider that is told of the users by SCIM. With `ROLLCALL_SCIM_URL` the accounts are those of the
//! server there, which takes the token of the tests, and has no users below each path.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

mod accounts;
mod failing;
mod histories;
mod late;

use std::sync::atomic::{AtomicU64, Ordering};

use rollcall_ambient::{Ambient, Clock};
use rollcall_core::by_hand::Decision;
use rollcall_core::ids::TenantId;
use rollcall_core::status::Status;
use rollcall_end_to_end::scim::TestProvider;
use rollcall_end_to_end::{Handler, TENANT, World, call_once, object_id, sqs_event};
use rollcall_graph_emulator::Population;
use rollcall_sync::App;
use serde_json::{Value, json};
use uuid::Uuid;

/// How often a service provider is told in a test before everything has to be.
const TELLINGS_MAX: u64 = 12;
/// The longest wait between two tellings, in milliseconds, and the longest that a request can be late.
const HOUR_MS: u64 = 3_700_000;

/// A machine on which it is later.
#[derive(Debug)]
struct Later(u64);

impl Clock for Later {
    fn now_ms(&self) -> u64 {
        Ambient::system().now_ms() + self.0
    }
}

/// A machine on which a telling takes longer than it may.
#[derive(Debug)]
struct Slow(AtomicU64);

impl Clock for Slow {
    fn now_ms(&self) -> u64 {
        const LOOK_MS: u64 = 1_000;
        Ambient::system().now_ms() + self.0.fetch_add(LOOK_MS, Ordering::Relaxed)
    }
}

struct Provided {
    world: World,
    provider: TestProvider,
    tenant: TenantId,
    later_ms: AtomicU64,
}

impl Provided {
    async fn start(users: usize) -> Self {
        static NAMES: AtomicU64 = AtomicU64::new(0);
        let name = NAMES.fetch_add(1, Ordering::Relaxed);
        let behind = std::env::var("ROLLCALL_SCIM_URL").ok();
        let behind = behind.map(|url| format!("{url}/{}-{name}/v2", std::process::id()));
        let provider = TestProvider::in_front_of(behind).await.unwrap();
        let population = Population::new("contoso.com", 7, users);
        let world = World::start_with(population, &provider.settings())
            .await
            .unwrap();
        Self {
            world,
            provider,
            tenant: TENANT.parse().unwrap(),
            later_ms: AtomicU64::new(0),
        }
    }

    /// With so many users, all of whom have been told of.
    async fn told(users: usize) -> Self {
        let it = Self::start(users).await;
        it.world.sync().await.unwrap();
        it.settle().await;
        it
    }

    /// The functions as they run so much later.
    fn app(&self) -> App {
        let later_ms = self.later_ms.load(Ordering::Relaxed);
        self.world
            .app_at(&self.world.ambient.with_clock(Later(later_ms)))
    }

    /// Time passes.
    fn pass(&self, ms: u64) {
        self.later_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// The finalizer is rung to tell.
    async fn tell(&self) {
        let event = sqs_event(&json!({ "tell": TENANT }));
        let answer = call_once(self.app(), Handler::Finalizer, event).await;
        assert_eq!(answer.unwrap(), json!({ "batchItemFailures": [] }));
        self.world.recorder.check().unwrap();
    }

    async fn sync_and_tell(&self) {
        self.world.sync().await.unwrap();
        self.tell().await;
    }

    /// A person decides about somebody.
    async fn decide(&self, id: Uuid, decision: Decision) {
        let (store, user) = (&self.world.store, object_id(id).unwrap());
        let decided = store.decide(&self.tenant, &user, decision, "ada");
        decided.await.unwrap();
    }

    /// As the command line wants it told when a tenant is stored.
    async fn want(&self) {
        let now_ms = Later(self.later_ms.load(Ordering::Relaxed)).now_ms();
        let store = &self.world.store;
        store.want_scim(&self.tenant, now_ms).await.unwrap();
    }

    /// It is told until nothing more is to be told.
    async fn settle(&self) {
        for _ in 0..TELLINGS_MAX {
            self.tell().await;
            let head = self.world.store.head(&self.tenant).await.unwrap();
            if head.scim_due_at_ms.is_none() {
                return;
            }
            self.pass(HOUR_MS);
        }
        panic!("there is always more to tell");
    }

    /// The account of a user. More than one is one too many.
    async fn account(&self, id: Uuid) -> Option<Value> {
        let id = id.to_string();
        let accounts = self.provider.accounts().await.unwrap();
        let mut his = accounts.into_iter().filter(|it| it["externalId"] == *id);
        let first = his.next();
        assert_eq!(his.next(), None, "two accounts of {id}");
        first
    }

    /// In what the accounts differ from the directory.
    async fn differs(&self) -> Option<String> {
        let users = self.world.users().await.unwrap();
        let accounts = self.provider.accounts().await.unwrap();
        for account in &accounts {
            let whose = account["externalId"].as_str().unwrap_or_default();
            if !users.keys().any(|id| id.as_str() == whose) {
                return Some(format!("an account of nobody: {account}"));
            }
        }
        for (id, user) in &users {
            let is_on = user.status == Status::Active;
            let his: Vec<_> = accounts
                .iter()
                .filter(|it| it["externalId"] == id.as_str())
                .collect();
            let [account] = his.as_slice() else {
                if is_on || his.len() > 1 {
                    return Some(format!("{id} has {} accounts", his.len()));
                }
                continue;
            };
            let mail = account["emails"][0]["value"].as_str();
            if account["active"] != is_on
                || account["userName"].as_str() != user.user_principal_name.as_deref()
                || account["displayName"].as_str() != user.display_name.as_deref()
                || mail != user.mail.as_deref()
            {
                return Some(format!("{id} is {account}"));
            }
        }
        None
    }

    async fn equals(&self) {
        assert_eq!(self.differs().await, None);
    }

    fn set_enabled(&self, id: Uuid, enabled: bool) {
        let mut directory = self.world.tenant.directory();
        directory.set_account_enabled(id, Some(enabled)).unwrap();
    }

    fn rename(&self, id: Uuid, login_name: &str, name: &str) {
        let mut directory = self.world.tenant.directory();
        directory.rename(id, login_name, name).unwrap();
    }

    /// Some who are on.
    fn enabled(&self, count: usize) -> Vec<Uuid> {
        let directory = self.world.tenant.directory();
        let enabled = directory
            .users()
            .filter(|it| it.account_enabled == Some(true));
        enabled.map(|user| user.id).take(count).collect()
    }
}
