//! The client of one service provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request};
use rollcall_ambient::Ambient;
use rollcall_core::scim::Account;
use rollcall_graph::{Keeper, Received, Secret, Transport};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::sleep;
use url::Url;

use crate::error::ScimError;
use crate::wire::{Found, List, changed, created, equals, kind};

/// How often a request is sent that may be repeated: enough for a connection that broke, and for one `Retry-After`.
/// What takes longer is for the next look.
const ATTEMPTS_MAX: u32 = 3;
/// The bound of the first wait between two attempts, in milliseconds; it doubles.
const BACKOFF_MS_FIRST: u64 = 250;
/// The longest wait that a service provider may ask for within one request, in milliseconds.
const RETRY_AFTER_MS_MAX: u64 = 10_000;

/// The id of nobody.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

const SCIM_JSON: HeaderValue = HeaderValue::from_static("application/scim+json");

/// What a service provider is told by.
#[derive(Debug, Clone)]
pub enum Bearer {
    /// This token.
    Known(Secret),
    /// One that is read when it is needed, and again when it is rejected.
    Kept(Arc<dyn Keeper>),
}

/// Where a service provider is.
#[derive(Debug, Clone)]
pub struct ScimConfig {
    /// The root, under which `Users` is.
    pub root: Url,
    /// Its token.
    pub bearer: Bearer,
    /// How long one attempt may take, in milliseconds.
    pub request_ms_max: u64,
}

/// The client.
#[derive(Debug)]
pub struct ScimClient {
    transport: Arc<dyn Transport>,
    ambient: Ambient,
    users: Url,
    bearer: Bearer,
    request_ms_max: u64,
}

/// What bringing an account came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brought {
    /// The account with this id is as it has to be.
    Account(String),
    /// Somebody who is off has none, and needs none.
    NoneNeeded,
    /// There is none, and it is not to be created now.
    NoneYet,
}

/// A request, as often as it is sent.
struct Call {
    operation: &'static str,
    method: Method,
    url: Url,
    body: Option<Value>,
    /// Whether it is the same if it is sent twice.
    repeatable: bool,
}

/// An answer that says something about the account that was asked for.
enum Answer {
    Good(Vec<u8>),
    Gone,
    Taken,
}

/// Another attempt may bring an answer.
struct Passing {
    cause: String,
    retry_after_ms: Option<u64>,
    /// Whether nothing can have been done.
    is_refused: bool,
}

enum Outcome {
    Answered(Answer),
    Passing(Passing),
    Unauthorised,
    Failed(ScimError),
}

impl ScimClient {
    /// Over a transport.
    ///
    /// # Errors
    /// [`ScimError::Denied`] for a root under which there can be no `Users`.
    pub fn new(
        transport: Arc<dyn Transport>,
        config: ScimConfig,
        ambient: Ambient,
    ) -> Result<Self, ScimError> {
        let mut users = config.root;
        users
            .path_segments_mut()
            .map_err(|()| ScimError::Denied {
                problem: "scim.url has no path".into(),
            })?
            .pop_if_empty()
            .push("Users");
        Ok(Self {
            transport,
            ambient,
            users,
            bearer: config.bearer,
            request_ms_max: config.request_ms_max,
        })
    }

    /// Brings an account to what it has to be: the one that is known, or the one that is found, or, if it
    /// `may_create`, a new one. Sets `gave_up` when a request that changes something was sent and not answered: it
    /// may be carried out all the same, even later, whatever is given here.
    ///
    /// # Errors
    /// [`ScimError`].
    pub async fn bring(
        &self,
        known: Option<&str>,
        account: &Account,
        may_create: bool,
        gave_up: &AtomicBool,
    ) -> Result<Brought, ScimError> {
        if let Some(id) = known
            && self.change(id, account, gave_up).await?
        {
            return Ok(Brought::Account(id.to_owned()));
        }
        match self.find(account).await? {
            Some(found) if self.change(&found.id, account, gave_up).await? => {
                Ok(Brought::Account(found.id))
            }
            // It went between the two: the next look sees.
            Some(_) => Err(ScimError::Unavailable {
                operation: "change",
                cause: "an account that was there is gone".into(),
                retry_after_ms: None,
            }),
            None if !account.active => Ok(Brought::NoneNeeded),
            None if !may_create => Ok(Brought::NoneYet),
            None => self.create(account, gave_up).await.map(Brought::Account),
        }
    }

    /// Asks what a telling asks first, about nobody.
    ///
    /// # Errors
    /// [`ScimError`].
    pub async fn reach(&self) -> Result<(), ScimError> {
        match self.filter("externalId", NOBODY).await? {
            None => Ok(()),
            Some(_) => Err(no_filter("externalId")),
        }
    }

    /// The account of a user: the one with his object id, or, if he is on, one with his login name that is nobody's
    /// yet. Login names are used again: whoever is off has no say about who has his now.
    async fn find(&self, account: &Account) -> Result<Option<Found>, ScimError> {
        let of_his_id = self.filter("externalId", &account.external_id).await?;
        match &of_his_id {
            Some(found) if found.external_id.as_ref() != Some(&account.external_id) => {
                return Err(no_filter("externalId"));
            }
            None if account.active => {}
            _ => return Ok(of_his_id),
        }
        let of_his_name = self.filter("userName", &account.user_name).await?;
        let has_his_name = |found: &Found| {
            let name = found.user_name.as_deref().unwrap_or_default();
            name.to_lowercase() == account.user_name.to_lowercase()
        };
        let is_anothers = |found: &Found| {
            let whose = found.external_id.as_deref().filter(|it| !it.is_empty());
            whose.is_some_and(|whose| whose != account.external_id)
        };
        match of_his_name {
            Some(found) if !has_his_name(&found) => Err(no_filter("userName")),
            Some(found) if is_anothers(&found) => Err(ScimError::Refused {
                operation: "find",
                cause: "the login name is another user's there".into(),
            }),
            found => Ok(found),
        }
    }

    async fn filter(
        &self,
        attribute: &'static str,
        value: &str,
    ) -> Result<Option<Found>, ScimError> {
        let mut url = self.users.clone();
        url.query_pairs_mut()
            .append_pair("filter", &equals(attribute, value))
            .append_pair("count", "2");
        let call = Call {
            operation: "find",
            method: Method::GET,
            url,
            body: None,
            repeatable: true,
        };
        // A question changes nothing, however late it comes.
        let gave_up = AtomicBool::new(false);
        let list: List = match self.send(&call, &gave_up).await? {
            Answer::Good(body) => parsed(&call, &body)?,
            Answer::Gone | Answer::Taken => {
                return Err(ScimError::Denied {
                    problem: "there is no Users under scim.url; check the address".into(),
                });
            }
        };
        let mut found = list.resources.into_iter().flatten();
        match (list.total_results, found.next(), found.next()) {
            (0, None, _) => Ok(None),
            (1, Some(found), None) => Ok(Some(found)),
            (0 | 1, ..) => Err(call.unavailable("a list that does not count right".into(), None)),
            _ => Err(call.refused(&format!("more than one account has this {attribute}"))),
        }
    }

    /// Changes an account; `false` if there is none with this id.
    async fn change(
        &self,
        id: &str,
        account: &Account,
        gave_up: &AtomicBool,
    ) -> Result<bool, ScimError> {
        let call = Call {
            operation: "change",
            method: Method::PATCH,
            url: self.user(id),
            body: Some(changed(account)),
            repeatable: true,
        };
        match self.send(&call, gave_up).await? {
            Answer::Good(_) => Ok(true),
            Answer::Gone => Ok(false),
            Answer::Taken => Err(call.refused("status 409 uniqueness")),
        }
    }

    async fn create(&self, account: &Account, gave_up: &AtomicBool) -> Result<String, ScimError> {
        let call = Call {
            operation: "create",
            method: Method::POST,
            url: self.users.clone(),
            body: Some(created(account)),
            repeatable: false,
        };
        match self.send(&call, gave_up).await? {
            // An answer that cannot be read: there is an account, and nobody knows which.
            Answer::Good(body) => parsed(&call, &body)
                .map(|found: Found| found.id)
                .inspect_err(|_| gave_up.store(true, Ordering::Relaxed)),
            Answer::Taken => Err(call.refused("status 409 uniqueness")),
            Answer::Gone => Err(ScimError::Denied {
                problem: "there is no Users under scim.url; check the address".into(),
            }),
        }
    }

    fn user(&self, id: &str) -> Url {
        let mut url = self.users.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(id);
        }
        url
    }

    async fn send(&self, call: &Call, gave_up: &AtomicBool) -> Result<Answer, ScimError> {
        let mut is_afresh = false;
        let mut attempt = 1;
        loop {
            let passing = match self.attempt(call, is_afresh).await? {
                Outcome::Answered(answer) => return Ok(answer),
                Outcome::Failed(error) => return Err(error),
                Outcome::Unauthorised if !is_afresh => {
                    is_afresh = true;
                    continue;
                }
                Outcome::Unauthorised => {
                    return Err(ScimError::Denied {
                        problem: "status 401; renew the token that scim.credential names".into(),
                    });
                }
                Outcome::Passing(passing) => passing,
            };
            if !passing.is_refused {
                gave_up.store(true, Ordering::Relaxed);
            }
            let retry_after_ms = passing.retry_after_ms;
            let wait_ms = match retry_after_ms {
                Some(ms) => ms,
                None => self.ambient.random_up_to(BACKOFF_MS_FIRST << attempt),
            };
            let may_repeat = call.repeatable || passing.is_refused;
            if attempt >= ATTEMPTS_MAX || !may_repeat || wait_ms > RETRY_AFTER_MS_MAX {
                return Err(call.unavailable(passing.cause, retry_after_ms));
            }
            attempt += 1;
            sleep(Duration::from_millis(wait_ms)).await;
        }
    }

    async fn attempt(&self, call: &Call, afresh: bool) -> Result<Outcome, ScimError> {
        let token = match &self.bearer {
            Bearer::Known(token) => token.clone(),
            Bearer::Kept(keeper) => {
                let token = keeper.secret(afresh).await;
                token.map_err(|no| call.unavailable(no.problem, None))?
            }
        };
        let authorization = token.bearer().ok_or_else(|| ScimError::Denied {
            problem: "the token that scim.credential names is no text that a header takes".into(),
        })?;
        let mut request = Request::new(call.method.clone(), call.url.clone());
        *request.timeout_mut() = Some(Duration::from_millis(self.request_ms_max));
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(ACCEPT, SCIM_JSON);
        if let Some(body) = &call.body {
            headers.insert(CONTENT_TYPE, SCIM_JSON);
            *request.body_mut() = Some(body.to_string().into());
        }
        Ok(match self.transport.exchange(request).await {
            Ok(received) => call.judged(received),
            Err(lost) => Outcome::Passing(Passing {
                cause: lost.cause,
                retry_after_ms: None,
                is_refused: false,
            }),
        })
    }
}

impl Call {
    fn judged(&self, received: Received) -> Outcome {
        let status = received.status.as_u16();
        let retry_after_ms = received.retry_after_ms();
        let body = match received.body {
            Ok(body) => body,
            Err(lost) => {
                return Outcome::Passing(Passing {
                    cause: lost.cause,
                    retry_after_ms: None,
                    is_refused: false,
                });
            }
        };
        match status {
            200..=299 => Outcome::Answered(Answer::Good(body)),
            401 => Outcome::Unauthorised,
            403 => Outcome::Failed(ScimError::Denied {
                problem:
                    "status 403; let the token that scim.credential names read and write users"
                        .into(),
            }),
            404 => Outcome::Answered(Answer::Gone),
            409 => Outcome::Answered(Answer::Taken),
            408 | 429 | 500 | 502..=599 => Outcome::Passing(Passing {
                cause: format!("status {status}"),
                retry_after_ms,
                is_refused: status == 429,
            }),
            300..=399 => Outcome::Failed(ScimError::Denied {
                problem: format!(
                    "status {status}, a redirect; give the address itself as scim.url"
                ),
            }),
            _ => {
                let kind = kind(&body).unwrap_or_default();
                Outcome::Failed(self.refused(format!("status {status} {kind}").trim_end()))
            }
        }
    }

    fn unavailable(&self, cause: String, retry_after_ms: Option<u64>) -> ScimError {
        ScimError::Unavailable {
            operation: self.operation,
            cause,
            retry_after_ms,
        }
    }

    fn refused(&self, cause: &str) -> ScimError {
        ScimError::Refused {
            operation: self.operation,
            cause: cause.to_owned(),
        }
    }
}

fn no_filter(attribute: &str) -> ScimError {
    ScimError::Denied {
        problem: format!(
            "it was asked for the account with a certain {attribute} and gave another one; it has to filter by it"
        ),
    }
}

fn parsed<T: DeserializeOwned>(call: &Call, body: &[u8]) -> Result<T, ScimError> {
    // Without the parser's words, which may repeat what is in the body.
    serde_json::from_slice(body)
        .map_err(|_| call.unavailable("an answer that cannot be read".into(), None))
}
