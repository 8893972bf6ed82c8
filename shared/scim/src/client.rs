//! The client of one service provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request};
use rollcall_ambient::Ambient;
use rollcall_core::scim::Account;
use rollcall_graph::{Keeper, Secret, Transport};
use serde_json::Value;
use tokio::time::sleep;
use url::Url;

use crate::call::{Answer, Call, Outcome, Passing, parsed};
use crate::error::ScimError;
use crate::wire::{Found, List, changed, created, equals, says_changed, switched_off};

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

/// What is made of it that no account is found.
#[derive(Debug, Clone, Copy)]
pub struct Absence {
    /// Whether it is believed. An account that is known may be there all the same.
    pub is_believed: bool,
    /// Whether a new one may be created then.
    pub may_create: bool,
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
    /// None is found, and it is not believed that there is none.
    Missing,
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

    /// Brings an account to what it has to be: the one that is known, or the one that is found, or, if it may create
    /// one, a new one. Sets `gave_up` when a request that changes something was sent and not answered: it may be
    /// carried out all the same, even later, whatever is given here.
    ///
    /// # Errors
    /// [`ScimError`].
    pub async fn bring(
        &self,
        known: Option<&str>,
        account: &Account,
        absence: Absence,
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
            None if !absence.is_believed => Ok(Brought::Missing),
            None if !account.active => Ok(Brought::NoneNeeded),
            None if !absence.may_create => Ok(Brought::NoneYet),
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
        let Some(login_name) = &account.user_name else {
            return Err(no_login_name());
        };
        let of_his_name = self.filter("userName", login_name).await?;
        let has_his_name = |found: &Found| {
            let name = found.user_name.as_deref().unwrap_or_default();
            name.to_lowercase() == login_name.to_lowercase()
        };
        match of_his_name {
            Some(found) if !has_his_name(&found) => Err(no_filter("userName")),
            Some(found) if is_anothers(&found, account) => Err(ScimError::Refused {
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
            Answer::Good { body, .. } => parsed(&call, &body)?,
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

    /// Changes an account; `false` if there is none with this id. Who is off goes off, whatever else is not taken.
    async fn change(
        &self,
        id: &str,
        account: &Account,
        gave_up: &AtomicBool,
    ) -> Result<bool, ScimError> {
        let whole = match account.user_name {
            Some(_) => {
                let body = changed(account);
                self.patch("change", id, (body, account.active), gave_up)
                    .await
            }
            None => Err(no_login_name()),
        };
        match whole {
            Err(ScimError::Refused { operation, cause }) if !account.active => {
                let body = (switched_off(), false);
                if !self.patch("switch off", id, body, gave_up).await? {
                    return Ok(false);
                }
                let cause = format!("{cause}; the account is off");
                Err(ScimError::Refused { operation, cause })
            }
            whole => whole,
        }
    }

    /// Sends a change, which makes the account `active` or not; `false` if there is none with this id.
    async fn patch(
        &self,
        operation: &'static str,
        id: &str,
        (body, active): (Value, bool),
        gave_up: &AtomicBool,
    ) -> Result<bool, ScimError> {
        let call = Call {
            operation,
            method: Method::PATCH,
            url: self.user(id),
            body: Some(body),
            repeatable: true,
        };
        match self.send(&call, gave_up).await? {
            Answer::Good { status, body } if says_changed(status, &body, id, active) => Ok(true),
            Answer::Good { status, .. } => {
                gave_up.store(true, Ordering::Relaxed);
                let cause = format!("status {status} without a word of the change");
                Err(call.unavailable(cause, None))
            }
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
            Answer::Good { body, .. } => {
                // An answer that cannot be read: there is an account, and nobody knows which.
                let made: Found =
                    parsed(&call, &body).inspect_err(|_| gave_up.store(true, Ordering::Relaxed))?;
                // There are providers that answer with an account that has the same address.
                if is_anothers(&made, account) {
                    return Err(call.refused("the account that it gave is another user's"));
                }
                Ok(made.id)
            }
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

fn no_filter(attribute: &str) -> ScimError {
    ScimError::Denied {
        problem: format!(
            "it was asked for the account with a certain {attribute} and gave another one; it has to filter by it"
        ),
    }
}

/// Whether an account names another user.
fn is_anothers(found: &Found, account: &Account) -> bool {
    let whose = found.external_id.as_deref().filter(|it| !it.is_empty());
    whose.is_some_and(|whose| whose != account.external_id)
}

fn no_login_name() -> ScimError {
    ScimError::Refused {
        operation: "tell",
        cause: "the user has no login name".into(),
    }
}
