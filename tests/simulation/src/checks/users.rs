//! Users: who changed whom, with which right, and whether it was true.

use rollcall_core::ids::ObjectId;

use super::hands::is_image;
use super::{Look, RunKey};
use crate::item::{Item, Place, json, number, text};
use crate::lambda::Function;
use crate::mirror::Change;
use crate::oracle::{Cause, Scope};
use crate::world::lock;

const FINALIZER: &str = "invariant 1: only the finalizer deactivates";
const JOURNAL: &str = "invariant 8: every change can be taken back";
const ORACLE: &str = "oracle: nobody is off who should be on";

impl Look<'_> {
    pub(super) fn user(&mut self, change: &Change) {
        let before = change.before.as_ref();
        let version = |item: &Item| number(item, "version").unwrap_or_default();
        let expected = before.map_or(0, version) + 1;
        if version(&change.after) != expected {
            let detail = format!("{} has version {}", change.place, version(&change.after));
            self.violate(
                "fine print 1: a write needs the version that was read",
                &detail,
            );
        }
        if self.invocation.is_none() {
            // One past the store is a write alone.
            if self.changes.len() > 1 {
                let tenant = change.place.pk.split('#').next().unwrap_or_default();
                self.leaves_an_image(&(tenant.to_owned(), 0), change);
            }
            return;
        }
        let tenant = change
            .place
            .pk
            .split('#')
            .next()
            .unwrap_or_default()
            .to_owned();
        let is_manual = |item: &Item| text(item, "reason") == "manual";
        let status = |item: &Item| text(item, "status").to_owned();
        if before.is_some_and(is_manual)
            && (before.map(status) != Some(status(&change.after)) || !is_manual(&change.after))
        {
            let detail = format!("{} was decided by a person", change.place);
            self.violate("a person's word stands", &detail);
        }
        let was_on = before.is_some_and(|item| text(item, "status") == "ACTIVE");
        let run = if let Some(run) = self.reverting() {
            self.is_taken_back(&run, change)
        } else if was_on && text(&change.after, "status") == "INACTIVE" {
            self.goes_off(&tenant, change)
        } else {
            self.is_worked_on(&tenant, change)
        };
        self.leaves_an_image(&run, change);
    }

    /// A worker's write: under the lease of the batch that the sighting is in.
    fn is_worked_on(&mut self, tenant: &str, change: &Change) -> RunKey {
        let run = number(&change.after, "sync_run").unwrap_or_default();
        let run = (tenant.to_owned(), run);
        let mut order = text(&change.after, "sync_order").split('.');
        let mut next = || {
            order
                .next()
                .and_then(|it| it.parse::<u64>().ok())
                .unwrap_or_default()
        };
        let (generation, page) = (next(), next());
        let pk = format!("batch#{tenant}#{}", run.1);
        let batch = Place::coordination(pk, format!("{generation:03}#{page:06}"));
        let state = self
            .mirror
            .get(&batch)
            .map_or("", |item| text(item, "state"));
        if !self.holds(&batch) || state != "LEASED" {
            let detail = format!("{} was written for {batch}, which is {state}", change.place);
            self.violate("invariant 4: no write without a lease", &detail);
        }
        let id = change.place.sk.clone();
        let was_off = change
            .before
            .as_ref()
            .map(|item| text(item, "status") == "INACTIVE");
        let is_on = text(&change.after, "status") == "ACTIVE";
        let kind = match was_off {
            None => "created",
            Some(true) if is_on => "reactivated",
            Some(_) => "updated",
        };
        self.world.mark(match kind {
            "created" => "users created",
            "reactivated" => "users reactivated",
            _ => "users updated",
        });
        let worked = self.checks.worked.entry(run.clone()).or_default();
        worked.entry(id).or_insert(kind);
        self.is_by_the_snapshot(&run, change);
        if is_on && was_off != Some(false) {
            self.is_true(&run, change, Cause::On);
            self.is_true(&run, change, Cause::InGroups);
        } else if !is_on && was_off.is_none() {
            self.is_true(&run, change, Cause::Disabled);
        }
        run
    }

    /// A run judges everybody by the settings that it began with.
    fn is_by_the_snapshot(&self, run: &RunKey, change: &Change) {
        let settings = self.settings(run);
        let was_on = |item: &Item| text(item, "status") == "ACTIVE";
        let goes_on = was_on(&change.after) && !change.before.as_ref().is_some_and(was_on);
        let id = ObjectId::new(&change.place.sk);
        let is_in = Scope::of(&settings).takes_stored(
            crate::item::text_if_any(&change.after, "user_type"),
            crate::item::text_if_any(&change.after, "user_principal_name"),
            id.is_ok_and(|id| self.is_member(run, &id)),
        );
        let is_wrong_scope = goes_on && is_in == Some(false);
        // Departments and titles are different words.
        let department = |item| crate::item::member(item, "attributes", "department");
        let mapped = department(&change.after);
        let property = settings["attributes"]["department"]
            .as_str()
            .unwrap_or_default();
        let is_title = mapped.is_some_and(|word| matches!(word, "lead" | "clerk"));
        let is_wrong_map = mapped.is_some() && is_title != (property == "jobTitle");
        // A delta leaves what it does not tell of.
        let is_left = change.before.as_ref().and_then(department) == mapped
            && self.was_told_in_part(run, &change.place.sk);
        if is_wrong_scope || (is_wrong_map && !is_left) {
            let detail = format!("{} is not by the run's settings", change.place);
            self.violate(
                "fine print 5: a run works on a snapshot of the settings",
                &detail,
            );
        }
    }

    /// The one way off: the finalizer, carrying out the run's plan.
    fn goes_off(&mut self, tenant: &str, change: &Change) -> RunKey {
        let run = number(&change.after, "status_run").unwrap_or_default();
        let run = (tenant.to_owned(), run);
        let state = self.run_state(&run).to_owned();
        let is_finalizer = self
            .invocation
            .is_some_and(|it| it.function == Function::Finalizer);
        if !is_finalizer || state != "APPLYING" {
            let detail = format!(
                "{} went off while {}/{} is {state}",
                change.place, run.0, run.1
            );
            self.violate(FINALIZER, &detail);
        }
        self.needs_run_lease(&run, "a deactivation");
        let manifest = self.carried_out(&run);
        let entries = manifest
            .map(|it| self.entries(&run, it))
            .unwrap_or_default();
        let version = change
            .before
            .as_ref()
            .and_then(|item| number(item, "version"));
        let is_planned = entries.iter().any(|entry| {
            entry.id == change.place.sk
                && entry.reason == text(&change.after, "reason")
                && Some(entry.version) == version
        });
        if !is_planned {
            let detail = format!("{} at version {version:?} is in no plan", change.place);
            self.violate("invariant 7: a plan is carried out to the letter", &detail);
        }
        let (cause, mark) = match text(&change.after, "reason") {
            "disabled" => (Cause::Disabled, "users off: disabled"),
            "out_of_scope" => (Cause::OutOfScope, "users off: out_of_scope"),
            "deleted" if self.was_removed(&run, &change.place.sk) => {
                (Cause::Gone, "users off: deleted by a delta")
            }
            // Whoever came back and vanished for good before the plan was approved is gone all the same.
            "deleted" if self.checks.approved_ms.contains_key(&run) => {
                (Cause::Gone, "users off: deleted, and approved")
            }
            "deleted" => (Cause::Deleted, "users off: deleted"),
            _ => (Cause::Gone, "users off: not_found"),
        };
        self.world.mark(mark);
        self.is_true(&run, change, cause);
        let gone = self.checks.deactivated.entry(run.clone()).or_default();
        gone.insert(change.place.sk.clone());
        run
    }

    /// What was written was true at some moment of the run.
    fn is_true(&self, run: &RunKey, change: &Change, cause: Cause) {
        let Some(tenant) = self.world.tenant(&run.0) else {
            return;
        };
        let scope = Scope::of(&self.settings(run));
        // What was true before the plan was approved has to be so after it.
        let since = self.checks.approved_ms.get(run);
        let since = since.or_else(|| self.checks.started_ms.get(run));
        let from_ms = since.copied().unwrap_or_default();
        let Ok(id) = ObjectId::new(&change.place.sk) else {
            return self.violate(ORACLE, &format!("{} is no id", change.place));
        };
        if !lock(&tenant.oracle).was(&id, cause, &scope, from_ms, self.now_ms) {
            let detail = format!("{}/{}: {} was not {cause:?}", run.0, run.1, change.place);
            self.violate(ORACLE, &detail);
        }
    }

    /// The image of what was before is in the same transaction.
    fn leaves_an_image(&self, run: &RunKey, change: &Change) {
        let before = change.before.as_ref();
        let version = before
            .and_then(|item| number(item, "version"))
            .unwrap_or_default();
        let prefix = format!("journal#{}#{}#", run.0, run.1);
        let sk = format!("{}#{version:010}", change.place.sk);
        let entry = self
            .changes
            .iter()
            .find(|it| it.place.pk.starts_with(&prefix) && it.place.sk == sk);
        let Some(entry) = entry else {
            let detail = format!("{} changed without an image", change.place);
            return self.violate(JOURNAL, &detail);
        };
        let image = json(&entry.after, "before");
        let is_same = match before {
            None => image.is_null(),
            Some(item) => image["version"].as_u64() == Some(version) && is_image(item, &image),
        };
        if !is_same {
            let detail = format!("{}: the image is not what was there", change.place);
            self.violate(JOURNAL, &detail);
        }
    }

    /// An image stands beside the change that it is of, and is never written over.
    pub(super) fn journal(&self, change: &Change) {
        let id = change.place.sk.split('#').next().unwrap_or_default();
        let has_user = self
            .changes
            .iter()
            .any(|it| it.place.table == crate::item::Table::Directory && it.place.sk == id);
        if change.before.is_some() || !has_user {
            let detail = format!("{} stands alone, or over another", change.place);
            self.violate(JOURNAL, &detail);
        }
    }
}
