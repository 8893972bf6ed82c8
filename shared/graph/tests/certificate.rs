//! The certificate as a credential: which PEM is taken, and what the token service says to it.

#![allow(missing_docs, reason = "the names of the tests say it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use rcgen::{CertifiedKey, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm};
use rollcall_ambient::{Ambient, Clock};
use rollcall_graph::{Certificate, Credential, GraphClient, GraphError, PageAt, Secret};

#[path = "support/tenant.rs"]
mod tenant;
use tenant::World;

/// A certificate with a key of its own.
fn certified(algorithm: &'static SignatureAlgorithm) -> CertifiedKey<KeyPair> {
    let signing_key = KeyPair::generate_for(algorithm).unwrap();
    let params = rcgen::CertificateParams::new(vec!["rollcall.example".into()]).unwrap();
    let cert = params.self_signed(&signing_key).unwrap();
    CertifiedKey { cert, signing_key }
}

fn pem(certificate: &CertifiedKey<KeyPair>, key: &CertifiedKey<KeyPair>) -> Secret {
    let (certificate, key) = (certificate.cert.pem(), key.signing_key.serialize_pem());
    Secret::new(format!("{key}{certificate}"))
}

impl World {
    fn client(&self, pem: &Secret, ambient: Ambient) -> GraphClient {
        self.client_with(
            Credential::Certificate(Certificate::from_pem(pem).unwrap()),
            20_000,
            ambient,
        )
    }
}

async fn rejected(client: &GraphClient) -> String {
    match client.users_page(PageAt::First).await {
        Err(error @ GraphError::CredentialRejected { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_that_the_application_has_opens_the_directory() {
    let world = World::start().await;
    let certificate = certified(&PKCS_RSA_SHA256);
    assert!(world.tenant.upload_certificate(certificate.cert.der()));
    let client = world.client(&pem(&certificate, &certificate), Ambient::system());
    let page = client.users_page(PageAt::First).await.unwrap();
    assert_eq!(page.users.len(), 3);
}

#[tokio::test]
async fn a_certificate_that_the_application_has_not_is_told_with_its_remedy() {
    let world = World::start().await;
    let certificate = certified(&PKCS_RSA_SHA256);
    assert!(
        world
            .tenant
            .upload_certificate(certified(&PKCS_RSA_SHA256).cert.der())
    );
    let client = world.client(&pem(&certificate, &certificate), Ambient::system());
    let told = rejected(&client).await;
    assert!(
        told.contains("AADSTS700027") && told.contains("upload"),
        "{told}"
    );
}

/// An hour behind: the service takes five minutes.
#[derive(Debug)]
struct Behind;

impl Clock for Behind {
    fn now_ms(&self) -> u64 {
        Ambient::system().now_ms() - 3_600_000
    }
}

#[tokio::test]
async fn an_assertion_outside_its_time_points_at_the_clock() {
    let world = World::start().await;
    let certificate = certified(&PKCS_RSA_SHA256);
    assert!(world.tenant.upload_certificate(certificate.cert.der()));
    let ambient = Ambient::system().with_clock(Behind);
    let told = rejected(&world.client(&pem(&certificate, &certificate), ambient)).await;
    assert!(
        told.contains("AADSTS700024") && told.contains("clock"),
        "{told}"
    );
}

#[test]
fn a_pem_that_cannot_sign_is_told_without_its_text() {
    let (one, other) = (certified(&PKCS_RSA_SHA256), certified(&PKCS_RSA_SHA256));
    let elliptic = certified(&PKCS_ECDSA_P256_SHA256);
    let cases = [
        (pem(&one, &other), "belongs to another certificate"),
        (pem(&elliptic, &elliptic), "not an RSA key"),
        (Secret::new(one.cert.pem()), "no unencrypted private key"),
        (
            Secret::new(one.signing_key.serialize_pem()),
            "has no certificate",
        ),
        (Secret::new("hunter2"), "has no certificate"),
    ];
    for (pem, problem) in cases {
        let error = Certificate::from_pem(&pem).unwrap_err().to_string();
        assert!(
            error.contains("credential") && error.contains(problem),
            "{error}"
        );
        assert!(
            !error.contains("hunter2") && !error.contains("BEGIN RSA"),
            "{error}"
        );
    }
}

#[test]
fn a_certificate_is_not_printed() {
    let certificate = certified(&PKCS_RSA_SHA256);
    let pem = pem(&certificate, &certificate);
    let printed = format!("{:?}", Certificate::from_pem(&pem).unwrap());
    assert!(printed.len() < 80, "{printed}");
}
