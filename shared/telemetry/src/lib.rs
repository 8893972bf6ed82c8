//! Where log events go: to stderr for a person, or as lines of JSON for CloudWatch, with metrics among
//! them.
//!
//! It promises that events of this system are shown from the chosen level on, and those of
//! libraries from "warn" on at most: below that, an HTTP library may write out headers and bodies,
//! and with them names, addresses and tokens. It never decides what is logged, and on the command
//! line it never writes to stdout.

mod metrics;
mod sources;

use std::fs::File;
use std::io;
use std::sync::Mutex;

use jiff::Timestamp;
use rollcall_ambient::Ambient;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

pub use crate::metrics::metrics;
pub use crate::sources::{By, Counts, FAIL_REASONS, OTHER, SOURCES, Source, Unit};

/// Every crate of this system has a name that begins so, and with it every target of its events.
const OWN_TARGETS: &str = "rollcall";

/// The variable that Lambda sets from a function's logging configuration.
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>
const LAMBDA_LEVEL_VARIABLE: &str = "AWS_LAMBDA_LOG_LEVEL";

/// Logs to stderr: errors alone at -1, warnings too at 0, then "info", then "debug". To `file`, if
/// there is one, it logs as [`init_lambda`] does to stdout, from "info" on at least.
///
/// Called a second time in a process, it changes nothing.
pub fn init_cli(ambient: &Ambient, verbosity: i8, file: Option<File>) {
    let level = match verbosity {
        ..=-1 => LevelFilter::ERROR,
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2.. => LevelFilter::DEBUG,
    };
    // The embedded services warn of every refused condition, which is everyday business.
    let of_libraries = if level >= LevelFilter::DEBUG {
        LevelFilter::WARN
    } else {
        LevelFilter::ERROR
    };
    let layer = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(level >= LevelFilter::DEBUG)
        .with_filter(filter(level, of_libraries));
    let level = level.max(LevelFilter::INFO);
    let file = file.map(|file| json_layer(ambient, Mutex::new(file), level, of_libraries));
    tell_panics();
    // A second call finds a subscriber in place, which is as good.
    let _ = Registry::default().with(file).with(layer).try_init();
}

/// Logs to stdout as Lambda collects it: a JSON object a line, with the time and the event's fields
/// beside each other, from the level of `AWS_LAMBDA_LOG_LEVEL` on ("info" if it is not set). The metrics
/// of those that are logged stand among them, under this namespace.
///
/// Called a second time in a process, it changes nothing.
pub fn init_lambda(ambient: &Ambient, namespace: &str) {
    let name = std::env::var(LAMBDA_LEVEL_VARIABLE).unwrap_or_default();
    let level = lambda_level(&name);
    tell_panics();
    let of_libraries = level.min(LevelFilter::WARN);
    let metrics = metrics(ambient, namespace, io::stdout)
        .map(|layer| layer.with_filter(filter(level, of_libraries)));
    let _ = Registry::default()
        .with(json_layer(ambient, io::stdout, level, of_libraries))
        .with(metrics)
        .try_init();
}

/// A panic becomes a line like any other, with its place. What it says is told only if it is a text
/// of the source: one that was put together may hold anybody's data.
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let said = panic.payload().downcast_ref::<&'static str>().copied();
        tracing::error!(event = "panicked", place, said);
    }));
}

/// The time of a line.
struct AmbientTime(Ambient);

impl FormatTime for AmbientTime {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        to.write_str(&timestamp(&self.0))
    }
}

/// What time it is, as every line has it.
fn timestamp(ambient: &Ambient) -> String {
    let now_ms = ambient.now_ms();
    match i64::try_from(now_ms).map(Timestamp::from_millisecond) {
        Ok(Ok(now)) => format!("{now:.3}"),
        _ => now_ms.to_string(),
    }
}

fn json_layer<W>(
    ambient: &Ambient,
    writer: W,
    level: LevelFilter,
    of_libraries: LevelFilter,
) -> impl Layer<Registry> + use<W>
where
    W: for<'w> fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_timer(AmbientTime(ambient.clone()))
        .with_writer(writer)
        .with_filter(filter(level, of_libraries))
}

fn filter(level: LevelFilter, of_libraries: LevelFilter) -> Targets {
    Targets::new()
        .with_default(of_libraries)
        .with_target(OWN_TARGETS, level)
}

fn lambda_level(name: &str) -> LevelFilter {
    match name.to_ascii_uppercase().as_str() {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "WARN" => LevelFilter::WARN,
        "ERROR" | "FATAL" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

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

    fn logged(level: LevelFilter, log: impl FnOnce()) -> Vec<String> {
        let sink = Sink::default();
        let writer = sink.clone();
        let of_libraries = level.min(LevelFilter::WARN);
        let ambient = Ambient::system();
        let layer = json_layer(&ambient, move || writer.clone(), level, of_libraries);
        tracing::subscriber::with_default(Registry::default().with(layer), log);
        let bytes = sink.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_lambda_line_has_the_time_and_the_fields_on_the_top_level() {
        let lines = logged(LevelFilter::INFO, || {
            tracing::info!(target: "rollcall_sync", tenant = "contoso", run = 3, "sealed");
        });
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        for part in [
            r#""timestamp":""#,
            r#""level":"INFO""#,
            r#""message":"sealed""#,
            r#""tenant":"contoso""#,
            r#""run":3"#,
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert!(!line.contains(r#""fields""#), "{line}");
    }

    #[test]
    fn a_library_is_not_heard_below_warn_however_much_is_asked_for() {
        let lines = logged(LevelFilter::TRACE, || {
            tracing::debug!(target: "hyper", "headers");
            tracing::info!(target: "aws_smithy_runtime", "body");
            tracing::warn!(target: "hyper", "trouble");
            tracing::trace!(target: "rollcall_store", "ours");
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
    }

    #[test]
    fn a_level_above_warn_holds_for_libraries_too() {
        let lines = logged(LevelFilter::ERROR, || {
            tracing::warn!(target: "hyper", "trouble");
            tracing::warn!(target: "rollcall_store", "trouble");
            tracing::error!(target: "rollcall_store", "failure");
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
    }

    #[tokio::test]
    async fn a_line_has_the_ambients_time() {
        let writer = Sink::default();
        let sink = writer.clone();
        let ambient = Ambient::simulated(1_700_000_000_250, 1);
        let level = LevelFilter::INFO;
        let layer = json_layer(&ambient, move || writer.clone(), level, level);
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            tracing::info!(target: "rollcall_sync", "sealed");
        });
        let line = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert!(
            line.contains(r#""timestamp":"2023-11-14T22:13:20.25"#),
            "{line}"
        );
    }

    #[test]
    fn a_panic_is_told_by_its_place_and_without_what_was_put_together() {
        let name = "Adele Vance";
        let lines = logged(LevelFilter::ERROR, || {
            let before = std::panic::take_hook();
            tell_panics();
            let _ = std::panic::catch_unwind(|| panic!("{name} has no id"));
            let _ = std::panic::catch_unwind(|| panic!("a page without a number"));
            std::panic::set_hook(before);
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        for line in &lines {
            assert!(line.contains(r#""event":"panicked""#), "{line}");
            assert!(line.contains("telemetry/src/lib.rs:"), "{line}");
            assert!(!line.contains("Adele"), "{line}");
        }
        assert!(lines[1].contains("a page without a number"), "{lines:?}");
    }

    #[test]
    fn lambdas_names_of_levels_are_understood() {
        assert_eq!(lambda_level("DEBUG"), LevelFilter::DEBUG);
        assert_eq!(lambda_level("fatal"), LevelFilter::ERROR);
        assert_eq!(lambda_level(""), LevelFilter::INFO);
    }
}
