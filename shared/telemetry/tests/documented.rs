//! `docs/LOGGING.md` says of each event what the sources say: name, level, fields, both ways.

#![expect(
    clippy::unwrap_used,
    reason = "what helpers of tests cannot do fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rollcall_telemetry::{By, Counts, FAIL_REASONS, OTHER, SOURCES};

/// An event's levels, and its fields.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shape {
    levels: BTreeSet<String>,
    fields: BTreeSet<String>,
}

type Events = BTreeMap<String, Shape>;

const MACROS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|it| it == "rs") {
            into.push(path);
        }
    }
}

/// The arguments of a macro call, from behind its opening parenthesis to the closing one.
fn arguments(text: &str) -> Vec<String> {
    let (mut depth, mut in_text, mut escaped) = (0_u32, false, false);
    let mut all = vec![String::new()];
    for c in text.chars() {
        if in_text {
            in_text = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else {
            match c {
                '"' => in_text = true,
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' if depth == 0 => break,
                ')' | ']' | '}' => depth -= 1,
                ',' if depth == 0 => {
                    all.push(String::new());
                    continue;
                }
                _ => {}
            }
        }
        all.last_mut().unwrap().push(c);
    }
    all.iter()
        .map(|it| it.trim().to_owned())
        .filter(|it| !it.is_empty())
        .collect()
}

fn field(argument: &str) -> String {
    let name = argument.trim_start_matches(['%', '?']);
    let end = name.find(|c: char| !c.is_ascii_lowercase() && c != '_');
    name[..end.unwrap_or(name.len())].to_owned()
}

fn in_source(text: &str, events: &mut Events) {
    for level in MACROS {
        let call = format!("{level}!(");
        for (at, _) in text.match_indices(&call) {
            if text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
                continue;
            }
            let arguments = arguments(&text[at + call.len()..]);
            let event = arguments
                .iter()
                .find_map(|it| it.strip_prefix("event = \"")?.strip_suffix('"'));
            let Some(event) = event else {
                continue;
            };
            let shape = events.entry(event.to_owned()).or_default();
            shape.levels.insert(level.to_uppercase());
            let fields = arguments.iter().map(|it| field(it));
            shape.fields.extend(fields.filter(|it| it != "event"));
        }
    }
}

fn of_sources() -> Events {
    let mut files = Vec::new();
    for folder in ["shared", "cli", "functions"] {
        sources(&root().join(folder), &mut files);
    }
    let mut events = Events::new();
    for file in files.iter().filter(|it| !it.iter().any(|it| it == "tests")) {
        in_source(&fs::read_to_string(file).unwrap(), &mut events);
    }
    events
}

/// A heading of the third level is an event; each row of its table begins with a field.
fn of_document(text: &str) -> Events {
    let mut events = Events::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("### `") {
            let (name, level) = heading.split_once("` (").unwrap();
            let shape: &mut Shape = events.entry(name.to_owned()).or_default();
            let is_new = shape.levels.insert(level.trim_end_matches(')').to_owned());
            assert!(is_new, "{name} is there twice");
            current = Some(name.to_owned());
        } else if let (Some(row), Some(name)) = (line.strip_prefix("| `"), &current) {
            let cells: Vec<_> = row.split(" | ").collect();
            assert_eq!(cells.len(), 3, "{name}: field, unit and example: {line}");
            let field = cells[0].trim_end_matches('`').to_owned();
            events.get_mut(name).unwrap().fields.insert(field);
        }
    }
    events
}

#[test]
fn every_event_is_documented_as_it_is_and_no_other() {
    let (sources, document) = (
        of_sources(),
        of_document(&fs::read_to_string(root().join("docs/LOGGING.md")).unwrap()),
    );
    assert!(sources.len() > 40, "{}", sources.len());
    let names = |events: &Events| events.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&sources), names(&document), "left: the sources");
    for (name, shape) in &sources {
        assert_eq!(shape, &document[name], "{name}; left: the sources");
    }
}

/// What the sources have in a row of the table of metrics: name, unit, dimension, and each event and
/// field that it comes from.
fn metric_rows() -> BTreeMap<String, [BTreeSet<String>; 3]> {
    let mut rows = BTreeMap::<_, [BTreeSet<String>; 3]>::new();
    for source in SOURCES {
        let [units, dimensions, from] = rows.entry(source.metric.to_owned()).or_default();
        units.insert(format!("{:?}", source.unit));
        dimensions.insert(match source.by {
            By::Nothing => "none".to_owned(),
            By::Always(name, _) | By::Field(name, _) => name.to_owned(),
        });
        from.insert(source.event.to_owned());
        from.extend(match source.counts {
            Counts::One => None,
            Counts::Field(name) | Counts::If(name) | Counts::IfTrue(name) => Some(name.to_owned()),
            Counts::IfEqual(name, _) => Some(name.to_owned()),
        });
    }
    rows
}

fn words(cell: &str) -> BTreeSet<String> {
    let ticked = cell.split('`').skip(1).step_by(2);
    let mut words: BTreeSet<_> = ticked.map(str::to_owned).collect();
    if cell.starts_with("none") {
        words.insert("none".to_owned());
    }
    words
}

#[test]
fn every_metric_is_documented_as_it_is_and_no_other() {
    let document = fs::read_to_string(root().join("docs/LOGGING.md")).unwrap();
    let begin = document.find("| metric | unit |").unwrap();
    let documented: BTreeMap<_, _> = document[begin..]
        .lines()
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|row| {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
            let name = cells[0].trim_matches('`').to_owned();
            let unit = BTreeSet::from([cells[1].to_owned()]);
            (name, [unit, words(cells[2]), words(cells[3])])
        })
        .collect();
    assert_eq!(metric_rows(), documented, "left: the sources");
}

#[test]
fn every_metric_comes_from_fields_that_its_event_has() {
    let events = of_sources();
    for source in SOURCES {
        let event = &events[source.event];
        let counted = match source.counts {
            Counts::One => None,
            Counts::Field(name) | Counts::If(name) => Some(name),
            Counts::IfTrue(name) | Counts::IfEqual(name, _) => Some(name),
        };
        let by = match source.by {
            By::Field(name, _) => Some(name),
            _ => None,
        };
        for name in counted.into_iter().chain(by) {
            assert!(
                event.fields.contains(name),
                "{} has no {name}",
                source.event
            );
        }
    }
}

#[test]
fn there_are_as_many_metrics_as_is_told_however_many_tenants() {
    let mut metrics = BTreeSet::new();
    for source in SOURCES {
        match source.by {
            By::Nothing => _ = metrics.insert((source.metric, "", "")),
            By::Always(name, value) => _ = metrics.insert((source.metric, name, value)),
            By::Field(name, values) => {
                assert!(
                    !["tenant", "run", "id"].contains(&name),
                    "{name} has no bound"
                );
                let all = values.iter().chain([&OTHER]);
                metrics.extend(all.map(|value| (source.metric, name, *value)));
            }
        }
    }
    let told = format!("no\nmore than {} metrics", metrics.len());
    let document = fs::read_to_string(root().join("docs/LOGGING.md")).unwrap();
    assert!(document.contains(&told), "{told}");
}

#[test]
fn a_failed_run_is_counted_by_each_reason_there_is() {
    let source = fs::read_to_string(root().join("shared/core/src/run.rs")).unwrap();
    let begin = source.find("impl FailReason").unwrap();
    let names: Vec<_> = source[begin..]
        .lines()
        .take_while(|line| !line.starts_with('}'))
        .filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","))
        .collect();
    assert_eq!(names, FAIL_REASONS);
}

#[test]
fn an_event_that_is_new_gone_or_has_another_field_is_noticed() {
    let mut events = Events::new();
    let source = r#"
        tracing::warn!(event = "run_held", tenant = %run.tenant, guard = ?trip.guard,
            why = "a, \"b\" (c)", by = count.map(|it| it.0), %id);
        info!("no event, {}", 1);
    "#;
    in_source(source, &mut events);
    let documented = of_document(
        "### `run_held` (WARN)\n| field | unit | example |\n| `tenant` | id | `a` |\n\
         | `guard` | name | `b` |\n| `why` | text | `c` |\n| `by` | users | `1` |\n\
         | `id` | id | `d` |\n",
    );
    assert_eq!(events, documented);
    in_source(
        r#"info!(event = "run_held", tenant, extra = 1)"#,
        &mut events,
    );
    assert_ne!(events, documented);
}
