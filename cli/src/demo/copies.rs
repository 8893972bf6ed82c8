//! Workers that come twice, and messages that come late.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rollcall_local::{Function, function};
use serde_json::Value;

/// A worker's events, and whether each is worked on twice. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Copies(Arc<Inner>);

#[derive(Default)]
struct Inner {
    is_doubling: AtomicBool,
    events: Mutex<Vec<Value>>,
    worker: OnceLock<Function>,
}

impl Copies {
    /// Puts itself around a worker.
    pub(super) fn around(&self, worker: Function) -> Function {
        let worker = self.0.worker.get_or_init(|| worker).clone();
        let copies = self.clone();
        function(move |event| {
            copies.remember(&event);
            let copy = copies.0.is_doubling.load(Ordering::Relaxed);
            let copy = copy.then(|| worker(event.clone()));
            let first = worker(event);
            async move {
                match copy {
                    // The copy's failure is not the first one's.
                    Some(copy) => tokio::join!(first, copy).0,
                    None => first.await,
                }
            }
        })
    }

    /// Gives each batch to two workers at once, or no more.
    pub(super) fn double(&self, on: bool) {
        self.0.is_doubling.store(on, Ordering::Relaxed);
    }

    /// All events so far.
    pub(super) fn seen(&self) -> Vec<Value> {
        let events = self.0.events.lock();
        events.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Delivers events again; gives how many.
    pub(super) async fn replay(&self, events: Vec<Value>) -> usize {
        let mut delivered = 0;
        if let Some(worker) = self.0.worker.get() {
            for event in events {
                // What it answers is of no account: what it wrote is looked at.
                let _ = worker(event).await;
                delivered += 1;
            }
        }
        delivered
    }

    fn remember(&self, event: &Value) {
        let events = self.0.events.lock();
        events
            .unwrap_or_else(PoisonError::into_inner)
            .push(event.clone());
    }
}
