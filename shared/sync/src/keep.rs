//! Keeping a lease while something slow goes on. It is done beside the work, in the same task: a
//! function that is frozen keeps nothing, loses its lease, and its writes are refused.

use std::future::Future;
use std::pin::pin;

use rollcall_store::{RunLease, Store};
use tokio::time::{Duration, sleep};

use crate::error::Stop;

/// A lease is renewed when a third of it has passed: two renewals may fail before it lapses.
const RENEWALS_PER_LEASE: u64 = 3;

/// Waits for `work`, and keeps the run's lease meanwhile. The wait is bounded by `work`.
pub(crate) async fn while_kept<T>(
    store: &Store,
    lease: &RunLease,
    work: impl Future<Output = T>,
) -> Result<T, Stop> {
    let mut work = pin!(work);
    let pause = Duration::from_millis(lease.lease_ms() / RENEWALS_PER_LEASE);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            () = sleep(pause) => store.keep_run(lease).await.map_err(Stop::not_kept)?,
        }
    }
}
