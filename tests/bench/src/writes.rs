//! The bare writes: what a first sync wrote, written again under the same conditions by a loop that does
//! nothing else, into tables that are as empty as those were. What a first sync takes beyond it is the
//! system's.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use rollcall_ambient::Ambient;
use rollcall_local::dynamodb_client;
use rollcall_store::{Store, TableNames, WRITES_PER_TRANSACTION_MAX};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::emulated::say;
use crate::stack::{WORKERS, tables};

/// What the sort of item that goes with each user's begins with.
const JOURNAL: &str = "journal#";

type Item = HashMap<String, AttributeValue>;
type Transaction = Vec<(String, Item)>;

/// What the bare writes took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Written {
    /// How many items.
    pub items: usize,
    /// From the first request to the last answer, in milliseconds.
    pub wall_ms: u64,
}

/// The process: writes what one stack's tables hold into those of another, says what it took, and waits until its
/// input ends.
///
/// # Errors
/// DynamoDB's, or an output that is closed.
pub async fn run(from: &str, to: &str) -> anyhow::Result<()> {
    let (from, to) = (dynamodb_client(from), dynamodb_client(to));
    let written = again(&from, &to, &tables(), &Ambient::system()).await?;
    say(&serde_json::to_value(written)?)?;
    // Whoever started this reads what was used, and then closes the input.
    tokio::task::block_in_place(|| std::io::stdin().lines().count());
    Ok(())
}

/// Writes by as many as there are workers.
async fn again(
    from: &Client,
    to: &Client,
    tables: &TableNames,
    ambient: &Ambient,
) -> anyhow::Result<Written> {
    Store::new(to.clone(), tables.clone(), ambient.clone())
        .create_tables()
        .await?;
    let users = all(from, &tables.directory).await?;
    let (journal, rest): (Vec<Item>, Vec<Item>) = all(from, &tables.coordination)
        .await?
        .into_iter()
        .partition(is_of_the_journal);
    let transactions = Arc::new(transactions(tables, users, journal, rest));
    let started_ms = ambient.now_ms();
    let mut writers = JoinSet::new();
    for nth in 0..WORKERS {
        let (to, transactions) = (to.clone(), Arc::clone(&transactions));
        writers.spawn(async move {
            for transaction in transactions.iter().skip(nth).step_by(WORKERS) {
                write(&to, transaction).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    Ok(Written {
        items: transactions.iter().map(Vec::len).sum(),
        wall_ms: ambient.now_ms() - started_ms,
    })
}

fn is_of_the_journal(item: &Item) -> bool {
    let key = item.get("pk").and_then(|key| key.as_s().ok());
    key.is_some_and(|key| key.starts_with(JOURNAL))
}

/// As the workers write: so many users with their images at a time, in the order in which they were seen, and everything
/// else by itself. The order of their keys would be a kinder one than any list of users has.
fn transactions(
    tables: &TableNames,
    mut users: Vec<Item>,
    mut journal: Vec<Item>,
    rest: Vec<Item>,
) -> Vec<Transaction> {
    users.sort_by_cached_key(place_seen);
    let places: HashMap<_, _> = users
        .iter()
        .map(|user| (id(user), place_seen(user)))
        .collect();
    journal.sort_by_cached_key(|image| places.get(&id(image)).cloned());
    let in_tables = |table: &str, items: Vec<Item>| -> Transaction {
        items.into_iter().map(|it| (table.to_owned(), it)).collect()
    };
    let users = in_tables(&tables.directory, users);
    let images = in_tables(&tables.coordination, journal);
    let each = WRITES_PER_TRANSACTION_MAX;
    let mut all: Vec<Transaction> = users
        .chunks(each)
        .zip(images.chunks(each))
        .map(|(users, images)| [users, images].concat())
        .collect();
    all.extend(
        in_tables(&tables.coordination, rest)
            .into_iter()
            .map(|it| vec![it]),
    );
    all
}

/// Where in the run a user was seen: generation, page, place.
fn place_seen(user: &Item) -> Vec<u32> {
    let order = user.get("sync_order").and_then(|it| it.as_s().ok());
    let parts = order.map_or("", String::as_str).split('.');
    parts.filter_map(|part| part.parse().ok()).collect()
}

/// Whose item it is, or before-image.
fn id(item: &Item) -> String {
    let key = item.get("sk").and_then(|key| key.as_s().ok());
    let id = key.and_then(|key| key.split('#').next());
    id.unwrap_or_default().to_owned()
}

async fn write(to: &Client, transaction: &Transaction) -> anyhow::Result<()> {
    let mut puts = Vec::with_capacity(transaction.len());
    for (table, item) in transaction {
        let put = Put::builder()
            .table_name(table)
            .set_item(Some(item.clone()))
            .condition_expression("attribute_not_exists(pk)");
        puts.push(TransactWriteItem::builder().put(put.build()?).build());
    }
    let request = to.transact_write_items().set_transact_items(Some(puts));
    request.send().await?;
    Ok(())
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
