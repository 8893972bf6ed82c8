//! Runs: their states, their lease, and what has to be true at each step.

use rollcall_core::run::{RunEvent, RunState, next_run_state};
use serde_json::Value;

use super::owed::is_owed;
use super::{Look, RunKey};
use crate::item::{Item, Place, json, number, text};
use crate::mirror::Change;
use crate::world::lock;

impl Look<'_> {
    pub(super) fn run(&mut self, tenant: &str, change: &Change) {
        let run = (
            tenant.to_owned(),
            number(&change.after, "run").unwrap_or_default(),
        );
        let after = text(&change.after, "state").to_owned();
        let Some(before) = &change.before else {
            self.settings_are_the_same(&run);
            self.delta_can_go_on(&run, &change.after);
            self.owes_nothing(&run, &change.after);
            self.checks.started_ms.insert(run, self.now_ms);
            return;
        };
        let before = text(before, "state").to_owned();
        if matches!(before.as_str(), "COMPLETED" | "REJECTED" | "SUPERSEDED") {
            let detail = format!("{} is {before} and was written to", change.place);
            self.violate(
                "invariant 9: a run that ended is never written to again",
                &detail,
            );
        }
        if !is_legal(&before, &after) {
            let detail = format!("{} went from {before} to {after}", change.place);
            self.violate("invariant 9: states move as the function says", &detail);
        }
        if before == "HELD" {
            return self.ruled(&run, change);
        }
        self.turned_full(&run, change);
        self.lease(change);
        self.members_noted(&run, change);
        if before == after {
            self.mark_a_takeover(&run, change);
        }
        if before != after {
            self.world.mark(mark(&after, text(&change.after, "reason")));
            self.mark_a_plan_read_back(&run, &after);
            match after.as_str() {
                "APPLYING" => {
                    self.within_the_deadline(&run, "the first deactivation");
                    self.settings_are_the_same(&run);
                    self.applying(&run);
                }
                "COMPLETED" => self.completed(&run, &change.after),
                "FAILED" => {
                    self.nobody_went(&run, &after);
                    self.failed(&run, &change.after);
                }
                "HELD" => {
                    self.nobody_went(&run, &after);
                    self.held(&run, &change.after);
                }
                "FINALIZING" => {
                    self.within_the_deadline(&run, "the end");
                    self.complete_list(&run);
                }
                "DRAINING" => self.sealed(&run, &change.after),
                _ => {}
            }
        }
        self.generation(&run, change);
    }

    /// A delta run goes on where an earlier run ended, under the same mapping, and after nothing that
    /// no later delta tells of again.
    fn delta_can_go_on(&self, run: &RunKey, item: &Item) {
        if text(item, "mode") != "delta" {
            return;
        }
        let head = Place::coordination(format!("head#{}", run.0), "head".into());
        let none = Item::new();
        let head = self.mirror.get(&head).unwrap_or(&none);
        let link = text(head, "delta_link");
        let waits = number(head, "held_delta_run").is_some();
        let is_mapped = text(head, "delta_mapping") == text(item, "mapping");
        let waits = waits || is_owed(head);
        if link.is_empty() || link != text(item, "delta_from") || waits || !is_mapped {
            let detail = format!("{}/{} has nothing to go on from", run.0, run.1);
            self.violate("fine print 12: the delta link moves with its run", &detail);
        }
    }

    /// Counts how often a run is taken over where it was left half-way.
    fn mark_a_takeover(&self, run: &RunKey, change: &Change) {
        let token = |item: &Item| number(item, "lease_token").unwrap_or_default();
        if change.before.as_ref().map_or(0, token) == token(&change.after) {
            return;
        }
        let generation = number(&change.after, "generation");
        let is_left = |batch: &&Item| {
            text(batch, "state") == "REVOKED" && number(batch, "generation") == generation
        };
        let deadline_ms = number(&change.after, "deadline_at").unwrap_or_default();
        match text(&change.after, "state") {
            "ENUMERATING" if self.batches(run).iter().any(is_left) => {
                self.world.mark("generations left half-way");
            }
            "APPLYING" if self.now_ms > deadline_ms => {
                self.world.mark("plans carried out past the deadline");
            }
            _ => {}
        }
    }

    /// Counts how often somebody else goes on by a plan than who made it.
    fn mark_a_plan_read_back(&self, run: &RunKey, after: &str) {
        let planner = self.checks.planners.get(run);
        let is_another = planner.is_some() && planner != self.invocation.map(|it| &it.id);
        match after {
            "HELD" if is_another => self.world.mark("plans read back and held"),
            "APPLYING" if is_another => self.world.mark("plans read back and begun"),
            "COMPLETED" if is_another => self.world.mark("plans read back and ended"),
            _ => {}
        }
    }

    /// Whether a run asks for what changed alone.
    pub(super) fn is_delta(&self, run: &RunKey) -> bool {
        self.run_item(run)
            .is_some_and(|item| text(item, "mode") == "delta")
    }

    /// Before a generation begins, the one before is closed.
    fn generation(&self, run: &RunKey, change: &Change) {
        let of = |item: &Item| number(item, "generation").unwrap_or_default();
        let after = of(&change.after);
        if change.before.as_ref().map(of) == Some(after) {
            return;
        }
        self.world.mark("generations begun again");
        if self.open_batches(run).next().is_some() {
            let detail = format!("{}/{} began generation {after}", run.0, run.1);
            self.violate("invariant 6: open batches are revoked first", &detail);
        }
    }

    pub(super) fn open_batches(&self, run: &RunKey) -> impl Iterator<Item = &Item> {
        let is_open = |item: &&Item| matches!(text(item, "state"), "PENDING" | "LEASED");
        self.batches(run).into_iter().filter(is_open)
    }

    /// A run that has not ended well has switched nobody off.
    fn nobody_went(&self, run: &RunKey, state: &str) {
        if let Some(gone) = self.checks.deactivated.get(run)
            && !gone.is_empty()
        {
            let detail = format!(
                "{}/{} is {state} and has switched off {gone:?}",
                run.0, run.1
            );
            self.violate(
                "invariant 9: after the first deactivation a run rolls forward",
                &detail,
            );
        }
    }

    fn sealed(&self, run: &RunKey, item: &Item) {
        if !self.is_delta(run) && number(item, "sightings").unwrap_or_default() == 0 {
            let detail = format!("{}/{} was sealed without a user", run.0, run.1);
            self.violate("invariant 7: nobody seen is no list", &detail);
        }
    }

    fn completed(&mut self, run: &RunKey, item: &Item) {
        self.complete_list(run);
        self.plan_was_carried_out(run);
        self.totals_are_true(run, &json(item, "totals"));
        self.evidence_is_logged(run);
        if self.checks.approved_ms.contains_key(run) {
            return self.completed_by_approval(run);
        }
        self.in_step(run);
        let head = Place::coordination(format!("head#{}", run.0), "head".into());
        let head = self.mirror.get(&head);
        let link = head.map_or("", |head| text(head, "delta_link"));
        if link != text(item, "delta_to") {
            let detail = format!("{}/{} ended without its delta link", run.0, run.1);
            self.violate("fine print 12: the delta link moves with its run", &detail);
        }
        if self.is_delta(run) {
            self.world.mark("delta runs COMPLETED");
        }
        self.is_baseline(run);
    }

    /// Others have run since it was held: it is in step with nobody but its plan.
    fn completed_by_approval(&mut self, run: &RunKey) {
        self.world.mark("approved runs COMPLETED");
        self.is_baseline(run);
    }

    fn is_baseline(&mut self, run: &RunKey) {
        let head = Place::coordination(format!("head#{}", run.0), "head".into());
        let head = self.mirror.get(&head);
        let is_baseline = head.and_then(|head| number(head, "last_full_run")) == Some(run.1);
        let of_run = self.run_item(run).map(|item| json(item, "totals"));
        let seen = of_run.and_then(|totals| totals["users_seen"].as_u64());
        let is_number = head.and_then(|head| number(head, "last_full_seen")) == seen;
        if is_baseline == self.is_delta(run) || (is_baseline && !is_number) {
            let detail = format!("{}/{}: a baseline: {is_baseline}", run.0, run.1);
            self.violate("invariant 2: a completed full run is the baseline", &detail);
        }
        if !self.is_delta(run) {
            let completed = self.checks.completed.entry(run.0.clone());
            completed.or_default().push(run.1);
        }
    }

    fn totals_are_true(&self, run: &RunKey, totals: &Value) {
        let of = |group: &str, name: &str| totals[group][name].as_u64().unwrap_or_default();
        let worked = self.checks.worked.get(run);
        let done = |kind: &str| {
            worked.map_or(0, |users| {
                users.values().filter(|it| **it == kind).count() as u64
            })
        };
        let names = ["created", "updated", "reactivated"];
        let told: Vec<_> = names.iter().map(|name| of("changes", name)).collect();
        let true_ones: Vec<_> = names.iter().map(|name| done(name)).collect();
        let gone = self
            .checks
            .deactivated
            .get(run)
            .map_or(0, |it| it.len() as u64);
        let gone_told: u64 = ["disabled", "deleted", "not_found", "out_of_scope"]
            .iter()
            .map(|name| of("deactivated", name))
            .sum();
        let seen = totals["users_seen"].as_u64().unwrap_or_default();
        // Which is counted anew from the pages when it is stored.
        let plan = Place::coordination(format!("plan#{}", run.0), format!("{:010}", run.1));
        let plan = self.mirror.get(&plan);
        let is_seen = plan.and_then(|plan| number(plan, "users_seen")) == Some(seen);
        let is_whole = is_seen && told.iter().sum::<u64>() <= seen;
        if told != true_ones || gone != gone_told || !is_whole {
            let detail = format!(
                "{}/{} tells of {told:?} and {gone_told} off of {seen} seen; it was {true_ones:?} \
                 and {gone}",
                run.0, run.1
            );
            self.violate(
                "conservation: seen = created + updated + reactivated + unchanged",
                &detail,
            );
        }
    }

    fn evidence_is_logged(&self, run: &RunKey) {
        let logged = lock(&self.world.logs.deactivated);
        let gone = self.checks.deactivated.get(run).into_iter().flatten();
        for id in gone {
            if !logged.contains(&(run.0.clone(), run.1, id.clone())) {
                let detail = format!("{}/{} switched off {id} without a line", run.0, run.1);
                self.violate("invariant 10: evidence is logged", &detail);
            }
        }
        let leases = lock(&self.world.logs.batch_leases);
        let of = |item: &Item, name| number(item, name).unwrap_or_default();
        for batch in self.batches(run) {
            let Some(token) = number(batch, "lease_token") else {
                continue;
            };
            let (generation, page) = (of(batch, "generation"), of(batch, "page"));
            let lease = (run.0.clone(), run.1, generation, page, token);
            if text(batch, "state") == "DONE" && !leases.contains(&lease) {
                let detail = format!("the lease {lease:?} has no line");
                self.violate("invariant 10: evidence is logged", &detail);
            }
        }
    }
}

/// How a run's step is counted.
fn mark(state: &str, reason: &str) -> &'static str {
    match (state, reason) {
        ("COMPLETED", _) => "runs COMPLETED",
        ("HELD", _) => "runs HELD",
        ("FAILED", "deadline") => "runs FAILED deadline",
        ("FAILED", "settings_changed") => "runs FAILED settings_changed",
        ("FAILED", "incomplete") => "runs FAILED incomplete",
        ("FAILED", "enumeration_unreliable") => "runs FAILED enumeration_unreliable",
        ("FAILED", "empty_enumeration") => "runs FAILED empty_enumeration",
        ("FAILED", "unsafe_link") => "runs FAILED unsafe_link",
        ("FAILED", "graph_unavailable") => "runs FAILED graph_unavailable",
        ("FAILED", "graph_denied") => "runs FAILED graph_denied",
        ("FAILED", "group_unavailable") => "runs FAILED group_unavailable",
        ("FAILED", "credential_rejected") => "runs FAILED credential_rejected",
        ("FAILED", _) => "runs FAILED otherwise",
        _ => "other steps of runs",
    }
}

/// Whether the pure function allows it: by some event, or no event at all.
fn is_legal(before: &str, after: &str) -> bool {
    let named = |name: &str| {
        RunState::ALL
            .into_iter()
            .find(|it| it.stored_name() == name)
    };
    let (Some(before), Some(after)) = (named(before), named(after)) else {
        return false;
    };
    before == after
        || RunEvent::ALL
            .into_iter()
            .any(|event| next_run_state(before, event) == Ok(after))
}
