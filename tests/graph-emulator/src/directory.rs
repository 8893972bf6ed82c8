//! One directory: its live users in the order of a scan, its soft-deleted ones, and every change
//! that an administrator can make.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use rollcall_ambient::Ambient;
use uuid::Uuid;

use crate::changes::Changes;
use crate::groups::{Groups, Member};
use crate::people::{People, Population, random_uuid};
use crate::user::User;

/// How long a soft-deleted user can be restored: 30 days.
/// Source: "Recover from deletions in Microsoft Entra ID".
pub const DELETED_KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// The length of what goes before the login name of a soft-deleted user: the id without dashes.
const DELETED_PREFIX_LEN: usize = 32;

/// A place in a scan: the login name, case-folded, then the id. A user that is renamed moves, so a
/// scan that goes on meanwhile may meet it twice or not at all, as in a real directory.
pub(crate) type ScanKey = (String, Uuid);

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Nobody has the id (for a restore: nobody among the soft-deleted).
    #[error("no user {0}")]
    NoSuchUser(Uuid),
    /// The id is in use already, by a live or a soft-deleted user.
    #[error("user {0} is there already")]
    IdTaken(Uuid),
    /// Another live user has the login name.
    #[error("the login name for user {0} belongs to another user")]
    NameTaken(Uuid),
    /// No group has the id.
    #[error("no group {0}")]
    NoSuchGroup(Uuid),
}

/// The users of one tenant.
#[derive(Debug)]
pub struct Directory {
    ambient: Ambient,
    people: People,
    users: BTreeMap<Uuid, Arc<User>>,
    order: BTreeSet<ScanKey>,
    deleted: BTreeMap<Uuid, Arc<User>>,
    changes: Changes,
    groups: Groups,
}

impl Directory {
    /// A directory with its first population.
    pub(crate) fn new(ambient: Ambient, population: Population) -> Self {
        let users = population.users;
        let mut directory = Self {
            ambient,
            people: People::new(population),
            users: BTreeMap::new(),
            order: BTreeSet::new(),
            deleted: BTreeMap::new(),
            changes: Changes::default(),
            groups: Groups::default(),
        };
        directory.add_people(users);
        // A delta of everybody has those who were there from the start.
        directory.changes = Changes::default();
        directory
    }

    // === What is there ===

    /// How many live users there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is no live user.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// A live user.
    #[must_use]
    pub fn get(&self, id: Uuid) -> Option<&User> {
        self.users.get(&id).map(Arc::as_ref)
    }

    /// A live user by the login name, in any case.
    #[must_use]
    pub fn find(&self, user_principal_name: &str) -> Option<&User> {
        let folded = user_principal_name.to_lowercase();
        self.holder(&folded).and_then(|id| self.get(id))
    }

    /// All live users, by id.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values().map(Arc::as_ref)
    }

    /// All soft-deleted users that can still be restored, by id.
    pub fn deleted(&self) -> impl Iterator<Item = &User> {
        let now_ms = self.ambient.now_ms();
        self.deleted
            .values()
            .map(Arc::as_ref)
            .filter(move |user| is_kept(user, now_ms))
    }

    // === Changes ===

    /// Adds a user.
    ///
    /// # Errors
    /// When the id or the login name is taken.
    pub fn add(&mut self, user: User) -> Result<(), DirectoryError> {
        if self.users.contains_key(&user.id) || self.deleted.contains_key(&user.id) {
            return Err(DirectoryError::IdTaken(user.id));
        }
        let id = user.id;
        self.insert(user)?;
        self.changes.whole(id);
        Ok(())
    }

    /// Adds so many synthetic people of the directory's population, and tells their ids.
    pub fn add_people(&mut self, count: usize) -> Vec<Uuid> {
        let now_ms = self.ambient.now_ms();
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            let user = self.people.next(now_ms);
            let id = user.id;
            // A name can be taken by a user that was added or renamed by hand: the next one, then.
            if self.add(user).is_ok() {
                ids.push(id);
            }
        }
        ids
    }

    /// Deletes a user softly: it goes to `deletedItems`, its login name gets the id in front.
    ///
    /// # Errors
    /// When there is no such live user.
    pub fn soft_delete(&mut self, id: Uuid) -> Result<(), DirectoryError> {
        let mut user = self.take(id)?;
        if let Some(name) = &mut user.user_principal_name {
            name.insert_str(0, &id.simple().to_string());
        }
        user.deleted_at_ms = Some(self.ambient.now_ms());
        self.deleted.insert(id, Arc::new(user));
        self.changes.gone(id);
        Ok(())
    }

    /// Deletes a user, live or soft-deleted, without a trace.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn purge(&mut self, id: Uuid) -> Result<(), DirectoryError> {
        if self.deleted.remove(&id).is_none() {
            self.take(id)?;
        }
        self.changes.gone(id);
        Ok(())
    }

    /// Takes a user back out of `deletedItems`.
    ///
    /// # Errors
    /// When the user is not there (any more), or the login name is another's by now.
    pub fn restore(&mut self, id: Uuid) -> Result<(), DirectoryError> {
        let now_ms = self.ambient.now_ms();
        let Some(kept) = self.deleted.get(&id).filter(|user| is_kept(user, now_ms)) else {
            return Err(DirectoryError::NoSuchUser(id));
        };
        let mut user = User::clone(kept);
        user.deleted_at_ms = None;
        if let Some(name) = &mut user.user_principal_name {
            name.drain(..DELETED_PREFIX_LEN);
        }
        self.insert(user)?;
        self.deleted.remove(&id);
        self.changes.whole(id);
        Ok(())
    }

    /// Enables or disables a user, or makes it unknown (null) which.
    ///
    /// # Errors
    /// When there is no such live user.
    pub fn set_account_enabled(
        &mut self,
        id: Uuid,
        enabled: Option<bool>,
    ) -> Result<(), DirectoryError> {
        self.update(id, |user| user.account_enabled = enabled)
    }

    /// Gives a user another login name and another name to show.
    ///
    /// # Errors
    /// When there is no such live user, or another one has the login name.
    pub fn rename(
        &mut self,
        id: Uuid,
        user_principal_name: &str,
        display_name: &str,
    ) -> Result<(), DirectoryError> {
        self.update(id, |user| {
            user.user_principal_name = Some(user_principal_name.to_owned());
            user.display_name = Some(display_name.to_owned());
        })
    }

    /// Changes anything of a user but the id.
    ///
    /// # Errors
    /// When there is no such live user, or another one has the new login name. Nothing is changed
    /// then.
    pub fn update(
        &mut self,
        id: Uuid,
        change: impl FnOnce(&mut User),
    ) -> Result<(), DirectoryError> {
        let before = self.take(id)?;
        let mut after = before.clone();
        change(&mut after);
        after.id = id;
        match self.insert(after.clone()) {
            Ok(()) => {
                self.changes.properties(&before, &after);
                Ok(())
            }
            Err(error) => {
                self.insert(before)?;
                Err(error)
            }
        }
    }

    // === Groups ===

    /// Makes a group without members, and tells its id.
    pub fn add_group(&mut self) -> Uuid {
        let id = random_uuid(&mut fastrand::Rng::with_seed(self.ambient.random_u64()));
        self.groups.make(id);
        id
    }

    /// Deletes a group. Its members stay.
    ///
    /// # Errors
    /// When there is no such group.
    pub fn remove_group(&mut self, id: Uuid) -> Result<(), DirectoryError> {
        match self.groups.remove(id) {
            true => Ok(()),
            false => Err(DirectoryError::NoSuchGroup(id)),
        }
    }

    /// Puts a member into a group. A delta of the users tells nothing of it.
    ///
    /// # Errors
    /// When there is no such group.
    pub fn add_member(&mut self, group: Uuid, member: Member) -> Result<(), DirectoryError> {
        self.direct_members(group)?.insert(member);
        Ok(())
    }

    /// Takes a direct member out of a group.
    ///
    /// # Errors
    /// When there is no such group.
    pub fn remove_member(&mut self, group: Uuid, member: Member) -> Result<(), DirectoryError> {
        self.direct_members(group)?.remove(&member);
        Ok(())
    }

    /// Whoever is in a group, directly or through a group within it; none if there is no such group.
    #[must_use]
    pub fn transitive_members(&self, group: Uuid) -> Option<BTreeSet<Member>> {
        self.groups.transitive(group)
    }

    fn direct_members(&mut self, group: Uuid) -> Result<&mut BTreeSet<Member>, DirectoryError> {
        let members = self.groups.members_mut(group);
        members.ok_or(DirectoryError::NoSuchGroup(group))
    }

    // === For answers ===

    pub(crate) fn shared(&self, id: Uuid) -> Option<Arc<User>> {
        self.users.get(&id).cloned()
    }

    /// The live user at exactly that place of the scan.
    pub(crate) fn at(&self, key: &ScanKey) -> Option<Arc<User>> {
        self.order.get(key).and_then(|(_, id)| self.shared(*id))
    }

    /// Up to so many live users after a place of the scan.
    pub(crate) fn after(&self, key: Option<&ScanKey>, count: usize) -> Vec<Arc<User>> {
        let from = key.map_or(Bound::Unbounded, Bound::Excluded);
        self.order
            .range((from, Bound::Unbounded))
            .filter_map(|(_, id)| self.shared(*id))
            .take(count)
            .collect()
    }

    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Up to so many live users after an id.
    pub(crate) fn by_id_after(&self, id: Option<Uuid>, count: usize) -> Vec<Arc<User>> {
        let from = id.map_or(Bound::Unbounded, Bound::Excluded);
        let later = self.users.range((from, Bound::Unbounded)).take(count);
        later.map(|(_, user)| Arc::clone(user)).collect()
    }

    /// Up to so many soft-deleted users after an id.
    pub(crate) fn deleted_after(&self, id: Option<Uuid>, count: usize) -> Vec<Arc<User>> {
        let now_ms = self.ambient.now_ms();
        let from = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.deleted
            .range((from, Bound::Unbounded))
            .filter(|(_, user)| is_kept(user, now_ms))
            .map(|(_, user)| Arc::clone(user))
            .take(count)
            .collect()
    }

    fn insert(&mut self, user: User) -> Result<(), DirectoryError> {
        let key = scan_key(&user);
        if user.user_principal_name.is_some() && self.holder(&key.0).is_some() {
            return Err(DirectoryError::NameTaken(user.id));
        }
        self.order.insert(key);
        self.users.insert(user.id, Arc::new(user));
        Ok(())
    }

    fn take(&mut self, id: Uuid) -> Result<User, DirectoryError> {
        let user = self
            .users
            .remove(&id)
            .ok_or(DirectoryError::NoSuchUser(id))?;
        self.order.remove(&scan_key(&user));
        Ok(Arc::unwrap_or_clone(user))
    }

    /// Who has a login name, case-folded.
    fn holder(&self, folded: &str) -> Option<Uuid> {
        self.order
            .range((folded.to_owned(), Uuid::nil())..)
            .next()
            .filter(|(name, _)| name == folded)
            .map(|(_, id)| *id)
    }
}

pub(crate) fn scan_key(user: &User) -> ScanKey {
    let name = user.user_principal_name.as_deref().unwrap_or_default();
    (name.to_lowercase(), user.id)
}

fn is_kept(user: &User, now_ms: u64) -> bool {
    user.deleted_at_ms
        .is_some_and(|at_ms| now_ms < at_ms.saturating_add(DELETED_KEPT_MS))
}
