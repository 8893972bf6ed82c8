//! A run that was interrupted.

use std::time::Duration;

use rollcall_core::ids::RunRef;
use rollcall_core::run::RunState;
use rollcall_end_to_end::{World, sqs_event};
use rollcall_graph_emulator::{Fault, FaultRule};
use serde_json::json;
use tokio::sync::oneshot;

use crate::{in_step, mends, tenant_of, users_page};

const LOOK_MS: u64 = 10;
/// Nothing is said of how fast the machine is: a page that is not kept after a minute never will be.
const LOOKS_MAX: u64 = 60_000 / LOOK_MS;

/// Waits until a run has kept its pages up to this one.
async fn is_kept(world: &World, run: &RunRef, page: u32) {
    for _ in 0..LOOKS_MAX {
        let record = world.store.run(run).await.unwrap().unwrap();
        if record.last_page >= page {
            return;
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    panic!("page {page} of run {run} was not kept");
}

/// idp-scim-sync#48: a first sync panicked before it had written down its state, and every later one tried to
/// create the same users again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_run_that_dies_halfway_is_gone_on_with_and_makes_nobody_twice() {
    let world = tenant_of(40, &json!({})).await;
    let run = world.start_run(&world.app).await.unwrap();
    // The enumerator dies while it waits for page 3.
    let hangs = FaultRule::forever(users_page(3), Fault::Delay { ms: 600_000 });
    world.graph().add_fault(hangs);
    let (asked, is_asked) = oneshot::channel();
    world
        .graph()
        .before(&world.tenant, users_page(3), move |_| {
            let _ = asked.send(());
        });
    let event = sqs_event(&json!({ "tenant": run.tenant, "run": run.run }));
    let app = world.app.clone();
    let enumerator = tokio::spawn(async move { app.enumerator(event, u64::MAX).await });
    is_asked.await.unwrap();
    // A page is asked for while the one before it is being kept.
    is_kept(&world, &run, 2).await;
    enumerator.abort();
    assert!(enumerator.await.unwrap_err().is_cancelled());
    world.graph().clear_faults();
    // What it had read by then is worked on.
    for page in [1, 2] {
        let bell = json!({ "tenant": run.tenant, "run": run.run, "generation": 1, "page": page });
        let worked = world.app.worker(sqs_event(&bell), u64::MAX).await;
        assert_eq!(worked.unwrap(), json!({ "batchItemFailures": [] }));
    }
    assert_eq!(world.users().await.unwrap().len(), 20);

    let joined = world.sync().await.unwrap();
    assert_eq!((&joined.run, joined.state), (&run, RunState::Completed));
    // It was gone on with, from the page that was not read.
    assert_eq!((joined.generation, joined.last_page), (1, 4));
    let totals = joined.totals.unwrap();
    assert_eq!((totals.changes.created, totals.changes.total()), (40, 40));
    let users = world.users().await.unwrap();
    assert_eq!(users.len(), 40);
    assert!(users.values().all(|user| user.version == 1));
    in_step(&world).await;

    let next = mends(&world).await;
    assert_eq!(next.totals.unwrap().changes.total(), 0);
    assert_eq!(world.users().await.unwrap(), users);
}
