//! The token endpoint, and the bearers that it gave out.

use std::collections::{BTreeSet, HashMap};

use rollcall_ambient::Ambient;
use serde_json::{Map, Value, json};
use url::form_urlencoded;
use uuid::Uuid;

use crate::answer::{Draft, GraphError, LOGIN_JSON, LoginError, Raw, json_bytes};
use crate::assertion;
use crate::errors::{bearer_error, claims_challenge, expired_bearer};
use crate::ledger::{Ledger, random_text};
use crate::tenant::Tenant;

/// How every JWT begins. The rest is random: a client has no business reading it.
const BEARER_PREFIX: &str = "eyJ0eXAiOiJKV1Qi";
/// The length of a bearer's random part. Real ones are about as long.
const BEARER_LEN: usize = 1_200;

/// Says that the application proves itself by an assertion.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a bearer stands for.
#[derive(Clone, Copy)]
struct Grant {
    directory_id: Uuid,
    expires_ms: u64,
    revoked: bool,
    /// Whether it was asked for with claims.
    has_claims: bool,
}

/// All bearers.
pub(crate) struct Bearers {
    grants: Ledger<Grant>,
    /// The directories that want a bearer that was asked for with claims, and had none yet.
    demanding: BTreeSet<Uuid>,
}

impl Bearers {
    pub(crate) fn new() -> Self {
        Self {
            grants: Ledger::new(),
            demanding: BTreeSet::new(),
        }
    }

    /// Whose bearer it is, and what is wrong with it.
    pub(crate) fn check(
        &self,
        bearer: Option<&str>,
        now_ms: u64,
    ) -> (Option<Uuid>, Option<GraphError>) {
        let Some(bearer) = bearer.filter(|bearer| !bearer.is_empty()) else {
            return (None, Some(bearer_error("Access token is empty.")));
        };
        match self.grants.get(bearer) {
            None => (None, Some(bearer_error("Invalid authentication token."))),
            Some(grant) => {
                let demands = self.demanding.contains(&grant.directory_id);
                let refusal = match () {
                    () if grant.revoked || now_ms >= grant.expires_ms => Some(expired_bearer()),
                    () if demands && !grant.has_claims => Some(claims_challenge()),
                    () => None,
                };
                (Some(grant.directory_id), refusal)
            }
        }
    }

    /// The directory of a bearer takes none without claims until it has given out one with them.
    pub(crate) fn demand_claims(&mut self, bearer: &str) {
        if let Some(grant) = self.grants.get(bearer) {
            self.demanding.insert(grant.directory_id);
        }
    }

    pub(crate) fn revoke(&mut self, bearer: &str) {
        if let Some(grant) = self.grants.get_mut(bearer) {
            grant.revoked = true;
        }
    }

    pub(crate) fn revoke_all(&mut self, directory_id: Uuid) {
        for grant in self.grants.values_mut() {
            grant.revoked |= grant.directory_id == directory_id;
        }
    }

    fn issue(&mut self, ambient: &Ambient, tenant: &Tenant, has_claims: bool) -> Draft {
        let life_s = tenant.token_life_s();
        let spread_s = life_s.end().saturating_sub(*life_s.start());
        let expires_in_s = life_s.start() + ambient.random_up_to(spread_s);
        let bearer = format!("{BEARER_PREFIX}{}", random_text(ambient, BEARER_LEN));
        let body = json!({
            "token_type": "Bearer",
            "expires_in": expires_in_s,
            "ext_expires_in": expires_in_s,
            "access_token": bearer,
        });
        let grant = Grant {
            directory_id: tenant.directory_id(),
            expires_ms: ambient
                .now_ms()
                .saturating_add(expires_in_s.saturating_mul(1_000)),
            revoked: false,
            has_claims,
        };
        if has_claims {
            self.demanding.remove(&grant.directory_id);
        }
        self.grants.put(bearer, grant);
        Draft::Raw(Raw {
            status: 200,
            content_type: LOGIN_JSON,
            headers: Vec::new(),
            body: json_bytes(&body),
        })
    }
}

/// Answers a token request: the tenant by the path (`None`: there is no such one), the rest by the
/// form. Errors are those of "Microsoft Entra authentication and authorization error codes".
pub(crate) fn answer(
    ambient: &Ambient,
    bearers: &mut Bearers,
    origin: &str,
    directory: &str,
    tenant: Option<&Tenant>,
    body: &[u8],
) -> Draft {
    let now_s = ambient.now_ms() / 1_000;
    let mut form = form_urlencoded::parse(body);
    let claims = form.find(|(name, _)| name == "claims");
    let has_claims = claims.is_some_and(|(_, claims)| is_object(&claims));
    match checked(now_s, origin, directory, tenant, body) {
        Ok(tenant) => bearers.issue(ambient, tenant, has_claims),
        Err(error) => Draft::Login(error),
    }
}

fn checked<'a>(
    now_s: u64,
    origin: &str,
    directory: &str,
    tenant: Option<&'a Tenant>,
    body: &[u8],
) -> Result<&'a Tenant, LoginError> {
    let form: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    let given = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let tenant = tenant.ok_or_else(|| {
        let message = format!(
            "Tenant '{directory}' not found. Check to make sure you have the correct tenant ID and \
             are signing into the correct cloud."
        );
        refusal(400, "invalid_request", 90_002, message)
    })?;
    if let Some(missing) = ["grant_type", "client_id", "scope"]
        .into_iter()
        .find(|name| given(name).is_empty())
    {
        let message =
            format!("The request body must contain the following parameter: '{missing}'.");
        return Err(refusal(400, "invalid_request", 900_144, message));
    }
    if given("grant_type") != "client_credentials" {
        let message = format!(
            "The app requested an unsupported grant type '{}'.",
            given("grant_type")
        );
        return Err(refusal(400, "unsupported_grant_type", 70_003, message));
    }
    if Uuid::try_parse(given("client_id")).ok() != Some(tenant.client_id()) {
        let message = format!(
            "Application with identifier '{}' was not found in the directory '{directory}'. This \
             can happen if the application has not been installed by the administrator of the \
             tenant or consented to by any user in the tenant.",
            given("client_id")
        );
        return Err(refusal(400, "unauthorized_client", 700_016, message));
    }
    check_scope(origin, given("scope"))?;
    if given("client_assertion_type") == ASSERTION_TYPE {
        let audience = format!("{origin}/{directory}/oauth2/v2.0/token");
        check_assertion(tenant, given("client_assertion"), &audience, now_s)?;
    } else {
        check_secret(tenant, given("client_secret"))?;
    }
    Ok(tenant)
}

fn is_object(json: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(json).is_ok()
}

fn check_scope(origin: &str, scope: &str) -> Result<(), LoginError> {
    match scope.strip_suffix("/.default") {
        Some(resource) if resource == origin => Ok(()),
        Some(resource) => {
            let message = format!(
                "The resource principal named {resource} was not found in the tenant. The one \
                 resource here is {origin}."
            );
            Err(refusal(400, "invalid_resource", 500_011, message))
        }
        None => {
            let message = format!(
                "The provided value for scope {scope} is not valid. Client credential flows must \
                 have a scope value with /.default suffixed to the resource identifier \
                 (application ID URI)."
            );
            Err(refusal(400, "invalid_scope", 1_002_012, message))
        }
    }
}

fn check_assertion(
    tenant: &Tenant,
    assertion: &str,
    audience: &str,
    now_s: u64,
) -> Result<(), LoginError> {
    let trusted = tenant.trusted();
    let client_id = tenant.client_id();
    assertion::check(assertion, &trusted, audience, client_id, now_s)
        .map_err(|(number, problem)| refusal(401, "invalid_client", number, problem.to_owned()))
}

fn check_secret(tenant: &Tenant, secret: &str) -> Result<(), LoginError> {
    if secret.is_empty() {
        let message = "'client_assertion', 'client_secret' or 'request' is required for the \
                       'client_credentials' grant type.";
        return Err(refusal(
            401,
            "invalid_client",
            7_000_216,
            message.to_owned(),
        ));
    }
    if secret != tenant.client_secret() {
        let message = "Invalid client secret provided.".to_owned();
        return Err(refusal(401, "invalid_client", 7_000_215, message));
    }
    Ok(())
}

fn refusal(status: u16, error: &'static str, aadsts: u32, message: String) -> LoginError {
    LoginError {
        status,
        error,
        aadsts,
        message,
        headers: Vec::new(),
    }
}
