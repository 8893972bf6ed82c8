//! The batches, each with its page's request and its last lease: also what the time line says, in words.

use maud::{Markup, html};
use rollcall_store::BatchRecord;

use super::{BATCHES_SHOWN_MAX, Facts, said};
use crate::output::table::{grouped, or_dash};
use crate::output::time;

/// The section.
pub(super) fn section(facts: &Facts) -> Markup {
    let more = facts.batches.len().saturating_sub(BATCHES_SHOWN_MAX);
    html! {
        section aria-labelledby="batches" {
            h2 #batches { "Batches" }
            @if facts.batches.is_empty() {
                p { "No page was committed, so there is no batch." }
            } @else {
                details {
                    summary { (grouped(facts.batches.len() as u64)) " batches, each the work of one page" }
                    (table(&facts.batches))
                    @if more > 0 {
                        p {
                            "and " (grouped(more as u64)) " more: "
                            code { "rollcall run show " (facts.record.run) }
                        }
                    }
                }
            }
        }
    }
}

fn table(batches: &[BatchRecord]) -> Markup {
    let numbers = [
        "Users",
        "Changed",
        "Created",
        "Updated",
        "Back",
        "Unknown",
        "Candidates",
        "Lease",
    ];
    html! {
        div.scroll role="region" aria-labelledby="batches-table" tabindex="0" {
            table.batches {
                caption #batches-table { "Batches by generation and page, each with its last lease" }
                thead {
                    tr {
                        th scope="col" { "Batch" }
                        th scope="col" { "State" }
                        @for name in numbers { th.number scope="col" { (name) } }
                        th scope="col" { "Owner" }
                        th scope="col" { "Lease until" }
                        th scope="col" { "Graph's request of the page" }
                    }
                }
                tbody {
                    @for batch in batches.iter().take(BATCHES_SHOWN_MAX) { (row(batch)) }
                }
            }
        }
    }
}

fn row(batch: &BatchRecord) -> Markup {
    let result = &batch.result;
    let lease = batch.lease.as_ref();
    let numbers = [
        batch.sightings,
        batch.changed,
        result.changes.created,
        result.changes.updated,
        result.changes.reactivated,
        result.unknown,
        result.candidates.len() as u64,
    ];
    let until = lease.map(|lease| match lease.until_ms {
        0 => "given back".to_owned(),
        until_ms => time::short(until_ms),
    });
    html! {
        tr {
            th scope="row" { (batch.generation) "/" (batch.page) }
            td { (batch.state.name()) }
            @for number in numbers { td.number { (grouped(number)) } }
            td.number { (or_dash(lease.map(|lease| lease.token))) }
            td { code { (or_dash(lease.map(|lease| said(&lease.owner)))) } }
            td { (or_dash(until)) }
            td { code { (or_dash(batch.request.as_str().map(said))) } }
        }
    }
}
