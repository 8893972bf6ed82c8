//! Access tokens: one at a time, renewed before it expires, shared by all requests of a client.
//!
//! How the application proves itself is in [`Tokens::proof`] alone.

use std::sync::Arc;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request};
use rollcall_ambient::Ambient;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::{Url, form_urlencoded};

use crate::certificate::Certificate;
use crate::challenge::Claims;
use crate::config::{Credential, Endpoints, GraphConfig, Kind, Secret};
use crate::error::{FailedCall, GraphError, loggable_code};
use crate::exchange::{CLIENT_REQUEST_ID, Received, Transport, id_header};
use crate::identity::{NoProof, audience};
use crate::page::parsed;
use crate::retry::{Fault, Retry};

const OPERATION: &str = "token";

/// Reading a secret from where it is kept.
const SECRET: &str = "secret";

/// Asking another issuer to vouch for the application.
const IDENTITY: &str = "identity";

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// Says that the proof is an assertion.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long before its end a token is renewed, at most. Microsoft's own libraries take five minutes.
const RENEW_EARLY_MS_MAX: u64 = 300_000;

/// A token is renewed when this share of its life is left, if that is less.
const RENEW_EARLY_SHARE: u64 = 10;

/// How long a token that is still good is used on when it could not be renewed, before the next try.
const RENEW_AGAIN_MS: u64 = 30_000;

/// AADSTS numbers that pass.
/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
const PASSING_AADSTS: [u32; 4] = [90_012, 90_024, 90_033, 90_055];

/// The number that passes for a federated credential alone: for some minutes after it was made, the
/// service does not know it everywhere.
/// <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>
const UNKNOWN_YET_AADSTS: u32 = 70_021;

/// The `Authorization` header of a token.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    pub(crate) header: HeaderValue,
    pub(crate) serial: u64,
}

#[derive(Debug)]
struct Held {
    bearer: Bearer,
    renew_at_ms: u64,
    ends_at_ms: u64,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    serial: u64,
    /// What the next token has to be asked for with.
    claims: Option<Claims>,
}

#[derive(Debug)]
pub(crate) struct Tokens {
    transport: Arc<dyn Transport>,
    ambient: Ambient,
    address: Url,
    client_id: String,
    credential: Credential,
    scope: String,
    // Held while a token is asked for, so that there is one request for all who wait.
    state: Mutex<State>,
}

/// Why no token came.
#[derive(Debug)]
enum NoToken {
    Yet(Fault),
    Ever(GraphError),
}

impl NoToken {
    /// There was nothing to prove the application by.
    fn of(operation: &'static str, none: NoProof) -> Self {
        let mut call = FailedCall::of(operation);
        call.cause = Some(none.problem);
        match none.remedy {
            None => Self::Yet(Fault::passing(call, None)),
            Some(remedy) => Self::Ever(GraphError::CredentialRejected {
                call,
                aadsts: None,
                remedy,
            }),
        }
    }
}

/// What the application proves itself by.
#[derive(Debug)]
enum Proof {
    Secret(Secret),
    Assertion(Secret),
}

/// A token as the service gave it.
#[derive(Debug)]
struct Granted {
    header: HeaderValue,
    life_ms: u64,
}

impl Tokens {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        ambient: Ambient,
        config: &GraphConfig,
        endpoints: &Endpoints,
    ) -> Self {
        Self {
            transport,
            ambient,
            address: endpoints.token.clone(),
            client_id: config.client_id.clone(),
            credential: config.credential.clone(),
            scope: endpoints.scope.clone(),
            state: Mutex::default(),
        }
    }

    /// A token that is good for a while, asked for if need be.
    pub(crate) async fn bearer(&self, retry: &mut Retry<'_>) -> Result<Bearer, GraphError> {
        let mut state = self.state.lock().await;
        // `Retry` bounds the attempts.
        loop {
            let now_ms = self.ambient.now_ms();
            if let Some(held) = &state.held
                && now_ms < held.renew_at_ms
            {
                return Ok(held.bearer.clone());
            }
            let claims = state.claims.clone();
            let asked = match self.ask(retry, claims.as_ref(), false).await {
                // The secret, or a certificate that cannot be read, may have been replaced since it was read.
                Err(NoToken::Ever(
                    GraphError::CredentialRejected { .. } | GraphError::BadConfig { .. },
                )) if self.is_kept() => self.ask(retry, claims.as_ref(), true).await,
                asked => asked,
            };
            match (asked, &mut state.held) {
                (Ok(granted), _) => return Ok(state.hold(granted, now_ms)),
                (Err(NoToken::Ever(error)), _) => return Err(error),
                // It was too early to need one.
                (Err(NoToken::Yet(_)), Some(held)) if now_ms < held.ends_at_ms => {
                    held.renew_at_ms = now_ms.saturating_add(RENEW_AGAIN_MS).min(held.ends_at_ms);
                    return Ok(held.bearer.clone());
                }
                (Err(NoToken::Yet(fault)), _) => retry.wait(fault).await?,
            }
        }
    }

    /// Forgets the token with this serial number, unless another has replaced it. The next one is
    /// asked for with the claims that Graph wants.
    pub(crate) async fn discard(&self, serial: u64, claims: Option<Claims>) {
        let mut state = self.state.lock().await;
        let discarded = state.held.take_if(|held| held.bearer.serial == serial);
        if discarded.is_some() {
            state.claims = claims;
        }
    }

    fn is_federated(&self) -> bool {
        matches!(self.credential, Credential::Federated(_))
    }

    fn is_kept(&self) -> bool {
        matches!(self.credential, Credential::Kept(..))
    }

    /// What the application proves itself by, in this request.
    async fn proof(&self, afresh: bool) -> Result<Proof, NoToken> {
        match &self.credential {
            Credential::Secret(secret) => Ok(Proof::Secret(secret.clone())),
            Credential::Certificate(certificate) => self.signed(certificate),
            Credential::Kept(kind, keeper) => {
                let kept = keeper.secret(afresh).await;
                let kept = kept.map_err(|none| NoToken::of(SECRET, none))?;
                match kind {
                    Kind::Secret => Ok(Proof::Secret(kept)),
                    Kind::Certificate => {
                        let certificate = Certificate::from_pem(&kept).map_err(NoToken::Ever)?;
                        self.signed(&certificate)
                    }
                }
            }
            Credential::Federated(identity) => {
                let vouched = identity.token(audience(&self.address)).await;
                let vouched = vouched.map_err(|none| NoToken::of(IDENTITY, none))?;
                Ok(Proof::Assertion(vouched))
            }
        }
    }

    fn signed(&self, certificate: &Certificate) -> Result<Proof, NoToken> {
        let number = self.ambient.random_uuid();
        let now_ms = self.ambient.now_ms();
        certificate
            .assertion(&self.address, &self.client_id, &number, now_ms)
            .map(Proof::Assertion)
            .map_err(NoToken::Ever)
    }

    /// What is sent: the client credentials grant.
    fn form(&self, proof: &Proof, claims: Option<&Claims>) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.client_id)
            .append_pair("scope", &self.scope);
        if let Some(Claims(claims)) = claims {
            form.append_pair("claims", claims);
        }
        match proof {
            Proof::Secret(secret) => form.append_pair("client_secret", secret.expose()),
            Proof::Assertion(assertion) => form
                .append_pair("client_assertion_type", ASSERTION_TYPE)
                .append_pair("client_assertion", assertion.expose()),
        };
        form.finish()
    }

    /// Asks once, with a secret that is read afresh or not.
    /// <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>
    async fn ask(
        &self,
        retry: &Retry<'_>,
        claims: Option<&Claims>,
        afresh: bool,
    ) -> Result<Granted, NoToken> {
        let client_request_id = self.ambient.random_uuid();
        let form = self.form(&self.proof(afresh).await?, claims);
        let mut request = Request::new(Method::POST, self.address.clone());
        *request.timeout_mut() = Some(retry.attempt_limit());
        let headers = request.headers_mut();
        headers.insert(CLIENT_REQUEST_ID, id_header(&client_request_id));
        headers.insert(CONTENT_TYPE, FORM);
        *request.body_mut() = Some(form.into());
        let started_ms = self.ambient.now_ms();
        let received = self.transport.exchange(request).await;
        tracing::debug!(
            event = "token_asked",
            operation = OPERATION,
            status = received.as_ref().ok().map(|it| it.status.as_u16()),
            took_ms = self.ambient.now_ms().saturating_sub(started_ms),
            client_request_id
        );
        match received {
            Ok(received) => match received.leads_away(OPERATION, &self.address) {
                Some(error) if received.status.is_redirection() => Err(NoToken::Ever(error)),
                _ => judge(&received, self.is_federated()),
            },
            Err(lost) => {
                let mut failed = FailedCall::of(OPERATION);
                failed.cause = Some(lost.cause);
                Err(NoToken::Yet(Fault::passing(failed, None)))
            }
        }
    }
}

impl State {
    fn hold(&mut self, granted: Granted, asked_at_ms: u64) -> Bearer {
        self.serial += 1;
        self.claims = None;
        let bearer = Bearer {
            header: granted.header,
            serial: self.serial,
        };
        let early_ms = (granted.life_ms / RENEW_EARLY_SHARE).min(RENEW_EARLY_MS_MAX);
        let ends_at_ms = asked_at_ms.saturating_add(granted.life_ms);
        self.held = Some(Held {
            bearer: bearer.clone(),
            renew_at_ms: ends_at_ms.saturating_sub(early_ms),
            ends_at_ms,
        });
        bearer
    }
}

/// What the token service says. The text of an error is not repeated: it can quote the request.
#[derive(Debug, Default, Deserialize)]
struct Told {
    access_token: Option<String>,
    expires_in: Option<u64>,
    error: Option<String>,
    #[serde(default)]
    error_codes: Vec<u32>,
    error_description: Option<String>,
}

impl Told {
    fn aadsts(&self) -> Option<u32> {
        self.error_codes.first().copied().or_else(|| {
            let text = self.error_description.as_deref()?;
            let digits = text.split_once("AADSTS")?.1;
            let end = digits.find(|c: char| !c.is_ascii_digit());
            digits[..end.unwrap_or(digits.len())].parse().ok()
        })
    }

    fn granted(&self) -> Option<Granted> {
        let token = self.access_token.as_deref().filter(|it| !it.is_empty())?;
        let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        header.set_sensitive(true);
        Some(Granted {
            header,
            life_ms: self.expires_in?.saturating_mul(1_000),
        })
    }
}

/// Judges by status and OAuth error; AADSTS numbers are hints.
fn judge(received: &Received, is_federated: bool) -> Result<Granted, NoToken> {
    let status = received.status.as_u16();
    let mut failed = FailedCall::of(OPERATION);
    failed.status = Some(status);
    failed.request_id = received.header("x-ms-request-id").and_then(loggable_code);
    let retry_after_ms = received.retry_after_ms();
    let body = match &received.body {
        Ok(body) => body.as_slice(),
        Err(lost) => {
            failed.cause = Some(lost.cause.clone());
            &[]
        }
    };
    // Throttling comes as plain text, and gateways answer with HTML.
    let told: Told = parsed(body).unwrap_or_default();
    if status == 200 {
        return told.granted().ok_or_else(|| {
            failed
                .cause
                .get_or_insert("no token in the answer".to_owned());
            NoToken::Yet(Fault::passing(failed, retry_after_ms))
        });
    }
    let aadsts = told.aadsts();
    failed.code = told.error.as_deref().and_then(loggable_code);
    if let Some(number) = aadsts {
        failed.cause = Some(format!("AADSTS{number}"));
    }
    let passes = matches!(status, 408 | 429 | 500..=599)
        || aadsts.is_some_and(|number| PASSING_AADSTS.contains(&number))
        || (is_federated && aadsts == Some(UNKNOWN_YET_AADSTS))
        || told.error.as_deref() == Some("temporarily_unavailable");
    Err(if passes {
        NoToken::Yet(Fault::passing(failed, retry_after_ms))
    } else {
        NoToken::Ever(GraphError::CredentialRejected {
            call: failed,
            aadsts,
            remedy: remedy(aadsts),
        })
    })
}

/// Whether an answer gives a token, for the tests of damaged ones.
#[cfg(test)]
pub(crate) fn grants(received: &Received) -> bool {
    judge(received, false).is_ok()
}

/// What a person can do about a permanent error.
/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
fn remedy(aadsts: Option<u32>) -> &'static str {
    match aadsts {
        Some(7_000_215) => {
            "the client secret is wrong or has expired: store the secret's value, not its id"
        }
        Some(7_000_222) => "the client secret has expired: make a new one and store it",
        Some(700_027) => {
            "the certificate is not registered with the application, or has expired: upload it (or a \
             new one) to the application's certificates"
        }
        Some(700_024) => "the assertion is outside its time: set this machine's clock right",
        Some(UNKNOWN_YET_AADSTS | 700_211..=700_213) => {
            "the application trusts no such issuer, subject or audience: add a federated credential \
             to it that names all three as the identity token has them"
        }
        Some(700_016) => {
            "the directory does not know the application: check client_id and directory_id, and \
             give admin consent"
        }
        Some(65_001 | 7_000_229) => {
            "the directory has not consented to the application: an administrator of the directory \
             has to grant admin consent to it"
        }
        Some(7_000_112) => "the application is disabled in the directory: enable it",
        Some(90_002 | 900_023) => {
            "there is no such directory in this cloud: check directory_id and cloud"
        }
        Some(500_011 | 70_011 | 1_002_012) => {
            "Microsoft Graph is not known under this address: check that graph_url belongs to the \
             cloud of login_url"
        }
        Some(53_003) => "a conditional access policy blocks the application: exempt it",
        _ => {
            "check client_id, directory_id, cloud and the client secret; the number is explained at \
             https://login.microsoftonline.com/error"
        }
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
