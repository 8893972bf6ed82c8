//! Lambda at the directory's stream: shard by shard, each delivered again from the first record that is not done.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html>

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};

use crate::checks::told;
use crate::lambda::{Ended, Function};
use crate::queues::call;
use crate::world::{World, lock};

/// The most shards of the stream.
const SHARDS_MAX: u64 = 3;
/// How often a shard is delivered in a storm.
const STORM_DELIVERIES_MAX: u64 = 20;
/// How long it takes at most until a shard is delivered again after a failure, in milliseconds: longer than the topic
/// knows a repetition.
const AGAIN_MS_MAX: u64 = 600_000;
/// How long the topic is down in a storm, in milliseconds, at most: some deliveries.
const DOWN_MS_MAX: u64 = 300_000;

/// Where each shard is read from: so many of its records are done.
type Places = Vec<usize>;

/// The application is told of everything that happened, through a storm and in the calm after it. Whatever else is
/// under way ends before it: nobody but the publisher is called.
pub(crate) async fn follow(world: &Arc<World>) {
    world.tell(|| "-- the publisher".into());
    world.end_syncs();
    world.publish_with_limit(world.dice.of([3_000, 15_000, 120_000]));
    lock(&world.stream).tells_oddities(&world.dice);
    let shards = world.dice.between(1, SHARDS_MAX);
    world.storm_again();
    if world.dice.per_mille(100) {
        lock(&world.stream).is_ahead(&world.dice);
        world.mark("fault: a newer layout");
    }
    if world.chaos.is_stormy() && world.dice.per_mille(300) {
        let down_ms = world.dice.between(0, DOWN_MS_MAX);
        lock(&world.told).topic_is_down_until_ms = world.now_ms() + down_ms;
        world.tell(|| format!("!! SNS is down for {down_ms} ms"));
    }
    let places = (0..shards).map(|_| 0).collect();
    let mut places = deliver(world, places, STORM_DELIVERIES_MAX).await;
    world.tell(|| "-- calm".into());
    world.calm_down();
    lock(&world.told).topic_is_down_until_ms = 0;
    lock(&world.stream).is_caught_up_with();
    // A write can still have been on its way.
    while !world.has_ended() && is_left(world, &places) {
        let records = lock(&world.stream).records.len();
        let done: usize = places.iter().sum();
        places = deliver(world, places, records as u64).await;
        if places.iter().sum::<usize>() == done {
            let detail = format!("{done} of {records} records are done");
            world.violate("status events: nothing is held up", detail);
        }
    }
    if !world.has_ended() {
        told::all(world);
    }
}

fn is_left(world: &World, places: &Places) -> bool {
    lock(&world.stream).records.len() > places.iter().sum()
}

/// All shards at once, each some times at most.
async fn deliver(world: &Arc<World>, places: Places, deliveries_max: u64) -> Places {
    let shards = places.len();
    let mut reading = JoinSet::new();
    for (shard, place) in places.into_iter().enumerate() {
        let world = Arc::clone(world);
        reading.spawn(async move {
            (
                shard,
                read(&world, shard, shards, place, deliveries_max).await,
            )
        });
    }
    let mut places = vec![0; shards];
    while let Some(Ok((shard, place))) = reading.join_next().await {
        places[shard] = place;
    }
    places
}

async fn read(
    world: &Arc<World>,
    shard: usize,
    shards: usize,
    mut place: usize,
    deliveries_max: u64,
) -> usize {
    for _ in 0..deliveries_max {
        let all = lock(&world.stream).shard(shard as u64, shards as u64);
        let left = all.get(place..).unwrap_or_default();
        if left.is_empty() || world.has_ended() {
            break;
        }
        let count = usize::try_from(world.dice.of([2, 12, 100])).unwrap_or(1);
        let records = &left[..count.min(left.len())];
        let event = json!({ "Records": records });
        if world.chaos.is_doubled(&world.dice) {
            world.mark("fault: a part of the stream delivered twice");
            tokio::spawn(call(Arc::clone(world), Function::Publisher, event.clone()));
        }
        let ended = call(Arc::clone(world), Function::Publisher, event).await;
        let done = done(world, &ended, records);
        place += done;
        if done < records.len() {
            let again_ms = world.dice.between(0, AGAIN_MS_MAX);
            sleep(Duration::from_millis(again_ms)).await;
        }
    }
    place
}

/// How many of the records are done, by the function's answer.
fn done(world: &World, ended: &Ended, records: &[Value]) -> usize {
    let Ended::Answered(answer) = ended else {
        return 0;
    };
    let Some(first) = answer["batchItemFailures"][0]["itemIdentifier"].as_str() else {
        return records.len();
    };
    let is_first = |record: &Value| record["dynamodb"]["SequenceNumber"] == first;
    records.iter().position(is_first).unwrap_or_else(|| {
        world.violate("status events: an answer names a record", first.to_owned());
        0
    })
}
