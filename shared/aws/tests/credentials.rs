//! The credentials that AWS keeps or vouches for, up to Graph: the SDK asks a server that answers as
//! Secrets Manager and STS do, and the emulated token service judges what comes of it.

#![allow(missing_docs, reason = "the names of the tests say it")]
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use aws_sdk_sts::config::Credentials;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{PKCS_RSA_SHA256, PublicKeyData as _};
use rollcall_ambient::Ambient;
use rollcall_aws::Aws;
use rollcall_core::settings::TenantSettings;
use rollcall_graph::{GraphError, PageAt};
use rollcall_graph_emulator::{Emulator, FederatedCredential, Population, Tenant, TenantSpec};
use rollcall_sync::{Secrets, graph_client};
use serde_json::{Value, json};

const ISSUER: &str = "https://0b1c.tokens.sts.global.api.aws";
const SUBJECT: &str = "arn:aws:iam::123456789012:role/rollcall-enumerator";
const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rollcall/contoso-AbCdEf";

/// What AWS has.
#[derive(Debug, Default)]
struct Account {
    secrets: BTreeMap<String, String>,
    /// The key by which STS signs, if it vouches for anybody.
    key: Option<KeyPair>,
    /// How often it is busy before it answers.
    busy: u32,
    asked: Vec<String>,
}

type Shared = Arc<Mutex<Account>>;

/// Answers a request as the service that it is meant for.
async fn answer(
    State(account): State<Shared>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, String) {
    let mut account = account.lock().unwrap();
    account.asked.push(body.clone());
    if account.busy > 0 {
        account.busy -= 1;
        let busy = json!({ "__type": "ThrottlingException" });
        return (StatusCode::BAD_REQUEST, busy.to_string());
    }
    match headers.get("x-amz-target") {
        Some(target) => {
            assert_eq!(target, "secretsmanager.GetSecretValue");
            let request: Value = serde_json::from_str(&body).unwrap();
            let id = request["SecretId"].as_str().unwrap();
            match account.secrets.get(id) {
                Some(secret) => {
                    let told = json!({ "ARN": id, "Name": "contoso", "SecretString": secret });
                    (StatusCode::OK, told.to_string())
                }
                None => {
                    let told = json!({ "__type": "ResourceNotFoundException" });
                    (StatusCode::BAD_REQUEST, told.to_string())
                }
            }
        }
        None => vouch(account.key.as_ref(), &body),
    }
}

fn vouch(key: Option<&KeyPair>, body: &str) -> (StatusCode, String) {
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    assert_eq!(form["Action"], "GetWebIdentityToken");
    let Some(key) = key else {
        let code = "OutboundWebIdentityFederationDisabledException";
        let told = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message>\
             </Error><RequestId>1</RequestId></ErrorResponse>"
        );
        return (StatusCode::BAD_REQUEST, told);
    };
    let now_s = Ambient::system().now_ms() / 1_000;
    let life_s: u64 = form["DurationSeconds"].parse().unwrap();
    let header = json!({ "alg": form["SigningAlgorithm"], "typ": "JWT", "kid": "RSA_0" });
    let claims = json!({
        "iss": ISSUER, "sub": SUBJECT, "aud": form["Audience.member.1"],
        "iat": now_s, "exp": now_s + life_s, "jti": "1",
    });
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        signed.as_bytes(),
        &mut signature,
    )
    .unwrap();
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    let told = format!(
        "<GetWebIdentityTokenResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <GetWebIdentityTokenResult><WebIdentityToken>{token}</WebIdentityToken>\
         <Expiration>2030-01-01T00:00:00Z</Expiration></GetWebIdentityTokenResult>\
         </GetWebIdentityTokenResponse>"
    );
    (StatusCode::OK, told)
}

struct World {
    emulator: Emulator,
    tenant: Tenant,
    account: Shared,
    secrets: Secrets,
}

impl World {
    async fn start() -> Self {
        let emulator = Emulator::start(Ambient::system()).await.unwrap();
        let population = Population::new("contoso.com", 7, 3);
        let tenant = emulator.graph().add_tenant(TenantSpec::new(population));
        let account = Shared::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&account));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "test"))
            .endpoint_url(format!("http://{address}"))
            // The client of Graph tries again itself.
            .retry_config(RetryConfig::disabled())
            .load()
            .await;
        let secrets = Secrets::Process(Arc::new(Aws::with(config)));
        Self {
            emulator,
            tenant,
            account,
            secrets,
        }
    }

    /// Asks for the first page of users with this credential.
    async fn users(&self, credential: Value) -> Result<usize, GraphError> {
        let settings: TenantSettings = serde_json::from_value(json!({
            "id": "contoso",
            "directory_id": self.tenant.directory_id().to_string(),
            "client_id": self.tenant.client_id().to_string(),
            "graph_url": self.emulator.origin(),
            "login_url": self.emulator.origin(),
            "credential": credential,
            "limits": { "graph_retry_seconds_max": 2 },
        }))
        .unwrap();
        let client = graph_client(&settings, &self.secrets, &Ambient::system())?;
        let page = client.users_page(PageAt::First).await?;
        Ok(page.users.len())
    }

    fn keeps(&self, secret: &str) {
        let mut account = self.account.lock().unwrap();
        account.secrets.insert(ARN.into(), secret.into());
    }

    fn asked(&self) -> usize {
        self.account.lock().unwrap().asked.len()
    }
}

fn in_secrets_manager(kind: &str) -> Value {
    json!({ "kind": kind, "secrets_manager": ARN })
}

fn told(result: Result<usize, GraphError>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.run_reason().name(), "credential_rejected", "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_secret_is_read_once_and_again_when_it_was_replaced() {
    let world = World::start().await;
    world.keeps(world.tenant.client_secret());
    for _ in 0..3 {
        assert_eq!(world.users(in_secrets_manager("secret")).await.unwrap(), 3);
    }
    assert_eq!(world.asked(), 1);

    let replaced = World::start().await;
    replaced.keeps("the old one");
    told(replaced.users(in_secrets_manager("secret")).await);
    replaced.keeps(replaced.tenant.client_secret());
    assert_eq!(
        replaced.users(in_secrets_manager("secret")).await.unwrap(),
        3
    );
}

#[tokio::test]
async fn a_certificate_in_secrets_manager_opens_the_directory() {
    let world = World::start().await;
    let key = rcgen::KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let params = rcgen::CertificateParams::new(vec!["rollcall.example".into()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    assert!(world.tenant.upload_certificate(certificate.der()));
    world.keeps(&format!("{}{}", key.serialize_pem(), certificate.pem()));
    assert_eq!(
        world
            .users(in_secrets_manager("certificate"))
            .await
            .unwrap(),
        3
    );
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_told_with_the_remedy() {
    let world = World::start().await;
    let told = told(world.users(in_secrets_manager("secret")).await);
    assert!(
        told.contains("ResourceNotFoundException") && told.contains("check secrets_manager"),
        "{told}"
    );
}

#[tokio::test]
async fn aws_that_is_busy_is_waited_for() {
    let world = World::start().await;
    world.keeps(world.tenant.client_secret());
    world.account.lock().unwrap().busy = 2;
    assert_eq!(world.users(in_secrets_manager("secret")).await.unwrap(), 3);
    assert_eq!(world.asked(), 3);
}

#[tokio::test]
async fn sts_vouches_for_the_process_and_there_is_no_secret() {
    let world = World::start().await;
    let key = rcgen::KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    world.account.lock().unwrap().key = Some(KeyPair::from_pkcs8(&key.serialize_der()).unwrap());
    world.tenant.trust(FederatedCredential {
        issuer: ISSUER.into(),
        subject: SUBJECT.into(),
        audience: "api://AzureADTokenExchange".into(),
        public_key: key.subject_public_key_info(),
    });
    let federated = json!({ "kind": "federated" });
    assert_eq!(world.users(federated).await.unwrap(), 3);
}

#[tokio::test]
async fn an_account_that_vouches_for_nobody_is_told_with_the_remedy() {
    let world = World::start().await;
    let told = told(world.users(json!({ "kind": "federated" })).await);
    assert!(
        told.contains("OutboundWebIdentityFederationDisabledException")
            && told.contains("enable-outbound-web-identity-federation"),
        "{told}"
    );
    assert_eq!(world.asked(), 1, "it was asked again");
}
