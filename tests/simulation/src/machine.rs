//! The machines of a world: the shipped store and functions, each on a clock that may be off.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use rollcall_ambient::Ambient;
use rollcall_store::{Store, TableNames};
use rollcall_sync::{App, Outlet, Pace};

use crate::graph::Road;
use crate::item::Table;
use crate::lambda::Skewed;
use crate::world::World;

impl World {
    /// A store on a machine whose clock is off.
    pub(crate) fn store(self: &Arc<Self>, skew_ms: i64) -> Store {
        let clock = SimClock::new(self, skew_ms);
        let tables = TableNames {
            directory: Table::Directory.name().to_owned(),
            coordination: Table::Coordination.name().to_owned(),
        };
        let client = crate::dynamo::client(self, clock);
        Store::new(client, tables, self.ambient_at(skew_ms))
    }

    /// The functions on a machine whose clock is off: the shipped code, all of it.
    pub(crate) fn app(self: &Arc<Self>, skew_ms: i64) -> App {
        let queues = crate::queues::queues(self, SimClock::new(self, skew_ms));
        let ambient = self.ambient_at(skew_ms);
        App::new(self.store(skew_ms), queues, self.secrets.clone(), ambient)
            .over(Arc::new(Road(Arc::clone(self))))
            .at_pace(self.pace())
    }

    /// The outlet on a machine whose clock is off.
    pub(crate) fn outlet(self: &Arc<Self>, skew_ms: i64) -> Outlet {
        Outlet {
            store: self.store(skew_ms),
            topic: crate::topic::topic(self, SimClock::new(self, skew_ms)),
            ambient: self.ambient_at(skew_ms),
        }
    }

    fn pace(&self) -> Pace {
        match self.tenants_at_once.load(Ordering::Relaxed) {
            0 => Pace::default(),
            tenants_at_once => Pace {
                tenants_at_once,
                starts_per_second: 1,
            },
        }
    }

    /// From now on a schedule goes through so many tenants at once, and starts one in a second.
    pub(crate) fn go_through(&self, tenants_at_once: u16) {
        self.tenants_at_once
            .store(tenants_at_once, Ordering::Relaxed);
    }

    fn ambient_at(self: &Arc<Self>, skew_ms: i64) -> Ambient {
        self.ambient.with_clock(Skewed {
            world: Arc::clone(self),
            skew_ms,
        })
    }
}

/// The clock of a machine, as the SDK reads it.
#[derive(Debug, Clone)]
pub(crate) struct SimClock(Skewed);

impl SimClock {
    fn new(world: &Arc<World>, skew_ms: i64) -> Self {
        Self(Skewed {
            world: Arc::clone(world),
            skew_ms,
        })
    }
}

impl TimeSource for SimClock {
    fn now(&self) -> SystemTime {
        let now_ms = rollcall_ambient::Clock::now_ms(&self.0);
        SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms)
    }
}
