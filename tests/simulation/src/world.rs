//! One world: the services, the weather, the truth, and what was seen to go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dynoxide::Database;
use rollcall_ambient::Ambient;
use rollcall_graph::Secret;
use rollcall_graph_emulator::{Directory, Graph};
use rollcall_sync::Secrets;
use tokio::time::sleep;
use uuid::Uuid;

use crate::chaos::{Chaos, ahead_ms_max};
use crate::checks::Checks;
use crate::checks::told::Told;
use crate::dice::Dice;
use crate::graph::{Lasting, ORIGIN};
use crate::item::{Item, Place, Table};
use crate::lambda::{Function, Invocation};
use crate::logs::Logs;
use crate::marks::Marks;
use crate::mirror::Mirror;
use crate::stream::Stream;
use crate::tenants::SimTenant;
use crate::trace::Trace;
use crate::weather::{Story, Theme};

/// When every simulation begins, in milliseconds since 1970.
pub(crate) const EPOCH_MS: u64 = 1_790_000_000_000;

/// How many invocations a story may take: some hundred are usual, a few thousand where the limits are
/// short and faults last.
const INVOCATIONS_MAX: u64 = 10_000;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise was broken.
    pub broken: String,
    /// How.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.broken, self.detail)
    }
}

/// A world.
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) chaos: Chaos,
    pub(crate) ambient: Ambient,
    pub(crate) database: Database,
    pub(crate) graph: Graph,
    pub(crate) tenants: Vec<SimTenant>,
    pub(crate) mirror: Mutex<Mirror>,
    pub(crate) checks: Mutex<Checks>,
    /// What the directory's stream has told, and what the application was told of it.
    pub(crate) stream: Mutex<Stream>,
    pub(crate) told: Mutex<Told>,
    pub(crate) lasting: Mutex<Lasting>,
    /// Whose machines stand still until one of their leases is taken, by number.
    pub(crate) standing: Mutex<BTreeMap<u64, Arc<Invocation>>>,
    /// The tokens of the transactions that are on their way.
    pub(crate) in_flight: Mutex<BTreeSet<String>>,
    /// How many of them start a run.
    pub(crate) starts_in_flight: AtomicU64,
    /// The tokens of the transactions that were applied.
    pub(crate) tokens: Mutex<BTreeSet<String>>,
    pub(crate) logs: Logs,
    pub(crate) marks: Mutex<Marks>,
    trace: Mutex<Trace>,
    violation: Mutex<Option<Violation>>,
    over: AtomicBool,
    syncs_over: AtomicBool,
    store_has_lied: AtomicBool,
    journal_has_lied: AtomicBool,
    /// In milliseconds since 1970; 0 if not yet.
    graph_failed_ms: AtomicU64,
    calm_since_ms: AtomicU64,
    invocations: AtomicU64,
    /// How many tenants a schedule goes through at once; as many as the shipped functions, if 0.
    pub(crate) tenants_at_once: AtomicU16,
    /// The occurrences of schedules that the weather has kept from somebody: he may not have had them.
    pub(crate) lost_occurrences: Mutex<BTreeSet<u64>>,
    /// The partitions of batches of which a read failed: who cannot look rings.
    pub(crate) lost_looks: Mutex<BTreeSet<String>>,
    /// By function: when an invocation is cut off, and when a message comes again.
    limits_ms: [u64; 3],
    visibility_ms: [u64; 3],
    publisher_limit_ms: AtomicU64,
    /// How often the sweeper is called, in milliseconds.
    pub(crate) sweep_ms: u64,
    pub(crate) secrets: Secrets,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

/// The least time limit in the calm, in milliseconds: some calls fit into its last quarter.
const CALM_LIMIT_MS: u64 = 15_000;

/// A lock whose holder panicked is taken all the same: the panic is told by itself.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// The world of a seed, before its first moment. Call it within the runtime.
    ///
    /// # Errors
    /// When the database cannot be had.
    pub(crate) fn new(seed: u64, traced: bool) -> anyhow::Result<Self> {
        // The SDK draws its back-off and its tokens from here.
        fastrand::seed(seed);
        let dice = Dice::new(seed);
        let ambient = Ambient::simulated(EPOCH_MS, seed);
        let graph = Graph::new(ambient.clone(), ORIGIN);
        let chaos = Chaos::new(&dice);
        let count = dice.of([2, 2, 2, 3]);
        let tenants: Vec<_> = (0..count)
            .map(|number| SimTenant::new(&dice, &graph, number, &chaos))
            .collect();
        let secret = |tenant: &SimTenant| {
            let secret = Secret::new(tenant.graph.client_secret().to_owned());
            (tenant.secret_name(), secret)
        };
        let mut secrets: BTreeMap<_, _> = tenants.iter().map(secret).collect();
        let token = |tenant: &SimTenant| {
            let token = Secret::new(tenant.provider_token());
            (tenant.provider_secret(), token)
        };
        secrets.extend(tenants.iter().map(token));
        let leases = tenants.iter().map(|tenant| tenant.lease_ms);
        let lease_ms_max = leases.max().unwrap_or_default();
        let is_late = chaos.theme == Theme::LateWrites;
        let is_clear = chaos.story == Story::Clear;
        // On a clear day nobody is cut off in the middle of a call.
        let least_ms = match chaos.story {
            Story::Clear if !chaos.is_quick() => 15_000,
            Story::Clear | Story::Bad | Story::Whole => 3_000,
        };
        let enumerator_ms = dice.of([least_ms, 30_000, 60_000, 900_000]);
        let worker_ms = dice.of([least_ms, 15_000, 60_000, 120_000]);
        let limits_ms = [
            // It streams the directory before it does anything.
            match () {
                () if chaos.is_slow() => 900_000,
                () if is_late => 60_000,
                () => enumerator_ms,
            },
            match () {
                () if chaos.is_slow() => 60_000,
                () if is_late => 15_000,
                () => worker_ms,
            },
            if is_late {
                dice.of([60_000, 300_000, 900_000])
            } else if chaos.is_quick() {
                dice.of([5_000, 5_000, 60_000, 900_000])
            } else {
                dice.of([30_000, 60_000, 300_000, 900_000])
            },
        ];
        Ok(Self {
            chaos,
            ambient,
            database: Database::memory()?,
            graph,
            tenants,
            mirror: Mutex::default(),
            checks: Mutex::default(),
            stream: Mutex::default(),
            told: Mutex::default(),
            lasting: Mutex::default(),
            standing: Mutex::default(),
            in_flight: Mutex::default(),
            starts_in_flight: AtomicU64::new(0),
            tokens: Mutex::default(),
            logs: Logs::default(),
            marks: Mutex::default(),
            trace: Mutex::new(Trace::new(traced)),
            violation: Mutex::new(None),
            over: AtomicBool::new(false),
            syncs_over: AtomicBool::new(false),
            store_has_lied: AtomicBool::new(false),
            journal_has_lied: AtomicBool::new(false),
            graph_failed_ms: AtomicU64::new(0),
            calm_since_ms: AtomicU64::new(0),
            invocations: AtomicU64::new(0),
            tenants_at_once: AtomicU16::new(0),
            lost_occurrences: Mutex::default(),
            lost_looks: Mutex::default(),
            // Whoever is cut off has a lease until then: its message must not come before. On a clear day nobody
            // looks after what comes too early, so there a clock that is ahead counts as well.
            visibility_ms: limits_ms.map(|ms| {
                let ahead_ms = if is_clear { 2 * ahead_ms_max(ms) } else { 0 };
                let lapsed_ms = ms + lease_ms_max + ahead_ms + 1_000;
                dice.of([lapsed_ms, lapsed_ms.max(2 * ms), lapsed_ms.max(6 * ms)])
            }),
            limits_ms,
            publisher_limit_ms: AtomicU64::new(0),
            // As the template has it, or so often that a lease which lapsed is seen soon.
            sweep_ms: if is_late {
                dice.of([5_000, 20_000, 300_000])
            } else {
                300_000
            },
            secrets: Secrets::Fixed(Arc::new(secrets)),
            dice,
        })
    }

    // === Time and means ===

    /// The true time, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.ambient.now_ms()
    }

    /// A message is on its way.
    pub(crate) async fn travel(&self) {
        sleep(Duration::from_millis(self.chaos.latency_ms(&self.dice))).await;
    }

    pub(crate) fn next_invocation(&self) -> u64 {
        let number = self.invocations.fetch_add(1, Ordering::Relaxed) + 1;
        if number == INVOCATIONS_MAX {
            let detail = format!("{number} invocations");
            self.violate("no storm: rings do not beget rings without end", detail);
        }
        number
    }

    /// When an invocation is cut off. In the calm nobody is cut off in the middle of a call: what that
    /// leaves is found by the sweeper, and in the calm there is none.
    pub(crate) fn limit_ms(&self, function: Function) -> u64 {
        let limit_ms = match self.limits_ms.get(function as usize) {
            Some(limit_ms) => *limit_ms,
            None => self.publisher_limit_ms.load(Ordering::Relaxed),
        };
        if self.chaos.is_on() {
            limit_ms
        } else {
            limit_ms.max(CALM_LIMIT_MS)
        }
    }

    /// From now on the publisher is cut off after so long, in milliseconds.
    pub(crate) fn publish_with_limit(&self, limit_ms: u64) {
        self.publisher_limit_ms.store(limit_ms, Ordering::Relaxed);
    }

    pub(crate) fn visibility_ms(&self, function: Function) -> u64 {
        self.visibility_ms[function as usize]
    }

    pub(crate) fn visibility_ms_max(&self) -> u64 {
        self.visibility_ms.into_iter().max().unwrap_or_default()
    }

    /// The longest lease of any tenant.
    pub(crate) fn lease_ms_max(&self) -> u64 {
        let leases = self.tenants.iter().map(|tenant| tenant.lease_ms);
        leases.max().unwrap_or_default()
    }

    /// A message that told of an occurrence, if it did, comes no more.
    pub(crate) fn loses_occurrence(&self, message: &str) {
        let message: serde_json::Value = serde_json::from_str(message).unwrap_or_default();
        lock(&self.lost_occurrences).extend(message["at_ms"].as_u64());
    }

    // === Microsoft's side ===

    pub(crate) fn tenant_by_directory(&self, directory_id: Uuid) -> Option<usize> {
        let fits = |tenant: &SimTenant| tenant.graph.directory_id() == directory_id;
        self.tenants.iter().position(fits)
    }

    pub(crate) fn tenant(&self, name: &str) -> Option<&SimTenant> {
        self.tenants.iter().find(|tenant| tenant.name == name)
    }

    /// Changes somebody in a tenant's directory, and tells the oracle.
    pub(crate) fn change(
        &self,
        tenant: &SimTenant,
        id: Uuid,
        what: &str,
        change: impl FnOnce(&mut Directory) -> bool,
    ) {
        let mut directory = tenant.graph.directory();
        if change(&mut directory) {
            lock(&tenant.oracle).note(&directory, id, self.now_ms());
            self.tell(|| format!("{}: {id} {what}", tenant.name));
        }
    }

    /// Changes something for everybody of a tenant, and tells the oracle.
    pub(crate) fn change_for_all(
        &self,
        tenant: &SimTenant,
        what: &str,
        change: impl FnOnce(&mut Directory) -> bool,
    ) {
        let mut directory = tenant.graph.directory();
        if change(&mut directory) {
            let mut oracle = lock(&tenant.oracle);
            let all: Vec<_> = oracle.ids().collect();
            for id in all {
                oracle.note(&directory, id, self.now_ms());
            }
            self.tell(|| format!("{}: {what}", tenant.name));
        }
    }

    // === What went wrong, for failures to be explained ===

    pub(crate) fn graph_fails_now(&self) {
        self.graph_failed_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    pub(crate) fn graph_failed_since(&self, since_ms: u64) -> bool {
        self.graph_failed_ms.load(Ordering::Relaxed) >= since_ms
    }

    /// Something reads otherwise than it was written.
    pub(crate) fn store_lies(&self, mark: &'static str) {
        self.mark(mark);
        self.store_has_lied.store(true, Ordering::Relaxed);
        self.journal_has_lied.store(true, Ordering::Relaxed);
    }

    /// Whether something has read otherwise than it was written since the syncs were over: what the publisher reads
    /// is the journal.
    pub(crate) fn journal_has_lied(&self) -> bool {
        self.journal_has_lied.load(Ordering::Relaxed)
    }

    pub(crate) fn store_has_lied(&self) -> bool {
        self.store_has_lied.load(Ordering::Relaxed)
    }

    /// The faults are over.
    pub(crate) fn calm_down(&self) {
        self.chaos.turn(false);
        self.calm_since_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// The faults are back.
    pub(crate) fn storm_again(&self) {
        self.chaos.turn(true);
        self.calm_since_ms.store(0, Ordering::Relaxed);
    }

    pub(crate) fn calm_since_ms(&self) -> Option<u64> {
        let since_ms = self.calm_since_ms.load(Ordering::Relaxed);
        (since_ms > 0).then_some(since_ms)
    }

    // === What the store holds ===

    /// Everybody whom the directory has, of all tenants.
    pub(crate) fn known_users(&self) -> Vec<Uuid> {
        let mirror = lock(&self.mirror);
        let users = mirror.partitions(Table::Directory, "");
        users
            .filter_map(|(place, _)| Uuid::try_parse(&place.sk).ok())
            .collect()
    }

    /// The run that a tenant's head names.
    pub(crate) fn active_run(&self, tenant: &str) -> Option<u64> {
        let head = Place::coordination(format!("head#{tenant}"), "head".into());
        crate::item::number(lock(&self.mirror).get(&head)?, "active_run")
    }

    /// Takes in what one write or transaction changed.
    pub(crate) fn applied(&self, writes: Vec<(Place, Item)>, invocation: Option<&Invocation>) {
        let now_ms = self.now_ms();
        let changes: Vec<_> = {
            let mut mirror = lock(&self.mirror);
            let put = |(place, item)| mirror.put(place, item, now_ms);
            writes.into_iter().map(put).collect()
        };
        lock(&self.stream).extend(&changes, now_ms);
        crate::checks::applied(self, &changes, invocation);
    }

    // === What is told ===

    /// Adds a line to the history, if anybody reads it.
    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        let mut trace = lock(&self.trace);
        if trace.is_wanted() {
            let who = Invocation::current().map_or_else(String::new, |invocation| {
                format!("{}#{}", invocation.function, invocation.id)
            });
            trace.line(self.now_ms() - EPOCH_MS, &who, &what());
        }
    }

    pub(crate) fn take_history(&self) -> String {
        lock(&self.trace).take()
    }

    /// A promise is broken. The first one is kept, and the world ends.
    pub(crate) fn violate(&self, broken: &str, detail: String) {
        self.tell(|| format!("** {broken}: {detail}"));
        lock(&self.violation).get_or_insert(Violation {
            broken: broken.to_owned(),
            detail,
        });
        self.end();
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        lock(&self.violation).clone()
    }

    /// Nothing more happens.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// No sync goes on any more.
    pub(crate) fn end_syncs(&self) {
        self.syncs_over.store(true, Ordering::Relaxed);
        self.journal_has_lied.store(false, Ordering::Relaxed);
    }

    /// Whether the syncs are over.
    pub(crate) fn is_over(&self) -> bool {
        self.has_ended() || self.syncs_over.load(Ordering::Relaxed)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}
