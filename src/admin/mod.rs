//! The operator's side: health on 13133, metrics on 8888.

mod health;

use crate::access::routes::{Guard, Routes};
use crate::access::{Denied, Gate, Needs, Scope};
use crate::clickhouse::joins::Joining;
use crate::clickhouse::{Availability, Condition, Endpoints};
use crate::connections::Server;
use crate::connections::browsers::{Browsers, guarded};
use crate::connections::tls;
use crate::embedded::Fence;
use crate::genai::prices::Prices;
use crate::journal::Backlog;
use crate::numbers::{saturating_i64, to_u64};
use crate::pipeline::CapacityProbe;
use crate::reconciler::counting::Counting;
use crate::sizes;
use crate::telemetry::Metrics;
use crate::time::Clock;
use crate::traces::Traces;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use health::Health;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where health and metrics are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `GET /` reports whether spans are accepted.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub health: PageConfig<13133>,
    /// `GET /metrics` in Prometheus text.
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
    pub prices: Option<Arc<Prices>>,
    /// What time it is.
    pub clock: Clock,
    /// Cancelled when the service stops.
    pub shutdown: CancellationToken,
}

/// The routes of health: a probe has no token, and it learns nothing of anybody.
#[must_use]
pub fn health_routes(gate: Gate, admin: Admin) -> Routes {
    Routes::new(&guard(gate)).get("/", Needs::Nothing, health).get("/health", Needs::Nothing, health).with_state(admin)
}

/// The routes of metrics, which tell of all workspaces.
#[must_use]
pub fn metrics_routes(gate: Gate, admin: Admin) -> Routes {
    Routes::new(&guard(gate)).get("/metrics", Needs::Everywhere(Scope::Read), metrics).with_state(admin)
}

/// Serves pages until `until` is cancelled, which is later than the shutdown that health reports.
pub async fn serve(
    listener: TcpListener,
    server: Server,
    routes: Routes,
    browsers: Browsers,
    until: CancellationToken,
) {
    server.serve(listener, guarded(routes.into_router(), browsers), until).await;
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

async fn metrics(State(admin): State<Admin>) -> Response {
    admin.metrics.journal.oldest_seconds.set(saturating_i64(admin.oldest_seconds().into()));
    admin.metrics.traces_known.set(saturating_i64(to_u64(admin.traces.len()).into()));
    if admin.endpoints.count() > 1 {
        for endpoint in admin.endpoints.view() {
            admin.metrics.endpoint_up(&endpoint.url, endpoint.condition == Condition::Up);
        }
    }
    if let Some(prices) = &admin.prices {
        admin.metrics.show_unpriced(&prices.unpriced());
    }
    match admin.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

impl Admin {
    /// Age of the oldest span that ClickHouse does not have.
    fn oldest_seconds(&self) -> u64 {
        let now = self.clock.now();
        self.backlog.view().oldest.map_or(0, |oldest| now.nanos_since(oldest) / 1_000_000_000)
    }
}
