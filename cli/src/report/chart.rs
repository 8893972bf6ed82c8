//! Spans of time as a picture. Places along the time are in percent and heights in points, so that
//! letters keep their size however narrow the page is.

use maud::{Markup, html};

use super::LANES_MAX;
use crate::output::time;

/// The height of a line of letters, of a lane, and of the axis, in points.
const TITLE: usize = 20;
const LANE: usize = 16;
const AXIS: usize = 30;
/// What is left free of a lane.
const GAP: usize = 4;
/// What is shorter than this share of the picture is a mark, so many points wide.
const PERCENT_MIN: f64 = 0.2;
const MARK: usize = 2;
/// In a lane the next span begins so far behind the last one's end at least, in thousandths of the
/// picture: so it can be told apart.
const APART: u64 = 8;

/// How a span looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Its work was done.
    Done,
    /// It was given back, for another to go on.
    PassedOn,
    /// It went wrong: lost, lapsed, ended with an error.
    Wrong,
    /// Nothing tells of its end.
    Open,
    /// Something was waited for.
    Wait,
}

impl Tone {
    pub(super) const ALL: [(Self, &'static str); 5] = [
        (Self::Done, "done"),
        (Self::PassedOn, "given back"),
        (Self::Wrong, "lost, lapsed or ended with an error"),
        (Self::Open, "its end is not known"),
        (Self::Wait, "waiting"),
    ];

    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::PassedOn => "passed",
            Self::Wrong => "wrong",
            Self::Open => "open",
            Self::Wait => "wait",
        }
    }
}

/// From when to when something was; a mark if that is the same.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
    pub(super) label: String,
    pub(super) tone: Tone,
}

/// Spans of one kind.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) title: &'static str,
    pub(super) spans: Vec<Span>,
}

/// A picture of some time.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) id: String,
    pub(super) title: String,
    /// The same in words, for who does not see it.
    pub(super) told: String,
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
    pub(super) rows: Vec<Row>,
}

impl Chart {
    /// How much time is shown, at least a millisecond.
    fn length_ms(&self) -> u64 {
        self.to_ms.saturating_sub(self.from_ms).max(1)
    }

    /// Where a moment is, in percent. Clocks may differ, and what comes first be told as the later.
    fn place(&self, at_ms: u64) -> f64 {
        let after_ms = at_ms.min(self.to_ms).saturating_sub(self.from_ms);
        percent(after_ms, self.length_ms())
    }

    /// The spans of a row, each with its lane: the first that is free by then.
    fn lanes<'a>(&self, row: &'a Row) -> (Vec<(usize, &'a Span)>, usize) {
        let apart = (self.length_ms() * APART / 1_000).max(1);
        let mut spans: Vec<_> = row.spans.iter().collect();
        spans.sort_by_key(|span| (span.from_ms, span.to_ms));
        let mut free_ms: Vec<u64> = Vec::new();
        let mut placed = Vec::with_capacity(spans.len());
        for span in spans {
            let free = free_ms.iter().position(|free| *free <= span.from_ms);
            let lane = match free {
                Some(lane) => lane,
                // Where more would not fit, what is under another is seen at least in the words.
                None if free_ms.len() == LANES_MAX => LANES_MAX - 1,
                None => {
                    free_ms.push(0);
                    free_ms.len() - 1
                }
            };
            free_ms[lane] = span.to_ms.saturating_add(apart);
            placed.push((lane, span));
        }
        (placed, free_ms.len())
    }

    pub(super) fn draw(&self) -> Markup {
        let mut top = 0;
        let rows: Vec<_> = self
            .rows
            .iter()
            .filter(|row| !row.spans.is_empty())
            .map(|row| {
                let (spans, lanes) = self.lanes(row);
                let at = top;
                top += TITLE + lanes * LANE + GAP;
                (at, row.title, spans)
            })
            .collect();
        let (title, told) = (format!("{}-title", self.id), format!("{}-told", self.id));
        html! {
            svg.chart role="img" aria-labelledby=(title) aria-describedby=(told) width="100%"
                height=(top + AXIS) {
                title id=(title) { (self.title) }
                desc id=(told) { (self.told) }
                @for (at, title, spans) in &rows {
                    text.title x="0" y=(at + TITLE - GAP - 2) { (title) }
                    @for (lane, span) in spans {
                        (self.span(at + TITLE + lane * LANE, span))
                    }
                }
                (self.axis(top))
            }
        }
    }

    fn span(&self, y: usize, span: &Span) -> Markup {
        let (from, to) = (self.place(span.from_ms), self.place(span.to_ms));
        // A browser draws nothing that has no width, not even its border.
        let width = match to - from {
            width if width < PERCENT_MIN => MARK.to_string(),
            width => format!("{}%", hundredths(width)),
        };
        html! {
            rect class={ "span " (span.tone.class()) } x={ (hundredths(from)) "%" } y=(y)
                width=(width) height=(LANE - GAP) {
                title { (span.label) }
            }
        }
    }

    fn axis(&self, top: usize) -> Markup {
        let middle_ms = self.from_ms + self.length_ms() / 2;
        let ticks = [
            ("0%", "start", time::clock(self.from_ms)),
            ("50%", "middle", offset(self.from_ms, middle_ms)),
            ("100%", "end", offset(self.from_ms, self.to_ms)),
        ];
        html! {
            line.axis x1="0" x2="100%" y1=(top + 4) y2=(top + 4) {}
            @for (x, anchor, text) in &ticks {
                line.axis x1=(x) x2=(x) y1=(top + 1) y2=(top + 8) {}
                text.tick x=(x) y=(top + 23) text-anchor=(anchor) { (text) }
            }
        }
    }
}

fn offset(from_ms: u64, at_ms: u64) -> String {
    format!("+{}", time::took(from_ms, at_ms))
}

/// `part` of `whole` in percent.
#[expect(
    clippy::cast_precision_loss,
    reason = "a picture has some hundreds of points"
)]
pub(super) fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / (whole.max(1)) as f64
}

/// As an attribute has it.
pub(super) fn hundredths(percent: f64) -> String {
    format!("{percent:.2}")
}

/// What the tones of these pictures mean.
pub(super) fn legend(charts: &[Chart]) -> Markup {
    let spans = || {
        charts
            .iter()
            .flat_map(|it| &it.rows)
            .flat_map(|it| &it.spans)
    };
    let is_there = |tone: Tone| spans().any(|span| span.tone == tone);
    let shown: Vec<_> = Tone::ALL
        .into_iter()
        .filter(|(tone, _)| is_there(*tone))
        .collect();
    html! {
        @if !shown.is_empty() {
            ul.legend aria-label="What the colours mean" {
                @for (tone, words) in shown {
                    li {
                        svg width="14" height="12" aria-hidden="true" {
                            rect class={ "span " (tone.class()) } x="1" y="1" width="12" height="10" {}
                        }
                        " " (words)
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from_ms: u64, to_ms: u64) -> Span {
        Span {
            from_ms,
            to_ms,
            label: String::new(),
            tone: Tone::Done,
        }
    }

    fn chart(spans: Vec<Span>) -> Chart {
        let row = Row {
            title: "workers",
            spans,
        };
        Chart {
            id: "a".into(),
            title: String::new(),
            told: String::new(),
            from_ms: 1_000,
            to_ms: 2_000,
            rows: vec![row],
        }
    }

    #[test]
    fn spans_at_one_time_are_in_lanes_of_their_own() {
        let chart = chart(vec![
            span(1_500, 1_600),
            span(1_000, 1_200),
            span(1_100, 1_300),
        ]);
        let (placed, lanes) = chart.lanes(&chart.rows[0]);
        let placed: Vec<_> = placed
            .iter()
            .map(|(lane, it)| (*lane, it.from_ms))
            .collect();
        assert_eq!(
            (placed, lanes),
            (vec![(0, 1_000), (1, 1_100), (0, 1_500)], 2)
        );
    }

    #[test]
    fn however_many_spans_there_are_the_lanes_are_bounded() {
        let chart = chart((0..100).map(|_| span(1_000, 2_000)).collect());
        assert_eq!(chart.lanes(&chart.rows[0]).1, LANES_MAX);
    }

    #[test]
    fn a_moment_beyond_the_picture_is_at_its_edge() {
        let chart = chart(vec![span(0, 9_000)]);
        let drawn = chart.draw().into_string();
        assert!(drawn.contains("x=\"0.00%\""), "{drawn}");
        assert!(drawn.contains("width=\"100.00%\""), "{drawn}");
        assert_eq!(hundredths(chart.place(1_500)), "50.00");
        let mark = chart.span(0, &span(1_500, 1_500)).into_string();
        assert!(mark.contains("x=\"50.00%\" y=\"0\" width=\"2\""), "{mark}");
        let backwards = Chart {
            to_ms: 500,
            ..chart
        };
        assert_eq!(hundredths(backwards.place(700)), "0.00");
    }
}
