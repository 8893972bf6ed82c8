//! The chain of an enumeration: pages of users, then, in a full run, the delta that was begun before
//! them; in a delta run, the delta alone.

mod restart;
mod resume;

use std::collections::HashSet;

use rollcall_core::members::Members;
use rollcall_core::page::{NextPage, PagePayload};
use rollcall_core::run::{FailReason, RunMode};
use rollcall_core::settings::TenantSettings;
use rollcall_graph::{DeltaLink, DeltaPage, GraphClient, GraphError};
use rollcall_store::{Bracket, ChainEnd, PageCommit, RunLease, RunRecord};
use tokio::task::yield_now;
use tracing::{info, warn};

use crate::app::App;
use crate::classify::{Classifier, Known};
use crate::enumerate::Used;
use crate::error::Stop;
use crate::fetch::{Fetched, Place, fetch, fetch_beside};
use crate::keep::while_kept;

/// The most pages of one generation. At 999 users a page that is a hundred million users; a chain
/// that goes on beyond has no end.
const PAGES_MAX: u32 = 100_000;

/// The most pages without anybody, one after the other, within one invocation. A delta passes over about
/// 200 objects a page that changed in ways nobody asked about; 200,000 of them without one that counts
/// are a chain that goes nowhere.
const EMPTY_PAGES_IN_A_ROW_MAX: u32 = 1_000;

/// How often a run begins again from page 1 when Graph gives up a page token.
const GENERATIONS_MAX: u32 = 6;

/// How many users a page has at most when larger ones keep coming broken: Graph's own default. What
/// cuts an answer off mostly has to do with its length.
const SMALL_PAGE_USERS: u32 = 100;

/// An enumeration under way.
pub(crate) struct Enumeration<'a> {
    app: &'a App,
    lease: &'a RunLease,
    settings: &'a TenantSettings,
    graph: &'a GraphClient,
    mode: RunMode,
    classifier: Classifier<'a>,
    /// How many users a page is asked for with at most, if that is fewer than usual.
    page_users: Option<u32>,
    /// The links followed in this generation: one that comes again is a loop.
    links: HashSet<String>,
    bracket: Bracket,
    end: ChainEnd,
    next: Place,
    /// What the last committed page was fetched by.
    before: Place,
    empty_in_a_row: u32,
    /// After which page a fresh link was asked for last; 0 before the first time.
    freshened_after: u32,
    used: &'a mut Used,
    stop_at_ms: u64,
    deadline_at_ms: u64,
    /// The next page, if it was fetched while the one before was committed, or the index read.
    ahead: Option<Result<Fetched, GraphError>>,
}

impl<'a> Enumeration<'a> {
    /// At the first page of its generation.
    pub(crate) fn new(
        app: &'a App,
        (lease, record): (&'a RunLease, &RunRecord),
        (settings, members): (&'a TenantSettings, Option<Members>),
        graph: &'a GraphClient,
        used: &'a mut Used,
        stop_at_ms: u64,
    ) -> Self {
        Self {
            app,
            lease,
            settings,
            graph,
            mode: record.mode,
            classifier: Classifier::new(lease.run(), settings, members),
            page_users: record.page_users,
            links: HashSet::new(),
            bracket: record.bracket.clone(),
            end: ChainEnd::of(record),
            next: Place::First(record.page_users),
            before: Place::First(record.page_users),
            empty_in_a_row: 0,
            freshened_after: 0,
            used,
            stop_at_ms,
            deadline_at_ms: record.deadline_at_ms,
            ahead: None,
        }
    }

    /// Finds where the chain goes on: at its beginning, or after what was committed before.
    pub(crate) async fn find_place(&mut self, record: &RunRecord) -> Result<(), Stop> {
        if self.mode == RunMode::Delta {
            // The link is of an earlier run; the address of Graph may be another one by now.
            let from = record.delta_from.as_deref();
            let from = from.and_then(|link| self.graph.next_link(link).ok());
            let Some(from) = from else {
                return self.begin_full("the delta link leads nowhere").await;
            };
            self.links.insert(from.as_str().to_owned());
            self.next = Place::Delta(from.clone());
            self.before = Place::Delta(from);
        }
        if record.last_page > 0 || record.generation > 1 {
            self.resume(record.earlier_pages).await?;
        }
        self.prepare().await
    }

    /// What has to be in hand before a page of users is sorted. The first is fetched meanwhile; only the
    /// delta's beginning has to come before it.
    async fn prepare(&mut self) -> Result<(), Stop> {
        if self.next.is_delta() {
            return Ok(());
        }
        let (store, lease) = (&self.app.store, self.lease);
        if self.bracket == Bracket::Open && self.end.page == 0 {
            let asked = self.graph.delta_from_now();
            let from = while_kept(store, lease, asked).await??;
            if let Some(from) = &from {
                let run = lease.run();
                info!(event = "delta_begun", tenant = %run.tenant, run = run.run,
                    generation = self.end.generation, graph_request_id = %from.request);
            }
            let link = from.as_ref().map(|from| from.what.as_str());
            store.take_bracket(lease, &self.end, link).await?;
            self.bracket = link.map_or(Bracket::NoDelta, |link| Bracket::From(link.to_owned()));
        }
        if self.classifier.known.is_none() {
            let known = async {
                let loading = Known::load(store, lease.run());
                Ok(while_kept(store, lease, loading).await??)
            };
            let place = self.next.clone();
            let (known, page) = fetch_beside(self.app, (lease, self.graph), &place, known).await?;
            self.classifier.known = Some(known);
            self.ahead = Some(page);
        }
        Ok(())
    }

    /// Follows the chain to its last page.
    pub(crate) async fn follow(&mut self) -> Result<(), Stop> {
        while self.end.page < PAGES_MAX {
            if self.app.ambient.now_ms() >= self.deadline_at_ms {
                let detail = "the deadline passed while users were enumerated";
                return Err(Stop::Fail(FailReason::Deadline, detail.into()));
            }
            let fetched = match self.ahead.take() {
                Some(fetched) => fetched,
                None => self.fetch().await?,
            };
            let is_last = match fetched {
                Ok(page) => self.commit(page).await?,
                Err(GraphError::PageTokenExpired { .. }) if self.can_freshen() => {
                    self.freshen().await?;
                    false
                }
                Err(
                    error @ (GraphError::PageTokenExpired { .. } | GraphError::DeltaLost { .. }),
                ) => self.go_on_otherwise(error).await?,
                // The next delta would begin at the same link.
                Err(error @ (GraphError::Refused { .. } | GraphError::Unreliable { .. }))
                    if self.mode == RunMode::Delta =>
                {
                    self.go_on_otherwise(error).await?
                }
                Err(error @ GraphError::Unreliable { .. }) if self.can_shrink() => {
                    self.page_users = Some(SMALL_PAGE_USERS);
                    self.begin_full(&error.to_string()).await?;
                    false
                }
                Err(error) => return Err(error.into()),
            };
            if is_last {
                return Ok(());
            }
        }
        Err(unreliable(format!(
            "the chain has more than {PAGES_MAX} pages"
        )))
    }

    /// Whether no further page is begun in this invocation. One that is in hand is committed, so that an
    /// invocation that begins with users comes further, however short it is.
    fn is_out_of_time(&self) -> bool {
        self.app.ambient.now_ms() >= self.stop_at_ms
    }

    /// Fetches the next page, if there is time for it.
    async fn fetch(&mut self) -> Result<Result<Fetched, GraphError>, Stop> {
        if self.is_out_of_time() {
            return Err(Stop::OutOfTime);
        }
        let fetched = fetch(self.app, self.graph, &self.next);
        while_kept(&self.app.store, self.lease, fetched).await
    }

    /// Sorts and commits a page, and rings for its work; `true` when it was the last. The next page is on its way
    /// meanwhile: nothing but Graph's own chain of pages is waited for.
    async fn commit(&mut self, mut page: Fetched) -> Result<bool, Stop> {
        let is_last_of_users = page.next.is_none();
        let next = match page.next.take() {
            Some(next) => next,
            None => self.after_the_users().await?,
        };
        if let Some(link) = next.link()
            && !self.links.insert(link.to_owned())
        {
            return Err(unreliable(format!(
                "the next link of page {} was given before",
                self.end.page + 1
            )));
        }
        let Some(place) = Place::after(self.graph, &next)? else {
            self.sort_and_put(page, next, is_last_of_users).await?;
            return Ok(true);
        };
        if self.is_out_of_time() {
            self.sort_and_put(page, next, is_last_of_users).await?;
        } else {
            let (app, with) = (self.app, (self.lease, self.graph));
            let work = async {
                // The next page is asked for before this one takes the processor.
                yield_now().await;
                self.sort_and_put(page, next, is_last_of_users).await
            };
            let ((), ahead) = fetch_beside(app, with, &place, work).await?;
            self.ahead = Some(ahead);
        }
        self.before = std::mem::replace(&mut self.next, place);
        Ok(false)
    }

    /// Sorts a page, and puts it at the chain's end.
    async fn sort_and_put(
        &mut self,
        mut page: Fetched,
        next: NextPage,
        is_last_of_users: bool,
    ) -> Result<(), Stop> {
        let users = std::mem::take(&mut page.users);
        let (payload, unknown) = self.classifier.sort(self.end.generation, users, next);
        self.check_leads_somewhere(payload.sightings())?;
        if is_last_of_users {
            self.check_sealable(payload.sightings(), unknown)?;
        }
        self.put(&payload, unknown, &page).await
    }

    /// What comes after the last page of users: the delta that was begun before the first. If it tells
    /// of nobody, as it mostly does, it is no page of its own.
    async fn after_the_users(&self) -> Result<NextPage, Stop> {
        let Bracket::From(link) = &self.bracket else {
            return Ok(NextPage::END);
        };
        let from = self.graph.next_link(link)?;
        let asked = self.graph.delta_page(&from);
        match while_kept(&self.app.store, self.lease, asked).await? {
            Ok(DeltaPage {
                users,
                end: DeltaLink::Delta(to),
                ..
            }) if users.is_empty() => Ok(NextPage::End {
                delta_link: Some(to.as_str().to_owned()),
            }),
            // Asked for again as a page of its own: the users come first.
            Ok(_) => Ok(NextPage::Delta(link.clone())),
            Err(error @ (GraphError::PageTokenExpired { .. } | GraphError::DeltaLost { .. })) => {
                self.leaves_delta_out(&error);
                Ok(NextPage::END)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The users themselves are complete, and the next run, a full one, finds what the delta behind
    /// them would have told.
    fn leaves_delta_out(&self, error: &GraphError) {
        let run = self.lease.run();
        warn!(event = "delta_left_out", tenant = %run.tenant, run = run.run,
            generation = self.end.generation, page = self.end.page, error = %error);
    }

    /// Puts a page and its batch at the chain's end.
    async fn put(
        &mut self,
        payload: &PagePayload,
        unknown: u64,
        fetched: &Fetched,
    ) -> Result<(), Stop> {
        let request = &fetched.request;
        let used = self.app.usage(Some(self.graph));
        let commit = PageCommit {
            after: &self.end,
            payload,
            unknown,
            request,
            usage: used.since(&self.used.reported),
            batches_at_once: self.settings.limits.batches_at_once(),
        };
        self.end = self.app.store.commit_page(self.lease, &commit).await?;
        self.used.reported = used;
        let run = self.lease.run();
        let is_last = payload.next.is_end();
        info!(event = "page_committed", tenant = %run.tenant, run = run.run,
            generation = self.end.generation, page = self.end.page,
            token = self.lease.token(), delta = self.next.is_delta(),
            users = payload.sightings(), changed = payload.changed.len(), last = is_last,
            graph_request_id = %request, took_ms = fetched.took_ms);
        if !payload.changed.is_empty() {
            let (generation, page) = (self.end.generation, self.end.page);
            let at_once = self.settings.limits.batches_at_once();
            self.app
                .ring_in_turn(run, generation, page, at_once)
                .await?;
        }
        if is_last {
            self.app.doorbell.finalize(run).await?;
        }
        Ok(())
    }

    /// An empty page with a next link is followed, and not for ever.
    fn check_leads_somewhere(&mut self, sightings: u64) -> Result<(), Stop> {
        self.empty_in_a_row = match sightings {
            0 => self.empty_in_a_row + 1,
            _ => 0,
        };
        if self.empty_in_a_row <= EMPTY_PAGES_IN_A_ROW_MAX {
            return Ok(());
        }
        Err(unreliable(format!(
            "more than {EMPTY_PAGES_IN_A_ROW_MAX} pages in a row have nobody on them"
        )))
    }

    /// Nobody at all, or nobody with a known state, is not a list of users.
    fn check_sealable(&self, sightings: u64, unknown: u64) -> Result<(), Stop> {
        let (sightings, unknown) = (self.end.sightings + sightings, self.end.unknown + unknown);
        if sightings == 0 {
            return Err(Stop::Fail(
                FailReason::EmptyEnumeration,
                "Graph answered without a single user".into(),
            ));
        }
        if unknown == sightings {
            return Err(unreliable(format!(
                "accountEnabled, or what the scope needs, is null for all {sightings} users; check \
                 the permission to read it"
            )));
        }
        Ok(())
    }
}

fn unreliable(detail: String) -> Stop {
    Stop::Fail(FailReason::EnumerationUnreliable, detail)
}
