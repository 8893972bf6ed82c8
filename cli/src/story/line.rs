//! Log lines, as they come out of CloudWatch in one way or another: bare, behind a time stamp, or
//! wrapped into the JSON of an export.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rollcall_core::ids::{RunRef, TenantId};
use serde_json::{Map, Value};

use super::BadLine;

/// How deep an export may wrap its lines. Those of AWS take four levels.
const WRAPS_MAX: u32 = 8;

/// More generations than a run ever begins, and as many pages as one has at most.
const GENERATIONS_MAX: u32 = 100;
const PAGES_MAX: u32 = 100_000;

/// The names under which exports keep a line.
const WRAPPED_AS: [&str; 3] = ["message", "@message", "value"];

/// One line about one run.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Where it stands in the file, from 1.
    pub(super) number: usize,
    pub(super) at: Timestamp,
    pub(super) event: String,
    pub(super) run: RunRef,
    fields: Map<String, Value>,
}

impl Line {
    fn bad(&self, field: &str, expected: &'static str) -> BadLine {
        BadLine {
            number: self.number,
            problem: format!("{}: {field} is not {expected}", self.event),
        }
    }

    pub(super) fn count(&self, field: &str) -> Result<u64, BadLine> {
        let value = self.fields.get(field).and_then(Value::as_u64);
        value.ok_or_else(|| self.bad(field, "a whole number"))
    }

    pub(super) fn count_if_any(&self, field: &str) -> Result<Option<u64>, BadLine> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.count(field).map(Some),
        }
    }

    pub(super) fn decimal(&self, field: &str) -> Result<f64, BadLine> {
        let value = self.fields.get(field).and_then(Value::as_f64);
        value.ok_or_else(|| self.bad(field, "a number"))
    }

    pub(super) fn small(&self, field: &str) -> Result<u32, BadLine> {
        let value = u32::try_from(self.count(field)?);
        value.map_err(|_| self.bad(field, "below 2^32"))
    }

    /// Generation and page: where a page stands.
    pub(super) fn place(&self) -> Result<(u32, u32), BadLine> {
        let (generation, page) = (self.small("generation")?, self.small("page")?);
        if generation > GENERATIONS_MAX {
            return Err(self.bad("generation", "one that a run can have"));
        }
        if page > PAGES_MAX {
            return Err(self.bad("page", "one that a run can have"));
        }
        Ok((generation, page))
    }

    pub(super) fn flag(&self, field: &str) -> Result<bool, BadLine> {
        let value = self.fields.get(field).and_then(Value::as_bool);
        value.ok_or_else(|| self.bad(field, "true or false"))
    }

    pub(super) fn flag_if_any(&self, field: &str) -> Result<Option<bool>, BadLine> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.flag(field).map(Some),
        }
    }

    pub(super) fn text(&self, field: &str) -> Result<String, BadLine> {
        let value = self.fields.get(field).and_then(Value::as_str);
        value
            .map(str::to_owned)
            .ok_or_else(|| self.bad(field, "a text"))
    }

    pub(super) fn text_if_any(&self, field: &str) -> Result<Option<String>, BadLine> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.text(field).map(Some),
        }
    }
}

/// What was found in a file.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The lines about runs, each once, by time.
    pub(super) lines: Vec<Line>,
    seen: BTreeSet<String>,
}

/// Finds the lines about runs. What is not of this system is passed over.
pub(crate) fn find(file: &[u8]) -> Result<Found, BadLine> {
    let mut found = Found::default();
    // An export in one piece, over several lines or in one.
    if let Ok(whole) = serde_json::from_slice::<Value>(file) {
        found.unwrap(&whole, 1, WRAPS_MAX)?;
    } else {
        for (at, line) in file.split(|byte| *byte == b'\n').enumerate() {
            // What is no UTF-8 is not of this system.
            if let Ok(line) = std::str::from_utf8(line) {
                found.read(line, at + 1, WRAPS_MAX)?;
            }
        }
    }
    // Of one millisecond, what comes first in a run's life comes first.
    found
        .lines
        .sort_by_key(|line| (line.at, rank(&line.event), line.number));
    Ok(found)
}

/// Where an event stands in the life of what it is about.
fn rank(event: &str) -> u8 {
    match event {
        "run_started" => 0,
        "run_leased" | "revert_leased" => 1,
        "generation_restarted" => 2,
        "page_committed" => 3,
        "batch_leased" => 4,
        "run_proven" | "plan_made" => 6,
        "hold_approved" | "plan_released" | "applying_begun" => 7,
        "run_held" | "run_failed" | "run_completed" => 9,
        "hold_rejected" | "hold_superseded" | "hold_lapsed" | "revert_ended" => 10,
        _ => 5,
    }
}

impl Found {
    /// A line of text: an object, or one behind a time stamp or a stream's name.
    fn read(&mut self, text: &str, number: usize, wraps: u32) -> Result<(), BadLine> {
        let Some(begin) = text.find('{') else {
            return Ok(());
        };
        let object = text[begin..].trim_end();
        match serde_json::from_str::<Value>(object) {
            Ok(value) => self.unwrap(&value, number, wraps),
            Err(problem) if object.contains("\"event\":\"") && text.trim_start() == object => {
                let at = problem.column();
                Err(BadLine {
                    number,
                    problem: format!("the JSON is broken at character {at}: is the line cut off?"),
                })
            }
            Err(_) => Ok(()),
        }
    }

    fn unwrap(&mut self, value: &Value, number: usize, wraps: u32) -> Result<(), BadLine> {
        let Some(deeper) = wraps.checked_sub(1) else {
            return Ok(());
        };
        match value {
            Value::Array(values) => values
                .iter()
                .try_for_each(|value| self.unwrap(value, number, deeper)),
            Value::Object(fields) if fields.get("event").is_some_and(Value::is_string) => {
                self.take(fields, number)
            }
            Value::Object(fields) => fields.iter().try_for_each(|(name, value)| match value {
                Value::String(text) if WRAPPED_AS.contains(&name.as_str()) => {
                    self.read(text, number, deeper)
                }
                Value::Object(_) | Value::Array(_) => self.unwrap(value, number, deeper),
                _ => Ok(()),
            }),
            _ => Ok(()),
        }
    }

    /// One line, unless it is about no run, or was there before.
    fn take(&mut self, fields: &Map<String, Value>, number: usize) -> Result<(), BadLine> {
        let of = |field: &str| fields.get(field);
        let (Some(tenant), Some(run)) = (of("tenant"), of("run")) else {
            return Ok(());
        };
        let bad = |problem: String| BadLine { number, problem };
        let tenant = tenant.as_str().map(TenantId::new);
        let Some(Ok(tenant)) = tenant else {
            return Err(bad("tenant is not a tenant's id".into()));
        };
        let run = run.as_u64().filter(|run| *run > 0);
        let run = run.ok_or_else(|| bad("run is not a run's number".into()))?;
        let at = of("timestamp").and_then(Value::as_str);
        let at = at.and_then(|text| text.parse::<Timestamp>().ok());
        let at = at.ok_or_else(|| bad("timestamp is not a time in RFC 3339".into()))?;
        let event = of("event").and_then(Value::as_str).unwrap_or_default();
        // Keys are sorted in a map, so equal lines are equal texts.
        let whole = serde_json::to_string(fields).unwrap_or_default();
        if self.seen.insert(whole) {
            self.lines.push(Line {
                number,
                at,
                event: event.to_owned(),
                run: RunRef { tenant, run },
                fields: fields.clone(),
            });
        }
        Ok(())
    }
}
