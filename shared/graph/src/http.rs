//! Sends a request to Graph with the access token, and judges the status of the answer.

use std::sync::Arc;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, StatusCode};
use rollcall_ambient::Ambient;
use rollcall_core::ids::RunRef;
use serde_json::Value;
use url::Url;

use crate::challenge::{self, Claims};
use crate::error::{FailedCall, GraphError, loggable_code};
use crate::exchange::{CLIENT_REQUEST_ID, Received, Transport, id_header};
use crate::page::Broken;
use crate::retry::{Fault, Limits, Retry};
use crate::token::{Bearer, Tokens};
use crate::usage::Counters;

/// The codes of a page token that is not taken any more.
const PAGE_TOKEN_CODES: [&str; 2] = [
    "Directory_ExpiredPageToken",
    "DirectoryPageTokenNotFoundException",
];

/// The codes of a delta token that is not taken any more. They come in any case of letters.
/// <https://learn.microsoft.com/graph/delta-query-overview#synchronization-reset>
const SYNC_STATE_CODES: [&str; 3] = [
    "syncStateNotFound",
    "resyncRequired",
    "resyncApplyDifferences",
];

/// The one thing that Graph says in its message alone.
const SKIP_TOKEN: &str = "skiptoken";

/// A sync is nobody's foreground: where Graph has to choose, it throttles what is marked as low first.
/// <https://learn.microsoft.com/graph/throttling-limits#identity-and-access-service-limits>
const THROTTLE_PRIORITY: &str = "x-ms-throttle-priority";

const JSON: HeaderValue = HeaderValue::from_static("application/json");

const TOKEN_NOT_TAKEN: &str = "Microsoft Graph does not take a fresh access token; check that \
    graph_url and login_url belong to one cloud, and that the application is not blocked";

/// What of an earlier answer an address comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follows {
    Nothing,
    PageLink,
    DeltaLink,
}

/// A request, as often as it is sent.
#[derive(Debug)]
pub(crate) struct Call {
    operation: &'static str,
    method: Method,
    url: Url,
    body: Option<Vec<u8>>,
    follows: Follows,
    eventual: bool,
}

impl Call {
    pub(crate) fn get(operation: &'static str, url: Url) -> Self {
        Self {
            operation,
            method: Method::GET,
            url,
            body: None,
            follows: Follows::Nothing,
            eventual: false,
        }
    }

    pub(crate) fn post(operation: &'static str, url: Url, body: &Value) -> Self {
        Self {
            method: Method::POST,
            body: Some(body.to_string().into_bytes()),
            ..Self::get(operation, url)
        }
    }

    /// The address holds a page token, which can expire.
    pub(crate) fn following_link(self) -> Self {
        Self {
            follows: Follows::PageLink,
            ..self
        }
    }

    /// The address holds the token of a delta, which can be lost.
    pub(crate) fn following_delta(self) -> Self {
        Self {
            follows: Follows::DeltaLink,
            ..self
        }
    }

    /// Sent with `ConsistencyLevel: eventual`.
    pub(crate) fn eventual(self) -> Self {
        Self {
            eventual: true,
            ..self
        }
    }

    fn failed(&self, cause: Option<String>) -> Box<FailedCall> {
        let mut failed = FailedCall::of(self.operation);
        failed.cause = cause;
        failed
    }
}

/// A complete answer with status 200.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    pub(crate) request_id: Option<String>,
    /// Which token it was asked with.
    pub(crate) token_serial: u64,
}

impl Answer {
    /// The call that this answer belongs to, as failed for what the answer holds.
    pub(crate) fn failed(&self, call: &Call, broken: Broken) -> Box<FailedCall> {
        let mut failed = call.failed(Some(broken.0.to_owned()));
        failed.status = Some(StatusCode::OK.as_u16());
        failed.request_id.clone_from(&self.request_id);
        failed
    }
}

/// What a status means, in an answer and within a `$batch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    /// Another attempt may bring an answer.
    Passing,
    /// Success of a kind that was not asked for.
    Odd,
    Redirect,
    Unauthorised,
    Denied,
    Refused,
}

pub(crate) fn judge(status: u16) -> Verdict {
    match status {
        200 => Verdict::Good,
        100..=299 => Verdict::Odd,
        300..=399 => Verdict::Redirect,
        401 => Verdict::Unauthorised,
        403 => Verdict::Denied,
        // "Not implemented" stays so.
        501 => Verdict::Refused,
        408 | 429 | 500..=599 => Verdict::Passing,
        _ => Verdict::Refused,
    }
}

enum Outcome {
    Answered(Answer),
    Faulty(Fault),
    Unauthorised(Box<FailedCall>, Option<Claims>),
    Failed(GraphError),
}

#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) tokens: Tokens,
    pub(crate) ambient: Ambient,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) run: Option<RunRef>,
}

impl Http {
    pub(crate) fn retry(&self) -> Retry<'_> {
        Retry::new(&self.ambient, self.limits).of_run(self.run.as_ref())
    }

    /// Sends a call until its answer can be read.
    pub(crate) async fn fetch<T>(
        &self,
        call: &Call,
        read: impl Fn(&[u8]) -> Result<T, Broken>,
    ) -> Result<(T, Option<String>), GraphError> {
        let mut retry = self.retry();
        // `Retry` bounds the attempts.
        loop {
            let answer = self.send(call, &mut retry).await?;
            match read(&answer.body) {
                Ok(content) => return Ok((content, answer.request_id)),
                Err(broken) => {
                    let failed = answer.failed(call, broken);
                    retry.wait(Fault::broken(failed)).await?;
                }
            }
        }
    }

    /// Sends a call until an answer with status 200 has arrived whole, or the budget is spent.
    pub(crate) async fn send(
        &self,
        call: &Call,
        retry: &mut Retry<'_>,
    ) -> Result<Answer, GraphError> {
        // `Retry` bounds the attempts.
        loop {
            if self.counters.read().requests >= self.limits.requests_max {
                let requests_max = self.limits.requests_max;
                return Err(GraphError::BudgetSpent { requests_max });
            }
            let bearer = self.tokens.bearer(retry).await?;
            match self.attempt(call, &bearer, retry).await {
                Outcome::Answered(answer) => return Ok(answer),
                Outcome::Faulty(fault) => retry.wait(fault).await?,
                Outcome::Unauthorised(failed, claims) => {
                    self.renew_token(bearer.serial, failed, claims, retry)
                        .await?;
                }
                Outcome::Failed(error) => return Err(error),
            }
        }
    }

    /// Drops the token that was answered by a 401, once a request. The next one is asked for with the
    /// claims that the answer wants.
    pub(crate) async fn renew_token(
        &self,
        serial: u64,
        failed: Box<FailedCall>,
        claims: Option<Claims>,
        retry: &mut Retry<'_>,
    ) -> Result<(), GraphError> {
        if retry.token_renewed {
            return Err(GraphError::CredentialRejected {
                call: failed,
                aadsts: None,
                remedy: TOKEN_NOT_TAKEN,
            });
        }
        retry.token_renewed = true;
        self.tokens.discard(serial, claims).await;
        Ok(())
    }

    async fn attempt(&self, call: &Call, bearer: &Bearer, retry: &mut Retry<'_>) -> Outcome {
        self.counters.sent(retry.sent > 0);
        retry.sent += 1;
        let client_request_id = self.ambient.random_uuid();
        let mut request = Request::new(call.method.clone(), call.url.clone());
        *request.timeout_mut() = Some(retry.attempt_limit());
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, bearer.header.clone());
        headers.insert(CLIENT_REQUEST_ID, id_header(&client_request_id));
        headers.insert(THROTTLE_PRIORITY, HeaderValue::from_static("Low"));
        if call.eventual {
            // A count comes as plain text.
            headers.insert("ConsistencyLevel", HeaderValue::from_static("eventual"));
        } else {
            headers.insert(ACCEPT, JSON);
        }
        if let Some(body) = &call.body {
            headers.insert(CONTENT_TYPE, JSON);
            *request.body_mut() = Some(body.clone().into());
        }
        let started_ms = self.ambient.now_ms();
        let received = self.transport.exchange(request).await;
        let took_ms = self.ambient.now_ms().saturating_sub(started_ms);
        match received {
            Ok(received) => {
                self.log(call, &received, &client_request_id, took_ms);
                self.count(&received);
                outcome(call, received, bearer.serial)
            }
            Err(lost) => {
                tracing::debug!(
                    event = "graph_silent",
                    tenant = self
                        .run
                        .as_ref()
                        .map(|it| tracing::field::display(&it.tenant)),
                    run = self.run.as_ref().map(|it| it.run),
                    operation = call.operation,
                    client_request_id,
                    took_ms,
                    cause = lost.cause
                );
                Outcome::Faulty(Fault::passing(call.failed(Some(lost.cause)), None))
            }
        }
    }

    fn count(&self, received: &Received) {
        if received.status == StatusCode::TOO_MANY_REQUESTS {
            self.counters.throttled();
        }
        let units = received.header("x-ms-resource-unit");
        if let Some(units) = units.and_then(|text| text.trim().parse().ok()) {
            self.counters.charged(units);
        }
    }

    fn log(&self, call: &Call, received: &Received, client_request_id: &str, took_ms: u64) {
        tracing::debug!(
            event = "graph_answered",
            tenant = self
                .run
                .as_ref()
                .map(|it| tracing::field::display(&it.tenant)),
            run = self.run.as_ref().map(|it| it.run),
            operation = call.operation,
            status = received.status.as_u16(),
            took_ms,
            client_request_id,
            graph_request_id = received.header("request-id"),
            date = received.header("date"),
            diagnostic = received.header("x-ms-ags-diagnostic"),
            throttle_limit_percentage = received.header("x-ms-throttle-limit-percentage"),
            throttle_information = received.header("x-ms-throttle-information")
        );
    }
}

fn outcome(call: &Call, received: Received, token_serial: u64) -> Outcome {
    let status = received.status.as_u16();
    let mut failed = call.failed(None);
    failed.status = Some(status);
    failed.request_id = received.header("request-id").and_then(loggable_code);
    let verdict = judge(status);
    if verdict == Verdict::Good {
        return match received.body {
            Ok(body) => Outcome::Answered(Answer {
                body,
                request_id: failed.request_id,
                token_serial,
            }),
            Err(lost) => {
                failed.cause = Some(lost.cause);
                Outcome::Faulty(if lost.timed_out {
                    Fault::passing(failed, None)
                } else {
                    Fault::broken(failed)
                })
            }
        };
    }
    // An error whose body did not arrive is still that error.
    let error = told_error(received.body.as_deref().unwrap_or_default());
    failed.code.clone_from(&error.code);
    match verdict {
        Verdict::Passing => Outcome::Faulty(Fault::passing(failed, received.retry_after_ms())),
        Verdict::Good | Verdict::Odd => Outcome::Faulty(Fault::broken(failed)),
        Verdict::Unauthorised => {
            let header = received.header("www-authenticate");
            failed.cause = header.and_then(challenge::error);
            Outcome::Unauthorised(failed, header.and_then(Claims::of))
        }
        Verdict::Denied => Outcome::Failed(GraphError::Denied { call: failed }),
        Verdict::Redirect => Outcome::Failed(
            received
                .leads_away(call.operation, &call.url)
                .unwrap_or(GraphError::Refused { call: failed }),
        ),
        Verdict::Refused => refused(call, status, &error, failed),
    }
}

/// What a refusal means for whoever followed a link.
fn refused(call: &Call, status: u16, error: &ToldError, failed: Box<FailedCall>) -> Outcome {
    let follows_delta = call.follows == Follows::DeltaLink;
    match status {
        // With or without a code, and with a `Location` that is not followed: it would be a scan.
        410 if follows_delta => Outcome::Failed(GraphError::DeltaLost { call: failed }),
        400 if follows_delta && error.sync_state => {
            Outcome::Failed(GraphError::DeltaLost { call: failed })
        }
        400 if call.follows != Follows::Nothing && error.page_token => {
            Outcome::Failed(GraphError::PageTokenExpired { call: failed })
        }
        // Cut off or garbled, it may be a token that expired: only the whole body tells.
        400 if call.follows != Follows::Nothing && !error.is_one => {
            Outcome::Faulty(Fault::broken(failed))
        }
        _ => Outcome::Failed(GraphError::Refused { call: failed }),
    }
}

/// Reads an error body for the tests of damaged ones.
#[cfg(test)]
pub(crate) fn tells(body: &[u8]) -> bool {
    told_error(body).is_one
}

#[derive(Debug, Default)]
struct ToldError {
    /// Whether it is an error in Graph's form at all.
    is_one: bool,
    code: Option<String>,
    page_token: bool,
    sync_state: bool,
}

/// Reads an error body. Everything but one case goes by the code: an invalid page token is told in
/// the message alone, under a code that stands for any bad request.
fn told_error(body: &[u8]) -> ToldError {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return ToldError::default();
    };
    let text = |name| {
        let found = body.get("error").and_then(|error| error.get(name));
        found.and_then(Value::as_str).unwrap_or_default()
    };
    let (code, message) = (text("code"), text("message"));
    let is_one_of = |codes: &[&str]| codes.iter().any(|it| it.eq_ignore_ascii_case(code));
    let names_it = |text: &str| text.to_ascii_lowercase().contains(SKIP_TOKEN);
    ToldError {
        is_one: body.get("error").is_some_and(Value::is_object),
        code: loggable_code(code),
        sync_state: is_one_of(&SYNC_STATE_CODES),
        page_token: is_one_of(&PAGE_TOKEN_CODES) || names_it(code) || names_it(message),
    }
}
