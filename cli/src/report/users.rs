//! Whom the run switched off, and whom its plan has besides, each with the evidence.

use maud::{Markup, html};
use rollcall_core::run::RunState;

use super::facts::Entry;
use super::{Facts, Fate, USERS_SHOWN_MAX, said};
use crate::output::table::grouped;

/// What stands before a request's id in the text of evidence.
const BEFORE_REQUEST: &str = "request ";

/// The section of those who are off.
pub(super) fn switched_off(facts: &Facts) -> Markup {
    let entries = match &facts.plan {
        Some(plan) => plan.with(|it| it == Fate::SwitchedOff),
        None => Vec::new(),
    };
    html! {
        section aria-labelledby="off" {
            h2 #off { "Switched off" }
            @if entries.is_empty() {
                p { "This run switched nobody off." }
            } @else {
                (table(facts, "off", "Who was switched off, and on what evidence", &entries, false))
            }
        }
    }
}

/// The section of those who are in the plan and not off.
pub(super) fn in_the_plan(facts: &Facts) -> Markup {
    html! {
        section aria-labelledby="plan" {
            h2 #plan { (title(facts.record.state)) }
            @match &facts.plan {
                None => p { "The run made no plan." },
                Some(plan) => {
                    @let entries = plan.with(|it| it != Fate::SwitchedOff);
                    p { "The plan's hash: " code.hash { (said(&plan.hash)) } }
                    @if plan.entries.is_empty() {
                        p { "It has nobody: nothing speaks against anybody." }
                    } @else if entries.is_empty() {
                        p { "Everybody of the plan was switched off: they are above." }
                    } @else {
                        (table(facts, "plan", caption(facts.record.state), &entries, true))
                    }
                }
            }
        }
    }
}

const fn title(state: RunState) -> &'static str {
    match state {
        RunState::Held => "Held in the plan",
        _ => "The plan",
    }
}

const fn caption(state: RunState) -> &'static str {
    match state {
        RunState::Held => "Who would be switched off, and on what evidence",
        _ => "Who was in the plan and was not switched off",
    }
}

fn table(facts: &Facts, id: &str, caption: &str, entries: &[&Entry], with_fate: bool) -> Markup {
    let more = entries.len().saturating_sub(USERS_SHOWN_MAX);
    let (run, tenant) = (&facts.record.run, &facts.record.run.tenant);
    html! {
        div.scroll role="region" aria-labelledby={ (id) "-table" } tabindex="0" {
            table.users {
                caption id={ (id) "-table" } { (caption) }
                thead {
                    tr {
                        th scope="col" { "User" }
                        @if facts.names.is_some() { th scope="col" { "Name now" } }
                        th scope="col" { "Reason" }
                        @if with_fate { th scope="col" { "Then" } }
                        th scope="col" { "Evidence" }
                    }
                }
                tbody {
                    @for entry in entries.iter().take(USERS_SHOWN_MAX) {
                        tr {
                            th scope="row" { code { (entry.id) } }
                            @if facts.names.is_some() { td { (name(facts, entry)) } }
                            td { (entry.reason) }
                            @if with_fate { td { (then(entry.fate)) } }
                            td { (evidence(&entry.evidence)) }
                        }
                    }
                }
            }
        }
        p {
            @if more > 0 {
                "and " (grouped(more as u64)) " more: "
                code { "rollcall run show " (run) }
                " lists everybody of the plan with the evidence. "
            }
            "About one of them: " code { "rollcall explain " (tenant) " ID" }
        }
    }
}

/// What the directory calls him now; isolated, since it may be written from right to left.
fn name(facts: &Facts, entry: &Entry) -> Markup {
    let user = facts.names.as_ref().and_then(|names| names.get(&entry.id));
    let shown = user.and_then(|user| user.display_name.as_deref());
    let login = user.and_then(|user| user.user_principal_name.as_deref());
    html! {
        @match shown { Some(shown) => bdi { (said(shown)) }, None => "–" }
        @if let Some(login) = login { br; bdi.login { (said(login)) } }
    }
}

const fn then(fate: Fate) -> &'static str {
    match fate {
        Fate::SwitchedOff => "switched off",
        Fate::Waits => "waits for a person",
        Fate::Dropped => "dropped with the plan",
        Fate::Cleared => "stays: Graph did not say so any more",
        Fate::LeftAlone => "left alone: changed after the plan",
        Fate::ToGo => "not come to yet",
    }
}

/// The text of evidence, its requests' ids as such: that is what a support case needs.
pub(super) fn evidence(text: &str) -> Markup {
    let text = said(text);
    let mut parts = text.split(BEFORE_REQUEST);
    let first = parts.next().unwrap_or_default().to_owned();
    let rest: Vec<_> = parts
        .map(|part| match part.find([';', ' ']) {
            Some(end) => part.split_at(end),
            None => (part, ""),
        })
        .collect();
    html! {
        (first)
        @for (request, after) in &rest {
            (BEFORE_REQUEST) code { (request) } (after)
        }
    }
}
