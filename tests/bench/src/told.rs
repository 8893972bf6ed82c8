//! The figures as the tables of a page.

use std::fmt::Write;

use crate::cases::{DOWNLOAD, FIRST, GONE_APPROVED, GONE_HELD, OURS, Row, UNCHANGED, WRITER};
use crate::ran::Ran;
use crate::results::Results;
use crate::runtime::FunctionUsed;

mod costs;
mod faults;

/// A measurement, and to how many mebibytes the kernel held the data of each environment, if it did.
struct Shown<'a> {
    row: &'a Row,
    mib_max: Option<u64>,
}

impl Shown<'_> {
    /// What was done. Only functions are held to a size.
    fn what(&self) -> String {
        match (self.mib_max, &self.row.ran) {
            (Some(mib), Some(_)) => format!("{}, held to {mib} MiB", self.row.what),
            _ => self.row.what.clone(),
        }
    }
}

/// All measurements of the cases, those of functions that were held to a size at the end.
fn all(results: &Results) -> impl Iterator<Item = Shown<'_>> {
    let free = results.rows.iter().map(|row| Shown { row, mib_max: None });
    let held = results.held_to.iter().map(|(mib, row)| Shown {
        row,
        mib_max: Some(*mib),
    });
    free.chain(held)
}

/// All tables.
#[must_use]
pub fn tables(results: &Results) -> String {
    let machine = &results.machine;
    let mut page = format!(
        "Measured on {} on {} processors ({}), {} GiB. Everything runs on them at once: the emulated Graph, the emulated \
         AWS, the functions. Figures compare, they promise nothing for another machine.\n\n",
        machine.day, machine.processors, machine.processor, machine.memory_gib
    );
    if !results.held_to.is_empty() {
        page += "What is held to a size ran under a memory limit: the kernel let each environment of a function have so \
                 much data and no more. Who only reads is never limited.\n\n";
    }
    let mut delays: Vec<u64> = all(results).map(|it| it.row.delay_ms).collect();
    delays.sort_unstable();
    delays.dedup();
    for delay_ms in delays {
        page += &sides(results, delay_ms);
    }
    page += &functions(results);
    page += &plan(results);
    page += &writes(results);
    page += &growth(results);
    page += &held_to(results);
    page += &costs::table(results);
    page += &faults::table(&results.faults);
    page
}

fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to.max(1) as f64
}

fn seconds(ms: u64) -> String {
    format!("{:.2}", ratio(ms, 1_000))
}

fn percent(of: u64, to: u64) -> String {
    format!("{:.0} %", 100.0 * ratio(of, to))
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
    for shown in all(results).filter(|it| it.row.delay_ms == delay_ms) {
        let row = shown.row;
        let times = floor(results, &shown).map_or_else(
            || "–".to_owned(),
            |it| format!("{:.2}", ratio(row.wall_ms, it.wall_ms)),
        );
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {times} | {} | {} | {} |",
            grouped(row.users),
            row.who,
            shown.what(),
            seconds(row.wall_ms),
            seconds(row.cpu_ms),
            megabytes(row.peak_kib),
            row.requests
        );
    }
    text + "\n"
}

/// The bare download that was measured in the same turn.
fn floor<'a>(results: &'a Results, of: &Shown<'_>) -> Option<&'a Row> {
    let same = |it: &Shown<'_>| {
        (it.mib_max, it.row.users, it.row.delay_ms) == (of.mib_max, of.row.users, of.row.delay_ms)
    };
    let floor = all(results).find(|it| it.row.who == DOWNLOAD && same(it));
    floor.map(|it| it.row)
}

/// The system's rows at the fastest Graph.
fn ours(results: &Results) -> impl Iterator<Item = (Shown<'_>, &Ran)> {
    let ours = all(results).filter(|it| it.row.delay_ms == 0);
    ours.filter_map(|it| {
        let ran = it.row.ran.as_ref()?;
        Some((it, ran))
    })
}

/// The three functions, each by itself.
fn functions(results: &Results) -> String {
    let mut text = String::from(
        "### The functions, each by itself\n\n\
         CPU in seconds over all environments of a function, its start included; peak of its largest environment in MiB. \
         Messages of SQS, invocations and the seconds that are billed for them are of the three together. The emulated \
         DynamoDB and SQS are apart.\n\n\
         | users | what | enumerator | worker | finalizer | messages | invocations | billed, s | emulated AWS, CPU |\n\
         |---:|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (shown, ran) in ours(results) {
        let functions = ran.functions();
        let [enumerator, worker, finalizer] = functions.map(|(_, it)| {
            let (cpu, peak) = (seconds(it.used.cpu_ms), megabytes(it.used.peak_kib));
            format!("{cpu} s, {peak} MiB")
        });
        let sum =
            |of: fn(&FunctionUsed) -> u64| functions.iter().map(|(_, it)| of(it)).sum::<u64>();
        let (messages, invocations) = (sum(|it| it.messages), sum(|it| it.invocations));
        let _ = writeln!(
            text,
            "| {} | {} | {enumerator} | {worker} | {finalizer} | {} | {} | {} | {} s |",
            grouped(shown.row.users),
            shown.what(),
            grouped(messages),
            grouped(invocations),
            seconds(sum(|it| it.billed_ms)),
            seconds(ran.aws_cpu_ms)
        );
    }
    text + "\n"
}

/// What each user of a plan takes in the finalizer: while the plan is made, by the peak over that of a run that plans
/// nobody; while an approved one is carried out, by the peak over that of the smallest plan.
fn plan(results: &Results) -> String {
    let mut approved: Vec<_> = ours(results)
        .filter(|(it, _)| it.row.what == GONE_APPROVED)
        .collect();
    approved.sort_by_key(|(_, ran)| ran.off);
    let (Some((_, small)), Some((largest, large))) = (approved.first(), approved.last()) else {
        return String::new();
    };
    if large.off == small.off {
        return String::new();
    }
    let peak = |ran: &Ran| ran.finalizer.used.peak_kib;
    let with_as_many = |what: &str| {
        let found =
            ours(results).find(|(it, _)| it.row.what == what && it.row.users == largest.row.users);
        found.map(|(_, ran)| peak(ran))
    };
    let (Some(held), Some(unchanged)) = (with_as_many(GONE_HELD), with_as_many(UNCHANGED)) else {
        return String::new();
    };
    let bytes = |more_kib: u64, users: u64| format!("{:.0}", 1_024.0 * ratio(more_kib, users));
    format!(
        "A plan of {} users took the finalizer {} bytes of each while it was made, and {} while it was carried out after \
         its approval.\n\n",
        grouped(large.off),
        bytes(held.saturating_sub(unchanged), large.off),
        bytes(
            peak(large).saturating_sub(peak(small)),
            large.off - small.off
        )
    )
}

/// A first sync beside the floor of what it writes.
fn writes(results: &Results) -> String {
    let mut text = String::from(
        "### A first sync beside its bare writes\n\n\
         The same items, in requests of the same form and size, by as many writers as there are workers, into an \
         emulated DynamoDB that is as empty: put if they are not there, read from no Graph, under no lease, and timed \
         from the first request to the last answer. In both, what stands for AWS has one processor for itself, and \
         everybody else shares another: its share is the part of the time for which it computed.\n\n\
         | users | bare writes, s | emulated AWS, CPU | its share | first sync, s | emulated AWS, CPU | its share | of the \
         first sync the bare writes |\n|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let measured = |who: &'static str| results.writes.iter().filter(move |row| row.who == who);
    for bare in measured(WRITER) {
        let of_it = |row: &&Row| row.users == bare.users && row.what == FIRST;
        let Some(first) = measured(OURS).find(of_it) else {
            continue;
        };
        let took = |row: &Row| {
            let aws_cpu_ms = row.aws_cpu_ms().unwrap_or_default();
            let share = percent(aws_cpu_ms, row.wall_ms);
            format!(
                "{} | {} s | {share}",
                seconds(row.wall_ms),
                seconds(aws_cpu_ms)
            )
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            grouped(bare.users),
            took(bare),
            took(first),
            percent(bare.wall_ms, first.wall_ms)
        );
    }
    text + "\n"
}

/// What one user takes, as tenants grow.
fn growth(results: &Results) -> String {
    let mut text = String::from(
        "### What one user takes\n\n\
         Units are those that a run notes of itself.\n\n\
         | users | what | time, µs | CPU, µs | read units | write units |\n|---:|---|---:|---:|---:|---:|\n",
    );
    for (shown, ran) in ours(results) {
        let (row, users) = (shown.row, shown.row.users as f64);
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} | {:.1} | {:.4} | {:.4} |",
            grouped(row.users),
            shown.what(),
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

#[cfg(test)]
#[path = "told_tests.rs"]
mod tests;
