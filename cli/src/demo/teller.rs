//! Tells the story: to a person on stdout, or beside the JSON on stderr.

use std::cell::Cell;

use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::status::Reason;
use serde::Serialize;

use crate::output::Output;
use crate::output::run::{RunView, runs_table};
use crate::output::table::table;

/// Who was switched off, when, and why.
#[derive(Debug, Serialize)]
pub(super) struct SwitchedOff {
    pub(super) tenant: TenantId,
    pub(super) id: ObjectId,
    pub(super) reason: Reason,
    pub(super) run: u64,
    pub(super) evidence: String,
}

pub(super) struct Teller {
    output: Output,
    is_quiet: bool,
    chapters: Cell<u32>,
}

impl Teller {
    pub(super) fn new(output: Output, is_quiet: bool) -> Self {
        Self {
            output,
            is_quiet,
            chapters: Cell::new(0),
        }
    }

    /// The heading of what comes next.
    pub(super) fn chapter(&self, text: &str) -> anyhow::Result<()> {
        let number = self.chapters.get() + 1;
        self.chapters.set(number);
        self.say(&format!("\n{number}. {text}"))
    }

    /// A sentence.
    pub(super) fn say(&self, text: &str) -> anyhow::Result<()> {
        if !self.output.is_json() {
            return self.output.text(text);
        }
        if !self.is_quiet {
            eprintln!("{text}");
        }
        Ok(())
    }

    /// How runs ended.
    pub(super) fn runs(&self, runs: &[RunView]) -> anyhow::Result<()> {
        if self.output.is_json() {
            return self.output.objects(runs);
        }
        self.output.text(runs_table(runs))?;
        for run in runs {
            if let Some(sentence) = run.trouble() {
                self.output.text(sentence)?;
            }
        }
        Ok(())
    }

    /// The table at the end.
    pub(super) fn switched_off(&self, users: &[SwitchedOff]) -> anyhow::Result<()> {
        if self.output.is_json() {
            return self.output.objects(users);
        }
        let mut table = table(["tenant", "switched off", "reason", "run", "evidence"]);
        for user in users {
            table.add_row([
                user.tenant.to_string(),
                user.id.to_string(),
                user.reason.to_string(),
                user.run.to_string(),
                user.evidence.clone(),
            ]);
        }
        self.output
            .text(format_args!("\nWho was switched off, and why\n{table}"))
    }
}
