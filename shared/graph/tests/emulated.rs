//! Whole scans and confirmations against the emulator of Microsoft Graph.

#![allow(missing_docs, reason = "the names of the tests say it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::BTreeMap;

use rollcall_ambient::Ambient;
use rollcall_core::ids::ObjectId;
use rollcall_core::user::{AttributeMap, GraphUser};
use rollcall_graph::{Credential, Existence, GraphClient, GraphConfig, GraphError, PageAt, Secret};
use rollcall_graph_emulator::{
    Emulator, Endpoint, ErrorBody, Fault, FaultRule, Matcher, Paging, Population, Tenant,
    TenantSpec, User,
};

/// More than any test has.
const PAGES_MAX: usize = 100;

struct World {
    emulator: Emulator,
    tenant: Tenant,
    client: GraphClient,
}

impl World {
    async fn with_users(users: usize) -> Self {
        let ambient = Ambient::system();
        let emulator = Emulator::start(ambient.clone()).await.unwrap();
        let population = Population::new("contoso.com", 7, users);
        let tenant = emulator.graph().add_tenant(TenantSpec::new(population));
        let config = GraphConfig {
            graph_root: emulator.origin().parse().unwrap(),
            login_root: emulator.origin().parse().unwrap(),
            directory_id: tenant.directory_id().to_string(),
            client_id: tenant.client_id().to_string(),
            credential: Credential::Secret(Secret::new(tenant.client_secret())),
            attributes: AttributeMap::from([("department".into(), "department".into())]),
            retry_ms_max: 20_000,
            request_ms_max: 5_000,
            requests_max: 100_000,
            run: None,
        };
        let client = GraphClient::new(config, ambient).unwrap();
        Self {
            emulator,
            tenant,
            client,
        }
    }

    fn fault(&self, endpoint: Endpoint, fault: Fault) {
        let rule = FaultRule::once(Matcher::endpoint(endpoint), fault);
        self.emulator.graph().add_fault(rule);
    }

    /// One fault after the other, each time that the page is asked for.
    fn faults_on_page(&self, page: u32, faults: impl IntoIterator<Item = Fault>) {
        for (nth, fault) in (1..).zip(faults) {
            let when = Matcher::endpoint(Endpoint::Users).page(page).nth(nth);
            let rule = FaultRule::once(when, fault);
            self.emulator.graph().add_fault(rule);
        }
    }

    async fn scan(&self) -> Result<BTreeMap<ObjectId, GraphUser>, GraphError> {
        let mut users = BTreeMap::new();
        let mut page = self.client.users_page(PageAt::First).await?;
        for _ in 0..PAGES_MAX {
            users.extend(page.users.into_iter().map(|user| (user.id.clone(), user)));
            let Some(next) = page.next else {
                return Ok(users);
            };
            page = self.client.users_page(PageAt::Link(&next)).await?;
        }
        panic!("the scan has no end");
    }

    fn truth(&self) -> BTreeMap<ObjectId, GraphUser> {
        let directory = self.tenant.directory();
        directory.users().map(as_seen).collect()
    }
}

fn object_id(user: &User) -> ObjectId {
    ObjectId::new(&user.id.to_string()).unwrap()
}

fn as_seen(user: &User) -> (ObjectId, GraphUser) {
    let id = object_id(user);
    let department = user.department.clone();
    let seen = GraphUser {
        id: id.clone(),
        user_principal_name: user.user_principal_name.clone(),
        mail: user.mail.clone(),
        display_name: user.display_name.clone(),
        account_enabled: user.account_enabled,
        user_type: user.user_type.clone(),
        attributes: department
            .map(|value| ("department".to_owned(), value))
            .into_iter()
            .collect(),
        in_groups: None,
    };
    (id, seen)
}

#[tokio::test]
async fn a_scan_gives_every_user_as_the_directory_has_it() {
    let world = World::with_users(2_500).await;
    assert_eq!(world.scan().await.unwrap(), world.truth());
    assert_eq!(world.client.usage().requests, 3);
    assert_eq!(world.client.count_users().await, Ok(Some(2_500)));
}

#[tokio::test]
async fn a_scan_over_awkward_pages_is_the_same() {
    let world = World::with_users(1_000).await;
    world.tenant.set_paging(Paging {
        page_size_max: 70,
        empty_every: Some(3),
        short_every: Some(4),
        repeat_every: Some(5),
        ..Paging::default()
    });
    assert_eq!(world.scan().await.unwrap(), world.truth());
}

#[tokio::test]
async fn a_scan_through_passing_faults_is_the_same() {
    let world = World::with_users(2_500).await;
    world.fault(Endpoint::Token, Fault::login_throttled(1));
    world.fault(Endpoint::Token, Fault::login_transient());
    let throttled = Fault::throttled(Some(1));
    world.faults_on_page(1, [throttled, Fault::Truncated, Fault::Closed]);
    let unavailable = Fault::status_with(503, ErrorBody::EmptyCode);
    let expired = Fault::ExpiredBearer;
    world.faults_on_page(
        2,
        [
            expired,
            Fault::Spliced,
            Fault::Reset,
            unavailable,
            Fault::NullValue,
        ],
    );
    let gateway = Fault::status_with(502, ErrorBody::Html);
    let throttled = Fault::throttled(None);
    let challenge = Fault::ClaimsChallenge;
    world.faults_on_page(
        3,
        [
            Fault::Broken,
            Fault::ErrorForValue,
            gateway,
            throttled,
            challenge,
        ],
    );
    assert_eq!(world.scan().await.unwrap(), world.truth());
    let usage = world.client.usage();
    assert_eq!(
        (usage.requests, usage.retried, usage.throttled),
        (16, 13, 2)
    );
}

#[tokio::test]
async fn leavers_are_told_apart() {
    let world = World::with_users(60).await;
    let everybody: Vec<ObjectId> = world.truth().into_keys().collect();
    {
        let mut directory = world.tenant.directory();
        for (nth, id) in everybody.iter().enumerate() {
            let id = id.as_str().parse().unwrap();
            match nth {
                0..5 => directory.soft_delete(id).unwrap(),
                5..10 => directory.purge(id).unwrap(),
                10 => directory.set_account_enabled(id, Some(false)).unwrap(),
                11 => directory.set_account_enabled(id, None).unwrap(),
                _ => {}
            }
        }
    }
    world.fault(Endpoint::GetByIds, Fault::throttled(None));
    world.fault(Endpoint::DeletedItems, Fault::Truncated);
    world.fault(Endpoint::Batch, Fault::status(504));
    world.fault(Endpoint::BatchItem, Fault::throttled(Some(1)));
    world.fault(Endpoint::BatchItem, Fault::status(500));

    let alive = world.client.get_by_ids(&everybody).await.unwrap();
    let alive: BTreeMap<_, _> = alive
        .into_iter()
        .map(|(id, it)| (id, it.what.account_enabled))
        .collect();
    let expected: BTreeMap<_, _> = world
        .truth()
        .into_iter()
        .map(|(id, user)| (id, user.account_enabled))
        .collect();
    assert_eq!(alive, expected);
    assert_eq!(alive.len(), 50);

    let among = everybody.iter().cloned().collect();
    let deleted = world.client.deleted_users(&among).await.unwrap();
    assert!(deleted.into_keys().eq(everybody[..5].iter().cloned()));

    let known = world.client.users_by_id(&everybody).await.unwrap();
    for (nth, id) in everybody.iter().enumerate() {
        let expected = match alive.get(id) {
            None => Existence::NotFound,
            Some(&account_enabled) => Existence::Found { account_enabled },
        };
        assert_eq!(known[id].what, expected, "{nth}");
    }
}

#[tokio::test]
async fn the_token_service_refuses_a_wrong_secret() {
    let world = World::with_users(1).await;
    world.fault(Endpoint::Token, Fault::login_refused());
    let error = world.scan().await.unwrap_err();
    assert_eq!(error.run_reason().name(), "credential_rejected");
    assert!(error.to_string().contains("AADSTS7000222"), "{error}");
}

#[tokio::test]
async fn a_page_token_that_died_is_told() {
    let world = World::with_users(1_500).await;
    world.tenant.set_paging(Paging {
        token_uses: Some(0),
        ..Paging::default()
    });
    let error = world.scan().await.unwrap_err();
    assert!(
        matches!(error, GraphError::PageTokenExpired { .. }),
        "{error}"
    );
}
