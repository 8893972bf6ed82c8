//! The picture: processor time beside the floor and the peers, as bars.

use std::fmt::Write;

use crate::cases::{FIRST, OURS, Row, UNCHANGED};
use crate::results::Results;

const WIDTH: u64 = 760;
const BAR_X: u64 = 330;
const BAR_WIDTH_MAX: u64 = 330;
const LINE: u64 = 26;
const TOP: u64 = 48;

/// The largest tenant that everybody read: who took how much processor time.
#[must_use]
pub fn draw(results: &Results) -> String {
    let read_by = |users: usize| {
        let rows = results.rows.iter();
        rows.filter(move |row| row.users == users && row.delay_ms == 0)
    };
    let of_peers = results.rows.iter().filter(|row| row.who != OURS);
    let most = |users: usize| read_by(users).filter(|row| row.who != OURS).count();
    // Those with a limit on the size leave the largest tenants to the others.
    let users = of_peers
        .map(|row| row.users)
        .filter(|users| most(*users) >= 3)
        .max()
        .unwrap_or_default();
    let shown = |row: &&Row| row.who != OURS || [FIRST, UNCHANGED].contains(&row.what.as_str());
    let rows: Vec<&Row> = read_by(users).filter(shown).collect();
    let longest = rows
        .iter()
        .map(|row| row.cpu_ms)
        .max()
        .unwrap_or_default()
        .max(1);
    let height = TOP + LINE * rows.len() as u64 + 12;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Processor time for {users} users\" font-family=\"sans-serif\" font-size=\"14\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"26\" font-weight=\"bold\" fill=\"#1b1f24\">Processor time for {users} users, in seconds</text>\n"
    );
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + LINE * index as u64;
        let width = (BAR_WIDTH_MAX * row.cpu_ms / longest).max(1);
        let ours = row.who == OURS;
        let fill = if ours { "#0b6e4f" } else { "#8c959f" };
        let name = match ours {
            true => format!("Rollcall, {}", row.what),
            false => row.who.split(" (").next().unwrap_or_default().to_owned(),
        };
        let _ = writeln!(
            svg,
            "<text x=\"12\" y=\"{text_y}\" fill=\"#1b1f24\">{name}</text>\
             <rect x=\"{BAR_X}\" y=\"{y}\" width=\"{width}\" height=\"18\" fill=\"{fill}\"/>\
             <text x=\"{value_x}\" y=\"{text_y}\" fill=\"#1b1f24\">{}.{:02}</text>",
            row.cpu_ms / 1_000,
            row.cpu_ms % 1_000 / 10,
            text_y = y + 14,
            value_x = BAR_X + width + 8,
        );
    }
    svg + "</svg>\n"
}
