//! Millrace's own traces and metrics, sent as OTLP to somebody else. Off unless `telemetry.endpoint` is set.
//!
//! ```text
//! requests, inserts -> telemetry::own_spans -- every 5 s ----------> POST /v1/traces
//! what /metrics shows ------------------------ every `interval` ---> POST /v1/metrics
//! ```
//!
//! It never feeds itself: the configuration refuses an endpoint that is one of this Millrace's listeners, requests that a Millrace exported are
//! not traced, and when an export comes back by some other way, exporting ends.

mod config;
mod messages;

pub use config::Config;

use crate::admin::Admin;
use crate::connections::traced::EXPORTED_BY;
use crate::telemetry::Metrics;
use crate::time::{Clock, UnixNanos};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use messages::Resource;
use prost::Message;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// How often spans are sent.
const SPANS_EVERY: Duration = Duration::from_secs(5);
/// How long an export may take.
const WITHIN: Duration = Duration::from_secs(10);
/// How long the last one may take, when the service stops.
const LAST_WITHIN: Duration = Duration::from_secs(2);
/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Sends what this process tells of itself.
#[derive(Debug)]
pub struct OwnTelemetry {
    config: Config,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    headers: HeaderMap,
    resource: Resource,
    admin: Admin,
    clock: Clock,
    /// Whether the last export failed.
    is_failing: bool,
}

impl OwnTelemetry {
    /// `None` if it is off.
    ///
    /// # Errors
    /// If a file of certificates, or a header, is not what it must be.
    pub fn new(config: &Config, admin: Admin) -> Result<Option<Self>, String> {
        if config.endpoint.is_none() {
            return Ok(None);
        }
        let spans = &admin.metrics.own_spans;
        let client = Client::builder(TokioExecutor::new()).build(config.tls.connector().map_err(in_tls)?);
        let mut headers = config.headers()?;
        let value = HeaderValue::from_str(spans.instance()).map_err(|error| error.to_string())?;
        headers.insert(HeaderName::from_static(EXPORTED_BY), value);
        if config.traces {
            spans.turn_on();
        }
        let resource = Resource { instance: spans.instance().to_owned(), started: admin.started };
        let (config, clock) = (config.clone(), admin.clock);
        Ok(Some(Self { config, client, headers, resource, admin, clock, is_failing: false }))
    }

    /// Sends until the service stops, and then once more.
    pub async fn run(mut self, stopping: CancellationToken) {
        let every = |period| {
            let mut every = interval(period);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            every
        };
        let (mut spans, mut metrics) = (every(SPANS_EVERY), every(self.config.interval));
        loop {
            tokio::select! {
                () = stopping.cancelled() => break,
                _ = spans.tick() => self.send_spans().await,
                _ = metrics.tick() => self.send_metrics().await,
            }
            if self.admin.metrics.own_spans.is_loop() {
                tracing::error!(
                    "telemetry.endpoint leads back to this Millrace; its own traces and metrics are not sent any more"
                );
                return;
            }
        }
        let last = async {
            self.send_spans().await;
            self.send_metrics().await;
        };
        if timeout(LAST_WITHIN, last).await.is_err() {
            tracing::debug!("the last of the own telemetry was not taken in time");
        }
    }

    async fn send_spans(&mut self) {
        let spans = self.admin.metrics.own_spans.take();
        if spans.is_empty() {
            return;
        }
        let count = crate::numbers::to_u64(spans.len());
        if !self.send("/v1/traces", &self.resource.traces(spans)).await {
            self.admin.metrics.own_spans.dropped(count);
        }
    }

    async fn send_metrics(&mut self) {
        if !self.config.metrics {
            return;
        }
        self.admin.look();
        let now: UnixNanos = self.clock.now();
        let request = self.resource.metrics(&self.admin.metrics.families(), now);
        self.send("/v1/metrics", &request).await;
    }

    /// Sends a request; whether it was taken.
    async fn send(&mut self, path: &str, message: &impl Message) -> bool {
        let sent = timeout(WITHIN, self.post(path, Bytes::from(message.encode_to_vec()))).await;
        let failed = match sent {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why),
            Err(_) => Some(format!("no answer within {WITHIN:?}")),
        };
        self.note(failed)
    }

    /// Logs when exports begin to fail, and when they no longer do.
    fn note(&mut self, failed: Option<String>) -> bool {
        let metrics: &Metrics = &self.admin.metrics;
        let was_failing = std::mem::replace(&mut self.is_failing, failed.is_some());
        match failed {
            None => {
                if was_failing {
                    tracing::info!("telemetry.endpoint takes the own traces and metrics again");
                }
                true
            }
            Some(why) => {
                metrics.export_failures.inc();
                if !was_failing {
                    tracing::warn!(why, "telemetry.endpoint does not take the own traces and metrics");
                }
                false
            }
        }
    }

    async fn post(&self, path: &str, body: Bytes) -> Result<(), String> {
        let endpoint = self.config.endpoint.as_deref().unwrap_or_default().trim_end_matches('/');
        let mut request = Request::post(format!("{endpoint}{path}"))
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(USER_AGENT, concat!("millrace/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        request.headers_mut().extend(self.headers.clone());
        // its causes are addresses and names, and nothing of the headers
        let answer = self.client.request(request).await.map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
        let status: StatusCode = answer.status();
        let _read = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        if status.is_success() { Ok(()) } else { Err(status.to_string()) }
    }
}

fn in_tls(why: String) -> String {
    format!("telemetry.tls: {why}")
}
