//! Times as they are shown.

use jiff::Timestamp;
use serde::Serializer;

/// RFC 3339 in UTC, such as `2026-01-31T09:30:00.250Z`: always three digits, so that times sort as
/// text. A number that is no time is shown as the
/// number that it is.
pub(crate) fn rfc3339(ms: u64) -> String {
    timestamp(ms).map_or_else(|| ms.to_string(), |at| format!("{at:.3}"))
}

/// To the second, for tables.
pub(crate) fn short(ms: u64) -> String {
    timestamp(ms).map_or_else(
        || ms.to_string(),
        |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
    )
}

/// The time of day, to the millisecond.
pub(crate) fn clock(ms: u64) -> String {
    timestamp(ms).map_or_else(
        || ms.to_string(),
        |at| at.strftime("%H:%M:%S%.3fZ").to_string(),
    )
}

/// How long something took, for people.
pub(crate) fn took(from_ms: u64, to_ms: u64) -> String {
    let ms = to_ms.saturating_sub(from_ms);
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{seconds}.{} s", ms % 1_000 / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

fn timestamp(ms: u64) -> Option<Timestamp> {
    let ms = i64::try_from(ms).ok()?;
    Timestamp::from_millisecond(ms).ok()
}

/// For `#[serde(serialize_with)]`.
pub(crate) fn as_rfc3339<S: Serializer>(ms: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*ms))
}

/// For `#[serde(serialize_with)]`; null where there is none.
pub(crate) fn as_rfc3339_or_null<S: Serializer>(
    ms: &Option<u64>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match ms {
        Some(ms) => as_rfc3339(ms, to),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rfc3339_in_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_700_000_000_250), "2023-11-14T22:13:20.250Z");
        assert_eq!(rfc3339(u64::MAX), u64::MAX.to_string());
        assert_eq!(clock(1_700_000_000_250), "22:13:20.250Z");
        assert_eq!(short(1_700_000_000_250), "2023-11-14 22:13:20Z");
    }

    #[test]
    fn a_duration_is_shown_in_the_units_that_fit() {
        assert_eq!(took(1_000, 1_340), "0.3 s");
        assert_eq!(took(0, 61_000), "1 min 1 s");
        assert_eq!(took(0, 7_500_000), "2 h 5 min");
        assert_eq!(took(5, 1), "0.0 s");
    }
}
