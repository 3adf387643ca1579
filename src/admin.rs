//! The operator's side: health on 13133, metrics on 8888.
//!
//! Health answers 200 only when a span sent now would be accepted; its body says what is the case in either event.

use crate::clickhouse::joins::Joining;
use crate::clickhouse::{Availability, View};
use crate::connections::Door;
use crate::embedded::Fence;
use crate::journal::{Aside, Asides, Backlog, RowsLost};
use crate::pipeline::{CapacityProbe, IngestError};
use crate::sizes;
use crate::telemetry::Metrics;
use crate::time::Clock;
use crate::traces::Traces;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where health and metrics are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `GET /` tells whether spans are accepted.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub health: Health,
    /// `GET /metrics` in Prometheus text.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub metrics: MetricsPage,
}

/// Where health is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// Address and port.
    pub listen: SocketAddr,
}

/// Where metrics are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricsPage {
    /// Address and port.
    pub listen: SocketAddr,
}

impl Default for Health {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 13133)) }
    }
}

impl Default for MetricsPage {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8888)) }
    }
}

/// What the pages show.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Whether there is room.
    pub pipeline: CapacityProbe,
    /// What waits for ClickHouse.
    pub backlog: Backlog,
    /// Whether ClickHouse takes inserts.
    pub clickhouse: Availability,
    /// Whether pairs are joined to roots that come later.
    pub joining: Joining,
    /// What stands around the embedded engine, if it is this process's: `None` until it was up.
    pub fence: Option<watch::Receiver<Option<Fence>>>,
    /// What is counted.
    pub metrics: Metrics,
    /// How many traces are known.
    pub traces: Traces,
    /// What time it is.
    pub clock: Clock,
    /// Whether the service is stopping.
    pub shutdown: CancellationToken,
}

/// Serves health until `until` is requested, which is later than the shutdown that it reports.
pub async fn serve_health(listener: TcpListener, door: Door, admin: Admin, until: CancellationToken) {
    let router = Router::new().route("/", get(health)).route("/health", get(health)).with_state(admin);
    door.serve(listener, router, until).await;
}

/// Serves metrics until `until` is requested.
pub async fn serve_metrics(listener: TcpListener, door: Door, admin: Admin, until: CancellationToken) {
    let router = Router::new().route("/metrics", get(metrics)).with_state(admin);
    door.serve(listener, router, until).await;
}

impl Admin {
    /// Age of the oldest span that ClickHouse does not have.
    fn oldest_seconds(&self) -> u64 {
        let now = self.clock.now();
        self.backlog.view().oldest.map_or(0, |oldest| now.nanos_since(oldest) / 1_000_000_000)
    }
}

async fn health(State(admin): State<Admin>) -> Response {
    let refusing =
        if admin.shutdown.is_cancelled() { Some(IngestError::Stopping) } else { admin.pipeline.check().err() };
    let accepting = refusing.is_none();
    let mut clickhouse = match admin.clickhouse.view() {
        View::Starting => json!({"state": "starting"}),
        View::Storing => json!({"state": "storing"}),
        View::Away { since, why } => json!({"state": "away", "seconds": since.as_secs(), "why": why}),
    };
    let unwell = admin.clickhouse.unwell();
    for (name, nodes) in [("nodes_absent", unwell.absent), ("nodes_read_only", unwell.read_only)] {
        if let (false, Some(object)) = (nodes.is_empty(), clickhouse.as_object_mut()) {
            object.insert(name.to_owned(), nodes.into());
        }
    }
    let backlog = admin.backlog.view();
    let mut body = json!({
        "status": if accepting { "accepting" } else { "refusing" },
        "clickhouse": clickhouse,
        "pending_spans": admin.metrics.pending(),
        "backlog": {
            "spans": backlog.rows,
            "bytes": backlog.bytes,
            "segments": backlog.segments,
            "oldest_seconds": admin.oldest_seconds(),
        },
        "queue_bytes": admin.metrics.queue_bytes.get(),
        "joining": match admin.joining.trouble() {
            None => json!({"state": "working"}),
            Some(why) => json!({"state": "failing", "why": why}),
        },
    });
    if let (Some(fence), Some(object)) = (&admin.fence, body.as_object_mut()) {
        let fence = fence.borrow().map(|fence| json!({"files": fence.files.word(), "calls": fence.calls.word()}));
        object.insert("embedded".to_owned(), json!({"fence": fence}));
    }
    if let (Some(journal), Some(object)) = (set_aside(&admin.backlog.asides()), body.as_object_mut()) {
        object.insert("journal".to_owned(), journal);
    }
    if let (Some(why), Some(object)) = (refusing, body.as_object_mut()) {
        object.insert("why".to_owned(), why.to_string().into());
    }
    let status = if accepting { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// The files of the journal that are not what they should be; nothing when there are none.
fn set_aside(asides: &Asides) -> Option<Value> {
    let Asides { named, rows_lost, uncounted, .. } = asides;
    let file = |aside: &Aside| {
        let RowsLost { rows, is_exact } = aside.lost;
        let lost = if is_exact { json!(rows) } else { json!(format!("at least {rows}")) };
        json!({"file": aside.file, "reason": aside.reason.label(), "spans_lost": lost})
    };
    let files: Vec<Value> = named.iter().map(file).collect();
    let lost = if *uncounted == 0 { json!(rows_lost) } else { json!(format!("at least {rows_lost}")) };
    (!files.is_empty()).then(|| json!({"set_aside": files, "spans_lost": lost}))
}

async fn metrics(State(admin): State<Admin>) -> Response {
    admin.metrics.journal.oldest_seconds.set(i64::try_from(admin.oldest_seconds()).unwrap_or(i64::MAX));
    admin.metrics.traces_known.set(i64::try_from(admin.traces.len()).unwrap_or(i64::MAX));
    match admin.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
