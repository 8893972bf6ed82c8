//! A secret that a store keeps: read when it is needed, and once more when it is rejected.

#![allow(missing_docs, reason = "the names of the tests say it")]
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rollcall_ambient::Ambient;
use rollcall_graph::{
    Credential, GraphClient, GraphError, Keeper, Kind, NoProof, PageAt, Proving, Secret,
};
use rollcall_graph_emulator::Endpoint;

#[path = "support/tenant.rs"]
mod tenant;
use tenant::World;

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

impl World {
    fn client(&self, store: &Arc<Store>) -> GraphClient {
        let keeper: Arc<dyn Keeper> = Arc::clone(store) as _;
        self.client_with(
            Credential::Kept(Kind::Secret, keeper),
            2_000,
            Ambient::system(),
        )
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

/// Whoever stored it wrongly stores it rightly while the function that has read it is warm.
#[tokio::test]
async fn a_certificate_that_cannot_be_read_may_have_been_replaced_and_is_read_again() {
    let world = World::start().await;
    let store = store("no certificate", Ok("none either"));
    let keeper: Arc<dyn Keeper> = Arc::clone(&store) as _;
    let credential = Credential::Kept(Kind::Certificate, keeper);
    let client = world.client_with(credential, 2_000, Ambient::system());
    let error = client.users_page(PageAt::First).await;
    assert!(
        matches!(error, Err(GraphError::BadConfig { .. })),
        "{error:?}"
    );
    assert_eq!(store.reads.load(Ordering::SeqCst), 2);
}
