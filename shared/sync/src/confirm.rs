//! Asking Graph, by id, about everybody whom a complete enumeration did not show.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_core::evidence::{Answers, Existence, RequestId, Told};
use rollcall_core::ids::ObjectId;
use rollcall_core::proof::Absence;
use rollcall_core::run::FailReason;
use rollcall_core::scope::Scope;
use rollcall_graph::GraphClient;

use crate::error::Stop;

/// How many users known to be there are asked for beside the absent: one who is not found shows
/// that the answers are wrong about everybody.
pub(crate) const CANARIES_MAX: usize = 3;

/// How many absent users one run asks for one by one, 20 a request: some minutes, within a
/// function's time. The others stay on unless they are in the bin; so many are a hold in any case.
pub(crate) const ASKED_BY_ID_MAX: usize = 5_000;

/// What Graph said when it was asked by id.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// About the absent.
    pub(crate) answers: Answers,
    /// Who of the disabled is not disabled by this, who of the removed is there, and who of those outside is in
    /// scope, or may be; by which answer.
    pub(crate) back: BTreeMap<ObjectId, RequestId>,
    /// Who of the disabled and of those outside was not found: an omission bears nothing out.
    pub(crate) unanswered: BTreeSet<ObjectId>,
}

/// About whom Graph is asked.
#[derive(Debug)]
pub(crate) struct Questions<'a> {
    /// Those whom a complete enumeration did not show.
    pub(crate) absences: &'a [Absence],
    /// Those who were seen as disabled.
    pub(crate) disabled: &'a [ObjectId],
    /// Those who were seen out of scope by what they are, groups apart. A delta tells a part of somebody, and what
    /// it is silent about may be older in the directory than what it was compared with.
    pub(crate) outside: &'a [ObjectId],
    /// Who belongs.
    pub(crate) scope: &'a Scope,
    /// Those whom a delta told to be removed.
    pub(crate) removed: &'a [ObjectId],
    /// Some who are known to be there.
    pub(crate) canaries: &'a [ObjectId],
    /// Beside those: some of whom it told nothing.
    pub(crate) untold: &'a [ObjectId],
}

impl Questions<'_> {
    /// Whether there is nothing to ask.
    pub(crate) fn are_none(&self) -> bool {
        let seen = [self.disabled, self.outside, self.removed];
        self.absences.is_empty() && seen.iter().all(|ids| ids.is_empty())
    }
}

/// Asks in three ways: in bulk who is alive, in the bin who was deleted, and one by one about those
/// who are not alive. Those who were seen disabled or out of scope are asked about too: an enumeration can be
/// hours old at its end.
///
/// # Errors
/// Fails the run when a canary is missing, or Graph does not answer.
pub(crate) async fn ask(graph: &GraphClient, questions: &Questions<'_>) -> Result<Asked, Stop> {
    let Questions {
        absences,
        disabled,
        outside,
        scope,
        removed,
        canaries,
        untold,
    } = *questions;
    let absent = absences.iter().map(Absence::id);
    let asked: Vec<_> = absent
        .clone()
        .chain(disabled)
        .chain(outside)
        .chain(removed)
        .chain(canaries)
        .chain(untold)
        .cloned()
        .collect();
    let accounts = graph.get_by_ids(&asked).await?;
    let found = |id: &ObjectId| Some((id.clone(), accounts.get(id)?.request.clone()));
    let is_found = |id: &ObjectId| accounts.contains_key(id);
    all_found(canaries, is_found)?;
    some_found(untold, is_found)?;
    let is_disabled = |id: &ObjectId| {
        let account = accounts.get(id);
        account.is_some_and(|it| it.what.account_enabled == Some(false))
    };
    let is_outside = |id: &ObjectId| {
        let account = accounts.get(id);
        account.is_some_and(|it| scope.contains(&it.what) == Some(false))
    };
    let mut back: BTreeMap<_, _> = disabled
        .iter()
        .filter(|id| !is_disabled(id))
        .chain(outside.iter().filter(|id| !is_outside(id)))
        .chain(removed)
        .filter_map(found)
        .collect();
    let rest: BTreeSet<_> = absent.clone().filter(|id| !is_found(id)).cloned().collect();
    let mut answers = Answers {
        alive: absent.filter_map(found).collect(),
        ..Answers::default()
    };
    if !rest.is_empty() {
        answers.deleted = graph.deleted_users(&rest).await?;
        // Those in the bin as well: who was restored a moment ago may still be listed there.
        let one_by_one: Vec<_> = rest.into_iter().take(ASKED_BY_ID_MAX).collect();
        let asked: Vec<_> = one_by_one.iter().chain(canaries).cloned().collect();
        let by_id = graph.users_by_id(&asked).await?;
        all_found(canaries, |id| {
            by_id
                .get(id)
                .is_some_and(|it| existence(it.what) == Existence::Found)
        })?;
        // A canary may be one of the disabled: the last word about him is this one.
        let last_word = |id: &ObjectId| {
            let word = by_id.get(id).filter(|it| is_enabled_user(it.what))?;
            Some((id.clone(), word.request.clone()))
        };
        back.extend(disabled.iter().filter_map(last_word));
        answers.by_id = one_by_one
            .into_iter()
            .filter_map(|id| {
                let Told { what, request } = by_id.get(&id)?.clone();
                let what = existence(what);
                Some((id, Told { what, request }))
            })
            .collect();
    }
    let seen = disabled.iter().chain(outside);
    let unanswered = seen.filter(|id| !is_found(id)).cloned().collect();
    Ok(Asked {
        answers,
        back,
        unanswered,
    })
}

pub(crate) const fn existence(told: rollcall_graph::Existence) -> Existence {
    match told {
        rollcall_graph::Existence::Found { .. } => Existence::Found,
        rollcall_graph::Existence::NotFound => Existence::NotFound,
    }
}

fn is_enabled_user(told: rollcall_graph::Existence) -> bool {
    let account_enabled = Some(true);
    told == rollcall_graph::Existence::Found { account_enabled }
}

/// As [`all_found`], of users of whom one may have gone since he was last told of.
pub(crate) fn some_found(
    canaries: &[ObjectId],
    found: impl Fn(&ObjectId) -> bool,
) -> Result<(), Stop> {
    if canaries.is_empty() || canaries.iter().any(found) {
        return Ok(());
    }
    let ids: Vec<_> = canaries.iter().map(ToString::to_string).collect();
    Err(Stop::Fail(
        FailReason::EnumerationUnreliable,
        format!(
            "none of {}, who were there when they were last told of, is found by id: the tenant, the \
             permission or the replica is wrong",
            ids.join(", ")
        ),
    ))
}

fn all_found(canaries: &[ObjectId], found: impl Fn(&ObjectId) -> bool) -> Result<(), Stop> {
    match canaries.iter().find(|canary| !found(canary)) {
        None => Ok(()),
        Some(missing) => Err(Stop::Fail(
            FailReason::EnumerationUnreliable,
            format!(
                "user {missing}, who was enumerated a moment ago, is not found by id: the tenant, \
                 the permission or the replica is wrong"
            ),
        )),
    }
}
