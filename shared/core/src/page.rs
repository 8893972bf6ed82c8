//! A page's payload: what the enumerator found on one page of Graph's answer, sorted into *seen and
//! unchanged* (5 bytes a user) and *new or changed* (the full record, compressed). It is immutable
//! and addressed by its digest.

use std::fmt;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::delta::DeltaUser;
use crate::ids::ObjectId;
use crate::seen;
use crate::user::GraphUser;

/// The most bytes that the records of one page may have once unpacked: 999 users of 16 KiB.
pub const PAGE_RECORDS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The most bytes of a link. Real ones have one or two thousand.
pub const LINK_BYTES_MAX: usize = 16 * 1024;

/// The layout's number, the first byte of a payload.
const PAYLOAD_VERSION: u8 = 3;

/// A page's name: the first 128 bits of the SHA-256 of its bytes, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageDigest(String);

impl PageDigest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let digest = Sha256::digest(bytes);
        Self(
            digest[..16]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }

    /// A digest that was stored.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A changed user with the place on the page where it stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedSighting {
    /// The place on the page, from 0.
    #[serde(rename = "n")]
    pub index: u32,
    /// Whether the user was seen as changed before, on an earlier page of this generation. Such a
    /// page is worked on after all earlier ones, so that the last sighting has the say even where
    /// it changes nothing.
    #[serde(rename = "r", default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// Whether the index showed nobody of this id when it was read; it may be minutes behind. The worker
    /// writes such users without having read them, under the condition that there is nobody.
    #[serde(rename = "a", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_new: bool,
    /// The user.
    #[serde(flatten)]
    pub user: Sighted,
}

/// What a page tells of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sighted {
    /// All that is mirrored: the user stands in the list of users.
    #[serde(rename = "w")]
    Whole(GraphUser),
    /// What changed: the user stands in a delta.
    #[serde(rename = "p")]
    Part(DeltaUser),
}

impl Sighted {
    /// Who it is.
    #[must_use]
    pub fn id(&self) -> &ObjectId {
        match self {
            Self::Whole(user) => &user.id,
            Self::Part(user) => &user.id,
        }
    }

    /// Notes whether the user is in one of the scope's groups.
    pub fn set_in_groups(&mut self, in_groups: bool) {
        match self {
            Self::Whole(user) => user.in_groups = Some(in_groups),
            Self::Part(user) => user.in_groups = Some(in_groups),
        }
    }

    /// Whether the user is told to be removed: a sighting of somebody who is not there.
    #[must_use]
    pub fn is_removal(&self) -> bool {
        matches!(self, Self::Part(user) if user.removed.is_some())
    }
}

impl From<GraphUser> for Sighted {
    fn from(user: GraphUser) -> Self {
        Self::Whole(user)
    }
}

/// Where an enumeration goes on after a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextPage {
    /// With more users.
    Users(String),
    /// With more of the delta.
    Delta(String),
    /// It was the last page.
    End {
        /// Where the next delta run goes on; none if the tenant has no delta, or lost it.
        delta_link: Option<String>,
    },
}

impl NextPage {
    /// The end of an enumeration after which no delta run can go on.
    pub const END: Self = Self::End { delta_link: None };

    /// The link that is followed next.
    #[must_use]
    pub fn link(&self) -> Option<&str> {
        match self {
            Self::Users(link) | Self::Delta(link) => Some(link),
            Self::End { .. } => None,
        }
    }

    /// Whether the page was the last.
    #[must_use]
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::End { .. })
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Users(_) => 1,
            Self::Delta(_) => 2,
            Self::End { .. } => 3,
        }
    }

    fn read(kind: u8, link: &str) -> Result<Self, UnreadablePage> {
        let link = (!link.is_empty()).then(|| link.to_owned());
        match (kind, link) {
            (1, Some(link)) => Ok(Self::Users(link)),
            (2, Some(link)) => Ok(Self::Delta(link)),
            (3, delta_link) => Ok(Self::End { delta_link }),
            _ => Err(UnreadablePage("it does not say what comes next".into())),
        }
    }
}

/// What was on one page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagePayload {
    /// Where the enumeration goes on.
    pub next: NextPage,
    /// The users seen and unchanged, as [`crate::ids::IdKey::seen_key`]. Their order is not stored.
    pub seen: Vec<u64>,
    /// The users new or changed.
    pub changed: Vec<ChangedSighting>,
}

/// A payload that cannot be read: never an empty page, always an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the page payload is unreadable: {0}")]
pub struct UnreadablePage(String);

impl PagePayload {
    /// A page on which nobody stands.
    #[must_use]
    pub const fn empty(next: NextPage) -> Self {
        Self {
            next,
            seen: Vec::new(),
            changed: Vec::new(),
        }
    }

    /// How many users stood on the page.
    #[must_use]
    pub fn sightings(&self) -> u64 {
        (self.seen.len() + self.changed.len()) as u64
    }

    /// Whether somebody on it was seen as changed on an earlier page: see
    /// [`ChangedSighting::again`].
    #[must_use]
    pub fn repeats(&self) -> bool {
        self.changed.iter().any(|sighting| sighting.again)
    }

    /// The payload as bytes. The same payload always gives the same bytes.
    ///
    /// # Errors
    /// [`UnreadablePage`] when the records are larger than can be read back.
    pub fn encode(&self) -> Result<Vec<u8>, UnreadablePage> {
        let unreadable = |error: &dyn fmt::Display| UnreadablePage(error.to_string());
        let records = serde_json::to_vec(&self.changed).map_err(|e| unreadable(&e))?;
        if records.len() > PAGE_RECORDS_BYTES_MAX {
            return Err(UnreadablePage(format!(
                "{} bytes of records, at most {PAGE_RECORDS_BYTES_MAX} fit",
                records.len()
            )));
        }
        let link = match &self.next {
            NextPage::Users(link) | NextPage::Delta(link) => link,
            NextPage::End { delta_link } => delta_link.as_deref().unwrap_or_default(),
        };
        if link.len() > LINK_BYTES_MAX {
            return Err(UnreadablePage(format!(
                "a link of {} bytes, at most {LINK_BYTES_MAX} fit",
                link.len()
            )));
        }
        let seen = seen::pack(&self.seen)
            .ok_or_else(|| UnreadablePage("a key of a user who was seen is too large".into()))?;
        let mut bytes = Vec::with_capacity(16 + link.len() + seen.len() + records.len() / 4);
        bytes.push(PAYLOAD_VERSION);
        bytes.push(self.next.kind());
        push_length(&mut bytes, self.seen.len());
        bytes.extend_from_slice(&seen);
        push_length(&mut bytes, link.len());
        push_length(&mut bytes, self.changed.len());
        let mut packer = DeflateEncoder::new(bytes, Compression::default());
        packer
            .write_all(link.as_bytes())
            .and_then(|()| packer.write_all(&records))
            .map_err(|e| unreadable(&e))?;
        packer.finish().map_err(|e| unreadable(&e))
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`UnreadablePage`] when any part is missing, cut off or does not add up.
    pub fn decode(bytes: &[u8]) -> Result<Self, UnreadablePage> {
        let mut reader = Reader(bytes);
        if reader.take(1)? != [PAYLOAD_VERSION] {
            return Err(UnreadablePage("of another version".into()));
        }
        let kind = reader.take(1)?[0];
        let seen_count = reader.length()?;
        let (seen, rest) = seen::unpack(seen_count, reader.0)
            .ok_or_else(|| UnreadablePage("its list of who was seen is none".into()))?;
        let mut reader = Reader(rest);
        let (link_bytes, changed_count) = (reader.length()?, reader.length()?);
        let unpacked = unpack(reader.0)?;
        let (link, records) = unpacked
            .split_at_checked(link_bytes)
            .ok_or_else(|| UnreadablePage("cut off".into()))?;
        let link = std::str::from_utf8(link).map_err(|e| UnreadablePage(e.to_string()))?;
        let changed = read_records(records)?;
        if changed.len() != changed_count {
            return Err(UnreadablePage(format!(
                "{} records where {changed_count} were counted",
                changed.len()
            )));
        }
        Ok(Self {
            next: NextPage::read(kind, link)?,
            seen,
            changed,
        })
    }
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, UnreadablePage> {
    let mut unpacked = Vec::new();
    DeflateDecoder::new(packed)
        .take((LINK_BYTES_MAX + PAGE_RECORDS_BYTES_MAX) as u64)
        .read_to_end(&mut unpacked)
        .map_err(|e| UnreadablePage(e.to_string()))?;
    Ok(unpacked)
}

fn read_records(records: &[u8]) -> Result<Vec<ChangedSighting>, UnreadablePage> {
    // The place only: the text of the error may quote a value.
    serde_json::from_slice(records).map_err(|e| {
        UnreadablePage(format!(
            "no records at line {} column {}",
            e.line(),
            e.column()
        ))
    })
}

fn push_length(bytes: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], UnreadablePage> {
        let (head, tail) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| UnreadablePage("cut off".into()))?;
        self.0 = tail;
        Ok(head)
    }

    fn length(&mut self) -> Result<usize, UnreadablePage> {
        let mut length = [0u8; 4];
        length.copy_from_slice(self.take(4)?);
        usize::try_from(u32::from_be_bytes(length)).map_err(|e| UnreadablePage(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::user;

    fn payload() -> PagePayload {
        PagePayload {
            next: NextPage::Users("https://graph.example/v1.0/users?$skiptoken=\"x\"".into()),
            seen: vec![1, 7, (1 << 46) - 1],
            changed: vec![ChangedSighting {
                index: 3,
                again: true,
                is_new: false,
                user: user("a").into(),
            }],
        }
    }

    fn ends() -> [NextPage; 4] {
        [
            NextPage::Users("https://graph.example/users".into()),
            NextPage::Delta("https://graph.example/delta".into()),
            NextPage::END,
            NextPage::End {
                delta_link: Some("https://graph.example/next".into()),
            },
        ]
    }

    #[test]
    fn a_payload_reads_back_as_it_was_written() {
        let told = ChangedSighting {
            index: 0,
            again: false,
            is_new: true,
            user: Sighted::Part(DeltaUser::new(ObjectId::new("a").unwrap())),
        };
        let with_delta = PagePayload {
            changed: vec![told],
            ..payload()
        };
        let ends = ends().map(PagePayload::empty);
        for payload in ends.into_iter().chain([payload(), with_delta]) {
            let bytes = payload.encode().unwrap();
            assert_eq!(PagePayload::decode(&bytes), Ok(payload));
        }
    }

    #[test]
    fn a_payload_that_is_cut_anywhere_is_an_error_and_never_a_shorter_list() {
        let bytes = payload().encode().unwrap();
        for end in 0..bytes.len() {
            assert!(PagePayload::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_key_that_does_not_fit_is_an_error_and_never_another_key() {
        let page = PagePayload {
            seen: vec![1 << 46],
            ..payload()
        };
        assert!(page.encode().is_err());
    }

    #[test]
    fn nothing_is_not_an_empty_page() {
        assert!(PagePayload::decode(&[]).is_err());
    }
}
