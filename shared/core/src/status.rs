//! A directory user's status, and what a sighting says about it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::ObjectId;
use crate::scope::Scope;
use crate::user::{Content, ContentHash, GraphUser};

/// Whether a user may use the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// May log in.
    Active,
    /// May not.
    Inactive,
}

impl Status {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Active, Self::Inactive];

    /// The name that is stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// Why a user has the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Seen, enabled and in scope.
    Present,
    /// Seen with accountEnabled false.
    Disabled,
    /// Found in the deleted items.
    Deleted,
    /// Not seen, and not found by id, in as many complete runs as the tenant asks for.
    NotFound,
    /// Seen, but outside the tenant's scope.
    OutOfScope,
    /// A person decided. A sync does not undo it.
    Manual,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Present,
        Self::Disabled,
        Self::Deleted,
        Self::NotFound,
        Self::OutOfScope,
        Self::Manual,
    ];

    /// The name that is stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
            Self::NotFound => "not_found",
            Self::OutOfScope => "out_of_scope",
            Self::Manual => "manual",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one sighting implies for its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Implied {
    /// Should be ACTIVE.
    Active,
    /// Should be INACTIVE, for [`Reason::Disabled`] or [`Reason::OutOfScope`].
    Inactive(Reason),
    /// A field that decides is null or missing: no change.
    Unknown,
}

impl Implied {
    /// What `user` implies under `scope`. An unknown field wins over everything: null is never
    /// read as false.
    #[must_use]
    pub fn by(user: &GraphUser, scope: &Scope) -> Self {
        match (user.account_enabled, scope.contains(user)) {
            (None, _) | (_, None) => Self::Unknown,
            (_, Some(false)) => Self::Inactive(Reason::OutOfScope),
            (Some(false), Some(true)) => Self::Inactive(Reason::Disabled),
            (Some(true), Some(true)) => Self::Active,
        }
    }
}

/// Where in a run a sighting stands. Sightings are ordered by generation, page, index: the last
/// one decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SightingOrder {
    /// The generation, from 1.
    pub generation: u32,
    /// The page within the generation, from 1.
    pub page: u32,
    /// The place on the page, from 0.
    pub index: u32,
}

/// What a run did to a user first, for its totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Was not in the directory.
    Created,
    /// Attributes changed.
    Updated,
    /// INACTIVE became ACTIVE.
    Reactivated,
}

impl ChangeKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Created, Self::Updated, Self::Reactivated];
}

/// The last run that wrote a user, and what it counted the user as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastChange {
    /// The run's number.
    pub run: u64,
    /// The sighting that the content comes from.
    pub order: SightingOrder,
    /// What the run did to the user first.
    pub kind: ChangeKind,
    /// The generation and page whose batch counts it.
    pub counted_by: (u32, u32),
}

/// A user as the directory has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredUser {
    /// Who it is.
    pub id: ObjectId,
    /// May the user log in.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// The run that set the status; `None` when a person did.
    pub status_run: Option<u64>,
    /// When, in milliseconds since 1970.
    pub status_at_ms: u64,
    /// The login name.
    pub user_principal_name: Option<String>,
    /// The mail address.
    pub mail: Option<String>,
    /// The name to show.
    pub display_name: Option<String>,
    /// Whether the account may log in at Microsoft, as last applied.
    pub account_enabled: Option<bool>,
    /// `Member` or `Guest`.
    pub user_type: Option<String>,
    /// Whether the tenant's scope takes the user, as last applied.
    pub in_scope: bool,
    /// The mapped attributes.
    pub attributes: BTreeMap<String, String>,
    /// Rises by one with each write.
    pub version: u64,
    /// Which sync wrote it last; `None` before the first.
    pub last_change: Option<LastChange>,
    /// The version that a person's last decision wrote; `None` if no person ever decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_version: Option<u64>,
}

impl StoredUser {
    /// The digest of what is mirrored.
    #[must_use]
    pub fn content_hash(&self) -> ContentHash {
        Content {
            user_principal_name: self.user_principal_name.as_deref(),
            mail: self.mail.as_deref(),
            display_name: self.display_name.as_deref(),
            account_enabled: self.account_enabled,
            user_type: self.user_type.as_deref(),
            in_scope: self.in_scope,
            attributes: &self.attributes,
        }
        .hash()
    }

    /// What is left of the user to say whether a sighting changes anything.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing {
            hash: self.content_hash(),
            status: self.status,
            reason: self.reason,
        }
    }
}

/// The little that is needed of a stored user to call a sighting unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The digest of the mirrored content.
    pub hash: ContentHash,
    /// May the user log in.
    pub status: Status,
    /// Why.
    pub reason: Reason,
}

impl Standing {
    /// Whether a sighting with this content hash and implication leaves the user as he is:
    /// the same content *and* the status that is implied now. So a user who is back in scope, enabled
    /// again, or whom a held run left waiting is never unchanged; nor is one whom a person decided about: where
    /// this was read from an index, he may have been given back since.
    #[must_use]
    pub fn is_unchanged_by(&self, hash: ContentHash, implied: Implied) -> bool {
        let status_agrees = match implied {
            Implied::Unknown => false,
            _ if self.reason == Reason::Manual => false,
            Implied::Active => self.status == Status::Active,
            Implied::Inactive(reason) => self.status == Status::Inactive && self.reason == reason,
        };
        status_agrees && self.hash == hash
    }
}

/// The content hash that `user` would have if it were applied as it is.
#[must_use]
pub fn sighted_hash(user: &GraphUser, in_scope: bool) -> ContentHash {
    Content {
        user_principal_name: user.user_principal_name.as_deref(),
        mail: user.mail.as_deref(),
        display_name: user.display_name.as_deref(),
        account_enabled: user.account_enabled,
        user_type: user.user_type.as_deref(),
        in_scope,
        attributes: &user.attributes,
    }
    .hash()
}
