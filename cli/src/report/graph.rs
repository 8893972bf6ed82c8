//! How Graph made itself felt: what was asked and how long it took.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::chart::{Chart, Row, Span, Tone, legend};
use super::latency::{Taken, latencies, slowest};
use super::{Facts, SPANS_SHOWN_MAX, said};
use crate::output::table::grouped;
use crate::output::time;
use crate::story::Story;

/// The section.
pub(super) fn section(facts: &Facts) -> Markup {
    let used = facts.record.usage.graph;
    html! {
        section aria-labelledby="graph" {
            h2 #graph { "Microsoft Graph" }
            dl.facts {
                div { dt { "Requests" } dd { (grouped(used.requests)) } }
                div { dt { "Throttled" } dd { (grouped(used.throttled)) } }
                div { dt { "Sent again" } dd { (grouped(used.retried)) } }
                div { dt { "Resource units" } dd { (grouped(used.resource_units)) } }
            }
            @match &facts.story {
                None => p {
                    "How long its answers took, and when it throttled, is in the log lines alone: "
                    code { "rollcall run report " (facts.record.run) " --out FILE --from-logs LINES" }
                },
                Some(story) => {
                    (of_answers(facts, story))
                    (of_waits(facts, story))
                }
            }
        }
    }
}

/// Each answer, if the lines have them; otherwise the pages, with what they took.
fn taken(story: &Story) -> (Vec<Taken<'_>>, bool) {
    let answers: Vec<_> = story.graph.answers.iter().map(Taken::of_answer).collect();
    let is_each = !answers.is_empty();
    if is_each {
        return (answers, is_each);
    }
    (
        story.pages.iter().filter_map(Taken::of_page).collect(),
        is_each,
    )
}

fn of_answers(facts: &Facts, story: &Story) -> Markup {
    let (taken, is_each) = taken(story);
    let span = (facts.record.started_at_ms, facts.until_ms());
    html! {
        h3 { "Latency" }
        @if taken.is_empty() {
            p { "The log lines have no answer and no page of this run." }
        } @else {
            @if !is_each {
                p {
                    "The lines have what each page took, its waits included. With lines of level \
                     \"debug\" there is each answer."
                }
            }
            (slowest(&taken, span))
            (latencies(&taken))
        }
    }
}

fn of_waits(facts: &Facts, story: &Story) -> Markup {
    let waits = &story.graph.waits;
    let mut by: BTreeMap<(&str, Option<u64>), (u64, u64)> = BTreeMap::new();
    for wait in waits {
        let (count, waited_ms) = by.entry((&wait.operation, wait.status)).or_default();
        *count += 1;
        *waited_ms += wait.wait_ms;
    }
    let charts = [picture(facts, story)];
    html! {
        h3 { "Throttling and repeats" }
        @if waits.is_empty() {
            p { "No request had to be sent again, as far as the lines tell." }
        } @else {
            (charts[0].draw())
            (legend(&charts))
            div.scroll role="region" aria-labelledby="waits" tabindex="0" {
                table {
                    caption #waits { "Requests that were sent again" }
                    thead {
                        tr {
                            th scope="col" { "Request" }
                            th scope="col" { "Answer" }
                            th.number scope="col" { "How often" }
                            th.number scope="col" { "Waited" }
                        }
                    }
                    tbody {
                        @for ((operation, status), (count, waited_ms)) in &by {
                            tr {
                                th scope="row" { (said(operation)) }
                                td { (answer(*status)) }
                                td.number { (grouped(*count)) }
                                td.number { (time::took(0, *waited_ms)) }
                            }
                        }
                    }
                }
            }
        }
        @if story.graph.links_freshened > 0 {
            p { (grouped(story.graph.links_freshened)) " links to a page had expired and were replaced." }
        }
    }
}

fn answer(status: Option<u64>) -> String {
    match status {
        None => "none".to_owned(),
        Some(429) => "429, too many requests".to_owned(),
        Some(status) => status.to_string(),
    }
}

fn picture(facts: &Facts, story: &Story) -> Chart {
    let waits = story.graph.waits.iter().take(SPANS_SHOWN_MAX).map(|wait| {
        let from_ms = u64::try_from(wait.at.as_millisecond()).unwrap_or_default();
        Span {
            from_ms,
            to_ms: from_ms.saturating_add(wait.wait_ms),
            label: format!(
                "{}: {}, waited {} from {}",
                said(&wait.operation),
                answer(wait.status),
                time::took(0, wait.wait_ms),
                time::clock(from_ms)
            ),
            tone: Tone::Wait,
        }
    });
    let graph = &story.graph;
    Chart {
        id: "chart-waits".into(),
        title: "When Graph was waited for".into(),
        told: format!(
            "{} waits of {} in all, {} of them since Graph throttled.",
            grouped(graph.asked_again),
            time::took(0, graph.waited_ms),
            grouped(graph.throttled)
        ),
        from_ms: facts.record.started_at_ms,
        to_ms: facts.until_ms(),
        rows: vec![Row {
            title: "Waits before a request was sent again",
            spans: waits.collect(),
        }],
    }
}
