//! The page as a whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::{Facts, acts, batches, funnel, graph, guards, headline, users};
use crate::output::time;

/// The one style sheet. It stands in the page, and the page's policy names its digest.
const STYLE: &str = include_str!("style.css");

/// The sections, for the list at the top.
const SECTIONS: [(&str, &str); 8] = [
    ("next", "What to do next"),
    ("time", "Time line"),
    ("graph", "Microsoft Graph"),
    ("funnel", "From seen to switched off"),
    ("guards", "Guards"),
    ("off", "Switched off"),
    ("plan", "The plan"),
    ("batches", "Batches"),
];

/// What a browser may do with the page: apply its own style, and nothing else.
fn policy() -> String {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")
}

/// The page of a run.
pub(crate) fn page(facts: &Facts) -> String {
    let run = &facts.record.run;
    let body = html! {
        a.skip href="#main" { "To the report" }
        header { p { "Rollcall: report of a run" } }
        nav aria-label="Sections" {
            ul {
                @for (id, title) in SECTIONS {
                    li { a href={ "#" (id) } { (title) } }
                }
            }
        }
        main #main {
            (headline::headline(facts))
            (headline::next_steps(facts))
            (acts::section(facts))
            (graph::section(facts))
            (funnel::section(facts))
            (guards::section(facts))
            (users::switched_off(facts))
            (users::in_the_plan(facts))
            (batches::section(facts))
        }
        footer { p { (made(facts)) } }
    };
    whole(&format!("{run} {}", facts.view.state), &body).into_string()
}

/// A page of this kind: its style, what it may do, and what is in it.
pub(crate) fn whole(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="robots" content="noindex";
                title { (title) " – Rollcall" }
                // Ours, and constant.
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    }
}

fn made(facts: &Facts) -> Markup {
    html! {
        "Made at " (time::short(facts.now_ms)) " by Rollcall " (env!("CARGO_PKG_VERSION"))
        ", from what is stored then. Times are UTC. "
        @if facts.names.is_some() {
            "It has names of people: keep it as you keep those."
        } @else {
            "It has object ids, and no names; " code { "--names" } " adds them."
        }
    }
}
