//! Microsoft Graph on the wire: the client's requests go to the emulator in the same process, with
//! every fault of its catalogue, passing and lasting, and replicas that are stale.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Request as HttpRequest;

use rollcall_core::ids::ObjectId;
use rollcall_graph::{Exchange, Lost, Received, Request, Transport};
use rollcall_graph_emulator::{
    Answer, Delivery, Endpoint, ErrorBody, Fault, FaultRule, Matcher, NextLink, PageTokenError, Who,
};
use serde_json::Value;
use tokio::time::sleep;
use uuid::Uuid;

use crate::checks::failures::ATTEMPT_MS_MAX;
use crate::lambda::{Invocation, Moment, Served, Told};
use crate::tenants::GRAPH_RETRY_S_MAX;
use crate::world::{World, lock};

/// Where Graph and its login are.
pub(crate) const ORIGIN: &str = "https://graph.sim";
/// How long a lasting fault lasts at most, in milliseconds: longer than a run's deadline.
const LASTING_MS_MAX: u64 = 2_400_000;

/// The way to Graph.
#[derive(Debug)]
pub(crate) struct Road(pub(crate) Arc<World>);

/// What goes on going wrong.
#[derive(Debug, Default)]
pub(crate) struct Lasting {
    /// By endpoint: the fault, and until when, in milliseconds since 1970.
    faults: HashMap<Endpoint, (Matcher, Fault, u64)>,
    /// In which run of its tenant a user was lied about. Once only: "not found" is taken for true
    /// when two runs in a row are told so, and no replica is stale for so long.
    lied: BTreeMap<(String, Uuid), u64>,
    /// How many page tokens more are dead: one that is freshened may be dead too.
    dead_tokens: u64,
}

impl Lasting {
    /// Whether somebody was lied about in the run that a tenant has now.
    fn lies(&self, world: &World, tenant: usize) -> bool {
        let name = &world.tenants[tenant].name;
        let run = world.active_run(name);
        let mut lied = self.lied.iter();
        lied.any(|((of, _), in_run)| of == name && Some(*in_run) == run)
    }
}

impl Transport for Road {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        Box::pin(exchange(&self.0, request))
    }
}

async fn exchange(world: &Arc<World>, request: Request) -> Result<Received, Lost> {
    let invocation = Invocation::current();
    if let Some(invocation) = &invocation {
        invocation.step(world, Moment::Before, false).await;
    }
    if request.url().origin().ascii_serialization() != ORIGIN {
        let detail = format!("{} was asked", request.url().origin().ascii_serialization());
        world.violate("fault catalogue 17: no other host gets the bearer", detail);
        return Err(lost(false, "there is no such host"));
    }
    world.travel().await;
    let endpoint = endpoint(request.url().path());
    let tenant = tenant_of(world, invocation.as_deref(), &request);
    let is_next = request
        .url()
        .query()
        .is_some_and(|it| it.contains("skiptoken"));
    let faults = faults(world, endpoint, tenant, is_next);
    for (_, fault) in &faults {
        world.tell(|| format!("!! Graph {endpoint:?}: {fault:?}"));
        world.mark("fault: an answer of Graph");
        world.graph_fails_now();
    }
    let limit_ms = request.timeout().map_or(u64::MAX, |limit| {
        u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
    });
    if let Some(invocation) = &invocation {
        remember_asked(invocation, endpoint, &request);
        is_within_its_budget(world, invocation, endpoint, &request);
    }
    let answer = answer(world, request, faults);
    if answer.delay_ms >= limit_ms {
        sleep(Duration::from_millis(limit_ms)).await;
        return Err(lost(true, "the time limit passed"));
    }
    let takes_ms = answer.delay_ms + world.chaos.graph_latency_ms(&world.dice);
    sleep(Duration::from_millis(takes_ms)).await;
    world.travel().await;
    world.tell(|| {
        let size = answer.body.len();
        let asked = if is_next { ", next page" } else { "" };
        format!(
            "Graph {endpoint:?}{asked} -> {}, {size} bytes, {:?}",
            answer.status, answer.delivery
        )
    });
    let received = received(answer)?;
    if let (Some(invocation), Some(tenant), Ok(body)) = (&invocation, tenant, &received.body)
        && received.status.is_success()
    {
        *lock(&invocation.trying) = None;
        remember(world, invocation, endpoint, tenant, body);
    }
    if let Some(tenant) = tenant
        && world.chaos.moves_somebody(&world.dice)
    {
        let tenant = &world.tenants[tenant];
        match endpoint {
            Endpoint::Users => world.churn_behind_the_scan(tenant),
            Endpoint::DeletedItems => world.restore_somebody(tenant),
            Endpoint::GetByIds => world.enable_somebody(tenant),
            _ => {}
        }
    }
    if let Some(invocation) = &invocation {
        invocation.step(world, Moment::After, false).await;
    }
    Ok(received)
}

fn endpoint(path: &str) -> Endpoint {
    match path {
        "/v1.0/users" => Endpoint::Users,
        "/v1.0/directoryObjects/getByIds" => Endpoint::GetByIds,
        "/v1.0/directory/deletedItems/microsoft.graph.user" => Endpoint::DeletedItems,
        "/v1.0/$batch" => Endpoint::Batch,
        path if path.ends_with("/token") => Endpoint::Token,
        _ => Endpoint::Other,
    }
}

/// Whose request it is: the path of the token endpoint says it, and a bearer was given to one tenant.
fn tenant_of(world: &World, invocation: Option<&Invocation>, request: &Request) -> Option<usize> {
    let path = request.url().path();
    if path.ends_with("/token") {
        let directory = path.trim_start_matches('/').split('/').next()?;
        let directory = Uuid::try_parse(directory).ok()?;
        let index = world.tenant_by_directory(directory)?;
        *lock(&invocation?.tenant) = Some(index);
        return Some(index);
    }
    *lock(&invocation?.tenant)
}

/// A request is tried for as long as its tenant allows, and not longer.
fn is_within_its_budget(
    world: &World,
    invocation: &Invocation,
    endpoint: Endpoint,
    request: &Request,
) {
    if endpoint == Endpoint::Token {
        return;
    }
    let url = request.url().to_string();
    let now_ms = world.now_ms();
    let mut trying = lock(&invocation.trying);
    let since_ms = match &*trying {
        Some((tried, since_ms)) if *tried == url => *since_ms,
        _ => now_ms,
    };
    *trying = Some((url, since_ms));
    let stood_ms = invocation.stood_ms.load(Ordering::Relaxed);
    let allowed_ms = GRAPH_RETRY_S_MAX * 1_000 + ATTEMPT_MS_MAX + stood_ms;
    if now_ms - since_ms > allowed_ms {
        let detail = format!("{endpoint:?} is tried for {} ms", now_ms - since_ms);
        world.violate(
            "invariant 9: a request is given up in its time",
            format!("{detail} (by {}#{})", invocation.function, invocation.id),
        );
    }
}

/// Whom a request asks for in bulk.
fn remember_asked(invocation: &Invocation, endpoint: Endpoint, request: &Request) {
    if endpoint == Endpoint::Users {
        *lock(&invocation.served) = None;
    }
    if endpoint != Endpoint::GetByIds {
        return;
    }
    let body = request
        .body()
        .and_then(|body| body.as_bytes())
        .unwrap_or_default();
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let ids = body["ids"].as_array().into_iter().flatten();
    let ids = ids.filter_map(|id| ObjectId::new(id.as_str()?).ok());
    lock(&invocation.asked).extend(ids);
}

/// The rules for one request: what it is for, and the fault.
fn faults(
    world: &World,
    endpoint: Endpoint,
    tenant: Option<usize>,
    is_next: bool,
) -> Vec<(Matcher, Fault)> {
    if !world.chaos.is_on() {
        lock(&world.lasting).faults.clear();
        return Vec::new();
    }
    let now_ms = world.now_ms();
    let mut lasting = lock(&world.lasting);
    lasting
        .faults
        .retain(|_, (_, _, until_ms)| now_ms < *until_ms);
    if let Some((when, fault, _)) = lasting.faults.get(&endpoint) {
        return vec![(*when, fault.clone())];
    }
    if is_next && lasting.dead_tokens == 0 && world.chaos.token_is_dead(&world.dice) {
        lasting.dead_tokens = world.dice.between(1, 4);
    }
    if is_next && lasting.dead_tokens > 0 {
        lasting.dead_tokens -= 1;
        let fault = Fault::PageToken(PageTokenError::NotFound);
        let cut_off = world.dice.per_mille(100).then_some(Fault::Truncated);
        let faults = [fault].into_iter().chain(cut_off);
        return faults.map(|fault| (Matcher::any(), fault)).collect();
    }
    if world.chaos.graph_fails_for_long(&world.dice) {
        let until_ms = now_ms + world.dice.between(10_000, LASTING_MS_MAX);
        let (when, fault) = lasting_fault(world, endpoint);
        lasting
            .faults
            .insert(endpoint, (when, fault.clone(), until_ms));
        return vec![(when, fault)];
    }
    let mut faults = Vec::new();
    let is_look_up = matches!(endpoint, Endpoint::GetByIds | Endpoint::Batch);
    if world.chaos.graph_fails(&world.dice, is_look_up) {
        let matcher = match endpoint {
            // Half of the faults of a batch are in one of its answers.
            Endpoint::Batch if world.dice.per_mille(500) => {
                Matcher::endpoint(Endpoint::BatchItem).nth(world.dice.between(1, 4))
            }
            _ => Matcher::any(),
        };
        let fault = if matcher != Matcher::any() && world.dice.per_mille(300) {
            // Another code than the one that counts.
            Fault::status_with(404, ErrorBody::Unknown)
        } else {
            fault(world, endpoint, is_next)
        };
        if matches!(fault, Fault::PageToken(_)) {
            lasting.dead_tokens = world.dice.between(0, 3);
        }
        if endpoint == Endpoint::Users && is_next && world.dice.per_mille(200) {
            // Whatever it is, half of it arrives.
            faults.push((Matcher::any(), Fault::Truncated));
        }
        faults.push((matcher, fault));
    }
    if let Some(tenant) = tenant
        && world
            .chaos
            .graph_lies(&world.dice, lasting.lies(world, tenant))
    {
        faults.extend(lies(world, &mut lasting, endpoint, tenant));
    }
    faults
}

/// A stale replica: users who are there are left out, or not found.
fn lies(
    world: &World,
    lasting: &mut Lasting,
    endpoint: Endpoint,
    tenant: usize,
) -> Vec<(Matcher, Fault)> {
    let name = &world.tenants[tenant].name;
    let Some(run) = world.active_run(name) else {
        return Vec::new();
    };
    let ids: Vec<_> = {
        let directory = world.tenants[tenant].graph.directory();
        directory.users().map(|user| user.id).collect()
    };
    let may_lie = |id: &Uuid| {
        let before = lasting.lied.get(&(name.clone(), *id));
        before.is_none_or(|before| *before == run)
    };
    let ids: Vec<_> = ids.into_iter().filter(may_lie).collect();
    let about: Vec<_> = (0..2).filter_map(|_| world.dice.pick(&ids)).collect();
    // Who was left out before in this run is left out again, and then not found either.
    let mut about: Vec<_> = lasting
        .lied
        .iter()
        .filter(|((of, id), in_run)| of == name && **in_run == run && ids.contains(id))
        .map(|((_, id), _)| *id)
        .chain(about)
        .collect();
    about.dedup();
    let lie = match endpoint {
        Endpoint::Users | Endpoint::GetByIds => {
            vec![(Matcher::any(), Fault::LeftOut(Who::Ids(about.clone())))]
        }
        Endpoint::Batch => about
            .iter()
            .map(|id| {
                (
                    Matcher::endpoint(Endpoint::BatchItem).user(*id),
                    Fault::NotFound,
                )
            })
            .collect(),
        _ => return Vec::new(),
    };
    for id in about {
        world.mark("fault: Graph is stale about a user");
        lasting.lied.insert((name.clone(), id), run);
    }
    lie
}

/// What goes on for a while: any fault, or a service that has lost sight of the tenant.
fn lasting_fault(world: &World, endpoint: Endpoint) -> (Matcher, Fault) {
    let is_blind = world.chaos.graph_is_blind(&world.dice);
    match endpoint {
        Endpoint::Users if is_blind => {
            let known = Fault::LeftOut(Who::Ids(world.known_users()));
            let unknown = Fault::NullAccountEnabled(Who::All);
            (
                Matcher::any(),
                if world.dice.per_mille(500) {
                    known
                } else {
                    unknown
                },
            )
        }
        Endpoint::GetByIds if is_blind => (Matcher::any(), Fault::LeftOut(Who::All)),
        Endpoint::Batch if is_blind => (Matcher::endpoint(Endpoint::BatchItem), Fault::NotFound),
        _ => {
            let fault = match fault(world, endpoint, false) {
                // Empty pages without end fill the store, and show nothing that a few don't.
                Fault::EmptyPage => Fault::status(503),
                other => other,
            };
            (Matcher::any(), fault)
        }
    }
}

/// One of the catalogue, as far as it fits the endpoint.
fn fault(world: &World, endpoint: Endpoint, is_next: bool) -> Fault {
    let dice = &world.dice;
    let common = || match dice.index(10) {
        0 => Fault::throttled(Some(u32::try_from(dice.between(1, 20)).unwrap_or(1))),
        1 => Fault::throttled(None),
        2 => Fault::status(dice.of([500, 502, 503, 504])),
        3 => Fault::status_with(dice.of([500, 503]), ErrorBody::Unknown),
        4 => Fault::status_with(502, ErrorBody::Html),
        5 => match dice.index(3) {
            0 => Fault::Closed,
            1 => Fault::Reset,
            _ => Fault::Broken,
        },
        6 => Fault::Delay {
            ms: dice.between(1_000, 60_000),
        },
        7 => Fault::Truncated,
        8 => Fault::Spliced,
        _ => Fault::status_with(503, ErrorBody::EmptyCode),
    };
    if endpoint == Endpoint::Token {
        return match dice.index(6) {
            0 => Fault::login_throttled(5),
            1 => Fault::login_transient(),
            2 => Fault::login_refused(),
            _ => common(),
        };
    }
    match dice.index(8) {
        0 => Fault::ExpiredBearer,
        1 => Fault::ClaimsChallenge,
        2 if dice.per_mille(200) => Fault::Denied,
        3 => match dice.index(3) {
            0 => Fault::ErrorForValue,
            1 => Fault::NoValue,
            _ => Fault::NullValue,
        },
        4..=6 if endpoint == Endpoint::Users => list_fault(world, is_next),
        _ => common(),
    }
}

/// The faults that only a list has.
fn list_fault(world: &World, is_next: bool) -> Fault {
    let dice = &world.dice;
    match dice.index(10) {
        // Only a page after the first has a token.
        0 if is_next => Fault::PageToken(PageTokenError::Expired),
        1 if is_next => Fault::PageToken(PageTokenError::NotFound),
        2 | 3 if is_next => Fault::PageToken(PageTokenError::Invalid),
        4 => Fault::EmptyEnd,
        5 => Fault::EmptyPage,
        6 => Fault::NextLink(NextLink::Itself),
        7 => Fault::NextLink(NextLink::Page(1)),
        8 => match dice.index(3) {
            0 => Fault::NextLink(NextLink::Origin("https://elsewhere.sim".into())),
            1 => Fault::Redirect {
                to: "https://elsewhere.sim/v1.0/users".into(),
            },
            _ => Fault::NextLink(NextLink::Missing),
        },
        _ => match dice.index(5) {
            0 | 3 => Fault::Twice(Who::First(2)),
            1 => Fault::NullAccountEnabled(Who::First(2)),
            2 => Fault::NoAccountEnabled(Who::First(1)),
            _ => Fault::NullAccountEnabled(Who::All),
        },
    }
}

/// Asks the emulator, under the rules of this one request.
fn answer(world: &World, request: Request, faults: Vec<(Matcher, Fault)>) -> Answer {
    let url = request.url();
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let body = request
        .body()
        .and_then(|body| body.as_bytes())
        .unwrap_or_default();
    let mut builder = HttpRequest::builder()
        .method(request.method().clone())
        .uri(path);
    if let Some(headers) = builder.headers_mut() {
        headers.clone_from(request.headers());
    }
    let request = builder
        .body(Bytes::copy_from_slice(body))
        .unwrap_or_default();
    for (when, fault) in faults {
        world.graph.add_fault(FaultRule::once(when, fault));
    }
    let answer = world.graph.handle(&request);
    world.graph.clear_faults();
    answer
}

fn lost(timed_out: bool, cause: &str) -> Lost {
    Lost {
        timed_out,
        cause: cause.to_owned(),
    }
}

fn received(answer: Answer) -> Result<Received, Lost> {
    let body = match answer.delivery {
        Delivery::Whole => Ok(answer.body.to_vec()),
        Delivery::Broken => Err(lost(false, "the body ended early")),
        Delivery::Closed | Delivery::Reset => return Err(lost(false, "the connection was reset")),
    };
    Ok(Received {
        status: answer.status,
        headers: answer.headers,
        body,
    })
}

// === What was told, for the checks ===

fn remember(
    world: &World,
    invocation: &Invocation,
    endpoint: Endpoint,
    tenant: usize,
    body: &[u8],
) {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let name = world.tenants[tenant].name.clone();
    let mut told = lock(&invocation.told);
    let mut tell = |id: &Value, what: Told| {
        if let Some(id) = id.as_str().and_then(|id| ObjectId::new(id).ok()) {
            told.entry((name.clone(), id)).or_default().push(what);
        }
    };
    let members = |list: &Value| list.as_array().cloned().unwrap_or_default();
    match endpoint {
        Endpoint::Users => {
            // Only a page that is whole is one.
            *lock(&invocation.served) = body["value"].as_array().map(|users| Served {
                users: users.len() as u64,
                decided: users
                    .iter()
                    .filter(|user| user["accountEnabled"].is_boolean())
                    .count() as u64,
                next_link: body["@odata.nextLink"].as_str().map(str::to_owned),
            });
        }
        Endpoint::GetByIds => {
            for user in members(&body["value"]) {
                tell(&user["id"], Told::Alive(user["accountEnabled"].as_bool()));
            }
        }
        Endpoint::DeletedItems => {
            for user in members(&body["value"]) {
                tell(&user["id"], Told::InBin);
            }
        }
        Endpoint::Batch => {
            for response in members(&body["responses"]) {
                let is_gone = response["status"] == 404
                    && response["body"]["error"]["code"] == "Request_ResourceNotFound";
                if response["status"] == 200 {
                    let user = &response["body"];
                    tell(&user["id"], Told::Alive(user["accountEnabled"].as_bool()));
                } else if is_gone {
                    let message = response["body"]["error"]["message"].as_str();
                    let id = message.and_then(|text| text.split('\'').nth(1));
                    tell(&id.unwrap_or_default().into(), Told::NotFound);
                }
            }
        }
        _ => {}
    }
}
