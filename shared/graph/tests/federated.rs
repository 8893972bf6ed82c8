//! Another issuer's word as a credential: when it is taken, and what is told when it is not.

#![allow(missing_docs, reason = "the names of the tests say it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::PKCS_RSA_SHA256;
use rollcall_ambient::Ambient;
use rollcall_graph::{
    Credential, GraphClient, GraphError, Identity, NoProof, PageAt, Proving, Secret,
};
use rollcall_graph_emulator::FederatedCredential;
use serde_json::json;

#[path = "support/tenant.rs"]
mod tenant;
use tenant::World;

const ISSUER: &str = "https://0b1c.tokens.sts.global.api.aws";
const SUBJECT: &str = "arn:aws:iam::123456789012:role/rollcall-enumerator";

/// An issuer as AWS STS is one, which fails so many times before it answers.
#[derive(Debug)]
struct Issuer {
    key: KeyPair,
    subject: &'static str,
    asked: AtomicU32,
    fails: u32,
    disabled: bool,
}

impl Issuer {
    /// With its public key, as an application's credential has it.
    fn new(subject: &'static str) -> (Self, Vec<u8>) {
        let key = rcgen::KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let issuer = Self {
            key: KeyPair::from_pkcs8(&key.serialize_der()).unwrap(),
            subject,
            asked: AtomicU32::new(0),
            fails: 0,
            disabled: false,
        };
        (issuer, rcgen::PublicKeyData::subject_public_key_info(&key))
    }

    fn sign(&self, audience: &str) -> Secret {
        let now_s = Ambient::system().now_ms() / 1_000;
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "RSA_0" });
        let claims = json!({
            "iss": ISSUER, "sub": self.subject, "aud": audience,
            "iat": now_s, "exp": now_s + 300, "jti": "1",
        });
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &random,
                signed.as_bytes(),
                &mut signature,
            )
            .unwrap();
        Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Identity for Issuer {
    fn token<'a>(&'a self, audience: &'a str) -> Proving<'a> {
        Box::pin(async move {
            if self.disabled {
                return Err(NoProof {
                    problem: "federation is disabled".into(),
                    remedy: Some("enable outbound identity federation"),
                });
            }
            if self.asked.fetch_add(1, Ordering::SeqCst) < self.fails {
                return Err(NoProof {
                    problem: "throttled".into(),
                    remedy: None,
                });
            }
            Ok(self.sign(audience))
        })
    }
}

impl World {
    fn trusts(&self, public_key: Vec<u8>) {
        self.tenant.trust(FederatedCredential {
            issuer: ISSUER.into(),
            subject: SUBJECT.into(),
            audience: "api://AzureADTokenExchange".into(),
            public_key,
        });
    }

    fn client(&self, issuer: &Arc<Issuer>) -> GraphClient {
        let identity: Arc<dyn Identity> = Arc::clone(issuer) as _;
        self.client_with(Credential::Federated(identity), 2_000, Ambient::system())
    }
}

async fn failed(client: &GraphClient) -> GraphError {
    client.users_page(PageAt::First).await.unwrap_err()
}

#[tokio::test]
async fn an_issuer_whom_the_application_trusts_opens_the_directory_without_a_secret() {
    let world = World::start().await;
    let (issuer, public_key) = Issuer::new(SUBJECT);
    world.trusts(public_key);
    let client = world.client(&Arc::new(Issuer { fails: 2, ..issuer }));
    let page = client.users_page(PageAt::First).await.unwrap();
    assert_eq!(page.users.len(), 3);
}

#[tokio::test]
async fn a_word_about_somebody_else_or_by_somebody_else_is_told_with_its_remedy() {
    let world = World::start().await;
    let (issuer, public_key) = Issuer::new("arn:aws:iam::123456789012:role/another");
    world.trusts(public_key);
    let told = failed(&world.client(&Arc::new(issuer))).await.to_string();
    assert!(
        told.contains("AADSTS700213") && told.contains("subject"),
        "{told}"
    );
    let (stranger, _) = Issuer::new(SUBJECT);
    let told = failed(&world.client(&Arc::new(stranger))).await.to_string();
    assert!(told.contains("AADSTS50013"), "{told}");
}

#[tokio::test]
async fn an_issuer_that_is_switched_off_is_told_and_not_asked_again() {
    let world = World::start().await;
    let (issuer, _) = Issuer::new(SUBJECT);
    let issuer = Arc::new(Issuer {
        disabled: true,
        ..issuer
    });
    let error = failed(&world.client(&issuer)).await;
    assert_eq!(error.run_reason().name(), "credential_rejected");
    let told = error.to_string();
    assert!(
        told.contains("disabled") && told.contains("enable outbound"),
        "{told}"
    );
}

#[tokio::test]
async fn an_issuer_that_fails_for_long_is_an_outage_and_no_rejection() {
    let world = World::start().await;
    let (issuer, _) = Issuer::new(SUBJECT);
    let issuer = Arc::new(Issuer {
        fails: u32::MAX,
        ..issuer
    });
    let error = failed(&world.client(&issuer)).await;
    assert_eq!(error.run_reason().name(), "graph_unavailable", "{error}");
    let asked = issuer.asked.load(Ordering::SeqCst);
    assert!((2..=300).contains(&asked), "{asked} times");
}

#[tokio::test]
async fn a_credential_that_was_made_a_moment_ago_is_waited_for() {
    let world = World::start().await;
    let (issuer, public_key) = Issuer::new(SUBJECT);
    let client = world.client(&Arc::new(issuer));
    let later = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        world.trusts(public_key);
    };
    let (page, ()) = tokio::join!(client.users_page(PageAt::First), later);
    assert_eq!(page.unwrap().users.len(), 3);
}
