//! What each function asks of DynamoDB, SQS and SNS: every call of a handler, as it stands on the wire, is
//! recorded, and one that `infra/calls.json` does not list is refused, as a role would refuse it.
//!
//! The roles of `template.yaml` are made from the same list, and a test of the template holds them
//! equal. So every test that drives the handlers is a test of the roles too.
//!
//! With `ROLLCALL_CALLS_MISSING=FILE` what is not listed is let through and written to that file, a line
//! each: to see what a change of the code needs, or needs no more.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use serde_json::Value;

use crate::Problem;

/// By function, what it acts on, and the action: the kinds of keys.
pub type Calls = BTreeMap<String, BTreeMap<String, BTreeMap<String, BTreeSet<String>>>>;

/// What the functions may ask for.
const ALLOWED: &str = include_str!("../../../infra/calls.json");

static LIST: LazyLock<Calls> = LazyLock::new(|| serde_json::from_str(ALLOWED).unwrap_or_default());

static MISSING: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os("ROLLCALL_CALLS_MISSING").map(PathBuf::from));

tokio::task_local! {
    /// Whose handler is at work. Nobody's: a person or the test itself.
    static AT_WORK: &'static str;
}

/// Runs a function's call as that function.
pub(crate) async fn as_function<F: Future>(name: &'static str, call: F) -> F::Output {
    AT_WORK.scope(name, call).await
}

/// Records the calls of handlers. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    calls: Calls,
    refused: BTreeSet<String>,
}

impl Recorder {
    /// What was asked for.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.recorded(|recorded| recorded.calls.clone())
    }

    /// What the functions may ask for: `infra/calls.json`.
    #[must_use]
    pub fn listed() -> &'static Calls {
        &LIST
    }

    /// That nothing was asked for which no role allows.
    ///
    /// # Errors
    /// What was.
    pub fn check(&self) -> Result<(), Problem> {
        let refused = self.recorded(|recorded| recorded.refused.clone());
        if refused.is_empty() {
            return Ok(());
        }
        let list = refused.into_iter().collect::<Vec<_>>().join(", ");
        Err(format!("{list}: not in infra/calls.json, and so not allowed by the roles").into())
    }

    fn recorded<T>(&self, with: impl FnOnce(&mut Recorded) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn record(&self, call: Call) -> Result<(), BoxError> {
        let Call {
            function,
            on,
            action,
            kind,
        } = call;
        let is_allowed = LIST
            .get(&function)
            .and_then(|of| of.get(&on)?.get(&action)?.get(&kind))
            .is_some();
        let told = format!("{function}: {action} of {kind} on {on}");
        self.recorded(|recorded| {
            let of_function = recorded.calls.entry(function).or_default();
            let kinds = of_function.entry(on).or_default().entry(action);
            kinds.or_default().insert(kind);
            if is_allowed {
                return Ok(());
            }
            if let Some(path) = &*MISSING {
                let mut file = std::fs::File::options()
                    .append(true)
                    .create(true)
                    .open(path)?;
                // In one write, because tests write at the same time.
                return Ok(file.write_all(format!("{told}\n").as_bytes())?);
            }
            recorded.refused.insert(told.clone());
            Err(told.into())
        })
    }
}

/// One action on one item.
struct Call {
    function: String,
    on: String,
    action: String,
    kind: String,
}

impl Intercept for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Ok(function) = AT_WORK.try_with(|function| *function) else {
            return Ok(());
        };
        let request = context.request();
        let body = request.body().bytes().unwrap_or_default();
        let asked = match request.headers().get("x-amz-target") {
            Some(target) => {
                let action = target.split('.').next_back().unwrap_or_default();
                asked(action, &serde_json::from_slice(body)?)?
            }
            None => vec![asked_of_topic(body)?],
        };
        for (action, on, kind) in asked {
            self.record(Call {
                function: function.to_owned(),
                on,
                action,
                kind,
            })?;
        }
        Ok(())
    }
}

/// What a request asks for: the actions that IAM knows, the table or "queues", and the kinds of keys, or the
/// index.
fn asked(action: &str, body: &Value) -> Result<Vec<(String, String, String)>, BoxError> {
    let one = |action: &str, body: &Value, key: &Value| {
        let table = body["TableName"]
            .as_str()
            .ok_or("a request without table")?;
        let partition = key["pk"]["S"].as_str().ok_or("a key without partition")?;
        Ok::<_, BoxError>((action.to_owned(), table.to_owned(), kind(table, partition)))
    };
    match action {
        "GetItem" | "UpdateItem" => Ok(vec![one(action, body, &body["Key"])?]),
        "Query" => {
            let partition = partition_of(body).ok_or("a query without partition")?;
            let table = body["TableName"].as_str().unwrap_or_default();
            let key = match body["IndexName"].as_str() {
                Some(index) => format!("index/{index}"),
                None => kind(table, partition),
            };
            Ok(vec![(action.to_owned(), table.to_owned(), key)])
        }
        "BatchGetItem" => {
            let tables = body["RequestItems"].as_object().ok_or("no tables")?;
            let mut all = Vec::new();
            for (table, asked) in tables {
                for key in asked["Keys"].as_array().ok_or("no keys")? {
                    let partition = key["pk"]["S"].as_str().ok_or("no partition")?;
                    all.push((action.to_owned(), table.clone(), kind(table, partition)));
                }
            }
            Ok(all)
        }
        "TransactWriteItems" => {
            let items = body["TransactItems"].as_array().ok_or("no items")?;
            let mut all = Vec::new();
            for (name, item) in items.iter().filter_map(Value::as_object).flatten() {
                all.push(match name.as_str() {
                    "ConditionCheck" => one("ConditionCheckItem", item, &item["Key"])?,
                    "Put" => one("PutItem", item, &item["Item"])?,
                    "Update" => one("UpdateItem", item, &item["Key"])?,
                    other => return Err(format!("{other} in a transaction").into()),
                });
            }
            Ok(all)
        }
        "SendMessage" => {
            let url = body["QueueUrl"].as_str().unwrap_or_default();
            let name = url.rsplit('/').next().unwrap_or_default();
            let queue = name
                .strip_prefix("rollcall-")
                .ok_or("a queue of another name")?;
            Ok(vec![(
                action.to_owned(),
                "queues".to_owned(),
                queue.to_owned(),
            )])
        }
        other => Err(format!("{other} is an action that no role has").into()),
    }
}

/// What a form asks of a topic. IAM knows one action for one message and for many.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html>
fn asked_of_topic(form: &[u8]) -> Result<(String, String, String), BoxError> {
    let form: BTreeMap<_, _> = form_urlencoded::parse(form).collect();
    let field = |name: &str| form.get(name).map(AsRef::as_ref).unwrap_or_default();
    let name = field("TopicArn").rsplit(':').next().unwrap_or_default();
    let topic = name
        .strip_prefix("rollcall-")
        .and_then(|name| name.strip_suffix(".fifo"));
    match (field("Action"), topic) {
        ("PublishBatch", Some(topic)) => Ok(("Publish".into(), "topics".into(), topic.into())),
        (other, _) => Err(format!("{other} is an action that no role has").into()),
    }
}

/// The value that the partition key of a query equals.
fn partition_of(query: &Value) -> Option<&str> {
    let condition = query["KeyConditionExpression"].as_str()?;
    let (_, value) = condition.split_once('=')?;
    let placeholder = value.split_whitespace().next()?;
    query["ExpressionAttributeValues"][placeholder]["S"].as_str()
}

/// What a coordination key begins with. The directory has users alone.
fn kind(table: &str, partition: &str) -> String {
    let kind = partition.split('#').next().unwrap_or_default();
    if table == "directory" { "user" } else { kind }.to_owned()
}
