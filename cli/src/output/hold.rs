//! The plans that wait for a person, as a table with what he can do.

use super::run::RunView;
use super::table::{grouped, or_dash, right, table};
use super::time;

/// What `hold list` shows of the held runs.
pub(crate) fn holds(runs: &[RunView]) -> String {
    if runs.is_empty() {
        return "No plan waits for a person.".to_owned();
    }
    let mut table = table([
        "run",
        "mode",
        "guard",
        "found",
        "at most",
        "would switch off",
        "of seen",
        "held at",
        "plan",
    ]);
    right(&mut table, &[3, 4, 5, 6]);
    let mut then = String::new();
    for run in runs {
        let Some(held) = run.hold() else { continue };
        table.add_row([
            run.name(),
            run.mode_name().to_owned(),
            held.guard.to_owned(),
            held.value,
            held.limit,
            grouped(held.deactivations),
            grouped(run.users_seen),
            or_dash(run.ended_at.map(time::short)),
            held.plan.clone(),
        ]);
        let name = run.name();
        then.push_str(&format!(
            "\n{name}: see who and why with `rollcall run show {name}`, then\n  \
             rollcall hold approve {name} --plan {}\n  rollcall hold reject {name}\n",
            held.plan
        ));
    }
    format!("{table}\n{}", then.trim_end())
}
