//! The client, and the scan of all users.

use std::sync::Arc;

use rollcall_ambient::Ambient;
use rollcall_core::delta::DeltaUser;
use rollcall_core::evidence::Told;
use rollcall_core::user::{AttributeMap, GraphUser};

use crate::config::{Endpoints, GraphConfig};
use crate::error::GraphError;
use crate::exchange::{BODY_BYTES_MAX, Network, Transport};
use crate::http::{Call, Http};
use crate::link::{NextLink, safe_url};
use crate::page::{self, Broken, DeltaEnd};
use crate::retry::Limits;
use crate::token::Tokens;
use crate::usage::{Counters, Usage};

/// Answers that mean that the service has no `/users/$count`. Tenants of Azure AD B2C have none.
const COUNT_MISSING: [u16; 4] = [400, 404, 405, 501];

/// Answers that mean that the service has no delta of users, or cannot begin one now. Tenants of
/// Azure AD B2C and External ID have none.
const DELTA_MISSING: [u16; 5] = [400, 404, 405, 410, 501];

const USERS: &str = "users";
const DELTA: &str = "delta";

/// Which page of the users.
#[derive(Debug, Clone, Copy)]
pub enum PageAt<'a> {
    /// The first.
    First,
    /// The first, of at most so many users, which the pages after it have too. At most 999.
    FirstOf(u32),
    /// The one that a page before it names.
    Link(&'a NextLink),
}

/// A page of users, complete as Graph sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsersPage {
    /// The users in Graph's order. The list can be empty, and a user can come again on a later page.
    pub users: Vec<GraphUser>,
    /// The next page. Without it, this is the last.
    pub next: Option<NextLink>,
    /// Microsoft's id of the request, for a support case.
    pub request_id: Option<String>,
}

/// A page of a delta, complete as Graph sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaPage {
    /// Who changed or was removed, in Graph's order.
    pub users: Vec<DeltaUser>,
    /// How it goes on.
    pub end: DeltaLink,
    /// Microsoft's id of the request, for a support case.
    pub request_id: Option<String>,
}

/// The link at the end of a page of a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeltaLink {
    /// There is another page.
    Next(NextLink),
    /// It was the last; a later delta goes on here. Good for seven days.
    Delta(NextLink),
}

/// The client of one tenant. A clone shares connections, token and counts.
#[derive(Debug, Clone)]
pub struct GraphClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoints: Endpoints,
    attributes: AttributeMap,
    http: Http,
}

impl GraphClient {
    /// Over the network. Nothing is sent before the first question.
    ///
    /// # Errors
    /// [`GraphError::BadConfig`] names the setting that cannot work.
    pub fn new(config: GraphConfig, ambient: Ambient) -> Result<Self, GraphError> {
        let roots = [&config.graph_root, &config.login_root];
        let plain_http = roots.iter().any(|root| root.scheme() == "http");
        Self::over(
            Arc::new(Network::new(plain_http, BODY_BYTES_MAX)?),
            config,
            ambient,
        )
    }

    /// Over another transport.
    ///
    /// # Errors
    /// As [`GraphClient::new`].
    pub fn over(
        transport: Arc<dyn Transport>,
        config: GraphConfig,
        ambient: Ambient,
    ) -> Result<Self, GraphError> {
        let endpoints = Endpoints::of(&config)?;
        let http = Http {
            tokens: Tokens::new(Arc::clone(&transport), ambient.clone(), &config, &endpoints),
            transport,
            ambient,
            limits: Limits {
                retry_ms_max: config.retry_ms_max,
                request_ms_max: config.request_ms_max,
                requests_max: config.requests_max,
            },
            counters: Counters::default(),
            run: config.run,
        };
        Ok(Self(Arc::new(Inner {
            endpoints,
            attributes: config.attributes,
            http,
        })))
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.0.endpoints
    }

    pub(crate) fn http(&self) -> &Http {
        &self.0.http
    }

    /// One page of all users: no filter, no order, nothing that could leave somebody out.
    /// <https://learn.microsoft.com/graph/api/user-list>
    ///
    /// # Errors
    /// Any [`GraphError`]. [`GraphError::PageTokenExpired`] asks for the page before, or for the
    /// first; [`GraphError::UnsafeLink`] for a page whose next link leads away from Graph.
    pub async fn users_page(&self, at: PageAt<'_>) -> Result<UsersPage, GraphError> {
        let endpoints = self.endpoints();
        let call = match at {
            PageAt::First => Call::get(USERS, endpoints.users.clone()),
            PageAt::FirstOf(users_max) => Call::get(USERS, endpoints.users_of(users_max)?),
            PageAt::Link(link) => {
                let address = safe_url(&endpoints.graph_root, USERS, link.as_str())?;
                Call::get(USERS, address).following_link()
            }
        };
        let read = |body: &[u8]| page::users(body, &self.0.attributes);
        let ((users, next), request_id) = self.http().fetch(&call, read).await?;
        let next = next.map(|text| NextLink::parse(&endpoints.graph_root, &text));
        Ok(UsersPage {
            users,
            next: next.transpose()?,
            request_id,
        })
    }

    /// Where a delta begins that tells of every change from now on; `None` where the service has no
    /// delta.
    /// <https://learn.microsoft.com/graph/delta-query-overview#use-delta-query-to-track-changes-in-a-resource-collection>
    ///
    /// # Errors
    /// Any [`GraphError`].
    pub async fn delta_from_now(&self) -> Result<Option<Told<NextLink>>, GraphError> {
        let call = Call::get(DELTA, self.endpoints().delta_latest.clone());
        let read = |body: &[u8]| match page::delta(body, &self.0.attributes)? {
            // What is told of now, a full scan that begins now tells of as well.
            (_, DeltaEnd::Last(link)) => Ok(link),
            (_, DeltaEnd::More(_)) => Err(Broken("the latest delta has a next page")),
        };
        match self.http().fetch(&call, read).await {
            Ok((link, request_id)) => Ok(Some(Told {
                what: self.next_link(&link)?,
                request: request_id.into(),
            })),
            Err(GraphError::Refused { call })
                if call.status.is_some_and(|it| DELTA_MISSING.contains(&it)) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// One page of a delta: who changed, or was removed. Users come in any order, and again.
    /// <https://learn.microsoft.com/graph/api/user-delta>
    ///
    /// # Errors
    /// Any [`GraphError`]. [`GraphError::DeltaLost`] when only a full scan tells what changed;
    /// [`GraphError::PageTokenExpired`] as for [`GraphClient::users_page`].
    pub async fn delta_page(&self, link: &NextLink) -> Result<DeltaPage, GraphError> {
        let root = &self.endpoints().graph_root;
        let address = safe_url(root, DELTA, link.as_str())?;
        let call = Call::get(DELTA, address).following_delta();
        let read = |body: &[u8]| page::delta(body, &self.0.attributes);
        let ((users, end), request_id) = self.http().fetch(&call, read).await?;
        Ok(DeltaPage {
            users,
            end: match end {
                DeltaEnd::More(text) => DeltaLink::Next(self.next_link(&text)?),
                DeltaEnd::Last(text) => DeltaLink::Delta(self.next_link(&text)?),
            },
            request_id,
        })
    }

    /// A next link that was kept as text, if it still leads to the configured origin.
    ///
    /// # Errors
    /// [`GraphError::UnsafeLink`] when it does not.
    pub fn next_link(&self, text: &str) -> Result<NextLink, GraphError> {
        NextLink::parse(&self.endpoints().graph_root, text)
    }

    /// How many users the directory says it has; `None` where the service does not count. The
    /// number lags: good for an alarm, never for a proof.
    /// <https://learn.microsoft.com/graph/api/user-list>
    ///
    /// # Errors
    /// Any [`GraphError`].
    pub async fn count_users(&self) -> Result<Option<u64>, GraphError> {
        let call = Call::get("count", self.endpoints().users_count.clone()).eventual();
        match self.http().fetch(&call, page::count).await {
            Ok((count, _)) => Ok(Some(count)),
            Err(GraphError::Refused { call })
                if call.status.is_some_and(|it| COUNT_MISSING.contains(&it)) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What was asked of Graph since the client was made.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.0.http.counters.read()
    }
}
