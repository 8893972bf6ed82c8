//! A service provider that is told of the users by SCIM. With `ROLLCALL_SCIM_URL` the accounts are those of the
//! server there, which takes the token of the tests, and has no users below each path.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use rollcall_ambient::{Ambient, Clock};
use rollcall_core::by_hand::Decision;
use rollcall_core::ids::TenantId;
use rollcall_core::status::Status;
use rollcall_end_to_end::scim::{ScimMeets, TestProvider};
use rollcall_end_to_end::{Handler, TENANT, World, call_once, object_id, sqs_event};
use rollcall_graph_emulator::Population;
use rollcall_store::SCIM_LEASE_MS;
use rollcall_sync::App;
use serde_json::{Value, json};
use uuid::Uuid;

/// How many random histories are told; `ROLLCALL_SCIM_HISTORIES` says another number.
const HISTORIES: u64 = 10;
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

    /// As the command line wants it told after a person's decision.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_user_who_is_on_has_one_account_that_is_as_he_is() {
    let it = Provided::start(30).await;
    it.world.sync().await.unwrap();
    it.settle().await;
    it.equals().await;
    let ids = it.enabled(3);
    {
        let mut directory = it.world.tenant.directory();
        directory.set_account_enabled(ids[0], Some(false)).unwrap();
        directory
            .rename(ids[1], "other@contoso.com", "Other")
            .unwrap();
        directory.soft_delete(ids[2]).unwrap();
    }
    it.world.sync().await.unwrap();
    it.settle().await;
    it.equals().await;
    let active = |account: Option<Value>| account.unwrap()["active"].clone();
    assert_eq!(active(it.account(ids[0]).await), false);
    assert_eq!(active(it.account(ids[2]).await), false);
    it.set_enabled(ids[0], true);
    it.world.sync().await.unwrap();
    it.settle().await;
    it.equals().await;
    // Who is as he was told is not told again.
    let before = it.provider.requests();
    it.world.sync().await.unwrap();
    it.settle().await;
    assert_eq!(it.provider.requests(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_makes_no_second_account() {
    let it = Provided::start(12).await;
    it.world.sync().await.unwrap();
    it.provider.meets([ScimMeets::LostAnswer; 60]);
    it.tell().await;
    it.provider.meets([]);
    it.pass(HOUR_MS);
    it.settle().await;
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_may_still_come_is_waited_for_under_whatever_name_and_no_second_one_is_made()
 {
    for meets in [ScimMeets::Late, ScimMeets::LostAnswer] {
        let it = Provided::start(12).await;
        it.world.sync().await.unwrap();
        it.settle().await;
        let id = it.world.tenant.directory().add_people(1)[0];
        // Nobody has an account of his: the third request creates it.
        let nothing = ScimMeets::Nothing;
        it.provider.meets([nothing, nothing, meets]);
        it.world.sync().await.unwrap();
        it.tell().await;
        it.world
            .tenant
            .directory()
            .rename(id, "another@contoso.com", "Another")
            .unwrap();
        it.world.sync().await.unwrap();
        it.tell().await;
        if meets == ScimMeets::Late {
            assert_eq!(it.account(id).await, None);
            assert_eq!(it.provider.late().await.unwrap(), 1);
        }
        it.pass(HOUR_MS);
        it.settle().await;
        it.equals().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_a_dead_sender_asked_for_is_waited_for_as_well() {
    let it = Provided::start(12).await;
    it.world.sync().await.unwrap();
    it.settle().await;
    let id = it.world.tenant.directory().add_people(1)[0];
    it.provider
        .meets([ScimMeets::Nothing, ScimMeets::Nothing, ScimMeets::Hangs]);
    // Whoever tells first, in the run or after it, hangs and dies.
    let sync = async {
        it.world.sync().await.unwrap();
        it.tell().await;
    };
    tokio::select! {
        () = sync => panic!("nothing hung"),
        () = it.provider.hangs() => {}
    }
    it.rename(id, "another@contoso.com", "Another");
    it.pass(SCIM_LEASE_MS);
    it.world.sync().await.unwrap();
    it.tell().await;
    assert_eq!(it.account(id).await, None);
    assert_eq!(it.provider.late().await.unwrap(), 1);
    it.pass(HOUR_MS);
    it.settle().await;
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_provider_is_told_of_those_too_who_are_off() {
    let it = Provided::start(12).await;
    it.world.sync().await.unwrap();
    let id = it.enabled(1)[0];
    it.set_enabled(id, false);
    it.world.sync().await.unwrap();
    // His account there is from the time before.
    let schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"];
    let other = Provided::start(0).await.provider;
    let old = json!({ "schemas": schemas, "userName": "old@contoso.com",
        "externalId": id.to_string(), "active": true });
    other.create(old).await.unwrap();
    it.world.put_settings(&other.settings()).await.unwrap();
    let it = Provided {
        provider: other,
        ..it
    };
    it.want().await;
    it.settle().await;
    assert_eq!(it.account(id).await.unwrap()["active"], false);
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_off_does_not_take_the_account_of_who_has_his_login_name_now() {
    let it = Provided::start(12).await;
    let [leaver, heir] = it.enabled(2)[..] else {
        panic!("nobody is on");
    };
    let name = {
        let mut directory = it.world.tenant.directory();
        let name = directory.get(leaver).unwrap().user_principal_name.clone();
        directory.set_account_enabled(leaver, Some(false)).unwrap();
        name.unwrap()
    };
    let schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"];
    let by_hand = json!({ "schemas": schemas, "userName": name, "active": true });
    it.provider.create(by_hand).await.unwrap();
    it.world.sync().await.unwrap();
    it.settle().await;
    let accounts = it.provider.accounts().await.unwrap();
    let his = accounts.iter().find(|it| it["userName"] == name.as_str());
    assert_eq!(his.unwrap()["active"], true);
    assert_eq!(it.account(leaver).await, None);
    assert_eq!(it.account(heir).await.unwrap()["active"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_account_that_always_fails_holds_up_nobody() {
    let it = Provided::start(60).await;
    it.provider.fails_for(it.enabled(1)[0].to_string());
    it.world.sync().await.unwrap();
    it.tell().await;
    let accounts = it.provider.accounts().await.unwrap();
    let on = it.world.active().await.unwrap();
    assert_eq!(accounts.len(), on - 1);
    let told = it.world.store.scim(&it.tenant).await.unwrap();
    assert_eq!((told.failed_in_a_row, told.left), (0, 1));
    // He is told of again before long.
    let head = it.world.store.head(&it.tenant).await.unwrap();
    assert!(head.scim_due_at_ms.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_late_request_undoes_is_told_once_more_though_he_changed_in_between() {
    let it = Provided::start(12).await;
    it.world.sync().await.unwrap();
    it.settle().await;
    let id = it.enabled(1)[0];
    // The first of three attempts is on its way, the second is taken.
    it.provider.meets([ScimMeets::Late]);
    it.rename(id, "late@contoso.com", "Late");
    it.world.sync().await.unwrap();
    it.tell().await;
    it.set_enabled(id, false);
    it.world.sync().await.unwrap();
    it.tell().await;
    assert_eq!(it.account(id).await.unwrap()["active"], false);
    assert_eq!(it.provider.late().await.unwrap(), 1);
    assert_eq!(it.account(id).await.unwrap()["active"], true);
    it.settle().await;
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweeper_tells_what_nobody_rang_for() {
    let it = Provided::start(12).await;
    it.world.sync().await.unwrap();
    it.settle().await;
    let id = it.enabled(1)[0];
    let (user, decision) = (object_id(id).unwrap(), Decision::Deactivate);
    let store = &it.world.store;
    store
        .decide(&it.tenant, &user, decision, "ada")
        .await
        .unwrap();
    it.want().await;
    let triggers = it.world.drive().await.unwrap();
    for _ in 0..6_000 {
        if it.account(id).await.unwrap()["active"] == false {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    triggers.stop().await;
    assert_eq!(it.account(id).await.unwrap()["active"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_made_by_hand_is_taken_over_and_anothers_is_left_alone() {
    let it = Provided::start(12).await;
    let ids = it.enabled(2);
    let names: Vec<_> = {
        let directory = it.world.tenant.directory();
        let name = |id: &Uuid| directory.get(*id)?.user_principal_name.clone();
        ids.iter().filter_map(name).collect()
    };
    let schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"];
    let by_hand = json!({ "schemas": schemas, "userName": names[0], "active": false });
    let by_hand = it.provider.create(by_hand).await.unwrap();
    let anothers =
        json!({ "schemas": schemas, "userName": names[1], "externalId": "hr-7", "active": true });
    it.provider.create(anothers).await.unwrap();
    it.world.sync().await.unwrap();
    it.tell().await;
    assert_eq!(it.account(ids[0]).await.unwrap()["id"], by_hand["id"]);
    assert_eq!(it.account(ids[0]).await.unwrap()["active"], true);
    assert_eq!(it.account(ids[1]).await, None);
    let told = it.world.store.scim(&it.tenant).await.unwrap();
    assert_eq!((told.left, told.failed_in_a_row), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_down_for_an_hour_loses_nothing_and_doubles_nothing() {
    let it = Provided::start(40).await;
    it.world.sync().await.unwrap();
    it.settle().await;
    let ids = it.enabled(2);
    it.provider.is_down(true);
    it.set_enabled(ids[0], false);
    it.world.tenant.directory().add_people(5);
    it.world.sync().await.unwrap();
    it.tell().await;
    let failed = it.world.store.scim(&it.tenant).await.unwrap();
    assert!(failed.failed_in_a_row > 0);
    // It is left in peace until it is time.
    let before = it.provider.requests();
    it.tell().await;
    assert_eq!(it.provider.requests(), before);
    it.set_enabled(ids[1], false);
    it.world.sync().await.unwrap();
    it.pass(HOUR_MS);
    it.tell().await;
    it.provider.is_down(false);
    it.pass(HOUR_MS);
    it.settle().await;
    it.equals().await;
    let told = it.world.store.scim(&it.tenant).await.unwrap();
    assert_eq!((told.failed_in_a_row, told.left), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_comes_late_has_not_the_last_word() {
    let it = Provided::start(12).await;
    it.world.sync().await.unwrap();
    it.settle().await;
    let id = it.enabled(1)[0];
    // That he is on, under another name, is on its way until he is off.
    it.provider.meets([ScimMeets::Late; 3]);
    it.rename(id, "late@contoso.com", "Late");
    it.world.sync().await.unwrap();
    it.tell().await;
    it.set_enabled(id, false);
    it.world.sync().await.unwrap();
    it.tell().await;
    assert_eq!(it.account(id).await.unwrap()["active"], false);
    assert_eq!(it.provider.late().await.unwrap(), 3);
    assert_eq!(it.account(id).await.unwrap()["active"], true);
    it.pass(HOUR_MS);
    it.settle().await;
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_decides_is_told() {
    let it = Provided::start(12).await;
    it.world.sync().await.unwrap();
    it.settle().await;
    let id = it.enabled(1)[0];
    let (user, decision) = (object_id(id).unwrap(), Decision::Deactivate);
    it.world
        .store
        .decide(&it.tenant, &user, decision, "ada")
        .await
        .unwrap();
    it.want().await;
    it.settle().await;
    assert_eq!(it.account(id).await.unwrap()["active"], false);
    it.equals().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_random_histories_with_faults_on_both_sides_the_accounts_are_the_directory() {
    let histories = std::env::var("ROLLCALL_SCIM_HISTORIES").ok();
    let histories = histories.map_or(HISTORIES, |it| it.parse().unwrap());
    for seed in 1..=histories {
        let mut rng = Rng::with_seed(seed);
        let it = Provided::start(12).await;
        for _ in 0..rng.u32(1..4) {
            churn(&it, &mut rng).await;
            let faults = rng.usize(0..12);
            it.provider
                .meets((0..faults).map(|_| fault(&mut rng)).collect::<Vec<_>>());
            it.world.sync().await.unwrap();
            for _ in 0..rng.u32(0..3) {
                for _ in 0..rng.u32(0..3) {
                    tell_or_die(&it, &mut rng).await;
                }
                it.provider.late().await.unwrap();
                it.pass(rng.u64(0..HOUR_MS));
            }
        }
        it.provider.meets([]);
        it.world.sync().await.unwrap();
        it.tell().await;
        it.provider.late().await.unwrap();
        it.pass(HOUR_MS);
        it.settle().await;
        let differs = it.differs().await;
        assert_eq!(differs, None, "history {seed}");
    }
}

fn fault(rng: &mut Rng) -> ScimMeets {
    match rng.u32(0..6) {
        0 => ScimMeets::Refused,
        1 => ScimMeets::LostAnswer,
        2 => ScimMeets::Late,
        3 if rng.u32(0..4) == 0 => ScimMeets::Throttled,
        _ => ScimMeets::Nothing,
    }
}

/// The finalizer is rung, and may die at any moment.
async fn tell_or_die(it: &Provided, rng: &mut Rng) {
    if rng.bool() {
        return it.tell().await;
    }
    let dies = tokio::time::sleep(Duration::from_millis(rng.u64(0..80)));
    tokio::select! {
        () = it.tell() => {}
        () = dies => {}
    }
}

async fn churn(it: &Provided, rng: &mut Rng) {
    let users: Vec<_> = {
        let directory = it.world.tenant.directory();
        directory.users().map(|user| user.id).collect()
    };
    for _ in 0..rng.u32(0..6) {
        let id = users[rng.usize(0..users.len())];
        let name = format!("n{}@contoso.com", rng.u32(0..1_000_000));
        match rng.u32(0..6) {
            0 => drop(
                it.world
                    .tenant
                    .directory()
                    .set_account_enabled(id, Some(false)),
            ),
            1 => drop(
                it.world
                    .tenant
                    .directory()
                    .set_account_enabled(id, Some(true)),
            ),
            2 => drop(it.world.tenant.directory().rename(id, &name, &name)),
            3 => drop(it.world.tenant.directory().add_people(1)),
            4 => drop(it.world.tenant.directory().soft_delete(id)),
            _ => {
                let user = object_id(id).unwrap();
                let decision = [Decision::Activate, Decision::Deactivate, Decision::Release];
                let decision = decision[rng.usize(0..3)];
                let decided = it
                    .world
                    .store
                    .decide(&it.tenant, &user, decision, "ada")
                    .await;
                decided.unwrap();
                it.want().await;
            }
        }
    }
}
