//! Every condition that a write may carry, and nothing else. Each event of the pure state machines
//! becomes one condition here, from the same list of states that the pure function uses.

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::batch::BatchEvent;
use rollcall_core::run::{RunEvent, RunState};
use rollcall_core::schedule::LastStarts;

use crate::row::{Item, number, text};
use crate::tenants::Head;

/// A condition expression with its values. Attribute names stand behind `#`, values behind `:c_`.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) expression: String,
    pub(crate) names: Vec<&'static str>,
    pub(crate) values: Item,
}

impl Condition {
    fn new<const N: usize>(
        expression: &str,
        names: &[&'static str],
        values: [(&str, AttributeValue); N],
    ) -> Self {
        Self {
            expression: expression.to_owned(),
            names: names.to_vec(),
            values: values
                .map(|(name, value)| (format!(":c_{name}"), value))
                .into(),
        }
    }

    /// Both this and `other`.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.expression = format!("{} AND {}", self.expression, other.expression);
        for name in other.names {
            if !self.names.contains(&name) {
                self.names.push(name);
            }
        }
        self.values.extend(other.values);
        self
    }

    /// `state IN (…)`, for the states that allow an event.
    fn state_in(states: impl Iterator<Item = &'static str>) -> Self {
        let mut condition = Self::new("", &["state"], []);
        let mut holes = Vec::new();
        for (index, state) in states.enumerate() {
            let hole = format!(":c_state{index}");
            condition.values.insert(hole.clone(), text(state));
            holes.push(hole);
        }
        condition.expression = format!("#state IN ({})", holes.join(", "));
        condition
    }
}

/// The item is not there yet.
pub(crate) fn absent() -> Condition {
    Condition::new("attribute_not_exists(#pk)", &["pk"], [])
}

/// The item is there.
pub(crate) fn present() -> Condition {
    Condition::new("attribute_exists(#pk)", &["pk"], [])
}

/// A tenant's service provider is to be told when it was read to be.
pub(crate) fn scim_due_is(at_ms: Option<u64>) -> Condition {
    match at_ms {
        None => Condition::new("attribute_not_exists(#scim_due_at)", &["scim_due_at"], []),
        Some(ms) => Condition::new(
            "#scim_due_at = :c_due",
            &["scim_due_at"],
            [("due", number(ms))],
        ),
    }
}

/// The run allows the event.
pub(crate) fn run_allows(event: RunEvent) -> Condition {
    run_state_in(event.from_states())
}

/// The batch allows the event.
pub(crate) fn batch_allows(event: BatchEvent) -> Condition {
    Condition::state_in(event.from_states().iter().map(|state| state.name()))
}

/// The lease of this item was granted under this token, and none since.
pub(crate) fn lease_is(token: u64) -> Condition {
    Condition::new(
        "#lease_token = :c_token",
        &["lease_token"],
        [("token", number(token))],
    )
}

/// The lease may be taken: its last token is still the one that was read, and it has lapsed. A
/// token of 0 means that there never was a lease.
pub(crate) fn lease_may_be_taken(last_token: u64, now_ms: u64) -> Condition {
    if last_token == 0 {
        return Condition::new("attribute_not_exists(#lease_token)", &["lease_token"], []);
    }
    Condition::new(
        "#lease_token = :c_last AND #lease_until <= :c_now",
        &["lease_token", "lease_until"],
        [("last", number(last_token)), ("now", number(now_ms))],
    )
}

/// The run is in one of these states.
pub(crate) fn run_state_in(states: &[RunState]) -> Condition {
    Condition::state_in(states.iter().map(|state| state.stored_name()))
}

/// The run is in one of the states in which batches are worked on: while pages still come, and
/// after the last one.
pub(crate) fn run_takes_work() -> Condition {
    run_state_in(&[RunState::Enumerating, RunState::Draining])
}

/// The enumeration stands where it was read: the same generation, the same last page.
pub(crate) fn chain_ends_at(generation: u32, page: u32, digest: Option<&str>) -> Condition {
    let at = Condition::new(
        "#generation = :c_generation AND #last_page = :c_page",
        &["generation", "last_page"],
        [("generation", number(generation)), ("page", number(page))],
    );
    at.and(match digest {
        None => Condition::new("attribute_not_exists(#last_digest)", &["last_digest"], []),
        Some(digest) => Condition::new(
            "#last_digest = :c_digest",
            &["last_digest"],
            [("digest", text(digest))],
        ),
    })
}

/// The tenant's last run failed.
pub(crate) fn last_run_failed() -> Condition {
    Condition::new("attribute_exists(#failed_at)", &["failed_at"], [])
}

/// As many full runs are owed as was read.
pub(crate) fn full_due_is(due: Option<u64>) -> Condition {
    match due {
        None => Condition::new("attribute_not_exists(#full_due)", &["full_due"], []),
        Some(run) => Condition::new(
            "#full_due = :c_full_due",
            &["full_due"],
            [("full_due", number(run))],
        ),
    }
}

/// The occurrences that last started the tenant's runs are those that were read.
pub(crate) fn started_for_is(last: LastStarts) -> Condition {
    let full = match last.full_ms {
        None => Condition::new("attribute_not_exists(#full_for)", &["full_for"], []),
        Some(ms) => Condition::new(
            "#full_for = :c_full_for",
            &["full_for"],
            [("full_for", number(ms))],
        ),
    };
    full.and(match last.any_ms {
        None => Condition::new("attribute_not_exists(#any_for)", &["any_for"], []),
        Some(ms) => Condition::new(
            "#any_for = :c_any_for",
            &["any_for"],
            [("any_for", number(ms))],
        ),
    })
}

/// No run of the tenant is being reverted.
pub(crate) fn no_revert_is_active() -> Condition {
    Condition::new("attribute_not_exists(#reverting)", &["reverting"], [])
}

/// This run is not the tenant's active one.
pub(crate) fn run_is_not_active(run: u64) -> Condition {
    Condition::new(
        "(attribute_not_exists(#active_run) OR #active_run <> :c_run)",
        &["active_run"],
        [("run", number(run))],
    )
}

/// This run of the tenant is being reverted.
pub(crate) fn reverting_is(run: u64) -> Condition {
    Condition::new(
        "#reverting = :c_run",
        &["reverting"],
        [("run", number(run))],
    )
}

/// The revert has not ended.
pub(crate) fn revert_runs() -> Condition {
    Condition::new(
        "attribute_exists(#started_at) AND attribute_not_exists(#ended_at)",
        &["started_at", "ended_at"],
        [],
    )
}

/// The revert has not ended, and is at this place of the journal.
pub(crate) fn revert_is_at(place: AttributeValue) -> Condition {
    revert_runs().and(Condition::new(
        "#place = :c_place",
        &["place"],
        [("place", place)],
    ))
}

/// Nobody has noted yet who is in the groups of the scope.
pub(crate) fn members_are_open() -> Condition {
    Condition::new(
        "attribute_not_exists(#members_digest)",
        &["members_digest"],
        [],
    )
}

/// The user is at the version that was read; 0 means: not there.
pub(crate) fn version_is(version: u64) -> Condition {
    if version == 0 {
        return absent();
    }
    Condition::new(
        "#version = :c_version",
        &["version"],
        [("version", number(version))],
    )
}

/// The settings are at the revision that was read, and the tenant was not removed.
pub(crate) fn revision_is(revision: u64) -> Condition {
    Condition::new(
        "#revision = :c_revision AND #removed = :c_removed",
        &["revision", "removed"],
        [
            ("revision", number(revision)),
            ("removed", AttributeValue::Bool(false)),
        ],
    )
}

/// The settings are at the revision that was read; 0 means that there are none.
pub(crate) fn revision_was(revision: u64) -> Condition {
    if revision == 0 {
        return absent();
    }
    Condition::new(
        "#revision = :c_revision",
        &["revision"],
        [("revision", number(revision))],
    )
}

/// No run of the tenant is active, and the next one has this number.
pub(crate) fn next_run_is(run: u64) -> Condition {
    if run == 1 {
        return absent();
    }
    Condition::new(
        "attribute_not_exists(#active_run) AND #next_run = :c_run",
        &["active_run", "next_run"],
        [("run", number(run))],
    )
}

/// This run is the tenant's active one.
pub(crate) fn active_run_is(run: u64) -> Condition {
    Condition::new(
        "#active_run = :c_run",
        &["active_run"],
        [("run", number(run))],
    )
}

/// No run of the tenant is active.
pub(crate) fn no_run_is_active() -> Condition {
    Condition::new("attribute_not_exists(#active_run)", &["active_run"], [])
}

/// This run is the one that the tenant holds, by the head's attribute for its mode.
pub(crate) fn held_run_is(name: &'static str, run: u64) -> Condition {
    Condition::new(
        &format!("#{name} = :c_held"),
        &[name],
        [("held", number(run))],
    )
}

/// The plan that the run waits for a person with is this one.
pub(crate) fn held_plan_is(hash: &str) -> Condition {
    Condition::new(
        "#held_plan = :c_plan",
        &["held_plan"],
        [("plan", text(hash))],
    )
}

/// These runs are the tenant's held ones.
pub(crate) fn held_runs_are(head: &Head) -> Condition {
    let held = |name: &'static str, run: Option<u64>| match run {
        None => Condition::new(&format!("attribute_not_exists(#{name})"), &[name], []),
        Some(run) => Condition::new(
            &format!("#{name} = :c_{name}"),
            &[name],
            [(name, number(run))],
        ),
    };
    held("held_run", head.held_run).and(held("held_delta_run", head.held_delta_run))
}

/// The delta link is the one that the run started with; `None` is none.
pub(crate) fn delta_link_is(link: Option<&str>) -> Condition {
    match link {
        None => Condition::new("attribute_not_exists(#delta_link)", &["delta_link"], []),
        Some(link) => Condition::new(
            "#delta_link = :c_link",
            &["delta_link"],
            [("link", text(link))],
        ),
    }
}
