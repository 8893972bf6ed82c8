//! What a run of the system took.

use serde::{Deserialize, Serialize};

use crate::runtime::FunctionUsed;

/// What a run came to, and what it took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ran {
    /// The state that it ended in.
    pub state: String,
    /// Why it failed, or what holds it.
    pub why: Option<String>,
    /// From the start of the environments to the end that the run notes of itself, in milliseconds.
    pub wall_ms: u64,
    /// The functions.
    pub enumerator: FunctionUsed,
    /// The functions.
    pub worker: FunctionUsed,
    /// The functions.
    pub finalizer: FunctionUsed,
    /// Processor time of what stands for AWS, in milliseconds.
    pub aws_cpu_ms: u64,
    /// What DynamoDB billed, as the run has it noted.
    pub read_units: f64,
    /// What DynamoDB billed, as the run has it noted.
    pub write_units: f64,
    /// Created, updated and reactivated.
    pub changed: u64,
    /// Switched off.
    pub off: u64,
}

impl Ran {
    /// The three functions.
    #[must_use]
    pub fn functions(&self) -> [(&'static str, FunctionUsed); 3] {
        [
            ("enumerator", self.enumerator),
            ("worker", self.worker),
            ("finalizer", self.finalizer),
        ]
    }

    /// Processor time of all functions, in milliseconds.
    #[must_use]
    pub fn cpu_ms(&self) -> u64 {
        let each = self.functions().map(|(_, it)| it.used.cpu_ms);
        each.iter().sum()
    }

    /// The peak of the largest environment, in kibibytes.
    #[must_use]
    pub fn peak_kib(&self) -> u64 {
        let each = self.functions().map(|(_, it)| it.used.peak_kib);
        each.into_iter().max().unwrap_or_default()
    }
}
