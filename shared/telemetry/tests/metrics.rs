//! The lines of metrics are what CloudWatch takes, and say what the events said.
//!
//! One test alone: the process has one collector, and one layer that writes its lines.

#![expect(
    clippy::unwrap_used,
    reason = "what helpers of tests cannot do fails the test"
)]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use rollcall_ambient::Ambient;
use rollcall_telemetry::metrics;
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

/// What CloudWatch's specification allows.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
const UNITS: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];
const NAME_CHARS_MAX: usize = 1024;
const DIMENSION_NAME_CHARS_MAX: usize = 250;
const DIMENSIONS_MAX: usize = 30;
const METRICS_MAX: usize = 100;
const VALUES_MAX: usize = 100;

const NAMESPACE: &str = "Rollcall/night";

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn take(&self) -> Vec<Value> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        text.lines()
            .map(|it| serde_json::from_str(it).unwrap())
            .collect()
    }
}

fn is_text(value: &Value, chars_max: usize) -> bool {
    let length = value.as_str().map(|it| it.chars().count());
    length.is_some_and(|it| (1..=chars_max).contains(&it))
}

/// Holds a line against the specification.
#[track_caller]
fn is_of_the_format(line: &Value) {
    let aws = &line["_aws"];
    assert!(aws["Timestamp"].is_u64(), "{line}");
    for directive in aws["CloudWatchMetrics"].as_array().unwrap() {
        assert!(is_text(&directive["Namespace"], NAME_CHARS_MAX), "{line}");
        let sets = directive["Dimensions"].as_array().unwrap();
        assert!(!sets.is_empty(), "{line}");
        for set in sets {
            let set = set.as_array().unwrap();
            assert!(set.len() <= DIMENSIONS_MAX, "{line}");
            for name in set {
                assert!(is_text(name, DIMENSION_NAME_CHARS_MAX), "{line}");
                // Its target is in the root, and is a text.
                assert!(
                    is_text(&line[name.as_str().unwrap()], NAME_CHARS_MAX),
                    "{name} in {line}"
                );
            }
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=METRICS_MAX).contains(&metrics.len()), "{line}");
        for metric in metrics {
            assert!(is_text(&metric["Name"], NAME_CHARS_MAX), "{line}");
            assert!(UNITS.contains(&metric["Unit"].as_str().unwrap()), "{line}");
            let values = &line[metric["Name"].as_str().unwrap()];
            let values = values.as_array().unwrap();
            assert!((1..=VALUES_MAX).contains(&values.len()), "{line}");
            assert!(values.iter().all(Value::is_number), "{line}");
        }
    }
}

/// The values of a metric in these lines, with its unit and dimensions.
fn values(lines: &[Value], name: &str) -> Vec<Value> {
    let mut values = Vec::new();
    for line in lines {
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        let metrics = directive["Metrics"].as_array().unwrap();
        if let Some(metric) = metrics.iter().find(|it| it["Name"] == name) {
            let dimensions = directive["Dimensions"][0].as_array().unwrap();
            let of = |it: &Value| json!([it, line[it.as_str().unwrap()]]);
            let by: Vec<_> = dimensions.iter().map(of).collect();
            values.push(json!([
                line[name],
                metric["Unit"],
                by,
                line["tenant"],
                line["run"]
            ]));
        }
    }
    values
}

#[test]
fn what_is_logged_is_counted_in_lines_that_cloudwatch_takes() {
    let sink = Sink::default();
    let writer = sink.clone();
    let ambient = Ambient::system();
    let layer = metrics(&ambient, NAMESPACE, move || writer.clone()).unwrap();
    assert!(
        metrics::<Registry, _>(&ambient, NAMESPACE, io::stdout).is_none(),
        "two layers would write each value twice"
    );
    let _guard = tracing::subscriber::set_default(Registry::default().with(layer));
    let lines = |log: &dyn Fn()| {
        log();
        let lines = sink.take();
        for line in &lines {
            is_of_the_format(line);
            assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Namespace"], NAMESPACE);
            assert_eq!(line["level"], "INFO");
            assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
            assert_eq!(
                line.get("event"),
                None,
                "a query for the event would find it twice"
            );
        }
        lines
    };

    let completed = lines(&|| {
        tracing::info!(event = "run_completed", tenant = %"contoso", run = 12_u64, token = 2,
            mode = "delta", took_ms = 41_800_u64, users_seen = 1_985_u64, created = 3_u64,
            updated = 14_u64, reactivated = 1_u64, deactivated = 21_u64, disabled = 8_u64,
            deleted = 12_u64, not_found = 1_u64, out_of_scope = 0_u64, contradicted = 2_u64,
            unknown = 0_u64, awaiting_confirmation = 4_u64);
    });
    let one = |value: f64, unit: &str, by: Value| json!([[value], unit, by, "contoso", 12]);
    let by_mode = || json!([["mode", "delta"]]);
    let of = |reason: &str| json!([["reason", reason]]);
    assert_eq!(
        values(&completed, "UsersSeen"),
        [one(1_985.0, "Count", by_mode())]
    );
    assert_eq!(
        values(&completed, "RunTime"),
        [one(41_800.0, "Milliseconds", by_mode())]
    );
    assert_eq!(
        values(&completed, "RunsCompleted"),
        [one(1.0, "Count", by_mode())]
    );
    let mut off = values(&completed, "UsersDeactivated");
    off.sort_by_key(ToString::to_string);
    let mut expected = vec![
        one(21.0, "Count", json!([])),
        one(8.0, "Count", of("disabled")),
        one(12.0, "Count", of("deleted")),
        one(1.0, "Count", of("not_found")),
        one(0.0, "Count", of("out_of_scope")),
    ];
    expected.sort_by_key(ToString::to_string);
    assert_eq!(off, expected);
    assert_eq!(values(&completed, "UsersKept").len(), 3);

    // Nothing of the event before is told again, and what the event does not have is not told.
    let swept = lines(&|| {
        tracing::info!(
            event = "swept",
            tenants = 0_u64,
            since_completed_s = 0_u64,
            since_full_s = 70_300_u64
        );
    });
    assert_eq!(
        values(&swept, "SinceFullCompleted"),
        [json!([[70_300.0], "Seconds", [], null, null])]
    );
    assert_eq!(
        values(&swept, "SinceCompleted"),
        [json!([[0.0], "Seconds", [], null, null])]
    );
    assert_eq!(swept.len(), 1);

    // A tenant that rests has no run that could be told.
    let rests = lines(&|| {
        tracing::warn!(event = "tenant_rests", tenant = %"contoso", failed_in_a_row = 3_u64,
            until_ms = 1_u64);
    });
    assert_eq!(
        values(&rests, "StartsLeftOut"),
        [json!([[1.0], "Count", [], "contoso", null])]
    );

    // A reason that nobody knows makes no metric of its own.
    let failed = lines(&|| {
        tracing::warn!(event = "run_failed", tenant = %"contoso", run = 12_u64, token = 2,
            reason = %"the moon", detail = "Adele Vance was seen");
        tracing::warn!(event = "run_failed", tenant = %"contoso", run = 12_u64, token = 2,
            reason = %"deadline", detail = "Adele Vance was seen");
    });
    let failed_by = values(&failed, "FailedRuns");
    for by in [json!([]), of("other"), of("deadline")] {
        assert!(
            failed_by.contains(&one(1.0, "Count", by.clone())),
            "{by} in {failed_by:?}"
        );
    }
    assert_eq!(failed_by.len(), 4);
    let text = format!("{failed:?}");
    assert!(!text.contains("Adele") && !text.contains("moon"), "{text}");

    // What counts under a condition.
    let taken = |from: Option<u64>| {
        lines(&|| {
            tracing::info!(event = "batch_leased", tenant = %"contoso", run = 12_u64,
                from_token = from);
        })
    };
    assert_eq!(taken(None), Vec::<Value>::new());
    assert_eq!(values(&taken(Some(1)), "Takeovers").len(), 1);
    let lost = |fenced: bool| {
        lines(&|| {
            tracing::warn!(event = "batch_lease_lost", tenant = %"contoso", run = 12_u64, fenced);
        })
    };
    for fenced in [true, false] {
        let lost = lost(fenced);
        assert_eq!(values(&lost, "LeasesLost").len(), 1);
        assert_eq!(values(&lost, "FencedWrites").len(), usize::from(fenced));
    }
    let asked = |status: Option<u64>| {
        lines(&|| tracing::info!(event = "graph_asked_again", tenant = %"contoso", status))
    };
    assert_eq!(values(&asked(Some(429)), "GraphThrottled").len(), 1);
    assert_eq!(asked(Some(503)), Vec::<Value>::new());
    assert_eq!(asked(None), Vec::<Value>::new());
}
