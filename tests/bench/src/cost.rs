//! What a run costs on AWS, by a formula over what was counted.

use serde::{Deserialize, Serialize};

use crate::ran::Ran;

// Prices in us-east-1, on demand and without a free tier, in dollars: those that hold since DynamoDB's were
// halved on 2024-11-01.
// <https://aws.amazon.com/dynamodb/pricing/on-demand/>, <https://aws.amazon.com/lambda/pricing/>,
// <https://aws.amazon.com/sqs/pricing/>

/// A million read request units.
pub const READ_UNITS: f64 = 0.125;
/// A million write request units.
pub const WRITE_UNITS: f64 = 0.625;
/// A million requests to a standard queue.
pub const SQS_REQUESTS: f64 = 0.40;
/// A gigabyte-second of an arm64 function.
pub const GB_SECOND: f64 = 0.000_013_333_4;
/// A million invocations.
pub const INVOCATIONS: f64 = 0.20;

/// The size of each function in gigabytes, as in template.yaml.
pub const FUNCTION_GB: f64 = 0.5;
/// A message is sent, received and deleted.
pub const REQUESTS_A_MESSAGE: u64 = 3;

const MILLION: f64 = 1_000_000.0;

/// A run's cost in dollars, by what is billed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// DynamoDB's read units.
    pub reads: f64,
    /// DynamoDB's write units.
    pub writes: f64,
    /// SQS's requests.
    pub queues: f64,
    /// Lambda's time and invocations.
    pub functions: f64,
}

impl Cost {
    /// Of a run.
    #[must_use]
    pub fn of(ran: &Ran) -> Self {
        let functions = ran.functions();
        let sum = |of: fn(&crate::runtime::FunctionUsed) -> u64| {
            functions.iter().map(|(_, it)| of(it)).sum::<u64>() as f64
        };
        let messages = sum(|it| it.messages);
        let seconds = sum(|it| it.billed_ms) / 1_000.0;
        Self {
            reads: ran.read_units * READ_UNITS / MILLION,
            writes: ran.write_units * WRITE_UNITS / MILLION,
            queues: messages * REQUESTS_A_MESSAGE as f64 * SQS_REQUESTS / MILLION,
            functions: seconds * FUNCTION_GB * GB_SECOND
                + sum(|it| it.invocations) * INVOCATIONS / MILLION,
        }
    }

    /// Of the same run with a Graph that answers so much later: whoever asked waits, and the time is billed.
    #[must_use]
    pub fn of_slower(ran: &Ran, requests: u64, more_ms: u64) -> Self {
        let (cost, waits_s) = (Self::of(ran), (requests * more_ms) as f64 / 1_000.0);
        Self {
            functions: cost.functions + waits_s * FUNCTION_GB * GB_SECOND,
            ..cost
        }
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.reads + self.writes + self.queues + self.functions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Used;
    use crate::runtime::FunctionUsed;

    #[test]
    fn each_thing_that_is_billed_has_its_price_and_a_wait_for_graph_is_billed() {
        let function = FunctionUsed {
            used: Used::default(),
            invocations: 1_000_000,
            messages: 500_000,
            billed_ms: 2_000_000,
        };
        let ran = Ran {
            state: "COMPLETED".to_owned(),
            why: None,
            wall_ms: 1,
            enumerator: function,
            worker: FunctionUsed::default(),
            finalizer: FunctionUsed::default(),
            aws_cpu_ms: 0,
            read_units: 2_000_000.0,
            write_units: 4_000_000.0,
            changed: 0,
            off: 0,
        };
        let cost = Cost::of(&ran);
        let is = |value: f64, wanted: f64| assert!((value - wanted).abs() < 1e-9, "{value}");
        is(cost.reads, 0.25);
        is(cost.writes, 2.5);
        is(cost.queues, 0.6);
        is(cost.functions, 0.013_333_4 + 0.2);
        is(cost.total(), 3.563_333_4);
        // A thousand answers, each two seconds later.
        let slower = Cost::of_slower(&ran, 1_000, 2_000);
        is(slower.total() - cost.total(), 0.013_333_4);
    }
}
