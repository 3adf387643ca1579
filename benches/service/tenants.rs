//! Tenants beside each other: what one that sends too much costs another one, and what it costs to know who sends.
//!
//! ```text
//! fairness   quiet: 200 requests a second of ten spans     alone, and beside   noisy: ten times its quota, in requests of a hundred, over four connections
//! tokens     one request after the other                   without tokens, and with a file of a thousand
//! ```

use super::sink::Sink;
use anyhow::{Context as _, ensure};
use millrace::otlp::proto::collector::trace::v1::ExportTraceServiceRequest;
use millrace::otlp::proto::trace::v1::{ResourceSpans, ScopeSpans, Span};
use millrace::time::Clock;
use prost::Message as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::machine::{Usage, float, percentile};
use support::{Options, Service, service};

/// Spans of a request, and of one of the tenant that sends too much.
const SPANS: u64 = 10;
const NOISY_SPANS: u64 = 100;
/// Requests a second of the tenant that keeps to its quota.
const QUIET_RATE: f64 = 200.0;
/// What the other one may send, and how many times as much it does.
const NOISY_ROWS_PER_SECOND: u64 = 2_000;
const NOISY_TIMES: f64 = 10.0;
const NOISY_CONNECTIONS: u32 = 4;
/// Runs of each, in turns.
const TURNS: usize = 3;
/// The same where the 99th percentiles of the runs are compared: one run in which the machine was busy says nothing about tenants.
const FAIRNESS_TURNS: usize = 15;
/// Tokens in the file; the one that is sent is the last one.
const TOKENS: usize = 1_000;

type Measure = fn(Duration) -> anyhow::Result<()>;

/// What this word measures, if it is one of these.
pub(crate) fn named(word: &str) -> Option<Measure> {
    match word {
        "fairness" => Some(fairness),
        "tokens" => Some(tokens),
        _ => None,
    }
}

/// A connection that is kept, and what goes over it.
struct Sender {
    stream: BufReader<TcpStream>,
    headers: String,
}

impl Sender {
    fn new(address: &str, header: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let headers =
            format!("POST /v1/traces HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-protobuf\r\n{header}");
        Ok(Self { stream: BufReader::new(stream), headers })
    }

    /// Sends a request of new spans; its status.
    fn send(&mut self, number: u64, count: u64) -> anyhow::Result<u16> {
        let body = spans(number, count);
        let head = format!("{}content-length: {}\r\n\r\n", self.headers, body.len());
        self.stream.get_mut().write_all(&[head.as_bytes(), &body].concat())?;
        let (mut line, mut status, mut length) = (String::new(), 0, 0);
        loop {
            line.clear();
            ensure!(self.stream.read_line(&mut line)? > 0, "the connection ended");
            if status == 0 {
                status = line.split(' ').nth(1).context("a status")?.parse()?;
            } else if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line == "\r\n" {
                self.stream.read_exact(&mut vec![0; length])?;
                return Ok(status);
            }
        }
    }
}

/// A request with ids of its own.
fn spans(number: u64, count: u64) -> Vec<u8> {
    let now = Clock::System.now().nanos().unsigned_abs();
    let span = |place: u64| Span {
        trace_id: u128::from(number + 1).to_be_bytes().to_vec(),
        span_id: (number * NOISY_SPANS + place + 1).to_be_bytes().to_vec(),
        name: "GET /orders/{id}".to_owned(),
        start_time_unix_nano: now,
        end_time_unix_nano: now + 1_000_000,
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: (0..count).map(span).collect(), ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
        .encode_to_vec()
}

fn address(service: &Service) -> String {
    service.http("").trim_start_matches("http://").to_owned()
}

/// Sends so many requests a second, each timed from when it was due; times, sorted.
fn paced(sender: &mut Sender, rate: f64, first: u64, measure_for: Duration) -> anyhow::Result<Vec<Duration>> {
    let (began, mut times) = (Instant::now(), Vec::new());
    for number in 0_u32.. {
        let due = began + Duration::from_secs_f64(f64::from(number) / rate);
        if due.duration_since(began) > measure_for {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let status = sender.send(first + u64::from(number), SPANS)?;
        ensure!(status == 200, "the quiet tenant was answered {status}");
        times.push(due.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

/// Sends far more than its quota until the end; how many requests were taken, and how many refused.
fn flood(address: &str, connection: u32, is_over: &AtomicBool, counts: &[AtomicU64; 2]) -> anyhow::Result<()> {
    let mut sender = Sender::new(address, "x-millrace-workspace: noisy\r\n")?;
    let rate = float(NOISY_ROWS_PER_SECOND / NOISY_SPANS) * NOISY_TIMES / f64::from(NOISY_CONNECTIONS);
    let began = Instant::now();
    for number in 0_u32.. {
        let due = began + Duration::from_secs_f64(f64::from(number) / rate);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let [taken, refused] = counts;
        let number = 1 << 40 | u64::from(connection) << 32 | u64::from(number);
        let is_taken = sender.send(number, NOISY_SPANS)? == 200;
        if is_taken { taken } else { refused }.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

fn fairness(measure_for: Duration) -> anyhow::Result<()> {
    let sink = Sink::start()?;
    let yaml = format!("quotas: {{ workspaces: {{ noisy: {{ rows_per_second: {NOISY_ROWS_PER_SECOND} }} }} }}");
    let service = Service::start_with(Options { yaml, clickhouse_url: Some(sink.url()), ..Options::default() });
    let address = address(&service);
    let mut quiet = Sender::new(&address, "x-millrace-workspace: quiet\r\n")?;
    paced(&mut quiet, QUIET_RATE, 1 << 50, Duration::from_secs(1))?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let counts = [AtomicU64::new(0), AtomicU64::new(0)];
    for turn in 0..FAIRNESS_TURNS {
        let first = u64::try_from(turn)? << 33;
        alone.push(paced(&mut quiet, QUIET_RATE, first, measure_for)?);
        let is_over = AtomicBool::new(false);
        let times = thread::scope(|scope| {
            let flood = |connection| flood(&address, connection, &is_over, &counts);
            let floods: Vec<_> = (0..NOISY_CONNECTIONS).map(|of| scope.spawn(move || flood(of))).collect();
            let times = paced(&mut quiet, QUIET_RATE, first | 1 << 32, measure_for);
            is_over.store(true, Ordering::SeqCst);
            for flood in floods {
                flood.join().expect("nothing panics in it")?;
            }
            times
        })?;
        beside.push(times);
    }
    let (one, other) = (Quartiles::of(&alone, 0.99), Quartiles::of(&beside, 0.99));
    println!(
        "fairness: {FAIRNESS_TURNS} runs of a tenant of {QUIET_RATE} requests/s alone, and beside one at {NOISY_TIMES} times its quota \
         (taken {}, refused {})\n\
         p50 of the median run {:.2} and {:.2} ms; p99 of the median run {:.2} ({:.2} to {:.2}) and {:.2} ms ({:.2} to {:.2}): {:+.0} % (goal: 20)",
        counts[0].load(Ordering::SeqCst),
        counts[1].load(Ordering::SeqCst),
        Quartiles::of(&alone, 0.5).median,
        Quartiles::of(&beside, 0.5).median,
        one.median,
        one.lower,
        one.upper,
        other.median,
        other.lower,
        other.upper,
        (other.median / one.median - 1.0) * 100.0
    );
    Ok(())
}

/// Of a percentile of several runs, ms.
struct Quartiles {
    lower: f64,
    median: f64,
    upper: f64,
}

impl Quartiles {
    /// Each run is sorted.
    fn of(runs: &[Vec<Duration>], share: f64) -> Self {
        let mut values: Vec<f64> = runs.iter().map(|times| percentile(times, share)).collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |quarters: usize| values.get((values.len() - 1) * quarters / 4).copied().unwrap_or(f64::NAN);
        Self { lower: at(1), median: at(2), upper: at(3) }
    }
}

/// CPU of the service for each request, us, and how long it takes at the median, ms.
fn cost(service: &Service, header: &str, measure_for: Duration) -> anyhow::Result<(f64, f64)> {
    let mut sender = Sender::new(&address(service), header)?;
    let mut number = 1 << 44;
    let mut run = |measure_for: Duration| -> anyhow::Result<Vec<Duration>> {
        let (began, mut times) = (Instant::now(), Vec::new());
        while began.elapsed() < measure_for {
            number += 1;
            let sent = Instant::now();
            let status = sender.send(number, SPANS)?;
            ensure!(status == 200, "answered {status}");
            times.push(sent.elapsed());
        }
        times.sort_unstable();
        Ok(times)
    };
    run(Duration::from_millis(500))?;
    let before = Usage::of(service.pid())?;
    let times = run(measure_for)?;
    let cpu = Usage::of(service.pid())?.cpu.saturating_sub(before.cpu);
    Ok((cpu.as_secs_f64() * 1e6 / float(u64::try_from(times.len())?), percentile(&times, 0.5)))
}

fn tokens(measure_for: Duration) -> anyhow::Result<()> {
    let (sink, folder) = (Sink::start()?, tempfile::tempdir()?);
    let file = folder.path().join("tokens.yaml");
    let mut token = String::new();
    for number in 0..TOKENS {
        let name = format!("t{number}");
        let output = service::binary()
            .args(["token", "create", "--name", &name, "--workspace", "default", "--scope", "ingest", "--file"])
            .arg(&file)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        token = String::from_utf8(output.stdout)?.trim().to_owned();
    }
    ensure!(fs::metadata(&file)?.len() > 0, "no tokens were made");
    let start =
        |yaml: String| Service::start_with(Options { yaml, clickhouse_url: Some(sink.url()), ..Options::default() });
    let open = start(String::new());
    let guarded = start(format!("auth: {{ tokens_file: {} }}", file.display()));
    let header = format!("authorization: Bearer {token}\r\n");
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        without.push(cost(&open, "", measure_for)?);
        with.push(cost(&guarded, &header, measure_for)?);
    }
    let mean = |of: &[(f64, f64)], part: fn(&(f64, f64)) -> f64| {
        of.iter().map(part).sum::<f64>() / of.iter().map(|_| 1.0).sum::<f64>()
    };
    println!(
        "tokens: CPU a request without {:.1} us, with one of {TOKENS} {:.1} us; p50 {:.2} and {:.2} ms",
        mean(&without, |(cpu, _)| *cpu),
        mean(&with, |(cpu, _)| *cpu),
        mean(&without, |(_, p50)| *p50),
        mean(&with, |(_, p50)| *p50)
    );
    Ok(())
}
