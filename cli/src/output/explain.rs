//! Why a user is on or off, in one paragraph, from the journal's evidence.

use rollcall_core::by_hand::Decision;
use rollcall_core::ids::{ObjectId, RunRef, TenantId};
use rollcall_core::status::{Reason, Status, StoredUser};
use rollcall_store::{Act, ByHand, HoldDecision, JournalEntry};
use serde::Serialize;

use super::table::harmless;
use super::time;

/// A user's status, explained: by ids and who decided, never by what the directory has of him.
#[derive(Debug, Serialize)]
pub(crate) struct Explained<'a> {
    tenant: &'a TenantId,
    id: &'a ObjectId,
    status: Status,
    reason: Reason,
    explanation: String,
}

impl<'a> Explained<'a> {
    /// From a user, his changes, the latest first, and what is known beside them.
    pub(crate) fn of(
        tenant: &'a TenantId,
        user: &'a StoredUser,
        history: &[JournalEntry],
        beside: &Beside,
    ) -> Self {
        Self {
            tenant,
            id: &user.id,
            status: user.status,
            reason: user.reason,
            explanation: explanation(tenant, user, history, beside),
        }
    }

    pub(crate) fn paragraph(&self) -> &str {
        &self.explanation
    }
}

/// What is known beside a user's history.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// Who approved the plan of the run that decided.
    pub(crate) approved: Option<HoldDecision>,
    /// The held run whose plan would switch the user off, with the evidence.
    pub(crate) waits: Option<(RunRef, String)>,
}

/// The run that decided the status that a user with this history has.
pub(crate) fn deciding_run(history: &[JournalEntry]) -> Option<u64> {
    cause(history)?.run
}

fn cause(history: &[JournalEntry]) -> Option<&JournalEntry> {
    history.iter().find(|entry| sets_status(entry))
}

fn explanation(
    tenant: &TenantId,
    user: &StoredUser,
    history: &[JournalEntry],
    beside: &Beside,
) -> String {
    let cause = cause(history);
    let released = cause.and_then(|entry| entry.by_hand.as_ref());
    let is_released = released.is_some_and(|it| it.act == Act::Decided(Decision::Release));
    let mut sentences = vec![
        if is_released {
            // The reason is the last that is known, and nobody has looked since.
            format!("User {} of {tenant} is {}.", user.id, user.status.name())
        } else {
            state(tenant, user)
        },
        match cause {
            Some(entry) => by_whom(tenant, entry),
            None => "The journal does not reach back to when that was decided.".to_owned(),
        },
    ];
    if let Some(HoldDecision { by, at_ms }) = &beside.approved {
        let (by, at) = (harmless(by), time::short(*at_ms));
        sentences.push(format!("{by} had approved its plan at {at}."));
    }
    sentences.extend(cause.and_then(before));
    if let Some((run, evidence)) = &beside.waits {
        sentences.push(format!(
            "A plan to switch the user off waits for a person: that of run {run}, which is HELD. Its \
             evidence: {}.",
            harmless(evidence)
        ));
    }
    sentences.push(outlook(tenant, user));
    sentences.join(" ")
}

/// Whether a change decided the status that the user has after it.
fn sets_status(entry: &JournalEntry) -> bool {
    let decided = |user: &StoredUser| (user.status, user.reason);
    entry.before.as_ref().map(decided) != Some(decided(&entry.after))
}

fn state(tenant: &TenantId, user: &StoredUser) -> String {
    let why = match user.reason {
        Reason::Present => "the account was seen, enabled and in scope",
        Reason::Disabled => "the account was seen as disabled",
        Reason::Deleted => "the account was deleted",
        Reason::NotFound => "no account with this id was found",
        Reason::OutOfScope => "the account was seen outside the tenant's scope",
        Reason::Manual => "a person decided so",
    };
    format!(
        "User {} of {tenant} is {} since {}, because {why} ({}).",
        user.id,
        user.status.name(),
        time::short(user.status_at_ms),
        user.reason
    )
}

/// Who decided it, and by what.
fn by_whom(tenant: &TenantId, entry: &JournalEntry) -> String {
    let at = time::short(entry.at_ms);
    match (entry.run, &entry.by_hand, &entry.evidence) {
        (Some(run), _, Some(evidence)) => format!(
            "Run {tenant}/{run} switched the user off at {at}. Its evidence: {}.",
            harmless(evidence)
        ),
        (Some(run), _, None) if entry.before.is_none() => {
            format!("Run {tenant}/{run} found the user for the first time, at {at}.")
        }
        (Some(run), _, None) => format!("Run {tenant}/{run} found the user so at {at}."),
        (None, Some(ByHand { by, act }), _) => {
            let by = harmless(by);
            match act {
                Act::Decided(Decision::Deactivate | Decision::Activate) => {
                    format!("{by} decided it at {at}, by hand.")
                }
                Act::Decided(Decision::Release) => format!(
                    "{by} gave the user back to the sync at {at}, and no run has changed the \
                     status since."
                ),
                Act::Reverted(run) => {
                    format!("{by} took back what run {tenant}/{run} did, at {at}.")
                }
            }
        }
        (None, None, _) => format!("It was decided by hand at {at}."),
    }
}

/// What he was until then.
fn before(entry: &JournalEntry) -> Option<String> {
    let before = entry.before.as_ref()?;
    Some(format!(
        "Until then the user was {} ({}).",
        before.status.name(),
        before.reason
    ))
}

/// What would change it.
fn outlook(tenant: &TenantId, user: &StoredUser) -> String {
    match (user.reason, user.status) {
        (Reason::Manual, _) => format!(
            "No sync changes it before `rollcall user release {tenant} {}`.",
            user.id
        ),
        (_, Status::Active) => "The user stays on until a run has evidence that the account is \
            disabled, deleted, gone or out of scope, and its plan passes the guards."
            .to_owned(),
        (_, Status::Inactive) => {
            "The next run that sees the account enabled and in scope switches the \
            user on again."
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const DAY_MS: u64 = 86_400_000;

    fn user(status: Status, reason: Reason) -> StoredUser {
        StoredUser {
            id: ObjectId::new("a").unwrap(),
            status,
            reason,
            status_run: Some(2),
            status_at_ms: DAY_MS,
            user_principal_name: Some("adele@contoso.com".into()),
            mail: None,
            display_name: None,
            account_enabled: Some(true),
            user_type: Some("Member".into()),
            in_scope: true,
            attributes: BTreeMap::new(),
            version: 2,
            last_change: None,
            decided_version: None,
        }
    }

    fn entry(before: Option<StoredUser>, after: StoredUser) -> JournalEntry {
        JournalEntry {
            run: Some(2),
            by_hand: None,
            at_ms: DAY_MS,
            before,
            after,
            evidence: None,
        }
    }

    fn told(user: &StoredUser, history: &[JournalEntry]) -> String {
        let tenant = TenantId::new("contoso").unwrap();
        explanation(&tenant, user, history, &Beside::default())
    }

    #[test]
    fn who_was_switched_off_is_explained_by_the_runs_evidence() {
        let on = user(Status::Active, Reason::Present);
        let off = user(Status::Inactive, Reason::Deleted);
        let gone = JournalEntry {
            evidence: Some("listed in deletedItems, request 5f1c".into()),
            ..entry(Some(on.clone()), off.clone())
        };
        // A rename since then decides nothing.
        let renamed = entry(Some(off.clone()), off.clone());
        let said = told(&off, &[renamed, gone, entry(None, on)]);
        for part in [
            "User a of contoso is INACTIVE since 1970-01-02",
            "because the account was deleted (deleted).",
            "Run contoso/2 switched the user off at",
            "Its evidence: listed in deletedItems, request 5f1c.",
            "Until then the user was ACTIVE (present).",
            "The next run that sees the account enabled",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert!(!said.contains("adele"), "{said}");
    }

    #[test]
    fn who_is_on_since_the_first_sighting_is_explained_by_it() {
        let on = user(Status::Active, Reason::Present);
        let said = told(&on, &[entry(None, on.clone())]);
        assert!(said.contains("found the user for the first time"), "{said}");
        assert!(said.contains("stays on until a run has evidence"), "{said}");
    }

    #[test]
    fn a_persons_decision_is_explained_by_the_person_and_the_way_back() {
        let held = user(Status::Inactive, Reason::Manual);
        let by_hand = ByHand {
            by: "grace".into(),
            act: Act::Decided(Decision::Deactivate),
        };
        let decision = JournalEntry {
            run: None,
            by_hand: Some(by_hand),
            ..entry(Some(user(Status::Active, Reason::Present)), held.clone())
        };
        let said = told(&held, &[decision]);
        assert!(said.contains("grace decided it at"), "{said}");
        assert!(said.contains("`rollcall user release contoso a`"), "{said}");
    }

    #[test]
    fn a_release_is_no_finding_of_a_sync() {
        let released = user(Status::Inactive, Reason::NotFound);
        let by_hand = ByHand {
            by: "ada".into(),
            act: Act::Decided(Decision::Release),
        };
        let release = JournalEntry {
            run: None,
            by_hand: Some(by_hand),
            ..entry(
                Some(user(Status::Inactive, Reason::Manual)),
                released.clone(),
            )
        };
        let said = told(&released, &[release]);
        assert!(said.contains("ada gave the user back"), "{said}");
        assert!(!said.contains("because"), "{said}");
    }

    #[test]
    fn whoever_approved_the_plan_is_named() {
        let off = user(Status::Inactive, Reason::Disabled);
        let switched_off = entry(Some(user(Status::Active, Reason::Present)), off.clone());
        let beside = Beside {
            approved: Some(HoldDecision {
                by: "ada".into(),
                at_ms: DAY_MS,
            }),
            waits: None,
        };
        let tenant = TenantId::new("contoso").unwrap();
        let said = explanation(&tenant, &off, &[switched_off], &beside);
        let approved = "ada had approved its plan at 1970-01-02";
        assert!(said.contains(approved), "{said}");
    }

    #[test]
    fn a_journal_that_has_expired_is_said_to_have() {
        let off = user(Status::Inactive, Reason::NotFound);
        let said = told(&off, &[]);
        assert!(said.contains("does not reach back"), "{said}");
    }
}
