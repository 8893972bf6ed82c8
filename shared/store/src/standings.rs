//! The directory as a stream, over an index that has of each user only what tells whether anything
//! changed, and who is on: about 100 bytes, where the user himself takes several times that. DynamoDB
//! bills a query by the bytes that it passes, so a stream over the users would cost as much more.

use futures::{Stream, StreamExt, TryStreamExt, stream};
use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::scope::domain_of;
use rollcall_core::status::{ChangeKind, Reason, Standing, Status, StoredUser};
use rollcall_core::user::ContentHash;

use crate::error::StoreError;
use crate::read::{Consistency, QUERY_PAGES_MAX, Range, too_many_pages};
use crate::row::{Item, Row};
use crate::schema::STANDING_INDEX;
use crate::users::read_id;
use crate::{Store, Table, keys};

/// The attribute that has it, packed: status, reason, content hash, the last sync that wrote the user and
/// what that did to him first, and the domain of his login name.
pub(crate) const STANDING: &str = "standing";

/// How many users one answer has at most: about 200 KB, which take ten times that in memory.
const ANSWER_USERS_MAX: i32 = 2_000;
/// How many partitions are read at a time: while one answer is taken in, others are on their way.
const SHARDS_AT_ONCE: usize = 4;

/// A user of the directory's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserStanding {
    /// Who.
    pub id: ObjectId,
    /// Content hash, status and reason.
    pub standing: Standing,
    /// The last run that wrote the user by a sighting, and what it did to him first.
    pub last_change: Option<(u64, ChangeKind)>,
    /// The domain of the login name; empty for a user without one.
    pub domain: String,
}

/// What the index has of a user. Its form is part of the layout: another form raises the number of it, for nobody
/// rewrites who is unchanged.
pub(crate) fn packed(user: &StoredUser) -> Vec<u8> {
    let standing = user.standing();
    let last = user.last_change.as_ref();
    let (run, kind) = last.map_or((0, NO_CHANGE), |last| (last.run, kind_code(last.kind)));
    let login_name = user.user_principal_name.as_deref();
    let mut bytes = vec![
        status_code(standing.status),
        reason_code(standing.reason),
        kind,
    ];
    bytes.extend_from_slice(&standing.hash.0);
    bytes.extend_from_slice(&run.to_be_bytes());
    bytes.extend_from_slice(login_name.map_or_else(String::new, domain_of).as_bytes());
    bytes
}

const fn status_code(status: Status) -> u8 {
    match status {
        Status::Active => b'A',
        Status::Inactive => b'I',
    }
}

const fn reason_code(reason: Reason) -> u8 {
    match reason {
        Reason::Present => b'p',
        Reason::Disabled => b'd',
        Reason::Deleted => b'x',
        Reason::NotFound => b'n',
        Reason::OutOfScope => b'o',
        Reason::Manual => b'm',
    }
}

const fn kind_code(kind: ChangeKind) -> u8 {
    match kind {
        ChangeKind::Created => b'c',
        ChangeKind::Updated => b'u',
        ChangeKind::Reactivated => b'r',
    }
}

/// Where the kind of a change stands, for somebody whom no sync has written.
const NO_CHANGE: u8 = b'-';

fn value<T: Copy, const N: usize>(all: [T; N], code: u8, of: fn(T) -> u8) -> Option<T> {
    all.into_iter().find(|value| of(*value) == code)
}

fn unpacked(id: ObjectId, bytes: &[u8]) -> Option<UserStanding> {
    let (&[status, reason, kind], rest) = bytes.split_first_chunk()?;
    let (hash, rest) = rest.split_first_chunk()?;
    let (run, domain) = rest.split_first_chunk()?;
    let run = u64::from_be_bytes(*run);
    let last_change = match kind {
        NO_CHANGE => None,
        kind => Some((run, value(ChangeKind::ALL, kind, kind_code)?)),
    };
    Some(UserStanding {
        id,
        standing: Standing {
            hash: ContentHash(*hash),
            status: value(Status::ALL, status, status_code)?,
            reason: value(Reason::ALL, reason, reason_code)?,
        },
        last_change,
        domain: String::from_utf8(domain.to_vec()).ok()?,
    })
}

impl Store {
    /// Every user of a tenant as a stream of standings. The index is behind by moments: nobody is switched off by
    /// its word, but whoever it shows as he was may be taken for unchanged, until the next full run. Whoever it
    /// does not show yet may be tried as new, which is refused.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers; [`StoreError::Corrupt`] when a user's standing is missing or
    /// unreadable.
    pub async fn standings(
        &self,
        tenant: &TenantId,
        mut take: impl FnMut(UserStanding),
    ) -> Result<(), StoreError> {
        let shards = stream::iter(0..keys::DIRECTORY_SHARDS);
        let answers = shards.map(|shard| Box::pin(self.answers(tenant, shard)));
        let mut answers = answers.flatten_unordered(SHARDS_AT_ONCE);
        while let Some(items) = answers.try_next().await? {
            for item in &items {
                take(read_standing(item)?);
            }
        }
        Ok(())
    }

    /// The index's items of one partition, answer by answer.
    fn answers(
        &self,
        tenant: &TenantId,
        shard: u8,
    ) -> impl Stream<Item = Result<Vec<Item>, StoreError>> + '_ {
        let partition = keys::directory_partition(tenant, shard);
        stream::try_unfold((0, Some(None)), move |(pages, next)| {
            let partition = partition.clone();
            async move {
                let Some(start) = next else {
                    return Ok(None);
                };
                if pages == QUERY_PAGES_MAX {
                    return Err(too_many_pages(&partition));
                }
                let range = Range {
                    index: Some(STANDING_INDEX),
                    consistency: Consistency::Eventual,
                    page_max: Some(ANSWER_USERS_MAX),
                    ..Range::of(Table::Directory, &partition)
                };
                let answer = self.query_page(&range, start).await?;
                let next = answer.last_key.map(Some);
                Ok(Some((answer.items, (pages + 1, next))))
            }
        })
    }

    /// The standings of the users in one partition, with every write before seen: from the users themselves, at
    /// several times the cost.
    ///
    /// # Errors
    /// As [`Store::standings`].
    pub async fn standings_now(
        &self,
        tenant: &TenantId,
        shard: u8,
        mut take: impl FnMut(UserStanding),
    ) -> Result<(), StoreError> {
        let partition = keys::directory_partition(tenant, shard);
        let range = Range {
            attributes: Some(&["pk", "sk", STANDING]),
            page_max: Some(ANSWER_USERS_MAX),
            ..Range::of(Table::Directory, &partition)
        };
        self.query(range, |item| {
            take(read_standing(item)?);
            Ok(())
        })
        .await
    }
}

fn read_standing(item: &Item) -> Result<UserStanding, StoreError> {
    let row = Row(item);
    let packed = row.bytes(STANDING)?;
    unpacked(read_id(&row)?, packed).ok_or_else(|| StoreError::Corrupt {
        item: row.name(),
        detail: "standing is not what a user's standing looks like".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(status: Status, reason: Reason, kind: Option<ChangeKind>) -> Vec<u8> {
        let mut bytes = vec![
            status_code(status),
            reason_code(reason),
            kind.map_or(NO_CHANGE, kind_code),
        ];
        bytes.extend_from_slice(&[7; 16]);
        bytes.extend_from_slice(&9_u64.to_be_bytes());
        bytes.extend_from_slice(b"contoso.com");
        bytes
    }

    #[test]
    fn every_status_reason_and_kind_reads_back_as_it_was_packed() {
        let id = ObjectId::new("a").unwrap();
        for status in Status::ALL {
            for reason in Reason::ALL {
                for kind in ChangeKind::ALL.into_iter().map(Some).chain([None]) {
                    let read = unpacked(id.clone(), &standing(status, reason, kind)).unwrap();
                    let is = (read.standing.status, read.standing.reason);
                    assert_eq!(is, (status, reason));
                    assert_eq!(read.last_change, kind.map(|kind| (9, kind)));
                    assert_eq!(read.standing.hash, ContentHash([7; 16]));
                    assert_eq!(read.domain, "contoso.com");
                }
            }
        }
    }

    #[test]
    fn a_standing_that_is_cut_off_or_has_an_unknown_code_is_no_standing() {
        let id = ObjectId::new("a").unwrap();
        let whole = standing(Status::Active, Reason::Present, None);
        let fixed = whole.len() - "contoso.com".len();
        for end in 0..fixed {
            assert_eq!(unpacked(id.clone(), &whole[..end]), None, "cut at {end}");
        }
        for at in 0..3 {
            let mut other = whole.clone();
            other[at] = b'?';
            assert_eq!(unpacked(id.clone(), &other), None, "{at}");
        }
    }
}
