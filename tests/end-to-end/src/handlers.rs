//! The three handlers, called by a test or by their queues.

use rollcall_local::function;
use rollcall_sync::App;
use serde_json::{Value, json};

use crate::calls::as_function;

/// Which handler.
#[derive(Debug, Clone, Copy)]
pub enum Handler {
    /// Reads Graph.
    Enumerator,
    /// Works through a batch.
    Worker,
    /// Ends a run, or sweeps.
    Finalizer,
}

impl Handler {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Enumerator => "enumerator",
            Self::Worker => "worker",
            Self::Finalizer => "finalizer",
        }
    }
}

pub(crate) async fn call(
    app: App,
    handler: Handler,
    event: Value,
    stop_at_ms: u64,
) -> Result<Value, String> {
    let answer = match handler {
        Handler::Enumerator => app.enumerator(event, stop_at_ms).await,
        Handler::Worker => app.worker(event, stop_at_ms).await,
        Handler::Finalizer => app.finalizer(event, stop_at_ms).await,
    };
    answer.map_err(|e| e.to_string())
}

/// Calls a handler of some functions once, as the function that it is.
///
/// # Errors
/// The handler's.
pub async fn call_once(app: App, handler: Handler, event: Value) -> Result<Value, String> {
    as_function(handler.name(), call(app, handler, event, u64::MAX)).await
}

/// The handler as a function that is called `copies` times at once; the first answer is given.
pub(crate) fn handler_function(
    app: &App,
    handler: Handler,
    copies: usize,
) -> rollcall_local::Function {
    let app = app.clone();
    function(move |event: Value| {
        let app = app.clone();
        async move {
            let calls: Vec<_> = (0..copies)
                .map(|_| call(app.clone(), handler, event.clone(), u64::MAX))
                .map(|call| tokio::spawn(as_function(handler.name(), call)))
                .collect();
            let mut first = None;
            for call in calls {
                let answer = call.await.map_err(|e| e.to_string())?;
                first.get_or_insert(answer);
            }
            first.unwrap_or_else(|| Err("no copy was called".into()))
        }
    })
}

/// The event that Lambda delivers for one message.
#[must_use]
pub fn sqs_event(body: &Value) -> Value {
    json!({ "Records": [{
        "messageId": "1",
        "receiptHandle": "1",
        "body": body.to_string(),
        "attributes": {},
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:queue",
        "awsRegion": "us-east-1",
    }] })
}
