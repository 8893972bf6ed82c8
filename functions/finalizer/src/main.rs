//! The finalizer: ends a run when its queue rings, and looks after all runs on a schedule.

use rollcall_lambda::Error;

#[tokio::main]
async fn main() -> Result<(), Error> {
    rollcall_lambda::run(async |app, event, stop_at_ms| app.finalizer(event, stop_at_ms).await)
        .await
}
