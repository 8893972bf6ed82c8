//! Batches and pages: who works on what, and that the list is whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use rollcall_core::batch::{BatchEvent, BatchState, next_batch_state};
use rollcall_core::ids::{IdKey, RunRef};
use rollcall_core::page::{PageDigest, PagePayload};

use super::{Look, RunKey};
use crate::item::{Item, Table, bytes, number, text};
use crate::mirror::Change;
use crate::world::lock;

const WHOLE: &str = "invariant 2: completeness is proven";

impl Look<'_> {
    pub(super) fn batch(&mut self, run: &RunKey, change: &Change) {
        let after = text(&change.after, "state").to_owned();
        let Some(before) = &change.before else {
            self.needs_run_lease(run, "a new batch");
            return;
        };
        let before = text(before, "state").to_owned();
        if matches!(before.as_str(), "DONE" | "REVOKED") {
            let detail = format!("{} is {before} and was written to", change.place);
            self.violate(
                "invariant 6: a batch that is done or revoked stays so",
                &detail,
            );
        }
        if !is_legal(&before, &after) {
            let detail = format!("{} went from {before} to {after}", change.place);
            self.violate("invariant 9: states move as the function says", &detail);
        }
        if after == "REVOKED" {
            self.needs_run_lease(run, "a revocation");
            return;
        }
        let token = |item: &Item| number(item, "lease_token").unwrap_or_default();
        if change.before.as_ref().map(token) != Some(token(&change.after)) {
            self.batch_is_granted(run, change);
            self.has_its_turn(run, change);
            self.waits_for_the_earlier(run, change);
        }
        self.lease(change);
    }

    /// A lease of a batch is given only while its run takes work, in its generation.
    fn batch_is_granted(&self, run: &RunKey, change: &Change) {
        let state = self.run_state(run);
        let generation = self
            .run_item(run)
            .and_then(|item| number(item, "generation"));
        let takes_work = matches!(state, "ENUMERATING" | "DRAINING");
        if !takes_work || generation != number(&change.after, "generation") {
            let detail = format!("{} was leased while its run is {state}", change.place);
            self.violate("invariant 6: a run that ended has no work", &detail);
        }
    }

    /// No batch is begun before that of the page so many before it is over, as many as the tenant has at a time.
    fn has_its_turn(&self, run: &RunKey, change: &Change) {
        let of = |name| number(&change.after, name).unwrap_or_default();
        let at_once = self.settings(run)["limits"]["batches_at_once"].as_u64();
        let before = of("page").checked_sub(at_once.unwrap_or(8));
        let is_open = |batch: &&Item| {
            number(batch, "generation") == Some(of("generation"))
                && number(batch, "page") == before
                && matches!(text(batch, "state"), "PENDING" | "LEASED")
        };
        let is_first = of("lease_token") == 1;
        let ahead = self.batches(run).into_iter().find(is_open);
        let is_unseen =
            self.world.store_has_lied() || lock(&self.world.lost_looks).contains(&change.place.pk);
        if let Some(ahead) = ahead.filter(|_| is_first && !is_unseen) {
            let detail = format!("{} before page {:?}", change.place, number(ahead, "page"));
            self.violate("fairness: a tenant has so many batches at a time", &detail);
        }
    }

    /// The list of a run, proven anew from its items.
    pub(super) fn complete_list(&self, run: &RunKey) {
        if let Err(detail) = self.list(run) {
            self.violate(WHOLE, &format!("{}/{}: {detail}", run.0, run.1));
        }
    }

    fn list(&self, run: &RunKey) -> Result<(), String> {
        let item = self.run_item(run).ok_or("there is no run")?;
        let of = |name| number(item, name).unwrap_or_default();
        let (generation, pages) = (of("generation"), of("last_page"));
        let batches: Vec<_> = self
            .batches(run)
            .into_iter()
            .filter(|batch| number(batch, "generation") == Some(generation))
            .collect();
        if pages == 0 || batches.len() as u64 != pages {
            return Err(format!("{} batches for {pages} pages", batches.len()));
        }
        let (mut previous, mut sightings) = (String::new(), 0);
        for (page, batch) in (1..).zip(&batches) {
            let counted = number(batch, "counted");
            if number(batch, "page") != Some(page)
                || text(batch, "state") != "DONE"
                || text(batch, "previous") != previous
                || counted.is_none()
                || counted != number(batch, "sightings")
            {
                return Err(format!(
                    "batch {page} is not done, or not linked, or counts wrong"
                ));
            }
            let digest = text(batch, "digest").to_owned();
            let payload = self.payload(run, generation, page, &digest)?;
            if Some(payload.sightings()) != counted {
                return Err(format!("page {page} has {} users", payload.sightings()));
            }
            if payload.next.is_end() != (page == pages) {
                return Err(format!("page {page} of {pages} is not where the list ends"));
            }
            sightings += payload.sightings();
            previous = digest;
        }
        if previous != text(item, "last_digest") || Some(sightings) != number(item, "sightings") {
            return Err("the seal is another list's".into());
        }
        Ok(())
    }

    fn payload(
        &self,
        run: &RunKey,
        generation: u64,
        page: u64,
        digest: &str,
    ) -> Result<Arc<PagePayload>, String> {
        let pk = format!("page#{}#{}", run.0, run.1);
        let prefix = format!("{generation:03}#{page:06}#{digest}#");
        let parts = self.mirror.range(Table::Coordination, &pk, &prefix);
        let whole: Vec<_> = parts
            .flat_map(|(_, item)| bytes(item, "payload").to_vec())
            .collect();
        if PageDigest::of(&whole).as_str() != digest {
            return Err(format!("page {page} is not the one that was committed"));
        }
        match self.checks.read.get(digest) {
            Some(read) => Ok(Arc::clone(read)),
            None => Ok(Arc::new(
                PagePayload::decode(&whole).map_err(|error| error.to_string())?,
            )),
        }
    }

    /// Whom a run saw, in any generation.
    pub(super) fn users_seen(&self, named: &RunRef) -> Result<BTreeSet<u64>, String> {
        let run = &(named.tenant.to_string(), named.run);
        let mut seen = BTreeSet::new();
        for batch in self.batches(run) {
            let of = |name| number(batch, name).unwrap_or_default();
            let digest = text(batch, "digest");
            let payload = self.payload(run, of("generation"), of("page"), digest)?;
            seen.extend(&payload.seen);
            // Who is told to be removed is not seen.
            let there = payload.changed.iter().filter(|it| !it.user.is_removal());
            seen.extend(there.map(|it| IdKey::of(named, it.user.id()).seen_key()));
        }
        Ok(seen)
    }
}

fn is_legal(before: &str, after: &str) -> bool {
    let named = |name: &str| BatchState::ALL.into_iter().find(|it| it.name() == name);
    let (Some(before), Some(after)) = (named(before), named(after)) else {
        return false;
    };
    before == after
        || BatchEvent::ALL
            .into_iter()
            .any(|event| next_batch_state(before, event) == Ok(after))
}
