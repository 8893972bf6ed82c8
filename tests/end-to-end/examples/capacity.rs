//! Measures what a first sync and an unchanged second one consume, as DynamoDB counts it, and prints
//! a table: `cargo run --release -p rollcall-end-to-end --example capacity -- 1000 10000 100000`.
#![allow(clippy::print_stdout, reason = "this program's output is its purpose")]

use rollcall_core::run::RunState;
use rollcall_end_to_end::{Problem, World};
use rollcall_graph_emulator::Population;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Problem> {
    println!(
        "| users | sync | read units | write units | reads a user | writes a user | Graph requests |"
    );
    println!("|---:|---|---:|---:|---:|---:|---:|");
    for users in std::env::args().skip(1) {
        let users: usize = users.parse()?;
        let population = Population {
            guests: 0.0,
            ..Population::new("contoso.com", 5, users)
        };
        let attributes = json!({ "attributes": {
            "department": "department",
            "job_title": "jobTitle",
            "employee_id": "employeeId",
        } });
        let world = World::start_with(population, &attributes).await?;
        for sync in ["first", "unchanged"] {
            let before = world.store.capacity();
            let run = world.sync_quietly().await?;
            let after = world.store.capacity();
            if run.state != RunState::Completed {
                return Err(format!("the run did not complete: {run:?}").into());
            }
            let reads = after.read_units - before.read_units;
            let writes = after.write_units - before.write_units;
            let a_user = |units: f64| units / users as f64;
            println!(
                "| {users} | {sync} | {reads:.0} | {writes:.0} | {:.3} | {:.3} | {} |",
                a_user(reads),
                a_user(writes),
                run.usage.graph.requests
            );
        }
    }
    Ok(())
}
