//! How long Graph's answers took, as a picture and as a table.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::chart::{hundredths, percent};
use super::{SLICES, said};
use crate::output::table::grouped;
use crate::output::time;
use crate::story::{Answer, Page};

/// The height of the bars, and of what is above and below them, in points.
const BARS: u64 = 96;
const ABOVE: u64 = 18;
const BELOW: u64 = 24;

/// Something that took its time.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    at_ms: u64,
    what: &'a str,
    took_ms: u64,
}

impl<'a> Taken<'a> {
    pub(super) fn of_answer(answer: &'a Answer) -> Self {
        Self {
            at_ms: u64::try_from(answer.at.as_millisecond()).unwrap_or_default(),
            what: &answer.operation,
            took_ms: answer.took_ms,
        }
    }

    /// `None` if the line of its commit is missing.
    pub(super) fn of_page(page: &'a Page) -> Option<Self> {
        let at = page.committed_at?.as_millisecond();
        Some(Self {
            at_ms: u64::try_from(at).unwrap_or_default(),
            what: "a page",
            took_ms: page.took_ms,
        })
    }
}

/// The slowest of each slice of the time.
fn slices(taken: &[Taken<'_>], (from_ms, to_ms): (u64, u64)) -> BTreeMap<u64, u64> {
    let length_ms = to_ms.saturating_sub(from_ms).max(1);
    let mut slices: BTreeMap<u64, u64> = BTreeMap::new();
    for it in taken {
        let after_ms = it.at_ms.min(to_ms).saturating_sub(from_ms);
        let slice = (after_ms.saturating_mul(SLICES) / length_ms).min(SLICES - 1);
        let slowest = slices.entry(slice).or_default();
        *slowest = it.took_ms.max(*slowest);
    }
    slices
}

/// The picture: the slowest answer of each slice of the time.
pub(super) fn slowest(taken: &[Taken<'_>], span: (u64, u64)) -> Markup {
    let slices = slices(taken, span);
    let most = slices.values().copied().max().unwrap_or_default().max(1);
    let slowest = format!("{} ms", grouped(most));
    html! {
        svg.chart role="img" aria-labelledby="latency-title" aria-describedby="latency-told" width="100%"
            height=(ABOVE + BARS + BELOW) {
            title #latency-title { "The slowest answer of each moment" }
            desc #latency-told {
                (grouped(taken.len() as u64)) " answers, the slowest took " (slowest) "; the table has the rest."
            }
            text.tick x="0" y="12" { "up to " (slowest) }
            @for (slice, took_ms) in &slices {
                @let height = (took_ms * BARS / most).max(1);
                rect.bar x={ (hundredths(percent(*slice, SLICES))) "%" } y=(ABOVE + BARS - height)
                    width={ (hundredths(percent(1, SLICES + SLICES / 4))) "%" } height=(height) {
                    title { (grouped(*took_ms)) " ms" }
                }
            }
            line.axis x1="0" x2="100%" y1=(ABOVE + BARS) y2=(ABOVE + BARS) {}
            text.tick x="0" y=(ABOVE + BARS + 17) { (time::clock(span.0)) }
            text.tick x="100%" y=(ABOVE + BARS + 17) text-anchor="end" {
                "+" (time::took(span.0, span.1))
            }
        }
    }
}

/// The table: for each kind of request the least, the median, what 95 of 100 are within, and the most.
pub(super) fn latencies(taken: &[Taken<'_>]) -> Markup {
    let mut by: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for it in taken {
        by.entry(it.what).or_default().push(it.took_ms);
    }
    html! {
        div.scroll role="region" aria-labelledby="latencies" tabindex="0" {
            table {
                caption #latencies { "How long answers took" }
                thead {
                    tr {
                        th scope="col" { "Request" }
                        th.number scope="col" { "Answers" }
                        th.number scope="col" { "Least" }
                        th.number scope="col" { "Median" }
                        th.number scope="col" { "p95" }
                        th.number scope="col" { "Most" }
                    }
                }
                tbody {
                    @for (what, mut took) in by {
                        @let ordered = { took.sort_unstable(); took };
                        tr {
                            th scope="row" { (said(what)) }
                            td.number { (grouped(ordered.len() as u64)) }
                            @for of_100 in [0, 50, 95, 100] {
                                td.number { (grouped(within(&ordered, of_100))) " ms" }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Within which so many of a hundred are: the least such value.
fn within(ordered: &[u64], of_100: usize) -> u64 {
    let rank = (ordered.len() * of_100).div_ceil(100);
    let at = rank.saturating_sub(1);
    ordered.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_within_the_least_value_that_has_it() {
        let ordered: Vec<_> = (1..=20).collect();
        assert_eq!(
            [0, 50, 95, 100].map(|it| within(&ordered, it)),
            [1, 10, 19, 20]
        );
        assert_eq!([0, 50, 95, 100].map(|it| within(&[7], it)), [7; 4]);
        assert_eq!(within(&[], 50), 0);
    }

    #[test]
    fn of_each_slice_the_slowest_is_drawn_however_many_there_are() {
        let taken: Vec<_> = (0..10_000)
            .map(|at_ms| Taken {
                at_ms,
                what: "a page",
                took_ms: at_ms % 100,
            })
            .collect();
        let slices = slices(&taken, (0, 9_999));
        assert_eq!(slices.len() as u64, SLICES);
        assert!(slices.values().all(|it| *it >= 82), "{slices:?}");
    }
}
