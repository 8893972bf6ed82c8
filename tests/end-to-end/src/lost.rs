//! A DynamoDB that answers some reads as if nothing were there: what an eventually consistent replica,
//! a cache or somebody's clean-up makes of a read at a bad moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::{Storable, StoreReplace};

/// Which reads are meant, and which of them is lost. Clones are the same.
#[derive(Debug, Clone)]
pub struct Lost {
    operation: &'static str,
    key: &'static str,
    empty: &'static str,
    /// How many of these reads there are before the first that is lost.
    before: Arc<AtomicU64>,
    /// How many are lost then.
    left: Arc<AtomicU64>,
}

/// Marks a request that is one of the reads meant.
#[derive(Debug)]
struct IsMeant;

impl Storable for IsMeant {
    type Storer = StoreReplace<Self>;
}

impl Lost {
    /// The list of a run's batches: it reads empty.
    #[must_use]
    pub fn batch_list() -> Self {
        let empty = r#"{"Items":[],"Count":0,"ScannedCount":0}"#;
        Self::new(".Query", "\"batch#", empty)
    }

    /// A page of a run: it is not there.
    #[must_use]
    pub fn page() -> Self {
        Self::new(".GetItem", "\"page#", "{}")
    }

    /// The index that the directory is streamed by: it shows nobody.
    #[must_use]
    pub fn index() -> Self {
        let empty = r#"{"Items":[],"Count":0,"ScannedCount":0}"#;
        Self::new(".Query", "\"standing\"", empty)
    }

    fn new(operation: &'static str, key: &'static str, empty: &'static str) -> Self {
        Self {
            operation,
            key,
            empty,
            before: Arc::default(),
            left: Arc::default(),
        }
    }

    /// The same DynamoDB, through which a read can be lost.
    #[must_use]
    pub fn over(&self, client: &Client) -> Client {
        let config = client.config().to_builder();
        Client::from_conf(config.interceptor(self.clone()).build())
    }

    /// Loses the nth of these reads from now on, and no other. With 0 none is lost.
    pub fn lose(&self, nth: u64) {
        self.before.store(nth.saturating_sub(1), Ordering::SeqCst);
        self.left.store(nth.min(1), Ordering::SeqCst);
    }

    /// Loses so many of these reads, from the next on.
    pub fn lose_next(&self, count: u64) {
        self.before.store(0, Ordering::SeqCst);
        self.left.store(count, Ordering::SeqCst);
    }

    /// Whether all that were to be lost are.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

impl Intercept for Lost {
    fn name(&self) -> &'static str {
        "lost"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default());
        if target.ends_with(self.operation) && body.contains(self.key) {
            config.interceptor_state().store_put(IsMeant);
        }
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if config.load::<IsMeant>().is_none() {
            return Ok(());
        }
        let takes_one = |count: &AtomicU64| {
            let one_less = |left: u64| left.checked_sub(1);
            let taken = count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
            taken.is_ok()
        };
        if !takes_one(&self.before) && takes_one(&self.left) {
            *context.response_mut().body_mut() = SdkBody::from(self.empty);
        }
        Ok(())
    }
}
