//! What happened, in a sentence, and what to type next.

use maud::{Markup, html};
use rollcall_core::run::{FailReason, RunMode, RunState};

use super::{Facts, said};
use crate::output::table::grouped;
use crate::output::time;
use crate::story::meaning;

/// The heading, the sentence, and the facts.
pub(super) fn headline(facts: &Facts) -> Markup {
    let record = &facts.record;
    let state = facts.view.state;
    html! {
        h1 { "Run " (record.run) " is " span class={ "state " (state) } { (state) } }
        p.lead { (sentence(facts)) }
        @if let Some(detail) = &record.detail {
            p { "In detail: " (said(detail)) }
        }
        @if let Some(story) = &facts.story {
            p { "The log lines say: " (said(&story.cause)) }
        }
        dl.facts {
            @for (name, value) in rows(facts) {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

fn rows(facts: &Facts) -> Vec<(&'static str, String)> {
    let record = &facts.record;
    let mut rows = vec![
        ("Tenant", record.run.tenant.to_string()),
        ("Run", record.run.run.to_string()),
        ("Mode", record.mode.name().to_owned()),
        ("State", facts.view.state.to_owned()),
    ];
    if let Some(reason) = record.reason {
        rows.push(("Reason", reason.to_string()));
    }
    rows.push(("Started", time::short(record.started_at_ms)));
    match record.ended_at_ms {
        Some(ended) => rows.push(("Ended", time::short(ended))),
        None => rows.push(("Deadline", time::short(record.deadline_at_ms))),
    }
    rows.push(("Took", time::took(record.started_at_ms, facts.until_ms())));
    if let Some(approved) = &record.approved {
        rows.push(("Plan released", decided(&approved.by, approved.at_ms)));
    }
    if let Some(rejected) = &record.rejected {
        rows.push(("Plan dropped", decided(&rejected.by, rejected.at_ms)));
    }
    if let Some(revert) = &facts.revert {
        let restored = grouped(revert.restored);
        let end = match revert.ended_at_ms {
            Some(_) => "as before",
            None => "as before so far",
        };
        let by = decided(&revert.by, revert.started_at_ms);
        rows.push(("Taken back", format!("{by}: {restored} users {end}")));
    }
    rows.push(("Generation", record.generation.to_string()));
    rows.push(("Pages", record.last_page.to_string()));
    rows.push(("Settings", format!("revision {}", record.settings_revision)));
    rows
}

fn decided(by: &str, at_ms: u64) -> String {
    format!("by {} at {}", said(by), time::short(at_ms))
}

/// What the run was and how it ended.
fn sentence(facts: &Facts) -> String {
    let (record, view) = (&facts.record, &facts.view);
    let kind = match record.mode {
        RunMode::Full => "full run",
        RunMode::Delta => "delta run",
    };
    let run = format!("The {kind} of tenant {}", record.run.tenant);
    let started = time::short(record.started_at_ms);
    let took = time::took(record.started_at_ms, facts.until_ms());
    let seen = grouped(view.users_seen);
    let wrote = format!(
        "{} were created, {} updated and {} switched on again",
        grouped(view.created),
        grouped(view.updated),
        grouped(view.reactivated)
    );
    let off = grouped(view.deactivated);
    match record.state {
        RunState::Completed => format!(
            "{run} began at {started} and completed after {took}: of {seen} users seen, {wrote}; {off} \
             users were switched off{}.",
            match &record.approved {
                Some(approved) => format!(", as {} released its plan", said(&approved.by)),
                None => String::new(),
            }
        ),
        RunState::Held | RunState::Rejected | RunState::Superseded => format!(
            "{run} began at {started} and ended after {took}: {}. Nobody was switched off; what it wrote \
             stands: {wrote}.",
            held(facts)
        ),
        RunState::Failed => format!(
            "{run} began at {started} and failed after {took}, since {}. Nobody was switched off.",
            record.reason.map_or("of an unknown reason", meaning)
        ),
        RunState::Enumerating | RunState::Draining | RunState::Finalizing => format!(
            "{run} began at {started} and is under way since {took}: {seen} users were seen so far; nobody \
             was switched off yet."
        ),
        RunState::Applying => format!(
            "{run} began at {started} and is under way since {took}: its plan is being carried out, and {} \
             users are switched off so far.",
            grouped(facts.switched_off() as u64)
        ),
    }
}

fn held(facts: &Facts) -> String {
    let Some(hold) = facts.view.hold() else {
        return "its plan was held".to_owned();
    };
    let waiting = grouped(hold.deactivations);
    let then = match facts.record.state {
        RunState::Held => "wait for a person",
        RunState::Rejected => "were dropped by a person",
        _ => "are void: a later full run made a plan of its own, or nobody decided in time",
    };
    format!("{hold}, so {waiting} deactivations {then}")
}

/// A command, and why to give it.
type Step = (String, &'static str);

/// What to type next.
pub(super) fn next_steps(facts: &Facts) -> Markup {
    let (sentence, steps) = next(facts);
    html! {
        section aria-labelledby="next" {
            h2 #next { "What to do next" }
            p { (sentence) }
            @if !steps.is_empty() {
                ol.steps {
                    @for (command, why) in steps {
                        li { code { (command) } " " (why) }
                    }
                }
            }
        }
    }
}

fn next(facts: &Facts) -> (&'static str, Vec<Step>) {
    let (run, tenant) = (&facts.record.run, &facts.record.run.tenant);
    let explain = (
        format!("rollcall explain {tenant} ID"),
        "says of one user why he is on or off.",
    );
    let again = |why| (format!("rollcall sync --tenant {tenant}"), why);
    match facts.record.state {
        RunState::Held => {
            let plan = facts.record.held.as_ref().map(|held| said(&held.plan));
            let approve = format!(
                "rollcall hold approve {run} --plan {}",
                plan.unwrap_or_else(|| "HASH".to_owned())
            );
            let steps = vec![
                (
                    approve,
                    "releases exactly this plan: Graph is asked again about each of its users, and those of \
                     whom it still says the same are switched off.",
                ),
                (
                    format!("rollcall hold reject {run}"),
                    "drops it: nobody is switched off by it.",
                ),
                explain,
            ];
            let look = "Look below at who would go, why, and what the guards found. Are they leavers? Then \
                        release the plan. If not, drop it, and look at the source or at the scope.";
            (look, steps)
        }
        RunState::Failed => {
            let (sentence, mut steps) = after_failure(facts);
            steps.push(again(
                "runs it again, once the cause is gone; the next schedule does too.",
            ));
            (sentence, steps)
        }
        RunState::Completed if facts.view.deactivated > 0 && facts.revert.is_none() => (
            "Nothing, if those who were switched off are to be off. If they are not:",
            vec![
                explain,
                (
                    format!("rollcall revert {run} --dry-run"),
                    "says who would be as before; without --dry-run they are.",
                ),
            ],
        ),
        RunState::Completed => ("Nothing: the directory is in step.", Vec::new()),
        RunState::Rejected | RunState::Superseded => (
            "Nothing: the next full run looks again.",
            vec![again("looks now.")],
        ),
        RunState::Enumerating | RunState::Draining | RunState::Finalizing | RunState::Applying => (
            "Wait for its end.",
            vec![again("joins the run and sees it to its end.")],
        ),
    }
}

fn after_failure(facts: &Facts) -> (&'static str, Vec<Step>) {
    let (run, tenant) = (&facts.record.run, &facts.record.run.tenant);
    let check = (
        format!("rollcall tenant check {tenant}"),
        "tries the credential, the permissions, a page, the groups and a count.",
    );
    let show = (
        format!("rollcall tenant show {tenant}"),
        "shows the settings as they are now.",
    );
    let logs = (
        format!("rollcall explain --from-logs LINES --run {run}"),
        "tells what its log lines say.",
    );
    match facts.record.reason {
        Some(FailReason::CredentialRejected) => (
            "Renew the tenant's credential, then see that it works.",
            vec![check],
        ),
        Some(FailReason::GraphDenied | FailReason::GroupUnavailable) => (
            "See what Graph denies, and grant the application what it names.",
            vec![check],
        ),
        Some(FailReason::EmptyEnumeration | FailReason::EnumerationUnreliable) => (
            "See whether Graph still answers so; if it does, ask Microsoft with the request ids below.",
            vec![check, logs],
        ),
        Some(FailReason::GraphUnavailable | FailReason::Deadline) => (
            "See whether Graph answers, and how long it was waited for.",
            vec![check, logs],
        ),
        Some(FailReason::SettingsChanged) => ("See that the settings are as meant.", vec![show]),
        Some(FailReason::Incomplete | FailReason::UnsafeLink) | None => (
            "This should not happen: keep this page and the log lines.",
            vec![logs, check],
        ),
    }
}
