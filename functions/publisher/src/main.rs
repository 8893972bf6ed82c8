//! The publisher: tells the status topic what the directory's stream tells.

use rollcall_lambda::Error;

#[tokio::main]
async fn main() -> Result<(), Error> {
    rollcall_lambda::run_outlet(async |outlet, event, stop_at_ms| {
        outlet.publisher(event, stop_at_ms).await
    })
    .await
}
