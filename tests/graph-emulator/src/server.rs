//! The service on a socket: HTTP/1.1 on the loopback address, one answer for each request of
//! [`Graph::handle`], delivered as it says.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Response, StatusCode};
use axum::serve::{IncomingStream, Listener};
use futures::{StreamExt, stream};
use rollcall_ambient::Ambient;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::answer::{Answer, Delivery};
use crate::graph::Graph;

/// The most bytes of a request's body: a batch of twenty or a thousand ids is far smaller.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long connections get to end when the server stops, in milliseconds.
const STOP_MS_MAX: u64 = 1_000;
/// The size of the pieces in which a body is sent.
const CHUNK_BYTES: usize = 16 * 1024;

/// A running emulator. It stops when it is dropped.
#[derive(Debug)]
pub struct Emulator {
    graph: Graph,
    stop: watch::Sender<bool>,
    task: JoinHandle<io::Result<()>>,
}

impl Emulator {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn start(ambient: Ambient) -> io::Result<Self> {
        Self::start_on(ambient, 0).await
    }

    /// Starts on that port of 127.0.0.1 (0: a free one).
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn start_on(ambient: Ambient, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let graph = Graph::new(ambient, &format!("http://{}", listener.local_addr()?));
        let (stop, stopped) = watch::channel(false);
        let service = Router::new()
            .fallback(respond)
            .with_state(Service {
                graph: graph.clone(),
                stopped: stopped.clone(),
            })
            .into_make_service_with_connect_info::<Line>();
        let server = axum::serve(Lines(listener), service).with_graceful_shutdown(until(stopped));
        let task = tokio::spawn(server.into_future());
        Ok(Self { graph, stop, task })
    }

    /// The service behind the socket, to control it.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Where it listens: the `graph_url` and the `login_url` of its clients.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.graph.origin()
    }

    /// Stops and frees the port. Answers that wait are sent at once.
    ///
    /// # Errors
    /// When the server had failed before.
    pub async fn shutdown(mut self) -> io::Result<()> {
        self.stop.send_replace(true);
        let limit = Duration::from_millis(STOP_MS_MAX);
        match tokio::time::timeout(limit, &mut self.task).await {
            Ok(Ok(served)) => served,
            Ok(Err(failed)) => Err(io::Error::other(failed)),
            Err(_) => {
                self.task.abort();
                Ok(())
            }
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

#[derive(Clone)]
struct Service {
    graph: Graph,
    stopped: watch::Receiver<bool>,
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the emulator is gone, which is the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn respond(
    State(service): State<Service>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        let mut refused = Response::new(Body::empty());
        *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return refused;
    };
    let answer = service.graph.handle(&Request::from_parts(parts, body));
    if answer.delay_ms > 0 {
        let delay = Duration::from_millis(answer.delay_ms);
        // A hanging request must not keep the server from stopping.
        let _ = tokio::time::timeout(delay, until(service.stopped)).await;
    }
    if let Delivery::Closed | Delivery::Reset = answer.delivery {
        line.end(answer.delivery);
    }
    response(answer)
}

/// The answer as a stream of pieces, which makes HTTP/1.1 send it chunked, as Graph does.
fn response(answer: Answer) -> Response<Body> {
    let body = if answer.delivery == Delivery::Broken {
        let half = answer.body.slice(..answer.body.len() / 2);
        let breakage = stream::once(async {
            // The half goes out first: only a body that is not ready makes hyper flush.
            tokio::task::yield_now().await;
            Err(io::Error::from(io::ErrorKind::ConnectionAborted))
        });
        Body::from_stream(stream::iter(pieces(&half)).chain(breakage))
    } else {
        Body::from_stream(stream::iter(pieces(&answer.body)))
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

fn pieces(whole: &Bytes) -> Vec<io::Result<Bytes>> {
    (0..whole.len())
        .step_by(CHUNK_BYTES)
        .map(|from| Ok(whole.slice(from..whole.len().min(from + CHUNK_BYTES))))
        .collect()
}

// === Connections that can be ended without an answer ===

const GOES_ON: u8 = 0;
const CLOSES: u8 = 1;
const RESETS: u8 = 2;

/// What is to become of a connection.
#[derive(Debug, Clone)]
struct Line(Arc<AtomicU8>);

impl Line {
    fn end(&self, delivery: Delivery) {
        let fate = if delivery == Delivery::Reset {
            RESETS
        } else {
            CLOSES
        };
        self.0.store(fate, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, Lines>> for Line {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.io().line.clone()
    }
}

struct Lines(TcpListener);

impl Listener for Lines {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Without it, small answers wait for the acknowledgement of what went before.
        let _ = stream.set_nodelay(true);
        let line = Line(Arc::new(AtomicU8::new(GOES_ON)));
        (Wire { stream, line }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection that fails on the first write after its fate was sealed, so that it is dropped.
struct Wire {
    stream: TcpStream,
    line: Line,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.line.0.load(Ordering::Acquire) {
            GOES_ON => Pin::new(&mut self.stream).poll_write(context, bytes),
            fate => {
                if fate == RESETS {
                    self.stream.set_zero_linger()?;
                }
                Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
