//! Times as Microsoft's services write them.

use jiff::Timestamp;

/// `Mon, 23 Nov 2026 20:15:02 GMT`: the `Date` header.
pub(crate) fn http_date(ms: u64) -> String {
    written(ms, "%a, %d %b %Y %H:%M:%S GMT")
}

/// `2026-11-23T20:15:02Z`: a property of a directory object.
pub(crate) fn iso(ms: u64) -> String {
    written(ms, "%Y-%m-%dT%H:%M:%SZ")
}

/// `2026-11-23T20:15:02`: the date in Graph's `innerError`.
pub(crate) fn inner_error(ms: u64) -> String {
    written(ms, "%Y-%m-%dT%H:%M:%S")
}

/// `2026-11-23 20:15:02Z`: in the errors of the token endpoint.
pub(crate) fn login(ms: u64) -> String {
    written(ms, "%Y-%m-%d %H:%M:%SZ")
}

fn written(ms: u64, format: &str) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms)
        .unwrap_or(Timestamp::MAX)
        .strftime(format)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_795_464_902_000;

    #[test]
    fn each_form_is_the_one_that_microsoft_writes() {
        assert_eq!(http_date(MS), "Mon, 23 Nov 2026 20:15:02 GMT");
        assert_eq!(iso(MS), "2026-11-23T20:15:02Z");
        assert_eq!(inner_error(MS), "2026-11-23T20:15:02");
        assert_eq!(login(MS), "2026-11-23 20:15:02Z");
    }
}
