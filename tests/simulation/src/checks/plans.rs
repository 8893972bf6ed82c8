//! Plans: made once, from a whole list and evidence, and carried out to the letter.

use std::collections::BTreeSet;

use rollcall_core::ids::{IdKey, ObjectId, RunRef};
use rollcall_core::page::{ChangedSighting, PagePayload, Sighted};
use serde_json::Value;

use super::{Look, RunKey};
use crate::item::{Item, Place, Table, bytes, flag, json, number, text};
use crate::lambda::{Function, Invocation, Told};
use crate::mirror::Change;
use crate::world::{World, lock};

const EVIDENCE: &str = "invariant 3: absence is not evidence";
const CANARIES: &str = "invariant 3: canaries that fall silent end the run";

/// An entry of a stored plan.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) reason: String,
    pub(super) version: u64,
}

/// Graph is asked for something. Whoever carries a plan out asks nothing more: what he was told last has the say.
pub(crate) fn asks_graph(world: &World, invocation: &Invocation) {
    if invocation.function != Function::Finalizer || world.store_has_lied() {
        return;
    }
    let mirror = lock(&world.mirror);
    let checks = lock(&world.checks);
    let applies = checks.grants.iter().find(|(place, (_, to))| {
        let run = mirror.get(place);
        *to == invocation.id && run.is_some_and(|run| text(run, "state") == "APPLYING")
    });
    if let Some((place, _)) = applies {
        let detail = format!("{place} (by finalizer#{})", invocation.id);
        world.violate("fine print 6: who carries a plan out asks nothing", detail);
    }
}

impl Look<'_> {
    pub(super) fn plan(&mut self, tenant: &str, change: &Change) {
        let run = change
            .place
            .sk
            .split('#')
            .next()
            .and_then(|run| run.parse().ok());
        let run = (tenant.to_owned(), run.unwrap_or_default());
        self.needs_run_lease(&run, "a plan");
        let is_finalizer = |it: &crate::lambda::Invocation| it.function == Function::Finalizer;
        if self.run_state(&run) != "FINALIZING" || !self.invocation.is_some_and(is_finalizer) {
            let detail = format!("a plan in {}", self.run_state(&run));
            self.violate(
                "invariant 1: only the finalizer plans, in its state",
                &detail,
            );
        }
        if text(&change.after, "hash").is_empty() {
            // A part of a plan, addressed by its hash: written again, it is the same.
            return;
        }
        if change.place.sk.ends_with("#released") {
            return self.released(&run, change);
        }
        self.written_once(change);
        if let Some(invocation) = self.invocation {
            self.checks.planners.insert(run.clone(), invocation.id);
        }
        self.complete_list(&run);
        self.seen_is_true(&run, &change.after);
        self.settings_are_the_same(&run);
        self.hold_is_over(&run);
        let entries = self.entries(&run, &change.after);
        if entries.len() as u64 != number(&change.after, "deactivations").unwrap_or_default() {
            let detail = format!("{}/{}: the plan is not whole", run.0, run.1);
            self.violate("invariant 7: a plan is what its hash says", &detail);
        }
        self.remember_not_found(&run);
        self.remember_kept_on(&run, &entries);
        for entry in &entries {
            self.evidence(&run, entry);
        }
    }

    fn seen_is_true(&self, run: &RunKey, manifest: &Item) {
        let told = number(manifest, "users_seen").unwrap_or_default();
        let Ok(named) = format!("{}/{}", run.0, run.1).parse::<RunRef>() else {
            return self.violate("the simulation", "a run without a name");
        };
        match self.users_seen(&named) {
            Ok(seen) if seen.len() as u64 == told && (told > 0 || self.is_delta(run)) => {
                let was_seen = |id: &ObjectId| seen.contains(&IdKey::of(&named, id).seen_key());
                if self.is_delta(run) {
                    self.nobody_is_missed(run, &was_seen);
                } else {
                    self.somebody_known_was_seen(run, &was_seen);
                }
                self.no_streak_of_the_seen(run, &was_seen);
                self.canaries_sang(run, &was_seen);
            }
            other => {
                let other = other.map(|seen| seen.len());
                let detail = format!("{}/{} saw {other:?}, says {told}", run.0, run.1);
                self.violate("invariant 2: seen in any generation is seen", &detail);
            }
        }
    }

    /// A delta run asks for those alone of whom it was told: nobody else is missed. Only beside somebody who
    /// was told to be removed it asks about others as well, some of whom are found.
    fn nobody_is_missed(&self, run: &RunKey, was_seen: &dyn Fn(&ObjectId) -> bool) {
        let Some(invocation) = self.invocation else {
            return;
        };
        let asked = lock(&invocation.asked).clone();
        let candidates = self.candidates(run);
        let is_candidate = |id: &ObjectId| candidates.iter().any(|it| it["id"] == id.as_str());
        let untold = |id: &ObjectId| !was_seen(id) && !is_candidate(id);
        let untold: Vec<_> = asked.into_iter().filter(untold).collect();
        let Some(first) = untold.first() else {
            return;
        };
        let detail = format!(
            "{}/{} asks for {first}, of whom it was not told",
            run.0, run.1
        );
        if !candidates.iter().any(|it| it["reason"] == "deleted") {
            self.violate("invariant 3: a delta shows no absence", &detail);
        } else if !untold.iter().any(|id| self.is_alive(invocation, run, id)) {
            self.violate(CANARIES, &detail);
        }
    }

    fn is_alive(&self, invocation: &Invocation, run: &RunKey, id: &ObjectId) -> bool {
        let told = lock(&invocation.told);
        let told = told.get(&(run.0.clone(), id.clone()));
        told.is_some_and(|it| it.iter().any(|it| matches!(it, Told::Alive(_))))
    }

    /// Who was seen and asked for by id all the same is there: else the answers are wrong about
    /// everybody, and no plan is made.
    fn canaries_sang(&self, run: &RunKey, was_seen: &dyn Fn(&ObjectId) -> bool) {
        let Some(invocation) = self.invocation else {
            return;
        };
        for id in lock(&invocation.asked).iter() {
            let is_alive = self.is_alive(invocation, run, id);
            if was_seen(id) && !is_alive && !self.is_any_candidate(run, id) {
                let detail = format!("{}/{}: {id} was seen and is not found", run.0, run.1);
                self.violate(CANARIES, &detail);
            }
        }
    }

    fn is_any_candidate(&self, run: &RunKey, id: &ObjectId) -> bool {
        let mut candidates = self.candidates(run).into_iter();
        candidates.any(|it| it["id"] == id.as_str())
    }

    /// A run begins with its tenant's settings, and neither makes a plan nor begins to carry it out when they
    /// have changed since.
    pub(super) fn settings_are_the_same(&self, run: &RunKey) {
        let now = Place::coordination("tenants".into(), run.0.clone());
        let now = self.mirror.get(&now);
        let revision = now.and_then(|item| number(item, "revision"));
        let known = self
            .run_item(run)
            .and_then(|item| number(item, "settings_revision"));
        let is_removed = now.and_then(|item| flag(item, "removed")) != Some(false);
        if revision != known || is_removed {
            let detail = format!(
                "{}/{}: settings {known:?}, now {revision:?}, removed: {is_removed}",
                run.0, run.1
            );
            self.violate("fine print 5: the settings are the run's", &detail);
        }
    }

    /// A later plan voids one that waits for a person, but for that of a delta run.
    fn hold_is_over(&self, run: &RunKey) {
        if self.is_delta(run) {
            return;
        }
        let pk = format!("run#{}", run.0);
        let held = |item: &&Item| text(item, "state") == "HELD";
        let runs = self.mirror.range(Table::Coordination, &pk, "");
        if let Some(held) = runs.map(|(_, item)| item).find(held) {
            let detail = format!("{}/{:?} waits still", run.0, number(held, "run"));
            self.violate(
                "invariant 7: a hold ends by a person or a later plan",
                &detail,
            );
        }
    }

    pub(super) fn entries(&self, run: &RunKey, manifest: &Item) -> Vec<Entry> {
        let pk = format!("plan#{}", run.0);
        let prefix = format!("{:010}#{}#", run.1, text(manifest, "hash"));
        let parts = self.mirror.range(Table::Coordination, &pk, &prefix);
        let whole: Vec<_> = parts
            .flat_map(|(_, item)| bytes(item, "payload").to_vec())
            .collect();
        let entries: Value = serde_json::from_slice(&whole).unwrap_or_default();
        let entry = |entry: &Value| Entry {
            id: entry["id"].as_str().unwrap_or_default().to_owned(),
            reason: entry["reason"].as_str().unwrap_or_default().to_owned(),
            version: entry["version"].as_u64().unwrap_or_default(),
        };
        entries
            .as_array()
            .into_iter()
            .flatten()
            .map(entry)
            .collect()
    }

    /// A streak counts runs that were told so by id, this one and those that completed before it.
    pub(super) fn streak_is_borne_out(&mut self, run: &RunKey, change: &Change) {
        let runs = number(&change.after, "runs").unwrap_or_default();
        let key = (run.0.clone(), change.place.sk.clone());
        if runs == 0 {
            if let Some(told) = self.checks.not_found.get_mut(&key) {
                told.remove(&run.1);
            }
            return;
        }
        let told = self.told(run, &change.place.sk);
        let is_alive = told.iter().any(|it| matches!(it, Told::Alive(_)));
        let known = self.checks.not_found.entry(key).or_default();
        known.insert(run.1);
        let completed = self.checks.completed.get(&run.0);
        let earlier = completed.into_iter().flatten().rev();
        let in_a_row = 1 + earlier.take_while(|run| known.contains(run)).count() as u64;
        if is_alive || !told.contains(&Told::NotFound) || runs > in_a_row {
            let place = &change.place;
            let detail = format!("{place}: {runs} runs, {in_a_row} told so, now {told:?}");
            self.violate(EVIDENCE, &detail);
        }
    }

    /// Who was seen has no streak any more, whatever becomes of the run.
    fn no_streak_of_the_seen(&self, run: &RunKey, was_seen: &dyn Fn(&ObjectId) -> bool) {
        let pk = format!("streak#{}", run.0);
        for (place, item) in self.mirror.range(Table::Coordination, &pk, "") {
            let Ok(id) = ObjectId::new(&place.sk) else {
                continue;
            };
            if was_seen(&id) && number(item, "runs").unwrap_or_default() > 0 {
                let detail = format!("{}/{} saw {id}, who has a streak", run.0, run.1);
                self.violate("fine print 8: a sighting breaks a streak", &detail);
            }
        }
    }

    /// What whoever writes this was told about a user by id.
    pub(super) fn told(&self, run: &RunKey, id: &str) -> Vec<Told> {
        let (Some(invocation), Ok(id)) = (self.invocation, ObjectId::new(id)) else {
            return Vec::new();
        };
        let told = lock(&invocation.told);
        told.get(&(run.0.clone(), id)).cloned().unwrap_or_default()
    }

    /// Whom a finalizer was told to be not there, by the run that it worked for.
    fn remember_not_found(&mut self, run: &RunKey) {
        let Some(invocation) = self.invocation else {
            return;
        };
        for ((tenant, id), told) in lock(&invocation.told).iter() {
            if *tenant == run.0 && told.last() == Some(&Told::NotFound) {
                let key = (tenant.clone(), id.to_string());
                self.checks.not_found.entry(key).or_default().insert(run.1);
            }
        }
    }

    /// Who was seen as disabled and may be on all the same: Graph said otherwise in the end, or nothing, or he
    /// changed since the plan was made.
    fn remember_kept_on(&mut self, run: &RunKey, entries: &[Entry]) {
        let Some(invocation) = self.invocation else {
            return;
        };
        for ((tenant, id), told) in lock(&invocation.told).iter() {
            let is_back =
                told.contains(&Told::Removed) && told.iter().any(|it| matches!(it, Told::Alive(_)));
            let is_in_scope = told.contains(&Told::Outside(Some(false)));
            let is_unknown =
                told.contains(&Told::Outside(None)) || told.contains(&Told::Alive(None));
            let is_enabled = told.contains(&Told::Alive(Some(true)));
            if *tenant == run.0 && (is_back || is_enabled || is_in_scope || is_unknown) {
                self.checks.kept_on.insert((run.clone(), id.to_string()));
            }
        }
        // To be in the bin is no answer of what he is.
        let told = lock(&invocation.told);
        let is_silent = |id: &&ObjectId| {
            let told = told.get(&(run.0.clone(), (*id).clone()));
            !told.is_some_and(|told| told.iter().any(|it| matches!(it, Told::Alive(_))))
        };
        for id in lock(&invocation.asked).iter().filter(is_silent) {
            self.checks.kept_on.insert((run.clone(), id.to_string()));
        }
        drop(told);
        let planned = entries.iter().map(|entry| (run.clone(), entry.id.clone()));
        self.checks.kept_on.extend(planned);
    }

    /// What whoever made the plan was told has to bear it out.
    fn evidence(&self, run: &RunKey, entry: &Entry) {
        let told = self.told(run, &entry.id);
        let is_alive = told.iter().any(|it| matches!(it, Told::Alive(_)));
        let is_borne_out = match entry.reason.as_str() {
            "disabled" => {
                self.is_candidate(run, entry)
                    && told.contains(&Told::Alive(Some(false)))
                    && !told.contains(&Told::Alive(Some(true)))
            }
            "out_of_scope" if self.went_for_groups(run, &entry.id) => {
                self.is_candidate(run, entry) && self.is_out_by_id(run, &entry.id)
            }
            "out_of_scope" => {
                let outside = |it: &&Told| matches!(it, Told::Outside(_));
                let last = told.iter().rev().find(outside);
                self.is_candidate(run, entry) && last == Some(&Told::Outside(Some(true)))
            }
            "deleted" => {
                let is_told = told.contains(&Told::InBin)
                    || (self.is_candidate(run, entry) && self.was_removed(run, &entry.id));
                is_told && !is_alive
            }
            "not_found" => {
                told.contains(&Told::NotFound) && !is_alive && self.was_not_found(run, entry)
            }
            _ => false,
        };
        if !is_borne_out {
            let detail = format!("{}/{}: {entry:?} after {told:?}", run.0, run.1);
            self.violate(EVIDENCE, &detail);
        }
    }

    fn is_candidate(&self, run: &RunKey, entry: &Entry) -> bool {
        let is_it =
            |it: &Value| it["id"] == entry.id.as_str() && it["reason"] == entry.reason.as_str();
        self.candidates(run).iter().any(is_it)
    }

    fn candidates(&self, run: &RunKey) -> Vec<Value> {
        let batches = self.batches(run).into_iter();
        let candidates = batches.map(|batch| json(batch, "candidates"));
        candidates
            .filter_map(|it| it.as_array().cloned())
            .flatten()
            .collect()
    }

    /// Whether a delta told a run of somebody.
    pub(super) fn was_told_in_part(&self, run: &RunKey, id: &str) -> bool {
        let mut told = self.told_of(run, id);
        told.any(|it| matches!(it.user, Sighted::Part(_)))
    }

    /// Whether the last page of a run that has somebody in full says that he is removed.
    pub(super) fn was_removed(&self, run: &RunKey, id: &str) -> bool {
        let told = self.told_of(run, id);
        told.last().is_some_and(|it| it.user.is_removal())
    }

    fn told_of(&self, run: &RunKey, id: &str) -> impl Iterator<Item = ChangedSighting> {
        let pk = format!("page#{}#{}", run.0, run.1);
        let pages = self.mirror.range(Table::Coordination, &pk, "");
        let told = pages.filter_map(|(_, item)| PagePayload::decode(bytes(item, "payload")).ok());
        told.flat_map(|page| page.changed)
            .filter(move |it| it.user.id().as_str() == id)
    }

    /// As many completed runs in a row, this one among them, were told the same.
    fn was_not_found(&self, run: &RunKey, entry: &Entry) -> bool {
        let settings = self.settings(run);
        let wanted = settings["guards"]["absences_confirmed_by"]
            .as_u64()
            .unwrap_or(2);
        let completed = self.checks.completed.get(&run.0);
        let earlier = completed.into_iter().flatten().rev().copied();
        let in_a_row: Vec<u64> = earlier
            .take(usize::try_from(wanted.saturating_sub(1)).unwrap_or(1))
            .chain([run.1])
            .collect();
        let key = (run.0.clone(), entry.id.clone());
        let none = BTreeSet::new();
        let told = self.checks.not_found.get(&key).unwrap_or(&none);
        in_a_row.len() as u64 >= wanted && in_a_row.iter().all(|run| told.contains(run))
    }

    /// At the end everybody of the plan is off, or changed since it was made.
    pub(super) fn plan_was_carried_out(&self, run: &RunKey) {
        let Some(manifest) = self.carried_out(run) else {
            let detail = format!("{}/{} completed without a plan", run.0, run.1);
            return self.violate("invariant 1: a plan comes first", &detail);
        };
        for entry in self.entries(run, manifest) {
            let prefix = format!("{}#", run.0);
            let mut users = self.mirror.partitions(Table::Directory, &prefix);
            let user = users
                .find(|(place, _)| place.sk == entry.id)
                .map(|(_, item)| item);
            let waits = user.is_some_and(|user| {
                number(user, "version") == Some(entry.version) && text(user, "status") == "ACTIVE"
            });
            if waits {
                let detail = format!("{}/{} left {entry:?} on", run.0, run.1);
                self.violate("invariant 9: a plan is carried out", &detail);
            }
        }
    }
}
