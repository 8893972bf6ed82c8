//! Does each fault of the catalogue to a real run, passing and lasting, and prints the table of what
//! became of them: `cargo run -p rollcall-end-to-end --example faults`.
#![allow(clippy::print_stdout, reason = "this program's output is its purpose")]

use rollcall_end_to_end::Problem;
use rollcall_end_to_end::catalogue::{prove, rows, table};

#[tokio::main]
async fn main() -> Result<(), Problem> {
    for row in rows() {
        for variant in row.passing.iter().chain(&row.lasting) {
            prove(row.mode(), variant)
                .await
                .map_err(|problem| format!("row {}: {problem}", row.number))?;
        }
    }
    print!("{}", table());
    Ok(())
}
