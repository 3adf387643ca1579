//! What is measured: a workload, sent to a service that acknowledges in one way and stores in one place.

use clap::ValueEnum;
use millrace::telemetry::Signal;
use serde::Serialize;
use std::time::Duration;

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    /// OTLP/gRPC, 100 ordinary spans a request.
    Spans,
    /// OTLP/gRPC, one span a request.
    Single,
    /// OTLP/gRPC, 100 GenAI spans of 4.4 KB a request.
    Genai,
    /// Captured chat-completions of 2 KiB over HTTP/1.1, one a request, on connections that stay open.
    Chat,
    /// The same as lines of NDJSON, 100 a request.
    Ndjson,
    /// OTLP/gRPC, one span a request, on a connection for each sender that is opened anew every few requests.
    Connections,
    /// OTLP/gRPC, 36,000 ordinary spans a request: 15 MiB.
    Large,
    /// OTLP/gRPC, 100 log records a request.
    Logs,
    /// OTLP/gRPC, 100 data points of a sum a request.
    Points,
    /// OTLP/gRPC, of four senders one each sends 100 ordinary and 100 GenAI spans a request, and two send one.
    Mixed,
}

impl Workload {
    /// As the table and the command line call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Single => "single",
            Self::Genai => "genai",
            Self::Chat => "chat",
            Self::Ndjson => "ndjson",
            Self::Connections => "connections",
            Self::Large => "large",
            Self::Logs => "logs",
            Self::Points => "points",
            Self::Mixed => "mixed",
        }
    }

    /// What senders send, in turn.
    pub(crate) fn parts(self) -> &'static [Self] {
        match self {
            Self::Spans => &[Self::Spans],
            Self::Single | Self::Connections => &[Self::Single],
            Self::Genai => &[Self::Genai],
            Self::Chat => &[Self::Chat],
            Self::Ndjson => &[Self::Ndjson],
            Self::Large => &[Self::Large],
            Self::Logs => &[Self::Logs],
            Self::Points => &[Self::Points],
            Self::Mixed => &[Self::Spans, Self::Single, Self::Genai, Self::Single],
        }
    }

    /// Whether it is captured calls, over HTTP/1.1.
    pub(crate) fn is_captured_calls(self) -> bool {
        matches!(self, Self::Chat | Self::Ndjson)
    }

    /// What its items are, as counters and the names of services call them.
    pub(crate) fn signal(self) -> Signal {
        match self {
            Self::Logs => Signal::Logs,
            Self::Points => Signal::Metrics,
            _ => Signal::Traces,
        }
    }

    /// Spans, log records or data points that one request of a part carries.
    pub(crate) fn spans_per_request(self) -> usize {
        match self {
            Self::Spans | Self::Genai | Self::Ndjson | Self::Logs | Self::Points => 100,
            Self::Large => 36_000,
            Self::Single | Self::Chat | Self::Connections | Self::Mixed => 1,
        }
    }
}

/// When the receiver says OK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ack {
    /// At once, from memory.
    Memory,
    /// When ClickHouse has it.
    Stored,
    /// When it is on this machine's disk.
    Durable,
}

impl Ack {
    /// As the configuration spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Stored => "stored",
            Self::Durable => "durable",
        }
    }
}

/// Where rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Target {
    /// An HTTP server that says yes to everything: what the service costs alone.
    Null,
    /// The embedded ClickHouse, until every row is stored and merged.
    Engine,
}

/// How fast it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pace {
    /// As fast as it is answered.
    Full,
    /// At a rate that people have.
    Steady,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Scenario {
    pub(crate) workload: Workload,
    pub(crate) target: Target,
    pub(crate) ack: Ack,
    /// Requests under way at once.
    pub(crate) in_flight: usize,
    pub(crate) pace: Pace,
}

impl Scenario {
    /// How long it runs before what happens counts. The engine's work comes later than the answer, so there all counts.
    pub(crate) fn warm_up(&self) -> Duration {
        match self.target {
            Target::Null => Duration::from_secs(1),
            Target::Engine => Duration::ZERO,
        }
    }

    /// Spans a second.
    pub(crate) fn rate(&self) -> Option<f64> {
        match (self.pace, self.workload) {
            (Pace::Full, _) => None,
            (Pace::Steady, Workload::Genai) => Some(1_000.0),
            (Pace::Steady, _) => Some(10_000.0),
        }
    }

    /// How long it is measured at least: merges come in waves.
    pub(crate) fn seconds_min(&self) -> Duration {
        match self.pace {
            Pace::Full => Duration::ZERO,
            Pace::Steady => Duration::from_secs(25),
        }
    }

    /// Whether a peer takes it too: it knows captured calls no more than our ways to acknowledge.
    pub(crate) fn is_for_peers(&self) -> bool {
        !self.workload.is_captured_calls()
    }

    /// A bound beside the time: spans that the load sends at most.
    pub(crate) fn spans_max(&self) -> usize {
        match (self.target, self.workload) {
            (Target::Null, _) => 20_000_000,
            (Target::Engine, Workload::Genai) => 50_000,
            (Target::Engine, _) => 500_000,
        }
    }
}

/// Everything that is measured for these ways to acknowledge, in the order of the table.
pub(crate) fn all(acks: &[Ack]) -> Vec<Scenario> {
    const NULL: [(Workload, usize); 13] = [
        (Workload::Spans, 1),
        (Workload::Spans, 16),
        (Workload::Spans, 128),
        (Workload::Single, 1),
        (Workload::Single, 128),
        (Workload::Genai, 16),
        (Workload::Chat, 50),
        (Workload::Ndjson, 16),
        (Workload::Logs, 16),
        (Workload::Points, 16),
        (Workload::Connections, 1_000),
        (Workload::Large, 2),
        (Workload::Mixed, 32),
    ];
    const ENGINE: [(Workload, usize, Pace); 6] = [
        (Workload::Spans, 16, Pace::Full),
        (Workload::Genai, 16, Pace::Full),
        (Workload::Chat, 50, Pace::Full),
        (Workload::Ndjson, 16, Pace::Full),
        (Workload::Spans, 16, Pace::Steady),
        (Workload::Genai, 16, Pace::Steady),
    ];
    let mut scenarios = Vec::new();
    for (workload, in_flight) in NULL {
        let of = |ack: &Ack| Scenario { workload, target: Target::Null, ack: *ack, in_flight, pace: Pace::Full };
        scenarios.extend(acks.iter().map(of));
    }
    for (workload, in_flight, pace) in ENGINE {
        let ack = acks.last().copied();
        scenarios.extend(ack.map(|ack| Scenario { workload, target: Target::Engine, ack, in_flight, pace }));
    }
    scenarios
}
