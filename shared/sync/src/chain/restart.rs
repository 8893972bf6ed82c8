//! Where the chain cannot go on as it stood: a fresh link, smaller pages, or a new generation.

use rollcall_core::page::{NextPage, PagePayload};
use rollcall_core::run::RunMode;
use rollcall_graph::GraphError;
use tracing::{info, warn};

use super::{Enumeration, GENERATIONS_MAX};
use crate::error::Stop;
use crate::fetch::{Fetched, Place, fetch};
use crate::keep::while_kept;

impl Enumeration<'_> {
    /// The page before gives a fresh link, but for the first page of the delta after the users, to
    /// which no page has led.
    pub(super) fn can_freshen(&self) -> bool {
        self.freshened_after < self.end.page && self.before.is_delta() == self.next.is_delta()
    }

    /// A page of users that stays broken is asked for in smaller pages, once in a run.
    pub(super) fn can_shrink(&self) -> bool {
        let may_restart = self.end.generation < GENERATIONS_MAX;
        may_restart && self.page_users.is_none() && !self.next.is_delta()
    }

    /// A page token died: the page before it is fetched once more, for a fresh link. It is put at the chain's end
    /// with its users, though they are committed already: a list is not the same when it is asked for again, and
    /// who has moved up onto this page since is on none that follows it. If it has no new link, or cannot be had
    /// either, the chain is left as it was, and the next try fails too.
    pub(super) async fn freshen(&mut self) -> Result<(), Stop> {
        self.freshened_after = self.end.page;
        let run = self.lease.run();
        info!(event = "link_freshened", tenant = %run.tenant, run = run.run,
            generation = self.end.generation, page = self.end.page, token = self.lease.token());
        let fetched = fetch(self.app, self.graph, &self.before);
        let page = match while_kept(&self.app.store, self.lease, fetched).await? {
            Ok(page) => page,
            Err(GraphError::PageTokenExpired { .. } | GraphError::DeltaLost { .. }) => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let fresh = page.next.as_ref().and_then(NextPage::link);
        if fresh.is_some_and(|link| !self.links.contains(link)) {
            // The page that is put now; a fresh link that is dead too is not freshened again.
            self.freshened_after += 1;
            self.next = self.before.clone();
            self.ahead = Some(Ok(page));
        }
        Ok(())
    }

    /// The chain cannot go on where it stands. The rest of a delta behind the users is left out;
    /// anything else begins again from the first page of users.
    pub(super) async fn go_on_otherwise(&mut self, error: GraphError) -> Result<bool, Stop> {
        if self.mode == RunMode::Full && self.next.is_delta() {
            self.leaves_delta_out(&error);
            self.put(&PagePayload::empty(NextPage::END), 0, &Fetched::default())
                .await?;
            return Ok(true);
        }
        if self.end.generation >= GENERATIONS_MAX {
            return Err(error.into());
        }
        self.begin_full(&error.to_string()).await?;
        Ok(false)
    }

    /// Page 1 of the users, in a new generation. What was seen stays seen.
    pub(super) async fn begin_full(&mut self, why: &str) -> Result<(), Stop> {
        let run = self.lease.run();
        warn!(event = "generation_restarted", tenant = %run.tenant, run = run.run,
            generation = self.end.generation + 1, token = self.lease.token(),
            from_delta = self.mode == RunMode::Delta,
            scope_guests = self.settings.scope.guests, error = why);
        self.new_generation().await?;
        self.prepare().await
    }

    pub(super) async fn new_generation(&mut self) -> Result<(), Stop> {
        let (store, lease) = (&self.app.store, self.lease);
        self.end = store
            .new_generation(lease, &self.end, self.page_users)
            .await?;
        self.mode = RunMode::Full;
        self.links.clear();
        self.ahead = None;
        self.next = Place::First(self.page_users);
        self.before = Place::First(self.page_users);
        self.freshened_after = 0;
        Ok(())
    }
}
