//! The bare writes: what a first sync wrote, written again in requests of the same form and size by a loop that
//! does nothing else, into tables that are as empty as those were. What a first sync takes beyond it is the
//! system's: Graph, the check of the lease in each request, the states of the run and its batches.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::bail;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::builders::TransactWriteItemsFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnConsumedCapacity, TransactWriteItem};
use rollcall_ambient::Ambient;
use rollcall_local::dynamodb_client;
use rollcall_store::{Store, TableNames, WRITES_PER_TRANSACTION_MAX};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::emulated::say;
use crate::stack::{WORKERS, tables};

/// What the partitions of the items begin with that are written together with others.
const JOURNAL: &str = "journal#";
const PAGE: &str = "page#";
const BATCH: &str = "batch#";
/// What the process is told when it may write.
pub(crate) const WRITE: &str = "write";

type Item = HashMap<String, AttributeValue>;
type Transaction = Vec<(String, Item)>;

/// What the bare writes took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Written {
    /// How many items.
    pub items: u64,
    /// From the first request to the last answer, in milliseconds.
    pub wall_ms: u64,
    /// Processor time of what stands for AWS meanwhile, in milliseconds.
    pub aws_cpu_ms: u64,
}

/// What the process says once it has read what it is to write.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) items: u64,
}

/// What it says once it has written.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) wall_ms: u64,
}

/// The process: reads what one stack's tables hold, says so, and waits to be told; then writes it into those of another,
/// says what that took, and waits until its input ends.
///
/// # Errors
/// DynamoDB's, or an output or input that is closed.
pub async fn run(from: &str, to: &str) -> anyhow::Result<()> {
    let (from, to) = (dynamodb_client(from), dynamodb_client(to));
    let (tables, ambient) = (tables(), Ambient::system());
    Store::new(to.clone(), tables.clone(), ambient.clone())
        .create_tables()
        .await?;
    let transactions = read(&from, &tables).await?;
    let items = transactions.iter().map(Vec::len).sum::<usize>() as u64;
    say(&serde_json::to_value(Ready { items })?)?;
    let mut told = String::new();
    tokio::task::block_in_place(|| std::io::stdin().read_line(&mut told))?;
    if told.trim() != WRITE {
        bail!("expected {WRITE}");
    }
    let started_ms = ambient.now_ms();
    write(&to, transactions).await?;
    let wall_ms = ambient.now_ms() - started_ms;
    say(&serde_json::to_value(Done { wall_ms })?)?;
    // Whoever started this reads what was used, and then closes the input.
    tokio::task::block_in_place(|| std::io::stdin().lines().count());
    Ok(())
}

/// What is to be written, as a first sync wrote it.
async fn read(from: &Client, tables: &TableNames) -> anyhow::Result<Vec<Transaction>> {
    let users = all(from, &tables.directory).await?;
    let coordination = all(from, &tables.coordination).await?;
    Ok(transactions(tables, users, coordination))
}

/// Writes by as many as there are workers.
async fn write(to: &Client, transactions: Vec<Transaction>) -> anyhow::Result<()> {
    let transactions = Arc::new(transactions);
    let mut writers = JoinSet::new();
    for nth in 0..WORKERS {
        let (to, transactions) = (to.clone(), Arc::clone(&transactions));
        writers.spawn(async move {
            for transaction in transactions.iter().skip(nth).step_by(WORKERS) {
                request(&to, transaction)?.send().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    Ok(())
}

/// As a first sync has them: the users of a batch in the order of their ids, so many at a time, each with his image
/// behind him; a page with its batch; everything else by itself.
fn transactions(
    tables: &TableNames,
    users: Vec<Item>,
    coordination: Vec<Item>,
) -> Vec<Transaction> {
    let of_coordination = |item: Item| (tables.coordination.clone(), item);
    let (journal, rest): (Vec<Item>, Vec<Item>) = coordination
        .into_iter()
        .partition(|item| text(item, "pk").starts_with(JOURNAL));
    let mut images: HashMap<String, Item> =
        journal.into_iter().map(|item| (id(&item), item)).collect();
    let mut batches: BTreeMap<Vec<u32>, BTreeMap<String, Item>> = BTreeMap::new();
    for user in users {
        let batch = batches.entry(batch_of(&user)).or_default();
        batch.insert(id(&user), user);
    }
    let mut all = Vec::new();
    for users in batches.into_values() {
        let users: Vec<(String, Item)> = users.into_iter().collect();
        for some in users.chunks(WRITES_PER_TRANSACTION_MAX) {
            let mut transaction = Transaction::new();
            for (id, user) in some {
                transaction.push((tables.directory.clone(), user.clone()));
                transaction.extend(images.remove(id).map(of_coordination));
            }
            all.push(transaction);
        }
    }
    let mut pages: BTreeMap<(String, String), Transaction> = BTreeMap::new();
    for item in rest {
        match page_of(&item) {
            Some(page) => pages.entry(page).or_default().push(of_coordination(item)),
            None => all.push(vec![of_coordination(item)]),
        }
    }
    all.extend(pages.into_values());
    all
}

fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    let text = item.get(name).and_then(|it| it.as_s().ok());
    text.map_or("", String::as_str)
}

/// Whose item it is, or before-image.
fn id(item: &Item) -> String {
    let id = text(item, "sk").split('#').next();
    id.unwrap_or_default().to_owned()
}

/// The batch by which a user was written: generation and page, as numbers.
fn batch_of(user: &Item) -> Vec<u32> {
    let parts = text(user, "sync_batch").split('.');
    parts.filter_map(|part| part.parse().ok()).collect()
}

/// The generation and the page of a part of a page, or of a batch: their sort keys begin with them.
fn page_of(item: &Item) -> Option<(String, String)> {
    if ![PAGE, BATCH]
        .iter()
        .any(|it| text(item, "pk").starts_with(it))
    {
        return None;
    }
    let mut parts = text(item, "sk").split('#').map(str::to_owned);
    Some((parts.next()?, parts.next()?))
}

/// A transaction as the store sends it, but for the check of a lease; the SDK adds the token.
fn request(
    to: &Client,
    transaction: &Transaction,
) -> anyhow::Result<TransactWriteItemsFluentBuilder> {
    let mut puts = Vec::with_capacity(transaction.len());
    for (table, item) in transaction {
        let put = Put::builder()
            .table_name(table)
            .set_item(Some(item.clone()))
            .condition_expression("attribute_not_exists(#pk)")
            .expression_attribute_names("#pk", "pk");
        puts.push(TransactWriteItem::builder().put(put.build()?).build());
    }
    let request = to.transact_write_items().set_transact_items(Some(puts));
    Ok(request.return_consumed_capacity(ReturnConsumedCapacity::Total))
}

/// Everything that a table holds.
async fn all(from: &Client, table: &str) -> anyhow::Result<Vec<Item>> {
    let mut pages = from
        .scan()
        .table_name(table)
        .into_paginator()
        .items()
        .send();
    let mut items = Vec::new();
    while let Some(item) = pages.next().await {
        items.push(item?);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(pk: &str, sk: &str, batch: &str) -> Item {
        let attributes = [("pk", pk), ("sk", sk), ("sync_batch", batch)];
        let attributes = attributes.into_iter();
        let set = attributes.filter(|(_, value)| !value.is_empty());
        set.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())))
            .collect()
    }

    #[test]
    fn users_go_batch_by_batch_each_before_his_image_and_a_page_goes_with_its_batch() {
        let users = |page: usize, count: usize| {
            (0..count)
                .map(move |nth| item("a#0", &format!("{nth:03}-{page}"), &format!("1.{page}")))
        };
        // The tenth page comes after the second, and no transaction has users of both.
        let all: Vec<Item> = users(10, 50).chain(users(2, 3)).collect();
        let images = all.iter().map(|user| {
            let key = format!("{}#0000000000", text(user, "sk"));
            item("journal#a#1#0", &key, "")
        });
        let rest = [
            item("batch#a#1", "001#000002", ""),
            item("page#a#1", "001#000002#digest#00", ""),
            item("page#a#1", "001#000010#digest#00", ""),
            item("head#a", "head", ""),
        ];
        let coordination = images.chain(rest).collect();
        let written = transactions(&tables(), all.clone(), coordination);
        let sizes: Vec<_> = written.iter().map(Vec::len).collect();
        assert_eq!(sizes, [6, 98, 2, 1, 2, 1]);
        let keys: Vec<_> = written[0].iter().map(|(_, it)| text(it, "sk")).collect();
        assert_eq!(keys[..3], ["000-2", "000-2#0000000000", "001-2"]);
        let keys: Vec<_> = written[4].iter().map(|(_, it)| text(it, "sk")).collect();
        assert_eq!(keys, ["001#000002", "001#000002#digest#00"]);
    }

    #[tokio::test]
    async fn a_request_has_the_form_of_the_stores_own() {
        let nobody = dynamodb_client("http://127.0.0.1:1");
        let transaction = vec![("directory".to_owned(), item("a#0", "b", "1.1"))];
        let request = request(&nobody, &transaction).unwrap();
        let total = Some(ReturnConsumedCapacity::Total);
        assert_eq!(request.get_return_consumed_capacity(), &total);
        let puts = request.get_transact_items().as_ref().unwrap();
        let put = puts[0].put().unwrap();
        assert_eq!(
            put.condition_expression(),
            Some("attribute_not_exists(#pk)")
        );
        assert_eq!(put.expression_attribute_names().unwrap()["#pk"], "pk");
    }
}
