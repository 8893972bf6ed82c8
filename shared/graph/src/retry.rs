//! Whether to ask again, and when: one [`Retry`] a request, over all its attempts.

use std::time::Duration;

use rollcall_ambient::Ambient;
use rollcall_core::ids::RunRef;

use crate::error::{FailedCall, GraphError};

/// Attempts of one request. With the default of five minutes a server may ask for one a second;
/// more than that is no service to wait for.
pub(crate) const ATTEMPTS_MAX: u32 = 300;

/// Attempts that may bring something that is not an answer: a page that is broken for good stays
/// broken, and each attempt transfers it in full.
pub(crate) const BROKEN_ATTEMPTS_MAX: u32 = 5;

/// The bound of the first wait, when the server names none.
const BACKOFF_FIRST_MS_MAX: u64 = 250;

/// The bound of every later wait: Graph's limits are counted over ten seconds, so waiting much
/// longer gains nothing.
const BACKOFF_MS_MAX: u64 = 20_000;

/// What went wrong in one attempt, when another may mend it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) call: Box<FailedCall>,
    pub(crate) retry_after_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// No answer, throttling, a server error.
    Passing,
    /// An answer that is not what it should be.
    Broken,
}

impl Fault {
    pub(crate) fn passing(call: Box<FailedCall>, retry_after_ms: Option<u64>) -> Self {
        Self {
            kind: FaultKind::Passing,
            call,
            retry_after_ms,
        }
    }

    pub(crate) fn broken(call: Box<FailedCall>) -> Self {
        Self {
            kind: FaultKind::Broken,
            call,
            retry_after_ms: None,
        }
    }
}

/// How long a request may be tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) retry_ms_max: u64,
    pub(crate) request_ms_max: u64,
    pub(crate) requests_max: u64,
}

/// The attempts of one request.
#[derive(Debug)]
pub(crate) struct Retry<'a> {
    ambient: &'a Ambient,
    limits: Limits,
    /// For the log: what is asked for.
    run: Option<&'a RunRef>,
    started_ms: u64,
    faults: u32,
    broken: u32,
    /// Requests that went to Graph.
    pub(crate) sent: u32,
    /// Whether a 401 has already led to a new token.
    pub(crate) token_renewed: bool,
}

impl<'a> Retry<'a> {
    pub(crate) fn new(ambient: &'a Ambient, limits: Limits) -> Self {
        Self {
            ambient,
            limits,
            run: None,
            started_ms: ambient.now_ms(),
            faults: 0,
            broken: 0,
            sent: 0,
            token_renewed: false,
        }
    }

    /// The same for a run, which the log names.
    pub(crate) fn of_run(self, run: Option<&'a RunRef>) -> Self {
        Self { run, ..self }
    }

    /// How long the next attempt may take.
    pub(crate) fn attempt_limit(&self) -> Duration {
        let left_ms = self.limits.retry_ms_max.saturating_sub(self.tried_ms());
        Duration::from_millis(left_ms.clamp(1, self.limits.request_ms_max))
    }

    fn tried_ms(&self) -> u64 {
        self.ambient.now_ms().saturating_sub(self.started_ms)
    }

    /// Waits until the next attempt may be made, or gives up: when the attempts are used up, or
    /// when the wait would go past the time that is left.
    pub(crate) async fn wait(&mut self, fault: Fault) -> Result<(), GraphError> {
        self.faults += 1;
        self.broken += u32::from(fault.kind == FaultKind::Broken);
        let tried_ms = self.tried_ms();
        let wait_ms = match fault.retry_after_ms {
            Some(ms) if ms > 0 => ms,
            _ => self.ambient.random_up_to(backoff_ms_max(self.faults)),
        };
        let out_of_time = wait_ms >= self.limits.retry_ms_max.saturating_sub(tried_ms);
        if out_of_time || self.faults >= ATTEMPTS_MAX || self.broken >= BROKEN_ATTEMPTS_MAX {
            return Err(self.give_up(fault, tried_ms));
        }
        tracing::info!(
            event = "graph_asked_again",
            tenant = self.run.map(|it| tracing::field::display(&it.tenant)),
            run = self.run.map(|it| it.run),
            operation = fault.call.operation,
            status = fault.call.status,
            code = fault.call.code,
            graph_request_id = fault.call.request_id,
            cause = fault.call.cause,
            attempt = self.faults,
            wait_ms
        );
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        Ok(())
    }

    fn give_up(&self, fault: Fault, tried_ms: u64) -> GraphError {
        match fault.kind {
            FaultKind::Passing => GraphError::Unavailable {
                call: fault.call,
                attempts: self.faults,
                tried_ms,
                retry_after_ms: fault.retry_after_ms,
            },
            FaultKind::Broken => GraphError::Unreliable {
                call: fault.call,
                attempts: self.faults,
            },
        }
    }
}

/// The bound of the wait after the given number of faults; the wait is drawn evenly from 0 to it
/// ("full jitter").
fn backoff_ms_max(faults: u32) -> u64 {
    1u64.checked_shl(faults.saturating_sub(1))
        .and_then(|factor| BACKOFF_FIRST_MS_MAX.checked_mul(factor))
        .map_or(BACKOFF_MS_MAX, |ms| ms.min(BACKOFF_MS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        retry_ms_max: 300_000,
        request_ms_max: 30_000,
        requests_max: 1_000,
    };

    fn throttled(retry_after_ms: Option<u64>) -> Fault {
        Fault::passing(FailedCall::of("users"), retry_after_ms)
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_waited_to_the_second() {
        let ambient = Ambient::simulated(0, 1);
        let mut retry = Retry::new(&ambient, LIMITS);
        retry.wait(throttled(Some(7_000))).await.unwrap();
        assert_eq!(ambient.now_ms(), 7_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_past_the_budget_ends_at_once() {
        let ambient = Ambient::simulated(0, 1);
        let mut retry = Retry::new(&ambient, LIMITS);
        let error = retry.wait(throttled(Some(300_000))).await.unwrap_err();
        assert_eq!(ambient.now_ms(), 0);
        assert_eq!(error.run_reason().name(), "graph_unavailable");
        let GraphError::Unavailable { retry_after_ms, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(retry_after_ms, Some(300_000));
    }

    #[tokio::test(start_paused = true)]
    async fn without_retry_after_the_waits_grow_and_end_within_the_budget() {
        for seed in 0..20 {
            let ambient = Ambient::simulated(0, seed);
            let mut retry = Retry::new(&ambient, LIMITS);
            let mut waits = Vec::new();
            let error = loop {
                let before_ms = ambient.now_ms();
                match retry.wait(throttled(None)).await {
                    Ok(()) => waits.push(ambient.now_ms() - before_ms),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, GraphError::Unavailable { .. }), "{error}");
            assert!(ambient.now_ms() <= 300_000);
            assert!(waits.len() >= 10, "{waits:?}");
            assert!(waits[0] <= 250 && waits[1] <= 500, "{waits:?}");
            assert!(waits.iter().all(|ms| *ms <= 20_000), "{waits:?}");
            assert!(waits.iter().any(|ms| *ms > 2_000), "{waits:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_of_zero_is_no_licence_to_hammer() {
        let ambient = Ambient::simulated(0, 1);
        let mut retry = Retry::new(&ambient, LIMITS);
        while retry.wait(throttled(Some(0))).await.is_ok() {}
        assert!(retry.faults < 100, "{}", retry.faults);
    }

    #[tokio::test(start_paused = true)]
    async fn the_attempts_are_bounded_even_when_the_clock_stands_still() {
        #[derive(Debug)]
        struct Stopped;
        impl rollcall_ambient::Clock for Stopped {
            fn now_ms(&self) -> u64 {
                0
            }
        }
        let ambient = Ambient::simulated(0, 1).with_clock(Stopped);
        let mut retry = Retry::new(&ambient, LIMITS);
        let mut attempts = 1;
        while retry.wait(throttled(Some(1_000))).await.is_ok() {
            attempts += 1;
            assert!(attempts <= ATTEMPTS_MAX);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_gets_no_more_time_than_is_left() {
        let ambient = Ambient::simulated(0, 1);
        let retry = Retry::new(&ambient, LIMITS);
        assert_eq!(retry.attempt_limit(), Duration::from_secs(30));
        tokio::time::sleep(Duration::from_secs(290)).await;
        assert_eq!(retry.attempt_limit(), Duration::from_secs(10));
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(retry.attempt_limit(), Duration::from_millis(1));
    }
}
