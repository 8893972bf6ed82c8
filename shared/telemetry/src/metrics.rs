//! Metrics, as lines of CloudWatch's embedded metric format among the log lines.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
//!
//! It promises that a metric says what the events said, and nothing else: whoever reads the lines and
//! whoever looks at the alarm see the same night. It writes no field of an event but its numbers, its
//! tenant and its run.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use metrics_cloudwatch_embedded::{Builder, Collector};
use rollcall_ambient::Ambient;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer};

use crate::sources::{By, Counts, OTHER, SOURCES, Source, Unit};
use crate::timestamp;

/// What says in every line whose it is, if the event does.
const PROPERTIES: [&str; 2] = ["tenant", "run"];

/// A layer that writes the metrics of each event to `writer`, under a namespace of CloudWatch.
///
/// `None`, when the process has one already.
pub fn metrics<S, W>(
    ambient: &Ambient,
    namespace: &str,
    writer: W,
) -> Option<impl Layer<S> + use<S, W>>
where
    S: Subscriber,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = Builder::new().cloudwatch_namespace(namespace.to_owned());
    let collector = builder.init().ok()?;
    for source in SOURCES {
        // Each value is told as it came. A counter would not tell of a zero, and a gauge again and again.
        metrics::describe_histogram!(source.metric, source.unit.of_facade(), "");
    }
    Some(Metrics {
        ambient: ambient.clone(),
        collector: Mutex::new(collector),
        writer,
    })
}

struct Metrics<W> {
    ambient: Ambient,
    /// One event at a time: what it says of itself stands beside its values.
    collector: Mutex<&'static Collector>,
    writer: W,
}

impl Unit {
    const fn of_facade(self) -> metrics::Unit {
        match self {
            Self::Count => metrics::Unit::Count,
            Self::Milliseconds => metrics::Unit::Milliseconds,
            Self::Seconds => metrics::Unit::Seconds,
        }
    }
}

impl<S, W> Layer<S> for Metrics<W>
where
    S: Subscriber,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut name = Name::default();
        event.record(&mut name);
        let Some(name) = name.0 else {
            return;
        };
        let sources: Vec<_> = SOURCES.iter().filter(|it| it.event == name).collect();
        if sources.is_empty() {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let counted: Vec<_> = sources
            .into_iter()
            .filter_map(|source| Some((source, fields.counted(source.counts)?)))
            .collect();
        if !counted.is_empty() {
            self.write(&counted, &fields);
        }
    }
}

impl<W: for<'w> MakeWriter<'w>> Metrics<W> {
    fn write(&self, counted: &[(&Source, f64)], fields: &Fields) {
        let mut lines = Vec::new();
        let collector = self
            .collector
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // As in every line: without a level, Lambda would choose one.
        collector.set_property("level", "INFO");
        collector.set_property("timestamp", timestamp(&self.ambient));
        for name in PROPERTIES {
            match fields.0.get(name) {
                Some(value) => collector.set_property(name, value.clone()),
                None => collector.remove_property(name),
            };
        }
        for (source, value) in counted {
            let labels = source.by.labels(fields);
            metrics::histogram!(source.metric, &labels).record(*value);
        }
        // To memory, it cannot fail.
        let written = collector.flush(&mut lines);
        drop(collector);
        // In one piece, so that no other line gets in between. As for a log line that cannot be
        // written, there is nobody to tell.
        let _ = written.and_then(|()| self.writer.make_writer().write_all(&lines));
    }
}

impl By {
    fn labels(self, fields: &Fields) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Always(name, value) => vec![(name, value)],
            Self::Field(name, values) => {
                let told = fields.0.get(name).and_then(Value::as_str);
                let known = values.iter().find(|it| told == Some(**it));
                vec![(name, known.copied().unwrap_or(OTHER))]
            }
        }
    }
}

/// The name of an event.
#[derive(Default)]
struct Name(Option<String>);

impl Visit for Name {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// What an event says.
#[derive(Default)]
struct Fields(BTreeMap<&'static str, Value>);

impl Fields {
    fn counted(&self, counts: Counts) -> Option<f64> {
        let number = |name| self.0.get(name).and_then(Value::as_f64);
        let is = |holds: bool| holds.then_some(1.0);
        match counts {
            Counts::One => Some(1.0),
            Counts::Field(name) => number(name),
            Counts::If(name) => is(self.0.contains_key(name)),
            Counts::IfTrue(name) => is(self.0.get(name).and_then(Value::as_bool) == Some(true)),
            Counts::IfEqual(name, value) => {
                is(self.0.get(name).and_then(Value::as_u64) == Some(value))
            }
        }
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}").into());
    }
}
