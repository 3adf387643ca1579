//! The pages of health. Those of the whole service and of readiness answer 200 only if a span sent now would be accepted; each says
//! why in either case.

use super::Admin;
use crate::clickhouse::{ClusterTrouble, Condition, EndpointView, View};
use crate::embedded::Fence;
use crate::journal::{Aside, Asides, RowsLost};
use crate::pipeline::IngestError;
use crate::reconciler::counting;
use serde::Serialize;

/// The body of the page.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    status: &'static str,
    clickhouse: ClickHouse,
    pending_spans: i64,
    backlog: Backlog,
    queue_bytes: i64,
    joining: Joining,
    counting: Counting,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedded: Option<Embedded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<SetAside>,
    /// Why spans are refused; absent while they are accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// The body of the page for a probe of liveness.
#[derive(Debug, Serialize)]
pub(super) struct Live {
    status: &'static str,
    version: &'static str,
    uptime_seconds: u64,
}

impl Live {
    pub(super) fn of(admin: &Admin) -> Self {
        let uptime_seconds = admin.clock.now().nanos_since(admin.started) / 1_000_000_000;
        let status = if admin.shutdown.is_cancelled() { "stopping" } else { "live" };
        Self { status, version: env!("CARGO_PKG_VERSION"), uptime_seconds }
    }
}

/// The body of the page for a probe of readiness.
#[derive(Debug, Serialize)]
pub(super) struct Ready {
    status: &'static str,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Ready {
    pub(super) fn of(admin: &Admin) -> Self {
        let why = refusing(admin).map(|why| why.to_string());
        Self { status: if why.is_none() { "ready" } else { "not ready" }, why }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.why.is_none()
    }
}

/// Why spans are refused, if they are.
fn refusing(admin: &Admin) -> Option<IngestError> {
    if admin.shutdown.is_cancelled() { Some(IngestError::Stopping) } else { admin.pipeline.check().err() }
}

#[derive(Debug, Serialize)]
struct ClickHouse {
    #[serde(flatten)]
    state: ClickHouseState,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes_absent: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes_read_only: Vec<String>,
    /// Where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Serialize)]
struct Endpoint {
    url: String,
    state: &'static str,
    /// For how long.
    seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum ClickHouseState {
    Starting,
    Storing,
    Away { seconds: u64, why: String },
}

#[derive(Debug, Serialize)]
struct Backlog {
    spans: usize,
    bytes: u64,
    segments: usize,
    oldest_seconds: u64,
}

#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum Joining {
    Working,
    Failing { why: String },
}

/// How the roll-up tables follow what is stored.
#[derive(Debug, Serialize)]
struct Counting {
    state: &'static str,
    traces_waiting: usize,
    lag_seconds: u64,
    hours_left: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Debug, Serialize)]
struct Embedded {
    /// `null` until the engine was up.
    fence: Option<Confinement>,
}

#[derive(Debug, Serialize)]
struct Confinement {
    files: &'static str,
    calls: &'static str,
}

/// Files of the journal that are not what they should be.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct SetAside {
    set_aside: Vec<SetAsideFile>,
    spans_lost: SpansLost,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct SetAsideFile {
    file: String,
    reason: &'static str,
    spans_lost: SpansLost,
}

/// A number, or `"at least 5"` if not all could be counted.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum SpansLost {
    Exactly(usize),
    AtLeast(String),
}

impl Health {
    pub(super) fn of(admin: &Admin) -> Self {
        let refusing = refusing(admin);
        let backlog = admin.backlog.view();
        Self {
            status: if refusing.is_none() { "accepting" } else { "refusing" },
            clickhouse: ClickHouse::new(
                admin.clickhouse.view(),
                admin.clickhouse.cluster_trouble(),
                admin.endpoints.view(),
            ),
            pending_spans: admin.metrics.pending(),
            backlog: Backlog {
                spans: backlog.rows,
                bytes: backlog.bytes,
                segments: backlog.segments,
                oldest_seconds: admin.oldest_seconds(),
            },
            queue_bytes: admin.metrics.queue_bytes.get(),
            joining: match admin.joining.trouble() {
                None => Joining::Working,
                Some(why) => Joining::Failing { why },
            },
            counting: Counting::from(admin.counting.state()),
            embedded: admin.fence.as_ref().map(|fence| Embedded { fence: fence.borrow().map(Confinement::from) }),
            journal: SetAside::of(&admin.backlog.asides()),
            why: refusing.map(|why| why.to_string()),
        }
    }

    /// Whether a span sent now would be accepted.
    pub(super) fn is_accepting(&self) -> bool {
        self.why.is_none()
    }
}

impl ClickHouse {
    fn new(view: View, unwell: ClusterTrouble, endpoints: Vec<EndpointView>) -> Self {
        let state = match view {
            View::Starting => ClickHouseState::Starting,
            View::Storing => ClickHouseState::Storing,
            View::Away { since, why } => ClickHouseState::Away { seconds: since.as_secs(), why },
        };
        // of a single one, the state says all
        let endpoints = Some(endpoints).filter(|endpoints| endpoints.len() > 1).into_iter().flatten();
        Self {
            state,
            nodes_absent: unwell.absent,
            nodes_read_only: unwell.read_only,
            endpoints: endpoints.map(Endpoint::from).collect(),
        }
    }
}

impl From<EndpointView> for Endpoint {
    fn from(view: EndpointView) -> Self {
        let (state, why) = match view.condition {
            Condition::Untried => ("untried", None),
            Condition::Up => ("up", None),
            Condition::Down { why, .. } => ("down", Some(why)),
        };
        Self { url: view.url, state, seconds: view.since.as_secs(), why }
    }
}

impl From<counting::State> for Counting {
    fn from(state: counting::State) -> Self {
        Self {
            state: if state.trouble.is_none() { "working" } else { "failing" },
            traces_waiting: state.traces_waiting,
            lag_seconds: state.lag.as_secs(),
            hours_left: state.hours_left,
            why: state.trouble,
        }
    }
}

impl From<Fence> for Confinement {
    fn from(fence: Fence) -> Self {
        Self { files: fence.files.word(), calls: fence.calls.word() }
    }
}

impl SetAside {
    /// `None` if there are no such files.
    fn of(asides: &Asides) -> Option<Self> {
        let Asides { named, rows_lost, uncounted, .. } = asides;
        let set_aside: Vec<SetAsideFile> = named.iter().map(SetAsideFile::from).collect();
        let spans_lost = SpansLost::new(*rows_lost, *uncounted == 0);
        (!set_aside.is_empty()).then_some(Self { set_aside, spans_lost })
    }
}

impl From<&Aside> for SetAsideFile {
    fn from(aside: &Aside) -> Self {
        let RowsLost { rows, is_exact } = aside.lost;
        Self { file: aside.file.clone(), reason: aside.reason.label(), spans_lost: SpansLost::new(rows, is_exact) }
    }
}

impl SpansLost {
    fn new(rows: usize, is_exact: bool) -> Self {
        if is_exact { Self::Exactly(rows) } else { Self::AtLeast(format!("at least {rows}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn endpoint(url: &str) -> EndpointView {
        EndpointView { url: url.to_owned(), condition: Condition::Up, since: Duration::from_secs(5) }
    }

    #[test]
    fn endpoints_are_described_where_there_are_several() {
        let condition = Condition::Down { why: "refused".to_owned(), is_silent: false };
        let endpoints = vec![endpoint("a"), EndpointView { condition, ..endpoint("b") }];
        let shown = ClickHouse::new(View::Storing, ClusterTrouble::default(), endpoints);
        let want = json!({"state": "storing", "endpoints": [
            {"url": "a", "state": "up", "seconds": 5},
            {"url": "b", "state": "down", "seconds": 5, "why": "refused"},
        ]});
        assert_eq!(serde_json::to_value(shown).unwrap(), want);
    }

    #[test]
    fn clickhouse_is_described_with_its_nodes() {
        let shown = |view, unwell| serde_json::to_value(ClickHouse::new(view, unwell, vec![endpoint("a")])).unwrap();
        assert_eq!(shown(View::Storing, ClusterTrouble::default()), json!({"state": "storing"}));
        let away = View::Away { since: Duration::from_secs(7), why: "down".to_owned() };
        let unwell = ClusterTrouble { absent: vec!["a:1".to_owned()], ..ClusterTrouble::default() };
        let want = json!({"state": "away", "seconds": 7, "why": "down", "nodes_absent": ["a:1"]});
        assert_eq!(shown(away, unwell), want);
    }

    #[test]
    fn lost_spans_are_a_number_only_if_all_were_counted() {
        let shown = |rows, is_exact| serde_json::to_value(SpansLost::new(rows, is_exact)).unwrap();
        assert_eq!((shown(5, true), shown(5, false)), (json!(5), json!("at least 5")));
        assert_eq!(SetAside::of(&Asides::default()), None);
    }
}
