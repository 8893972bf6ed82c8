//! The table of the faults.

use std::fmt::Write;

use super::grouped;
use crate::faults::{FaultRow, NO_ERROR};

/// Who would be switched off.
pub(super) fn table(rows: &[FaultRow]) -> String {
    let Some(first) = rows.first() else {
        return String::new();
    };
    let names: Vec<&str> = first.cells.iter().map(|cell| cell.who.as_str()).collect();
    let mut text = format!(
        "### Users who would be switched off and should not be\n\n\
         Of {} who are enabled.\n\n| fault | {} |\n|---|{}\n",
        grouped(first.enabled),
        names.join(" | "),
        "---:|".repeat(names.len())
    );
    for row in rows {
        let cells = row.cells.iter().map(|cell| {
            let off = grouped(cell.wrongly_off);
            let off = if cell.wrongly_off > 0 {
                format!("**{off}**")
            } else {
                off
            };
            match cell.ended.as_str() {
                NO_ERROR => off,
                ended => format!("{off} ({})", ended.replace('|', "/")),
            }
        });
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(text, "| {} | {} |", row.fault, cells.join(" | "));
    }
    text + "\n"
}
