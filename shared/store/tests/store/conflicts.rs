//! Transactions that meet another one, and what a cancelled transaction means.

use std::time::Duration;

use rollcall_core::ids::RunRef;
use rollcall_store::{BatchLease, Store, StoreError};
use serde_json::json;
use tokio::time::Instant;

use crate::values::{changed, created};
use crate::wire::Wire;
use crate::world::{LEASE_MS, World};

/// How often a transaction is tried that meets another one each time.
const ATTEMPTS: usize = 12;
/// The longest that all the pauses between them can be, together: 20 ms, doubled up to 2 s.
const PAUSES_MS_MAX: u64 = 20 + 40 + 80 + 160 + 320 + 640 + 1_280 + 4 * 2_000;

/// What DynamoDB says of a cancelled transaction, action by action.
pub(crate) fn cancelled(codes: &[&str]) -> String {
    let reasons: Vec<_> = codes.iter().map(|code| json!({ "Code": code })).collect();
    json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": format!("Transaction cancelled [{}]", codes.join(", ")),
        "CancellationReasons": reasons,
    })
    .to_string()
}

const CONFLICT_OF_UPDATE: &str = r#"{
    "__type": "com.amazonaws.dynamodb.v20120810#TransactionConflictException",
    "message": "Transaction is ongoing for the item" }"#;

async fn write_one(store: &Store, batch: &BatchLease, name: &str) -> Result<(), StoreError> {
    let writes = [created(batch.run(), name)];
    store.write_users(batch, &writes).await
}

#[tokio::test]
async fn a_transaction_that_meets_another_one_is_tried_again() {
    let world = World::start().await;
    let (_, batch) = world.working("t", &["a"]).await;
    for reason in [
        "TransactionConflict",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
    ] {
        let wire = Wire::default();
        for _ in 0..3 {
            let body = cancelled(&["None", reason, "None"]);
            wire.answer("TransactWriteItems", 400, &body);
        }
        let store = world.store_on(&wire);
        let name = reason.to_lowercase();
        assert_eq!(write_one(&store, &batch, &name).await, Ok(()), "{reason}");
        assert_eq!(wire.sent("TransactWriteItems"), 4);
    }
}

#[tokio::test]
async fn an_update_that_meets_a_transaction_is_tried_again() {
    let world = World::start().await;
    let (run, _) = world.working("t", &["a"]).await;
    let wire = Wire::default();
    for _ in 0..3 {
        wire.answer("UpdateItem", 400, CONFLICT_OF_UPDATE);
    }
    assert_eq!(world.store_on(&wire).keep_run(&run).await, Ok(()));
    assert_eq!(wire.sent("UpdateItem"), 4);

    wire.refuse_always("UpdateItem", CONFLICT_OF_UPDATE);
    let refused = world.store_on(&wire).keep_run(&run).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    assert_eq!(wire.sent("UpdateItem"), 4 + ATTEMPTS);
}

#[tokio::test]
async fn a_transaction_that_always_meets_another_one_ends_as_unavailable() {
    let world = World::start().await;
    let (_, batch) = world.working("t", &["a"]).await;
    let body = cancelled(&["TransactionConflict", "None", "None"]);
    // Every pause is as long as its bound, or half, or nothing: so they are drawn, and bounded.
    for (draw, pauses_ms) in [
        (u64::MAX, PAUSES_MS_MAX),
        (u64::MAX / 2, PAUSES_MS_MAX / 2),
        (0, 0),
    ] {
        let wire = Wire::default();
        wire.refuse_always("TransactWriteItems", &body);
        let store = world.store_that_draws(&wire, draw);
        tokio::time::pause();
        let start = Instant::now();
        let refused = write_one(&store, &batch, "a").await;
        let elapsed = start.elapsed();
        tokio::time::resume();
        assert!(matches!(refused, Err(StoreError::Unavailable(_))));
        assert_eq!(wire.sent("TransactWriteItems"), ATTEMPTS);
        // A sleep is rounded up to a millisecond.
        let spread = Duration::from_millis(2 * ATTEMPTS as u64);
        let expected = Duration::from_millis(pauses_ms);
        assert!(
            elapsed >= expected && elapsed <= expected + spread,
            "{elapsed:?} is not {expected:?}"
        );
    }
    assert_eq!(world.items_of("journal").await, []);
}

#[tokio::test]
async fn a_lost_lease_wins_over_whatever_else_stood_against_a_transaction() {
    let world = World::start().await;
    let (run, old) = world.working("t", &["a"]).await;
    let user = created(run.run(), "a").after;
    write_one(&world.store, &old, "a").await.unwrap();
    world.clock.advance_ms(LEASE_MS);
    world.batch_lease(run.run(), 1, 1, "other").await;
    // The version is wrong, too.
    let mut stale = user;
    stale.version = 9;
    let writes = [changed(run.run(), &stale, |u| u.mail = None)];
    let refused = world.store.write_users(&old, &writes).await;
    assert_eq!(refused, Err(StoreError::LostLease));
}

#[tokio::test]
async fn a_condition_that_failed_is_final_whatever_else_meets_the_transaction() {
    let world = World::start().await;
    let (_, batch) = world.working("t", &["a"]).await;
    let user = StoreError::Changed { what: "a user" };
    for (codes, expected) in [
        (
            ["ConditionalCheckFailed", "TransactionConflict", "None"],
            StoreError::LostLease,
        ),
        (
            [
                "ConditionalCheckFailed",
                "ConditionalCheckFailed",
                "ConditionalCheckFailed",
            ],
            StoreError::LostLease,
        ),
        (
            ["TransactionConflict", "ConditionalCheckFailed", "None"],
            user,
        ),
    ] {
        let wire = Wire::default();
        wire.answer("TransactWriteItems", 400, &cancelled(&codes));
        let refused = write_one(&world.store_on(&wire), &batch, "a").await;
        assert_eq!(refused, Err(expected), "{codes:?}");
        assert_eq!(wire.sent("TransactWriteItems"), 1);
    }
}

#[tokio::test]
async fn a_transaction_that_dynamodb_cannot_take_is_refused_for_good() {
    let world = World::start().await;
    let (_, batch) = world.working("t", &["a"]).await;
    let wire = Wire::default();
    let body = cancelled(&["None", "ItemCollectionSizeLimitExceeded", "None"]);
    wire.answer("TransactWriteItems", 400, &body);
    let refused = write_one(&world.store_on(&wire), &batch, "a").await;
    assert!(matches!(refused, Err(StoreError::Refused(_))));
    assert_eq!(wire.sent("TransactWriteItems"), 1);
}

#[tokio::test]
async fn a_missing_table_is_a_refusal_and_a_throttled_one_is_unavailable() {
    let world = World::start().await;
    let run: RunRef = "t/1".parse().unwrap();
    for (code, unavailable) in [
        ("ResourceNotFoundException", false),
        ("AccessDeniedException", false),
        ("ProvisionedThroughputExceededException", true),
        ("ThrottlingException", true),
        ("RequestLimitExceeded", true),
    ] {
        let wire = Wire::default();
        let body = json!({ "__type": format!("x#{code}"), "message": "no" });
        wire.refuse_always("GetItem", &body.to_string());
        let refused = world.store_on(&wire).run(&run).await;
        match refused {
            Err(StoreError::Unavailable(_)) => assert!(unavailable, "{code}"),
            Err(StoreError::Refused(_)) => assert!(!unavailable, "{code}"),
            other => panic!("{code}: {other:?}"),
        }
    }
}
