//! Commands of the pages that these tests do not run: why, and what is looked at all the same.

use std::path::{Path, PathBuf};

use regex_lite::Regex;

use super::page::Typed;

/// A command, or how it begins if that ends with a space, `=` or `/`; and why it is not run here. What it
/// names in the repository has to be there.
/// The options of `aws` are held against the descriptions of its services by `infra/test_commands.py`.
const NOT_RUN: [(&str, &str); 23] = [
    ("cargo run", "the demo; demo.rs runs it"),
    (
        "cargo run -p rollcall-graph-emulator --example emulate ",
        "runs until its input ends; .ci/run has it",
    ),
    (
        "cargo run -p rollcall-model --example explore",
        "takes minutes; tests/model runs parts of it",
    ),
    (
        "cargo run --release -p simulation ",
        "takes minutes; .ci/run runs it on fixed seeds",
    ),
    (
        "cargo run --release -p rollcall-end-to-end --example capacity ",
        "takes minutes",
    ),
    (
        "tests/bench/run",
        "takes an hour, and fetches from npm and PyPI",
    ),
    ("cargo test", "it would run itself"),
    (
        "cargo test -p rollcall-end-to-end ",
        "it is one of the tests beside this one",
    ),
    (
        "cargo install --path ",
        "installs into the account of whoever runs the tests",
    ),
    ("export ROLLCALL_STACK=", "there is no stack of AWS here"),
    ("export AWS_REGION=", "there is no AWS here"),
    (
        "rollcall serve",
        "runs until it is stopped; serve.rs runs it",
    ),
    (
        "openssl req ",
        "the program may not be there; tenants.rs makes its own certificates",
    ),
    ("python3 -m venv ", "fetches from PyPI; .ci/run does it"),
    (
        "~/rollcall-tools/bin/pip ",
        "fetches from PyPI; .ci/run does it",
    ),
    (
        "~/rollcall-tools/bin/cfn-lint ",
        "checks the template; .ci/run does it",
    ),
    (
        "~/rollcall-tools/bin/python infra/",
        "checks the template; .ci/run does it",
    ),
    (
        "~/rollcall-tools/bin/sam ",
        "checks the template; infra/deployed/run deploys it",
    ),
    (
        "infra/deployed/run",
        "deploys to an emulator of AWS, whose parts come from PyPI; .ci/run does it",
    ),
    (
        "infra/deployed/run ",
        "builds by `sam build` as well, or takes minutes",
    ),
    (
        "sam ",
        "infra/deployed/run builds and deploys; there is no AWS here",
    ),
    ("aws ", "there is no AWS here"),
    ("git ", "whoever runs the tests has his own checkout"),
];

/// The entry of a command: the one with the longest beginning.
pub(super) fn entry(command: &str) -> Option<&'static str> {
    let starts = NOT_RUN.iter().map(|(start, _)| *start);
    let is_of = |start: &&str| {
        let is_open = start.ends_with([' ', '=', '/']);
        command == *start || is_open && command.starts_with(start)
    };
    starts.filter(is_of).max_by_key(|start| start.len())
}

/// The entries that no page needs.
pub(super) fn without(used: &[&str]) -> Vec<&'static str> {
    let starts = NOT_RUN.iter().map(|(start, _)| *start);
    starts.filter(|start| !used.contains(start)).collect()
}

/// What is wrong with the words of a command that is not run.
pub(super) fn problems(root: &Path, typed: &Typed) -> Vec<String> {
    let words: Vec<_> = typed.command.split_whitespace().collect();
    let mut problems = Vec::new();
    for pair in words.windows(2) {
        let is_there = match pair[0] {
            "-p" | "--package" => is_package(root, pair[1]),
            "--example" => is_program(root, "examples", pair[1]),
            "--test" => is_program(root, "tests", pair[1]),
            "--path" => root.join(pair[1]).join("Cargo.toml").is_file(),
            _ => true,
        };
        if !is_there {
            problems.push(format!("there is no {} {}", pair[0], pair[1]));
        }
    }
    let is_of_repository = |word: &&&str| {
        let first = word.split('/').next().unwrap_or_default();
        word.contains('/') && root.join(first).is_dir() && !first.is_empty()
    };
    for word in words.iter().filter(is_of_repository) {
        if !root.join(word).exists() {
            problems.push(format!("there is no {word}"));
        }
    }
    if words[0].ends_with("sam") {
        let template = std::fs::read_to_string(root.join("template.yaml")).unwrap();
        let set = words.iter().filter_map(|word| word.split_once('='));
        for (name, _) in set {
            let has = Regex::new(&format!("(?m)^  {name}:\n    Type: (String|Number)")).unwrap();
            if !has.is_match(&template) {
                problems.push(format!("the template has no parameter {name}"));
            }
        }
    }
    problems
}

/// The folders that have a `Cargo.toml`.
fn packages(root: &Path) -> Vec<PathBuf> {
    let workspace = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let workspace: toml::Table = workspace.parse().unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap().iter();
    members.map(|it| root.join(it.as_str().unwrap())).collect()
}

fn is_package(root: &Path, name: &str) -> bool {
    packages(root).iter().any(|folder| {
        let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        text.contains(&format!("name = \"{name}\""))
    })
}

fn is_program(root: &Path, kind: &str, name: &str) -> bool {
    packages(root).iter().any(|folder| {
        let place = folder.join(kind).join(name);
        place.with_extension("rs").is_file() || place.join("main.rs").is_file()
    })
}
