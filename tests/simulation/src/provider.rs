//! The tenants' service providers: SCIM on the wire, through a network that loses, delays and refuses, to accounts that
//! are each tenant's own.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use rollcall_graph::{Lost, Received, Request};
use rollcall_scim_emulator::Accounts;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::chaos::WireFault;
use crate::checks::accounts::{self, Sent};
use crate::dice::Dice;
use crate::lambda::{Invocation, Moment};
use crate::tenants::{SimTenant, domain};
use crate::world::{World, lock};

/// What every service provider's path begins with.
const ROOT: &str = "/scim";
/// The longest wait that one asks for, in seconds: longer than a request is waited for.
const RETRY_AFTER_S_MAX: u64 = 20;

/// How late a request comes at most, in milliseconds: within the time that one is waited for that was given up.
const LATE_MS_MAX: u64 = 500_000;

/// A tenant's service provider.
#[derive(Debug, Default)]
pub(crate) struct Provider {
    pub(crate) accounts: Accounts,
    /// What nobody may touch.
    pub(crate) of_others: Vec<Value>,
    /// Until when it is down, in milliseconds since 1970.
    pub(crate) down_until_ms: u64,
    /// How many requests are on their way to it, late.
    pub(crate) on_their_way: u64,
}

impl Provider {
    /// One that has had accounts before anybody told it of a user: of somebody whom no tenant knows, and of somebody's
    /// login name, which a person made for him or another system for somebody else.
    pub(crate) fn with_strangers(dice: &Dice, login_name: Option<&str>) -> Self {
        let mut provider = Self::default();
        let mut has = |account: Value| {
            let accounts = &mut provider.accounts;
            accounts
                .carry_out(&Method::POST, "/Users", Some(&account))
                .1
        };
        let active = dice.per_mille(500);
        let stranger = format!("stranger@{}", domain(0));
        let mut of_others = vec![has(json!({ "userName": stranger, "active": active }))];
        if let Some(name) = login_name {
            let mut account = json!({ "userName": name, "active": active });
            if dice.per_mille(500) {
                account["externalId"] = json!("another system's");
                of_others.push(has(account));
            } else {
                has(account);
            }
        }
        provider.of_others = of_others;
        provider.accounts.takes_names_twice = dice.per_mille(500);
        provider
    }
}

/// Where a tenant's service provider is.
pub(crate) fn url(tenant: &str) -> String {
    format!("https://{tenant}.scim.sim{ROOT}")
}

/// Whose service provider a request goes to.
pub(crate) fn whose<'a>(world: &'a World, request: &Request) -> Option<&'a SimTenant> {
    let name = request.url().host_str()?.strip_suffix(".scim.sim")?;
    world.tenant(name).filter(|tenant| tenant.has_provider())
}

/// A request on its way.
struct Asked {
    method: Method,
    path: String,
    body: Option<Value>,
    sent: Sent,
}

/// Sends a request to a tenant's service provider.
pub(crate) async fn exchange(
    world: &Arc<World>,
    tenant: &SimTenant,
    request: &Request,
) -> Result<Received, Lost> {
    let invocation = Invocation::current();
    if let Some(invocation) = &invocation {
        accounts::asks(world, invocation, tenant, request);
    }
    let asked = Asked::of(world, tenant, request, invocation.as_deref());
    let now_ms = world.now_ms();
    let is_down = lock(&tenant.provider).down_until_ms > now_ms;
    let fault = if is_down {
        None
    } else {
        let fault = world.chaos.wire_fault(&world.dice, "SCIM");
        fault.or_else(|| delays(world, &asked.method))
    };
    if let Some(fault) = &fault {
        world.tell(|| format!("!! SCIM {}: {fault}", asked.method));
        world.mark(fault.mark());
    }
    world.travel().await;
    let (method, path) = (asked.method.clone(), asked.path.clone());
    let answer = match fault {
        _ if is_down => {
            world.mark("fault: a service provider is down");
            refusal(&world.dice, StatusCode::SERVICE_UNAVAILABLE)
        }
        Some(WireFault::LostBefore) => return Err(reset()),
        Some(WireFault::LostAfter) => {
            let mut answer = carry_out(world, &asked);
            if world.dice.per_mille(500) {
                return Err(reset());
            }
            answer.body = Err(reset());
            answer
        }
        Some(WireFault::Late { ms }) => late(world, asked, ms, request.timeout()).await?,
        Some(WireFault::Refused { .. }) => {
            let status = world.dice.of([
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::INTERNAL_SERVER_ERROR,
                StatusCode::UNAUTHORIZED,
                StatusCode::FORBIDDEN,
                StatusCode::BAD_REQUEST,
            ]);
            refusal(&world.dice, status)
        }
        Some(WireFault::Conflict) | None => carry_out(world, &asked),
    };
    world.travel().await;
    world.tell(|| {
        let status = answer.status;
        format!("SCIM of {} {method} {path} -> {status}", tenant.name)
    });
    if let Some(invocation) = &invocation {
        invocation.step(world, Moment::After, false).await;
    }
    Ok(answer)
}

impl Asked {
    fn of(
        world: &World,
        tenant: &SimTenant,
        request: &Request,
        invocation: Option<&Invocation>,
    ) -> Self {
        let url = request.url();
        let path = url.path().strip_prefix(ROOT).unwrap_or_default();
        let path = match url.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let body = request.body().and_then(|body| body.as_bytes());
        let now_ms = world.now_ms();
        Self {
            method: request.method().clone(),
            path,
            body: body.and_then(|body| serde_json::from_slice(body).ok()),
            sent: Sent {
                tenant: tenant.name.clone(),
                began_ms: invocation.map_or(now_ms, |it| it.began_ms),
                sent_ms: now_ms,
            },
        }
    }
}

/// What creates an account comes late more often than anything else: from it a second one would come.
fn delays(world: &World, method: &Method) -> Option<WireFault> {
    let is_delayed =
        *method == Method::POST && world.chaos.is_stormy() && world.dice.per_mille(250);
    is_delayed.then(|| WireFault::Late {
        ms: world.dice.between(1_000, LATE_MS_MAX),
    })
}

/// The request is on its way for so long, and is carried out whether or not its sender still waits.
async fn late(
    world: &Arc<World>,
    asked: Asked,
    ms: u64,
    limit: Option<&Duration>,
) -> Result<Received, Lost> {
    let (answer, answered) = oneshot::channel();
    let world = Arc::clone(world);
    if let Some(tenant) = world.tenant(&asked.sent.tenant) {
        lock(&tenant.provider).on_their_way += 1;
    }
    tokio::spawn(async move {
        sleep(Duration::from_millis(ms)).await;
        world.tell(|| format!("SCIM {} {} arrives", asked.method, asked.path));
        let carried_out = carry_out(&world, &asked);
        if let Some(tenant) = world.tenant(&asked.sent.tenant) {
            lock(&tenant.provider).on_their_way -= 1;
        }
        // Whoever sent it may have given up.
        let _ = answer.send(carried_out);
    });
    let waited = timeout(limit.copied().unwrap_or(Duration::MAX), answered).await;
    match waited {
        Ok(answer) => answer.map_err(|_| reset()),
        Err(_) => Err(Lost {
            timed_out: true,
            cause: "the time limit passed".into(),
        }),
    }
}

fn carry_out(world: &World, asked: &Asked) -> Received {
    let Asked {
        method,
        path,
        body,
        sent,
    } = asked;
    let Some(tenant) = world.tenant(&sent.tenant) else {
        return answer(StatusCode::NOT_FOUND, &Value::Null);
    };
    let mut provider = lock(&tenant.provider);
    let before: Vec<_> = provider.accounts.all().cloned().collect();
    let (status, said) = provider.accounts.carry_out(method, path, body.as_ref());
    if status.is_success() && method != Method::GET {
        drop(provider);
        accounts::told(world, sent, (path, body.as_ref()), &before);
    }
    answer(status, &said)
}

fn answer(status: StatusCode, said: &Value) -> Received {
    let body = match status {
        StatusCode::NO_CONTENT => Vec::new(),
        _ => said.to_string().into_bytes(),
    };
    Received {
        status,
        headers: HeaderMap::new(),
        body: Ok(body),
    }
}

fn refusal(dice: &Dice, status: StatusCode) -> Received {
    let mut refused = answer(status, &json!({ "detail": "on purpose" }));
    if status == StatusCode::TOO_MANY_REQUESTS {
        let seconds = HeaderValue::from(dice.between(1, RETRY_AFTER_S_MAX));
        refused.headers.insert("retry-after", seconds);
    }
    refused
}

fn reset() -> Lost {
    Lost {
        timed_out: false,
        cause: "the connection was reset".into(),
    }
}
