//! Microsoft Graph on the wire: the client's requests go to the emulator in the same process, with
//! every fault of its catalogue, passing and lasting, and replicas that are stale.

mod faults;
mod rows;
mod told;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Request as HttpRequest;
use rollcall_graph::{Exchange, Lost, Received, Request, Transport};
use rollcall_graph_emulator::{Answer, Delivery, Endpoint, Fault, FaultRule, Matcher};
use tokio::time::sleep;
use uuid::Uuid;

use crate::checks::{isolation, plans};
use crate::lambda::{Invocation, Moment};
use crate::provider;
use crate::world::{World, lock};
pub(crate) use faults::Lasting;
use faults::faults;
use told::{Asked, is_bracketed, is_within_its_budget, remember, remember_asked};

/// Where Graph and its login are.
pub(crate) const ORIGIN: &str = "https://graph.sim";

/// The way to Graph.
#[derive(Debug)]
pub(crate) struct Road(pub(crate) Arc<World>);
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
    if let Some(tenant) = provider::whose(world, &request) {
        return provider::exchange(world, tenant, &request).await;
    }
    if request.url().origin().ascii_serialization() != ORIGIN {
        let detail = format!("{} was asked", request.url().origin().ascii_serialization());
        world.violate("fault catalogue 17: no other host gets the bearer", detail);
        return Err(lost(false, "there is no such host"));
    }
    world.travel().await;
    let endpoint = endpoint(request.url().path());
    let tenant = tenant_of(world, invocation.as_deref(), &request);
    if let Some(invocation) = &invocation {
        isolation::asks(world, invocation, &request);
        plans::asks_graph(world, invocation);
    }
    let is_next = request
        .url()
        .query()
        .is_some_and(|it| it.contains("skiptoken"));
    let faults = faults(world, endpoint, tenant, is_next);
    for (_, fault) in &faults {
        world.tell(|| format!("!! Graph {endpoint:?}: {fault:?}"));
        world.mark(rows::mark(endpoint, fault));
        world.graph_fails_now();
    }
    let limit_ms = request.timeout().map_or(u64::MAX, |limit| {
        u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
    });
    if let Some(invocation) = &invocation {
        remember_asked(invocation, endpoint, &request);
        is_within_its_budget(world, invocation, endpoint, &request);
        is_bracketed(world, invocation, endpoint, is_next);
    }
    let asked = Asked::of(&request);
    let mut answer = answer(world, request, faults);
    if endpoint == Endpoint::Batch && faults::hides_groups(world) {
        answer.body = told::without_groups(&answer.body);
    }
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
        remember(world, invocation, (endpoint, &asked, is_next), tenant, body);
    }
    if let Some(tenant) = tenant
        && world.chaos.moves_somebody(&world.dice)
    {
        let tenant = &world.tenants[tenant];
        match endpoint {
            Endpoint::Users => world.churn_behind_the_scan(tenant),
            Endpoint::DeletedItems => world.restore_somebody(tenant),
            Endpoint::GetByIds => world.enable_somebody(tenant),
            Endpoint::GroupMembers | Endpoint::Batch if tenant.has_groups_in_scope() => {
                world.change_groups(tenant);
            }
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
        "/v1.0/users/delta" => Endpoint::Delta,
        "/v1.0/directoryObjects/getByIds" => Endpoint::GetByIds,
        "/v1.0/directory/deletedItems/microsoft.graph.user" => Endpoint::DeletedItems,
        "/v1.0/$batch" => Endpoint::Batch,
        path if path.ends_with("/token") => Endpoint::Token,
        path if path.ends_with("/transitiveMembers") => Endpoint::GroupMembers,
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
