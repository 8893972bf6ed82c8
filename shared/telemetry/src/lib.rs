//! Where log events go: to stderr for a person, or as lines of JSON for CloudWatch.
//!
//! It promises that events of this system are shown from the chosen level on, and those of
//! libraries from "warn" on at most: below that, an HTTP library may write out headers and bodies,
//! and with them names, addresses and tokens. It never decides what is logged, and on the command
//! line it never writes to stdout.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Every crate of this system has a name that begins so, and with it every target of its events.
const OWN_TARGETS: &str = "rollcall";

/// The variable that Lambda sets from a function's logging configuration.
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>
const LAMBDA_LEVEL_VARIABLE: &str = "AWS_LAMBDA_LOG_LEVEL";

/// Logs to stderr: errors alone at -1, warnings too at 0, then "info", then "debug".
///
/// Called a second time in a process, it changes nothing.
pub fn init_cli(verbosity: i8) {
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
    // A second call finds a subscriber in place, which is as good.
    let _ = Registry::default().with(layer).try_init();
}

/// Logs to stdout as Lambda collects it: a JSON object a line, with the time and the event's fields
/// beside each other, from the level of `AWS_LAMBDA_LOG_LEVEL` on ("info" if it is not set).
///
/// Called a second time in a process, it changes nothing.
pub fn init_lambda() {
    let name = std::env::var(LAMBDA_LEVEL_VARIABLE).unwrap_or_default();
    let _ = Registry::default()
        .with(json_layer(io::stdout, lambda_level(&name)))
        .try_init();
}

fn json_layer<W>(writer: W, level: LevelFilter) -> impl Layer<Registry>
where
    W: for<'w> fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_writer(writer)
        .with_filter(filter(level, level.min(LevelFilter::WARN)))
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
        let layer = json_layer(move || writer.clone(), level);
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

    #[test]
    fn lambdas_names_of_levels_are_understood() {
        assert_eq!(lambda_level("DEBUG"), LevelFilter::DEBUG);
        assert_eq!(lambda_level("fatal"), LevelFilter::ERROR);
        assert_eq!(lambda_level(""), LevelFilter::INFO);
    }
}
