//! Lambda around a function: its runtime API, and the environments that run the function's binary.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::collections::HashMap;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as Segment, State};
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use rollcall_ambient::Ambient;
use rollcall_local::{Function, function};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::process::{Held, Used, used};

/// How many events may wait for an environment. An event source hands over no more than it has calls.
const EVENTS_MAX: usize = 64;

/// What a function is made of.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name, as in `functions/`.
    pub name: &'static str,
    /// Its binary.
    pub binary: PathBuf,
    /// How many environments there are.
    pub environments: usize,
    /// When an invocation is cut off, in milliseconds.
    pub ms_max: u64,
    /// What the kernel holds each environment to.
    pub held: Held,
}

/// What a function has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionUsed {
    /// All its environments together.
    #[serde(flatten)]
    pub used: Used,
    /// How often it was invoked.
    pub invocations: u64,
    /// How many of those were for a message of its queue.
    pub messages: u64,
    /// How long its invocations took together, each rounded up to a millisecond, as they are billed.
    pub billed_ms: u64,
}

/// A function that can be invoked.
pub struct Runtime {
    environments: Vec<Child>,
    logs: Vec<PathBuf>,
    service: Arc<Service>,
    server: JoinHandle<()>,
    events: mpsc::Sender<Event>,
}

struct Event {
    payload: Value,
    answer: oneshot::Sender<Result<Value, String>>,
}

struct Service {
    ambient: Ambient,
    ms_max: u64,
    waiting: tokio::sync::Mutex<mpsc::Receiver<Event>>,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    running: HashMap<String, (u64, oneshot::Sender<Result<Value, String>>)>,
    invocations: u64,
    messages: u64,
    billed_ms: u64,
}

impl Runtime {
    /// Starts the environments of a function, each with these variables, and its log in a folder.
    ///
    /// # Errors
    /// A binary that does not start, or no port.
    pub async fn start(
        spec: &Spec,
        variables: &[(String, String)],
        logs: &Path,
        ambient: Ambient,
    ) -> anyhow::Result<Self> {
        let (events, waiting) = mpsc::channel(EVENTS_MAX);
        let service = Arc::new(Service {
            ambient,
            ms_max: spec.ms_max,
            waiting: tokio::sync::Mutex::new(waiting),
            books: Mutex::default(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let api = listener.local_addr()?.to_string();
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route(
                "/2018-06-01/runtime/invocation/{id}/response",
                post(response),
            )
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(Arc::clone(&service));
        let server = tokio::spawn(async move {
            // It ends when it is aborted; until then there is nothing that it could fail at.
            let _ = axum::serve(listener, router).await;
        });
        let log = |number| logs.join(format!("{}-{number}.log", spec.name));
        let logs: Vec<PathBuf> = (0..spec.environments).map(log).collect();
        let environments = logs
            .iter()
            .map(|log| environment(spec, &api, variables, log))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            environments,
            logs,
            service,
            server,
            events,
        })
    }

    /// The function, as an event source calls it.
    #[must_use]
    pub fn function(&self) -> Function {
        let events = self.events.clone();
        function(move |payload| {
            let events = events.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                let sent = events.send(Event { payload, answer }).await;
                sent.map_err(|_| "the runtime is gone".to_owned())?;
                let gone = || Err("the environment is gone".to_owned());
                answered.await.unwrap_or_else(|_| gone())
            }
        })
    }

    /// Whether all environments are alive.
    ///
    /// # Errors
    /// One that has ended by itself, with the end of its log.
    pub fn check(&mut self) -> anyhow::Result<()> {
        for (environment, log) in self.environments.iter_mut().zip(&self.logs) {
            if let Some(status) = environment.try_wait()? {
                let told = std::fs::read_to_string(log)?;
                let last = told.lines().last().unwrap_or("nothing").to_owned();
                bail!(
                    "{} has ended with {status}; its log says: {last}",
                    log.display()
                );
            }
        }
        Ok(())
    }

    /// What it has used, and its end.
    ///
    /// # Errors
    /// An environment that has ended by itself.
    pub async fn end(mut self) -> anyhow::Result<FunctionUsed> {
        let mut sum = Used::default();
        for environment in &self.environments {
            let pid = environment.id().context("an environment has ended")?;
            sum = sum.and(used(pid).context("an environment has ended")?);
        }
        for environment in &mut self.environments {
            environment.kill().await?;
        }
        self.server.abort();
        let books = lock(&self.service.books);
        Ok(FunctionUsed {
            used: sum,
            invocations: books.invocations,
            messages: books.messages,
            billed_ms: books.billed_ms,
        })
    }
}

fn environment(
    spec: &Spec,
    api: &str,
    variables: &[(String, String)],
    log: &Path,
) -> anyhow::Result<Child> {
    let log = File::create(log)?;
    spec.held
        .command(&spec.binary)
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .env("AWS_LAMBDA_RUNTIME_API", api)
        .env("AWS_LAMBDA_FUNCTION_NAME", spec.name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} does not start", spec.binary.display()))
}

fn lock(books: &Mutex<Books>) -> std::sync::MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An environment asks for work, and waits for it.
async fn next(State(service): State<Arc<Service>>) -> Response<Body> {
    let event = service.waiting.lock().await.recv().await;
    let Some(Event { payload, answer }) = event else {
        return status(StatusCode::GONE);
    };
    let (id, now_ms) = (service.ambient.random_uuid(), service.ambient.now_ms());
    {
        let mut books = lock(&service.books);
        books.invocations += 1;
        books.messages += u64::from(payload.get("Records").is_some());
        books.running.insert(id.clone(), (now_ms, answer));
    }
    let response = Response::builder()
        .header("lambda-runtime-aws-request-id", id)
        .header("lambda-runtime-deadline-ms", now_ms + service.ms_max)
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:bench",
        )
        .header("content-type", "application/json")
        .body(Body::from(payload.to_string()));
    response.unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR))
}

async fn response(
    State(service): State<Arc<Service>>,
    Segment(id): Segment<String>,
    body: Bytes,
) -> Response<Body> {
    let answer = serde_json::from_slice(&body).map_err(|error| error.to_string());
    service.answered(&id, answer)
}

async fn error(
    State(service): State<Arc<Service>>,
    Segment(id): Segment<String>,
    body: Bytes,
) -> Response<Body> {
    let told = String::from_utf8_lossy(&body).into_owned();
    service.answered(&id, Err(told))
}

impl Service {
    fn answered(&self, id: &str, answer: Result<Value, String>) -> Response<Body> {
        let now_ms = self.ambient.now_ms();
        let running = {
            let mut books = lock(&self.books);
            let running = books.running.remove(id);
            if let Some((since_ms, _)) = &running {
                books.billed_ms += now_ms.saturating_sub(*since_ms) + 1;
            }
            running
        };
        match running {
            Some((_, waiting)) => {
                // Whoever waited may have given up at the time limit.
                let _ = waiting.send(answer);
                status(StatusCode::ACCEPTED)
            }
            None => status(StatusCode::NOT_FOUND),
        }
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
