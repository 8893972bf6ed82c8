//! One page of an enumeration, of users or of a delta, before it is sorted.

use std::future::Future;
use std::pin::pin;

use rollcall_core::evidence::RequestId;
use rollcall_core::page::{NextPage, Sighted};
use rollcall_graph::{DeltaLink, GraphClient, GraphError, NextLink, PageAt};
use rollcall_store::RunLease;

use crate::app::App;
use crate::error::Stop;
use crate::keep::while_kept;

/// What is fetched for a page.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// The first page of users, of at most so many if they are to be fewer than usual.
    First(Option<u32>),
    Users(NextLink),
    Delta(NextLink),
}

impl Place {
    /// Where a page leads; `None` from the last.
    pub(crate) fn after(graph: &GraphClient, next: &NextPage) -> Result<Option<Self>, GraphError> {
        Ok(match next {
            NextPage::Users(link) => Some(Self::Users(graph.next_link(link)?)),
            NextPage::Delta(link) => Some(Self::Delta(graph.next_link(link)?)),
            NextPage::End { .. } => None,
        })
    }

    pub(crate) const fn is_delta(&self) -> bool {
        matches!(self, Self::Delta(_))
    }
}

/// A page, before it is sorted.
#[derive(Default)]
pub(crate) struct Fetched {
    pub(crate) users: Vec<Sighted>,
    /// `None` after the last page of users.
    pub(crate) next: Option<NextPage>,
    pub(crate) request: RequestId,
    /// How long it took to come, repetitions included.
    pub(crate) took_ms: u64,
}

/// Fetches a page.
pub(crate) async fn fetch(
    app: &App,
    graph: &GraphClient,
    place: &Place,
) -> Result<Fetched, GraphError> {
    let asked_at_ms = app.ambient.now_ms();
    let at = match place {
        Place::First(None) => PageAt::First,
        Place::First(Some(users_max)) => PageAt::FirstOf(*users_max),
        Place::Users(link) => PageAt::Link(link),
        Place::Delta(link) => {
            let page = graph.delta_page(link).await?;
            return Ok(Fetched {
                users: page.users.into_iter().map(Sighted::Part).collect(),
                next: Some(match page.end {
                    DeltaLink::Next(link) => NextPage::Delta(link.as_str().to_owned()),
                    DeltaLink::Delta(link) => NextPage::End {
                        delta_link: Some(link.as_str().to_owned()),
                    },
                }),
                request: page.request_id.into(),
                took_ms: app.since_ms(asked_at_ms),
            });
        }
    };
    let page = graph.users_page(at).await?;
    Ok(Fetched {
        users: page.users.into_iter().map(Sighted::Whole).collect(),
        next: page
            .next
            .map(|link| NextPage::Users(link.as_str().to_owned())),
        request: page.request_id.into(),
        took_ms: app.since_ms(asked_at_ms),
    })
}

/// Does `work`, and fetches a page meanwhile. The lease is kept while only the page is waited for: two
/// writes of one run at a time would meet each other.
pub(crate) async fn fetch_beside<T>(
    app: &App,
    (lease, graph): (&RunLease, &GraphClient),
    place: &Place,
    work: impl Future<Output = Result<T, Stop>>,
) -> Result<(T, Result<Fetched, GraphError>), Stop> {
    let mut coming = pin!(fetch(app, graph, place));
    let mut work = pin!(work);
    let mut page = None;
    // Ends with the work, after at most one round for the page.
    let done = loop {
        tokio::select! {
            biased;
            done = &mut work => break done?,
            fetched = &mut coming, if page.is_none() => page = Some(fetched),
        }
    };
    let page = match page {
        Some(page) => page,
        None => while_kept(&app.store, lease, coming).await?,
    };
    Ok((done, page))
}
