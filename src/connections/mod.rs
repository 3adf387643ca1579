//! The accept loop of every listener, and what a connection may cost while its client does nothing.
//!
//! ```text
//! accepted -- first request -- answered -- next request -- ...
//!    |             |              |
//!    |             |              idle: closed after `idle_timeout`
//!    |             no frame is read or written: closed after `idle_timeout`
//!    no request yet: closed after `headers_timeout` (no byte, half a handshake, headers that drip)
//! ```
//!
//! Which web pages may ask at all is in `browsers.rs`, certificates are in `tls.rs`. A handshake is a part of its connection: it takes a place, may lose it to
//! another connection, and has its time.
//!
//! All listeners share one bound, which follows from the descriptors that the process may have (`descriptors.rs`). At the
//! bound a new connection takes the place of one that waits for its client (`pool.rs`): first of those without a request, then
//! of those between two requests, then of those whose body has been arriving for long. One that waits for our answer stays.

mod activity;
mod body;
pub mod browsers;
mod descriptors;
mod pool;
mod socket;
pub mod tls;
pub mod traced;
pub mod trust;

pub use activity::Question;
pub use body::{Requests, ResponseBody};
pub use descriptors::{half_of_the_descriptors, raise_to_the_hard_limit};
pub use pool::{ConnectionPermit, Pool};

use crate::audit::Peer;
use activity::Activity;
use axum::body::Body;
use body::RequestBody;
use descriptors::Shares;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use serde::{Deserialize, Serialize};
use socket::Socket;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tls::Tls;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::Accept;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use traced::Traced;

/// Bytes of a request's headers on HTTP/2.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// The same bound on HTTP/1.1, where it is given as a buffer, which must hold at least 8 KiB.
const HTTP1_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Streams that one HTTP/2 connection may have open.
const STREAMS_PER_CONNECTION_MAX: u32 = 256;
/// Bytes of a frame on HTTP/2: senders of large requests that keep to it send an eighth of the frames that they would by default. It is
/// buffered whole, and is small beside the window of 1 MiB that a connection has in any case.
const FRAME_BYTES_MAX: u32 = 128 << 10;
/// Requests of one connection that are handled at once; the others wait in the sender's socket.
const REQUESTS_PER_CONNECTION_MAX: usize = 64;
/// How often an HTTP/2 connection is pinged, and how long its client may take to answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a client may take to notice that its connection is being closed.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections that may wait to be accepted. One more makes its client try again a second later, so a burst of many must fit.
const BACKLOG: u32 = 4_096;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked whether the client of a question is gone.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after a failed accept. Descriptors are kept in reserve, so something else is wrong with the machine.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long clients may be idle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Names by which this server is asked, beside addresses and names that only its own network knows.
    pub allowed_hosts: Vec<String>,
    /// From the connection to the end of the first request's headers, handshakes included.
    #[serde(with = "crate::time::spelt")]
    pub headers_timeout: Duration,
    /// For the whole body of a request; for each line of a body of lines.
    #[serde(with = "crate::time::spelt")]
    pub body_timeout: Duration,
    /// Between two requests, and between two frames of a request under way.
    #[serde(with = "crate::time::spelt")]
    pub idle_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        // longer than the pools of exporters keep a connection that they do not use: 90 s in Go, 5 min in OkHttp
        let timeout = Duration::from_secs(30);
        Self {
            allowed_hosts: Vec::new(),
            headers_timeout: timeout,
            body_timeout: timeout,
            idle_timeout: Duration::from_secs(330),
        }
    }
}

impl Config {
    /// # Errors
    /// If a timeout is zero.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (key, value) in [
            ("headers_timeout", self.headers_timeout),
            ("body_timeout", self.body_timeout),
            ("idle_timeout", self.idle_timeout),
        ] {
            if value.is_zero() {
                return Err(format!("connections.{key}: must be more than 0s"));
            }
        }
        match self.allowed_hosts.iter().find(|name| name.is_empty() || name.contains(['/', ':', '*'])) {
            Some(name) => Err(format!("connections.allowed_hosts: {name:?} must be a name without scheme, port or *")),
            None => Ok(()),
        }
    }
}

/// Listens on an address.
///
/// # Errors
/// If it cannot be bound.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // as the standard library does: a service that is started again gets its port at once
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What all listeners share.
#[derive(Debug, Clone)]
pub struct Connections {
    /// Connections of senders.
    pub receivers: Arc<Pool>,
    /// Connections of the operator: health and metrics answer when receivers are full.
    pub operator: Arc<Pool>,
    timeouts: Timeouts,
    traced: Option<Arc<Traced>>,
}

/// How long the client of a connection may be idle.
#[derive(Debug, Clone, Copy)]
struct Timeouts {
    headers_timeout: Duration,
    idle_timeout: Duration,
}

impl Connections {
    /// For a process that may have this many descriptors.
    #[must_use]
    pub fn new(config: &Config, descriptors: u64) -> Self {
        let Shares { receivers, operator } = Shares::of(descriptors);
        let timeouts = Timeouts { headers_timeout: config.headers_timeout, idle_timeout: config.idle_timeout };
        tracing::debug!(descriptors, receivers, operator, "bounds of connections");
        let (receivers, operator) = (Pool::new("receivers", receivers), Pool::new("operator", operator));
        Self { receivers, operator, timeouts, traced: None }
    }

    /// The same; requests of senders are noted as spans.
    #[must_use]
    pub fn with_traced(self, traced: Traced) -> Self {
        Self { traced: Some(Arc::new(traced)), ..self }
    }

    /// Serves senders, which speak HTTP/1.1 or HTTP/2.
    #[must_use]
    pub fn http(&self) -> Server {
        let (pool, traced) = (Arc::clone(&self.receivers), self.traced.clone());
        Server { builder: builder(), pool, timeouts: self.timeouts, tls: None, traced }
    }

    /// Serves senders, which speak HTTP/2 only.
    #[must_use]
    pub fn http2_only(&self) -> Server {
        Server { builder: builder().http2_only(), ..self.http() }
    }

    /// Serves the operator.
    #[must_use]
    pub fn operator(&self) -> Server {
        Server { pool: Arc::clone(&self.operator), traced: None, ..self.http() }
    }
}

/// Serves the connections of one listener.
#[derive(Debug, Clone)]
pub struct Server {
    builder: auto::Builder<TokioExecutor>,
    pool: Arc<Pool>,
    timeouts: Timeouts,
    tls: Option<Arc<Tls>>,
    traced: Option<Arc<Traced>>,
}

impl Server {
    /// With TLS, if there is one.
    #[must_use]
    pub fn with_tls(self, tls: Option<Arc<Tls>>) -> Self {
        Self { tls, ..self }
    }

    /// Serves until the shutdown, then answers the requests in flight. Dropping the future closes all connections.
    pub async fn serve<S, B>(self, listener: TcpListener, service: S, shutdown: CancellationToken)
    where
        S: tower::Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        B: http_body::Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut open = JoinSet::new();
        loop {
            let accepted = async { (accept(&listener).await, self.pool.acquire()) };
            let ((stream, peer), permit) = tokio::select! {
                () = shutdown.cancelled() => break,
                (stream, permit) = accepted => tokio::select! {
                    () = shutdown.cancelled() => break,
                    permit = permit => (stream, permit),
                },
            };
            while open.try_join_next().is_some() {}
            let _latency_only = stream.set_nodelay(true);
            let service = observed(service.clone(), peer, Arc::clone(permit.activity()), self.traced.clone());
            let stream = Socket::new(stream, Arc::clone(permit.activity()));
            let (timeouts, shutdown) = (self.timeouts, shutdown.clone());
            match &self.tls {
                None => {
                    let connection = self.builder.serve_connection(TokioIo::new(stream), service).into_owned();
                    open.spawn(async move { supervise(connection, permit.activity(), timeouts, shutdown).await });
                }
                Some(tls) => {
                    let (builder, accepted) = (self.builder.clone(), tls.acceptor().accept(stream));
                    open.spawn(async move {
                        let Some(stream) = handshake(accepted, permit.activity(), timeouts, &shutdown).await else {
                            return;
                        };
                        let connection = builder.serve_connection(TokioIo::new(stream), service);
                        supervise(connection, permit.activity(), timeouts, shutdown).await;
                    });
                }
            }
        }
        drop(listener);
        while open.join_next().await.is_some() {}
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // a client that has sent its request and closes its side still wants the answer
        .half_close(true)
        .header_read_timeout(None::<Duration>)
        .max_buf_size(HTTP1_BUFFER_BYTES_MAX)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(20)
        .keep_alive_interval(Some(KEEPALIVE_INTERVAL))
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder
}

/// The next connection; logs and passes over failures.
async fn accept(listener: &TcpListener) -> (TcpStream, Peer) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, Peer(peer)),
            Err(error) => {
                tracing::debug!(%error, "failed to accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Waits for a handshake, for as long as it may take; `None` when it fails.
async fn handshake(
    accepted: Accept<Socket>,
    activity: &Activity,
    timeouts: Timeouts,
    shutdown: &CancellationToken,
) -> Option<Box<TlsStream<Socket>>> {
    let mut accepted = Box::pin(timeout(HANDSHAKE_TIMEOUT.min(timeouts.headers_timeout), accepted));
    loop {
        tokio::select! {
            biased;
            done = &mut accepted => return match done {
                Ok(Ok(stream)) => Some(Box::new(stream)),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a handshake failed");
                    None
                }
                Err(_out_of_time) => None,
            },
            () = activity.evicted() => {
                if activity.confirm_eviction() {
                    return None;
                }
            }
            () = shutdown.cancelled() => return None,
        }
    }
}

/// The service as one connection calls it: its requests and bodies are noted in the activity, and requests know whence they come.
fn observed<S, B>(
    service: S,
    peer: Peer,
    activity: Arc<Activity>,
    traced: Option<Arc<Traced>>,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<ResponseBody<B>>,
    Error = Infallible,
    Future: Send + 'static,
> + Send
+ 'static
where
    S: tower::Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body + Send + Unpin + 'static,
{
    let at_once = Arc::new(Semaphore::new(REQUESTS_PER_CONNECTION_MAX));
    service_fn(move |request: Request<Incoming>| {
        let (service, at_once, traced) = (service.clone(), Arc::clone(&at_once), traced.clone());
        let under_way = traced.and_then(|traced| Some((traced.begin(&request)?, traced)));
        let request_guard = activity.begin_request();
        let question = matches!(*request.method(), Method::GET | Method::HEAD).then(|| activity.begin_question());
        let mut request = request.map(|body| Body::new(RequestBody::new(body, &activity)));
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(Asking(Arc::clone(&activity)));
        async move {
            let _permit = at_once.acquire_owned().await.expect("the semaphore is never closed");
            let answer = service.oneshot(request).await?;
            if let Some((under_way, traced)) = under_way {
                traced.end(under_way, &answer);
            }
            Ok::<_, Infallible>(answer.map(|body| ResponseBody::new(body, request_guard, question)))
        }
    })
}

/// The connection of a request, among its extensions.
#[derive(Debug, Clone)]
pub struct Asking(Arc<Activity>);

impl Asking {
    /// The request only asks, although it is no GET: while this is kept, its answer is given up when the client is gone.
    #[must_use]
    pub fn question(&self) -> Question {
        self.0.begin_question()
    }
}

/// Drives a connection until its client closes it, or leaves while it only asks, a deadline passes, it is evicted, or the shutdown is
/// complete.
async fn supervise(
    connection: impl GracefulConnection,
    activity: &Activity,
    timeouts: Timeouts,
    shutdown: CancellationToken,
) {
    let mut connection = pin!(connection);
    let mut closing: Option<Instant> = None;
    loop {
        // wakes up before any deadline that a change of phase can bring nearer
        let look_after = if activity.is_only_asked() { LOOK_INTERVAL } else { timeouts.idle_timeout };
        let deadline = activity.deadline(timeouts, closing).min(Instant::now() + look_after);
        tokio::select! {
            biased;
            _client_left_or_broke_the_protocol = connection.as_mut() => return,
            () = activity.evicted() => {
                if activity.confirm_eviction() {
                    return;
                }
            }
            () = activity.asked() => {}
            () = shutdown.cancelled(), if closing.is_none() => {
                closing = Some(Instant::now());
                connection.as_mut().graceful_shutdown();
            }
            () = sleep_until(deadline) => {
                let now = Instant::now();
                if activity.is_left(now) {
                    return;
                }
                if activity.deadline(timeouts, closing) > now {
                    continue;
                }
                if closing.is_some() || !activity.is_idle() {
                    return;
                }
                closing = Some(now);
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
