//! Starting and stopping what drives functions.

use std::time::Duration;

use aws_sdk_sqs::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::error::TriggerError;
use crate::schedule::Schedule;
use crate::source::{EventSource, Poller};

/// How long a stop waits for calls under way; then they are cut off, as a crash would.
const STOP_MS_MAX: u64 = 10_000;

/// Running event sources and schedules. Dropping it stops them and cuts their calls off;
/// [`Triggers::stop`] lets the calls finish.
#[derive(Debug)]
pub struct Triggers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Triggers {
    /// Starts all of them, or none if one is not in order.
    ///
    /// # Errors
    /// [`TriggerError`] for a queue that cannot be read, a number out of its range, or a
    /// visibility timeout that is shorter than its function's time limit.
    pub async fn start(
        sqs: &Client,
        sources: Vec<EventSource>,
        schedules: Vec<Schedule>,
    ) -> Result<Self, TriggerError> {
        let mut pollers = Vec::with_capacity(sources.len());
        for source in sources {
            pollers.push(Poller::new(sqs.clone(), source).await?);
        }
        schedules.iter().try_for_each(Schedule::check)?;
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        for poller in pollers {
            tasks.spawn(poller.run(Stop(stop.subscribe())));
        }
        for schedule in schedules {
            tasks.spawn(schedule.run(Stop(stop.subscribe())));
        }
        Ok(Self { stop, tasks })
    }

    /// Takes no more messages and fires no more schedules, and waits for the calls under way, but
    /// not for ever: after ten seconds they are cut off.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The wish to stop, as the tasks see it.
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Comes back once the stop is asked for; at once, if it was before.
    pub(crate) async fn asked(&mut self) {
        // An error means that nobody is left to ask, which is a stop, too.
        let _ = self.0.wait_for(|asked| *asked).await;
    }
}

/// Waits for calls under way, and cuts off those that take too long.
pub(crate) async fn drain(mut calls: JoinSet<()>) {
    let all = async { while calls.join_next().await.is_some() {} };
    if timeout(Duration::from_millis(STOP_MS_MAX), all)
        .await
        .is_err()
    {
        tracing::warn!(calls = calls.len(), "calls cut off by the stop");
        calls.shutdown().await;
    }
}
