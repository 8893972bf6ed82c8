//! From the users seen to those switched off, as far as a run counts them.

use maud::{Markup, html};
use rollcall_core::batch::BatchState;
use rollcall_core::run::RunMode;
use rollcall_core::status::Reason;

use super::chart::{hundredths, percent};
use super::{Facts, Fate};
use crate::output::table::grouped;

/// A number of the funnel.
struct Count {
    /// For programs that read the page.
    name: &'static str,
    what: &'static str,
    users: u64,
}

const fn count(name: &'static str, what: &'static str, users: u64) -> Count {
    Count { name, what, users }
}

/// Numbers that belong together.
struct Stage {
    title: &'static str,
    counts: Vec<Count>,
}

/// The section.
pub(super) fn section(facts: &Facts) -> Markup {
    let stages = stages(facts);
    let counts = || stages.iter().flat_map(|stage| &stage.counts);
    let most = counts().map(|it| it.users).max().unwrap_or_default();
    html! {
        section aria-labelledby="funnel" {
            h2 #funnel { "From seen to switched off" }
            table.funnel {
                caption { "How many users came how far" }
                thead {
                    tr {
                        th scope="col" { "What" }
                        th.number scope="col" { "Users" }
                        th scope="col" { "Share" }
                    }
                }
                @for stage in &stages {
                    tbody {
                        tr { th.stage scope="rowgroup" colspan="3" { (stage.title) } }
                        @for it in &stage.counts {
                            tr data-count=(it.name) {
                                th scope="row" { (it.what) }
                                td.number { (grouped(it.users)) }
                                td.share { (bar(it.users, most)) }
                            }
                        }
                    }
                }
            }
            @for note in notes(facts) { p.note { (note) } }
        }
    }
}

fn bar(users: u64, most: u64) -> Markup {
    html! {
        svg width="100%" height="12" aria-hidden="true" {
            rect.bar x="0" y="1" width={ (hundredths(percent(users, most))) "%" } height="10" {}
        }
    }
}

fn notes(facts: &Facts) -> Vec<&'static str> {
    let mut notes = vec![
        "A run does not count who is in scope. Whoever is outside it and was never in the directory is among \
         the unchanged.",
    ];
    if facts.record.totals.is_none() {
        notes.push(
            "The run has no totals, since it did not come so far: these are what its batches report, and who \
             stands on two pages counts twice.",
        );
    }
    if facts.record.mode == RunMode::Delta {
        notes.push("A delta run sees those who changed. Who is not told of is not absent.");
    }
    notes
}

fn stages(facts: &Facts) -> Vec<Stage> {
    let view = &facts.view;
    let mut stages = vec![
        Stage {
            title: "Seen",
            counts: vec![count("seen", "users seen", view.users_seen)],
        },
        Stage {
            title: "Of those",
            counts: vec![
                count("created", "created", view.created),
                count("updated", "updated", view.updated),
                count("reactivated", "switched on again", view.reactivated),
                count("unchanged", "unchanged", view.unchanged),
            ],
        },
        candidates(facts),
        kept(facts),
    ];
    if let Some(plan) = &facts.plan {
        let by = |reason| {
            plan.entries
                .iter()
                .filter(move |it| it.reason == reason)
                .count() as u64
        };
        stages.push(Stage {
            title: "In the plan, on evidence",
            counts: vec![
                count("planned", "to be switched off", plan.entries.len() as u64),
                count("planned-disabled", "disabled", by(Reason::Disabled)),
                count("planned-deleted", "deleted", by(Reason::Deleted)),
                count(
                    "planned-not-found",
                    "not found, by as many runs as it takes",
                    by(Reason::NotFound),
                ),
                count(
                    "planned-out-of-scope",
                    "out of scope",
                    by(Reason::OutOfScope),
                ),
            ],
        });
        stages.extend(spared(facts));
    }
    stages.push(deactivated(facts));
    stages
}

/// Those whom a worker found off, in the generation that counts.
fn candidates(facts: &Facts) -> Stage {
    let current = facts
        .batches
        .iter()
        .filter(|it| it.generation == facts.record.generation && it.state != BatchState::Revoked);
    let reasons: Vec<_> = current
        .flat_map(|batch| &batch.result.candidates)
        .map(|candidate| candidate.reason)
        .collect();
    let by = |reason| reasons.iter().filter(|it| **it == reason).count() as u64;
    Stage {
        title: "Candidates, by what was seen",
        counts: vec![
            count("candidates", "sighted as to be off", reasons.len() as u64),
            count("candidates-disabled", "disabled", by(Reason::Disabled)),
            count(
                "candidates-deleted",
                "told to be removed",
                by(Reason::Deleted),
            ),
            count(
                "candidates-out-of-scope",
                "out of scope",
                by(Reason::OutOfScope),
            ),
        ],
    }
}

fn kept(facts: &Facts) -> Stage {
    let kept = facts.view.kept;
    Stage {
        title: "Kept on, although something spoke against them",
        counts: vec![
            count("kept-contradicted", "found alive by id", kept.contradicted),
            count(
                "kept-awaiting",
                "not found, but too few runs have said so",
                kept.awaiting_confirmation,
            ),
            count(
                "kept-unknown",
                "a field that decides was null",
                kept.unknown,
            ),
        ],
    }
}

/// Those of the plan who are not off, if there are any.
fn spared(facts: &Facts) -> Option<Stage> {
    let with = |fate| facts.count(fate) as u64;
    let fates = [
        count("held", "wait for a person", with(Fate::Waits)),
        count("dropped", "dropped with the plan", with(Fate::Dropped)),
        count(
            "cleared",
            "Graph did not say so any more",
            with(Fate::Cleared),
        ),
        count(
            "left-alone",
            "changed after the plan",
            with(Fate::LeftAlone),
        ),
        count("to-go", "not come to yet", with(Fate::ToGo)),
    ];
    let counts: Vec<_> = fates.into_iter().filter(|it| it.users > 0).collect();
    (!counts.is_empty()).then_some(Stage {
        title: "Of the plan, not switched off",
        counts,
    })
}

fn deactivated(facts: &Facts) -> Stage {
    let (view, by) = (&facts.view, facts.view.deactivated_by);
    Stage {
        title: "Switched off",
        counts: vec![
            count("deactivated", "switched off", view.deactivated),
            count("deactivated-disabled", "disabled", by.disabled),
            count("deactivated-deleted", "deleted", by.deleted),
            count("deactivated-not-found", "not found", by.not_found),
            count("deactivated-out-of-scope", "out of scope", by.out_of_scope),
        ],
    }
}
