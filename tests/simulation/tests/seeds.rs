//! What the simulation promises of itself: its seeds pass, they reach every corner, and one seed is
//! one history.

use simulation::many::{Options, Report, Seeds, run};

/// How many seeds are run here: a few seconds. CI runs more of them by the command.
const SEEDS: u64 = 400;

/// What has to happen within them, so that a world in which nothing happens is no proof.
const CORNERS: [&str; 101] = [
    "fault: a newer layout",
    "holds lapsed",
    "runs surveyed",
    "runs that are too old to be taken back",
    "fault: Graph is stale about a user",
    "fault: a call applied late",
    "fault: a call applied, its answer lost",
    "fault: a call lost before it was applied",
    "fault: a call refused for the moment",
    "fault: a machine stood still",
    "fault: a message delivered twice",
    "fault: a message lost",
    "fault: a process died",
    "fault: a transaction conflict",
    "fault: an item that reads otherwise than it was written",
    "fault: cut off at the time limit",
    "fault: the list of batches read empty",
    "fault: a part of a request taken",
    "fault: a part of the stream delivered twice",
    "fault: the topic is down",
    "Graph: a login refused for good",
    "Graph: a login not answered",
    "Graph: a 404 with another code",
    "Graph: 429 with Retry-After",
    "Graph: 429 without Retry-After",
    "Graph: a proxy's page",
    "Graph: an error with an empty code",
    "Graph: a server error",
    "Graph: a page token that is refused",
    "Graph: a delta token that is lost",
    "Graph: 401 in the middle",
    "Graph: a claims challenge",
    "Graph: 403",
    "Graph: not found, and he is there",
    "Graph: a redirect to another host",
    "Graph: a connection that breaks",
    "Graph: an error for the value",
    "Graph: no value",
    "Graph: an empty page without a next link",
    "Graph: an empty page with a next link",
    "Graph: a next link that repeats",
    "Graph: a group that is not there",
    "Graph: a next link left out",
    "fault: a machine stood still until its lease was taken",
    "Graph: a next link to another host, or nowhere",
    "Graph: users left out",
    "Graph: a removal told again",
    "Graph: a user twice",
    "Graph: accountEnabled null or left out",
    "Graph: a body cut off",
    "Graph: an error spliced into the body",
    "Graph: an answer that hangs",
    "generations begun again",
    "delta runs COMPLETED",
    "calm deltas",
    "mistakes of an operator",
    "occurrences had by a tenant",
    "new users who were there after all",
    "occurrences told long after",
    "pages committed while the next was asked for",
    "rests ended",
    "runs COMPLETED",
    "runs FAILED credential_rejected",
    "runs FAILED deadline",
    "runs FAILED empty_enumeration",
    "runs FAILED enumeration_unreliable",
    "runs FAILED graph_unavailable",
    "runs FAILED incomplete",
    "runs FAILED settings_changed",
    "runs FAILED unsafe_link",
    "runs HELD",
    "runs SUPERSEDED",
    "tenants left to rest",
    "tenants removed and put back",
    "users created",
    "users off: deleted",
    "users off: deleted by a delta",
    "users off: disabled",
    "users off: not_found",
    "users off: out_of_scope",
    "users reactivated",
    "users updated",
    "users decided about by a person",
    "status events told",
    "status events told again",
    "accounts told: off",
    "accounts told: on",
    "approvals refused",
    "approved runs COMPLETED",
    "fault: a message dead after too many deliveries",
    "fault: a service provider is down",
    "fault: groups that may not be looked into",
    "members of groups noted",
    "plans approved",
    "plans released",
    "runs FAILED graph_denied",
    "runs FAILED group_unavailable",
    "runs taken back",
    "service providers told to the end",
    "users left by a revert",
    "users taken back",
];

#[expect(clippy::unwrap_used, reason = "what does not work here fails the test")]
fn all(seeds: Seeds, options: &Options) -> (Report, Vec<String>) {
    let mut failures = Vec::new();
    let report = run(seeds, options, &mut |seed, violation| {
        failures.push(format!("seed {seed}: {violation}"));
        Ok(())
    });
    (report.unwrap(), failures)
}

#[test]
fn every_seed_passes_and_together_they_reach_every_corner() {
    let (report, failures) = all(Seeds::new(1, SEEDS), &Options::default());
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(report.seeds, SEEDS);
    let missing: Vec<_> = CORNERS
        .into_iter()
        .filter(|corner| !report.marks.contains_key(corner))
        .collect();
    assert!(missing.is_empty(), "nothing of {missing:?} happened");
}

#[test]
fn one_seed_is_one_history_to_the_byte() {
    let options = Options {
        twice: true,
        ..Options::default()
    };
    let (_, failures) = all(Seeds::new(1, 20), &options);
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn another_seed_is_another_history() {
    let history = |seed| simulation::run_seed_safely(seed, true).history;
    assert_ne!(history(1), history(2));
}
