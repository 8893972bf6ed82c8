//! The enumerator: started by a schedule, then by its own queue until the last page.

use rollcall_lambda::Error;

#[tokio::main]
async fn main() -> Result<(), Error> {
    rollcall_lambda::run(async |app, event, stop_at_ms| app.enumerator(event, stop_at_ms).await)
        .await
}
