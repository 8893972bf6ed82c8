//! What an invocation was called for: whose runs, and which occurrence of a schedule.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

/// A schedule that fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Occurrence {
    /// Whether it is the nightly one, and not that of the deltas.
    pub(crate) is_full: bool,
    /// When it was due, in milliseconds since 1970.
    pub(crate) at_ms: u64,
}

impl Occurrence {
    /// As EventBridge tells it.
    pub(crate) fn event(self) -> Value {
        let at = i64::try_from(self.at_ms).unwrap_or_default();
        let at = Timestamp::from_millisecond(at).unwrap_or_default();
        let schedule = if self.is_full { "full" } else { "delta" };
        serde_json::json!({ "schedule": schedule, "at": at.to_string() })
    }

    fn of_event(event: &Value) -> Option<Self> {
        let at: Timestamp = event["at"].as_str()?.parse().ok()?;
        Some(Self {
            is_full: event["schedule"] == "full",
            at_ms: u64::try_from(at.as_millisecond()).ok()?,
        })
    }

    fn of_message(message: &Value) -> Option<Self> {
        Some(Self {
            is_full: message["fires"] == "full",
            at_ms: message["at_ms"].as_u64()?,
        })
    }
}

/// What an event says.
#[derive(Debug, Clone, Default)]
pub(crate) struct CalledFor {
    /// The tenants that its messages name; none if it is for all of them.
    tenants: Option<BTreeSet<String>>,
    /// The tenant and the run of its first message, if that names one.
    pub(crate) run: Option<(String, u64)>,
    /// What it is told of.
    pub(crate) occurrence: Option<Occurrence>,
}

impl CalledFor {
    pub(crate) fn by(event: &Value) -> Self {
        let Some(records) = event["Records"].as_array() else {
            return Self {
                tenants: None,
                run: None,
                occurrence: Occurrence::of_event(event),
            };
        };
        if records.iter().any(|it| it["dynamodb"].is_object()) {
            // A part of the stream: for those whose users it tells of.
            let keys = records
                .iter()
                .filter_map(|it| it["dynamodb"]["Keys"]["pk"]["S"].as_str());
            let names = keys.filter_map(|key| key.split('#').next());
            return Self {
                tenants: Some(names.map(str::to_owned).collect()),
                run: None,
                occurrence: None,
            };
        }
        let bodies = records.iter().filter_map(|it| it["body"].as_str());
        let bells: Vec<Value> = bodies
            .filter_map(|it| serde_json::from_str(it).ok())
            .collect();
        let named = |bell: &Value| {
            bell["tenant"]
                .as_str()
                .or(bell["tell"].as_str())
                .map(str::to_owned)
        };
        let is_bell = |bell: &&Value| named(bell).is_some() || bell["at_ms"].is_u64();
        let names = bells.iter().filter(is_bell).map(named);
        Self {
            tenants: names.collect(),
            run: bells.first().and_then(|bell| {
                let tenant = bell["tenant"].as_str()?;
                Some((tenant.to_owned(), bell["run"].as_u64()?))
            }),
            occurrence: bells.iter().find_map(Occurrence::of_message),
        }
    }

    /// Whether it may look at what is a tenant's.
    pub(crate) fn is_for(&self, tenant: &str) -> bool {
        self.tenants
            .as_ref()
            .is_none_or(|tenants| tenants.contains(tenant))
    }
}
