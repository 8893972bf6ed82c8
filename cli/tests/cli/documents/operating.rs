//! The operator's page has every alarm, reason, guard and saved query that there is, and no other.

use std::collections::BTreeSet;

use regex_lite::Regex;
use rollcall_core::guard::GuardKind;
use rollcall_core::run::FailReason;
use serde::de::DeserializeOwned;

use super::{not_understood, root};

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// What the headings of the third level under a heading of the second name, in backticks.
fn headed(page: &str, under: &str) -> BTreeSet<String> {
    let name = Regex::new("`([^`]+)`").unwrap();
    let mut is_under = false;
    let mut names = BTreeSet::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            is_under = heading == under;
        } else if is_under && line.starts_with("### ") {
            for found in name.captures_iter(line) {
                assert!(
                    names.insert(found[1].to_owned()),
                    "{} is there twice",
                    &found[1]
                );
            }
        }
    }
    names
}

/// The names that a type has, as its reader tells them of one that it does not know.
fn names<T: DeserializeOwned>() -> BTreeSet<String> {
    let Err(error) = serde_json::from_str::<T>("\"?\"") else {
        panic!("a name that is none was read");
    };
    let error = error.to_string();
    let (_, expected) = error.split_once("expected one of ").unwrap();
    let name = Regex::new("`([a-z_]+)`").unwrap();
    name.captures_iter(expected)
        .map(|it| it[1].to_owned())
        .collect()
}

/// The resources of the template of one type.
fn resources(kind: &str) -> BTreeSet<String> {
    let resource = Regex::new(r"(?m)^  ([A-Za-z]+):\n    Type: ([A-Za-z:]+)$").unwrap();
    let template = read("template.yaml");
    let all = resource.captures_iter(&template);
    all.filter(|it| &it[2] == kind)
        .map(|it| it[1].to_owned())
        .collect()
}

#[test]
fn the_operators_page_has_every_reason_of_a_failed_run_and_every_guard() {
    let page = read("docs/OPERATING.md");
    let reasons = names::<FailReason>();
    assert!(
        reasons.contains("empty_enumeration") && reasons.len() >= 10,
        "{reasons:?}"
    );
    assert_eq!(headed(&page, "A run FAILED"), reasons, "right: the sources");
    let guards = names::<GuardKind>();
    assert!(
        guards.contains("percent") && guards.len() >= 5,
        "{guards:?}"
    );
    assert_eq!(headed(&page, "A run is HELD"), guards, "right: the sources");
}

#[test]
fn the_operators_page_has_every_alarm_of_the_template() {
    let alarms = resources("AWS::CloudWatch::Alarm");
    assert!(alarms.len() >= 20, "{alarms:?}");
    let headed = headed(&read("docs/OPERATING.md"), "Alarms");
    assert_eq!(headed, alarms, "right: the template");
}

#[test]
fn the_operators_page_has_every_saved_query_of_the_template() {
    let query = Regex::new(r"(?m)^      Name: !Sub \$\{AWS::StackName\}/([a-z-]+)$").unwrap();
    let template = read("template.yaml");
    let saved: BTreeSet<_> = query
        .captures_iter(&template)
        .map(|it| it[1].to_owned())
        .collect();
    assert_eq!(saved.len(), resources("AWS::Logs::QueryDefinition").len());
    assert!(saved.len() >= 10, "{saved:?}");
    for (page, row) in [
        ("docs/OPERATING.md", "`rollcall/([a-z-]+)`"),
        ("infra/README.md", "(?m)^\\| `([a-z-]+)` \\|"),
    ] {
        let text = read(page);
        let (_, queries) = text
            .split_once("Saved queries")
            .or(text.split_once("Ten questions"))
            .unwrap();
        let named = Regex::new(row).unwrap();
        let told: BTreeSet<_> = named
            .captures_iter(queries)
            .map(|it| it[1].to_owned())
            .collect();
        assert_eq!(told, saved, "{page}; right: the template");
    }
}

/// An alarm says what to type; that it can be typed is seen here.
#[test]
fn the_commands_of_the_alarms_are_understood() {
    let template = read("template.yaml");
    let words = template.split_whitespace().collect::<Vec<_>>().join(" ");
    let call = Regex::new(r"rollcall --stack \$\{AWS::StackName\} ([a-z][^.:]*)").unwrap();
    let mut calls = 0;
    for found in call.captures_iter(&words) {
        let args = found[1]
            .replace("TENANT/RUN", "contoso/1")
            .replace("TENANT", "contoso");
        let args = args.split(" Namespace").next().unwrap_or_default();
        let problem = not_understood(&format!("--stack rollcall {args}"));
        assert_eq!(problem, None, "{args}");
        calls += 1;
    }
    assert!(calls >= 5, "{calls}");
}
