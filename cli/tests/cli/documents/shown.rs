//! What a page shows of an answer, against the answer. The rules of a table need not be shown.

use regex_lite::Regex;

/// Stands for whatever is left out: lines, if it is alone on one, or the rest or a part of a line.
const LEFT_OUT: &str = "…";

/// What is another thing at each call: hashes, ids, times, durations, ports, and units of capacity.
/// They are written as what they are, and are equal then.
const EVER_NEW: [(&str, &str); 7] = [
    ("[0-9a-f]{64}", "{hash}"),
    (
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "{id}",
    ),
    ("[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{8,12}Z", "{time}"),
    (r"127\.0\.0\.1:[0-9]+", "{address}"),
    (r"\b[0-9]+ attempts", "{attempts}"),
    (r"\b[0-9.]+ (ms|s|min)\b", "{duration}"),
    (r"\b[0-9]+\.[0-9]\b", "{units}"),
];

fn plain(line: &str) -> String {
    let one_space = line.split_whitespace().collect::<Vec<_>>().join(" ");
    EVER_NEW.iter().fold(one_space, |line, (pattern, name)| {
        Regex::new(pattern)
            .unwrap()
            .replace_all(&line, *name)
            .into_owned()
    })
}

/// Whether the page shows the answer as it is.
pub(super) fn is_as(shown: &[String], answer: &str) -> bool {
    let plain = |lines: &mut dyn Iterator<Item = &str>| -> Vec<String> {
        let is_rule = |line: &str| line.chars().all(|c| matches!(c, '─' | '═'));
        lines.map(plain).filter(|line| !is_rule(line)).collect()
    };
    let shown = plain(&mut shown.iter().map(String::as_str));
    let answer = plain(&mut answer.lines());
    lines_are(&shown, &answer)
}

fn lines_are(shown: &[String], answer: &[String]) -> bool {
    match (shown.split_first(), answer.split_first()) {
        (None, None) => true,
        (Some((line, rest)), _) if line == LEFT_OUT => {
            (0..=answer.len()).any(|skipped| lines_are(rest, &answer[skipped..]))
        }
        (Some((line, shown)), Some((said, answer))) => {
            line_is(line, said) && lines_are(shown, answer)
        }
        _ => false,
    }
}

fn line_is(shown: &str, said: &str) -> bool {
    let parts: Vec<_> = shown.split(LEFT_OUT).map(str::trim).collect();
    let Some(mut rest) = said.strip_prefix(parts[0]) else {
        return false;
    };
    for part in &parts[1..] {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty())
}

#[test]
fn what_is_left_out_or_ever_new_is_as_it_is_and_nothing_else() {
    let answer = "a  1.5 s\n─────\n\nseen at 2026-11-26 01:02:03Z\nthe last line";
    let shown = |text: &str| {
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        is_as(&lines, answer)
    };
    for right in [
        answer,
        "a 20 s\nseen at 2020-01-01 00:00:00Z\nthe last line",
        "…\nthe … line",
        "a …\n…",
        "…\nthe last…\n…",
    ] {
        assert!(shown(right), "{right}");
    }
    for wrong in [
        "",
        "a 1.5 s",
        "…\nthe first line",
        "…\nthe last",
        "b 1.5 s\n…",
        "a 1.5 s\nseen at noon\nthe last line",
    ] {
        assert!(!shown(wrong), "{wrong}");
    }
}
