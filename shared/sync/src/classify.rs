//! Sorting a page: seen and unchanged, or new or changed.

use std::collections::HashMap;

use rollcall_core::delta::{DeltaUser, Told};
use rollcall_core::ids::{IdKey, RunRef};
use rollcall_core::members::Members;
use rollcall_core::page::{ChangedSighting, NextPage, PagePayload, Sighted};
use rollcall_core::reconcile::is_unchanged;
use rollcall_core::scope::Scope;
use rollcall_core::settings::TenantSettings;
use rollcall_core::status::{Implied, Reason, Standing, Status};
use rollcall_core::user::{AttributeMap, ContentHash, GraphUser};
use rollcall_store::{Store, StoreError};

use rollcall_core::ids::TenantId;

/// A key as bytes, which lie side by side without gaps.
type KeyBytes = [u8; 16];

const fn bytes_of(key: IdKey) -> KeyBytes {
    key.0.to_be_bytes()
}

/// What the index showed when this invocation read it: 34 bytes a user, sorted by key.
pub(crate) struct Known(Vec<KnownUser>);

struct KnownUser {
    key: KeyBytes,
    hash: ContentHash,
    status: Status,
    reason: Reason,
}

impl Known {
    /// Streams the tenant's part of the directory once.
    pub(crate) async fn load(store: &Store, run: &RunRef) -> Result<Self, StoreError> {
        let mut known = Vec::new();
        let tenant: &TenantId = &run.tenant;
        store
            .standings(tenant, |user| {
                let Standing {
                    hash,
                    status,
                    reason,
                } = user.standing;
                known.push(KnownUser {
                    key: bytes_of(IdKey::of(run, &user.id)),
                    hash,
                    status,
                    reason,
                });
            })
            .await?;
        known.sort_unstable_by_key(|user| user.key);
        Ok(Self(known))
    }

    fn get(&self, key: IdKey) -> Option<Standing> {
        let key = bytes_of(key);
        let at = self.0.binary_search_by_key(&key, |user| user.key).ok()?;
        self.0.get(at).map(|user| Standing {
            hash: user.hash,
            status: user.status,
            reason: user.reason,
        })
    }
}

/// Sorts the pages of one run.
pub(crate) struct Classifier<'a> {
    run: &'a RunRef,
    scope: &'a Scope,
    mapped: &'a AttributeMap,
    /// Who is in the groups of the scope, if it has any.
    members: Option<Members>,
    /// Loaded while the first page of users comes; a delta is not compared with it.
    pub(crate) known: Option<Known>,
    /// Who was seen as changed in this run: every later sighting of him is stored in full, so that
    /// the last one can be told.
    changed: SeenChanged,
}

/// Who was seen as changed, and how last: about 40 bytes each.
#[derive(Debug, Default)]
struct SeenChanged {
    seen: HashMap<KeyBytes, LastSeen>,
    /// All that was told of him, where a field that decides was null: the worker writes nothing then.
    unwritten: HashMap<KeyBytes, DeltaUser>,
}

/// How somebody was seen as changed last.
#[derive(Debug, Clone, Copy)]
struct LastSeen {
    generation: u8,
    /// What was told of `accountEnabled`. The worker does not write that somebody is disabled, so
    /// a later part that is silent about it is not read over what is stored.
    enabled: Told<bool>,
}

impl SeenChanged {
    fn last(&self, key: IdKey) -> Option<LastSeen> {
        self.seen.get(&bytes_of(key)).copied()
    }

    fn note(&mut self, key: IdKey, generation: u32, user: &Sighted, mapped: &AttributeMap) {
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
        let key = bytes_of(key);
        let generation = short(generation);
        let last = LastSeen {
            generation,
            enabled,
        };
        self.seen.insert(key, last);
        match unwritten {
            Some(told) => self.unwritten.insert(key, told),
            None => self.unwritten.remove(&key),
        };
    }

    /// What is told of the user now, together with what was told before and is not written.
    fn complete(&self, key: IdKey, before: LastSeen, part: &mut DeltaUser) {
        if let Some(told) = self.unwritten.get(&bytes_of(key)) {
            let mut told = told.clone();
            told.then(part.clone());
            *part = told;
        } else if part.removed.is_none() {
            part.account_enabled = part.account_enabled.or(before.enabled);
        }
    }
}

/// A run has a few generations.
fn short(generation: u32) -> u8 {
    u8::try_from(generation).unwrap_or(u8::MAX)
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
            changed: SeenChanged::default(),
        }
    }

    /// A page that was committed before this invocation.
    pub(crate) fn remember(&mut self, generation: u32, page: &PagePayload) {
        for sighting in &page.changed {
            let key = IdKey::of(self.run, sighting.user.id());
            self.changed
                .note(key, generation, &sighting.user, self.mapped);
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
            let before = self.changed.last(key);
            let again = before.is_some_and(|it| it.generation == short(generation));
            if let Sighted::Whole(user) = &user {
                unknown += u64::from(Implied::by(user, self.scope) == Implied::Unknown);
                let is_new = before.is_none() && !here.contains_key(&key);
                if is_new && self.is_unchanged(user, key) {
                    page.seen.push(key.seen_key());
                    continue;
                }
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
                    page.changed.push(ChangedSighting {
                        index,
                        again,
                        is_new: before.is_none() && self.is_new(key),
                        user,
                    });
                }
            }
        }
        for sighting in &mut page.changed {
            let key = IdKey::of(self.run, sighting.user.id());
            if let Sighted::Part(part) = &mut sighting.user
                && let Some(before) = self.changed.last(key).filter(|_| sighting.again)
            {
                // Last, for whatever this page tells stands above what an earlier one did.
                self.changed.complete(key, before, part);
            }
            self.changed
                .note(key, generation, &sighting.user, self.mapped);
        }
        (page, unknown)
    }

    /// Whether the index showed nobody of this key.
    fn is_new(&self, key: IdKey) -> bool {
        let known = self.known.as_ref();
        known.is_some_and(|known| known.get(key).is_none())
    }

    fn is_unchanged(&self, user: &GraphUser, key: IdKey) -> bool {
        let known = self.known.as_ref();
        known.is_some_and(|known| is_unchanged(user, self.scope, known.get(key).as_ref()))
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

    fn settings() -> TenantSettings {
        serde_json::from_value(json!({
            "id": "t",
            "directory_id": "6babcaad-604b-40ac-a9d7-9fd97c0b779f",
            "client_id": "e46697b1-7d7a-4a7a-9d6c-1c6ac6fb2ea7",
            "cloud": "global",
            "credential": { "kind": "federated" },
            "attributes": { "team": "department" },
        }))
        .unwrap()
    }

    /// What becomes of a part that is told on a later page than `before`.
    fn told_after(before: Sighted, part: DeltaUser) -> DeltaUser {
        told_after_all(vec![before], vec![part])
    }

    /// What becomes of parts that are told on one page, later than each of `before`, a page each.
    fn told_after_all(before: Vec<Sighted>, parts: Vec<DeltaUser>) -> DeltaUser {
        let settings = settings();
        let run = "t/1".parse().unwrap();
        let mut classifier = Classifier::new(&run, &settings, None);
        for before in before {
            let (page, _) = classifier.sort(1, vec![before], NextPage::Delta("x".into()));
            assert_eq!(page.changed.len(), 1);
        }
        let parts = parts.into_iter().map(Sighted::Part).collect();
        let (mut page, _) = classifier.sort(1, parts, NextPage::END);
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

    #[test]
    fn no_word_of_an_earlier_page_stands_over_the_first_of_two_parts_on_this_one() {
        let now = DeltaUser {
            account_enabled: Some(Some(false)),
            user_type: Some(Some("Guest".into())),
            ..part()
        };
        let named = DeltaUser {
            display_name: Some(Some("A".into())),
            ..part()
        };
        // The second with a null, so that all that it told is told again.
        for kind in [Some("Member"), None] {
            let before = whole(Some(true), kind);
            let told = told_after_all(vec![before], vec![now.clone(), named.clone()]);
            assert_eq!(told.account_enabled, Some(Some(false)));
            assert_eq!(told.user_type, Some(Some("Guest".into())));
            assert_eq!(told.display_name, Some(Some("A".into())));
        }
    }

    #[test]
    fn what_was_told_with_a_null_is_not_told_again_once_the_user_is_told_whole() {
        let unwritten = whole(Some(false), None);
        let written = whole(Some(true), Some("Member"));
        let kind = DeltaUser {
            user_type: Some(Some("Guest".into())),
            ..part()
        };
        let told = told_after_all(vec![unwritten, written], vec![kind]);
        assert_eq!(told.account_enabled, Some(Some(true)));
        assert_eq!(told.user_type, Some(Some("Guest".into())));
        assert_eq!(told.display_name, None);
    }

    #[test]
    fn whom_the_index_does_not_show_is_new_until_he_was_told_of_once() {
        let settings = settings();
        let run = "t/1".parse().unwrap();
        let seen = |known: Option<Known>| {
            let mut classifier = Classifier::new(&run, &settings, None);
            classifier.known = known;
            [1, 1, 2].map(|generation| {
                let user = whole(Some(true), Some("Member"));
                let (page, _) = classifier.sort(generation, vec![user], NextPage::END);
                page.changed[0].is_new
            })
        };
        assert_eq!(seen(Some(Known(Vec::new()))), [true, false, false]);
        let shown = KnownUser {
            key: bytes_of(IdKey::of(&run, &part().id)),
            hash: ContentHash([0; 16]),
            status: Status::Inactive,
            reason: Reason::Manual,
        };
        assert_eq!(seen(Some(Known(vec![shown]))), [false; 3]);
        // A delta run has no index.
        assert_eq!(seen(None), [false; 3]);
    }
}
