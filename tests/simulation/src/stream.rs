//! The directory's stream: what Lambda delivers to the publisher of each write of a user.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html>

use std::collections::BTreeSet;

use dynoxide::AttributeValue;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::item::{Item, Place, Table, number, text};
use crate::mirror::Change;

/// What the stream has told, in its order.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) records: Vec<Record>,
    /// The records that a newer version has written, by their numbers, while the publisher is an older one.
    newer: BTreeSet<u64>,
}

/// A record.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) number: u64,
    /// When it was written, in milliseconds since 1970; 0 for what was done by hand.
    pub(crate) at_ms: u64,
    pub(crate) what: What,
}

/// What a record tells of.
#[derive(Debug)]
pub(crate) enum What {
    /// A write of a user, and the journal's entry that was written with it.
    Write(Change, Option<Item>),
    /// Somebody did it by hand, and nobody can tell a status from it.
    Oddity(Value),
}

impl Stream {
    /// Takes in what one write or transaction changed.
    pub(crate) fn extend(&mut self, changes: &[Change], at_ms: u64) {
        let users = |change: &&Change| change.place.table == Table::Directory;
        for change in changes.iter().filter(users) {
            let entry = entry_of(changes, change).cloned();
            self.push(What::Write(change.clone(), entry), at_ms);
        }
    }

    fn push(&mut self, what: What, at_ms: u64) {
        let number = self.records.len() as u64 + 1;
        self.records.push(Record {
            number,
            at_ms,
            what,
        });
    }

    /// Somebody deletes a user by hand, or leaves an item that is none.
    pub(crate) fn tells_oddities(&mut self, dice: &Dice) {
        for _ in 0..dice.between(0, 2) {
            let Some(Record {
                what: What::Write(change, _),
                ..
            }) = self.records.get(dice.index(self.records.len()))
            else {
                continue;
            };
            let (mut item, id) = (change.after.clone(), dice.uuid().to_string());
            let keys = json!({ "pk": { "S": change.place.pk }, "sk": { "S": id } });
            item.insert("sk".into(), AttributeValue::S(id));
            let mut oddity = json!({ "OldImage": item, "Keys": keys });
            if dice.per_mille(500) {
                let lost = dice.of(["status", "reason", "version", "sync_run", "pk"]);
                item.remove(lost);
                oddity["NewImage"] = json!(item);
            }
            // It comes between others.
            let at = dice.index(self.records.len());
            let what = What::Oddity(oddity);
            let (number, at_ms) = (0, 0);
            self.records.insert(
                at,
                Record {
                    number,
                    at_ms,
                    what,
                },
            );
        }
        for (number, record) in (1..).zip(&mut self.records) {
            record.number = number;
        }
    }

    /// A newer version is deployed, and the publisher is not the first to be it.
    pub(crate) fn is_ahead(&mut self, dice: &Dice) {
        let index = dice.index(self.records.len());
        self.newer
            .extend(self.records.get(index).map(|it| it.number));
    }

    /// The publisher is deployed as well, and reads everything.
    pub(crate) fn is_caught_up_with(&mut self) {
        self.newer.clear();
    }

    /// The records of a shard, as they stand in an event: a user's are all in one.
    pub(crate) fn shard(&self, shard: u64, shards: u64) -> Vec<Value> {
        let in_it = |record: &&Record| record.shard(shards) == shard;
        self.records
            .iter()
            .filter(in_it)
            .map(|record| record.event(self.newer.contains(&record.number)))
            .collect()
    }

    /// The record with this number.
    pub(crate) fn of_number(&self, number: &str) -> Option<&Record> {
        let mut records = self.records.iter();
        records.find(|record| record.sequence_number() == number)
    }
}

impl Record {
    pub(crate) fn sequence_number(&self) -> String {
        format!("{:021}", self.number)
    }

    fn shard(&self, shards: u64) -> u64 {
        let key = match &self.what {
            What::Write(change, _) => change.place.sk.as_str(),
            What::Oddity(images) => images["Keys"]["sk"]["S"].as_str().unwrap_or_default(),
        };
        key.bytes().map(u64::from).sum::<u64>() % shards
    }

    fn event(&self, is_newer: bool) -> Value {
        let mut told = match &self.what {
            What::Write(change, _) => json!({
                "NewImage": change.after,
                "Keys": { "pk": { "S": change.place.pk }, "sk": { "S": change.place.sk } },
            }),
            What::Oddity(images) => images.clone(),
        };
        if let What::Write(
            Change {
                before: Some(before),
                ..
            },
            _,
        ) = &self.what
        {
            told["OldImage"] = json!(before);
        }
        if is_newer {
            told["NewImage"]["schema"] = json!({ "N": "99" });
        }
        told["SequenceNumber"] = json!(self.sequence_number());
        json!({ "eventSource": "aws:dynamodb", "dynamodb": told })
    }
}

/// The journal's entry of a user's change, from the same transaction.
fn entry_of<'a>(changes: &'a [Change], change: &Change) -> Option<&'a Item> {
    let tenant = tenant_of(&change.place);
    let before = change.before.as_ref();
    let version_before = before.and_then(|item| number(item, "version"));
    let prefix = format!("journal#{tenant}#");
    let sk = format!(
        "{}#{:010}",
        change.place.sk,
        version_before.unwrap_or_default()
    );
    let is_it = |it: &&Change| it.place.pk.starts_with(&prefix) && it.place.sk == sk;
    changes.iter().find(is_it).map(|it| &it.after)
}

/// Whose user.
pub(crate) fn tenant_of(place: &Place) -> &str {
    place.pk.split('#').next().unwrap_or_default()
}

/// Whether a write is one of a status: another one, or for another reason, or the first.
pub(crate) fn is_of_status(change: &Change) -> bool {
    let standing = |item: &Item| {
        (
            text(item, "status").to_owned(),
            text(item, "reason").to_owned(),
        )
    };
    change.before.as_ref().map(standing) != Some(standing(&change.after))
}
