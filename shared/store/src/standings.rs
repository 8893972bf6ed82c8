//! The directory as a stream: only what tells whether anything changed, and who is on.

use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::scope::domain_of;
use rollcall_core::status::{ChangeKind, Standing};
use rollcall_core::user::ContentHash;

use crate::error::StoreError;
use crate::layout::SCHEMA;
use crate::read::{Consistency, Range};
use crate::row::{Item, Row};
use crate::users::read_id;
use crate::{Store, Table, keys};

/// What is read of a user. What is left out costs no less capacity, but time and memory.
const STANDING_AND_LOGIN: [&str; 9] = [
    "pk",
    "sk",
    SCHEMA,
    "status",
    "reason",
    "content_hash",
    "sync_run",
    "sync_kind",
    LOGIN_NAME,
];
const STANDING: &[&str] = {
    let [standing @ .., _login_name] = &STANDING_AND_LOGIN;
    standing
};
const LOGIN_NAME: &str = "user_principal_name";

/// A user of the directory's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserStanding {
    /// Who.
    pub id: ObjectId,
    /// Content hash, status and reason.
    pub standing: Standing,
    /// The last run that wrote the user by a sighting, and what it did to him first.
    pub last_change: Option<(u64, ChangeKind)>,
}

impl Store {
    /// Every user of a tenant as a stream of standings. The read may be behind by moments: what a
    /// caller does on its word is judged again by a read that sees every write, or by a condition.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers.
    pub async fn standings(
        &self,
        tenant: &TenantId,
        mut take: impl FnMut(UserStanding),
    ) -> Result<(), StoreError> {
        self.stream(tenant, STANDING, |item| {
            take(read_standing(item)?);
            Ok(())
        })
        .await
    }

    /// The same, each with the domain of his login name; it is empty for a user without one.
    ///
    /// # Errors
    /// As [`Store::standings`].
    pub async fn standings_with_domains(
        &self,
        tenant: &TenantId,
        mut take: impl FnMut(UserStanding, String),
    ) -> Result<(), StoreError> {
        self.stream(tenant, &STANDING_AND_LOGIN, |item| {
            let login_name = Row(item).text_if_any(LOGIN_NAME)?;
            take(
                read_standing(item)?,
                login_name.map_or_else(String::new, domain_of),
            );
            Ok(())
        })
        .await
    }

    async fn stream(
        &self,
        tenant: &TenantId,
        attributes: &'static [&'static str],
        mut take: impl FnMut(&Item) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for shard in 0..keys::DIRECTORY_SHARDS {
            let partition = keys::directory_partition(tenant, shard);
            let range = Range {
                attributes: Some(attributes),
                consistency: Consistency::Eventual,
                ..Range::of(Table::Directory, &partition)
            };
            self.query(range, &mut take).await?;
        }
        Ok(())
    }
}

fn read_standing(item: &Item) -> Result<UserStanding, StoreError> {
    let row = Row(item);
    let hash = row.bytes("content_hash")?;
    let hash = <[u8; 16]>::try_from(hash).map_err(|_| StoreError::Corrupt {
        item: format!("user {}", row.text("sk").unwrap_or("?")),
        detail: "content_hash is not 16 bytes".into(),
    })?;
    let last_change = match row.number_if_any("sync_run")? {
        Some(run) => Some((run, row.named("sync_kind")?)),
        None => None,
    };
    Ok(UserStanding {
        last_change,
        id: read_id(&row)?,
        standing: Standing {
            hash: ContentHash(hash),
            status: row.named("status")?,
            reason: row.named("reason")?,
        },
    })
}
