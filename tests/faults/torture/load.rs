//! Senders that behave like an SDK: they repeat what was refused retryably and what got no answer, with the same bytes,
//! for some seconds; and now and then what was acknowledged, as a sender does whose answer was lost on the way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use millrace::time::Clock;
use prost::Message;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::ledger::{Counts, Fate, Ledger, Sent};
use support::wire::{ExportTraceServiceResponse, Span, request_of, string_attribute};
use support::{Service, wait_until};

/// How long a sender repeats a request before it gives up, as long as the load goes on and after.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long one try may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// One acknowledged request in so many is sent once more.
const REPEAT_ONE_IN: u64 = 16;
/// It is the one of so many requests ago, so that a restart may lie between.
const REPEAT_FROM: usize = 4;
const DAY_NANOS: u64 = 24 * 60 * 60 * 1_000_000_000;
/// Numbers of requests, unlike in all loads of a test.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// Which door a sender uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// OTLP/HTTP with protobuf.
    OtlpHttp,
    /// OTLP/gRPC.
    OtlpGrpc,
    /// Chat-completions, one pair a request.
    Chat,
}

/// What is sent, and how fast.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// One sender each.
    pub(crate) doors: Vec<Door>,
    /// Spans in an OTLP request.
    pub(crate) spans: usize,
    /// Bytes that do not compress in each span.
    pub(crate) span_bytes: usize,
    /// Pause between a sender's requests.
    pub(crate) pause: Duration,
    /// Requests of a sender at most.
    pub(crate) requests_max: u64,
    /// Spans lie on this many days,
    pub(crate) days: u64,
    /// and those of one request on so many.
    pub(crate) days_per_request: u64,
    /// Every span is called this.
    pub(crate) span_name: &'static str,
    /// A header (or metadata) of each request.
    pub(crate) header: Option<(&'static str, &'static str)>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            doors: vec![Door::OtlpHttp, Door::OtlpGrpc, Door::Chat, Door::Chat],
            spans: 20,
            span_bytes: 64,
            pause: Duration::from_millis(4),
            requests_max: 200_000,
            days: 1,
            days_per_request: 1,
            span_name: "work",
            header: None,
        }
    }
}

/// Senders at work.
pub(crate) struct Load {
    runtime: Runtime,
    senders: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    ledger: Ledger,
}

impl Load {
    /// Starts sending to a service whose addresses stay.
    pub(crate) fn start(service: &Service, pace: &Pace) -> Self {
        let ledger = Ledger::default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let stop = Arc::new(AtomicBool::new(false));
        let senders = pace.doors.iter().map(|door| {
            let sender = Sender {
                door: *door,
                pace: pace.clone(),
                target: Target::new(*door, service),
                ledger: ledger.clone(),
                stop: Arc::clone(&stop),
                acknowledged: VecDeque::new(),
            };
            runtime.spawn(sender.run())
        });
        let senders = senders.collect();
        Self { runtime, senders, stop, ledger }
    }

    /// What happened so far.
    pub(crate) fn counts(&self) -> Counts {
        self.ledger.counts()
    }

    /// Waits until `more` further requests were acknowledged.
    pub(crate) fn wait_for_acknowledged(&self, more: u64) {
        let goal = self.counts().acknowledged + more;
        wait_until("more requests are acknowledged", || (self.counts().acknowledged >= goal).then_some(()));
    }

    /// Tells the senders to stop once the requests under way have their answers, and returns the ledger.
    pub(crate) fn stop(self) -> Ledger {
        self.stop.store(true, Ordering::SeqCst);
        self.finish()
    }

    /// Waits until every sender has sent all it was to send.
    pub(crate) fn finish(self) -> Ledger {
        for sender in self.senders {
            self.runtime.block_on(sender).expect("no sender panics");
        }
        self.ledger
    }
}

/// A request that can be sent as often as need be.
#[derive(Debug, Clone)]
struct Parcel {
    sent: Sent,
    body: Bytes,
}

struct Sender {
    door: Door,
    pace: Pace,
    target: Target,
    ledger: Ledger,
    stop: Arc<AtomicBool>,
    acknowledged: VecDeque<Parcel>,
}

/// What came of one try.
enum Outcome {
    /// "OK", with the span id if the answer names it.
    Acknowledged(Option<u64>),
    TryAgain,
    Broken,
    Unexpected(String),
}

impl Sender {
    async fn run(mut self) {
        for _ in 0..self.pace.requests_max {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let number = NEXT_NUMBER.fetch_add(1, Ordering::SeqCst);
            let parcel = self.parcel(number);
            self.deliver(parcel).await;
            if number.is_multiple_of(REPEAT_ONE_IN) {
                self.repeat().await;
            }
            tokio::time::sleep(self.pace.pause).await;
        }
    }

    /// Sends until there is an "OK" or the patience is over.
    async fn deliver(&mut self, mut parcel: Parcel) {
        let began = Instant::now();
        let mut fate = Fate::Refused;
        loop {
            match self.target.send(&parcel.body, &self.pace).await {
                Outcome::Acknowledged(id) => {
                    fate = Fate::Acknowledged;
                    parcel.sent.ids = parcel.sent.ids.or(id);
                    break;
                }
                Outcome::TryAgain => self.ledger.count(|counts| counts.refusals += 1),
                Outcome::Broken => {
                    fate = Fate::Unknown;
                    self.ledger.count(|counts| counts.broken += 1);
                }
                Outcome::Unexpected(what) => {
                    fate = Fate::Unknown;
                    self.ledger.unexpected(what);
                    break;
                }
            }
            if began.elapsed() > PATIENCE {
                break;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
            self.ledger.count(|counts| counts.retries += 1);
        }
        parcel.sent.fate = fate;
        self.ledger.close(parcel.sent.clone());
        if fate == Fate::Acknowledged {
            self.acknowledged.push_back(parcel);
            if self.acknowledged.len() > REPEAT_FROM {
                self.acknowledged.pop_front();
            }
        }
    }

    /// Sends once more what was acknowledged some requests ago.
    async fn repeat(&mut self) {
        let Some(parcel) = self.acknowledged.front() else { return };
        match self.target.send(&parcel.body, &self.pace).await {
            Outcome::Acknowledged(id) => {
                self.ledger.count(|counts| counts.repeats += 1);
                if id.is_some() && id != parcel.sent.ids {
                    self.ledger.unexpected(format!("a repeat of {:?} has another id: {id:?}", parcel.sent));
                }
            }
            // it has its acknowledgement: what happens to the repeat does not matter
            Outcome::TryAgain | Outcome::Broken => {}
            Outcome::Unexpected(what) => self.ledger.unexpected(what),
        }
    }

    fn parcel(&self, number: u64) -> Parcel {
        let trace_id = format!("{number:032x}");
        match self.door {
            Door::OtlpHttp | Door::OtlpGrpc => self.otlp(number, trace_id),
            Door::Chat => {
                let body = chat_pair(number, &trace_id, self.pace.span_bytes);
                Parcel { sent: Sent { trace_id, spans: 1, ids: None, fate: Fate::Unknown }, body: body.into() }
            }
        }
    }

    fn otlp(&self, number: u64, trace_id: String) -> Parcel {
        let now = u64::try_from(Clock::System.now().nanos()).expect("the clock is behind 1970");
        let count = u64::try_from(self.pace.spans).expect("a small number");
        let ids = (1..=count).map(|n| (number << 20) | n);
        let span = |id: u64| {
            let day = number * self.pace.days_per_request + id % self.pace.days_per_request;
            let start = now - (day % self.pace.days) * DAY_NANOS;
            Span {
                trace_id: u128::from(number).to_be_bytes().to_vec(),
                span_id: id.to_be_bytes().to_vec(),
                name: self.pace.span_name.to_owned(),
                start_time_unix_nano: start,
                end_time_unix_nano: start + 1_000,
                attributes: vec![string_attribute("filler", filler(id, self.pace.span_bytes))],
                ..Span::default()
            }
        };
        let message = request_of(ids.clone().map(span).collect());
        let body = if self.door == Door::OtlpGrpc { grpc_frame(&message) } else { message };
        let ids = ids.fold(0, |all, id| all ^ id);
        Parcel { sent: Sent { trace_id, spans: count, ids: Some(ids), fate: Fate::Unknown }, body: body.into() }
    }
}

fn chat_pair(number: u64, trace_id: &str, filler_bytes: usize) -> Vec<u8> {
    json!({
        "trace_id": trace_id,
        "request": {"model": "m", "messages": [{"role": "user", "content": filler(number, filler_bytes)}]},
        "response": {
            "id": format!("chatcmpl-{number}"), "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
        },
    })
    .to_string()
    .into_bytes()
}

/// Text that hardly compresses, the same for the same seed.
pub(crate) fn filler(seed: u64, bytes: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text.truncate(bytes);
    text
}

/// Source: gRPC over HTTP2, Length-Prefixed-Message.
fn grpc_frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a small message");
    [&[0], length.to_be_bytes().as_slice(), message].concat()
}

/// Where a sender's requests go, and how an answer is read.
struct Target {
    client: Client<HttpConnector, Full<Bytes>>,
    door: Door,
    url: String,
}

impl Target {
    fn new(door: Door, service: &Service) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        // a repeat is the sender's decision, and counted
        builder.retry_canceled_requests(false);
        let url = match door {
            Door::OtlpHttp => service.http("/v1/traces"),
            Door::Chat => service.chat("default"),
            Door::OtlpGrpc => {
                builder.http2_only(true);
                format!("http://{}/opentelemetry.proto.collector.trace.v1.TraceService/Export", service.grpc())
            }
        };
        Self { client: builder.build_http(), door, url }
    }

    async fn send(&self, body: &Bytes, pace: &Pace) -> Outcome {
        let content_type = match self.door {
            Door::OtlpHttp => "application/x-protobuf",
            Door::OtlpGrpc => "application/grpc",
            Door::Chat => "application/json",
        };
        let mut request = Request::post(&self.url).header("content-type", content_type);
        if self.door == Door::OtlpGrpc {
            request = request.header("te", "trailers");
        }
        if let Some((name, value)) = pace.header {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.clone())).expect("the request is well-formed");
        let exchange = async {
            let response = self.client.request(request).await.ok()?;
            let (head, body) = response.into_parts();
            let collected = body.collect().await.ok()?;
            let trailers = collected.trailers().cloned().unwrap_or_default();
            Some((Response::from_parts(head, collected.to_bytes()), trailers))
        };
        match tokio::time::timeout(ANSWER_WITHIN, exchange).await {
            Ok(Some((response, trailers))) => self.read(&response, &trailers),
            Ok(None) => Outcome::Broken,
            Err(_) => Outcome::Unexpected(format!("{}: no answer within {ANSWER_WITHIN:?}", self.url)),
        }
    }

    fn read(&self, response: &Response<Bytes>, trailers: &HeaderMap) -> Outcome {
        match self.door {
            Door::OtlpGrpc => read_grpc(response, trailers),
            Door::OtlpHttp => read_http(response, |body| {
                // a partial success would name what was rejected
                let said = ExportTraceServiceResponse::decode(body).ok()?;
                said.partial_success.is_none().then_some(None)
            }),
            Door::Chat => read_http(response, |body| {
                let said: Value = serde_json::from_slice(body).ok()?;
                let id = said.get("span_id")?.as_str()?;
                Some(Some(u64::from_str_radix(id, 16).ok()?))
            }),
        }
    }
}

fn read_http(response: &Response<Bytes>, success: impl Fn(&[u8]) -> Option<Option<u64>>) -> Outcome {
    let unexpected = || Outcome::Unexpected(format!("{response:?}"));
    match response.status() {
        StatusCode::OK | StatusCode::CREATED => success(response.body()).map_or_else(unexpected, Outcome::Acknowledged),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
            if response.headers().contains_key("retry-after") =>
        {
            Outcome::TryAgain
        }
        _ => unexpected(),
    }
}

/// Source: gRPC over HTTP2; UNAVAILABLE with `RetryInfo` in the place where the Python SDK reads it.
fn read_grpc(response: &Response<Bytes>, trailers: &HeaderMap) -> Outcome {
    let value = |name: &str| trailers.get(name).or_else(|| response.headers().get(name));
    match value("grpc-status").and_then(|status| status.to_str().ok()) {
        Some("0") => {
            let message = response.body().get(5..).unwrap_or_default();
            match ExportTraceServiceResponse::decode(message) {
                Ok(said) if said.partial_success.is_none() => Outcome::Acknowledged(None),
                _ => Outcome::Unexpected(format!("{response:?}")),
            }
        }
        Some("14") if value("google.rpc.retryinfo-bin").is_some() => Outcome::TryAgain,
        _ => Outcome::Unexpected(format!("{response:?}, trailers {trailers:?}")),
    }
}
