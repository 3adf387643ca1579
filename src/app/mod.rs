//! Puts the parts together, starts them, and stops them in order.
//!
//! ```text
//! start   listen everywhere -> journal -> embedded ClickHouse -> committer, exporter -> receivers -> "ready"
//! stop    receivers answer what is in flight -> committer -> exporter stores what it can -> embedded ClickHouse -> admin
//! ```

use crate::admin::{self, Admin};
use crate::bounds::{self, REQUEST_BYTES_MAX};
use crate::chat;
use crate::clickhouse::joins::Joining;
use crate::clickhouse::nodes;
use crate::clickhouse::recent;
use crate::clickhouse::schema::{Home, Layout, Schema, TABLE};
use crate::clickhouse::{Availability, Client};
use crate::columns::native::parse::Block;
use crate::committer::{Committer, JournalFailed, Limits};
use crate::config::Config;
use crate::connections::{self, Connections};
use crate::dedup::{DedupIndex, Noted};
use crate::embedded;
use crate::exporter::{self, Exporter, Lost};
use crate::journal::{
    Backlog, DeadLetters, Heard, HeardRows, IsNew, Journal, MachineDisk, MachineFolder, Options, View,
};
use crate::otlp;
use crate::pipeline::{self, Ack, Pipeline};
use crate::receivers::{self, Decoding, Receivers, Share};
use crate::reconciler::joining::Joiner;
use crate::reconciler::superseded::Superseder;
use crate::shutdown::{self, NotEnded};
use crate::telemetry::Metrics;
use crate::time::{Clock, UnixNanos};
use crate::timestamps::Budget;
use crate::traces::{TRACES_MAX_DEFAULT, Traces};
use crate::workspace::{self, Workspace};
use anyhow::Context as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long the steps of a stop may take.
#[derive(Debug, Clone, Copy)]
struct StopTimeouts {
    /// Requests in flight are answered.
    in_flight: Duration,
    /// What was accepted is committed: much longer than any sender waits for the disk.
    commit: Duration,
    /// The exporter ends, which keeps to `exporter.drain_timeout` itself.
    export: Duration,
    /// Anything else, which ends by itself much sooner.
    other: Duration,
}

impl StopTimeouts {
    fn new(drain_timeout: Duration) -> Self {
        let other = Duration::from_secs(10);
        Self { in_flight: other, commit: Duration::from_secs(30), export: drain_timeout.saturating_add(other), other }
    }
}

/// Where the embedded engine keeps its data.
#[must_use]
pub fn clickhouse_dir(config: &Config) -> PathBuf {
    config.data_dir.join("clickhouse")
}

/// Runs everything until SIGTERM or SIGINT.
///
/// # Errors
/// When something cannot be started, or accepted spans could not be stored before the end.
pub async fn serve(config: Config, ready_file: Option<PathBuf>) -> anyhow::Result<()> {
    let connections = Connections::new(config.connections, connections::raise_to_the_hard_limit());
    let listeners = Listeners::bind(&config)?;
    let metrics = Metrics::new().context("failed to register the metrics")?;
    let (stop, stopping) = guarded_token();
    let (drain, draining) = guarded_token();
    let (stop_engine, engine_stopping) = guarded_token();
    let (stop_admin, admin_stopping) = guarded_token();
    let (pipeline, outlet) = pipeline::channel(config.memory.pipeline_bytes(), &metrics);
    let (journal, accepted, is_new) = open_journal(&config, &metrics)?;
    let backlog = journal.backlog().clone();
    let left = backlog.clone();
    let mut store = Store::start(&config, &metrics, engine_stopping).await?;
    let availability = Availability::default();
    let traces = Traces::new(TRACES_MAX_DEFAULT);
    let joiner = joiner(&config, &store, &metrics, &availability, &traces);
    let superseder = superseder(&config, &store, &metrics, &availability, accepted.noted());
    let admin = Admin {
        pipeline: pipeline.gauge(),
        backlog: backlog.clone(),
        clickhouse: availability.clone(),
        joining: joiner.joining.clone(),
        fence: store.fence.clone(),
        metrics: metrics.clone(),
        traces: traces.clone(),
        clock: Clock::System,
        shutdown: stopping.clone(),
    };
    let watching = tokio::spawn(nodes::watch(store.client.clone(), availability.clone()));
    let (learn, learned) = mpsc::channel(LEARNED_BATCHES_MAX);
    let days = Arc::new(Budget::new(&config.receivers.timestamps, Instant::now()));
    let committer = Committer {
        outlet,
        journal,
        accepted,
        learned,
        gate: pipeline.gate(),
        metrics: metrics.clone(),
        clock: Clock::System,
        limits: segment_limits(&config),
        days: Arc::clone(&days),
        watches_disk: [config.receivers.otlp_grpc.ack, config.receivers.http.ack].iter().any(|ack| *ack > Ack::Memory),
    };
    let exporter = exporter(&config, backlog, &store, &metrics, &availability);
    let doors = doors(&config, pipeline, traces, metrics, stopping.clone(), days);
    let addresses = listeners.addresses(&store)?;
    let commit_draining = draining.clone();
    let mut running = Running {
        committing: tokio::task::spawn_blocking(move || committer.run(commit_draining)),
        exporting: tokio::spawn(exporter.run(draining)),
        joining: tokio::spawn(joiner.run(stopping.clone())),
        superseding: tokio::spawn(superseder.run(stopping.clone())),
        serving: Serving::start(listeners, &connections, doors, stopping, admin, admin_stopping),
    };
    let known_before = (dedup_window_max(&config), config.dedup.max_spans);
    let warmed = tokio::spawn(warm(store.client.clone(), availability, learn, is_new, known_before));
    tokio::spawn(announce(addresses, warmed, ready_file));

    let journal_failed = tokio::select! {
        signal = signalled() => { signal?; None }
        ended = store.ended() => return ended,
        failed = running.part_failed() => Some(failed?),
    };
    let timeouts = StopTimeouts::new(config.exporter.drain_timeout);
    watching.abort();
    running.stop(Triggers { stop, drain, stop_engine, stop_admin }, store, journal_failed, timeouts).await?;
    say_what_is_left(&left)
}

/// # Errors
/// When spans acknowledged from memory are left.
fn say_what_is_left(backlog: &Backlog) -> anyhow::Result<()> {
    backlog.look_for_files();
    let View { rows, rows_in_memory, .. } = backlog.view();
    if rows_in_memory > 0 {
        return Err(Lost { rows: rows_in_memory }.into());
    }
    match rows {
        0 => tracing::info!("stopped; everything accepted is stored"),
        spans => tracing::warn!(spans, "stopped; what ClickHouse does not have yet is safe in the journal"),
    }
    Ok(())
}

/// A token and the guard that cancels it when dropped, so that nothing outlives its owner.
fn guarded_token() -> (DropGuard, CancellationToken) {
    let token = CancellationToken::new();
    (token.clone().drop_guard(), token)
}

/// What says stop, in the order in which it is said.
struct Triggers {
    stop: DropGuard,
    drain: DropGuard,
    stop_engine: DropGuard,
    stop_admin: DropGuard,
}

/// What runs until the end.
struct Running {
    committing: JoinHandle<Result<(), JournalFailed>>,
    exporting: JoinHandle<()>,
    joining: JoinHandle<()>,
    superseding: JoinHandle<()>,
    serving: Serving,
}

/// The listeners, each of which ends only after its shutdown.
struct Serving {
    grpc: JoinHandle<()>,
    http: JoinHandle<()>,
    health: JoinHandle<()>,
    metrics: JoinHandle<()>,
}

impl Serving {
    fn start(
        listeners: Listeners,
        connections: &Connections,
        receivers: Arc<Receivers>,
        stopping: CancellationToken,
        admin: Admin,
        admin_stopping: CancellationToken,
    ) -> Self {
        let Listeners { grpc, http, health, metrics } = listeners;
        let http2 = connections.http2_only();
        Self {
            grpc: tokio::spawn(receivers::otlp::grpc::serve(grpc, http2, Arc::clone(&receivers), stopping.clone())),
            http: tokio::spawn(receivers::http::listener::serve(http, connections.http(), receivers, stopping)),
            health: tokio::spawn(admin::serve_health(
                health,
                connections.operator(),
                admin.clone(),
                admin_stopping.clone(),
            )),
            metrics: tokio::spawn(admin::serve_metrics(metrics, connections.operator(), admin, admin_stopping)),
        }
    }
}

impl Running {
    /// Waits until a part ends that should not; a journal that failed is the one end that is known.
    async fn part_failed(&mut self) -> anyhow::Result<JournalFailed> {
        tokio::select! {
            ended = &mut self.committing => match ended {
                Ok(Err(failed)) => Ok(failed),
                ended => anyhow::bail!("the committer ended by itself: {ended:?}"),
            },
            ended = &mut self.exporting => anyhow::bail!("the exporter ended by itself: {ended:?}"),
            ended = &mut self.serving.grpc => anyhow::bail!("the gRPC listener ended by itself: {ended:?}"),
            ended = &mut self.serving.http => anyhow::bail!("the HTTP listener ended by itself: {ended:?}"),
        }
    }

    /// Stops the parts in order. Each step has its time, so that a disk or a client that never answers does not keep the process.
    async fn stop(
        self,
        say: Triggers,
        store: Store,
        journal_failed: Option<JournalFailed>,
        timeouts: StopTimeouts,
    ) -> anyhow::Result<()> {
        match &journal_failed {
            None => tracing::info!("stopping: answering what is in flight, then storing what was accepted"),
            Some(error) => tracing::error!(%error, "stopping: nothing more can be acknowledged"),
        }
        drop(say.stop);
        tokio::spawn(end_at_once_when_asked_again());
        let within = timeouts.in_flight;
        let (grpc, http) = tokio::join!(
            in_flight("gRPC listener", self.serving.grpc, within),
            in_flight("HTTP listener", self.serving.http, within)
        );
        if let Some(failed) = journal_failed {
            // what is on disk is sent after the next start, when the disk may be well again
            return Err(failed.into());
        }
        drop(say.drain);
        let committed = shutdown::ended("committer", self.committing, timeouts.commit).await;
        if let Err(NotEnded::InTime { .. }) = committed {
            tracing::error!("the disk of the journal does not answer; spans acknowledged from memory may be lost");
        }
        let exported = shutdown::ended("exporter", self.exporting, timeouts.export).await;
        let joined = shutdown::ended("joiner", self.joining, timeouts.other).await;
        let superseded = shutdown::ended("remover of superseded reports", self.superseding, timeouts.other).await;
        drop(say.stop_engine);
        let engine = tokio::time::timeout(timeouts.other, store.stopped()).await;
        drop(say.stop_admin);
        let _ended = tokio::join!(
            in_flight("health listener", self.serving.health, within),
            in_flight("metrics listener", self.serving.metrics, within)
        );
        committed??;
        exported?;
        joined?;
        superseded?;
        engine.context("the embedded ClickHouse did not end in time")?;
        grpc?;
        http
    }
}

fn exporter(
    config: &Config,
    backlog: Backlog,
    store: &Store,
    metrics: &Metrics,
    availability: &Availability,
) -> Exporter {
    Exporter {
        backlog,
        client: store.client.clone(),
        dead_letters: dead_letters(config),
        schema: schema(config),
        config: config.exporter.clone(),
        metrics: metrics.clone(),
        availability: availability.clone(),
        clock: Clock::System,
        state: exporter::State::default(),
    }
}

/// What the tables must be.
#[must_use]
pub fn schema(config: &Config) -> Schema {
    Schema::new(layout(config), &config.schema)
}

/// What the DDL depends on.
#[must_use]
pub fn layout(config: &Config) -> Layout {
    Layout {
        database: config.clickhouse.database.clone(),
        home: if config.clickhouse.url.is_some() { Home::Server } else { Home::Embedded },
        cluster: config.clickhouse.cluster(),
        retention: config.retention.clone(),
    }
}

fn joiner(config: &Config, store: &Store, metrics: &Metrics, availability: &Availability, traces: &Traces) -> Joiner {
    Joiner {
        client: store.client.clone(),
        traces: traces.clone(),
        config: config.joiner.clone(),
        metrics: metrics.clone(),
        availability: availability.clone(),
        joining: Joining::default(),
        clock: Clock::System,
    }
}

fn superseder(
    config: &Config,
    store: &Store,
    metrics: &Metrics,
    availability: &Availability,
    noted: Noted,
) -> Superseder {
    Superseder {
        client: store.client.clone(),
        noted,
        metrics: metrics.clone(),
        availability: availability.clone(),
        clock: Clock::System,
        is_on: !dedup_window_max(config).is_zero() && config.dedup.max_spans > 0,
    }
}

fn segment_limits(config: &Config) -> Limits {
    Limits {
        rows: config.journal.segment_rows,
        bytes: config.journal.segment_bytes.0,
        age: config.exporter.flush_after,
    }
}

/// The longest time that any span is remembered.
fn dedup_window_max(config: &Config) -> Duration {
    config.dedup.window.max(config.chat_completions.dedup_window)
}

/// Rows that ClickHouse refused for good.
#[must_use]
pub fn dead_letters(config: &Config) -> DeadLetters {
    DeadLetters::new(config.data_dir.join("dead-letter"), Arc::new(MachineDisk))
}

fn journal_dir(config: &Config) -> PathBuf {
    config.data_dir.join("journal")
}

/// Opens the journal after whatever ended the last run, and says what was found. Gives the index of the repeats, too, which
/// knows what the journal does.
fn open_journal(config: &Config, metrics: &Metrics) -> anyhow::Result<(Journal, DedupIndex, IsNew)> {
    let (now, dir) = (Clock::System.now(), journal_dir(config));
    let folder = MachineFolder::open(&dir)?;
    let (secret, is_new) = Journal::secret(&folder, &dir, random())?;
    let mut accepted = DedupIndex::new(secret, config.dedup.max_spans, dedup_window_max(config));
    let options = Options {
        dir,
        config: config.journal.clone(),
        table: format!("{}.{TABLE}", config.clickhouse.database),
        origin: random(),
        secret,
        keys_max: config.dedup.max_spans,
        now,
        boot: std::fs::read_to_string(BOOT_ID_FILE).ok().map(|id| id.trim().to_owned()),
        prepare_ahead: true,
    };
    let mut spans = 0_usize;
    let mut seen = |heard: &Heard<'_>| {
        spans += heard.rows.len();
        match &heard.rows {
            HeardRows::Keys(keys) => accepted.remember_all(keys, heard.accepted_at, now),
            HeardRows::Block(block) => remember(&mut accepted, block, heard.accepted_at, now),
        }
        spans < config.dedup.max_spans
    };
    let (journal, recovered) = Journal::open(options, Arc::new(folder), metrics.clone(), &mut seen)?;
    if recovered.torn_bytes > 0 {
        let bytes = recovered.torn_bytes;
        tracing::warn!(bytes, "cut off the end of a commit that was interrupted, and so never acknowledged");
    }
    if recovered.segments > 0 {
        let (segments, spans) = (recovered.segments, recovered.rows);
        tracing::info!(segments, spans, "found spans in the journal that ClickHouse does not have yet");
    }
    Ok((journal, accepted, is_new))
}

/// Which start of the machine this is. Source: proc(5).
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// The spans of a block were accepted before, and nobody knows what was said of them.
fn remember(accepted: &mut DedupIndex, block: &Block<'_>, accepted_at: UnixNanos, now: UnixNanos) {
    let ids = (block.strings("TraceId"), block.strings("SpanId"));
    let Some(kinds) = block.strings("SpanKind") else { return };
    let workspaces = block.map_values("ResourceAttributes", workspace::ATTRIBUTE.as_bytes());
    let ((Some(traces), Some(spans)), Some(workspaces)) = (ids, workspaces) else { return };
    let mut last: Option<(Workspace, _)> = None;
    for (((trace, span), kind), workspace) in traces.zip(spans).zip(kinds).zip(workspaces) {
        let name = workspace.and_then(|name| std::str::from_utf8(name).ok());
        let known = last.as_ref().filter(|(known, _)| known.as_str() == name.unwrap_or(Workspace::DEFAULT));
        let seed = match known {
            Some((_, seed)) => *seed,
            None => {
                let workspace = name.and_then(|name| Workspace::new(name).ok()).unwrap_or_default();
                let seed = accepted.seed_of(&workspace);
                last = Some((workspace, seed));
                seed
            }
        };
        accepted.remember(DedupIndex::key(seed, (trace, span, kind), None), accepted_at, now);
    }
}

fn doors(
    config: &Config,
    pipeline: Pipeline,
    traces: Traces,
    metrics: Metrics,
    stopping: CancellationToken,
    days: Arc<Budget>,
) -> Arc<Receivers> {
    let limits = chat::Limits {
        max_value_bytes: config.genai.max_value_bytes.0,
        max_inline_media_bytes: config.genai.max_inline_media_bytes.0,
    };
    Arc::new(Receivers {
        pipeline,
        traces,
        metrics,
        clock: Clock::System,
        grpc_ack: config.receivers.otlp_grpc.ack,
        http_ack: config.receivers.http.ack,
        dedup_window: config.dedup.window,
        chat_dedup_window: config.chat_completions.dedup_window,
        chat_options: chat::ParseOptions {
            strict_reference: config.chat_completions.strict_reference,
            limits,
            keep_raw: config.genai.keep_raw,
        },
        limits: otlp::Limits { column_bytes: config.memory.request_rows_bytes(), ..otlp::Limits::default() },
        request_bytes_max: REQUEST_BYTES_MAX,
        body_timeout: config.connections.body_timeout,
        decoding: Decoding::default(),
        answers: Share::new(bounds::answer_bytes(config.memory.limit.0)),
        decoders: Share::new(bounds::decoder_bytes(config.memory.limit.0)),
        stopping,
        retention: config.retention.clone(),
        timestamps: config.receivers.timestamps.clone(),
        days,
    })
}

/// Who runs the embedded ClickHouse, if it is another Millrace.
#[derive(Debug, Clone, Copy)]
pub struct Parent {
    /// The first line of standard input is the secret of the parent's own requests.
    pub own_stdin: bool,
    /// The next line of standard input is the password.
    pub password_stdin: bool,
}

/// Runs the embedded ClickHouse alone: until SIGTERM or SIGINT, or, for a parent, until standard input ends.
///
/// # Errors
/// When it cannot be started.
pub async fn serve_clickhouse(
    config: &Config,
    data_dir: PathBuf,
    engine_settings: Option<PathBuf>,
    parent: Option<Parent>,
) -> anyhow::Result<()> {
    let mut engine = embedded_config(config, data_dir)?;
    if let Some(file) = engine_settings {
        let read = std::fs::read_to_string(&file);
        engine.engine_settings = read.with_context(|| format!("failed to read {}", file.display()))?;
    }
    let stopping = CancellationToken::new();
    let stop = stopping.clone().drop_guard();
    if let Some(parent) = parent {
        // a signal to the whole group (Ctrl-C, systemd) is the parent's matter: it still needs this engine
        let ignored = tokio::spawn(async { while signalled().await.is_ok() {} });
        let served =
            embedded::Command::serve_as_child(engine, (parent.own_stdin, parent.password_stdin), stopping).await;
        ignored.abort();
        return Ok(served?);
    }
    let (bound, address) = tokio::sync::oneshot::channel();
    let serving = tokio::spawn(embedded::run_server(engine, stopping, bound));
    if let Ok(bound) = address.await {
        say(&format!("ClickHouse listens on http://{}", bound.address));
        signalled().await?;
        drop(stop);
    }
    Ok(serving.await??)
}

fn embedded_config(config: &Config, data_dir: PathBuf) -> anyhow::Result<embedded::Config> {
    let executable = std::env::current_exe().context("failed to find the own executable")?;
    let here = std::env::current_dir().context("failed to find the current folder")?;
    Ok(embedded::Config {
        listen: config.embedded.listen,
        data_dir,
        library: embedded::library_candidates(config.embedded.library.clone(), None, &executable, &here),
        memory_max_bytes: config.embedded.memory_max_bytes.map(|bytes| bytes.0),
        password: config.clickhouse.password.as_ref().map(|password| password.reveal().to_owned()),
        own_secret: None,
        engine_settings: String::new(),
        queries_max: config.embedded.queries_max,
    })
}

/// How this process starts the engine: itself again, with everything that was configured.
fn engine_command(
    config: &Config,
    listen: SocketAddr,
    data_dir: &Path,
    own_secret: String,
) -> anyhow::Result<embedded::Command> {
    let mut arguments = ["clickhouse", "--parent-watch", "--own-stdin"].map(str::to_owned).to_vec();
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    option("--listen", listen.to_string());
    option("--data-dir", data_dir.display().to_string());
    option("--queries-max", config.embedded.queries_max.to_string());
    if let Some(library) = &config.embedded.library {
        option("--library", library.display().to_string());
    }
    if let Some(bytes) = config.embedded.memory_max_bytes {
        option("--memory-max-bytes", bytes.0.to_string());
    }
    let password = config.clickhouse.password.as_ref().map(|password| password.reveal().to_owned());
    if password.is_some() {
        arguments.push("--password-stdin".to_owned());
    }
    Ok(embedded::Command {
        executable: std::env::current_exe().context("failed to find the own executable")?,
        arguments,
        own_secret: Some(own_secret),
        password,
    })
}

/// The ClickHouse that rows go to: one of our own, or somebody else's.
struct Store {
    client: Client,
    url: String,
    engine: Option<JoinHandle<Result<(), embedded::NeverStarted>>>,
    data_dir: Option<PathBuf>,
    /// What stands around the engine, once it was up.
    fence: Option<watch::Receiver<Option<embedded::Fence>>>,
}

impl Store {
    async fn start(config: &Config, metrics: &Metrics, stopping: CancellationToken) -> anyhow::Result<Self> {
        if let Some(url) = &config.clickhouse.url {
            let client = Client::new(url, &config.clickhouse);
            return Ok(Self { client, url: url.clone(), engine: None, data_dir: None, fence: None });
        }
        let listen = settle_port(config.embedded.listen)?;
        let url = format!("http://{listen}");
        let data_dir = clickhouse_dir(config);
        let own_secret = embedded::own_secret();
        let client = Client::new(&url, &config.clickhouse).with_header(embedded::OWN_HEADER, &own_secret);
        let command = engine_command(config, listen, &data_dir, own_secret)?;
        let restarts = metrics.embedded_restarts.clone();
        let (told, fence) = watch::channel(None);
        let on_change = move |change| match change {
            embedded::Supervised::Up(bound) => {
                told.send_replace(Some(bound.fence));
            }
            embedded::Supervised::Down => restarts.inc(),
        };
        let engine = tokio::spawn(embedded::supervise(command, stopping, on_change));
        Ok(Self { client, url, engine: Some(engine), data_dir: Some(data_dir), fence: Some(fence) })
    }

    /// Waits until the engine is given up; for ever with a ClickHouse of somebody else.
    async fn ended(&mut self) -> anyhow::Result<()> {
        let Some(engine) = &mut self.engine else { return std::future::pending().await };
        engine.await.context("the supervisor of the embedded ClickHouse failed")??;
        anyhow::bail!("the supervisor of the embedded ClickHouse ended by itself")
    }

    async fn stopped(self) {
        let Some(engine) = self.engine else { return };
        match engine.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "stopped before the embedded ClickHouse was up"),
            Err(panic) => tracing::error!(%panic, "the supervisor of the embedded ClickHouse failed"),
        }
    }
}

/// A port of 0 becomes one that is free now, so that the engine keeps it over restarts.
fn settle_port(listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    let listener = bind(listen, "embedded.listen")?;
    Ok(listener.local_addr()?)
}

struct Listeners {
    grpc: TcpListener,
    http: TcpListener,
    health: TcpListener,
    metrics: TcpListener,
}

impl Listeners {
    fn bind(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            grpc: bind(config.receivers.otlp_grpc.listen, "receivers.otlp_grpc.listen")?,
            http: bind(config.receivers.http.listen, "receivers.http.listen")?,
            health: bind(config.admin.health.listen, "admin.health.listen")?,
            metrics: bind(config.admin.metrics.listen, "admin.metrics.listen")?,
        })
    }

    fn addresses(&self, store: &Store) -> anyhow::Result<Addresses> {
        Ok(Addresses {
            grpc: self.grpc.local_addr()?,
            http: self.http.local_addr()?,
            health: self.health.local_addr()?,
            metrics: self.metrics.local_addr()?,
            clickhouse: store.url.clone(),
            data_dir: store.data_dir.clone(),
            table: format!("{}.{TABLE}", store.client.database()),
        })
    }
}

fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    if !address.ip().is_loopback() {
        tracing::warn!(%address, key, "listening beyond this machine without authentication");
    }
    connections::listen(address).with_context(|| format!("failed to listen on {address} ({key})"))
}

/// What a person, or a test, needs to know to use the service.
struct Addresses {
    grpc: SocketAddr,
    http: SocketAddr,
    health: SocketAddr,
    metrics: SocketAddr,
    clickhouse: String,
    data_dir: Option<PathBuf>,
    table: String,
}

/// Prints a line. Whoever read the output may be gone, as after `millrace serve | head`; the service is not.
fn say(line: &str) {
    let _reader_gone = writeln!(std::io::stdout(), "{line}");
}

/// Says that the service is ready; with its own ClickHouse that is once rows can be stored.
async fn announce(addresses: Addresses, warmed: JoinHandle<()>, ready_file: Option<PathBuf>) {
    if addresses.data_dir.is_some() {
        let _panicked_if_not_ok = warmed.await;
    }
    say(&addresses.greeting());
    if let Some(path) = ready_file
        && let Err(error) = addresses.write(&path)
    {
        tracing::error!(%error, path = %path.display(), "failed to write the ready file");
    }
}

/// Batches of learned spans that may wait for the committer.
const LEARNED_BATCHES_MAX: usize = 4;

/// Attempts to learn what was stored lately, and the pause between them.
const WARM_ATTEMPTS: usize = 5;
const WARM_PAUSE: Duration = Duration::from_secs(2);

/// Learns from the table which spans were stored lately, as soon as ClickHouse is there: when the journal is new and the table is not.
async fn warm(
    client: Client,
    availability: Availability,
    learn: mpsc::Sender<Vec<recent::Stored>>,
    IsNew(is_new): IsNew,
    (window, spans_max): (Duration, usize),
) {
    if window.is_zero() || spans_max == 0 {
        return;
    }
    for _ in 0..WARM_ATTEMPTS {
        availability.until_reachable().await;
        if !is_new {
            // the journal's folder knows what was accepted
            return;
        }
        match recent::spans(&client, window, spans_max, &learn).await {
            Ok(spans) => {
                tracing::debug!(spans, "learned which spans were stored lately");
                return;
            }
            Err(failure) => {
                let why = failure.message;
                tracing::warn!(
                    why,
                    "cannot learn which spans were stored before this start; repeats may be stored again"
                );
            }
        }
        tokio::time::sleep(WARM_PAUSE).await;
    }
}

impl Addresses {
    fn greeting(&self) -> String {
        let Self { grpc, http, health, metrics, clickhouse, table, .. } = self;
        let whose = match &self.data_dir {
            Some(dir) => format!("  (embedded; its data is in {})", dir.display()),
            None => String::new(),
        };
        let chat = format!("http://{http}/apis/intake/v2/workspaces/default/ingest/chat-completions");
        format!(
            "\nMillrace {version} is ready.\n\n  \
             OTLP/gRPC         {grpc}\n  \
             OTLP/HTTP         http://{http}/v1/traces\n  \
             chat-completions  {chat}\n  \
             ClickHouse        {clickhouse}{whose}\n  \
             health            http://{health}/\n  \
             metrics           http://{metrics}/metrics\n\n\
             Store a chat-completion:\n\n  \
             curl -s {chat} -H 'Content-Type: application/json' -d '{SAMPLE}'\n\n\
             and, a second later, find it:\n\n  \
             curl -s {clickhouse} --data-binary \"SELECT Timestamp, TraceId, SpanName, InputTokens, OutputTokens \
             FROM {table} ORDER BY Timestamp DESC LIMIT 5 FORMAT PrettyCompactMonoBlock\"\n",
            version = env!("CARGO_PKG_VERSION"),
        )
    }

    /// Writes the addresses as JSON; the file appears whole or not at all.
    fn write(&self, path: &Path) -> std::io::Result<()> {
        let json = serde_json::json!({
            "otlp_grpc": self.grpc.to_string(),
            "http": self.http.to_string(),
            "health": self.health.to_string(),
            "metrics": self.metrics.to_string(),
            "clickhouse": self.clickhouse,
            "pid": std::process::id(),
        });
        let unfinished = path.with_extension("unfinished");
        std::fs::write(&unfinished, json.to_string())?;
        std::fs::rename(unfinished, path)
    }
}

const SAMPLE: &str = r#"{"request":{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Capital of Peru?"}]},"response":{"id":"chatcmpl-1","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Lima."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}}"#;

/// Waits for a server to finish after the stop, but not for a client that never ends its request.
async fn in_flight(what: &'static str, server: JoinHandle<()>, within: Duration) -> anyhow::Result<()> {
    match shutdown::ended(what, server, within).await {
        Ok(()) => Ok(()),
        Err(NotEnded::InTime { .. }) => {
            tracing::warn!(what, "closed connections whose requests did not end in time");
            Ok(())
        }
        Err(panicked) => Err(panicked.into()),
    }
}

/// A second signal does not wait for what is under way.
async fn end_at_once_when_asked_again() {
    if signalled().await.is_ok() {
        tracing::error!("asked to stop again: ending at once; what ClickHouse has not confirmed may be lost");
        std::process::exit(1);
    }
}

async fn signalled() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Unlike that of any other process: segments of two journals must never share a token.
fn random() -> u64 {
    let mut random = [0; 8];
    if getrandom::fill(&mut random).is_err() {
        // no random source: time and process id are still unlike any other's
        let (time, process) = (Clock::System.now().nanos().cast_unsigned(), u64::from(std::process::id()));
        return time.rotate_left(20) ^ process;
    }
    u64::from_le_bytes(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_ends_although_no_part_does() {
        let cancelled: [CancellationToken; 4] = Default::default();
        let [stop, drain, stop_engine, stop_admin] = cancelled.each_ref().map(|token| token.clone().drop_guard());
        let running = Running {
            committing: tokio::spawn(std::future::pending()),
            exporting: tokio::spawn(std::future::pending()),
            joining: tokio::spawn(std::future::pending()),
            superseding: tokio::spawn(std::future::pending()),
            serving: Serving {
                grpc: tokio::spawn(std::future::pending()),
                http: tokio::spawn(std::future::pending()),
                health: tokio::spawn(std::future::pending()),
                metrics: tokio::spawn(std::future::pending()),
            },
        };
        let store = Store {
            client: Client::new("http://127.0.0.1:1", &crate::clickhouse::Config::default()),
            url: String::new(),
            engine: Some(tokio::spawn(std::future::pending())),
            data_dir: None,
            fence: None,
        };
        let moment = Duration::from_millis(5);
        let timeouts = StopTimeouts { in_flight: moment, commit: moment, export: moment, other: moment };
        let triggers = Triggers { stop, drain, stop_engine, stop_admin };
        let stopped = running.stop(triggers, store, None, timeouts).await;
        assert!(format!("{:#}", stopped.unwrap_err()).contains("the committer did not end within 5ms"));
        for shutdown in &cancelled {
            shutdown.cancelled().await;
        }
    }
}
