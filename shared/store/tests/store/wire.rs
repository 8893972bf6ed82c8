//! The wire between a store and the embedded DynamoDB. A test says what happens to which request.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;

type Errand = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What happens to a request.
enum Fault {
    /// Something else happens first; then it is sent.
    Errand(Errand),
    /// It is applied, and its answer never comes.
    AnswerLost,
    /// It is not sent; this comes back.
    Answer(u16, String),
}

#[derive(Default)]
struct Script {
    next: VecDeque<(&'static str, Fault)>,
    always: Option<(&'static str, String)>,
    sent: Vec<String>,
}

/// The faults to come, and what was sent so far. Clones are the same wire.
#[derive(Clone, Default)]
pub(crate) struct Wire(Arc<Mutex<Script>>);

impl Wire {
    fn plan(&self, operation: &'static str, fault: Fault) {
        let mut script = self.0.lock().unwrap();
        script.next.push_back((operation, fault));
    }

    /// Before the next request of this operation is sent, `errand` is done.
    pub(crate) fn before(
        &self,
        operation: &'static str,
        errand: impl Future<Output = ()> + Send + 'static,
    ) {
        self.plan(operation, Fault::Errand(Box::pin(errand)));
    }

    /// The next request of this operation is applied, and its answer is lost.
    pub(crate) fn lose_answer(&self, operation: &'static str) {
        self.plan(operation, Fault::AnswerLost);
    }

    /// The next request of this operation gets this answer from nobody.
    pub(crate) fn answer(&self, operation: &'static str, status: u16, body: &str) {
        self.plan(operation, Fault::Answer(status, body.to_owned()));
    }

    /// Every request of this operation gets this error from now on.
    pub(crate) fn refuse_always(&self, operation: &'static str, body: &str) {
        self.0.lock().unwrap().always = Some((operation, body.to_owned()));
    }

    /// How many requests of this operation the SDK sent, again or anew.
    pub(crate) fn sent(&self, operation: &str) -> usize {
        let script = self.0.lock().unwrap();
        script.sent.iter().filter(|sent| *sent == operation).count()
    }

    /// Whether every fault that was planned has happened.
    pub(crate) fn is_done(&self) -> bool {
        self.0.lock().unwrap().next.is_empty()
    }

    fn take(&self, operation: &str) -> Option<Fault> {
        let mut script = self.0.lock().unwrap();
        script.sent.push(operation.to_owned());
        if script.next.front().is_some_and(|(op, _)| *op == operation) {
            return script.next.pop_front().map(|(_, fault)| fault);
        }
        match &script.always {
            Some((op, body)) if *op == operation => Some(Fault::Answer(400, body.clone())),
            _ => None,
        }
    }

    /// A connector that goes over this wire.
    pub(crate) fn connector(&self, inner: SharedHttpConnector) -> SharedHttpConnector {
        SharedHttpConnector::new(Line {
            wire: self.clone(),
            inner,
        })
    }
}

struct Line {
    wire: Wire,
    inner: SharedHttpConnector,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

impl HttpConnector for Line {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default();
        let fault = self.wire.take(operation);
        let inner = self.inner.clone();
        HttpConnectorFuture::new(async move {
            match fault {
                None => inner.call(request).await,
                Some(Fault::Errand(errand)) => {
                    errand.await;
                    inner.call(request).await
                }
                Some(Fault::AnswerLost) => {
                    let answer = inner.call(request).await?;
                    assert!(answer.status().is_success(), "the request was not applied");
                    Err(ConnectorError::io("the answer was lost".into()))
                }
                Some(Fault::Answer(status, body)) => {
                    let status = status.try_into().unwrap();
                    Ok(HttpResponse::new(status, body.into()))
                }
            }
        })
    }
}
