//! The outlet: what the application is told of changes of status, from the stream of the directory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_core::by_hand::Decision;
use rollcall_core::ids::ObjectId;
use rollcall_core::status::Status;
use rollcall_end_to_end::stream::Stream;
use rollcall_end_to_end::topic::{Meets, Message, TestTopic};
use rollcall_end_to_end::{TENANT, World, object_id};
use rollcall_store::{Store, TableNames};
use rollcall_sync::Outlet;
use serde_json::{Value, json};

/// How many records Lambda delivers at once.
const RECORDS_MAX: usize = 100;
/// How often a stream is delivered again in a test before it has to be empty.
const DELIVERIES_MAX: usize = 10_000;

struct Told {
    world: World,
    stream: Stream,
    topic: TestTopic,
    outlet: Outlet,
}

impl Told {
    async fn start(users: usize) -> Self {
        let world = World::start(users).await.unwrap();
        let stream = Stream::of_directory(&world).await.unwrap();
        let topic = TestTopic::start().await.unwrap();
        let outlet = world.outlet(&topic);
        Self {
            world,
            stream,
            topic,
            outlet,
        }
    }

    /// Delivers the stream until nothing is left of it.
    async fn deliver(&mut self, records_max: usize) {
        for _ in 0..DELIVERIES_MAX {
            let Some(event) = self.stream.next(records_max).await.unwrap() else {
                return;
            };
            let publishing = self.world.publish(&self.outlet, &event, u64::MAX);
            tokio::select! {
                biased;
                answer = publishing => self.stream.answered(&event, &answer.unwrap()).unwrap(),
                // What it had begun stays begun; Lambda delivers the same again.
                () = self.topic.death() => {}
            }
        }
        panic!("the stream does not come to its end");
    }

    /// The messages from the nth on.
    fn told_since(&self, nth: usize) -> Vec<Message> {
        self.topic.messages().split_off(nth)
    }
}

fn of(messages: &[Message], id: &ObjectId) -> Vec<Value> {
    let about = |message: &&Message| message.body["id"] == id.as_str();
    let bodies = messages.iter().filter(about);
    bodies.map(|message| message.body.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_of_a_status_is_told_with_what_was_before_and_its_evidence() {
    let mut told = Told::start(20).await;
    let first = told.world.sync().await.unwrap();
    told.deliver(RECORDS_MAX).await;
    let created = told.told_since(0);
    assert_eq!(created.len(), told.world.users().await.unwrap().len());
    let somebody = &created.first().unwrap().body;
    assert_eq!(somebody["change"], "created");
    assert_eq!(somebody["cause"]["kind"], "sighting");
    assert_eq!(somebody["cause"]["run"], first.run.run);

    let stored = told.world.users().await.unwrap();
    let is_on = |id: &uuid::Uuid| {
        let stored = stored.get(&object_id(*id).unwrap());
        stored.is_some_and(|user| user.status == Status::Active)
    };
    let ids: Vec<_> = {
        let directory = told.world.tenant.directory();
        directory
            .users()
            .map(|user| user.id)
            .filter(is_on)
            .collect()
    };
    let [disabled, renamed, by_hand] = [ids[0], ids[1], ids[2]].map(|id| object_id(id).unwrap());
    {
        let mut directory = told.world.tenant.directory();
        directory.set_account_enabled(ids[0], Some(false)).unwrap();
        directory
            .rename(ids[1], "other@contoso.com", "Other")
            .unwrap();
    }
    let run = told.world.sync().await.unwrap();
    let tenant = TENANT.parse().unwrap();
    let decision = Decision::Deactivate;
    let store = told.world.store.clone();
    store
        .decide(&tenant, &by_hand, decision, "ada")
        .await
        .unwrap();
    told.deliver(RECORDS_MAX).await;
    let since = told.told_since(created.len());
    assert!(of(&since, &renamed).is_empty(), "another name is no status");
    let evidence = store
        .history(&tenant, &user(&told, &disabled).await)
        .await
        .unwrap();
    let user_now = user(&told, &disabled).await;
    assert_eq!(
        of(&since, &disabled),
        [json!({
            "schema": 1,
            "tenant": TENANT,
            "id": disabled.as_str(),
            "version": user_now.version,
            "change": "switched_off",
            "status": "INACTIVE",
            "reason": "disabled",
            "before": { "status": "ACTIVE", "reason": "present" },
            "at": jiff::Timestamp::from_millisecond(user_now.status_at_ms.cast_signed()).unwrap().to_string(),
            "cause": { "kind": "plan", "run": run.run.run, "evidence": evidence[0].evidence },
        })]
    );
    let [person] = of(&since, &by_hand).try_into().unwrap();
    assert_eq!(
        person["cause"],
        json!({ "kind": "person", "decision": "deactivate" })
    );
    assert_eq!(since.len(), 2);
    assert!(!format!("{since:?}").contains("ada"), "{since:?}");
    let message = since
        .iter()
        .find(|m| m.body["id"] == disabled.as_str())
        .unwrap();
    assert_eq!(message.group, format!("{TENANT}/{disabled}"));
    assert_eq!(message.attributes["change"], "switched_off");
    assert_eq!(message.attributes["tenant"], TENANT);

    told.world.take_back(&run.run).await.unwrap();
    told.deliver(RECORDS_MAX).await;
    let back = told.told_since(created.len() + since.len());
    let [back] = of(&back, &disabled).try_into().unwrap();
    assert_eq!(back["change"], "switched_on");
    let all = format!("{:?}", told.topic.messages());
    for user in told.world.users().await.unwrap().values() {
        for name in [&user.user_principal_name, &user.mail, &user.display_name] {
            let name = name.as_deref().unwrap_or("ada");
            assert!(!all.contains(name), "{} is told by name", user.id);
        }
    }
    assert_eq!(
        back["cause"],
        json!({ "kind": "revert", "run": run.run.run })
    );
}

async fn user(told: &Told, id: &ObjectId) -> rollcall_core::status::StoredUser {
    told.world.users().await.unwrap().remove(id).unwrap()
}

/// Whether what was told is every change of status, and a user's changes in their order. A user's last
/// message has the say, and no message comes for the first time after one of a higher version.
fn check(seed: u64, messages: &[Message], changes: &BTreeMap<(String, u64), Status>) {
    let mut highest: BTreeMap<&str, u64> = BTreeMap::new();
    let mut first: BTreeMap<(String, u64), Status> = BTreeMap::new();
    for message in messages {
        let version = message.body["version"].as_u64().unwrap();
        let id = message.body["id"].as_str().unwrap();
        let status = serde_json::from_value(message.body["status"].clone()).unwrap();
        let is_new = first.insert((id.to_owned(), version), status).is_none();
        let highest = highest.entry(id).or_default();
        assert!(
            !is_new || version > *highest,
            "seed {seed}: {id} {version} after {highest}"
        );
        *highest = version.max(*highest);
    }
    assert_eq!(&first, changes, "seed {seed}");
    let mut last = BTreeMap::new();
    for message in messages {
        last.insert(
            message.group.clone(),
            message.body["version"].as_u64().unwrap(),
        );
    }
    for (group, version) in last {
        let id = group.rsplit('/').next().unwrap();
        assert_eq!(
            version, highest[id],
            "seed {seed}: {id} ends with an earlier version"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_histories_with_a_topic_that_fails_and_a_publisher_that_dies_lose_nothing_and_keep_the_order()
 {
    let mut told = Told::start(12).await;
    told.world.sync().await.unwrap();
    told.deliver(RECORDS_MAX).await;
    let tenant = TENANT.parse().unwrap();
    let ids: Vec<_> = told.world.users().await.unwrap().into_keys().collect();
    for seed in 0..100 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let before = told.topic.messages().len();
        let mut changes = BTreeMap::new();
        for _ in 0..dice.usize(1..60) {
            let id = &ids[dice.usize(..ids.len())];
            let decision =
                [Decision::Activate, Decision::Deactivate, Decision::Release][dice.usize(..3)];
            let decided = told
                .world
                .store
                .decide(&tenant, id, decision, "ada")
                .await
                .unwrap();
            if let rollcall_store::Decided::Written(user) = decided {
                changes.insert((id.as_str().to_owned(), user.version), user.status);
            }
        }
        let kinds = [
            Meets::Nothing,
            Meets::Refused,
            Meets::LostAnswer,
            Meets::InPart,
            Meets::Death,
        ];
        let weather: Vec<_> = (0..dice.usize(..30))
            .map(|_| kinds[dice.usize(..kinds.len())])
            .collect();
        told.topic.meets(weather.clone());
        told.deliver(dice.usize(1..RECORDS_MAX)).await;
        let messages = told.told_since(before);
        check(seed, &messages, &changes);
    }
}

/// A world in which three users were just switched off by hand, and the event that tells of it.
async fn three_changes() -> (Told, Value) {
    let mut told = Told::start(12).await;
    told.world.sync().await.unwrap();
    told.deliver(RECORDS_MAX).await;
    let tenant = TENANT.parse().unwrap();
    let stored = told.world.users().await.unwrap();
    let on = stored.values().filter(|user| user.status == Status::Active);
    for user in on.take(3) {
        let store = &told.world.store;
        let decision = Decision::Deactivate;
        store
            .decide(&tenant, &user.id, decision, "ada")
            .await
            .unwrap();
    }
    let event = told.stream.next(RECORDS_MAX).await.unwrap().unwrap();
    assert_eq!(event["Records"].as_array().unwrap().len(), 3);
    (told, event)
}

/// Publishes an event, and gives what was told and the place of the first record that comes again.
async fn published(told: &Told, event: &Value, stop_at_ms: u64) -> (Vec<Message>, Option<usize>) {
    let before = told.topic.messages().len();
    let answer = told
        .world
        .publish(&told.outlet, event, stop_at_ms)
        .await
        .unwrap();
    let failures = answer["batchItemFailures"].as_array().unwrap();
    assert!(failures.len() < 2, "{answer}");
    let again = failures.first().map(|failure| {
        let records = event["Records"].as_array().unwrap().iter();
        let number = &failure["itemIdentifier"];
        let of = |record: &Value| record["dynamodb"]["SequenceNumber"] == *number;
        records.clone().position(of).unwrap()
    });
    (told.told_since(before), again)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_item_of_a_newer_layout_on_the_stream_waits_for_the_version_that_knows_it() {
    let (told, mut event) = three_changes().await;
    event["Records"][1]["dynamodb"]["NewImage"]["schema"] = json!({ "N": "99" });
    let (messages, again) = published(&told, &event, u64::MAX).await;
    assert_eq!((messages.len(), again), (1, Some(1)));
    event["Records"][0]["dynamodb"]["OldImage"]["schema"] = json!({ "N": "99" });
    let (messages, again) = published(&told, &event, u64::MAX).await;
    assert_eq!((messages.len(), again), (0, Some(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_nobody_can_read_holds_up_no_other() {
    let (told, event) = three_changes().await;
    let spoil: [fn(&mut Value); 4] = [
        |images| images["NewImage"]["status"] = json!({ "S": "PERHAPS" }),
        |images| images["NewImage"]["pk"] = json!({ "S": "Contoso" }),
        // As if the stream had no images before: who was there is not new.
        |images| images["OldImage"] = Value::Null,
        // Somebody deleted him by hand.
        |images| images["NewImage"] = Value::Null,
    ];
    for spoil in spoil {
        let mut event = event.clone();
        spoil(&mut event["Records"][1]["dynamodb"]);
        let (messages, again) = published(&told, &event, u64::MAX).await;
        assert_eq!((messages.len(), again), (2, None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_evidence_cannot_be_read_is_told_without_it_and_the_others_with_theirs() {
    let (told, event) = three_changes().await;
    let image = &event["Records"][1]["dynamodb"]["NewImage"];
    let (pk, id) = (
        image["pk"]["S"].as_str().unwrap(),
        image["sk"]["S"].as_str().unwrap(),
    );
    let shard = pk.rsplit('#').next().unwrap();
    let dynamodb = told.world.aws.dynamodb();
    let spoiled = dynamodb
        .update_item()
        .table_name("coordination")
        .key(
            "pk",
            AttributeValue::S(format!("journal#{TENANT}#0#{shard}")),
        )
        .key("sk", AttributeValue::S(format!("{id}#0000000001")))
        .condition_expression("attribute_exists(pk)")
        .update_expression("SET decision = :spoiled")
        .expression_attribute_values(":spoiled", AttributeValue::S("perhaps".into()));
    spoiled.send().await.unwrap();
    let (messages, again) = published(&told, &event, u64::MAX).await;
    assert_eq!((messages.len(), again), (3, None));
    let causes: Vec<_> = messages
        .iter()
        .map(|it| it.body["cause"]["kind"].clone())
        .collect();
    assert_eq!(causes, [json!("person"), Value::Null, json!("person")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_does_not_answer_holds_everything_up_and_is_not_taken_for_no_evidence() {
    let (told, event) = three_changes().await;
    let nowhere = TableNames {
        directory: "directory".into(),
        coordination: "elsewhere".into(),
    };
    let dynamodb = told.world.aws.dynamodb().clone();
    let outlet = Outlet {
        store: Store::new(dynamodb, nowhere, told.world.ambient.clone()),
        ..told.outlet.clone()
    };
    let before = told.topic.messages().len();
    let answer = outlet.publisher(event.clone(), u64::MAX).await.unwrap();
    let first = &event["Records"][0]["dynamodb"]["SequenceNumber"];
    assert_eq!(
        answer,
        json!({ "batchItemFailures": [{ "itemIdentifier": first }] })
    );
    assert!(told.told_since(before).is_empty());
}

/// Somebody is switched off and on again in the console, where nobody raises a version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_by_hand_is_told_each_time_and_without_the_evidence_of_another_write() {
    let (mut told, event) = three_changes().await;
    let image = event["Records"][1]["dynamodb"]["NewImage"].clone();
    told.deliver(RECORDS_MAX).await;
    let before = told.topic.messages().len();
    for status in ["ACTIVE", "INACTIVE", "ACTIVE"] {
        let text = |name: &str| AttributeValue::S(image[name]["S"].as_str().unwrap().to_owned());
        let dynamodb = told.world.aws.dynamodb();
        let written = dynamodb
            .update_item()
            .table_name("directory")
            .key("pk", text("pk"))
            .key("sk", text("sk"))
            .update_expression("SET #s = :s")
            .expression_attribute_names("#s", "status")
            .expression_attribute_values(":s", AttributeValue::S(status.into()));
        written.send().await.unwrap();
    }
    told.deliver(RECORDS_MAX).await;
    let messages = told.told_since(before);
    let changes: Vec<_> = messages
        .iter()
        .map(|it| it.body["change"].clone())
        .collect();
    assert_eq!(changes, ["switched_on", "switched_off", "switched_on"]);
    assert!(messages.iter().all(|it| it.body["cause"].is_null()));
    let once: BTreeSet<_> = messages.iter().map(|it| &it.deduplication).collect();
    assert_eq!(once.len(), messages.len(), "SNS would pass on one of two");
}

/// DynamoDB refuses a request that asks for one key twice, and would for as long as both are delivered together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_records_with_one_journal_entry_hold_up_nobody() {
    let (told, mut event) = three_changes().await;
    let again = event["Records"][0].clone();
    event["Records"].as_array_mut().unwrap().push(again);
    let (messages, again) = published(&told, &event, u64::MAX).await;
    assert_eq!((messages.len(), again), (4, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_is_put_right_is_told_though_nobody_can_read_what_it_was() {
    let (told, mut event) = three_changes().await;
    event["Records"][1]["dynamodb"]["OldImage"]["status"] = json!({ "S": "INACTVE" });
    let (messages, again) = published(&told, &event, u64::MAX).await;
    assert_eq!((messages.len(), again), (3, None));
    let right = &messages[1].body;
    assert_eq!(
        (&right["change"], &right["before"]),
        (&json!("switched_off"), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_there_is_no_time_for_is_given_back_and_an_event_that_is_none_is_refused() {
    let (told, event) = three_changes().await;
    let (messages, again) = published(&told, &event, 0).await;
    assert_eq!((messages.len(), again), (0, Some(0)));
    let none = told
        .outlet
        .publisher(json!({ "schedule": "full" }), u64::MAX)
        .await;
    assert!(none.unwrap_err().to_string().contains("is not understood"));
}
