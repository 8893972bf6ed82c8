//! The demo, which is what the binary does when it is given nothing.

use std::fs;

use serde_json::Value;

use crate::support::{binary, run_binary};

#[test]
fn without_arguments_the_demo_runs_to_its_end_and_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let mut command = binary();
    let nothing_set = command
        .env_clear()
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        .current_dir(home.path());
    let ended = run_binary(nothing_set).with(0);
    let last = ended.stdout.trim_end().lines().last().unwrap();
    assert!(last.starts_with("Proven: "), "{last}");
    assert!(ended.stdout.contains("empty_enumeration"));
    assert!(ended.stdout.contains("shrink guard"));
    assert_eq!(ended.stderr, "");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn the_demo_speaks_json_too() {
    let ended = run_binary(binary().args(["demo", "--json", "-q"])).with(0);
    assert_eq!(ended.stderr, "");
    let objects = ended.objects();
    let (runs, switched_off): (Vec<&Value>, Vec<&Value>) = objects
        .iter()
        .partition(|object| object.get("state").is_some());
    let of_state = |state| runs.iter().filter(|run| run["state"] == state).count();
    assert_eq!(of_state("FAILED"), 1);
    assert_eq!(of_state("HELD"), 1);
    assert_eq!(of_state("COMPLETED") + 2, runs.len());
    let deactivated: u64 = runs
        .iter()
        .map(|run| run["deactivated"].as_u64().unwrap())
        .sum();
    assert_eq!(switched_off.len() as u64, deactivated);
    for user in switched_off {
        assert!(user["evidence"].as_str().is_some_and(|it| !it.is_empty()));
    }
}
