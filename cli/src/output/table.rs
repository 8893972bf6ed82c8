//! Tables that people can read.

use std::fmt::Display;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle, presets};

/// Lines above, under the header and below, none between rows.
const STYLE: TableStyle = presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none());

/// A table with a header. Each row is a line, however narrow the terminal: an id that is broken over
/// lines cannot be copied.
pub(crate) fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table
        .load_style(STYLE)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    table
}

/// Sets these columns flush right, as numbers are.
pub(crate) fn right(table: &mut Table, columns: &[usize]) {
    for index in columns {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// A value, or a dash where there is none.
pub(crate) fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The longest text of a directory that a table shows, in characters.
const SHOWN_CHARS_MAX: usize = 40;

/// Text of a directory for a table: harmless, and cut where it would make every row long.
pub(crate) fn shown(text: &str) -> String {
    let text = harmless(text);
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text;
    }
    let mut cut: String = text.chars().take(SHOWN_CHARS_MAX - 1).collect();
    cut.push('…');
    cut
}

/// Text that came from a directory, made harmless for a terminal: control characters, and those
/// that turn the direction of writing, could rewrite what is on the screen.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                '\u{fffd}'
            }
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, shown) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), shown);
        }
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(harmless("Zoë 太郎"), "Zoë 太郎");
        assert_eq!(harmless("a\u{1b}[2Jb\r\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
        assert_eq!(harmless("exe\u{202e}fdp"), "exe\u{fffd}fdp");
    }
}
