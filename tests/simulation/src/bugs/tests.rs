use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::catalogue::{Bug, load, planted};
use super::scratch::renamed;
use super::table::{between, seed_rows};
use super::trial::{Trial, Verdict, failure};

/// The fewest bugs that say anything about the checks.
const BUGS_MIN: usize = 30;

/// The invariants of the design.
const INVARIANTS: std::ops::RangeInclusive<u32> = 1..=10;

/// The rules of its fine print. Not 13: a dry run works on a copy that nobody else sees.
const FINE_PRINT: [u32; 13] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14];

fn bug(name: &str, find: &str, replace: &str) -> Bug {
    Bug {
        name: name.into(),
        breaks: "invariant 1".into(),
        story: "A story.".into(),
        was_real: false,
        file: "a.rs".into(),
        find: find.into(),
        replace: replace.into(),
        also: Vec::new(),
    }
}

#[test]
fn every_bug_fits_the_sources_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let bugs = load().unwrap();
    let files: BTreeSet<_> = bugs.iter().flat_map(Bug::files).collect();
    let problems: Vec<_> = files
        .into_iter()
        .filter_map(|file| {
            let Ok(source) = fs::read_to_string(root.join(file)) else {
                return Some(format!("there is no {file}"));
            };
            planted(&bugs, file, &source).err().map(|it| it.to_string())
        })
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_invariant_and_every_rule_of_the_fine_print_has_a_bug() {
    let bugs = load().unwrap();
    assert!(bugs.len() >= BUGS_MIN, "{} bugs", bugs.len());
    let broken: BTreeSet<_> = bugs.iter().map(|bug| bug.breaks.clone()).collect();
    let wanted = INVARIANTS
        .map(|number| format!("invariant {number}"))
        .chain(FINE_PRINT.map(|number| format!("fine print {number}")));
    for rule in wanted {
        assert!(broken.contains(&rule), "no bug breaks {rule}");
    }
}

#[test]
fn a_bug_is_planted_where_its_text_is_and_nowhere_else() {
    let bugs = [
        bug("first", "one", "{ if seeded!() { 0 } else { one } }"),
        bug("second", " + two", " + seeded!()"),
    ];
    let text = planted(&bugs, "a.rs", "let it = one + two;").unwrap();
    assert!(text.starts_with("let it = { if bool::clone("), "{text}");
    assert!(
        text.contains("\"first\"") && text.contains("\"second\""),
        "{text}"
    );
    assert_eq!(planted(&bugs, "b.rs", "one").unwrap(), "one");
}

#[test]
fn a_bug_that_does_not_fit_is_named_with_its_file() {
    let source = "one one two";
    for (bugs, told) in [
        (
            vec![bug("gone", "three", "seeded!()")],
            "not in a.rs any more",
        ),
        (vec![bug("vague", "one", "seeded!()")], "2 times in a.rs"),
        (
            vec![
                bug("left", "one two", "seeded!()"),
                bug("right", "two", "seeded!()"),
            ],
            "bugs left and right overlap in a.rs",
        ),
    ] {
        let error = planted(&bugs, "a.rs", source).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
        assert!(error.contains(&bugs[0].name), "{error}");
    }
}

#[test]
fn the_copy_is_another_package_with_the_same_library() {
    let manifest = include_str!("../../Cargo.toml");
    let renamed = renamed(manifest).unwrap();
    assert!(renamed.contains("[package]\nname = \"simulation-seeded\""));
    assert!(renamed.contains("[lib]\nname = \"simulation\""));
}

#[test]
fn the_first_failure_is_read_with_what_saw_it() {
    let read = |line: &str| match failure(&format!("seed 3 passed\n{line}\nseed 18 failed: x: y")) {
        Some(Verdict::Failed { seed, by, detail }) => (seed, by, detail),
        other => panic!("{other:?}"),
    };
    let told = |by: &str, detail: &str| (17, by.to_owned(), detail.to_owned());
    assert_eq!(
        read("seed 17 failed: invariant 3: absence is not evidence: user a: was there"),
        told("invariant 3: absence is not evidence", "user a: was there")
    );
    assert_eq!(
        read("seed 17 failed: no panic: see above"),
        told("no panic", "see above")
    );
    assert_eq!(failure("3 seeds passed\n"), None);
}

#[test]
fn the_table_stands_between_its_marks() {
    let marks = |inside: &str| {
        let empty = between("# A\n", "").unwrap_err().to_string();
        let lines: Vec<_> = empty.lines().skip(1).collect();
        format!("# A\n{}\n{inside}{}\nafter\n", lines[0], lines[1])
    };
    let once = between(&marks("old\n"), "new\n").unwrap();
    assert_eq!(once, marks("\nnew\n\n"));
    assert_eq!(between(&once, "new\n").unwrap(), once);
}

#[test]
fn the_seeds_are_read_back_from_the_table() {
    let table = "| seeded bug | breaks | seen by | seeds | what it does |\n|---|---|---|---:|---|\n\
                 | `one` | invariant 1 | oracle: nobody | 17 | † A story. |\n\
                 | `other` | invariant 2 | **nothing** | - | A story. |\n";
    let seeds: Vec<_> = seed_rows(table).into_iter().collect();
    assert_eq!(seeds, [("one".to_owned(), 17)]);
}

#[test]
fn a_seed_that_fails_with_every_bug_asleep_shows_no_bug() {
    let failed = |by: &str| Verdict::Failed {
        seed: 7,
        by: by.into(),
        detail: "somebody is off".into(),
    };
    let trial = |asleep| Trial {
        bug: bug("slip", "", ""),
        verdict: failed("invariant 1"),
        asleep,
    };
    assert_eq!(trial(Verdict::Passed).seeds(), Some(7));
    let its_own = trial(failed("invariant 2"));
    assert_eq!(its_own.seeds(), None);
    assert!(its_own.to_string().contains("asleep, too"), "{its_own}");
}
