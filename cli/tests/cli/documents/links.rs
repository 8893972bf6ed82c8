//! What the pages point at is there: files, headings, tests.

use std::collections::BTreeSet;
use std::path::Path;

use regex_lite::Regex;

use super::{pages, root};
use crate::support::{binary, run_binary};

/// A name with so many underscores is that of a test.
const UNDERSCORES_MIN: usize = 4;

fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is = |extension| path.extension().is_some_and(|it| it == extension);
        if path.is_dir() {
            sources(&path, into);
        } else if is("rs") || is("py") {
            into.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The anchors of a page's headings, as they are made from their words.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let link = Regex::new(r"\]\(([^)#:]*)(?:#([^)]*))?\)").unwrap();
    let mut followed = 0;
    let mut all: Vec<_> = pages()
        .into_iter()
        .map(|page| (page.name, page.text))
        .collect();
    let architecture = "ARCHITECTURE.md";
    let text = std::fs::read_to_string(root().join(architecture)).unwrap();
    all.push((architecture.to_owned(), text));
    for (name, text) in &all {
        let folder = root().join(name).parent().unwrap().to_owned();
        for found in link.captures_iter(text) {
            let (file, heading) = (&found[1], found.get(2).map(|it| it.as_str()));
            let target = match file {
                "" => text.clone(),
                file => {
                    let path = folder.join(file);
                    assert!(path.exists(), "{name}: there is no {file}");
                    std::fs::read_to_string(path).unwrap_or_default()
                }
            };
            if let Some(heading) = heading {
                assert!(
                    anchors(&target).contains(heading),
                    "{name}: {file} has no heading {heading}"
                );
            }
            followed += 1;
        }
    }
    assert!(followed > 20, "{followed}");
}

#[test]
fn every_test_and_file_that_a_page_names_is_there() {
    let mut code = String::new();
    for folder in ["cli", "functions", "infra", "shared", "tests"] {
        sources(&root().join(folder), &mut code);
    }
    let named = Regex::new("`([a-z0-9_]+)`").unwrap();
    let file = Regex::new("`([a-z][a-z0-9_./-]*/[a-z0-9_.-]+\\.(?:rs|py|md|json|toml))`").unwrap();
    let (mut tests, mut files) = (0, 0);
    for page in pages() {
        for found in named.captures_iter(&page.text) {
            let name = &found[1];
            if name.matches('_').count() < UNDERSCORES_MIN {
                continue;
            }
            let is = |kind| code.contains(&format!("{kind} {name}("));
            assert!(
                is("fn") || is("def"),
                "{}: there is no test {name}",
                page.name
            );
            tests += 1;
        }
        if page.name == "infra/README.md" {
            continue; // Its paths are those beside it.
        }
        for found in file.captures_iter(&page.text) {
            assert!(
                root().join(&found[1]).is_file(),
                "{}: there is no {}",
                page.name,
                &found[1]
            );
            files += 1;
        }
    }
    assert!(tests > 30 && files > 20, "{tests} tests, {files} files");
}

/// What stands in a sentence is not run; that its words and options are those of a command is seen by its help.
#[test]
fn every_command_that_a_sentence_names_is_one() {
    let call = Regex::new("`rollcall ([^`…]+)`").unwrap();
    let mut named = BTreeSet::new();
    for page in pages() {
        for found in call.captures_iter(&page.text) {
            let args = found[1]
                .replace("T/N", "contoso/1")
                .replace(" T ", " contoso ");
            named.insert(args.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    for args in &named {
        let mut command = binary();
        let ended = run_binary(command.args(args.split(' ')).arg("--help"));
        assert_eq!(ended.code, 0, "rollcall {args}: {}", ended.stderr);
    }
    assert!(named.len() >= 10, "{named:?}");
}
