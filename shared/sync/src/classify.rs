//! Sorting a page: seen and unchanged, or new or changed.

use std::collections::{HashMap, HashSet};

use rollcall_core::ids::{IdKey, RunRef};
use rollcall_core::page::{ChangedSighting, PagePayload};
use rollcall_core::reconcile::is_unchanged;
use rollcall_core::scope::Scope;
use rollcall_core::status::{Implied, Standing};
use rollcall_core::user::GraphUser;
use rollcall_store::{Store, StoreError};

use rollcall_core::ids::TenantId;

/// What the directory knew when the enumeration began: 40 bytes a user, sorted by key.
pub(crate) struct Known(Vec<(IdKey, Standing)>);

impl Known {
    /// Streams the tenant's part of the directory once.
    pub(crate) async fn load(store: &Store, run: &RunRef) -> Result<Self, StoreError> {
        let mut known = Vec::new();
        let tenant: &TenantId = &run.tenant;
        store
            .standings(tenant, |user| {
                known.push((IdKey::of(run, &user.id), user.standing));
            })
            .await?;
        known.sort_unstable_by_key(|(key, _)| *key);
        Ok(Self(known))
    }

    fn get(&self, key: IdKey) -> Option<&Standing> {
        let at = self.0.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        self.0.get(at).map(|(_, standing)| standing)
    }
}

/// Sorts the pages of one run.
pub(crate) struct Classifier<'a> {
    pub(crate) run: &'a RunRef,
    pub(crate) scope: &'a Scope,
    pub(crate) known: Known,
    /// Who was seen as changed in this run, and in which generation last: every later sighting of
    /// him is stored in full, so that the last one can be told.
    pub(crate) changed: HashMap<IdKey, u32>,
}

impl Classifier<'_> {
    /// A page that was committed before this invocation.
    pub(crate) fn remember(&mut self, generation: u32, page: &PagePayload) {
        for sighting in &page.changed {
            let key = IdKey::of(self.run, &sighting.user.id);
            self.changed.insert(key, generation);
        }
    }

    /// Sorts a page; gives with it how many of its users have a null in a field that decides.
    pub(crate) fn sort(
        &mut self,
        generation: u32,
        users: Vec<GraphUser>,
        next_link: Option<String>,
    ) -> (PagePayload, u64) {
        let mut page = PagePayload {
            next_link,
            ..PagePayload::default()
        };
        let mut unknown = 0;
        let mut on_this_page = HashSet::new();
        for (index, user) in (0u32..).zip(users) {
            let key = IdKey::of(self.run, &user.id);
            unknown += u64::from(Implied::by(&user, self.scope) == Implied::Unknown);
            let before = self.changed.get(&key).copied();
            let is_new = before.is_none() && !on_this_page.contains(&key);
            if is_new && is_unchanged(&user, self.scope, self.known.get(key)) {
                page.seen.push(key.seen_key());
            } else {
                on_this_page.insert(key);
                let again = before == Some(generation);
                page.changed.push(ChangedSighting { index, again, user });
            }
        }
        for key in on_this_page {
            self.changed.insert(key, generation);
        }
        (page, unknown)
    }
}
