//! What people do with a whole run: release its plan, drop it, take the run back.

use std::collections::BTreeSet;

use serde_json::Value;

use super::owed::is_owed;
use super::starts::CLOCKS_MS;
use super::{Look, RunKey};
use crate::item::{Item, Place, Table, flag, json, member, members, number, text};
use crate::lambda::Told;
use crate::mirror::Change;

const RELEASED: &str = "invariant 7: a plan is released by its hash, once";
/// How long a plan waits for a person, in milliseconds.
pub(crate) const HOLD_MS_MAX: u64 = 60 * 86_400_000;
const REVERTED: &str = "invariant 8: a run is taken back as it was";

impl Look<'_> {
    /// A person's word on a held run, or a later plan's.
    pub(super) fn ruled(&mut self, run: &RunKey, change: &Change) {
        match text(&change.after, "state") {
            "FINALIZING" => self.approved(run, change),
            "REJECTED" => self.world.mark("runs REJECTED"),
            "SUPERSEDED" => {
                self.world.mark("runs SUPERSEDED");
                self.superseded(run);
            }
            other => {
                let detail = format!("{} was held and is {other}", change.place);
                self.violate(RELEASED, &detail);
            }
        }
        let head = Place::coordination(format!("head#{}", run.0), "head".into());
        let none = Item::new();
        let head = self.mirror.get(&head).unwrap_or(&none);
        let waits = ["held_run", "held_delta_run"]
            .into_iter()
            .any(|name| number(head, name) == Some(run.1));
        if waits {
            let detail = format!("{}/{} waits still", run.0, run.1);
            self.violate(
                "invariant 7: a hold ends by a person or a later plan",
                &detail,
            );
        }
        if self.is_delta(run) && !is_owed(head) && !self.is_full_next(head) {
            let detail = format!("{}/{} asks for no full run", run.0, run.1);
            self.violate("fine print 12: a held delta asks for a full run", &detail);
        }
    }

    /// By a later plan, or because nobody has decided for so long.
    fn superseded(&self, run: &RunKey) {
        let prefix = format!("plan#{}", run.0);
        let is_by_full = |change: &Change| {
            let later = change
                .place
                .sk
                .split('#')
                .next()
                .and_then(|it| it.parse().ok());
            !self.is_delta(&(run.0.clone(), later.unwrap_or_default()))
        };
        let mut plans = self.changes.iter().filter(|it| it.place.pk == prefix);
        let has_plan = plans.any(is_by_full);
        if !has_plan && !self.has_lapsed(run) {
            let detail = format!("{}/{} was superseded by no plan", run.0, run.1);
            self.violate(
                "invariant 7: a hold ends by a person or a later plan",
                &detail,
            );
        }
    }

    fn has_lapsed(&self, run: &RunKey) -> bool {
        let held_ms = self.run_item(run).and_then(|item| number(item, "ended_at"));
        let lapses_ms = held_ms.map(|held_ms| held_ms + HOLD_MS_MAX);
        lapses_ms.is_some_and(|lapses_ms| lapses_ms <= self.now_ms + CLOCKS_MS)
    }

    /// The full run that supersedes a hold is what was asked for.
    fn is_full_next(&self, head: &Item) -> bool {
        self.changes
            .iter()
            .any(|it| it.place.pk.starts_with("plan#"))
            && number(head, "active_run").is_some()
    }

    fn approved(&mut self, run: &RunKey, change: &Change) {
        let before = change.before.as_ref();
        let token = |item: &Item| number(item, "lease_token").unwrap_or_default();
        let rises = token(&change.after) == before.map_or(0, token) + 1;
        let is_by_person =
            self.invocation.is_none() && !text(&change.after, "approved_by").is_empty();
        if !rises || !is_by_person {
            let detail = format!(
                "{} goes on without a person, or under its old lease",
                change.place
            );
            self.violate(RELEASED, &detail);
        }
        let manifest = self.mirror.get(&Self::manifest_place(run, ""));
        let hash = manifest.map_or("", |it| text(it, "hash"));
        if hash.is_empty() || hash != text(&change.after, "held_plan") {
            let detail = format!("{}/{}: another plan than {hash} is released", run.0, run.1);
            self.violate(RELEASED, &detail);
        }
        self.settings_are_the_same(run);
        let deadline_ms = number(&change.after, "deadline_at").unwrap_or_default();
        if deadline_ms <= self.now_ms {
            let detail = format!("{}/{} is released beyond its deadline", run.0, run.1);
            self.violate("invariant 9: a run ends within its deadline", &detail);
        }
        if self
            .checks
            .approved_ms
            .insert(run.clone(), self.now_ms)
            .is_some()
        {
            let detail = format!("{}/{} is released again", run.0, run.1);
            self.violate(RELEASED, &detail);
        }
        self.checks
            .grants
            .insert(change.place.clone(), (token(&change.after), 0));
    }

    /// The place of a run's plan, or, with `#released`, of what of it is carried out.
    pub(super) fn manifest_place(run: &RunKey, what: &str) -> Place {
        Place::coordination(format!("plan#{}", run.0), format!("{:010}{what}", run.1))
    }

    /// What a run carries out: its plan, or what was released of it.
    pub(super) fn carried_out(&self, run: &RunKey) -> Option<&Item> {
        let what = if self.checks.approved_ms.contains_key(run) {
            "#released"
        } else {
            ""
        };
        self.mirror.get(&Self::manifest_place(run, what))
    }

    /// What is carried out of an approved plan: a part of it, on what Graph says now.
    pub(super) fn released(&mut self, run: &RunKey, change: &Change) {
        self.written_once(change);
        self.settings_are_the_same(run);
        let all = self.mirror.get(&Self::manifest_place(run, ""));
        let all = all.map(|it| self.entries(run, it)).unwrap_or_default();
        let part = self.entries(run, &change.after);
        for entry in &part {
            let is_planned = all.iter().any(|it| {
                (&it.id, &it.reason, it.version) == (&entry.id, &entry.reason, entry.version)
            });
            let told = self.told(run, &entry.id);
            let is_alive = told.iter().any(|it| matches!(it, Told::Alive(_)));
            let stands = match entry.reason.as_str() {
                "disabled" => told.contains(&Told::Alive(Some(false))),
                // For what he is, or for the groups, whatever it was when the plan was made.
                "out_of_scope" => {
                    let is_outside = told.contains(&Told::Outside(Some(true)));
                    is_alive && (is_outside || self.is_out_by_id(run, &entry.id))
                }
                _ => !is_alive && (told.contains(&Told::InBin) || told.contains(&Told::NotFound)),
            };
            if !is_planned || !stands || !self.checks.approved_ms.contains_key(run) {
                let detail = format!("{}/{}: {entry:?} after {told:?}", run.0, run.1);
                self.violate("fine print 7: the evidence is taken anew", &detail);
            }
        }
        let kept = json(&change.after, "totals")["kept"]["contradicted"].as_u64();
        if kept.unwrap_or_default() < (all.len() - part.len()) as u64 {
            let detail = format!("{}/{}: {kept:?} stayed of {}", run.0, run.1, all.len());
            self.violate("conservation: who stayed is counted", &detail);
        }
        self.world.mark("plans released");
        if part.len() < all.len() {
            self.world.mark("plans released in part");
        }
    }

    /// A revert begins, is leased, goes on, ends.
    pub(super) fn revert(&mut self, tenant: &str, change: &Change) {
        self.lease(change);
        let run = (
            tenant.to_owned(),
            change.place.sk.parse().unwrap_or_default(),
        );
        let of = |item: &Item, name: &str| number(item, name).unwrap_or_default();
        let Some(before) = &change.before else {
            return self.writes_nothing_more(&run);
        };
        let restored = of(&change.after, "restored") - of(before, "restored");
        let users = self
            .changes
            .iter()
            .filter(|it| it.place.table == Table::Directory);
        if users.count() as u64 != restored {
            let detail = format!("{}: {restored} are counted", change.place);
            self.violate("conservation: who was restored is counted", &detail);
        }
        if before.contains_key("ended_at") {
            let detail = format!("{} had ended", change.place);
            self.violate(
                "invariant 9: a revert that ended is never written to again",
                &detail,
            );
        }
        if change.after.contains_key("ended_at") {
            self.all_are_taken_back(&run);
            let reverted_ms = &mut self.checks.owed.reverted_ms;
            reverted_ms.insert(run.0, self.now_ms);
        }
    }

    /// Only a run that cannot write any more is taken back.
    fn writes_nothing_more(&mut self, run: &RunKey) {
        let place = Place::coordination(format!("run#{}", run.0), format!("{:010}", run.1));
        let head = Place::coordination(format!("head#{}", run.0), "head".into());
        let state = self.mirror.get(&place).map_or("", |it| text(it, "state"));
        let active = self
            .mirror
            .get(&head)
            .and_then(|it| number(it, "active_run"));
        let has_ended = matches!(state, "COMPLETED" | "REJECTED" | "SUPERSEDED" | "FAILED");
        let ttl_s = self.mirror.get(&place).and_then(|it| number(it, "ttl"));
        if ttl_s.unwrap_or_default() * 1_000 < self.now_ms {
            let detail = format!("{}/{}: its journal may not be whole", run.0, run.1);
            self.violate(REVERTED, &detail);
        }
        if !has_ended || active == Some(run.1) {
            let detail = format!("{}/{} is {state}, and active: {active:?}", run.0, run.1);
            self.violate(
                "invariant 8: only a run that has ended is taken back",
                &detail,
            );
        }
    }

    /// The run that this transaction takes back, if it is a step of a revert.
    pub(super) fn reverting(&self) -> Option<RunKey> {
        let mut reverts = self.changes.iter().filter_map(|it| {
            let tenant = it.place.pk.strip_prefix("revert#")?;
            Some((tenant.to_owned(), it.place.sk.parse().ok()?))
        });
        reverts.next()
    }

    fn images<'m>(&'m self, run: &RunKey, id: &str) -> Vec<(u64, &'m Item)> {
        let prefix = format!("journal#{}#{}#", run.0, run.1);
        let images = self.mirror.partitions(Table::Coordination, &prefix);
        let of_user = images.filter_map(|(place, item)| {
            let (of, version) = place.sk.split_once('#')?;
            (of == id).then_some((version.parse().ok()?, item))
        });
        let mut images: Vec<_> = of_user.collect();
        images.sort_unstable_by_key(|(version, _)| *version);
        images
    }

    /// A step's write of a user: as he was before the run, if the run wrote him last.
    pub(super) fn is_taken_back(&mut self, run: &RunKey, change: &Change) -> RunKey {
        let place = Place::coordination(format!("revert#{}", run.0), format!("{:010}", run.1));
        if !self.holds(&place) {
            let detail = format!("{} was taken back without a lease", change.place);
            self.violate("invariant 4: no write without a lease", &detail);
        }
        let none = Item::new();
        let before = change.before.as_ref().unwrap_or(&none);
        let version = number(before, "version").unwrap_or_default();
        let images = self.images(run, &change.place.sk);
        let wrote_last = images.iter().any(|(of, _)| of + 1 == version);
        let first = images.first().map(|(_, image)| json(image, "before"));
        let is_as_before = first.is_some_and(|image| is_image(&change.after, &image));
        let is_decided = number(&change.after, "decided_version") == Some(version + 1);
        if !wrote_last || !is_as_before || !is_decided {
            let detail = format!("{} by {}/{}", change.place, run.0, run.1);
            self.violate(REVERTED, &detail);
        }
        self.world.mark("users taken back");
        let who = (run.0.clone(), change.place.sk.clone());
        self.checks.taken_back_ms.insert(who, self.now_ms);
        (run.0.clone(), 0)
    }

    /// At the end everybody whom the run wrote is as before, or is told to be left, with a reason.
    fn all_are_taken_back(&self, run: &RunKey) {
        let pk = format!("left#{}#{}", run.0, run.1);
        let mut left = Vec::new();
        for (_, item) in self.mirror.range(Table::Coordination, &pk, "") {
            let users = json(item, "left");
            let ids = users.as_array().into_iter().flatten();
            left.extend(
                ids.filter_map(|it| Some((it["id"].as_str()?.to_owned(), it["why"].clone()))),
            );
        }
        let prefix = format!("journal#{}#{}#", run.0, run.1);
        let images = self.mirror.partitions(Table::Coordination, &prefix);
        let ids: BTreeSet<_> = images
            .filter_map(|(place, _)| Some(place.sk.split_once('#')?.0.to_owned()))
            .collect();
        for id in ids {
            let images = self.images(run, &id);
            let is_created = images.first().is_some_and(|(version, _)| *version == 0);
            let is_back = self
                .images(&(run.0.clone(), 0), &id)
                .iter()
                .any(|(_, image)| number(image, "reverted") == Some(run.1));
            let why = left.iter().find(|(of, _)| *of == id).map(|(_, why)| why);
            let is_told = match why.and_then(Value::as_str) {
                Some("created") => is_created && !is_back,
                Some("changed_since") => {
                    let last = images.last().map_or(0, |(version, _)| version + 1);
                    let now = self.version_of(&run.0, &id);
                    // Between two writes of a run nobody but a person writes.
                    let follow = |pair: &[(u64, &Item)]| matches!(pair, [a, b] if a.0 + 1 == b.0);
                    let is_interrupted = !images.windows(2).all(follow);
                    !is_created && !is_back && (now > last || is_interrupted)
                }
                _ => is_back && !is_created,
            };
            if !is_told {
                let detail = format!("{}/{}: {id}, back: {is_back}, left: {why:?}", run.0, run.1);
                self.violate(REVERTED, &detail);
            }
        }
    }

    fn version_of(&self, tenant: &str, id: &str) -> u64 {
        let prefix = format!("{tenant}#");
        let mut users = self.mirror.partitions(Table::Directory, &prefix);
        let user = users.find(|(place, _)| place.sk == id);
        user.and_then(|(_, item)| number(item, "version"))
            .unwrap_or_default()
    }

    /// Whom a step leaves is told once, beside the step.
    pub(super) fn left(&self, change: &Change) {
        self.written_once(change);
        if self.reverting().is_none() {
            let detail = format!("{} stands alone", change.place);
            self.violate(REVERTED, &detail);
        }
    }
}

/// Whether a user is as his image has him, but for the version.
pub(super) fn is_image(item: &Item, image: &Value) -> bool {
    let texts = [
        "status",
        "reason",
        "user_principal_name",
        "mail",
        "display_name",
        "user_type",
    ];
    let same = |name: &&str| image[*name].as_str().unwrap_or_default() == text(item, name);
    let attributes = image["attributes"].as_object();
    let mut values = attributes.into_iter().flatten();
    texts.iter().all(same)
        && values.all(|(name, value)| value.as_str() == member(item, "attributes", name))
        && attributes.map_or(0, serde_json::Map::len) == members(item, "attributes")
        && image["account_enabled"].as_bool() == flag(item, "account_enabled")
        && image["status_run"].as_u64() == number(item, "status_run")
        && image["in_scope"].as_bool() == flag(item, "in_scope")
}
