//! Which events are counted, as which metrics.
//!
//! A metric is named by what it is about and by one dimension at most, whose values stand here: a
//! stack has no more metrics with a thousand tenants than with one. Whose run it was is told beside the
//! value, where a query finds it.

/// What a value is measured in, by CloudWatch's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
}

/// What an event counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// One.
    One,
    /// What this field says.
    Field(&'static str),
    /// One, if this field is there.
    If(&'static str),
    /// One, if this field is true.
    IfTrue(&'static str),
    /// One, if this field is this number.
    IfEqual(&'static str, u64),
}

/// The dimension of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// None.
    Nothing,
    /// Always this value.
    Always(&'static str, &'static str),
    /// The field of that name, which has one of these values. Any other becomes [`OTHER`].
    Field(&'static str, &'static [&'static str]),
}

/// The value of a dimension that is none of those it may have.
pub const OTHER: &str = "other";

/// An event, and one metric that it counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The event's name.
    pub event: &'static str,
    /// The metric's.
    pub metric: &'static str,
    /// What it is measured in.
    pub unit: Unit,
    /// How much the event counts for.
    pub counts: Counts,
    /// The metric's dimension.
    pub by: By,
}

const MODES: &[&str] = &["full", "delta"];

/// The reasons of a FAILED run.
pub const FAIL_REASONS: &[&str] = &[
    "empty_enumeration",
    "enumeration_unreliable",
    "incomplete",
    "graph_denied",
    "graph_unavailable",
    "credential_rejected",
    "deadline",
    "unsafe_link",
    "settings_changed",
    "group_unavailable",
];

/// The status of an answer of Graph that says "too many requests".
const TOO_MANY_REQUESTS: u64 = 429;

const fn count(event: &'static str, metric: &'static str, counts: Counts, by: By) -> Source {
    Source {
        event,
        metric,
        unit: Unit::Count,
        counts,
        by,
    }
}

const fn of_lease(
    event: &'static str,
    metric: &'static str,
    counts: Counts,
    what: &'static str,
) -> Source {
    count(event, metric, counts, By::Always("lease", what))
}

const fn switched_off(reason: &'static str) -> Source {
    let by = By::Always("reason", reason);
    count(
        "run_completed",
        "UsersDeactivated",
        Counts::Field(reason),
        by,
    )
}

const fn kept(reason: &'static str) -> Source {
    let by = By::Always("reason", reason);
    count("run_completed", "UsersKept", Counts::Field(reason), by)
}

/// All of them.
pub const SOURCES: &[Source] = &[
    count(
        "run_completed",
        "RunsCompleted",
        Counts::One,
        By::Field("mode", MODES),
    ),
    count(
        "run_completed",
        "UsersSeen",
        Counts::Field("users_seen"),
        By::Field("mode", MODES),
    ),
    Source {
        unit: Unit::Milliseconds,
        ..count(
            "run_completed",
            "RunTime",
            Counts::Field("took_ms"),
            By::Field("mode", MODES),
        )
    },
    // In all as well: an alarm looks at one metric, not at the sum of several.
    count(
        "run_completed",
        "UsersDeactivated",
        Counts::Field("deactivated"),
        By::Nothing,
    ),
    switched_off("disabled"),
    switched_off("deleted"),
    switched_off("not_found"),
    switched_off("out_of_scope"),
    kept("contradicted"),
    kept("unknown"),
    kept("awaiting_confirmation"),
    // As they are written, so that a run which is held or fails afterwards has them too.
    count(
        "users_written",
        "UsersCreated",
        Counts::Field("created"),
        By::Nothing,
    ),
    count(
        "users_written",
        "UsersUpdated",
        Counts::Field("updated"),
        By::Nothing,
    ),
    count(
        "users_written",
        "UsersReactivated",
        Counts::Field("reactivated"),
        By::Nothing,
    ),
    count("run_held", "HeldRuns", Counts::One, By::Nothing),
    count(
        "run_held",
        "UsersHeld",
        Counts::Field("deactivations"),
        By::Nothing,
    ),
    count("run_failed", "FailedRuns", Counts::One, By::Nothing),
    count(
        "run_failed",
        "FailedRuns",
        Counts::One,
        By::Field("reason", FAIL_REASONS),
    ),
    count("tenant_rests", "StartsLeftOut", Counts::One, By::Nothing),
    count(
        "status_events_published",
        "StatusEvents",
        Counts::Field("events"),
        By::Nothing,
    ),
    count(
        "status_event_unreadable",
        "StatusEventsUnreadable",
        Counts::One,
        By::Nothing,
    ),
    count(
        "scim_account_told",
        "AccountsTold",
        Counts::One,
        By::Nothing,
    ),
    count(
        "scim_told",
        "AccountsLeft",
        Counts::Field("left"),
        By::Nothing,
    ),
    count(
        "scim_behind",
        "ServiceProvidersBehind",
        Counts::One,
        By::Nothing,
    ),
    count("scan_was_wrong", "WrongScans", Counts::One, By::Nothing),
    count("members_were_wrong", "WrongScans", Counts::One, By::Nothing),
    of_lease("lease_lost", "LeasesLost", Counts::One, "run"),
    of_lease("batch_lease_lost", "LeasesLost", Counts::One, "batch"),
    of_lease("revert_lease_lost", "LeasesLost", Counts::One, "revert"),
    of_lease("run_leased", "Takeovers", Counts::If("from_token"), "run"),
    of_lease(
        "batch_leased",
        "Takeovers",
        Counts::If("from_token"),
        "batch",
    ),
    of_lease(
        "revert_leased",
        "Takeovers",
        Counts::If("from_token"),
        "revert",
    ),
    of_lease("scim_lease_lost", "LeasesLost", Counts::One, "scim"),
    of_lease("scim_leased", "Takeovers", Counts::If("from_token"), "scim"),
    count(
        "lease_lost",
        "FencedWrites",
        Counts::IfTrue("fenced"),
        By::Nothing,
    ),
    count(
        "batch_lease_lost",
        "FencedWrites",
        Counts::IfTrue("fenced"),
        By::Nothing,
    ),
    // A revert keeps its lease by what it writes.
    count(
        "revert_lease_lost",
        "FencedWrites",
        Counts::One,
        By::Nothing,
    ),
    count("run_not_failed", "FencedWrites", Counts::One, By::Nothing),
    count(
        "graph_asked_again",
        "GraphThrottled",
        Counts::IfEqual("status", TOO_MANY_REQUESTS),
        By::Nothing,
    ),
    Source {
        unit: Unit::Seconds,
        ..count(
            "swept",
            "SinceCompleted",
            Counts::Field("since_completed_s"),
            By::Nothing,
        )
    },
    Source {
        unit: Unit::Seconds,
        ..count(
            "swept",
            "SinceFullCompleted",
            Counts::Field("since_full_s"),
            By::Nothing,
        )
    },
];
