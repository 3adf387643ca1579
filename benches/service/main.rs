//! What the whole service costs and how fast it answers: the real binary, a load over loopback, one line a scenario.
//!
//! ```sh
//! cargo bench --bench service                          # everything, about two minutes
//! cargo bench --bench service -- durable 16            # of these what fits: workload, target, ack, requests in flight
//! cargo bench --bench service -- floor 128              # an empty service under the load of single spans: what requests cost anyhow
//! cargo bench --bench service -- fairness             # a tenant alone, and beside one that sends ten times its quota
//! cargo bench --bench service -- tokens               # what it costs to know who sends
//! cargo bench --bench service -- soak --seconds 1800  # half of what the machine takes, looked at every minute; fails if something grows
//! cargo bench --bench service -- genai --seconds 10 --data-dir /somewhere
//! cargo bench --bench service -- steady                # 10,000 ordinary and 1,000 GenAI spans a second into the engine
//! cargo bench --bench service -- genai engine durable 16 --rate 2000 --seconds 300   # a load below what it can take: how far counting lags
//! cargo bench --bench service -- durable --peer 'COMMAND' --peer-port 14317          # another collector in turns: peer.rs
//! ```
//!
//! ```text
//! load (a thread, requests encoded once) -> millrace serve (a process, freshly started) -> null sink (a thread)
//!                                             CPU, memory, disk from /proc                 or its own engine
//! ```
//!
//! Load and sink share the processors with the service, so rates and times depend on the machine; CPU per span does so less, and
//! its ratio to the CPU of the load itself least.

mod flat;
mod floor;
mod load;
mod peer;
mod report;
mod scenario;
mod sink;
mod soak;
mod template;
mod tenants;

use anyhow::ensure;
use clap::{Parser, ValueEnum as _};
use load::{Answers, Load, Plan};
use millrace::time::Clock;
use peer::Peer;
use report::{Row, Who};
use scenario::{Ack, Pace, Scenario, Target, Workload};
use sink::Sink;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::machine::{Usage, float, memory_mib, percentile, sync_ms};
use support::{Options, Service, wait_until};

/// What to measure. Words of one kind are alternatives; a scenario must fit each kind that is named.
#[derive(Debug, Parser)]
struct Arguments {
    /// Workloads (spans, single, genai, chat, connections, large, logs, points, mixed), targets (null, engine), acks (memory, stored, durable), paces (full, steady), requests in
    /// flight
    words: Vec<String>,
    /// How long each scenario is measured
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Spans a second; absent: as many as are answered
    #[arg(long)]
    rate: Option<f64>,
    /// Another collector, which gets the same load: a command of the shell; $CLICKHOUSE is where it is to insert
    #[arg(long, requires = "peer_port")]
    peer: Option<String>,
    /// Where it listens for OTLP/gRPC
    #[arg(long, requires = "peer")]
    peer_port: Option<u16>,
    /// A folder on the disk that is to be measured
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    data_dir: PathBuf,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).is_some_and(|first| first == floor::SERVE) {
        return floor::serve();
    }
    let arguments = Arguments::parse();
    if let Some((_floor, in_flight)) = arguments.words.split_first().filter(|(first, _)| *first == "floor") {
        let in_flight = in_flight.first().map_or(Ok(128), |number| number.parse())?;
        return floor::measure(in_flight, Duration::from_secs_f64(arguments.seconds));
    }
    if let Some(measure) = arguments.words.first().and_then(|word| tenants::named(word)) {
        return measure(Duration::from_secs_f64(arguments.seconds));
    }
    if arguments.words.first().is_some_and(|word| word == "soak") {
        return soak::measure(Duration::from_secs_f64(arguments.seconds), arguments.rate, &arguments.data_dir);
    }
    fs::create_dir_all(&arguments.data_dir)?;
    let scenarios = arguments.chosen(Ack::value_variants())?;
    ensure!(tempfile::env::override_temp_dir(&arguments.data_dir).is_ok(), "the temporary folder was set before");
    let sync = sync_ms(&arguments.data_dir)?;
    println!("this disk makes 4 KiB durable in {:.2} ms (p50), {:.2} ms (p99)", sync.0, sync.1);
    let peer = arguments.peer.zip(arguments.peer_port).map(|(command, port)| peer::Plan { command, port });
    let bench = Bench {
        sink: Sink::start()?,
        measure_for: Duration::from_secs_f64(arguments.seconds),
        rate: arguments.rate,
        peer,
    };
    report::print_heading();
    let mut rows = Vec::new();
    for scenario in scenarios {
        let ours = bench.run(scenario)?;
        ours.print();
        match bench.run_peer(scenario) {
            Ok(Some(peers)) => {
                peers.print();
                report::print_ratio(&ours, &peers);
                rows.push(peers);
            }
            Ok(None) => {}
            // such as a peer that takes no requests of that size
            Err(error) => println!("the peer failed: {error:#}"),
        }
        rows.push(ours);
    }
    report::print_goals(&rows);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../bench/service.json");
    report::keep(&rows, &file, Clock::System.now().nanos(), sync)
}

impl Arguments {
    fn chosen(&self, acks_there_are: &[Ack]) -> anyhow::Result<Vec<Scenario>> {
        let (mut workloads, mut targets, mut acks, mut paces, mut in_flight) = (vec![], vec![], vec![], vec![], vec![]);
        for word in &self.words {
            if let Ok(workload) = Workload::from_str(word, true) {
                workloads.push(workload);
            } else if let Ok(target) = Target::from_str(word, true) {
                targets.push(target);
            } else if let Ok(ack) = Ack::from_str(word, true) {
                acks.push(ack);
            } else if let Ok(pace) = Pace::from_str(word, true) {
                paces.push(pace);
            } else if let Ok(number) = word.parse::<usize>() {
                in_flight.push(number);
            } else {
                anyhow::bail!("{word} is no workload, target, ack, pace or number of requests in flight; see --help");
            }
        }
        let mut chosen = scenario::all(acks_there_are);
        chosen.retain(|scenario| {
            fits(&workloads, scenario.workload)
                && fits(&targets, scenario.target)
                && fits(&acks, scenario.ack)
                && fits(&paces, scenario.pace)
                && fits(&in_flight, scenario.in_flight)
        });
        ensure!(!chosen.is_empty(), "no scenario fits {:?}", self.words);
        Ok(chosen)
    }
}

fn fits<T: PartialEq>(named: &[T], this: T) -> bool {
    named.is_empty() || named.contains(&this)
}

struct Bench {
    sink: Sink,
    measure_for: Duration,
    rate: Option<f64>,
    peer: Option<peer::Plan>,
}

/// What is measured.
enum Subject {
    Ours(Box<Service>),
    Peers(Peer),
}

impl Subject {
    fn pid(&self) -> u32 {
        match self {
            Self::Ours(service) => service.pid(),
            Self::Peers(peer) => peer.pid(),
        }
    }

    fn engine_pid(&self) -> Option<u32> {
        match self {
            Self::Ours(service) => service.engine_pid(),
            Self::Peers(peer) => peer.engine_pid(),
        }
    }

    fn address(&self, workload: Workload) -> String {
        match self {
            Self::Ours(service) if workload.is_captured_calls() => {
                service.http("").trim_start_matches("http://").to_owned()
            }
            Self::Ours(service) => service.grpc(),
            Self::Peers(peer) => peer.grpc(),
        }
    }

    fn fsyncs(&self) -> Option<f64> {
        match self {
            Self::Ours(service) => service.metric("millrace_journal_fsyncs"),
            Self::Peers(_) => None,
        }
    }

    fn who(&self) -> Who {
        match self {
            Self::Ours(_) => Who::Ours,
            Self::Peers(_) => Who::Peers,
        }
    }

    /// Until nothing is on its way any more, as far as it says so.
    fn wait_until_stored(&self, workload: Workload) {
        if let Self::Ours(service) = self {
            let pending = format!("millrace_{}_pending", workload.signal().rows_name());
            wait_until("all is stored", || (service.metric(&pending)? == 0.0).then_some(()));
        }
    }
}

/// What was used between two looks.
struct Looked {
    at: Instant,
    service: Usage,
    engine: Option<Usage>,
    fsyncs: Option<f64>,
    sent_bytes: u64,
}

impl Bench {
    /// A service of its own for each scenario, so that its memory is that of the scenario.
    fn run(&self, scenario: Scenario) -> anyhow::Result<Row> {
        self.run_on(scenario, Subject::Ours(Box::new(self.start(scenario))))
    }

    /// The same load, sent to the peer, if there is one.
    fn run_peer(&self, scenario: Scenario) -> anyhow::Result<Option<Row>> {
        let Some(plan) = self.peer.as_ref().filter(|_| scenario.is_for_peers()) else { return Ok(None) };
        let peer = Peer::start(plan, &scenario, &self.sink)?;
        self.run_on(scenario, Subject::Peers(peer)).map(Some)
    }

    fn run_on(&self, scenario: Scenario, subject: Subject) -> anyhow::Result<Row> {
        let rate = self.rate.or(scenario.rate());
        let load = Load::start(Plan {
            workload: scenario.workload,
            address: subject.address(scenario.workload),
            in_flight: scenario.in_flight,
            spans_max: if rate.is_some() { usize::MAX } else { scenario.spans_max() },
            rate,
        })?;
        load.run_for(scenario.warm_up());
        let before = self.look(&subject)?;
        load.measure(true);
        let measure_for = self.measure_for.max(scenario.seconds_min());
        match &subject {
            Subject::Ours(service) if self.rate.is_some() => watch_counting(&load, service, measure_for),
            _ => load.run_for(measure_for),
        }
        let (answers, after) = match scenario.target {
            Target::Null => {
                load.measure(false);
                let after = self.look(&subject)?;
                (load.stop()?, after)
            }
            Target::Engine => {
                let answers = load.stop()?;
                subject.wait_until_stored(scenario.workload);
                let stored_at = Instant::now();
                (answers, Looked { at: stored_at, ..self.look_when_quiet(&subject)? })
            }
        };
        subject.wait_until_stored(scenario.workload);
        match &subject {
            Subject::Ours(service) => check(service, scenario.workload, &answers)?,
            Subject::Peers(_) => ensure!(!answers.latencies.is_empty(), "the peer acknowledged nothing"),
        }
        row(scenario, &subject, &answers, &before, &after)
    }

    fn start(&self, scenario: Scenario) -> Service {
        let service = Service::start_with(Options {
            ack: Some(scenario.ack.name()),
            clickhouse_url: (scenario.target == Target::Null).then(|| self.sink.url()),
            yaml: "exporter: {}".to_owned(),
            ..Options::default()
        });
        wait_until("the service can store", || (service.metric("millrace_clickhouse_up")? == 1.0).then_some(()));
        service
    }

    fn look(&self, subject: &Subject) -> anyhow::Result<Looked> {
        Ok(Looked {
            at: Instant::now(),
            service: Usage::of(subject.pid())?,
            engine: subject.engine_pid().map(Usage::of).transpose()?,
            fsyncs: subject.fsyncs(),
            sent_bytes: self.sink.bytes(),
        })
    }

    /// Looks when the engine has nothing left to merge, as far as its CPU time tells.
    fn look_when_quiet(&self, subject: &Subject) -> anyhow::Result<Looked> {
        const LOOK_EVERY: Duration = Duration::from_millis(500);
        const QUIET: Duration = Duration::from_millis(50);
        const LOOKS_MAX: usize = 30;
        let mut looked = self.look(subject)?;
        for _ in 0..LOOKS_MAX {
            sleep(LOOK_EVERY);
            let before = std::mem::replace(&mut looked, self.look(subject)?);
            let cpu = |looked: &Looked| looked.engine.map_or(Duration::ZERO, |engine| engine.cpu);
            if cpu(&looked).saturating_sub(cpu(&before)) <= QUIET {
                break;
            }
        }
        Ok(looked)
    }
}

/// Waits for the measurement to end, and prints how far counting lagged meanwhile.
fn watch_counting(load: &Load, service: &Service, measure_for: Duration) {
    let until = Instant::now() + measure_for;
    let (mut lag, mut backlog) = (0.0_f64, 0.0_f64);
    while Instant::now() < until {
        load.run_for(Duration::from_millis(500).min(until.saturating_duration_since(Instant::now())));
        let metric = |name| service.metric(name).unwrap_or_default();
        lag = lag.max(metric("millrace_rollup_lag_seconds"));
        backlog = backlog.max(metric("millrace_rollup_backlog"));
    }
    let (visits, rows) = (service.metric("millrace_rollup_visits_total"), service.metric("millrace_rollup_rows_total"));
    println!("counting lagged at most {lag} s, {backlog} traces waited; {visits:?} visits, {rows:?} rows so far");
}

/// Both ends must have counted the same, or the load was not what it seems.
fn check(service: &Service, workload: Workload, answers: &Answers) -> anyhow::Result<()> {
    let rows = workload.signal().rows_name();
    let metric = |name: &str| service.metric(&format!("{name}_{rows}_total")).unwrap_or_default();
    let accepted = metric("otelcol_receiver_accepted");
    let (rejected, repeated) = (metric("millrace_receiver_rejected"), metric("millrace_receiver_duplicate"));
    let acknowledged = float(answers.acknowledged_spans);
    ensure!(
        accepted == acknowledged && rejected == 0.0 && repeated == 0.0,
        "the load saw {acknowledged} new {rows} acknowledged; the service counted {accepted} accepted, {rejected} rejected, \
         {repeated} repeated"
    );
    ensure!(!answers.latencies.is_empty(), "nothing was acknowledged");
    Ok(())
}

fn row(
    scenario: Scenario,
    subject: &Subject,
    answers: &Answers,
    before: &Looked,
    after: &Looked,
) -> anyhow::Result<Row> {
    let spans = float(answers.measured_spans);
    let seconds = (after.at - before.at).as_secs_f64();
    let per_span = |from: u64, to: u64| float(to.saturating_sub(from)) / spans;
    let cpu = |from: Usage, to: Usage| (to.cpu.saturating_sub(from.cpu)).as_secs_f64() * 1e6 / spans;
    let engine = before.engine.zip(after.engine);
    let engine_disk = engine.map_or(0.0, |(from, to)| per_span(from.disk_bytes, to.disk_bytes));
    let (memory_mib, memory_peak_mib) = memory_mib(subject.pid())?;
    Ok(Row {
        who: subject.who(),
        scenario,
        spans_per_second: spans / seconds,
        cpu_us_per_span: cpu(before.service, after.service),
        engine_cpu_us_per_span: engine.map(|(from, to)| cpu(from, to)),
        load_cpu_us_per_span: answers.load_cpu.as_secs_f64() * 1e6 / float(answers.acknowledged_spans),
        p50_ms: percentile(&answers.latencies, 0.5),
        p99_ms: percentile(&answers.latencies, 0.99),
        p999_ms: percentile(&answers.latencies, 0.999),
        max_ms: percentile(&answers.latencies, 1.0),
        fsyncs_per_second: before.fsyncs.zip(after.fsyncs).map(|(from, to)| (to - from) / seconds),
        disk_bytes_per_span: per_span(before.service.disk_bytes, after.service.disk_bytes) + engine_disk,
        sent_bytes_per_span: (scenario.target == Target::Null).then(|| per_span(before.sent_bytes, after.sent_bytes)),
        memory_mib,
        memory_peak_mib,
        refused: answers.refused,
    })
}
