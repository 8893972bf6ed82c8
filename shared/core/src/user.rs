//! A user as Microsoft Graph tells of one, and the digest of all that a run mirrors of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::ObjectId;

/// Which further Graph properties a tenant mirrors: directory attribute to Graph property.
pub type AttributeMap = BTreeMap<String, String>;

/// A user in an answer of Microsoft Graph, reduced to what the tenant's settings mirror. A field
/// that was null or missing is `None`; Graph's schema says that only the id never is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphUser {
    /// Who it is.
    #[serde(rename = "i")]
    pub id: ObjectId,
    /// The login name.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub user_principal_name: Option<String>,
    /// The mail address.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
    /// The name to show.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Whether the account may log in. `None` is unknown, and changes nothing.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub account_enabled: Option<bool>,
    /// `Member` or `Guest`. `None` is unknown.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub user_type: Option<String>,
    /// The mapped attributes that have a value, by their name in the directory.
    #[serde(rename = "a", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Whether the user is in one of the scope's groups, by their lists. Graph does not tell it with the
    /// user: `None` when the scope has no groups, or nobody has looked.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub in_groups: Option<bool>,
}

impl GraphUser {
    /// Whether a field that can decide about the user's status is null.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.account_enabled.is_none()
            || self.user_type.is_none()
            || self.user_principal_name.is_none()
    }
}

/// The first 16 bytes of the SHA-256 over everything that a run mirrors of a user.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 16]);

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is hashed: borrowed, so that a stored user and one from Graph are hashed by one function.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// The login name.
    pub user_principal_name: Option<&'a str>,
    /// The mail address.
    pub mail: Option<&'a str>,
    /// The name to show.
    pub display_name: Option<&'a str>,
    /// Whether the account may log in.
    pub account_enabled: Option<bool>,
    /// `Member` or `Guest`.
    pub user_type: Option<&'a str>,
    /// Whether the tenant's scope takes the user.
    pub in_scope: bool,
    /// The mapped attributes.
    pub attributes: &'a BTreeMap<String, String>,
}

impl Content<'_> {
    /// The digest. Each field is framed by its length, so that no two contents run together. The
    /// names of the mapped attributes are part of it, so a changed mapping is a changed content;
    /// settings that do not touch content (guards, limits) are not, so changing those rewrites
    /// nobody.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        let mut hasher = Sha256::new();
        let mut field = |value: Option<&str>| match value {
            None => hasher.update([0]),
            Some(text) => {
                hasher.update([1]);
                hasher.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
                hasher.update(text);
            }
        };
        field(self.user_principal_name);
        field(self.mail);
        field(self.display_name);
        field(self.account_enabled.map(|on| if on { "1" } else { "0" }));
        field(self.user_type);
        field(Some(if self.in_scope { "1" } else { "0" }));
        for (name, value) in self.attributes {
            field(Some(name));
            field(Some(value));
        }
        let digest = hasher.finalize();
        let mut first = [0u8; 16];
        first.copy_from_slice(&digest[..16]);
        ContentHash(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(name: Option<&str>, mail: Option<&str>, attributes: &AttributeMap) -> ContentHash {
        Content {
            user_principal_name: name,
            mail,
            display_name: None,
            account_enabled: Some(true),
            user_type: None,
            in_scope: true,
            attributes,
        }
        .hash()
    }

    #[test]
    fn a_value_that_moves_to_the_next_field_is_another_content() {
        let none = AttributeMap::new();
        assert_ne!(hash(Some("a"), None, &none), hash(None, Some("a"), &none));
        assert_ne!(
            hash(Some("ab"), Some(""), &none),
            hash(Some("a"), Some("b"), &none)
        );
        assert_ne!(hash(Some(""), None, &none), hash(None, None, &none));
    }

    #[test]
    fn the_names_of_mapped_attributes_are_content() {
        let one = AttributeMap::from([("team".into(), "x".into())]);
        let other = AttributeMap::from([("department".into(), "x".into())]);
        assert_ne!(hash(None, None, &one), hash(None, None, &other));
    }
}
