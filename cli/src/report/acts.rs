//! The time line: who worked on the run when, and under which lease. The tables keep of each lease
//! that it was there last, and when it was kept last; the log lines keep from when to when.

use maud::{Markup, html};
use rollcall_core::batch::BatchState;
use rollcall_core::lease::LeaseTerm;

use super::chart::{Chart, Row, Span, Tone, legend};
use super::{Facts, SPANS_SHOWN_MAX, TROUBLES_SHOWN_MAX, said};
use crate::output::table::grouped;
use crate::output::time;
use crate::story::{Lease, LeaseEnd, Story};

/// The kinds of functions, in the order of a run.
const ENUMERATOR: &str = "Enumerator";
const WORKERS: &str = "Workers: a batch each";
const FINALIZER: &str = "Finalizer";

/// The section.
pub(super) fn section(facts: &Facts) -> Markup {
    let mut rows = match &facts.story {
        Some(story) => of_lines(story),
        None => of_tables(facts),
    };
    let left_out = bound(&mut rows);
    let charts = charts(facts, rows);
    let (troubles, more) = troubles(facts);
    html! {
        section aria-labelledby="time" {
            h2 #time { "Time line" }
            @if facts.story.is_none() {
                p { (without_lines(facts)) }
            }
            @for chart in &charts {
                h3 { (chart.title) }
                (chart.draw())
            }
            (legend(&charts))
            @if left_out > 0 {
                p { (grouped(left_out as u64)) " more leases are not drawn." }
            }
            h3 { "Taken over, lost, revoked" }
            @if troubles.is_empty() {
                p { "Nothing: each lease was had by one function to its end, as far as is known." }
            } @else {
                ul.troubles { @for trouble in &troubles { li { (trouble) } } }
            }
            @if more > 0 { p { "and " (grouped(more as u64)) " more." } }
        }
    }
}

fn without_lines(facts: &Facts) -> Markup {
    let run = &facts.record.run;
    html! {
        "Without log lines a batch is a mark: where its lease was kept last. For leases from when to when, \
         give the lines: "
        code { "rollcall run report " (run) " --out FILE --from-logs LINES" }
    }
}

fn ms(at: jiff::Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or_default()
}

/// What the log lines tell of leases.
fn of_lines(story: &Story) -> [Row; 3] {
    let is_enumerator = |lease: &&Lease| lease.step.as_deref() == Some("enumerate");
    let of_run = |wanted: bool| {
        let leases = story
            .leases
            .iter()
            .filter(move |it| is_enumerator(it) == wanted);
        leases.filter_map(|it| span("the run", it)).collect()
    };
    let of_batches = story.pages.iter().flat_map(|page| {
        let name = format!("batch {}/{}", page.generation, page.page);
        page.leases.iter().filter_map(move |it| span(&name, it))
    });
    [
        (ENUMERATOR, of_run(true)),
        (WORKERS, of_batches.collect()),
        (FINALIZER, of_run(false)),
    ]
    .map(|(title, spans)| Row { title, spans })
}

fn span(of: &str, lease: &Lease) -> Option<Span> {
    let from_ms = ms(lease.since.or(lease.until)?);
    let to_ms = lease.until.map_or(from_ms, ms);
    let step = lease
        .step
        .as_deref()
        .map(|step| said(&step.replace('_', " ")));
    let step = step.map_or_else(String::new, |step| format!(", {step}"));
    let took = match lease.until {
        Some(_) => format!(", {}", time::took(from_ms, to_ms)),
        None => String::new(),
    };
    Some(Span {
        from_ms,
        to_ms,
        label: format!(
            "{of}: lease {}{step}, from {}{took}; {}",
            lease.token,
            time::clock(from_ms),
            lease.ended.words()
        ),
        tone: match lease.ended {
            LeaseEnd::Done => Tone::Done,
            LeaseEnd::PassedOn => Tone::PassedOn,
            LeaseEnd::Lost | LeaseEnd::TakenOver | LeaseEnd::Error => Tone::Wrong,
            LeaseEnd::Unknown => Tone::Open,
        },
    })
}

/// What the tables have of leases: the last one of each batch, and of the run.
fn of_tables(facts: &Facts) -> [Row; 3] {
    let record = &facts.record;
    let of_batches = facts.batches.iter().filter_map(|batch| {
        let name = format!("batch {}/{}", batch.generation, batch.page);
        let tone = match batch.state {
            BatchState::Done => Tone::Done,
            BatchState::Revoked => Tone::Wrong,
            BatchState::Pending | BatchState::Leased => Tone::Open,
        };
        mark(&name, batch.lease.as_ref()?, batch.lease_ms, tone)
    });
    let tone = match record.state.has_ended() {
        true => Tone::Done,
        false => Tone::Open,
    };
    let of_run = record
        .lease
        .as_ref()
        .and_then(|lease| mark("the run", lease, record.lease_ms, tone));
    [
        (WORKERS, of_batches.collect()),
        ("The run's last lease", of_run.into_iter().collect()),
        ("", Vec::new()),
    ]
    .map(|(title, spans)| Row { title, spans })
}

/// When a lease was kept last; of one that was given back, nothing is known.
fn kept_ms(lease: &LeaseTerm, lease_ms: u64) -> Option<u64> {
    lease.until_ms.checked_sub(lease_ms)
}

fn mark(of: &str, lease: &LeaseTerm, lease_ms: u64, tone: Tone) -> Option<Span> {
    let at_ms = kept_ms(lease, lease_ms)?;
    let (token, at) = (lease.token, time::clock(at_ms));
    Some(Span {
        from_ms: at_ms,
        to_ms: at_ms,
        label: format!("{of}: lease {token}, kept last at {at}"),
        tone,
    })
}

/// Takes away what is too much for a picture; gives how much.
fn bound(rows: &mut [Row; 3]) -> usize {
    let mut left_out = 0;
    for row in rows {
        left_out += row.spans.len().saturating_sub(SPANS_SHOWN_MAX);
        row.spans.truncate(SPANS_SHOWN_MAX);
    }
    left_out
}

/// One picture; or two of a run whose plan a person released, perhaps days later.
fn charts(facts: &Facts, rows: [Row; 3]) -> Vec<Chart> {
    let record = &facts.record;
    let (from_ms, to_ms) = (record.started_at_ms, facts.until_ms());
    let Some(approved) = &record.approved else {
        return vec![chart(
            "chart",
            "From its start to its end",
            (from_ms, to_ms),
            rows,
        )];
    };
    let cut_ms = approved.at_ms;
    let (before, after): (Vec<_>, Vec<_>) = rows
        .into_iter()
        .map(|row| {
            let (before, after) = row.spans.into_iter().partition(|it| it.from_ms < cut_ms);
            let of = |spans| Row {
                title: row.title,
                spans,
            };
            (of(before), of(after))
        })
        .unzip();
    let spans = before.iter().flat_map(|row| &row.spans);
    let last_ms = spans.map(|span| span.to_ms).max().unwrap_or(from_ms);
    vec![
        chart(
            "chart",
            "Until it was held",
            (from_ms, last_ms.min(cut_ms)),
            before,
        ),
        chart(
            "chart-2",
            "After its plan was released",
            (cut_ms, to_ms),
            after,
        ),
    ]
}

fn chart(
    id: &str,
    title: &str,
    (from_ms, to_ms): (u64, u64),
    rows: impl IntoIterator<Item = Row>,
) -> Chart {
    let rows: Vec<_> = rows.into_iter().collect();
    let parts = rows.iter().filter(|row| !row.spans.is_empty()).map(|row| {
        let wrong = row.spans.iter().filter(|it| it.tone == Tone::Wrong).count();
        let (leases, wrong) = (grouped(row.spans.len() as u64), grouped(wrong as u64));
        format!(
            " {}: {leases} leases, {wrong} of them went wrong.",
            row.title
        )
    });
    Chart {
        id: id.to_owned(),
        title: title.to_owned(),
        told: format!(
            "From {}, {}.{}",
            time::short(from_ms),
            time::took(from_ms, to_ms),
            parts.collect::<String>()
        ),
        from_ms,
        to_ms,
        rows,
    }
}

/// What went wrong with leases, in words, and how much more of it there is.
fn troubles(facts: &Facts) -> (Vec<String>, usize) {
    let mut all = match &facts.story {
        Some(story) => troubles_of_lines(story),
        None => troubles_of_tables(facts),
    };
    let revoked = facts
        .batches
        .iter()
        .filter(|it| it.state == BatchState::Revoked);
    let revoked = revoked.count();
    if revoked > 0 {
        all.push(format!(
            "Batches that were revoked: {}. Nobody writes for them any more.",
            grouped(revoked as u64)
        ));
    }
    let more = all.len().saturating_sub(TROUBLES_SHOWN_MAX);
    all.truncate(TROUBLES_SHOWN_MAX);
    (all, more)
}

fn troubles_of_lines(story: &Story) -> Vec<String> {
    let began = story.generations.iter().map(|it| {
        let (generation, because) = (it.generation, said(&it.because));
        format!("Generation {generation} began, since {because}.")
    });
    let of_run = story.leases.iter().map(|it| ("The run".to_owned(), it));
    let of_batches = story.pages.iter().flat_map(|page| {
        let name = format!("Batch {}/{}", page.generation, page.page);
        page.leases.iter().map(move |it| (name.clone(), it))
    });
    let of_leases = of_run.chain(of_batches).filter_map(|(of, lease)| {
        let at = lease.until.map_or_else(
            || "an unknown time".to_owned(),
            |until| time::clock(ms(until)),
        );
        let token = lease.token;
        match lease.ended {
            LeaseEnd::TakenOver | LeaseEnd::Lost | LeaseEnd::Error => Some(format!(
                "{of}, lease {token}: {}, at {at}.",
                lease.ended.words()
            )),
            LeaseEnd::Unknown | LeaseEnd::Done | LeaseEnd::PassedOn => None,
        }
    });
    began.chain(of_leases).collect()
}

/// Of the tables alone: a second grant of a batch is a lease that lapsed or was given back.
fn troubles_of_tables(facts: &Facts) -> Vec<String> {
    let again = facts.batches.iter().filter_map(|batch| {
        let lease = batch.lease.as_ref().filter(|lease| lease.token > 1)?;
        Some(format!(
            "Batch {}/{} was leased {} times: a lease before the last lapsed or was given back.",
            batch.generation, batch.page, lease.token
        ))
    });
    again.collect()
}
