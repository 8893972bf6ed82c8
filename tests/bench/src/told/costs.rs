//! The table of what a run costs.

use std::fmt::Write;

use super::{Shown, all, grouped};
use crate::cases::UNCHANGED;
use crate::cost::{self, Cost};
use crate::results::Results;

const MILLION: f64 = 1_000_000.0;
/// How long the service takes for a page, at the least and at the most, in milliseconds.
const PAGE_MS: [u64; 2] = [300, 3_000];

/// Dollars for a million users a run, and what others would pay for DynamoDB alone.
pub(super) fn table(results: &Results) -> String {
    let mut text = format!(
        "### Dollars for a million users a run\n\n{}\
         | measured at users | Graph, ms | what | reads | writes | queues | functions | all |\n\
         |---:|---:|---|---:|---:|---:|---:|---:|\n",
        headline(results)
    );
    for shown in largest(results) {
        let row = shown.row;
        let Some(ran) = &row.ran else {
            continue;
        };
        let (cost, scale) = (Cost::of(ran), MILLION / row.users as f64);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.4} | {:.4} | {:.4} | {:.4} | **{:.4}** |",
            grouped(row.users),
            row.delay_ms,
            shown.what(),
            cost.reads * scale,
            cost.writes * scale,
            cost.queues * scale,
            cost.functions * scale,
            cost.total() * scale
        );
    }
    // An item of a user is below 1 KB and 4 KB: a unit to write, and half a unit to read, as DynamoDB
    // bills the least that it has.
    let _ = writeln!(
        text,
        "| – | – | writing every user every run | – | {write:.4} | – | – | {write:.4} and more |\n\
         | – | – | reading every user by key every run | {read:.4} | – | – | – | {read:.4} and more |",
        write = cost::WRITE_UNITS,
        read = cost::READ_UNITS / 2.0,
    );
    text + "\n"
}

/// The runs of the largest tenant that each case had.
fn largest(results: &Results) -> Vec<Shown<'_>> {
    let has_larger = |than: &Shown<'_>| {
        let same =
            |it: &Shown<'_>| (it.row.delay_ms, &it.row.what) == (than.row.delay_ms, &than.row.what);
        all(results).any(|it| it.row.ran.is_some() && same(&it) && it.row.users > than.row.users)
    };
    let ours = all(results).filter(|it| it.row.ran.is_some());
    ours.filter(|it| !has_larger(it)).collect()
}

/// An unchanged sync where Graph is slowest, and what it comes to at the pace of the service: all that grows is the time
/// for which a function waits.
fn headline(results: &Results) -> String {
    let unchanged = largest(results)
        .into_iter()
        .filter(|it| it.row.what == UNCHANGED);
    let slowest = unchanged.max_by_key(|it| it.row.delay_ms);
    let Some((row, ran)) = slowest.and_then(|it| Some((it.row, it.row.ran.as_ref()?))) else {
        return String::new();
    };
    let scale = MILLION / row.users as f64;
    let [least, most] = PAGE_MS.map(|page_ms| {
        let more_ms = page_ms.saturating_sub(row.delay_ms);
        Cost::of_slower(ran, row.requests, more_ms).total() * scale
    });
    let [fast_s, slow_s] = PAGE_MS.map(|page_ms| page_ms as f64 / 1_000.0);
    format!(
        "An unchanged sync costs **{:.4} dollars** for a million users where Graph answers after {} ms. By the formula it \
         would be {least:.4} with a page at {fast_s} s and {most:.4} at {slow_s} s: a function waits for longer.\n\n",
        Cost::of(ran).total() * scale,
        row.delay_ms
    )
}
