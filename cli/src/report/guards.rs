//! What each guard allows, what it found, and what it said.

use maud::{Markup, html};
use rollcall_core::guard::{GuardKind, GuardSettings, Reading, Verdict};

use super::{Facts, said};
use crate::output::run::rounded;

/// The section.
pub(super) fn section(facts: &Facts) -> Markup {
    html! {
        section aria-labelledby="guards" {
            h2 #guards { "Guards" }
            @match &facts.plan {
                None => p { "No plan was made, so no guard was asked." },
                Some(plan) => {
                    p { (said_in_all(facts)) }
                    (table(&facts.guards, &facts.guards.readings(plan.numbers)))
                }
            }
        }
    }
}

fn said_in_all(facts: &Facts) -> String {
    match (&facts.record.held, &facts.record.approved) {
        (None, _) => "No guard held the plan.".to_owned(),
        (Some(held), None) => format!(
            "The {} guard held the plan: it was the first that tripped.",
            held.trip.guard.name()
        ),
        (Some(held), Some(approved)) => format!(
            "The {} guard held the plan, and {} released it; no guard was asked again.",
            held.trip.guard.name(),
            said(&approved.by)
        ),
    }
}

fn table(settings: &GuardSettings, readings: &[Reading]) -> Markup {
    html! {
        div.scroll role="region" aria-labelledby="guards-table" tabindex="0" {
            table {
                caption #guards-table { "The guards, in the order in which they are asked" }
                thead {
                    tr {
                        th scope="col" { "Guard" }
                        th.number scope="col" { "At most" }
                        th.number scope="col" { "Found" }
                        th scope="col" { "It says" }
                        th scope="col" { "What it looks at" }
                    }
                }
                tbody {
                    @for it in readings {
                        tr data-guard=(it.guard.name()) {
                            th scope="row" { (it.guard.name()) }
                            td.number { (with_unit(it.guard, it.limit)) }
                            td.number { (it.value.map_or("–".to_owned(), |found| with_unit(it.guard, found))) }
                            td class={ "verdict " (class(it.verdict)) } { (verdict(settings, it.verdict)) }
                            td { (looks_at(settings, it.guard)) }
                        }
                    }
                }
            }
        }
    }
}

fn with_unit(guard: GuardKind, value: f64) -> String {
    let unit = match guard {
        GuardKind::Count | GuardKind::Domain => "",
        GuardKind::Percent | GuardKind::Shrink | GuardKind::Window => "\u{a0}%",
    };
    format!("{}{unit}", rounded(value))
}

const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Trips => "trips",
        Verdict::Passes | Verdict::Exempt | Verdict::NoBaseline => "passes",
    }
}

fn verdict(settings: &GuardSettings, verdict: Verdict) -> String {
    match verdict {
        Verdict::Passes => "lets pass".to_owned(),
        Verdict::Trips => "trips".to_owned(),
        Verdict::Exempt => format!("not asked: at most {} would go", settings.exempt_max),
        Verdict::NoBaseline => "nothing to compare with".to_owned(),
    }
}

fn looks_at(settings: &GuardSettings, guard: GuardKind) -> String {
    match guard {
        GuardKind::Count => "how many would go".to_owned(),
        GuardKind::Percent => "how many of those who are on would go".to_owned(),
        GuardKind::Shrink => "how many fewer were seen than by the last full run".to_owned(),
        GuardKind::Domain => "everybody of one domain of login names, how many".to_owned(),
        GuardKind::Window => format!(
            "the same as percent, with those who went in the {} days before",
            settings.window_days
        ),
    }
}
