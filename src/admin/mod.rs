//! The operator's side: health on 13133, metrics on 8888.

mod health;

use crate::access::routes::{Guard, Routes};
use crate::access::{Denied, Gate, Needs, Scope};
use crate::clickhouse::joins::Joining;
use crate::clickhouse::{Availability, Condition, Endpoints};
use crate::connections::tls;
use crate::embedded::Fence;
use crate::genai::prices::Prices;
use crate::journal::Backlog;
use crate::numbers::{saturating_i64, to_u64};
use crate::pipeline::CapacityProbe;
use crate::reconciler::counting::Counting;
use crate::reloadable::Reloadable;
use crate::sizes;
use crate::telemetry::{Metrics, openmetrics};
use crate::time::{Clock, UnixNanos};
use crate::traces::Traces;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use health::{Health, Live, Ready};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::net::SocketAddr;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where health and metrics are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `GET /` reports whether spans are accepted, and how everything does; `/live` and `/ready` are for probes.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub health: PageConfig<13133>,
    /// `GET /metrics` in Prometheus text or OpenMetrics.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub metrics: PageConfig<8888>,
}

/// Where a page is: by default on `PORT` of the loopback address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageConfig<const PORT: u16> {
    /// Address and port.
    #[serde(default = "loopback::<PORT>")]
    pub listen: SocketAddr,
    /// Certificates; absent: without TLS.
    #[serde(default)]
    pub tls: Option<tls::Config>,
}

impl<const PORT: u16> Default for PageConfig<PORT> {
    fn default() -> Self {
        Self { listen: loopback::<PORT>(), tls: None }
    }
}

fn loopback<const PORT: u16>() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], PORT))
}

/// What the pages show.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Whether the pipeline accepts requests.
    pub pipeline: CapacityProbe,
    /// What waits for ClickHouse.
    pub backlog: Backlog,
    /// Whether ClickHouse accepts inserts.
    pub clickhouse: Availability,
    /// Where ClickHouse is, and what of that answers.
    pub endpoints: Endpoints,
    /// Whether captured calls are joined to roots that come later.
    pub joining: Joining,
    /// How counting does.
    pub counting: Counting,
    /// How the embedded engine is confined, if it is this process's: `None` until it was up.
    pub fence: Option<watch::Receiver<Option<Fence>>>,
    /// What is counted.
    pub metrics: Metrics,
    /// How many traces are known.
    pub traces: Traces,
    /// Which calls had no price.
    pub prices: Reloadable<Option<Prices>>,
    /// What time it is.
    pub clock: Clock,
    /// When the service started.
    pub started: UnixNanos,
    /// Cancelled when the service stops.
    pub shutdown: CancellationToken,
}

/// The routes of health: a probe has no token, and it learns nothing of anybody.
#[must_use]
pub fn health_routes(gate: Gate, admin: Admin) -> Routes {
    Routes::new(&guard(gate))
        .get("/", Needs::Nothing, health)
        .get("/health", Needs::Nothing, health)
        .get("/live", Needs::Nothing, live)
        .get("/ready", Needs::Nothing, ready)
        .with_state(admin)
}

/// The routes of metrics, which tell of all workspaces.
#[must_use]
pub fn metrics_routes(gate: Gate, admin: Admin) -> Routes {
    Routes::new(&guard(gate)).get("/metrics", Needs::Everywhere(Scope::Read), metrics).with_state(admin)
}

/// Health and metrics for the page, which tell it of all workspaces.
#[must_use]
pub fn status_routes(admin: Admin, guard: &Guard) -> Routes {
    let needs = Needs::Everywhere(Scope::Read);
    Routes::new(guard).get("/api/v1/status", needs, health).get("/api/v1/metrics", needs, metrics).with_state(admin)
}

fn guard(gate: Gate) -> Guard {
    Guard::new(gate, |_request: Request, denied: Denied| {
        let status = if denied.is_unauthenticated() { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
        let response = (status, Json(json!({"detail": denied.to_string()}))).into_response();
        Box::pin(std::future::ready(response))
    })
}

async fn health(State(admin): State<Admin>) -> Response {
    let health = Health::of(&admin);
    let status = if health.is_accepting() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

/// Whether the process does anything at all: whoever gets no answer may restart it.
async fn live(State(admin): State<Admin>) -> Response {
    Json(Live::of(&admin)).into_response()
}

/// Whether to send it anything: spans sent now are accepted.
async fn ready(State(admin): State<Admin>) -> Response {
    let ready = Ready::of(&admin);
    let status = if ready.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ready)).into_response()
}

async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    admin.look();
    if wants_openmetrics(&headers) {
        return ([(header::CONTENT_TYPE, openmetrics::CONTENT_TYPE)], admin.metrics.openmetrics()).into_response();
    }
    match admin.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Prometheus names every text that it reads, this one first if it reads it.
fn wants_openmetrics(headers: &HeaderMap) -> bool {
    let named = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).any(|kind| kind.trim_start().starts_with("application/openmetrics-text"))
}

impl Admin {
    /// Brings the metrics up to date that nobody sets when they change.
    pub fn look(&self) {
        self.metrics.journal.oldest_seconds.set(saturating_i64(self.oldest_seconds().into()));
        self.metrics.traces_known.set(saturating_i64(to_u64(self.traces.len()).into()));
        if self.endpoints.count() > 1 {
            for endpoint in self.endpoints.view() {
                self.metrics.endpoint_up(&endpoint.url, endpoint.condition == Condition::Up);
            }
        }
        if let Some(prices) = &**self.prices.now() {
            self.metrics.show_unpriced(&prices.unpriced());
        }
    }

    /// Age of the oldest span that ClickHouse does not have.
    fn oldest_seconds(&self) -> u64 {
        let now = self.clock.now();
        self.backlog.view().oldest.map_or(0, |oldest| now.nanos_since(oldest) / 1_000_000_000)
    }
}
