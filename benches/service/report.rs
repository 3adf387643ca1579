//! What is printed and kept: one line a scenario, the goals with what was reached, and JSON for comparing runs.

use super::scenario::{Ack, Pace, Scenario, Target, Workload};
use serde::Serialize;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

/// Whose figures they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Who {
    Ours,
    /// The collector that `--peer` starts.
    Peers,
}

/// What one scenario came to. Times of answers are in milliseconds, memory is in MiB.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) who: Who,
    #[serde(flatten)]
    pub(crate) scenario: Scenario,
    /// Acknowledged; into the engine: stored.
    pub(crate) spans_per_second: f64,
    pub(crate) cpu_us_per_span: f64,
    pub(crate) engine_cpu_us_per_span: Option<f64>,
    /// What the load itself spent.
    pub(crate) load_cpu_us_per_span: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
    /// Of the journal, when there is one.
    pub(crate) fsyncs_per_second: Option<f64>,
    /// Written to the disk by the service and its engine.
    pub(crate) disk_bytes_per_span: f64,
    /// Sent to the null sink.
    pub(crate) sent_bytes_per_span: Option<f64>,
    pub(crate) memory_mib: f64,
    pub(crate) memory_peak_mib: f64,
    pub(crate) refused: u64,
}

/// Prints the heading of the rows.
pub(crate) fn print_heading() {
    println!(
        "\n{:<16} {:>6} {:<8} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6} {:>7}",
        "",
        "in",
        "",
        "",
        "CPU us",
        "engine",
        "of load",
        "p50",
        "p99",
        "p99.9",
        "max",
        "",
        "disk B",
        "sent B",
        "MiB",
        "peak",
        ""
    );
    println!(
        "{:<16} {:>6} {:<8} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6} {:>7}",
        "workload",
        "flight",
        "ack",
        "spans/s",
        "/span",
        "us/span",
        "itself",
        "ms",
        "ms",
        "ms",
        "ms",
        "fsyncs/s",
        "/span",
        "/span",
        "",
        "MiB",
        "refused"
    );
}

impl Row {
    /// CPU of the service and, where there is one, of the engine.
    pub(crate) fn cpu_of_both_us(&self) -> f64 {
        self.cpu_us_per_span + self.engine_cpu_us_per_span.unwrap_or_default()
    }

    /// Prints the row.
    pub(crate) fn print(&self) {
        let workload = self.scenario.workload.name();
        let name = match (self.scenario.target, self.scenario.pace) {
            (Target::Null, _) => workload.to_owned(),
            (Target::Engine, Pace::Full) => format!("{workload} > engine"),
            (Target::Engine, Pace::Steady) => format!("{workload}, steady"),
        };
        let ack = match self.who {
            Who::Ours => self.scenario.ack.name(),
            Who::Peers => "(peer)",
        };
        let some =
            |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
        println!(
            "{name:<16} {:>6} {ack:<8} {:>9.0} {:>8.2} {:>8} {:>7.1}x {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8} {:>8.0} {:>8} {:>6.0} {:>6.0} {:>7}",
            self.scenario.in_flight,
            self.spans_per_second,
            self.cpu_us_per_span,
            some(self.engine_cpu_us_per_span, 2),
            self.cpu_of_both_us() / self.load_cpu_us_per_span,
            self.p50_ms,
            self.p99_ms,
            self.p999_ms,
            self.max_ms,
            some(self.fsyncs_per_second, 0),
            self.disk_bytes_per_span,
            some(self.sent_bytes_per_span, 0),
            self.memory_mib,
            self.memory_peak_mib,
            self.refused,
        );
    }
}

/// Prints how many times as much the peer needs.
pub(crate) fn print_ratio(ours: &Row, peers: &Row) {
    println!(
        "{:<16} the peer's CPU is {:.2} times ours, its rate {:.2}, its p99 {:.2}, its peak memory {:.2}",
        "",
        peers.cpu_of_both_us() / ours.cpu_of_both_us(),
        peers.spans_per_second / ours.spans_per_second,
        peers.p99_ms / ours.p99_ms,
        peers.memory_peak_mib / ours.memory_peak_mib,
    );
}

/// A number to reach, and what today's best peer needs on a machine like this (Rotel 0.2.5; chat-completions: NeMo
/// Intake). CPU and ratios travel between machines better than rates do.
struct Goal {
    what: &'static str,
    workload: Workload,
    target: Target,
    in_flight: usize,
    pace: Pace,
    /// The ways to acknowledge that it is about; empty: all.
    acks: &'static [Ack],
    measured: fn(&Row) -> f64,
    unit: &'static str,
    ours: f64,
    peer: Option<f64>,
    more_is_better: bool,
}

const CPU: Goal = Goal {
    what: "CPU per span, 100 a request",
    workload: Workload::Spans,
    target: Target::Null,
    in_flight: 16,
    pace: Pace::Full,
    acks: &[],
    measured: |row| row.cpu_us_per_span,
    unit: "us",
    ours: 2.0,
    peer: None,
    more_is_better: false,
};

const P99: Goal = Goal { measured: |row| row.p99_ms, unit: "ms", ours: 25.0, ..CPU };

const CHAT: Goal = Goal {
    workload: Workload::Chat,
    in_flight: 50,
    acks: &[Ack::Memory, Ack::Durable],
    measured: |row| row.spans_per_second,
    unit: "/s",
    ours: 10_000.0,
    more_is_better: true,
    ..CPU
};

const STORED: Goal =
    Goal { what: "CPU per span stored, engine included", target: Target::Engine, measured: Row::cpu_of_both_us, ..CPU };

const GOALS: [Goal; 14] = [
    Goal { acks: &[Ack::Memory], ours: 1.5, peer: Some(6.9), ..CPU },
    Goal { acks: &[Ack::Stored, Ack::Durable], ours: 2.0, peer: Some(6.9), ..CPU },
    Goal { what: "p99 at 128 in flight, 100 a request", in_flight: 128, acks: &[Ack::Durable], ..P99 },
    Goal { what: "CPU per GenAI span of 4.4 KB", workload: Workload::Genai, ours: 8.0, peer: Some(19.6), ..CPU },
    Goal {
        what: "peak memory, GenAI spans",
        workload: Workload::Genai,
        measured: |row| row.memory_peak_mib,
        unit: "MiB",
        ours: 96.0,
        peer: Some(301.0),
        ..CPU
    },
    Goal {
        what: "CPU per request of one span",
        workload: Workload::Single,
        in_flight: 128,
        ours: 15.0,
        peer: Some(30.0),
        ..CPU
    },
    Goal {
        what: "p99 of one span, 128 in flight",
        workload: Workload::Single,
        in_flight: 128,
        acks: &[Ack::Memory, Ack::Durable],
        peer: Some(64.0),
        ..P99
    },
    Goal { ours: 9.0, peer: Some(27.0), ..STORED },
    Goal { what: "CPU per GenAI span stored", workload: Workload::Genai, ours: 45.0, peer: Some(89.0), ..STORED },
    Goal { what: "stored at 10,000 spans a second", pace: Pace::Steady, ours: 20.0, peer: Some(41.0), ..STORED },
    Goal {
        what: "stored at 1,000 GenAI spans a second",
        workload: Workload::Genai,
        pace: Pace::Steady,
        ours: 85.0,
        peer: Some(215.0),
        ..STORED
    },
    Goal { what: "chat-completions a second", peer: Some(177.0), ..CHAT },
    Goal {
        what: "p99 of a chat-completion",
        measured: |row| row.p99_ms,
        unit: "ms",
        ours: 25.0,
        more_is_better: false,
        ..CHAT
    },
    Goal { what: "chat-completions stored a second", target: Target::Engine, peer: Some(45.0), ..CHAT },
];

/// Prints the goals that the rows tell about, each with the ratio of what was measured to it.
pub(crate) fn print_goals(rows: &[Row]) {
    println!(
        "\n{:<38} {:<8} {:>13} {:>13} {:>11} {:>13} {:>11}",
        "against the goals", "ack", "measured", "goal", "ratio", "peer", "ratio"
    );
    for goal in &GOALS {
        for row in rows.iter().filter(|row| row.who == Who::Ours && goal.is_about(&row.scenario)) {
            let value = (goal.measured)(row);
            let with_unit = |value: f64| format!("{value:.1} {}", goal.unit);
            let verdict = if (value <= goal.ours) == goal.more_is_better { "  not yet" } else { "" };
            println!(
                "{:<38} {:<8} {:>13} {:>13} {:>10.2}x {:>13} {:>11}{verdict}",
                goal.what,
                row.scenario.ack.name(),
                with_unit(value),
                with_unit(goal.ours),
                value / goal.ours,
                goal.peer.map_or("-".to_owned(), with_unit),
                goal.peer.map_or("-".to_owned(), |peer| format!("{:.2}x", value / peer)),
            );
        }
    }
    print_price_of_durability(rows);
}

impl Goal {
    fn is_about(&self, scenario: &Scenario) -> bool {
        (self.acks.is_empty() || self.acks.contains(&scenario.ack))
            && (self.workload, self.target) == (scenario.workload, scenario.target)
            && (self.in_flight, self.pace) == (scenario.in_flight, scenario.pace)
    }
}

/// Durable may cost at most 0.5 us of CPU per span more than memory, at 100 spans a request.
fn print_price_of_durability(rows: &[Row]) {
    const PRICE_MAX_US: f64 = 0.5;
    for in_flight in [1, 16, 128] {
        let cpu = |ack| {
            let scenario =
                Scenario { workload: Workload::Spans, target: Target::Null, ack, in_flight, pace: Pace::Full };
            rows.iter().find(|row| row.who == Who::Ours && row.scenario == scenario).map(|row| row.cpu_us_per_span)
        };
        if let (Some(durable), Some(memory)) = (cpu(Ack::Durable), cpu(Ack::Memory)) {
            let price = durable - memory;
            let verdict = if price > PRICE_MAX_US { "  not yet" } else { "" };
            let what = format!("durable costs more by, {in_flight} in flight");
            let (price, goal) = (format!("{price:.2} us"), format!("{PRICE_MAX_US:.1} us"));
            println!("{what:<38} {:<8} {price:>13} {goal:>13}{verdict}", "durable");
        }
    }
}

/// One run's rows as they are kept.
#[derive(Serialize)]
struct Kept<'r> {
    /// Nanoseconds since 1970, the same for all rows of a run.
    run: i64,
    disk_sync_p50_ms: f64,
    disk_sync_p99_ms: f64,
    #[serde(flatten)]
    row: &'r Row,
}

/// Appends the rows to the file, one JSON object a line.
pub(crate) fn keep(rows: &[Row], file: &Path, run: i64, sync_ms: (f64, f64)) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::options().create(true).append(true).open(file)?;
    for row in rows {
        let kept = Kept { run, disk_sync_p50_ms: sync_ms.0, disk_sync_p99_ms: sync_ms.1, row };
        writeln!(file, "{}", serde_json::to_string(&kept)?)?;
    }
    Ok(())
}
