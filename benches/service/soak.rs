//! A soak: a mixed load into the embedded engine for as long as is asked for, looked at every minute.
//!
//! ```text
//! full speed for a while -> what the machine takes -> half of that, or --rate, for --seconds
//!                                                     each minute: answers, memory, descriptors, threads, segments, parts, lag
//! at the end: acknowledged, stored and distinct spans must be one number, and none of the others may have grown (`flat.rs`)
//! ```

use super::flat::Series;
use super::load::{Load, Plan};
use super::scenario::Workload;
use anyhow::{Context as _, ensure};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use support::machine::{Usage, float, memory_mib, percentile};
use support::sql::Sql;
use support::{Options, Service, wait_until};

/// Requests under way at once.
const IN_FLIGHT: usize = 32;
/// How long it is found out what the machine takes.
const FULL_SPEED: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// How long it takes to say that nothing grows.
const FLAT_AFTER: Duration = Duration::from_mins(10);

/// Sends for `seconds`, with `rate` spans a second, or half of what is taken at full speed.
///
/// # Errors
/// When what was acknowledged is not what is stored, once each, or something grew that should stay as it is.
pub(crate) fn measure(seconds: Duration, rate: Option<f64>, data_dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(data_dir)?;
    ensure!(tempfile::env::override_temp_dir(data_dir).is_ok(), "the temporary folder was set before");
    let rate = match rate {
        Some(rate) => rate,
        None => full_speed()? / 2.0,
    };
    let service = start();
    println!(
        "{rate:.0} spans a second for {:.0} s: of four senders one sends 100 ordinary spans a request, one 100 GenAI spans, two send one",
        seconds.as_secs_f64()
    );
    println!(
        "{:>6} {:>9} {:>8} {:>8} {:>8} {:>7} {:>7} {:>5} {:>5} {:>7} {:>8} {:>6} {:>6} {:>8} {:>8}",
        "minute",
        "spans/s",
        "p50 ms",
        "p99 ms",
        "refused",
        "MiB",
        "engine",
        "fds",
        "fds",
        "threads",
        "segments",
        "parts",
        "lag s",
        "CPU us",
        "engine"
    );
    let load = load(&service, Some(rate))?;
    load.measure(true);
    let began = Instant::now();
    let mut last = Looked::at(&service, &load)?;
    let mut watched = Watched::new();
    while began.elapsed() < seconds {
        load.run_for(LOOK_EVERY.min(seconds.saturating_sub(began.elapsed())));
        let now = Looked::at(&service, &load)?;
        tell(&service, &load, began.elapsed(), &last, &now, &mut watched)?;
        last = now;
    }
    let answers = load.stop()?;
    wait_until("all is stored", || (service.metric("millrace_spans_pending")? == 0.0).then_some(()));
    let stored = number(&service.sql(), "SELECT count() FROM otel_traces")?;
    let distinct = number(&service.sql(), "SELECT uniqExact(TraceId, SpanId) FROM otel_traces")?;
    println!("{} spans acknowledged, {stored} stored, {distinct} distinct", answers.acknowledged_spans);
    ensure!(stored == answers.acknowledged_spans && distinct == stored, "spans were lost or stored twice");
    watched.judge(seconds)
}

/// What must not grow.
struct Watched {
    memory: Series,
    engine_memory: Series,
    descriptors: Series,
    engine_descriptors: Series,
    threads: Series,
    segments: Series,
    parts: Series,
}

impl Watched {
    fn new() -> Self {
        Self {
            memory: Series::new("MiB of the service", 1.1, 16.0),
            // its caches fill until they are full
            engine_memory: Series::new("MiB of the engine", 1.25, 64.0),
            descriptors: Series::new("descriptors of the service", 1.1, 8.0),
            engine_descriptors: Series::new("descriptors of the engine", 1.25, 32.0),
            threads: Series::new("threads of the service", 1.0, 4.0),
            segments: Series::new("segments", 1.5, 4.0),
            // those of a merge that is under way come and go
            parts: Series::new("active parts", 1.25, 40.0),
        }
    }

    /// # Errors
    /// When something grew.
    fn judge(&self, seconds: Duration) -> anyhow::Result<()> {
        if seconds < FLAT_AFTER {
            println!("too short to say whether anything grows: that takes {:.0} s", FLAT_AFTER.as_secs_f64());
            return Ok(());
        }
        let all = [
            &self.memory,
            &self.engine_memory,
            &self.descriptors,
            &self.engine_descriptors,
            &self.threads,
            &self.segments,
            &self.parts,
        ];
        all.iter().for_each(|series| println!("{series}"));
        let grown: Vec<_> = all.iter().filter(|series| series.has_grown()).map(ToString::to_string).collect();
        ensure!(grown.is_empty(), "grew: {}", grown.join("; "));
        Ok(())
    }
}

/// Spans a second that are stored when nothing is held back.
fn full_speed() -> anyhow::Result<f64> {
    let service = start();
    let load = load(&service, None)?;
    let began = Instant::now();
    load.run_for(FULL_SPEED);
    let answers = load.stop()?;
    wait_until("all is stored", || (service.metric("millrace_spans_pending")? == 0.0).then_some(()));
    let rate = float(answers.acknowledged_spans) / began.elapsed().as_secs_f64();
    println!("full speed: {rate:.0} spans a second, stored");
    Ok(rate)
}

fn start() -> Service {
    let service = Service::start_with(Options { yaml: "exporter: {}".to_owned(), ..Options::default() });
    wait_until("the service can store", || (service.metric("millrace_clickhouse_up")? == 1.0).then_some(()));
    service
}

fn load(service: &Service, rate: Option<f64>) -> anyhow::Result<Load> {
    Load::start(Plan {
        workload: Workload::Mixed,
        address: service.grpc(),
        in_flight: IN_FLIGHT,
        spans_max: usize::MAX,
        rate,
    })
}

struct Looked {
    at: Instant,
    spans: u64,
    service: Usage,
    engine: Usage,
}

impl Looked {
    fn at(service: &Service, load: &Load) -> anyhow::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            spans: load.measured_spans(),
            service: Usage::of(service.pid())?,
            engine: Usage::of(service.engine_pid().context("an engine")?)?,
        })
    }
}

fn tell(
    service: &Service,
    load: &Load,
    elapsed: Duration,
    before: &Looked,
    now: &Looked,
    watched: &mut Watched,
) -> anyhow::Result<()> {
    let engine = service.engine_pid().context("an engine")?;
    let (latencies, refused) = load.take_latencies();
    let spans = float(now.spans - before.spans);
    let cpu = |from: Usage, to: Usage| to.cpu.saturating_sub(from.cpu).as_secs_f64() * 1e6 / spans;
    let metric = |name: &str| service.metric(name).unwrap_or_default();
    let parts =
        number(&service.sql(), "SELECT count() FROM system.parts WHERE active AND database = currentDatabase()")?;
    println!(
        "{:>6.1} {:>9.0} {:>8.1} {:>8.1} {:>8} {:>7.0} {:>7.0} {:>5} {:>5} {:>7} {:>8.0} {:>6} {:>6.0} {:>8.1} {:>8.1}",
        elapsed.as_secs_f64() / 60.0,
        spans / (now.at - before.at).as_secs_f64(),
        percentile(&latencies, 0.5),
        percentile(&latencies, 0.99),
        refused,
        watched.memory.add(memory_mib(service.pid())?.0),
        watched.engine_memory.add(memory_mib(engine)?.0),
        watched.descriptors.add(entries(service.pid(), "fd")?),
        watched.engine_descriptors.add(entries(engine, "fd")?),
        watched.threads.add(entries(service.pid(), "task")?),
        watched.segments.add(metric("millrace_journal_segments")),
        watched.parts.add(float(parts)),
        metric("millrace_rollup_lag_seconds"),
        cpu(before.service, now.service),
        cpu(before.engine, now.engine),
    );
    Ok(())
}

/// Entries of a folder of a process in /proc: `fd` has its descriptors, `task` its threads.
fn entries(pid: u32, folder: &str) -> anyhow::Result<f64> {
    Ok(float(u64::try_from(fs::read_dir(format!("/proc/{pid}/{folder}"))?.count())?))
}

fn number(sql: &Sql, query: &str) -> anyhow::Result<u64> {
    let rows = sql.try_rows(query, &[]).map_err(anyhow::Error::msg)?;
    let row = rows.first().and_then(|row| row.as_object()?.values().next()?.as_u64());
    row.with_context(|| format!("no number: {query}"))
}
