//! Who is in the groups of a tenant's scope, as one run read it: 16 bytes a member, nested ones too.
//!
//! A run reads the groups once and keeps what it read, so that every page of it is sorted by one
//! membership, whoever sorts it.

use crate::ids::{IdKey, ObjectId, RunRef};
use crate::page::PageDigest;

/// The layout's number, the first byte of the stored form.
const MEMBERS_VERSION: u8 = 1;

/// The bytes of one member.
const KEY_BYTES: usize = 16;

/// The members of at least one group of the scope, by their keys within the run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members(Vec<IdKey>);

/// What a run notes of its members: enough to tell whether a list that is read back is theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersSeal {
    /// The digest of the stored form.
    pub digest: PageDigest,
    /// How many there are.
    pub count: u64,
}

/// A stored list that is not the one that was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the members of the scope's groups are unreadable: {0}")]
pub struct UnreadableMembers(&'static str);

impl Members {
    /// Nobody yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds those whom a group lists. Who is in several groups is one member.
    pub fn add<'i>(&mut self, run: &RunRef, listed: impl IntoIterator<Item = &'i ObjectId>) {
        let listed = listed.into_iter().map(|id| IdKey::of(run, id));
        self.0.extend(listed);
        self.0.sort_unstable();
        self.0.dedup();
    }

    /// Whether the user with this key is one of them.
    #[must_use]
    pub fn have(&self, key: IdKey) -> bool {
        self.0.binary_search(&key).is_ok()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// What a run notes of them, with them as bytes. The same members always give the same.
    #[must_use]
    pub fn sealed(&self) -> (Vec<u8>, MembersSeal) {
        let mut bytes = Vec::with_capacity(1 + self.0.len() * KEY_BYTES);
        bytes.push(MEMBERS_VERSION);
        for IdKey(key) in &self.0 {
            bytes.extend_from_slice(&key.to_be_bytes());
        }
        let seal = MembersSeal {
            digest: PageDigest::of(&bytes),
            count: self.count(),
        };
        (bytes, seal)
    }

    /// Reads what [`Self::sealed`] gave, if it is that.
    ///
    /// # Errors
    /// [`UnreadableMembers`] when the bytes are others, or others in number. A list that lost its
    /// members is never a list without any.
    pub fn decode(bytes: &[u8], seal: &MembersSeal) -> Result<Self, UnreadableMembers> {
        if PageDigest::of(bytes) != seal.digest {
            return Err(UnreadableMembers("they do not match their digest"));
        }
        let Some((&MEMBERS_VERSION, keys)) = bytes.split_first() else {
            return Err(UnreadableMembers("of another version"));
        };
        let (keys, rest) = keys.as_chunks::<KEY_BYTES>();
        if !rest.is_empty() || keys.len() as u64 != seal.count {
            return Err(UnreadableMembers("they are not as many as were stored"));
        }
        let keys = keys.iter().map(|key| IdKey(u128::from_be_bytes(*key)));
        Ok(Self(keys.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{id, run};

    fn members(names: &[&[&str]]) -> Members {
        let mut members = Members::new();
        for group in names {
            let listed: Vec<_> = group.iter().map(|name| id(name)).collect();
            members.add(&run(), &listed);
        }
        members
    }

    #[test]
    fn two_who_read_the_same_lists_in_any_order_have_the_same_members() {
        let (one, other) = (members(&[&["a", "b"], &["a"]]), members(&[&["b", "a"]]));
        assert_eq!((one.count(), one.sealed()), (2, other.sealed()));
        assert!(one.have(IdKey::of(&run(), &id("b"))));
        assert!(!one.have(IdKey::of(&run(), &id("c"))));
    }

    #[test]
    fn members_are_read_back_whole_or_not_at_all() {
        let members_of_three = members(&[&["a", "b", "c"]]);
        let (bytes, seal) = members_of_three.sealed();
        assert_eq!(Members::decode(&bytes, &seal), Ok(members_of_three));
        for end in 0..bytes.len() {
            assert!(Members::decode(&bytes[..end], &seal).is_err(), "{end}");
        }
        let more = MembersSeal {
            count: 4,
            ..seal.clone()
        };
        assert!(Members::decode(&bytes, &more).is_err());
        let (other, _) = members(&[&["a"]]).sealed();
        assert!(Members::decode(&other, &seal).is_err());
    }
}
