//! Groups: a run reads each group of its scope to its end, once, and goes by what Graph listed.

use std::collections::BTreeSet;

use rollcall_core::ids::{IdKey, ObjectId, RunRef};
use rollcall_core::members::{Members, MembersSeal};
use rollcall_core::page::PageDigest;

use super::{Look, RunKey};
use crate::item::{Item, Table, bytes, json, number, text};
use crate::lambda::Told;
use crate::mirror::Change;
use crate::oracle::Scope;
use crate::world::lock;

const LISTED: &str = "invariant 2: the members are what Graph listed";

impl Look<'_> {
    /// A part of the members, addressed by their digest: written again, it is the same.
    pub(super) fn members_part(&self, run: &RunKey) {
        self.needs_run_lease(run, "a part of the members");
    }

    /// The members are noted once, before the first page, and are all whom Graph listed, group by group.
    pub(super) fn members_noted(&self, run: &RunKey, change: &Change) {
        let digest = |item| text(item, "members_digest").to_owned();
        let before = change.before.as_ref().map(digest).unwrap_or_default();
        if before == digest(&change.after) {
            return;
        }
        let scope = Scope::of(&self.settings(run));
        let (mut listed, mut ever) = (BTreeSet::new(), BTreeSet::new());
        let mut is_whole = true;
        if let Some(invocation) = self.invocation {
            let lists = lock(&invocation.listed);
            for group in scope.groups() {
                match lists.get(&(run.0.clone(), *group)) {
                    Some(list) if list.is_whole && !list.users.is_empty() => {
                        listed.extend(list.users.iter().cloned());
                        ever.extend(list.ever.iter().cloned());
                    }
                    _ => is_whole = false,
                }
            }
        }
        let members = self.members(run);
        let is_listed = members.is_some_and(|members| {
            let have =
                |id: &ObjectId| named(run).is_some_and(|it| members.have(IdKey::of(&it, id)));
            let of_ever = ever.iter().filter(|id| have(id)).count() as u64;
            members.count() == of_ever && listed.iter().all(have)
        });
        if !before.is_empty() || !is_whole || !is_listed || self.has_pages(run) {
            let detail = format!(
                "{}/{}: {} listed to the end: {is_whole}; noted before: {before:?}",
                run.0,
                run.1,
                listed.len()
            );
            self.violate(LISTED, &detail);
        }
        self.world.mark("members of groups noted");
    }

    fn has_pages(&self, run: &RunKey) -> bool {
        let pk = format!("page#{}#{}", run.0, run.1);
        let mut pages = self.mirror.range(Table::Coordination, &pk, "");
        pages.next().is_some()
    }

    /// No page is sorted before the groups of the scope are read.
    pub(super) fn groups_are_read(&self, run: &RunKey) {
        let has_groups = !Scope::of(&self.settings(run)).groups().is_empty();
        if has_groups && self.members(run).is_none() {
            let detail = format!("{}/{} has a page and no members", run.0, run.1);
            self.violate(LISTED, &detail);
        }
    }

    /// The members that a run noted.
    fn members(&self, run: &RunKey) -> Option<Members> {
        let item = self.run_item(run)?;
        let digest = text(item, "members_digest");
        let pk = format!("members#{}#{}", run.0, run.1);
        let parts = self
            .mirror
            .range(Table::Coordination, &pk, &format!("{digest}#"));
        let whole: Vec<_> = parts
            .flat_map(|(_, item)| bytes(item, "payload").to_vec())
            .collect();
        let seal = MembersSeal {
            digest: PageDigest::of(&whole),
            count: number(item, "members")?,
        };
        let is_noted = seal.digest.as_str() == digest;
        is_noted.then(|| Members::decode(&whole, &seal).ok())?
    }

    /// Whether somebody is one of the members by a run's own list; everybody is where no group decides.
    pub(super) fn is_member(&self, run: &RunKey, id: &ObjectId) -> bool {
        let members = self.members(run);
        let is_listed =
            |members: &Members| named(run).is_some_and(|named| members.have(IdKey::of(&named, id)));
        members.as_ref().is_none_or(is_listed)
    }

    /// Whether a worker of the run found somebody out of scope for no other reason than the groups.
    pub(super) fn went_for_groups(&self, run: &RunKey, id: &str) -> bool {
        let of_id = |batch: &Item| {
            let candidates = json(batch, "candidates");
            let mut all = candidates.as_array().into_iter().flatten();
            all.find(|it| it["id"] == id).cloned()
        };
        let batches = self.batches(run).into_iter();
        let last = batches.rev().find_map(of_id);
        last.is_some_and(|it| it["by_groups"] == true)
    }

    /// Who left the groups was told to be in none, by id, and by the same answer somebody to be in one: else
    /// the application may not look into them at this moment, and the answer says nothing.
    pub(super) fn is_out_by_id(&self, run: &RunKey, id: &str) -> bool {
        let told = self.told(run, id);
        let mut last = told.iter().rev();
        let is_told = last.find(|it| matches!(it, Told::Member { .. }));
        is_told
            == Some(&Told::Member {
                is_in: false,
                is_vouched: true,
            })
    }
}

fn named(run: &RunKey) -> Option<RunRef> {
    format!("{}/{}", run.0, run.1).parse().ok()
}
