//! Sorting a page: seen and unchanged, or new or changed.

use std::collections::HashMap;

use rollcall_core::delta::{DeltaUser, Told};
use rollcall_core::ids::{IdKey, RunRef};
use rollcall_core::members::Members;
use rollcall_core::page::{ChangedSighting, NextPage, PagePayload, Sighted};
use rollcall_core::reconcile::is_unchanged;
use rollcall_core::scope::Scope;
use rollcall_core::settings::TenantSettings;
use rollcall_core::status::{Implied, Standing};
use rollcall_core::user::{AttributeMap, GraphUser};
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
    run: &'a RunRef,
    scope: &'a Scope,
    mapped: &'a AttributeMap,
    /// Who is in the groups of the scope, if it has any.
    members: Option<Members>,
    /// Loaded before the first page of users; a delta is not compared with it.
    pub(crate) known: Option<Known>,
    /// Who was seen as changed in this run: every later sighting of him is stored in full, so that
    /// the last one can be told.
    pub(crate) changed: HashMap<IdKey, SeenChanged>,
}

/// How somebody was seen as changed last.
#[derive(Debug, Clone)]
pub(crate) struct SeenChanged {
    generation: u32,
    /// What was told of `accountEnabled`. The worker does not write that somebody is disabled, so
    /// a later part that is silent about it is not read over what is stored.
    enabled: Told<bool>,
    /// All that was told, if a field that decides was null: the worker writes nothing then.
    unwritten: Option<Box<DeltaUser>>,
}

impl SeenChanged {
    fn by(generation: u32, user: &Sighted, mapped: &AttributeMap) -> Self {
        let (enabled, unwritten) = match user {
            Sighted::Whole(user) => (
                Some(user.account_enabled),
                user.is_undecided().then(|| DeltaUser::of(user, mapped)),
            ),
            Sighted::Part(user) => (
                user.account_enabled,
                user.is_undecided().then(|| user.clone()),
            ),
        };
        Self {
            generation,
            enabled,
            unwritten: unwritten.map(Box::new),
        }
    }

    /// What is told of the user now, together with what was told before and is not written.
    fn complete(self, part: &mut DeltaUser) {
        if let Some(mut told) = self.unwritten {
            told.then(part.clone());
            *part = *told;
        } else if part.removed.is_none() {
            part.account_enabled = part.account_enabled.or(self.enabled);
        }
    }
}

impl<'a> Classifier<'a> {
    /// Nobody was seen yet.
    pub(crate) fn new(
        run: &'a RunRef,
        settings: &'a TenantSettings,
        members: Option<Members>,
    ) -> Self {
        Self {
            run,
            scope: &settings.scope,
            mapped: &settings.attributes,
            members,
            known: None,
            changed: HashMap::new(),
        }
    }

    /// A page that was committed before this invocation.
    pub(crate) fn remember(&mut self, generation: u32, page: &PagePayload) {
        for sighting in &page.changed {
            let key = IdKey::of(self.run, sighting.user.id());
            let seen = SeenChanged::by(generation, &sighting.user, self.mapped);
            self.changed.insert(key, seen);
        }
    }

    /// Sorts a page; gives with it how many of its users have a null in a field that decides.
    pub(crate) fn sort(
        &mut self,
        generation: u32,
        users: Vec<Sighted>,
        next: NextPage,
    ) -> (PagePayload, u64) {
        let mut page = PagePayload::empty(next);
        let mut unknown = 0;
        // Who is new or changed on this page, and where in its list.
        let mut here: HashMap<IdKey, usize> = HashMap::new();
        for (index, mut user) in (0u32..).zip(users) {
            let key = IdKey::of(self.run, user.id());
            if let Some(members) = &self.members {
                user.set_in_groups(members.have(key));
            }
            let before = self.changed.get(&key).cloned();
            let again = before
                .as_ref()
                .is_some_and(|it| it.generation == generation);
            if let Sighted::Whole(user) = &user {
                unknown += u64::from(Implied::by(user, self.scope) == Implied::Unknown);
                let is_new = before.is_none() && !here.contains_key(&key);
                if is_new && self.is_unchanged(user, key) {
                    page.seen.push(key.seen_key());
                    continue;
                }
            }
            if let (Sighted::Part(part), Some(before), true) = (&mut user, before, again) {
                before.complete(part);
            }
            let told_before = here.get(&key).and_then(|at| page.changed.get_mut(*at));
            match (told_before, user) {
                // Each of the two tells a part.
                (
                    Some(ChangedSighting {
                        index: at,
                        user: Sighted::Part(before),
                        ..
                    }),
                    Sighted::Part(later),
                ) => {
                    before.then(later);
                    *at = index;
                }
                (_, user) => {
                    here.insert(key, page.changed.len());
                    page.changed.push(ChangedSighting { index, again, user });
                }
            }
        }
        for sighting in &page.changed {
            let key = IdKey::of(self.run, sighting.user.id());
            let seen = SeenChanged::by(generation, &sighting.user, self.mapped);
            self.changed.insert(key, seen);
        }
        (page, unknown)
    }

    fn is_unchanged(&self, user: &GraphUser, key: IdKey) -> bool {
        let known = self.known.as_ref();
        known.is_some_and(|known| is_unchanged(user, self.scope, known.get(key)))
    }
}

#[cfg(test)]
mod tests {
    use rollcall_core::ids::ObjectId;
    use serde_json::json;

    use super::*;

    fn part() -> DeltaUser {
        DeltaUser::new(ObjectId::new("a").unwrap())
    }

    fn whole(enabled: Option<bool>, kind: Option<&str>) -> Sighted {
        Sighted::Whole(GraphUser {
            id: part().id,
            user_principal_name: Some("a@contoso.com".into()),
            mail: None,
            display_name: None,
            account_enabled: enabled,
            user_type: kind.map(str::to_owned),
            attributes: AttributeMap::new(),
            in_groups: None,
        })
    }

    /// What becomes of a part that is told on a later page than `before`.
    fn told_after(before: Sighted, part: DeltaUser) -> DeltaUser {
        let settings: TenantSettings = serde_json::from_value(json!({
            "id": "t",
            "directory_id": "6babcaad-604b-40ac-a9d7-9fd97c0b779f",
            "client_id": "e46697b1-7d7a-4a7a-9d6c-1c6ac6fb2ea7",
            "cloud": "global",
            "credential": { "kind": "federated" },
            "attributes": { "team": "department" },
        }))
        .unwrap();
        let run = "t/1".parse().unwrap();
        let mut classifier = Classifier::new(&run, &settings, None);
        let (page, _) = classifier.sort(1, vec![before], NextPage::Delta("x".into()));
        assert_eq!(page.changed.len(), 1);
        let (mut page, _) = classifier.sort(1, vec![Sighted::Part(part)], NextPage::END);
        let sighting = page.changed.remove(0);
        assert!(sighting.again);
        match sighting.user {
            Sighted::Part(part) => part,
            Sighted::Whole(user) => panic!("{user:?}"),
        }
    }

    #[test]
    fn silence_about_a_disabled_user_is_not_read_over_what_is_stored() {
        let told = told_after(whole(Some(false), Some("Member")), part());
        assert_eq!(told.account_enabled, Some(Some(false)));
        // The rest is written by then.
        assert_eq!((told.user_type, told.mail), (None, None));
        let removed = DeltaUser {
            removed: Some(rollcall_core::delta::Removal::Bin),
            ..part()
        };
        let told = told_after(whole(Some(false), Some("Member")), removed.clone());
        assert_eq!(told, removed);
    }

    #[test]
    fn silence_about_a_null_is_not_read_over_what_is_stored() {
        let named = DeltaUser {
            display_name: Some(Some("A".into())),
            ..part()
        };
        let told = told_after(whole(Some(true), None), named);
        assert_eq!(told.user_type, Some(None));
        assert_eq!(told.account_enabled, Some(Some(true)));
        assert_eq!(told.display_name, Some(Some("A".into())));
        // Whoever was not written has nothing either of what is mapped now.
        assert_eq!(told.attributes["team"], None);
    }
}
