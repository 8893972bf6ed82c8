//! Lambda as it is: an invocation has a clock that may be off, a time limit at which it is cut, a
//! process that can die at any await, and a machine that can stand still in between.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rollcall_ambient::Clock;
use rollcall_core::ids::ObjectId;
use rollcall_sync::{HandlerError, stop_at_ms};
use serde_json::Value;
use tokio::time::{Instant, Sleep, sleep_until};
use uuid::Uuid;

use crate::called_for::CalledFor;
use crate::chaos::{At, Fate, Of};
use crate::item::Place;
use crate::world::{World, lock};

/// Which function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Enumerator,
    Worker,
    Finalizer,
    Publisher,
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enumerator => "enumerator",
            Self::Worker => "worker",
            Self::Finalizer => "finalizer",
            Self::Publisher => "publisher",
        })
    }
}

/// What Graph told an invocation about one user, when it asked by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// There is such a user; whether he is enabled, if that was said.
    Alive(Option<bool>),
    /// He is in the bin.
    InBin,
    /// 404 with the code that counts.
    NotFound,
    /// A delta has told that he is removed.
    Removed,
    /// Whether he is in one of the groups that were asked about, and whether the same answer says so of anybody.
    Member {
        /// In one at least.
        is_in: bool,
        /// Somebody is.
        is_vouched: bool,
    },
    /// Whether he is out of scope by what he is, groups apart, if that was said.
    Outside(Option<bool>),
}

/// One invocation.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) id: u64,
    pub(crate) function: Function,
    fate: Fate,
    calls: AtomicU32,
    writes: AtomicU32,
    last_writes: AtomicU32,
    is_at_the_end: AtomicBool,
    dead: AtomicBool,
    thaws_at: Mutex<Option<Instant>>,
    /// What waits for its machine to go on.
    waits: Mutex<Option<Waker>>,
    /// Whose Graph it asks.
    pub(crate) tenant: Mutex<Option<usize>>,
    /// What it was called for.
    pub(crate) called_for: CalledFor,
    /// By tenant and user: what was said last, and that the user was in the bin or not found at all.
    pub(crate) told: Mutex<HashMap<(String, ObjectId), Vec<Told>>>,
    /// By tenant and group: whom Graph listed in the last walk through its members.
    pub(crate) listed: Mutex<HashMap<(String, Uuid), Listed>>,
    /// Whom it asked for in bulk.
    pub(crate) asked: Mutex<BTreeSet<ObjectId>>,
    /// The last page that it was served whole.
    pub(crate) served: Mutex<Option<Served>>,
    /// The last page of users, once it has asked for a delta behind it.
    pub(crate) served_before: Mutex<Option<Served>>,
    /// What it had been served, as it came, when it asked for another page: one of them is committed
    /// meanwhile.
    pub(crate) committing: Mutex<Vec<Served>>,
    /// The batches and runs whose lease it gave back, and those that it rang for.
    pub(crate) gave_back: Mutex<BTreeSet<Place>>,
    pub(crate) rang_for: Mutex<BTreeSet<Place>>,
    /// Which request of Graph it is trying, and since when, by the true clock.
    pub(crate) trying: Mutex<Option<(String, u64)>>,
    /// How long its machine has stood still, in milliseconds.
    pub(crate) stood_ms: AtomicU64,
    /// When it was called, by the true clock.
    pub(crate) began_ms: u64,
    /// When it was called, by its own clock.
    pub(crate) called_at_ms: u64,
}

/// The list of a group's users, as far as it was served.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listed {
    pub(crate) users: BTreeSet<ObjectId>,
    /// Those of earlier walks too: a next link can lead back to the first page.
    pub(crate) ever: BTreeSet<ObjectId>,
    /// Whether its last page came.
    pub(crate) is_whole: bool,
}

/// A page of users, as far as the checks need it.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) users: u64,
    /// Whether it was asked for by the first address, and not by a next link.
    pub(crate) is_first: bool,
    /// How many of them said whether they are enabled.
    pub(crate) decided: u64,
    /// Whether it is one of a delta.
    pub(crate) is_delta: bool,
    /// How many different users stand on it.
    pub(crate) different: u64,
    /// What it tells last of whether each is enabled, by id, if it does.
    pub(crate) enabled: BTreeMap<String, Option<bool>>,
    pub(crate) next: ServedNext,
    /// Whether it was committed: no page is, twice.
    pub(crate) is_committed: bool,
}

/// How a page ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServedNext {
    Users(String),
    /// There is no next link to more users.
    LastUsers,
    Delta(String),
    DeltaLink(String),
    /// There are no more users, and the delta behind them is lost.
    NoDelta,
}

tokio::task_local! {
    static INVOCATION: Arc<Invocation>;
}

/// Around a call to a service: before it is sent, or after its answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
}

/// How an invocation ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Answered(Value),
    Failed(HandlerError),
    Died,
    CutOff,
}

impl Invocation {
    /// The invocation that the current task belongs to.
    pub(crate) fn current() -> Option<Arc<Self>> {
        INVOCATION.try_with(Arc::clone).ok()
    }

    /// What it has been served for a page. The last page of users waits for the first of the delta behind
    /// it: if that has nobody and a delta link, the two are one; if not, the users come first.
    pub(crate) fn has_been_served(&self) -> Option<Served> {
        let served = lock(&self.served).clone();
        let Some(users) = lock(&self.served_before).clone() else {
            return served;
        };
        Some(match served {
            // Lost: the users end the list.
            None => Served {
                next: ServedNext::NoDelta,
                ..users
            },
            Some(Served {
                is_delta: true,
                users: 0,
                next: next @ ServedNext::DeltaLink(_),
                ..
            }) => Served { next, ..users },
            Some(_) => users,
        })
    }

    /// A call is about to be sent to DynamoDB.
    pub(crate) fn calls_dynamo(&self, writes: bool, names_end: bool) {
        let writes = u32::from(writes);
        self.writes.fetch_add(writes, Ordering::Relaxed);
        if names_end {
            self.is_at_the_end.store(true, Ordering::Relaxed);
        }
        if self.is_at_the_end.load(Ordering::Relaxed) {
            self.last_writes.fetch_add(writes, Ordering::Relaxed);
        }
    }

    /// Passes a point at which the invocation may die or freeze, around a call that writes or not.
    pub(crate) async fn step(&self, world: &World, moment: Moment, writes: bool) {
        let is_after = moment == Moment::After;
        if !is_after {
            self.calls.fetch_add(1, Ordering::Relaxed);
        }
        match self.fate {
            Fate::Dies(at) if self.is_at(at, is_after, writes) => {
                world.tell(|| "!! dies".into());
                world.mark("fault: a process died");
                self.dead.store(true, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
            Fate::Freezes(at, ms) if self.is_at(at, is_after, writes) => {
                world.tell(|| format!("!! stands still for {ms} ms"));
                world.mark("fault: a machine stood still");
                self.stood_ms.fetch_add(ms, Ordering::Relaxed);
                *lock(&self.thaws_at) = Some(Instant::now() + Duration::from_millis(ms));
                tokio::task::yield_now().await;
                world.tell(|| "goes on".into());
            }
            Fate::FreezesUntilTaken(at, ms_max) if self.is_at(at, is_after, writes) => {
                world.tell(|| "!! stands still until a lease of its is taken".into());
                lock(&world.standing).extend(Self::current().map(|it| (self.id, it)));
                let since_ms = world.now_ms();
                *lock(&self.thaws_at) = Some(Instant::now() + Duration::from_millis(ms_max));
                tokio::task::yield_now().await;
                let stood_ms = world.now_ms().saturating_sub(since_ms);
                self.stood_ms.fetch_add(stood_ms, Ordering::Relaxed);
                if lock(&world.standing).remove(&self.id).is_none() {
                    world.mark("fault: a machine stood still until its lease was taken");
                }
                world.tell(|| "goes on".into());
            }
            _ => {}
        }
    }

    /// Its machine goes on, at this moment.
    pub(crate) fn thaw(&self) {
        *lock(&self.thaws_at) = Some(Instant::now());
        if let Some(waits) = lock(&self.waits).take() {
            waits.wake();
        }
    }

    fn is_at(&self, at: At, is_after: bool, writes: bool) -> bool {
        let count = match at.of {
            Of::Calls => &self.calls,
            Of::Writes => &self.writes,
            Of::LastWrites => &self.last_writes,
        };
        at.after == is_after
            && (writes || at.of == Of::Calls)
            && at.nth == count.load(Ordering::Relaxed)
    }
}

/// A clock that is off.
#[derive(Debug, Clone)]
pub(crate) struct Skewed {
    pub(crate) world: Arc<World>,
    pub(crate) skew_ms: i64,
}

impl Clock for Skewed {
    fn now_ms(&self) -> u64 {
        self.world.now_ms().saturating_add_signed(self.skew_ms)
    }
}

/// Calls a function with an event.
pub(crate) async fn invoke(world: &Arc<World>, function: Function, event: Value) -> Ended {
    let limit_ms = world.limit_ms(function);
    let skew_ms = world.chaos.skew_ms(&world.dice, limit_ms);
    let called_at_ms = world.now_ms().saturating_add_signed(skew_ms);
    let invocation = Arc::new(Invocation {
        id: world.next_invocation(),
        function,
        fate: world
            .chaos
            .fate(&world.dice, function, world.lease_ms_max(), limit_ms),
        calls: AtomicU32::new(0),
        writes: AtomicU32::new(0),
        last_writes: AtomicU32::new(0),
        is_at_the_end: AtomicBool::new(false),
        dead: AtomicBool::new(false),
        thaws_at: Mutex::new(None),
        waits: Mutex::default(),
        tenant: Mutex::new(None),
        called_for: CalledFor::by(&event),
        told: Mutex::default(),
        listed: Mutex::default(),
        asked: Mutex::default(),
        served: Mutex::default(),
        served_before: Mutex::default(),
        committing: Mutex::default(),
        gave_back: Mutex::default(),
        rang_for: Mutex::default(),
        trying: Mutex::default(),
        stood_ms: AtomicU64::new(0),
        began_ms: world.now_ms(),
        called_at_ms,
    });
    // Lambda tells the deadline by its own clock; the function compares it with the machine's.
    let deadline_ms = world.now_ms() + limit_ms;
    let stop_at_ms = stop_at_ms(called_at_ms, deadline_ms);
    let within = Arc::clone(&invocation);
    INVOCATION
        .scope(within, async {
            world.tell(|| format!("is called: {event}"));
            let ended = run(world, &invocation, (event, skew_ms), stop_at_ms, limit_ms).await;
            world.mark("calls of functions");
            if matches!(ended, Ended::CutOff) {
                world.mark("fault: cut off at the time limit");
            }
            world.tell(|| format!("ends: {ended}"));
            rang_for_what_it_gave_back(world, &invocation, &ended);
            ended
        })
        .await
}

/// Whoever gives back what is not done rings for it, or says that it failed: nobody else knows of it
/// before the next sweep.
fn rang_for_what_it_gave_back(world: &World, invocation: &Invocation, ended: &Ended) {
    let Ended::Answered(answer) = ended else {
        return;
    };
    let failures = answer["batchItemFailures"].as_array();
    if failures.is_some_and(|failures| !failures.is_empty()) {
        return;
    }
    let rang_for = lock(&invocation.rang_for);
    for place in lock(&invocation.gave_back).difference(&rang_for) {
        world.violate(
            "invariant 9: what is given back is rung for",
            format!("{place} (by {}#{})", invocation.function, invocation.id),
        );
    }
}

async fn run(
    world: &Arc<World>,
    invocation: &Arc<Invocation>,
    (event, skew_ms): (Value, i64),
    stop_at_ms: u64,
    limit_ms: u64,
) -> Ended {
    let step = async {
        let app = || world.app(skew_ms);
        match invocation.function {
            Function::Enumerator => app().enumerator(event, stop_at_ms).await,
            Function::Worker => app().worker(event, stop_at_ms).await,
            Function::Finalizer => app().finalizer(event, stop_at_ms).await,
            Function::Publisher => world.outlet(skew_ms).publisher(event, stop_at_ms).await,
        }
    };
    let mut step = pin!(step);
    let mut limit = pin!(sleep_until(
        Instant::now() + Duration::from_millis(limit_ms)
    ));
    let mut thaw: Pin<Box<Sleep>> = Box::pin(sleep_until(Instant::now()));
    poll_fn(|context| {
        if limit.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ended::CutOff);
        }
        poll_step(world, invocation, step.as_mut(), thaw.as_mut(), context)
    })
    .await
}

/// Lets the step go on, unless its machine stands still: then nothing in it happens, its timers
/// included.
fn poll_step<Step>(
    world: &World,
    invocation: &Invocation,
    mut step: Pin<&mut Step>,
    mut thaw: Pin<&mut Sleep>,
    context: &mut Context<'_>,
) -> Poll<Ended>
where
    Step: Future<Output = Result<Value, HandlerError>>,
{
    // Two rounds: the step may freeze its machine, and a thawed one goes on at once.
    for _ in 0..2 {
        let thaws_at = *lock(&invocation.thaws_at);
        if let Some(thaws_at) = thaws_at {
            if thaw.deadline() != thaws_at {
                thaw.as_mut().reset(thaws_at);
            }
            if thaw.as_mut().poll(context).is_pending() {
                *lock(&invocation.waits) = Some(context.waker().clone());
                return Poll::Pending;
            }
            *lock(&invocation.thaws_at) = None;
        }
        let is_over = match invocation.function {
            Function::Publisher => world.has_ended(),
            Function::Enumerator | Function::Worker | Function::Finalizer => world.is_over(),
        };
        if is_over {
            return Poll::Ready(Ended::Died);
        }
        match step.as_mut().poll(context) {
            Poll::Ready(Ok(answer)) => return Poll::Ready(Ended::Answered(answer)),
            Poll::Ready(Err(error)) => return Poll::Ready(Ended::Failed(error)),
            Poll::Pending if invocation.dead.load(Ordering::Relaxed) => {
                return Poll::Ready(Ended::Died);
            }
            Poll::Pending if lock(&invocation.thaws_at).is_none() => return Poll::Pending,
            Poll::Pending => {}
        }
    }
    Poll::Pending
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(answer) => write!(f, "{answer}"),
            Self::Failed(error) => write!(f, "error: {error}"),
            Self::Died => f.write_str("!! dead"),
            Self::CutOff => f.write_str("!! cut off at its time limit"),
        }
    }
}
