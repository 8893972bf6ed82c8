//! The worker: one message, one batch.

use rollcall_lambda::Error;

#[tokio::main]
async fn main() -> Result<(), Error> {
    rollcall_lambda::run(async |app, event, stop_at_ms| app.worker(event, stop_at_ms).await).await
}
