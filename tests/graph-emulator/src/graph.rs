//! The service without sockets: a request in, an answer out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use rollcall_ambient::Ambient;
use serde_json::json;
use uuid::Uuid;

use crate::answer::{Answer, Draft, Envelope, GraphError, Raw, json_bytes};
use crate::batch::{self, BatchItem};
use crate::delta;
use crate::errors;
use crate::fault::{self, Fault};
use crate::groups;
use crate::hooks::{Hits, Hooks, Seen};
use crate::lists::{self, List, PageRequest};
use crate::log::{LogEntry, RequestLog};
use crate::login::{self, Bearers};
use crate::objects;
use crate::request::{self, Endpoint, Query, Target};
use crate::tenant::{Tenant, lock};

/// Microsoft Graph and its login, with everything that controls them. Cheap to clone; all clones
/// are the same service.
#[derive(Clone)]
pub struct Graph(pub(crate) Arc<Inner>);

impl fmt::Debug for Graph {
    /// Without the bearers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("origin", &self.0.origin)
            .finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    pub(crate) origin: String,
    pub(crate) ambient: Ambient,
    pub(crate) tenants: Mutex<BTreeMap<Uuid, Tenant>>,
    pub(crate) bearers: Mutex<Bearers>,
    pub(crate) hooks: Mutex<Hooks>,
    pub(crate) log: Mutex<RequestLog>,
}

/// A request, or one inside a batch, taken apart.
struct Call<'a> {
    endpoint: Endpoint,
    target: Target,
    method: String,
    query: Query,
    /// Origin, path and query, as they were asked for.
    url: String,
    headers: &'a HeaderMap,
    bearer: Option<&'a str>,
    body: &'a [u8],
    tenant: Option<&'a Tenant>,
    /// What is wrong with the bearer, or that too much was asked.
    refusal: Option<&'a GraphError>,
    envelope: &'a Envelope,
}

impl Graph {
    /// A service without tenants. All links that it gives out begin with the origin, such as
    /// `http://127.0.0.1:8080`, which is the resource of the scope as well.
    #[must_use]
    pub fn new(ambient: Ambient, origin: &str) -> Self {
        Self(Arc::new(Inner {
            origin: origin.to_owned(),
            ambient,
            tenants: Mutex::new(BTreeMap::new()),
            bearers: Mutex::new(Bearers::new()),
            hooks: Mutex::new(Hooks::default()),
            log: Mutex::new(RequestLog::default()),
        }))
    }

    /// Where the service is: the `graph_url` and the `login_url` of its clients.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    /// Answers a request. Only path and query of its URI count.
    #[must_use]
    pub fn handle(&self, request: &Request<Bytes>) -> Answer {
        let target = Target::of(request.method(), request.uri().path());
        let query = Query::parse(request.uri().query());
        let mut envelope = self.envelope(request.headers(), &target, &query);
        let (tenant, refusal) = self.identify(request.headers(), &target);
        let (refusal, used) = charge(tenant.as_ref(), refusal, &envelope);
        envelope.used = used;
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let call = Call {
            endpoint: target.endpoint(),
            target,
            method: request.method().to_string(),
            query,
            url: format!("{}{path}", self.0.origin),
            headers: request.headers(),
            bearer: request::bearer(request.headers()),
            body: request.body(),
            tenant: tenant.as_ref(),
            refusal: refusal.as_ref(),
            envelope: &envelope,
        };
        let seen = self.seen(&call);
        let mut hits = lock(&self.0.hooks).hits(&seen);
        let draft = self.draft(&call, &mut hits);
        let mut written = envelope.write(draft);
        let error = envelope.error_body(
            "InternalServerError",
            "The property 'x[Nullable=False]' of type 'microsoft.graph.y' has a null value, which \
             is not allowed.",
        );
        for fault in &hits.faults {
            fault.spoil(&mut written.body, &error);
        }
        let delivery = fault::delivery(&hits.faults);
        let sent = !matches!(delivery, crate::Delivery::Closed | crate::Delivery::Reset);
        self.record(&call, &seen, sent.then_some(written.status), &hits);
        envelope.seal(written, fault::delay_ms(&hits.faults), delivery)
    }

    fn envelope(&self, headers: &HeaderMap, target: &Target, query: &Query) -> Envelope {
        let request_id = self.0.ambient.random_uuid();
        Envelope {
            now_ms: self.0.ambient.now_ms(),
            client_request_id: request::text(headers, "client-request-id")
                .map_or_else(|| request_id.clone(), str::to_owned),
            request_id,
            gzip: request::accepts_gzip(headers),
            login: target.endpoint() == Endpoint::Token,
            units: target.units(query),
            used: None,
        }
    }

    fn identify(
        &self,
        headers: &HeaderMap,
        target: &Target,
    ) -> (Option<Tenant>, Option<GraphError>) {
        let (id, refusal) = match target {
            Target::Token { directory } => (Uuid::try_parse(directory).ok(), None),
            _ => {
                let bearer = request::bearer(headers);
                lock(&self.0.bearers).check(bearer, self.0.ambient.now_ms())
            }
        };
        let tenant = id.and_then(|id| lock(&self.0.tenants).get(&id).cloned());
        (tenant, refusal)
    }

    fn seen(&self, call: &Call<'_>) -> Seen {
        let page = call.tenant.and_then(|tenant| match &call.target {
            Target::Delta => tenant.delta_tokens().page(&call.query),
            target => list(target).and_then(|_| tenant.cursors().page(&call.query)),
        });
        Seen {
            endpoint: call.endpoint,
            tenant: call.tenant.map(Tenant::directory_id),
            page,
            user: call.target.object(),
        }
    }

    /// The answer, with the scripts run around it and the faults in it.
    fn draft(&self, call: &Call<'_>, hits: &mut Hits) -> Draft {
        let run = |changes: &mut Vec<crate::hooks::Change>| {
            for change in changes.drain(..) {
                if let Some(tenant) = call.tenant {
                    change(&mut tenant.directory());
                }
            }
        };
        run(&mut hits.before);
        if let Some(bearer) = call.bearer {
            let mut bearers = lock(&self.0.bearers);
            if hits.faults.contains(&Fault::ExpiredBearer) {
                bearers.revoke(bearer);
            }
            if hits.faults.contains(&Fault::ClaimsChallenge) {
                bearers.demand_claims(bearer);
            }
        }
        let key = call.target.key();
        let instead = hits.faults.iter().find_map(|fault| fault.draft(key));
        let mut draft =
            instead.unwrap_or_else(|| self.answer(call, &hits.faults).unwrap_or_else(Draft::Error));
        let link = |page: Option<u32>| {
            if call.target == Target::Delta {
                return page.is_none().then(|| call.url.clone());
            }
            let (list, tenant) = (list(&call.target)?, call.tenant?);
            let cursors = tenant.cursors();
            cursors.link(list, page.or_else(|| cursors.page(&call.query))?)
        };
        for fault in &hits.faults {
            fault.bend(&mut draft, &link);
        }
        run(&mut hits.after);
        draft
    }

    /// The answer that the directory gives.
    fn answer(&self, call: &Call<'_>, faults: &[Fault]) -> Result<Draft, GraphError> {
        let (ambient, origin) = (&self.0.ambient, self.0.origin.as_str());
        if let Target::Token { directory } = &call.target {
            let bearers = &mut lock(&self.0.bearers);
            let tenant = call.tenant;
            return Ok(login::answer(
                ambient, bearers, origin, directory, tenant, call.body,
            ));
        }
        if let Some(refusal) = call.refusal {
            return Err(refusal.clone());
        }
        let Some(tenant) = call.tenant else {
            return Err(errors::bearer_error("Invalid authentication token."));
        };
        let query = &call.query;
        let eventual = request::is_eventual(call.headers);
        match &call.target {
            Target::User { key } => objects::user(tenant, origin, key, query),
            Target::UserCount => objects::count(tenant, eventual),
            Target::Delta => {
                let emptied = faults.contains(&Fault::EmptyPage);
                delta::answer(ambient, tenant, origin, query, emptied)
            }
            Target::GetByIds => objects::get_by_ids(ambient, tenant, origin, query, call.body),
            Target::Group { key } => groups::group(tenant, origin, key),
            Target::CheckMemberGroups { key } => {
                groups::check_member_groups(tenant, origin, key, call.body)
            }
            Target::Batch => self.batch(call),
            Target::WrongMethod { allowed } => Err(GraphError::new(
                405,
                "Request_BadRequest",
                format!(
                    "Specified HTTP method is not allowed for the request target; it is {allowed}."
                ),
            )),
            Target::Unknown { segment } => Err(GraphError::new(
                400,
                "BadRequest",
                format!("Resource not found for the segment '{segment}'."),
            )),
            Target::GroupMembers { key } if list(&call.target).is_none() => {
                Err(errors::not_found(key))
            }
            Target::Token { .. }
            | Target::Users
            | Target::DeletedItems
            | Target::GroupMembers { .. } => {
                let request = PageRequest {
                    list: list(&call.target).unwrap_or(List::Users),
                    query,
                    url: &call.url,
                    origin,
                    eventual,
                    emptied: faults.contains(&Fault::EmptyPage),
                };
                lists::answer(ambient, tenant, &request)
            }
        }
    }

    fn batch(&self, outer: &Call<'_>) -> Result<Draft, GraphError> {
        let items = batch::parse(outer.body)?;
        let mut responses: Vec<_> = items
            .iter()
            .map(|item| self.in_batch(outer, item))
            .collect();
        fastrand::Rng::with_seed(self.0.ambient.random_u64()).shuffle(&mut responses);
        Ok(Draft::Raw(Raw {
            status: 200,
            content_type: "application/json",
            headers: Vec::new(),
            body: json_bytes(&json!({ "responses": responses })),
        }))
    }

    fn in_batch(&self, outer: &Call<'_>, item: &BatchItem) -> serde_json::Value {
        let (method, asked) = item.asked();
        let (path, query) = asked.split_once('?').unwrap_or((&asked, ""));
        let target = match Target::of(&method, path) {
            Target::Batch => Target::Unknown {
                segment: "$batch".to_owned(),
            },
            target => target,
        };
        let headers: HeaderMap = item.headers.iter().filter_map(header).collect();
        let body = json_bytes(&item.body);
        let query = Query::parse(Some(query));
        // Each costs what it costs by itself.
        let envelope = Envelope {
            units: target.units(&query),
            ..outer.envelope.clone()
        };
        let (refusal, _) = charge(outer.tenant, outer.refusal.cloned(), &envelope);
        let call = Call {
            endpoint: Endpoint::BatchItem,
            target,
            method: method.to_string(),
            query,
            url: format!("{}{asked}", self.0.origin),
            headers: &headers,
            body: &body,
            refusal: refusal.as_ref(),
            ..*outer
        };
        let seen = self.seen(&call);
        let mut hits = lock(&self.0.hooks).hits(&seen);
        let draft = self.draft(&call, &mut hits);
        let (status, response) = item.response(outer.envelope, draft);
        self.record(&call, &seen, Some(status), &hits);
        response
    }

    fn record(&self, call: &Call<'_>, seen: &Seen, status: Option<u16>, hits: &Hits) {
        lock(&self.0.log).push(LogEntry {
            at_ms: call.envelope.now_ms,
            endpoint: call.endpoint,
            method: call.method.clone(),
            url: call.url.clone(),
            tenant: seen.tenant,
            page: seen.page,
            status,
            bearer: call.bearer.is_some(),
            faulted: !hits.faults.is_empty(),
            client_request_id: request::text(call.headers, "client-request-id").map(str::to_owned),
        });
    }
}

/// Takes a request's units out of its tenant's bucket. Gives why it is not answered, if there were not
/// enough or it has a reason already, and which share of the bucket is used.
fn charge(
    tenant: Option<&Tenant>,
    refusal: Option<GraphError>,
    envelope: &Envelope,
) -> (Option<GraphError>, Option<f64>) {
    match tenant {
        Some(tenant) if refusal.is_none() && !envelope.login => {
            tenant.charge(envelope.units, envelope.now_ms)
        }
        _ => (refusal, None),
    }
}

/// The list that a target pages through.
fn list(target: &Target) -> Option<List> {
    match target {
        Target::Users => Some(List::Users),
        Target::DeletedItems => Some(List::DeletedItems),
        Target::GroupMembers { key } => Uuid::try_parse(key).ok().map(List::Members),
        _ => None,
    }
}

fn header((name, value): (&String, &String)) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::try_from(name.as_str()).ok()?;
    Some((name, HeaderValue::try_from(value.as_str()).ok()?))
}
