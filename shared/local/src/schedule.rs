//! Schedules: what EventBridge Scheduler does with a rate.

use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::error::TriggerError;
use crate::function::{Function, invoke};
use crate::triggers::{Stop, drain};

/// A function that is called again and again.
#[derive(Clone)]
pub struct Schedule {
    /// Its name in logs and errors.
    pub name: String,
    /// How long after the start it fires first; with zero, at once.
    pub first_after: Duration,
    /// The time from fire to fire; more than zero.
    pub period: Duration,
    /// The event, the same each time.
    pub payload: Value,
    /// The function. A call that fails is logged; the next fire is the retry.
    pub function: Function,
    /// When a call is cut off, in milliseconds; never, if there is none.
    pub function_ms_max: Option<u64>,
}

impl Schedule {
    pub(crate) fn check(&self) -> Result<(), TriggerError> {
        if self.period.is_zero() {
            return Err(TriggerError::OutOfRange {
                what: "period",
                of: self.name.clone(),
                value: 0,
                range: "more than zero",
            });
        }
        Ok(())
    }

    /// Fires until it is told to stop, then lets the call under way finish, within bounds. A fire
    /// that falls into the call of the one before is left out, so that calls never pile up.
    pub(crate) async fn run(self, mut stop: Stop) {
        let mut ticks = interval_at(Instant::now() + self.first_after, self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut calls = JoinSet::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.asked() => break,
            }
            while calls.try_join_next().is_some() {}
            let schedule = self.name.as_str();
            if !calls.is_empty() {
                tracing::info!(schedule, "still running; this fire is left out");
                continue;
            }
            let fire = self.clone();
            calls.spawn(async move {
                let Self { name, payload, .. } = fire;
                if let Err(failure) = invoke(&fire.function, payload, fire.function_ms_max).await {
                    tracing::warn!(schedule = name, %failure, "call failed");
                }
            });
        }
        drain(calls).await;
    }
}
