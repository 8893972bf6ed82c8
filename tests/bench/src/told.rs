//! The figures as the tables of a page.

use std::fmt::Write;

use crate::cases::{OURS, Row, WRITER};
use crate::cost::{self, Cost};
use crate::faults::{FaultRow, NO_ERROR};
use crate::results::Results;

const MILLION: f64 = 1_000_000.0;
/// The name of the floor in the measurements.
pub(crate) const DOWNLOAD: &str = "bare loop, download";

/// All tables.
#[must_use]
pub fn tables(results: &Results) -> String {
    let machine = &results.machine;
    let mut page = format!(
        "Measured on {} on {} processors ({}), {} GiB. Everything runs on them at once: the emulated Graph, the emulated \
         AWS, the functions. Figures compare, they promise nothing for another machine.\n\n",
        machine.day, machine.processors, machine.processor, machine.memory_gib
    );
    let mut delays: Vec<u64> = results.rows.iter().map(|row| row.delay_ms).collect();
    delays.sort_unstable();
    delays.dedup();
    for delay_ms in delays {
        page += &sides(results, delay_ms);
    }
    page += &functions(results);
    page += &writes(results);
    page += &growth(results);
    page += &held_to(results);
    page += &costs(results);
    page += &faults(&results.faults);
    page
}

fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to.max(1) as f64
}

fn seconds(ms: u64) -> String {
    format!("{:.2}", ratio(ms, 1_000))
}

fn megabytes(kib: u64) -> String {
    format!("{:.0}", ratio(kib, 1_024))
}

/// `100000` as `100,000`.
fn grouped(number: impl ToString) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Everybody beside everybody, with Graph as slow as this.
fn sides(results: &Results, delay_ms: u64) -> String {
    let mut text = format!(
        "### Graph answers after {delay_ms} ms\n\n\
         | users | who | what | time, s | × download | CPU, s | peak, MiB | requests to Graph |\n\
         |---:|---|---|---:|---:|---:|---:|---:|\n"
    );
    for row in results.rows.iter().filter(|row| row.delay_ms == delay_ms) {
        let floor = results.row(row.users, delay_ms, DOWNLOAD, "reads all");
        let times = floor.map_or_else(
            || "–".to_owned(),
            |it| format!("{:.2}", ratio(row.wall_ms, it.wall_ms)),
        );
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {times} | {} | {} | {} |",
            grouped(row.users),
            row.who,
            row.what,
            seconds(row.wall_ms),
            seconds(row.cpu_ms),
            megabytes(row.peak_kib),
            row.requests
        );
    }
    text + "\n"
}

/// The system's rows at the fastest Graph.
fn ours(results: &Results) -> impl Iterator<Item = (&Row, &crate::ran::Ran)> {
    let ours = results.rows.iter().filter(|row| row.delay_ms == 0);
    ours.filter_map(|row| Some((row, row.ran.as_ref()?)))
}

/// The three functions, each by itself.
fn functions(results: &Results) -> String {
    let mut text = String::from(
        "### The functions, each by itself\n\n\
         CPU in seconds over all environments of a function, its start included; peak of its largest environment in MiB. \
         The emulated DynamoDB and SQS are apart.\n\n\
         | users | what | enumerator | worker | finalizer | emulated AWS, CPU |\n|---:|---|---:|---:|---:|---:|\n",
    );
    for (row, ran) in ours(results) {
        let [enumerator, worker, finalizer] = ran.functions().map(|(_, it)| {
            let (cpu, peak) = (seconds(it.used.cpu_ms), megabytes(it.used.peak_kib));
            format!("{cpu} s, {peak} MiB")
        });
        let _ = writeln!(
            text,
            "| {} | {} | {enumerator} | {worker} | {finalizer} | {} s |",
            grouped(row.users),
            row.what,
            seconds(ran.aws_cpu_ms)
        );
    }
    text + "\n"
}

/// A first sync beside the floor of what it writes.
fn writes(results: &Results) -> String {
    let mut text = String::from(
        "### A first sync beside its bare writes\n\n\
         The same items, by as many writers as there are workers, into an emulated DynamoDB that is as empty: \
         put if they are not there, read from no Graph, under no lease. In both, what stands for AWS has one processor \
         for itself, and everybody else shares another.\n\n\
         | users | bare writes, s | first sync, s | of it the writes |\n|---:|---:|---:|---:|\n",
    );
    let measured = |who: &'static str| results.writes.iter().filter(move |row| row.who == who);
    for bare in measured(WRITER) {
        let Some(first) = measured(OURS).find(|row| row.users == bare.users) else {
            continue;
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.0} % |",
            grouped(bare.users),
            seconds(bare.wall_ms),
            seconds(first.wall_ms),
            100.0 * ratio(bare.wall_ms, first.wall_ms)
        );
    }
    text + "\n"
}

/// What one user takes, as tenants grow.
fn growth(results: &Results) -> String {
    let mut text = String::from(
        "### What one user takes\n\n\
         | users | what | time, µs | CPU, µs | read units | write units |\n|---:|---|---:|---:|---:|---:|\n",
    );
    for (row, ran) in ours(results) {
        let users = row.users as f64;
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} | {:.1} | {:.4} | {:.4} |",
            grouped(row.users),
            row.what,
            row.wall_ms as f64 * 1_000.0 / users,
            row.cpu_ms as f64 * 1_000.0 / users,
            ran.read_units / users,
            ran.write_units / users
        );
    }
    text + "\n"
}

/// What the kernel held to a size.
fn held_to(results: &Results) -> String {
    if results.held_to.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "### Held to a size by the kernel\n\n\
         | data of each environment, at most | users | what | ended | enumerator | worker | finalizer |\n\
         |---:|---:|---|---|---:|---:|---:|\n",
    );
    for (megabytes_max, row) in &results.held_to {
        let Some(ran) = &row.ran else {
            continue;
        };
        let peaks = ran.functions();
        let [enumerator, worker, finalizer] = peaks.map(|(_, it)| megabytes(it.used.peak_kib));
        let _ = writeln!(
            text,
            "| {megabytes_max} MiB | {} | {} | {} | {enumerator} MiB | {worker} MiB | {finalizer} MiB |",
            grouped(row.users),
            row.what,
            ran.state
        );
    }
    text + "\n"
}

/// Dollars for a million users a run, and what others would pay for DynamoDB alone.
fn costs(results: &Results) -> String {
    let mut text = String::from(
        "### Dollars for a million users a run\n\n\
         | measured at users | Graph, ms | what | reads | writes | queues | functions | all |\n\
         |---:|---:|---|---:|---:|---:|---:|---:|\n",
    );
    let largest = |delay_ms: u64| {
        let ours = results.rows.iter().filter(|row| row.who == OURS);
        let ours = ours.filter(|row| row.delay_ms == delay_ms);
        ours.map(|row| row.users).max().unwrap_or_default()
    };
    for row in results
        .rows
        .iter()
        .filter(|row| row.users == largest(row.delay_ms))
    {
        let Some(ran) = &row.ran else {
            continue;
        };
        let (cost, scale) = (Cost::of(ran), MILLION / row.users as f64);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.4} | {:.4} | {:.4} | {:.4} | **{:.4}** |",
            grouped(row.users),
            row.delay_ms,
            row.what,
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

/// Who would be switched off.
fn faults(rows: &[FaultRow]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
