//! Names of things: tenants, runs, users.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::seen::SEEN_KEY_BITS;

/// The longest tenant id, in characters.
pub const TENANT_ID_CHARS_MAX: usize = 40;

/// The longest object id that is taken, in characters. Microsoft's are GUIDs of 36; the room above
/// that is for directories that are not Microsoft's.
pub const OBJECT_ID_CHARS_MAX: usize = 64;

/// A text that is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct BadId {
    /// What was given, cut to a printable length.
    pub value: String,
    /// What would have been right.
    pub expected: &'static str,
}

impl BadId {
    fn new(value: &str, expected: &'static str) -> Self {
        let value = value.chars().take(OBJECT_ID_CHARS_MAX + 1).collect();
        Self { value, expected }
    }
}

/// A customer of the application: the name that its settings were stored under.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

impl TenantId {
    /// Takes `a-z`, `0-9` and `-`, at most 40 characters, at least one.
    ///
    /// # Errors
    /// [`BadId`] for anything else.
    pub fn new(value: &str) -> Result<Self, BadId> {
        let fits = (1..=TENANT_ID_CHARS_MAX).contains(&value.len())
            && value
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits {
            Ok(Self(value.to_owned()))
        } else {
            Err(BadId::new(
                value,
                "a tenant id: a-z, 0-9 and -, at most 40 characters",
            ))
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A person in a directory: Microsoft's object id, which stays when the login name changes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId(Box<str>);

impl ObjectId {
    /// Takes letters, digits and `-`, at most 64 characters, and keeps them in lower case: GUIDs
    /// compare without case.
    ///
    /// # Errors
    /// [`BadId`] for anything else.
    pub fn new(value: &str) -> Result<Self, BadId> {
        let fits = (1..=OBJECT_ID_CHARS_MAX).contains(&value.len())
            && value
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if fits {
            Ok(Self(value.to_ascii_lowercase().into()))
        } else {
            Err(BadId::new(
                value,
                "an object id: letters, digits and -, at most 64 characters",
            ))
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_id {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(value: String) -> Result<Self, BadId> {
                Self::new(&value)
            }
        }
        impl std::str::FromStr for $name {
            type Err = BadId;
            fn from_str(value: &str) -> Result<Self, BadId> {
                Self::new(value)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }
    };
}

text_id!(TenantId);
text_id!(ObjectId);

/// One run of one tenant, written `<tenant>/<number>`. Numbers start at 1 and only rise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunRef {
    /// Whose run it is.
    pub tenant: TenantId,
    /// Which of the tenant's runs.
    pub run: u64,
}

impl fmt::Display for RunRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.run)
    }
}

impl std::str::FromStr for RunRef {
    type Err = BadId;

    fn from_str(value: &str) -> Result<Self, BadId> {
        let expected = "a run: <tenant>/<number>, as in contoso/12";
        let (tenant, number) = value
            .split_once('/')
            .ok_or_else(|| BadId::new(value, expected))?;
        let run = number
            .parse()
            .map_err(|_| BadId::new(value, expected))
            .and_then(|n: u64| (n > 0).then_some(n).ok_or(BadId::new(value, expected)))?;
        Ok(Self {
            tenant: TenantId::new(tenant)?,
            run,
        })
    }
}

/// An object id as 128 bits, salted by the run, for the sets that a run keeps in memory and in its
/// pages. Two ids with one key are as unlikely as two equal 128-bit digests; the salt sees to it
/// that even then the next run tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdKey(pub u128);

impl IdKey {
    /// The key of `id` within `run`.
    #[must_use]
    pub fn of(run: &RunRef, id: &ObjectId) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(run.tenant.as_str());
        hasher.update(b"/");
        hasher.update(run.run.to_be_bytes());
        hasher.update(b"#");
        hasher.update(id.as_str());
        let digest = hasher.finalize();
        let mut high = [0u8; 16];
        high.copy_from_slice(&digest[..16]);
        Self(u128::from_be_bytes(high))
    }

    /// The first [`SEEN_KEY_BITS`]: what a page stores for a user who was seen and is unchanged. A collision
    /// (for somebody who is gone from a tenant of a million, one in 70 million) can only keep a user on, for
    /// one run.
    #[must_use]
    pub fn seen_key(self) -> u64 {
        u64::try_from(self.0 >> (u128::BITS - SEEN_KEY_BITS)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_id_keeps_to_its_alphabet_and_length() {
        assert!(TenantId::new("contoso-2").is_ok());
        for bad in ["", "Contoso", "a b", "a/b", "ä", &"x".repeat(41)] {
            assert!(TenantId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn object_ids_compare_without_case() {
        assert_eq!(
            ObjectId::new("6BABCAAD-604B-40AC-A9D7-9FD97C0B779F"),
            ObjectId::new("6babcaad-604b-40ac-a9d7-9fd97c0b779f")
        );
        assert!(ObjectId::new("a#b").is_err());
    }

    #[test]
    fn a_run_reference_reads_what_it_writes() {
        let run: RunRef = "contoso/12".parse().unwrap();
        assert_eq!(run.to_string(), "contoso/12");
        for bad in [
            "contoso",
            "contoso/0",
            "contoso/x",
            "Contoso/1",
            "/1",
            "contoso/-1",
        ] {
            assert!(bad.parse::<RunRef>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_same_user_has_another_key_in_another_run() {
        let id = ObjectId::new("a").unwrap();
        let first: RunRef = "t/1".parse().unwrap();
        let second: RunRef = "t/2".parse().unwrap();
        assert_eq!(IdKey::of(&first, &id), IdKey::of(&first, &id));
        assert_ne!(IdKey::of(&first, &id), IdKey::of(&second, &id));
    }
}
