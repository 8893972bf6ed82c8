//! `docs/LOGGING.md` says of each event what the sources say: name, level, fields, both ways.

#![expect(
    clippy::unwrap_used,
    reason = "what helpers of tests cannot do fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

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
