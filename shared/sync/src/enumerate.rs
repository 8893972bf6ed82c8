//! The enumerator: pages of Graph become pages and batches of the store.

use std::collections::{HashMap, HashSet};

use rollcall_core::batch::BatchState;
use rollcall_core::ids::RunRef;
use rollcall_core::run::FailReason;
use rollcall_core::settings::TenantSettings;
use rollcall_graph::{GraphClient, GraphError, NextLink, PageAt, UsersPage};
use rollcall_store::{
    AcquiredRun, BatchRecord, ChainEnd, PageCommit, RunLease, RunRecord, RunStep, Usage,
};
use tracing::{error, info, warn};

use crate::app::App;
use crate::classify::{Classifier, Known};
use crate::error::{HandlerError, Stop};
use crate::keep::while_kept;

/// The most pages of one generation. At 999 users a page that is a hundred million users; a chain
/// that goes on beyond has no end.
const PAGES_MAX: u32 = 100_000;

/// How often a run begins again from page 1 when Graph gives up a page token.
const GENERATIONS_MAX: u32 = 6;

/// What an invocation used, and how much of it its writes have reported already.
#[derive(Default)]
pub(crate) struct Used {
    pub(crate) graph: Option<GraphClient>,
    pub(crate) reported: Usage,
}

/// An enumeration under way.
struct Enumeration<'a> {
    app: &'a App,
    lease: &'a RunLease,
    settings: &'a TenantSettings,
    graph: &'a GraphClient,
    classifier: Classifier<'a>,
    /// The links followed in this generation: one that comes again is a loop.
    links: HashSet<String>,
    end: ChainEnd,
    next: Option<NextLink>,
    /// The link by which the last committed page was fetched; none if it was the first.
    before: Option<NextLink>,
    /// After which page a fresh link was asked for last; 0 before the first time.
    freshened_after: u32,
    used: &'a mut Used,
    stop_at_ms: u64,
    deadline_at_ms: u64,
}

impl App {
    /// Enumerates, or goes on enumerating, until the last page or until time is up.
    pub(crate) async fn enumerate(
        &self,
        run: &RunRef,
        stop_at_ms: u64,
    ) -> Result<(), HandlerError> {
        let owner = self.ambient.random_uuid();
        let (lease, record) = match self
            .store
            .acquire_run(run, RunStep::Enumerate, &owner)
            .await?
        {
            AcquiredRun::Granted(lease, record) => (lease, record),
            // Whoever has it rings again himself if it does not come to the end; if it dies, its own
            // message comes again, and the sweeper looks. A ring for each ring that meets a lease
            // would go round for as long as the lease is kept.
            AcquiredRun::Busy | AcquiredRun::NotNow(_) | AcquiredRun::Unknown => return Ok(()),
        };
        info!(event = "run_leased", step = "enumerate", tenant = %run.tenant, run = run.run,
            token = lease.token(), owner, generation = record.generation, page = record.last_page);
        let mut used = Used::default();
        let ended = self
            .enumerate_under(&lease, &record, stop_at_ms, &mut used)
            .await;
        match ended {
            Ok(()) => Ok(()),
            Err(Stop::OutOfTime) => {
                self.end_short(&lease, Stop::OutOfTime, &used).await?;
                self.doorbell.enumerate(run).await
            }
            Err(stop) => self.end_short(&lease, stop, &used).await,
        }
    }

    /// Ends a step that did not reach its end. The same for the enumerator and the finalizer.
    pub(crate) async fn end_short(
        &self,
        lease: &RunLease,
        stop: Stop,
        used: &Used,
    ) -> Result<(), HandlerError> {
        let run = lease.run();
        match stop {
            Stop::Fail(reason, detail) => {
                let usage = self.usage(used.graph.as_ref()).since(&used.reported);
                match self.store.fail_run(lease, reason, &detail, &usage).await {
                    Ok(()) => {
                        warn!(event = "run_failed", tenant = %run.tenant, run = run.run, %reason,
                            detail);
                        Ok(())
                    }
                    // Lost, ended, or past its first deactivation, where a run only rolls forward.
                    Err(rollcall_store::StoreError::LostLease) => {
                        error!(event = "run_not_failed", tenant = %run.tenant, run = run.run,
                            token = lease.token(), %reason, detail);
                        Ok(())
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Stop::Lost => {
                info!(event = "lease_lost", tenant = %run.tenant, run = run.run,
                    token = lease.token());
                Ok(())
            }
            Stop::OutOfTime => {
                info!(event = "run_passed_on", tenant = %run.tenant, run = run.run);
                match self.store.release_run(lease).await {
                    Err(rollcall_store::StoreError::LostLease) => Ok(()),
                    other => Ok(other?),
                }
            }
            Stop::Error(error) => Err(error),
        }
    }

    async fn enumerate_under(
        &self,
        lease: &RunLease,
        record: &RunRecord,
        stop_at_ms: u64,
        used: &mut Used,
    ) -> Result<(), Stop> {
        let run = lease.run();
        let settings = self.store.run_settings(run).await?;
        let graph = self.graph_client(&settings)?;
        used.graph = Some(graph.clone());
        let known = while_kept(&self.store, lease, Known::load(&self.store, run)).await??;
        let mut enumeration = Enumeration {
            app: self,
            lease,
            settings: &settings,
            graph: &graph,
            classifier: Classifier {
                run,
                scope: &settings.scope,
                known,
                changed: HashMap::new(),
            },
            links: HashSet::new(),
            end: ChainEnd::of(record),
            next: None,
            before: None,
            freshened_after: 0,
            used,
            stop_at_ms,
            deadline_at_ms: record.deadline_at_ms,
        };
        let resumed = record.last_page > 0 || record.generation > 1;
        if resumed {
            enumeration.resume(record.earlier_pages).await?;
        }
        enumeration.follow().await
    }
}

impl Enumeration<'_> {
    /// Reads back what was committed before: who was seen as changed, and where the chain goes on.
    async fn resume(&mut self, earlier_pages: u32) -> Result<(), Stop> {
        let (store, run) = (&self.app.store, self.lease.run());
        let batches = while_kept(store, self.lease, store.batches(run, None)).await??;
        check_listed(&batches, &self.end, earlier_pages)?;
        let mut was_left = false;
        for batch in batches {
            let read = store.page(run, batch.generation, batch.page, &batch.digest);
            let page = while_kept(store, self.lease, read).await??;
            self.classifier.remember(batch.generation, &page);
            if batch.generation != self.end.generation {
                continue;
            }
            // A new generation was about to begin when the one before was interrupted.
            was_left |= batch.state == BatchState::Revoked;
            if let Some(link) = &page.next_link {
                self.links.insert(link.clone());
            }
            let link = page.next_link.as_deref().unwrap_or_default();
            if batch.page + 1 == self.end.page {
                self.before = Some(self.graph.next_link(link)?);
            } else if batch.page == self.end.page {
                self.next = Some(self.graph.next_link(link)?);
            }
        }
        if was_left {
            self.new_generation().await?;
        }
        Ok(())
    }

    /// Follows the chain to its last page.
    async fn follow(&mut self) -> Result<(), Stop> {
        while self.end.page < PAGES_MAX {
            let now_ms = self.app.ambient.now_ms();
            if now_ms >= self.deadline_at_ms {
                let detail = "the deadline passed while users were enumerated";
                return Err(Stop::Fail(FailReason::Deadline, detail.into()));
            }
            if now_ms >= self.stop_at_ms {
                return Err(Stop::OutOfTime);
            }
            let at = self.next.as_ref().map_or(PageAt::First, PageAt::Link);
            let fetched = self.graph.users_page(at);
            match while_kept(&self.app.store, self.lease, fetched).await? {
                Ok(page) => {
                    if self.commit(page).await? {
                        return Ok(());
                    }
                }
                Err(GraphError::PageTokenExpired { .. })
                    if self.freshened_after < self.end.page =>
                {
                    self.freshen().await?;
                }
                Err(error @ GraphError::PageTokenExpired { .. }) => self.begin_again(error).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(unreliable(format!(
            "the chain has more than {PAGES_MAX} pages"
        )))
    }

    /// Commits a page and rings for its work; `true` when it was the last.
    async fn commit(&mut self, page: UsersPage) -> Result<bool, Stop> {
        let link = page.next.as_ref().map(|next| next.as_str().to_owned());
        if let Some(link) = &link
            && !self.links.insert(link.clone())
        {
            return Err(unreliable(format!(
                "the next link of page {} was given before",
                self.end.page + 1
            )));
        }
        let generation = self.end.generation;
        let (payload, unknown) = self.classifier.sort(generation, page.users, link);
        let is_last = payload.next_link.is_none();
        if is_last {
            self.check_sealable(payload.sightings(), unknown)?;
        }
        let used = self.app.usage(Some(self.graph));
        let commit = PageCommit {
            after: &self.end,
            payload: &payload,
            unknown,
            usage: used.since(&self.used.reported),
        };
        self.end = self.app.store.commit_page(self.lease, &commit).await?;
        self.used.reported = used;
        self.before = std::mem::replace(&mut self.next, page.next);
        let run = self.lease.run();
        info!(event = "page_committed", tenant = %run.tenant, run = run.run,
            generation = self.end.generation, page = self.end.page,
            token = self.lease.token(), users = payload.sightings(),
            changed = payload.changed.len(), last = is_last,
            graph_request_id = page.request_id.as_deref().unwrap_or(""));
        let doorbell = &self.app.doorbell;
        if !payload.changed.is_empty() {
            doorbell
                .batch(run, self.end.generation, self.end.page)
                .await?;
        }
        if is_last {
            doorbell.finalize(run).await?;
        }
        Ok(is_last)
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

    /// A page token died: the page before it is fetched once more, for a fresh link. Its users are
    /// committed already; if it has no link now, or cannot be had either, the next try fails too.
    async fn freshen(&mut self) -> Result<(), Stop> {
        self.freshened_after = self.end.page;
        let run = self.lease.run();
        info!(event = "link_freshened", tenant = %run.tenant, run = run.run,
            generation = self.end.generation, page = self.end.page);
        let at = self.before.as_ref().map_or(PageAt::First, PageAt::Link);
        let fetched = self.graph.users_page(at);
        match while_kept(&self.app.store, self.lease, fetched).await? {
            Ok(UsersPage {
                next: Some(next), ..
            }) => {
                self.links.insert(next.as_str().to_owned());
                self.next = Some(next);
                Ok(())
            }
            Ok(_) | Err(GraphError::PageTokenExpired { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A page token died for good: page 1 again, in a new generation. What was seen stays seen.
    async fn begin_again(&mut self, error: GraphError) -> Result<(), Stop> {
        if self.end.generation >= GENERATIONS_MAX {
            return Err(error.into());
        }
        let run = self.lease.run();
        warn!(event = "generation_restarted", tenant = %run.tenant, run = run.run,
            generation = self.end.generation + 1, scope_guests = self.settings.scope.guests,
            error = %error);
        self.new_generation().await
    }

    async fn new_generation(&mut self) -> Result<(), Stop> {
        let (store, lease) = (&self.app.store, self.lease);
        self.end = store.new_generation(lease, &self.end).await?;
        self.links.clear();
        self.next = None;
        self.before = None;
        self.freshened_after = 0;
        Ok(())
    }
}

/// Everything that was committed is in the list: in the generation of `end` each page up to it, and of
/// the earlier ones as many pages as they had. Whoever goes on from a list that is cut off does not
/// know who was seen before.
fn check_listed(batches: &[BatchRecord], end: &ChainEnd, earlier_pages: u32) -> Result<(), Stop> {
    let (now, before): (Vec<_>, Vec<_>) = batches
        .iter()
        .partition(|batch| batch.generation == end.generation);
    let is_whole =
        now.len() == end.page as usize && (1..).zip(&now).all(|(page, batch)| batch.page == page);
    if is_whole && before.len() == earlier_pages as usize {
        return Ok(());
    }
    let detail = format!(
        "the list has {} batches of generation {} and {} of earlier ones; there should be {} and \
         {earlier_pages}",
        now.len(),
        end.generation,
        before.len(),
        end.page
    );
    Err(Stop::Fail(FailReason::Incomplete, detail))
}

fn unreliable(detail: String) -> Stop {
    Stop::Fail(FailReason::EnumerationUnreliable, detail)
}
