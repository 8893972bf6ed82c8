//! Writes: one conditional write of an item, or a transaction of several. There is no delete.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::builders::TransactWriteItemBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Put, ReturnConsumedCapacity, ReturnValue, TransactWriteItem,
    Update,
};
use tokio::time::{Duration, sleep};

use crate::conditions::Condition;
use crate::error::{StoreError, WriteFailure, from_sdk};
use crate::row::{Item, Key};
use crate::{Store, Table};

/// How often a transaction that met another one is tried. With the pauses below that is about
/// ten seconds, far longer than another transaction takes.
const CONFLICT_ATTEMPTS_MAX: u32 = 12;
/// The first pause after a conflict is at most so long; it doubles from there.
const CONFLICT_PAUSE_MS_FIRST: u64 = 20;
/// No pause is longer.
const CONFLICT_PAUSE_MS_MAX: u64 = 2_000;

/// What an update sets, adds and removes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Changes {
    set: Vec<(&'static str, AttributeValue)>,
    copy: Vec<(&'static str, &'static str)>,
    add: Vec<(&'static str, AttributeValue)>,
    remove: Vec<&'static str>,
}

impl Changes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn set(mut self, name: &'static str, value: AttributeValue) -> Self {
        self.set.push((name, value));
        self
    }

    /// Sets one attribute to what another one is at that moment.
    pub(crate) fn copy(mut self, name: &'static str, from: &'static str) -> Self {
        self.copy.push((name, from));
        self
    }

    pub(crate) fn add(mut self, name: &'static str, value: AttributeValue) -> Self {
        self.add.push((name, value));
        self
    }

    pub(crate) fn remove(mut self, name: &'static str) -> Self {
        self.remove.push(name);
        self
    }

    fn expression(&self) -> String {
        let mut parts = Vec::new();
        let list = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>().join(", ");
        if !self.set.is_empty() || !self.copy.is_empty() {
            let set = self.set.iter();
            let set = set.map(|(name, _)| format!("#{name} = :{name}"));
            let copied = self.copy.iter();
            let copied = copied.map(|(name, from)| format!("#{name} = #{from}"));
            parts.push(format!("SET {}", list(&mut set.chain(copied))));
        }
        if !self.add.is_empty() {
            let mut terms = self.add.iter().map(|(name, _)| format!("#{name} :{name}"));
            parts.push(format!("ADD {}", list(&mut terms)));
        }
        if !self.remove.is_empty() {
            let mut terms = self.remove.iter().map(|name| format!("#{name}"));
            parts.push(format!("REMOVE {}", list(&mut terms)));
        }
        parts.join(" ")
    }

    fn names(&self, conditions: &[&'static str]) -> HashMap<String, String> {
        let own = self.set.iter().chain(&self.add).map(|(name, _)| *name);
        let copied = self.copy.iter().flat_map(|(name, from)| [*name, *from]);
        own.chain(copied)
            .chain(self.remove.iter().copied())
            .chain(conditions.iter().copied())
            .map(|name| (format!("#{name}"), name.to_owned()))
            .collect()
    }

    fn values(&self, conditions: &Item) -> Item {
        self.set
            .iter()
            .chain(&self.add)
            .map(|(name, value)| (format!(":{name}"), value.clone()))
            .chain(conditions.clone())
            .collect()
    }
}

/// Several writes that happen all or not at all. Each names what its condition protects, so that a
/// refusal can be told.
pub(crate) struct Transaction<'s> {
    store: &'s Store,
    items: Result<Vec<TransactWriteItem>, BuildError>,
    protects: Vec<Protects>,
}

/// What a condition protects, and so what its failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protects {
    /// The caller's own lease, and that its run or batch goes on.
    Lease,
    /// Something that was read before.
    Read(&'static str),
}

impl<'s> Transaction<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self {
            store,
            items: Ok(Vec::new()),
            protects: Vec::new(),
        }
    }

    /// Adds an item. One that cannot be built is told when the transaction is sent.
    fn push(
        mut self,
        protects: Protects,
        item: Result<TransactWriteItemBuilder, BuildError>,
    ) -> Self {
        self.items = self.items.and_then(|mut items| {
            items.push(item?.build());
            Ok(items)
        });
        self.protects.push(protects);
        self
    }

    pub(crate) fn check(
        self,
        protects: Protects,
        table: Table,
        key: &Key,
        condition: &Condition,
    ) -> Self {
        let check = ConditionCheck::builder()
            .table_name(self.store.table(table))
            .set_key(Some(key.item()))
            .condition_expression(&condition.expression)
            .set_expression_attribute_names(Some(Changes::new().names(&condition.names)))
            .set_expression_attribute_values(some_if_any(condition.values.clone()))
            .build();
        let item = TransactWriteItem::builder();
        self.push(protects, check.map(|check| item.condition_check(check)))
    }

    pub(crate) fn update(
        self,
        protects: Protects,
        table: Table,
        key: &Key,
        changes: &Changes,
        condition: &Condition,
    ) -> Self {
        let update = Update::builder()
            .table_name(self.store.table(table))
            .set_key(Some(key.item()))
            .update_expression(changes.expression())
            .condition_expression(&condition.expression)
            .set_expression_attribute_names(Some(changes.names(&condition.names)))
            .set_expression_attribute_values(some_if_any(changes.values(&condition.values)))
            .build();
        let item = TransactWriteItem::builder();
        self.push(protects, update.map(|update| item.update(update)))
    }

    /// An update of an item that needs no condition of its own, because it stands beside the check
    /// of a lease and is the same whenever it is repeated.
    pub(crate) fn set(self, table: Table, key: &Key, changes: &Changes) -> Self {
        let update = Update::builder()
            .table_name(self.store.table(table))
            .set_key(Some(key.item()))
            .update_expression(changes.expression())
            .set_expression_attribute_names(Some(changes.names(&[])))
            .set_expression_attribute_values(some_if_any(changes.values(&Item::new())))
            .build();
        let item = TransactWriteItem::builder();
        self.push(Protects::Lease, update.map(|update| item.update(update)))
    }

    pub(crate) fn put(
        self,
        protects: Protects,
        table: Table,
        item: Item,
        condition: &Condition,
    ) -> Self {
        let put = Put::builder()
            .table_name(self.store.table(table))
            .set_item(Some(item))
            .condition_expression(&condition.expression)
            .set_expression_attribute_names(Some(Changes::new().names(&condition.names)))
            .set_expression_attribute_values(some_if_any(condition.values.clone()))
            .build();
        let item = TransactWriteItem::builder();
        self.push(protects, put.map(|put| item.put(put)))
    }

    /// Sends it, under one `ClientRequestToken` for all attempts, the SDK's and those after a conflict:
    /// when an answer was lost, the next attempt is told that it is applied. A token of its own for
    /// each would have it refused by what itself had written.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when a lease condition failed, else [`StoreError::Changed`] with
    /// the first condition that failed.
    pub(crate) async fn send(self) -> Result<(), StoreError> {
        let token = self.store.ambient.random_uuid();
        let items = self.items.as_ref();
        let items = items.map_err(|error| StoreError::Invalid(error.to_string()))?;
        let mut attempt = 1;
        loop {
            let outcome = self
                .store
                .client
                .transact_write_items()
                .client_request_token(&token)
                .set_transact_items(Some(items.clone()))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await;
            let error = match outcome {
                Ok(answer) => {
                    self.store.meter.write(answer.consumed_capacity());
                    return Ok(());
                }
                Err(error) => error,
            };
            match self.judge(&error) {
                Verdict::Final(error) => return Err(error),
                Verdict::Conflict if attempt >= CONFLICT_ATTEMPTS_MAX => {
                    return Err(StoreError::Unavailable(
                        "a transaction met another one again and again".into(),
                    ));
                }
                Verdict::Conflict => self.store.conflict_pause(attempt).await,
            }
            attempt += 1;
        }
    }

    fn judge<R: std::fmt::Debug>(&self, error: &SdkError<TransactWriteItemsError, R>) -> Verdict {
        let canceled = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => canceled,
            // An attempt whose answer was not waited for is still at work.
            Some(TransactWriteItemsError::TransactionInProgressException(_)) => {
                return Verdict::Conflict;
            }
            _ => return Verdict::Final(from_sdk(error)),
        };
        let codes: Vec<_> = canceled
            .cancellation_reasons()
            .iter()
            .map(|reason| reason.code().unwrap_or("None"))
            .collect();
        let failed: Vec<_> = codes
            .iter()
            .zip(&self.protects)
            .filter(|(code, _)| **code == "ConditionalCheckFailed")
            .map(|(_, protects)| *protects)
            .collect();
        if failed.contains(&Protects::Lease) {
            return Verdict::Final(StoreError::LostLease);
        }
        if let Some(Protects::Read(what)) = failed.first() {
            return Verdict::Final(StoreError::Changed { what });
        }
        let transient = |code: &&str| {
            matches!(
                *code,
                "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded"
            )
        };
        if codes.iter().any(transient) {
            return Verdict::Conflict;
        }
        Verdict::Final(StoreError::Refused(format!(
            "the transaction was cancelled: {}",
            codes.join(", ")
        )))
    }
}

enum Verdict {
    Conflict,
    Final(StoreError),
}

fn some_if_any(values: Item) -> Option<Item> {
    (!values.is_empty()).then_some(values)
}

impl Store {
    /// Full jitter: anything from nothing to a bound that doubles.
    async fn conflict_pause(&self, attempt: u32) {
        let bound_ms = CONFLICT_PAUSE_MS_FIRST
            .saturating_mul(1 << (attempt - 1).min(16))
            .min(CONFLICT_PAUSE_MS_MAX);
        sleep(Duration::from_millis(self.ambient.random_up_to(bound_ms))).await;
    }

    /// One conditional update; gives the item as it is after it. An update that meets a
    /// transaction on the same item is tried again like a transaction.
    pub(crate) async fn update_if(
        &self,
        table: Table,
        key: &Key,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Item, WriteFailure> {
        let mut attempt = 1;
        loop {
            let outcome = self
                .client
                .update_item()
                .table_name(self.table(table))
                .set_key(Some(key.item()))
                .update_expression(changes.expression())
                .condition_expression(&condition.expression)
                .set_expression_attribute_names(Some(changes.names(&condition.names)))
                .set_expression_attribute_values(some_if_any(changes.values(&condition.values)))
                .return_values(ReturnValue::AllNew)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await;
            let error = match outcome {
                Ok(answer) => {
                    self.meter.write(answer.consumed_capacity());
                    return Ok(answer.attributes.unwrap_or_default());
                }
                Err(error) => error,
            };
            let service = error.as_service_error();
            if service.is_some_and(|e| e.is_conditional_check_failed_exception()) {
                return Err(WriteFailure::Condition);
            }
            let conflict = service.is_some_and(|e| e.is_transaction_conflict_exception());
            if !conflict || attempt >= CONFLICT_ATTEMPTS_MAX {
                return Err(WriteFailure::Error(from_sdk(&error)));
            }
            self.conflict_pause(attempt).await;
            attempt += 1;
        }
    }
}
