//! Reads: one item, a partition page by page, or many items by key. Each item's layout is checked here.

use std::collections::HashMap;
use std::ops::ControlFlow;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity};
use tokio::time::{Duration, sleep};

use crate::error::{StoreError, from_sdk};
use crate::layout;
use crate::row::{Item, Key, text};
use crate::{Store, Table};

/// The most keys that one BatchGetItem takes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
pub(crate) const BATCH_GET_KEYS_MAX: usize = 100;
/// How often keys that DynamoDB left unprocessed are asked for again.
const UNPROCESSED_ATTEMPTS_MAX: u32 = 10;
/// The first pause before that, at most; it doubles.
const UNPROCESSED_PAUSE_MS_FIRST: u64 = 25;
/// The most answers that one query may take: 100,000 of 1 MB are 100 GB, far above any tenant.
pub(crate) const QUERY_PAGES_MAX: u32 = 100_000;

/// Whether a read sees every write before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consistency {
    /// Costs half, may be behind by moments.
    Eventual,
    /// Sees every write before it.
    Strong,
}

/// Which part of a partition a query reads.
#[derive(Debug, Clone)]
pub(crate) struct Range<'a> {
    pub(crate) table: Table,
    pub(crate) index: Option<&'static str>,
    pub(crate) partition_name: &'static str,
    pub(crate) partition: &'a str,
    pub(crate) prefix: Option<&'a str>,
    pub(crate) attributes: Option<&'static [&'static str]>,
    pub(crate) consistency: Consistency,
    pub(crate) page_max: Option<i32>,
    /// From the last key to the first.
    pub(crate) backward: bool,
    /// The key before the first that is read, in the order in which they are; for whoever reads more than one answer.
    pub(crate) after: Option<Key>,
}

impl<'a> Range<'a> {
    pub(crate) fn of(table: Table, partition: &'a str) -> Self {
        Self {
            table,
            index: None,
            partition_name: "pk",
            partition,
            prefix: None,
            attributes: None,
            consistency: Consistency::Strong,
            page_max: None,
            backward: false,
            after: None,
        }
    }
}

impl Store {
    /// One item, with every write before it seen.
    pub(crate) async fn get(&self, table: Table, key: &Key) -> Result<Option<Item>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(self.table(table))
            .set_key(Some(key.item()))
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|e| from_sdk(&e))?;
        self.meter.read(answer.consumed_capacity());
        answer.item.iter().try_for_each(layout::check)?;
        Ok(answer.item)
    }

    /// The items of a range, handed over page by page.
    pub(crate) async fn query(
        &self,
        range: Range<'_>,
        mut take: impl FnMut(&Item) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let all = |item: &Item| {
            take(item)?;
            Ok(ControlFlow::Continue(()))
        };
        self.query_until(range, all).await
    }

    /// The items of a range, handed over page by page, until one is enough.
    pub(crate) async fn query_until(
        &self,
        range: Range<'_>,
        mut take: impl FnMut(&Item) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut start = range.after.as_ref().map(Key::item);
        for _ in 0..QUERY_PAGES_MAX {
            let answer = self.query_page(&range, start.take()).await?;
            for item in &answer.items {
                if take(item)?.is_break() {
                    return Ok(());
                }
            }
            match answer.last_key {
                Some(last) => start = Some(last),
                None => return Ok(()),
            }
        }
        Err(too_many_pages(range.partition))
    }

    /// One answer's items of a range, from the key that comes after `start`.
    pub(crate) async fn query_page(
        &self,
        range: &Range<'_>,
        start: Option<Item>,
    ) -> Result<Page, StoreError> {
        let mut names = HashMap::from([("#p".to_owned(), range.partition_name.to_owned())]);
        let mut values: Item = HashMap::from([(":p".to_owned(), text(range.partition))]);
        let mut condition = "#p = :p".to_owned();
        if let Some(prefix) = range.prefix {
            names.insert("#s".into(), "sk".into());
            values.insert(":s".into(), text(prefix));
            condition.push_str(" AND begins_with(#s, :s)");
        }
        let projection = range.attributes.map(|attributes| {
            let holes: Vec<_> = (0..attributes.len()).map(|i| format!("#a{i}")).collect();
            names.extend(
                holes
                    .iter()
                    .cloned()
                    .zip(attributes.iter().map(|name| (*name).to_owned())),
            );
            holes.join(", ")
        });
        let answer = self
            .client
            .query()
            .table_name(self.table(range.table))
            .set_index_name(range.index.map(Into::into))
            .key_condition_expression(condition)
            .set_projection_expression(projection)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            .consistent_read(range.consistency == Consistency::Strong)
            .set_limit(range.page_max)
            .set_scan_index_forward(range.backward.then_some(false))
            .set_exclusive_start_key(start)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|e| from_sdk(&e))?;
        self.meter.read(answer.consumed_capacity());
        answer.items().iter().try_for_each(layout::check)?;
        Ok(Page {
            items: answer.items.unwrap_or_default(),
            last_key: answer.last_evaluated_key.filter(|key| !key.is_empty()),
        })
    }

    /// Many items by key, with every write before them seen; those that are there, in no order.
    pub(crate) async fn get_many(
        &self,
        table: Table,
        keys: &[Key],
    ) -> Result<Vec<Item>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(BATCH_GET_KEYS_MAX) {
            let mut left: Vec<Item> = chunk.iter().map(Key::item).collect();
            let mut attempt = 0;
            while !left.is_empty() {
                if attempt > 0 {
                    self.unprocessed_pause(attempt).await?;
                }
                left = self.get_batch(table, left, &mut found).await?;
                attempt += 1;
            }
        }
        Ok(found)
    }

    async fn get_batch(
        &self,
        table: Table,
        keys: Vec<HashMap<String, AttributeValue>>,
        found: &mut Vec<Item>,
    ) -> Result<Vec<Item>, StoreError> {
        let name = self.table(table).to_owned();
        let request = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(true)
            .build()
            .map_err(|e| StoreError::Invalid(e.to_string()))?;
        let mut answer = self
            .client
            .batch_get_item()
            .request_items(name.clone(), request)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|e| from_sdk(&e))?;
        self.meter.read(answer.consumed_capacity());
        if let Some(items) = answer.responses.as_mut().and_then(|r| r.remove(&name)) {
            items.iter().try_for_each(layout::check)?;
            found.extend(items);
        }
        let unprocessed = answer
            .unprocessed_keys
            .as_mut()
            .and_then(|u| u.remove(&name));
        Ok(unprocessed.map(|keys| keys.keys).unwrap_or_default())
    }

    async fn unprocessed_pause(&self, attempt: u32) -> Result<(), StoreError> {
        if attempt >= UNPROCESSED_ATTEMPTS_MAX {
            return Err(StoreError::Unavailable(
                "DynamoDB left keys unprocessed again and again".into(),
            ));
        }
        let bound_ms = UNPROCESSED_PAUSE_MS_FIRST << (attempt - 1);
        sleep(Duration::from_millis(self.ambient.random_up_to(bound_ms))).await;
        Ok(())
    }
}

/// A partition has more answers than any tenant's.
pub(crate) fn too_many_pages(partition: &str) -> StoreError {
    StoreError::Invalid(format!(
        "partition {partition} has more than {QUERY_PAGES_MAX} pages"
    ))
}

/// One answer of a query.
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    /// The last key, if there is more.
    pub(crate) last_key: Option<Item>,
}
