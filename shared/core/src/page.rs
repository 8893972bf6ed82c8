//! A page's payload: what the enumerator found on one page of Graph's answer, sorted into *seen and
//! unchanged* (8 bytes a user) and *new or changed* (the full record, compressed). It is immutable
//! and addressed by its digest.

use std::fmt;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::user::GraphUser;

/// The most bytes that the records of one page may have once unpacked: 999 users of 16 KiB.
pub const PAGE_RECORDS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The layout's number, the first byte of a payload.
const PAYLOAD_VERSION: u8 = 1;

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
    /// The user.
    #[serde(flatten)]
    pub user: GraphUser,
}

/// What was on one page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PagePayload {
    /// The link to the next page; `None` on the last.
    pub next_link: Option<String>,
    /// The users seen and unchanged, as [`crate::ids::IdKey::seen_key`].
    pub seen: Vec<u64>,
    /// The users new or changed.
    pub changed: Vec<ChangedSighting>,
}

/// A payload that cannot be read: never an empty page, always an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the page payload is unreadable: {0}")]
pub struct UnreadablePage(String);

impl PagePayload {
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
        let link = self.next_link.as_deref().unwrap_or_default();
        let mut bytes =
            Vec::with_capacity(16 + link.len() + self.seen.len() * 8 + records.len() / 4);
        bytes.push(PAYLOAD_VERSION);
        push_length(&mut bytes, link.len());
        bytes.extend_from_slice(link.as_bytes());
        push_length(&mut bytes, self.seen.len());
        for key in &self.seen {
            bytes.extend_from_slice(&key.to_be_bytes());
        }
        push_length(&mut bytes, self.changed.len());
        if !self.changed.is_empty() {
            let mut packer = DeflateEncoder::new(bytes, Compression::default());
            packer.write_all(&records).map_err(|e| unreadable(&e))?;
            bytes = packer.finish().map_err(|e| unreadable(&e))?;
        }
        Ok(bytes)
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
        let link_bytes = reader.length()?;
        let link = std::str::from_utf8(reader.take(link_bytes)?)
            .map_err(|e| UnreadablePage(e.to_string()))?;
        let seen_count = reader.length()?;
        let seen = reader
            .take(seen_count.saturating_mul(8))?
            .chunks_exact(8)
            .map(|chunk| {
                let mut key = [0u8; 8];
                key.copy_from_slice(chunk);
                u64::from_be_bytes(key)
            })
            .collect();
        let changed_count = reader.length()?;
        let changed = if changed_count == 0 {
            Vec::new()
        } else {
            unpack(reader.0)?
        };
        if changed.len() != changed_count {
            return Err(UnreadablePage(format!(
                "{} records where {changed_count} were counted",
                changed.len()
            )));
        }
        Ok(Self {
            next_link: (!link.is_empty()).then(|| link.to_owned()),
            seen,
            changed,
        })
    }
}

fn unpack(packed: &[u8]) -> Result<Vec<ChangedSighting>, UnreadablePage> {
    let mut records = Vec::new();
    DeflateDecoder::new(packed)
        .take(PAGE_RECORDS_BYTES_MAX as u64)
        .read_to_end(&mut records)
        .map_err(|e| UnreadablePage(e.to_string()))?;
    // The place only: the text of the error may quote a value.
    serde_json::from_slice(&records).map_err(|e| {
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
            next_link: Some("https://graph.example/v1.0/users?$skiptoken=\"x\"".into()),
            seen: vec![1, u64::MAX, 7],
            changed: vec![ChangedSighting {
                index: 3,
                again: true,
                user: user("a"),
            }],
        }
    }

    #[test]
    fn a_payload_reads_back_as_it_was_written() {
        for payload in [payload(), PagePayload::default()] {
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
    fn nothing_is_not_an_empty_page() {
        assert!(PagePayload::decode(&[]).is_err());
    }
}
