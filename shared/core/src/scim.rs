//! A SCIM service provider that a tenant's directory is told to: where it is, and what it has to have of a user.

use serde::{Deserialize, Serialize};

use crate::credential::{Credential, Kept, credential};
use crate::settings::ServiceUrl;
use crate::status::{Standing, Status, StoredUser};
use crate::user::ContentHash;

/// The `[tenant.scim]` of a tenant file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ScimEntry")]
pub struct ScimTarget {
    /// The root, under which `Users` is.
    pub url: ServiceUrl,
    /// The bearer token that it takes.
    pub credential: Credential,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScimEntry {
    url: ServiceUrl,
    #[serde(deserialize_with = "credential")]
    credential: Credential,
}

impl TryFrom<ScimEntry> for ScimTarget {
    type Error = String;

    fn try_from(entry: ScimEntry) -> Result<Self, String> {
        match entry.credential {
            Credential::Secret(Kept::Env(_) | Kept::SecretsManager(_)) => Ok(Self {
                url: entry.url,
                credential: entry.credential,
            }),
            _ => Err(
                "scim.credential is the bearer token of the service provider: give kind = \
                 \"secret\" with env = \"NAME\" or secrets_manager = \"ARN\""
                    .into(),
            ),
        }
    }
}

/// What a service provider has to have of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user's object id: by it he is found again, whatever his names become.
    pub external_id: String,
    /// His login name, without which a service provider takes no account.
    pub user_name: Option<String>,
    /// His name to show.
    pub display_name: Option<String>,
    /// His address.
    pub mail: Option<String>,
    /// Whether he may use the application.
    pub active: bool,
}

impl Account {
    /// Of a user of the directory.
    #[must_use]
    pub fn of(user: &StoredUser) -> Self {
        Self {
            external_id: user.id.to_string(),
            user_name: user.user_principal_name.clone(),
            display_name: user.display_name.clone(),
            mail: user.mail.clone(),
            active: user.status == Status::Active,
        }
    }
}

/// What tells whether an account is as the user is: another status or other contents are another mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountMark {
    /// The status.
    pub status: Status,
    /// Of the contents.
    pub hash: ContentHash,
}

impl From<&Standing> for AccountMark {
    fn from(standing: &Standing) -> Self {
        Self {
            status: standing.status,
            hash: standing.hash,
        }
    }
}

/// How long after it was given up a request may still arrive, in milliseconds: what a proxy, a queue or a frozen
/// machine may hold it back. Whoever it was about is told once more after that, and of an account that may still be
/// created no second one is before.
pub const LATE_MS_MAX: u64 = 600_000;
/// When somebody whom a service provider refused is told of again though nothing changed, in milliseconds.
pub const REFUSED_AGAIN_MS: u64 = 3_600_000;
/// How long an account that is known is missed before it is taken for gone, in milliseconds: a token of another
/// workspace finds nobody, and is put right within an hour.
pub const MISSED_MS_MIN: u64 = 3_600_000;

/// What is known of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountNote {
    /// Its id at the service provider; `None` if it has none, or nobody knows of it.
    pub account: Option<String>,
    /// What it was told last; `None` if nobody knows how that went, because somebody is at it.
    pub mark: Option<AccountMark>,
    /// Whether it was refused, or failed.
    pub refused: bool,
    /// Until when a request that was given up may still arrive, in milliseconds since 1970.
    pub late_until_ms: Option<u64>,
    /// Since when the account that is known is not found, in milliseconds since 1970.
    pub missed_since_ms: Option<u64>,
    /// When it is told again though nothing changed, in milliseconds since 1970.
    pub again_at_ms: Option<u64>,
}

impl AccountNote {
    /// Whether somebody is to be told of. Who was never told of is, also if he is off: he may have an account.
    #[must_use]
    pub fn is_due(note: Option<&Self>, mark: AccountMark, now_ms: u64) -> bool {
        note.is_none_or(|note| {
            note.mark != Some(mark) || note.next_look_ms().is_some_and(|at_ms| at_ms <= now_ms)
        })
    }

    /// When he is to be looked at again, whatever happens.
    #[must_use]
    pub fn next_look_ms(&self) -> Option<u64> {
        self.late_until_ms.into_iter().chain(self.again_at_ms).min()
    }

    /// Whether an account may be created: none that was asked for can still come.
    #[must_use]
    pub fn may_create(note: Option<&Self>, now_ms: u64) -> bool {
        late(note, now_ms).is_none()
    }

    /// Whether it is believed that there is no account when none is found. One that is known may be there all the
    /// same, until it has been missed for long enough.
    #[must_use]
    pub fn is_absence_believed(note: Option<&Self>, now_ms: u64) -> bool {
        note.is_none_or(|note| {
            let believed_at_ms = note.missed_since_ms.map(|ms| ms + MISSED_MS_MIN);
            note.account.is_none() || believed_at_ms.is_some_and(|at_ms| at_ms <= now_ms)
        })
    }

    /// What is noted before he is told of: whoever finds it knows that a request may be on its way.
    #[must_use]
    pub fn begun(note: Option<&Self>, now_ms: u64) -> Self {
        Self {
            account: note.and_then(|note| note.account.clone()),
            late_until_ms: Some(now_ms + LATE_MS_MAX),
            missed_since_ms: missed_since_ms(note),
            ..Self::default()
        }
    }

    /// What is noted after he was told of, from what was noted before that. With `gave_up` a request was sent that
    /// may still arrive.
    #[must_use]
    pub fn after(note: Option<&Self>, outcome: Outcome, gave_up: bool, now_ms: u64) -> Self {
        let after = Self {
            account: note.and_then(|note| note.account.clone()),
            late_until_ms: if gave_up {
                Some(now_ms + LATE_MS_MAX)
            } else {
                late(note, now_ms)
            },
            missed_since_ms: missed_since_ms(note),
            ..Self::default()
        };
        match outcome {
            Outcome::Told(account, mark) => Self {
                account,
                mark: Some(mark),
                missed_since_ms: None,
                ..after
            },
            Outcome::Refused(mark) => Self {
                mark: Some(mark),
                refused: true,
                again_at_ms: Some(now_ms + REFUSED_AGAIN_MS),
                ..after
            },
            Outcome::Missed(mark) => {
                let since_ms = after.missed_since_ms.unwrap_or(now_ms);
                Self {
                    mark: Some(mark),
                    refused: true,
                    missed_since_ms: Some(since_ms),
                    again_at_ms: Some(since_ms + MISSED_MS_MIN),
                    ..after
                }
            }
            Outcome::Failed(mark, again_ms) => Self {
                mark: Some(mark),
                refused: true,
                again_at_ms: Some(now_ms + again_ms),
                ..after
            },
            Outcome::Unknown => after,
        }
    }
}

/// Until when a request may still arrive, if one may.
fn late(note: Option<&AccountNote>, now_ms: u64) -> Option<u64> {
    let until_ms = note.and_then(|note| note.late_until_ms);
    until_ms.filter(|until_ms| now_ms < *until_ms)
}

fn missed_since_ms(note: Option<&AccountNote>) -> Option<u64> {
    note.and_then(|note| note.missed_since_ms)
}

/// What telling of somebody came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The account, or none that would be needed, is as he is.
    Told(Option<String>, AccountMark),
    /// The service provider does not take it.
    Refused(AccountMark),
    /// The account that is known is not found, and not taken for gone yet.
    Missed(AccountMark),
    /// It failed, and may pass: when to try again, in milliseconds from now.
    Failed(AccountMark, u64),
    /// It was not done yet.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<ScimTarget, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn a_service_provider_is_an_address_and_where_its_token_is_kept() {
        let json = r#"{"url":"https://app.example/scim/v2","credential":{"kind":"secret","env":"SCIM_TOKEN"}}"#;
        let read = target(json).unwrap();
        let kept = Kept::Env("SCIM_TOKEN".into());
        assert_eq!(read.credential, Credential::Secret(kept));
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(target(&written).unwrap(), read);
    }

    const MARK: AccountMark = AccountMark {
        status: Status::Active,
        hash: ContentHash([7; 16]),
    };

    #[test]
    fn a_request_that_may_come_late_is_not_forgotten_by_what_is_told_after_it() {
        let account = Some("a1".to_owned());
        let told = |note: &AccountNote, now_ms| {
            let outcome = Outcome::Told(account.clone(), MARK);
            AccountNote::after(Some(note), outcome, false, now_ms)
        };
        let given_up = AccountNote::after(None, Outcome::Unknown, true, 0);
        assert!(!AccountNote::may_create(Some(&given_up), LATE_MS_MAX - 1));
        let later = told(&told(&given_up, 10), LATE_MS_MAX - 1);
        assert_eq!(later.late_until_ms, Some(LATE_MS_MAX));
        assert!(!AccountNote::is_due(Some(&later), MARK, LATE_MS_MAX - 1));
        assert!(AccountNote::is_due(Some(&later), MARK, LATE_MS_MAX));
        let over = told(&later, LATE_MS_MAX);
        assert!(!AccountNote::is_due(Some(&over), MARK, u64::MAX));
        assert!(AccountNote::may_create(Some(&over), LATE_MS_MAX));
    }

    #[test]
    fn who_died_in_the_middle_is_as_one_who_gave_up() {
        let begun = AccountNote::begun(None, 5);
        assert!(AccountNote::is_due(Some(&begun), MARK, 6));
        assert!(!AccountNote::may_create(Some(&begun), 5 + LATE_MS_MAX - 1));
        let told = Outcome::Told(None, MARK);
        let told = AccountNote::after(Some(&begun), told, false, 6);
        assert_eq!(told.late_until_ms, Some(5 + LATE_MS_MAX));
    }

    #[test]
    fn who_was_refused_is_told_of_again_when_he_changes_or_an_hour_is_over() {
        let refused = AccountNote::after(None, Outcome::Refused(MARK), false, 0);
        assert!(refused.refused && AccountNote::may_create(Some(&refused), 1));
        assert!(!AccountNote::is_due(
            Some(&refused),
            MARK,
            REFUSED_AGAIN_MS - 1
        ));
        assert!(AccountNote::is_due(Some(&refused), MARK, REFUSED_AGAIN_MS));
        let status = Status::Inactive;
        assert!(AccountNote::is_due(
            Some(&refused),
            AccountMark { status, ..MARK },
            1
        ));
        assert!(AccountNote::is_due(None, AccountMark { status, ..MARK }, 1));
    }

    #[test]
    fn an_account_that_is_missed_is_taken_for_gone_when_it_is_missed_an_hour_later_too() {
        let outcome = Outcome::Told(Some("a1".into()), MARK);
        let told = AccountNote::after(None, outcome, false, 0);
        assert!(AccountNote::is_absence_believed(None, 0));
        assert!(!AccountNote::is_absence_believed(Some(&told), u64::MAX));
        let missed = AccountNote::after(Some(&told), Outcome::Missed(MARK), false, 7);
        assert_eq!(missed.account, told.account);
        assert!(missed.refused && !AccountNote::is_due(Some(&missed), MARK, 8));
        // Whatever comes of the looks in between: a change, a death, a refusal.
        let begun = AccountNote::begun(Some(&missed), 8);
        let refused = AccountNote::after(Some(&begun), Outcome::Refused(MARK), false, 9);
        let missed = AccountNote::after(Some(&refused), Outcome::Missed(MARK), false, 10);
        let believed_at_ms = 7 + MISSED_MS_MIN;
        let is_believed = |now_ms| AccountNote::is_absence_believed(Some(&missed), now_ms);
        assert!(!is_believed(believed_at_ms - 1) && is_believed(believed_at_ms));
        assert!(AccountNote::is_due(Some(&missed), MARK, believed_at_ms));
        // One that is found is missed from the start again.
        let outcome = Outcome::Told(Some("a1".into()), MARK);
        let found = AccountNote::after(Some(&missed), outcome, false, 11);
        assert!(!AccountNote::is_absence_believed(Some(&found), u64::MAX));
    }

    #[test]
    fn what_is_no_bearer_token_is_refused_and_not_repeated() {
        for credential in [
            r#"{"kind":"certificate","pem_file":"hunter2"}"#,
            r#"{"kind":"federated"}"#,
            r#""hunter2""#,
        ] {
            let json = format!(r#"{{"url":"https://app.example","credential":{credential}}}"#);
            let problem = target(&json).unwrap_err();
            assert!(problem.contains("kind = \"secret\""), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        let json = r#"{"url":"http://app.example","credential":{"kind":"secret","env":"T"}}"#;
        assert!(target(json).unwrap_err().contains("https"));
    }
}
