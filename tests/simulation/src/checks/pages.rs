//! Pages: each is what Graph answered, whole, and where somebody comes again it is marked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rollcall_core::delta::DeltaUser;
use rollcall_core::ids::{IdKey, RunRef, TenantId};
use rollcall_core::page::{NextPage, PageDigest, PagePayload, Sighted};

use super::{Look, RunKey};
use crate::item::{bytes, number, text};
use crate::lambda::{Invocation, Served, ServedNext};
use crate::mirror::Change;
use crate::world::lock;

const WHOLE: &str = "invariant 2: a page is what Graph answered";
/// The first page of a generation, as its key has it.
const FIRST_PAGE: &str = "000001";
const ORDER: &str = "fine print 1: sightings are ordered";

/// What the pages of a run hold so far.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Who is stored in full, and by generation how he was seen last.
    full: HashMap<IdKey, BTreeMap<u64, Sighted>>,
    /// By generation: how many users said whether they are enabled.
    decided: BTreeMap<u64, u64>,
    /// Whether a delta comes after the last page.
    ends_in_delta: bool,
    /// The next links of each generation.
    links: BTreeMap<u64, BTreeSet<String>>,
}

/// Whether a part repeats what was told of the user before and no worker writes: that he is disabled,
/// and all that came with a null that decides.
fn tells_what_is_not_written(before: &Sighted, part: &DeltaUser) -> bool {
    let (enabled, undecided) = match before {
        Sighted::Whole(before) => {
            let is_undecided = before.is_undecided();
            (Some(before.account_enabled), [is_undecided, is_undecided])
        }
        // Who was removed and is told of again is told of anew.
        Sighted::Part(before) if before.removed.is_some() => return true,
        Sighted::Part(before) => {
            let is_untold = |is_told: bool| is_told && before.is_undecided();
            let kind = is_untold(before.user_type.is_some());
            let name = is_untold(before.user_principal_name.is_some());
            (before.account_enabled, [kind, name])
        }
    };
    let [kind, name] = undecided;
    let needs_enabled = enabled.is_some_and(|enabled| enabled != Some(true) || kind || name);
    part.removed.is_some()
        || ((!needs_enabled || part.account_enabled.is_some())
            && (!kind || part.user_type.is_some())
            && (!name || part.user_principal_name.is_some()))
}

/// Whether a page of a delta has of each user what was told of him there, whatever was told before.
fn tells_the_same(payload: &PagePayload, served: &Served) -> bool {
    let is_as_told = |part: &DeltaUser| {
        let told = served.enabled.get(part.id.as_str());
        part.removed.is_some() || told.is_none_or(|told| part.account_enabled == Some(*told))
    };
    payload.changed.iter().all(|sighting| match &sighting.user {
        Sighted::Part(part) => is_as_told(part),
        Sighted::Whole(_) => true,
    })
}

impl Look<'_> {
    pub(super) fn page(&mut self, run: &RunKey, change: &Change) {
        self.written_once(change);
        self.needs_run_lease(run, "a page");
        self.within_the_deadline(run, "a page");
        self.groups_are_read(run);
        let mut key = change.place.sk.split('#');
        let mut next = || key.next().unwrap_or_default();
        let (generation, page, digest) = (next(), next(), next().to_owned());
        let generation = generation.parse().unwrap_or_default();
        let whole = bytes(&change.after, "payload");
        // A page of the simulation is small: it has one part.
        if number(&change.after, "chunks") != Some(1) || PageDigest::of(whole).as_str() != digest {
            return self.violate(WHOLE, &format!("{} is not what its key says", change.place));
        }
        let Ok(payload) = PagePayload::decode(whole) else {
            return self.violate(WHOLE, &format!("{} cannot be read", change.place));
        };
        let payload = Arc::new(payload);
        self.checks.read.insert(digest, Arc::clone(&payload));
        let served = self.is_what_graph_served(run, change, &payload, page == FIRST_PAGE);
        self.goes_on_in_no_generation_that_was_left(run, generation, change);
        self.is_no_list_of_nulls(run, generation, served);
        let again = self.comes_again(run, generation, &payload, change);
        let pk = format!("batch#{}#{}", run.0, run.1);
        let batch = self
            .changes
            .iter()
            .find(|it| it.place.pk == pk && it.place.sk == format!("{generation:03}#{page}"));
        let repeats = batch.and_then(|it| crate::item::flag(&it.after, "repeats"));
        if let Some(invocation) = self.invocation {
            *lock(&invocation.served_before) = None;
        }
        if batch.is_none() || (again && repeats != Some(true)) {
            let detail = format!(
                "{} has no batch that says that somebody repeats",
                change.place
            );
            self.violate(ORDER, &detail);
        }
    }

    /// Gives what was served for the page.
    fn is_what_graph_served(
        &self,
        run: &RunKey,
        change: &Change,
        payload: &PagePayload,
        is_first: bool,
    ) -> Option<Served> {
        let earlier = self
            .invocation
            .map(|it| std::mem::take(&mut *lock(&it.committing)));
        let earlier = earlier.unwrap_or_default();
        let last = self.invocation.and_then(Invocation::has_been_served);
        let is_same = |served: &&Served| {
            let is_right_next = match (&served.next, &payload.next) {
                (ServedNext::Users(link), NextPage::Users(next)) => link == next,
                (ServedNext::Delta(link), NextPage::Delta(next)) => link == next,
                (ServedNext::DeltaLink(link), NextPage::End { delta_link }) => {
                    delta_link.as_ref() == Some(link)
                }
                (ServedNext::NoDelta, next) => *next == NextPage::END,
                // After the last users comes the delta that was begun before them, if there is one.
                (ServedNext::LastUsers, next) => {
                    next.link()
                        == self
                            .run_item(run)
                            .map(|it| text(it, "bracket"))
                            .filter(|it| !it.is_empty())
                        && !matches!(next, NextPage::Users(_))
                }
                _ => false,
            };
            // Two of a user on a page of a delta become one.
            let users = if served.is_delta {
                served.different
            } else {
                served.users
            };
            is_right_next
                && users == payload.sightings()
                && tells_the_same(payload, served)
                // A next link may lead back to page 1, which shows later.
                && (served.is_first || !is_first)
                && !served.is_committed
        };
        let ahead = earlier.iter().find(is_same);
        let served = ahead.or(last.as_ref().filter(is_same)).cloned();
        match (ahead.map(|it| &it.next), self.invocation) {
            // To look into the delta behind the users is not to fetch it.
            (Some(ServedNext::Users(_) | ServedNext::Delta(_)), _) => {
                self.world
                    .mark("pages committed while the next was asked for");
            }
            (None, Some(invocation)) => {
                if let Some(last) = lock(&invocation.served).as_mut() {
                    last.is_committed = served.is_some();
                }
            }
            _ => {}
        }
        // A delta that is lost behind the users is left out: an empty page ends the chain.
        let is_left_out = payload.sightings() == 0
            && payload.next == NextPage::END
            && last.is_none()
            && self.is_in_the_delta(run);
        if served.is_none() && !is_left_out {
            let users = payload.sightings();
            let is_last = payload.next.is_end();
            let last = last.map(|it| (it.users, it.next, it.is_first));
            let detail = format!(
                "{}: {users} users, last: {is_last}; served {last:?} last",
                change.place
            );
            self.violate(WHOLE, &detail);
        }
        served
    }

    /// Whether the users of a full run are complete, and the delta behind them is being told.
    fn is_in_the_delta(&self, run: &RunKey) -> bool {
        let pages = self.checks.pages.get(run);
        let was_delta = pages.is_some_and(|pages| pages.ends_in_delta);
        was_delta && !self.is_delta(run)
    }

    /// A list that says of nobody whether he is enabled is read without the permission for it.
    fn is_no_list_of_nulls(&mut self, run: &RunKey, generation: u64, served: Option<Served>) {
        let is_last = served
            .as_ref()
            .is_some_and(|it| !it.is_delta && !matches!(it.next, ServedNext::Users(_)));
        let served = served.filter(|it| !it.is_delta);
        let pages = self.checks.pages.entry(run.clone()).or_default();
        let decided = pages.decided.entry(generation).or_default();
        *decided += served.map_or(0, |served| served.decided);
        if is_last && *decided == 0 {
            let detail = format!("{}/{} was sealed on nulls alone", run.0, run.1);
            self.violate("fine print 4: null decides nothing", &detail);
        }
    }

    /// Batches that are revoked are never done, so a page beside them is for nothing.
    fn goes_on_in_no_generation_that_was_left(
        &mut self,
        run: &RunKey,
        generation: u64,
        change: &Change,
    ) {
        let is_left = |batch: &&crate::item::Item| {
            number(batch, "generation") == Some(generation) && text(batch, "state") == "REVOKED"
        };
        if self.batches(run).iter().any(is_left) {
            let detail = format!("{} after its generation was left", change.place);
            self.violate("fine print 3: a generation that was left is over", &detail);
        }
    }

    /// Whether somebody on the page stands in full on an earlier one of the generation.
    fn comes_again(
        &mut self,
        run: &RunKey,
        generation: u64,
        payload: &PagePayload,
        change: &Change,
    ) -> bool {
        let Ok(tenant) = TenantId::new(&run.0) else {
            return false;
        };
        let named = RunRef { tenant, run: run.1 };
        let pages = self.checks.pages.entry(run.clone()).or_default();
        let seen: BTreeSet<_> = payload.seen.iter().copied().collect();
        let mut wrong = pages.full.keys().any(|key| seen.contains(&key.seen_key()));
        let mut again = false;
        let mut silent = None;
        for sighting in &payload.changed {
            let key = IdKey::of(&named, sighting.user.id());
            let Some(before) = pages.full.get(&key).and_then(|it| it.get(&generation)) else {
                continue;
            };
            wrong |= !sighting.again;
            again = true;
            if let Sighted::Part(part) = &sighting.user
                && !tells_what_is_not_written(before, part)
            {
                silent = Some(part.id.clone());
            }
        }
        for sighting in &payload.changed {
            let key = IdKey::of(&named, sighting.user.id());
            let last = pages.full.entry(key).or_default();
            last.insert(generation, sighting.user.clone());
        }
        pages.ends_in_delta = matches!(payload.next, NextPage::Delta(_));
        let links = pages.links.entry(generation).or_default();
        let link_repeats = payload
            .next
            .link()
            .is_some_and(|link| !links.insert(link.to_owned()));
        if wrong {
            let detail = format!("{} forgets who was stored in full before", change.place);
            self.violate(ORDER, &detail);
        }
        if let Some(id) = silent {
            let detail = format!("{}: {id} was told of before", change.place);
            self.violate("fine print 4: silence is not what is stored", &detail);
        }
        if link_repeats {
            let detail = format!("{} has a next link that was followed before", change.place);
            self.violate("fault catalogue 8: a link that repeats is no page", &detail);
        }
        again
    }

    /// Whoever was called after a run's deadline takes it no further.
    pub(super) fn within_the_deadline(&self, run: &RunKey, what: &str) {
        let Some(invocation) = self.invocation else {
            return;
        };
        let deadline = self
            .run_item(run)
            .and_then(|item| number(item, "deadline_at"));
        if deadline.is_some_and(|deadline| invocation.called_at_ms >= deadline) {
            let detail = format!("{what} of {}/{} after its deadline", run.0, run.1);
            self.violate("invariant 9: a run ends within its deadline", &detail);
        }
    }

    /// A batch on which somebody comes again is worked on after the earlier ones.
    pub(super) fn waits_for_the_earlier(&self, run: &RunKey, change: &Change) {
        if crate::item::flag(&change.after, "repeats") != Some(true) {
            return;
        }
        let of = |item: &crate::item::Item, name: &str| number(item, name).unwrap_or_default();
        let (generation, page) = (of(&change.after, "generation"), of(&change.after, "page"));
        let is_open_before = |batch: &&crate::item::Item| {
            of(batch, "generation") == generation
                && of(batch, "page") < page
                && matches!(text(batch, "state"), "PENDING" | "LEASED")
        };
        if self.batches(run).iter().any(is_open_before) {
            let detail = format!(
                "{} was leased before the earlier ones were done",
                change.place
            );
            self.violate(ORDER, &detail);
        }
    }
}
