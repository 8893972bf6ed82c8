//! A secret that a store keeps: read when it is needed, and once more when it is rejected.

#![allow(missing_docs, reason = "the names of the tests say it")]
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rollcall_ambient::Ambient;
use rollcall_core::user::AttributeMap;
use rollcall_graph::{
    Credential, GraphClient, GraphConfig, GraphError, Keeper, Kind, NoProof, PageAt, Proving,
    Secret,
};
use rollcall_graph_emulator::{Emulator, Endpoint, Population, Tenant, TenantSpec};

/// A store in which the secret was replaced after it was read.
#[derive(Debug)]
struct Store {
    before: String,
    now: Result<String, NoProof>,
    reads: AtomicU32,
}

impl Keeper for Store {
    fn secret(&self, afresh: bool) -> Proving<'_> {
        Box::pin(async move {
            self.reads.fetch_add(1, Ordering::SeqCst);
            if afresh {
                self.now.clone().map(Secret::new)
            } else {
                Ok(Secret::new(self.before.clone()))
            }
        })
    }
}

struct World {
    emulator: Emulator,
    tenant: Tenant,
}

impl World {
    async fn start() -> Self {
        let emulator = Emulator::start(Ambient::system()).await.unwrap();
        let population = Population::new("contoso.com", 7, 3);
        let tenant = emulator.graph().add_tenant(TenantSpec::new(population));
        Self { emulator, tenant }
    }

    fn client(&self, store: &Arc<Store>) -> GraphClient {
        let root: url::Url = self.emulator.origin().parse().unwrap();
        let keeper: Arc<dyn Keeper> = Arc::clone(store) as _;
        let config = GraphConfig {
            graph_root: root.clone(),
            login_root: root,
            directory_id: self.tenant.directory_id().to_string(),
            client_id: self.tenant.client_id().to_string(),
            credential: Credential::Kept(Kind::Secret, keeper),
            attributes: AttributeMap::new(),
            retry_ms_max: 2_000,
            request_ms_max: 1_000,
        };
        GraphClient::new(config, Ambient::system()).unwrap()
    }

    fn tokens_asked_for(&self) -> usize {
        let log = self.emulator.graph().log();
        let asked = log.iter().filter(|it| it.endpoint == Endpoint::Token);
        asked.count()
    }
}

fn store(before: &str, now: Result<&str, NoProof>) -> Arc<Store> {
    Arc::new(Store {
        before: before.to_owned(),
        now: now.map(str::to_owned),
        reads: AtomicU32::new(0),
    })
}

#[tokio::test]
async fn a_secret_that_was_replaced_is_read_again_when_the_old_one_is_rejected() {
    let world = World::start().await;
    let store = store("the old one", Ok(world.tenant.client_secret()));
    let page = world
        .client(&store)
        .users_page(PageAt::First)
        .await
        .unwrap();
    assert_eq!(page.users.len(), 3);
    assert_eq!(store.reads.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_secret_that_is_wrong_everywhere_is_tried_twice_and_not_more() {
    let world = World::start().await;
    let store = store("the old one", Ok("another wrong one"));
    let error = world.client(&store).users_page(PageAt::First).await;
    assert!(matches!(
        error,
        Err(GraphError::CredentialRejected {
            aadsts: Some(7_000_215),
            ..
        })
    ));
    assert_eq!(store.reads.load(Ordering::SeqCst), 2);
    assert_eq!(world.tokens_asked_for(), 2);
}

#[tokio::test]
async fn a_secret_that_can_no_longer_be_read_is_told_with_the_remedy() {
    let world = World::start().await;
    let gone = NoProof {
        problem: "ResourceNotFoundException".into(),
        remedy: Some("store the secret again"),
    };
    let error = world
        .client(&store("the old one", Err(gone)))
        .users_page(PageAt::First)
        .await
        .unwrap_err();
    assert_eq!(error.run_reason().name(), "credential_rejected");
    let told = error.to_string();
    assert!(
        told.contains("secret, ResourceNotFoundException") && told.contains("store the secret"),
        "{told}"
    );
}
