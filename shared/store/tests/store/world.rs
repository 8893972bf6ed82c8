//! An embedded DynamoDB with a store over it, a clock to set by hand, and a way past the store to
//! the items themselves.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};
use dynoxide::Database;
use dynoxide::server::serve_with_shutdown;
use rollcall_ambient::{Ambient, Clock, Entropy};
use rollcall_core::batch::BatchState;
use rollcall_core::evidence::RequestId;
use rollcall_core::ids::{RunRef, TenantId};
use rollcall_core::page::PagePayload;
use rollcall_core::run::{FailReason, RunMode, RunState};
use rollcall_core::window::Window;
use rollcall_store::{
    AcquiredBatch, AcquiredRun, BatchLease, BatchResult, ChainEnd, PageCommit, RunLease, RunRecord,
    RunStep, StartedRun, Store, StoreError, TableNames, TenantRecord, Usage,
};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::values::{held, last_page, page_of, settings, totals};
use crate::wire::Wire;

/// Where the clock starts, in milliseconds since 1970.
pub(crate) const START_MS: u64 = 1_800_000_000_000;
/// How long the leases of the tests' tenants run.
pub(crate) const LEASE_MS: u64 = 60_000;

pub(crate) type Item = HashMap<String, AttributeValue>;

/// A clock that moves when it is told to.
#[derive(Debug, Clone)]
pub(crate) struct HandClock(Arc<AtomicU64>);

impl HandClock {
    pub(crate) fn advance_ms(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The same number for each draw.
#[derive(Debug)]
struct Always(u64);

/// How many numbers were drawn, by all.
static DRAWN: AtomicU64 = AtomicU64::new(0);

impl Entropy for Always {
    fn next_u64(&self) -> u64 {
        // Its high bits, which a choice from few is made by; the low ones keep names apart.
        self.0 ^ DRAWN.fetch_add(1, Ordering::Relaxed)
    }
}

/// Clones are the same world.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: HandClock,
    pub(crate) store: Store,
    pub(crate) client: Client,
    endpoint: String,
    _stop: Arc<oneshot::Sender<()>>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let database = Database::memory().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(serve_with_shutdown(listener, database, async {
            // A dropped sender means the same as one that was used.
            let _ = stopped.await;
        }));
        let clock = HandClock(Arc::new(AtomicU64::new(START_MS)));
        let client = client(&endpoint, &Wire::default());
        let store = store(client.clone(), &clock, 0);
        store.create_tables().await.unwrap();
        Self {
            clock,
            store,
            client,
            endpoint,
            _stop: Arc::new(stop),
        }
    }

    /// A store over the same database, on a wire of its own. Its pauses take no time.
    pub(crate) fn store_on(&self, wire: &Wire) -> Store {
        self.store_that_draws(wire, 0)
    }

    /// As [`Self::store_on`], with this number for each random one.
    pub(crate) fn store_that_draws(&self, wire: &Wire, draw: u64) -> Store {
        store(client(&self.endpoint, wire), &self.clock, draw)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }
}

fn store(client: Client, clock: &HandClock, draw: u64) -> Store {
    let tables = TableNames {
        directory: "directory".into(),
        coordination: "coordination".into(),
    };
    Store::new(client, tables, Ambient::new(clock.clone(), Always(draw)))
}

/// A client with the SDK's own retries, but for the length of their pauses.
fn client(endpoint: &str, wire: &Wire) -> Client {
    let line = wire.connector(SharedHttpConnector::new(Connector::builder().build_http()));
    let retries = RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(1));
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(endpoint)
        .http_client(http_client_fn(move |_, _| line.clone()))
        .retry_config(retries)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// Runs on their way.
impl World {
    /// A tenant, put if it is new.
    pub(crate) async fn tenant(&self, name: &str) -> TenantRecord {
        self.store.put_tenant(&settings(name)).await.unwrap();
        let id = TenantId::new(name).unwrap();
        self.store.tenant(&id).await.unwrap().unwrap()
    }

    /// A new run of a tenant, whose lease nobody has.
    pub(crate) async fn started(&self, tenant: &str) -> RunRef {
        let record = self.tenant(tenant).await;
        match self.store.start_run(&record, RunMode::Full).await.unwrap() {
            StartedRun::Started(run) => run,
            StartedRun::AlreadyActive(run) => panic!("{run} is active"),
        }
    }

    /// A new run, with its lease.
    pub(crate) async fn enumerating(&self, tenant: &str) -> RunLease {
        let run = self.started(tenant).await;
        self.lease(&run, RunStep::Enumerate, "first").await
    }

    /// A run whose last page was committed, with these users new on it.
    pub(crate) async fn draining(&self, tenant: &str, names: &[&str]) -> RunLease {
        let lease = self.enumerating(tenant).await;
        commit(&self.store, &lease, &ChainEnd::start(1), &page_of(names))
            .await
            .unwrap();
        lease
    }

    /// The same, with the lease of its batch.
    pub(crate) async fn working(&self, tenant: &str, names: &[&str]) -> (RunLease, BatchLease) {
        let run = self.draining(tenant, names).await;
        let batch = self.batch_lease(run.run(), 1, 1, "worker").await;
        (run, batch)
    }

    /// A run on whose one page nothing was new, and which is about to make its plan.
    pub(crate) async fn finalizing(&self, tenant: &str) -> RunLease {
        let lease = self.enumerating(tenant).await;
        commit(&self.store, &lease, &ChainEnd::start(1), &last_page())
            .await
            .unwrap();
        self.store.begin_finalizing(&lease).await.unwrap();
        lease
    }

    /// Reports a batch as done.
    pub(crate) async fn finish(&self, batch: &BatchLease, counted: u64) {
        let (result, usage) = (BatchResult::default(), Usage::default());
        let finish = self.store.finish_batch(batch, counted, &result, &usage);
        finish.await.unwrap();
    }

    pub(crate) async fn record(&self, run: &RunRef) -> RunRecord {
        self.store.run(run).await.unwrap().unwrap()
    }

    pub(crate) async fn complete(&self, lease: &RunLease) {
        let (totals, usage) = (totals(), Usage::default());
        let window = Window::default();
        let record = self.record(lease.run()).await;
        let complete = self
            .store
            .complete_run(lease, &record, (&totals, &window), &usage);
        complete.await.unwrap();
    }

    pub(crate) async fn hold(&self, lease: &RunLease) {
        let (held, totals, usage) = (held(), totals(), Usage::default());
        let record = self.record(lease.run()).await;
        let what = (&held, &totals);
        let hold = self.store.hold_run(lease, &record, what, &usage);
        hold.await.unwrap();
    }

    pub(crate) async fn fail(&self, lease: &RunLease) {
        fail(&self.store, lease).await.unwrap();
    }

    pub(crate) async fn lease(&self, run: &RunRef, step: RunStep, owner: &str) -> RunLease {
        let acquired = self.store.acquire_run(run, step, owner).await.unwrap();
        granted(acquired)
    }

    pub(crate) async fn batch_lease(
        &self,
        run: &RunRef,
        generation: u32,
        page: u32,
        owner: &str,
    ) -> BatchLease {
        let acquired = self.store.acquire_batch(run, generation, page, owner).await;
        granted_batch(acquired.unwrap())
    }
}

/// Commits a page; its unknowns and usage are nothing.
pub(crate) async fn commit(
    store: &Store,
    lease: &RunLease,
    after: &ChainEnd,
    payload: &PagePayload,
) -> Result<ChainEnd, StoreError> {
    let page = PageCommit {
        after,
        payload,
        unknown: 0,
        request: &RequestId::default(),
        usage: Usage::default(),
        batches_at_once: 8,
    };
    store.commit_page(lease, &page).await
}

/// Gives a run up.
pub(crate) async fn fail(store: &Store, lease: &RunLease) -> Result<(), StoreError> {
    let usage = Usage::default();
    let failed = store.fail_run(lease, FailReason::Deadline, "too late", &usage);
    failed.await?;
    store.close_failed_run(lease).await
}

pub(crate) fn granted(acquired: AcquiredRun) -> RunLease {
    match acquired {
        AcquiredRun::Granted(lease, _) => lease,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn granted_batch(acquired: AcquiredBatch) -> BatchLease {
    match acquired {
        AcquiredBatch::Granted(lease, _) => lease,
        other => panic!("{other:?}"),
    }
}

/// The keys of the coordination table, as they are stored.
pub(crate) fn run_key(run: &RunRef) -> (String, String) {
    (format!("run#{}", run.tenant), format!("{:010}", run.run))
}

pub(crate) fn head_key(tenant: &str) -> (String, String) {
    (format!("head#{tenant}"), "head".into())
}

pub(crate) fn batch_key(run: &RunRef, generation: u32, page: u32) -> (String, String) {
    (
        format!("batch#{}#{}", run.tenant, run.run),
        format!("{generation:03}#{page:06}"),
    )
}

pub(crate) fn n(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(crate) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// The items themselves, past the store.
impl World {
    /// Sets one attribute of a coordination item.
    pub(crate) async fn set(&self, key: &(String, String), name: &str, value: AttributeValue) {
        self.client
            .update_item()
            .table_name("coordination")
            .key("pk", s(&key.0))
            .key("sk", s(&key.1))
            .update_expression("SET #n = :v")
            .expression_attribute_names("#n", name)
            .expression_attribute_values(":v", value)
            .send()
            .await
            .unwrap();
    }

    pub(crate) async fn set_run_state(&self, run: &RunRef, state: RunState) {
        let key = run_key(run);
        self.set(&key, "state", s(state.stored_name())).await;
    }

    pub(crate) async fn set_batch_state(&self, run: &RunRef, page: u32, state: BatchState) {
        let key = batch_key(run, 1, page);
        self.set(&key, "state", s(state.name())).await;
    }

    pub(crate) async fn run_state(&self, run: &RunRef) -> RunState {
        self.store.run(run).await.unwrap().unwrap().state
    }

    pub(crate) async fn batch_state(&self, run: &RunRef, page: u32) -> BatchState {
        let batch = self.store.batch(run, 1, page).await.unwrap();
        batch.unwrap().state
    }

    /// Puts a coordination item.
    pub(crate) async fn put(&self, item: Item) {
        let put = self.client.put_item().table_name("coordination");
        put.set_item(Some(item)).send().await.unwrap();
    }

    /// Puts a directory item.
    pub(crate) async fn put_user(&self, item: Item) {
        let put = self.client.put_item().table_name("directory");
        put.set_item(Some(item)).send().await.unwrap();
    }

    /// Takes a coordination item away, as nothing in the system does.
    pub(crate) async fn lose(&self, key: &(String, String)) {
        let delete = self.client.delete_item().table_name("coordination");
        let delete = delete.key("pk", s(&key.0)).key("sk", s(&key.1));
        delete.send().await.unwrap();
    }

    /// Every item of both tables by table and key.
    pub(crate) async fn dump(&self) -> BTreeMap<(String, String, String), Item> {
        let mut items = BTreeMap::new();
        for table in ["directory", "coordination"] {
            let scan = self.client.scan().table_name(table).consistent_read(true);
            let mut pages = scan.into_paginator().items().send();
            while let Some(item) = pages.next().await {
                let item = item.unwrap();
                let part = |name: &str| item[name].as_s().unwrap().clone();
                items.insert((table.to_owned(), part("pk"), part("sk")), item);
            }
        }
        items
    }

    /// The coordination items of a kind, by key.
    pub(crate) async fn items_of(&self, kind: &str) -> Vec<((String, String), Item)> {
        let prefix = format!("{kind}#");
        self.dump()
            .await
            .into_iter()
            .filter(|((table, pk, _), _)| table == "coordination" && pk.starts_with(&prefix))
            .map(|((_, pk, sk), item)| ((pk, sk), item))
            .collect()
    }

    /// `call` is refused with this error, and changes no item of either table.
    pub(crate) async fn refuses<T: std::fmt::Debug>(
        &self,
        what: &str,
        error: &StoreError,
        call: impl Future<Output = Result<T, StoreError>>,
    ) {
        let before = self.dump().await;
        match call.await {
            Err(refused) => assert_eq!(refused, *error, "{what}"),
            Ok(value) => panic!("{what} went through: {value:?}"),
        }
        assert_eq!(self.dump().await, before, "{what} wrote something");
    }
}
