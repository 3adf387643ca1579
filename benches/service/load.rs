//! The load: a closed loop of so many requests in flight, in a thread of its own.
//!
//! ```text
//! each of `in_flight` senders:  next body -> send -> answer -> note how long it took -> again
//!                               OTLP/gRPC shares CONNECTIONS connections; chat has one for each sender
//! ```
//!
//! A paced request is timed from when it was due, so that one that had to wait for others counts as slow as it would have been.
//! A refusal ("try again") is counted and waited out; any other answer that is not OK ends the measurement.

use super::scenario::Workload;
use super::template::Template;
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::request::Parts;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use memchr::memmem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use support::machine::Usage;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Connections that gRPC senders share.
const CONNECTIONS: usize = 4;
/// After so many a sender whose connections are short opens another.
const REQUESTS_PER_CONNECTION: usize = 5;
/// How long a sender waits after a refusal.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// What is to be sent, and where.
pub(crate) struct Plan {
    pub(crate) workload: Workload,
    /// `host:port`
    pub(crate) address: String,
    pub(crate) in_flight: usize,
    pub(crate) spans_max: usize,
    /// Spans a second; without it as many as are answered.
    pub(crate) rate: Option<f64>,
}

/// A load under way.
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<anyhow::Result<Duration>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    measuring: AtomicBool,
    requests: AtomicU64,
    acknowledged_spans: AtomicU64,
    measured_spans: AtomicU64,
    latencies: Mutex<Vec<Duration>>,
    refused: AtomicU64,
}

/// What the answers came to while [`Load::measure`] was on.
pub(crate) struct Answers {
    /// How long each acknowledgement took, in order of time taken.
    pub(crate) latencies: Vec<Duration>,
    /// Requests that were refused.
    pub(crate) refused: u64,
    /// Spans acknowledged while it was on.
    pub(crate) measured_spans: u64,
    /// Spans acknowledged since the start, measured or not.
    pub(crate) acknowledged_spans: u64,
    /// CPU time of the load itself since the start.
    pub(crate) load_cpu: Duration,
}

impl Load {
    /// Starts sending.
    pub(crate) fn start(plan: Plan) -> anyhow::Result<Self> {
        let parts = plan.workload.parts().iter().enumerate();
        let templates = parts.map(|(place, part)| Ok(Arc::new(Template::new(*part)?.at_place(place))));
        let templates: Vec<Arc<Template>> = templates.collect::<anyhow::Result<_>>()?;
        let shared = Arc::new(Shared::default());
        let run = {
            let shared = Arc::clone(&shared);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(send_all(plan, templates, shared))?;
                Ok(Usage::of_this_thread()?.cpu)
            }
        };
        let thread = thread::Builder::new().name("load".to_owned()).spawn(run)?;
        Ok(Self { shared, thread })
    }

    /// From now on answers are noted, or no longer.
    pub(crate) fn measure(&self, on: bool) {
        self.shared.measuring.store(on, Ordering::SeqCst);
    }

    /// Waits this long, or until everything there is to send was sent.
    pub(crate) fn run_for(&self, time: Duration) {
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        let until = Instant::now() + time;
        while !self.thread.is_finished() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(LOOK_EVERY));
        }
    }

    /// Spans acknowledged while [`Self::measure`] was on.
    pub(crate) fn measured_spans(&self) -> u64 {
        self.shared.measured_spans.load(Ordering::SeqCst)
    }

    /// How long acknowledgements took since this was asked last, in order of time taken, and how many requests were refused.
    pub(crate) fn take_latencies(&self) -> (Vec<Duration>, u64) {
        let mut latencies = std::mem::take(&mut *self.shared.latencies.lock().unwrap_or_else(PoisonError::into_inner));
        latencies.sort_unstable();
        (latencies, self.shared.refused.swap(0, Ordering::SeqCst))
    }

    /// Sends no more, and waits for the answers that are due.
    ///
    /// # Errors
    /// When an answer was neither OK nor "try again".
    pub(crate) fn stop(self) -> anyhow::Result<Answers> {
        self.shared.stop.store(true, Ordering::SeqCst);
        let load_cpu = self.thread.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
        let mut latencies = self.shared.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        latencies.sort_unstable();
        Ok(Answers {
            latencies,
            refused: self.shared.refused.load(Ordering::SeqCst),
            measured_spans: self.shared.measured_spans.load(Ordering::SeqCst),
            acknowledged_spans: self.shared.acknowledged_spans.load(Ordering::SeqCst),
            load_cpu,
        })
    }
}

async fn send_all(plan: Plan, templates: Vec<Arc<Template>>, shared: Arc<Shared>) -> anyhow::Result<()> {
    let spans: usize = templates.iter().map(|template| template.spans()).sum();
    let requests_max = u64::try_from((plan.spans_max / spans).saturating_mul(templates.len()))?;
    let head = head(&plan)?;
    let spans_of_request = f64::from(u32::try_from(spans)?) / f64::from(u32::try_from(templates.len())?);
    let (began, plan) = (Instant::now(), Arc::new(plan));
    let mut shared_connections = Vec::new();
    if !plan.workload.is_captured_calls() && plan.workload != Workload::Connections {
        for _ in 0..CONNECTIONS.min(plan.in_flight) {
            shared_connections.push(Connection::open(&plan).await?);
        }
    }
    let mut senders = JoinSet::new();
    for (sender, template) in (0..plan.in_flight).zip(templates.iter().cycle()) {
        let connection = match shared_connections.get(sender % CONNECTIONS) {
            Some(Connection::Grpc(grpc)) => Connection::Grpc(grpc.clone()),
            _ => Connection::open(&plan).await?,
        };
        let sender = Sender {
            connection,
            plan: Arc::clone(&plan),
            head: head.clone(),
            template: Arc::clone(template),
            shared: Arc::clone(&shared),
            requests_max,
            pace: plan.rate.map(|rate| Duration::from_secs_f64(spans_of_request / rate)),
            began,
        };
        senders.spawn(sender.run());
    }
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    Ok(())
}

fn head(plan: &Plan) -> anyhow::Result<Parts> {
    let address = &plan.address;
    let content_type = if plan.workload == Workload::Ndjson { "application/x-ndjson" } else { "application/json" };
    let request = match plan.workload {
        Workload::Chat | Workload::Ndjson => {
            Request::post("/apis/intake/v2/workspaces/default/ingest/chat-completions")
                .header("host", address)
                .header("content-type", content_type)
        }
        _ => Request::post(format!("http://{address}{}", plan.workload.signal().method()))
            .header("content-type", "application/grpc")
            .header("te", "trailers"),
    };
    Ok(request.body(())?.into_parts().0)
}

enum Connection {
    Grpc(http2::SendRequest<Full<Bytes>>),
    Http(http1::SendRequest<Full<Bytes>>),
}

/// How a request fared.
enum Outcome {
    Acknowledged,
    Refused,
}

impl Connection {
    async fn open(plan: &Plan) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(&plan.address).await?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        if plan.workload.is_captured_calls() {
            let (sender, connection) = http1::handshake(io).await?;
            tokio::spawn(connection);
            return Ok(Self::Http(sender));
        }
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        Ok(Self::Grpc(sender))
    }

    async fn ask(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Outcome> {
        match self {
            Self::Grpc(grpc) => {
                grpc.ready().await?;
                grpc_outcome(grpc.send_request(request).await?).await
            }
            Self::Http(http) => {
                http.ready().await?;
                http_outcome(http.send_request(request).await?).await
            }
        }
    }
}

/// Source: gRPC over HTTP/2, "Responses": the status is in the trailers, or, without a message, in the headers.
async fn grpc_outcome(response: http::Response<Incoming>) -> anyhow::Result<Outcome> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?;
    let status = body.trailers().and_then(|trailers| trailers.get("grpc-status"));
    match status.or_else(|| head.headers.get("grpc-status")).map(http::HeaderValue::as_bytes) {
        Some(b"0") => Ok(Outcome::Acknowledged),
        Some(b"14") => Ok(Outcome::Refused),
        status => bail!("answered with {} and grpc-status {status:?}: {:?}", head.status, head.headers),
    }
}

async fn http_outcome(response: http::Response<Incoming>) -> anyhow::Result<Outcome> {
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    match status {
        StatusCode::CREATED => Ok(Outcome::Acknowledged),
        // lines are answered one by one, those that were not taken with a status
        StatusCode::OK if memmem::find(&body, br#""status":"#).is_none() => Ok(Outcome::Acknowledged),
        StatusCode::OK if memmem::find(&body, br#""status":503"#).is_some() => Ok(Outcome::Refused),
        StatusCode::SERVICE_UNAVAILABLE => Ok(Outcome::Refused),
        status => bail!("answered with {status}: {}", String::from_utf8_lossy(&body)),
    }
}

struct Sender {
    connection: Connection,
    plan: Arc<Plan>,
    head: Parts,
    template: Arc<Template>,
    shared: Arc<Shared>,
    requests_max: u64,
    /// Between the beginnings of two requests.
    pace: Option<Duration>,
    began: Instant,
}

impl Sender {
    async fn run(mut self) -> anyhow::Result<()> {
        let shared = Arc::clone(&self.shared);
        let spans = u64::try_from(self.template.spans())?;
        let mut sent_here = 0;
        while !shared.stop.load(Ordering::Relaxed) {
            let number = shared.requests.fetch_add(1, Ordering::Relaxed);
            if number >= self.requests_max {
                break;
            }
            let due = match self.pace {
                Some(pace) => Some(self.began + pace.saturating_mul(u32::try_from(number)?)),
                None => None,
            };
            if let Some(due) = due {
                tokio::time::sleep_until(due.into()).await;
            }
            if self.plan.workload == Workload::Connections && sent_here == REQUESTS_PER_CONNECTION {
                self.connection = Connection::open(&self.plan).await?;
                sent_here = 0;
            }
            sent_here += 1;
            let request = Request::from_parts(self.head.clone(), Full::new(self.template.body(number)));
            let sent = due.unwrap_or_else(Instant::now);
            let outcome = self.connection.ask(request).await.context("a request failed")?;
            let measuring = shared.measuring.load(Ordering::Relaxed);
            match outcome {
                Outcome::Acknowledged => {
                    shared.acknowledged_spans.fetch_add(spans, Ordering::Relaxed);
                    if measuring {
                        shared.measured_spans.fetch_add(spans, Ordering::Relaxed);
                        shared.latencies.lock().unwrap_or_else(PoisonError::into_inner).push(sent.elapsed());
                    }
                }
                Outcome::Refused => {
                    shared.refused.fetch_add(u64::from(measuring), Ordering::Relaxed);
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
            }
        }
        Ok(())
    }
}
