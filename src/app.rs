//! Puts the parts together, starts them, and stops them in order.
//!
//! ```text
//! start   listen everywhere -> embedded ClickHouse -> exporter -> receivers -> "ready"
//! stop    receivers answer what is in flight -> exporter stores what was accepted -> embedded ClickHouse -> admin
//! ```

use crate::admin::{self, Admin};
use crate::chat;
use crate::clickhouse::recent;
use crate::clickhouse::schema::{Home, TABLE};
use crate::clickhouse::{Availability, Client};
use crate::config::Config;
use crate::duplicates::{Duplicates, SPANS_MAX_DEFAULT};
use crate::embedded;
use crate::exporter::Exporter;
use crate::otlp;
use crate::pipeline::{self, Pipeline};
use crate::receivers::{self, REQUEST_BYTES_MAX, Receivers};
use crate::shutdown::{self, Shutdown};
use crate::telemetry::Metrics;
use crate::time::Clock;
use crate::traces::{TRACES_MAX_DEFAULT, Traces};
use anyhow::Context as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long requests in flight may take to be answered once a stop is asked for.
const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(10);

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
    let listeners = Listeners::bind(&config).await?;
    let metrics = Metrics::new().context("failed to register the metrics")?;
    let (stop, stopping) = shutdown::channel();
    let (drain, draining) = shutdown::channel();
    let (stop_engine, engine_stopping) = shutdown::channel();
    let (stop_admin, admin_stopping) = shutdown::channel();
    let mut store = Store::start(&config, &metrics, engine_stopping).await?;
    let (pipeline, outlet) = pipeline::channel(&config.pipeline, &metrics);
    let availability = Availability::default();
    let traces = Traces::new(TRACES_MAX_DEFAULT);
    let dedup_window = config.chat_completions.dedup_window;
    let duplicates = Duplicates::new(dedup_window, SPANS_MAX_DEFAULT);
    let admin = Admin {
        pipeline: pipeline.gauge(),
        clickhouse: availability.clone(),
        metrics: metrics.clone(),
        traces: traces.clone(),
        shutdown: stopping.clone(),
    };
    let exporter = Exporter {
        outlet,
        client: store.client.clone(),
        home: store.home,
        config: config.exporter.clone(),
        metrics: metrics.clone(),
        availability: availability.clone(),
        token_prefix: token_prefix(),
    };
    let doors = doors(&config, pipeline, traces, metrics, duplicates.clone());
    let addresses = listeners.addresses(&store)?;
    let health = tokio::spawn(admin::serve_health(listeners.health, admin.clone(), admin_stopping.clone()));
    let metrics_page = tokio::spawn(admin::serve_metrics(listeners.metrics, admin, admin_stopping));
    let mut exporting = tokio::spawn(exporter.run(draining));
    let mut grpc = tokio::spawn(receivers::otlp_grpc::serve(listeners.grpc, doors.clone(), stopping.clone()));
    let mut http = tokio::spawn(receivers::http::serve(listeners.http, doors, stopping));
    let warmed = tokio::spawn(warm(store.client.clone(), availability, duplicates, dedup_window));
    tokio::spawn(announce(addresses, warmed, ready_file));

    tokio::select! {
        signal = signalled() => signal?,
        ended = store.ended() => return ended,
        ended = &mut exporting => anyhow::bail!("the exporter ended by itself: {ended:?}"),
        ended = &mut grpc => anyhow::bail!("the gRPC listener ended by itself: {ended:?}"),
        ended = &mut http => anyhow::bail!("the HTTP listener ended by itself: {ended:?}"),
    }
    tracing::info!("stopping: answering what is in flight, then storing what was accepted");
    stop.fire();
    tokio::spawn(end_at_once_when_asked_again());
    let (grpc, http) = tokio::join!(in_flight("gRPC", grpc), in_flight("HTTP", http));
    drain.fire();
    let stored = exporting.await.context("the exporter failed")?;
    stop_engine.fire();
    store.stopped().await;
    stop_admin.fire();
    let _ended = tokio::join!(in_flight("health", health), in_flight("metrics", metrics_page));
    grpc.and(http)?;
    stored?;
    tracing::info!("stopped; everything accepted is stored");
    Ok(())
}

fn doors(config: &Config, pipeline: Pipeline, traces: Traces, metrics: Metrics, duplicates: Duplicates) -> Receivers {
    let limits = chat::Limits {
        max_value_bytes: config.genai.max_value_bytes.0,
        max_inline_media_bytes: config.genai.max_inline_media_bytes.0,
    };
    Receivers {
        pipeline,
        traces,
        metrics,
        clock: Clock::System,
        duplicates,
        chat_options: chat::ParseOptions {
            strict_reference: config.chat_completions.strict_reference,
            limits,
            keep_raw: config.genai.keep_raw,
        },
        limits: otlp::Limits { column_bytes: config.pipeline.max_bytes.0, ..otlp::Limits::default() },
        request_bytes_max: REQUEST_BYTES_MAX,
    }
}

/// Who runs the embedded ClickHouse, if it is another Millrace.
#[derive(Debug, Clone, Copy)]
pub struct Parent {
    /// The first line of standard input is the password.
    pub password_stdin: bool,
}

/// Runs the embedded ClickHouse alone: until SIGTERM or SIGINT, or, for a parent, until standard input ends.
///
/// # Errors
/// When it cannot be started.
pub async fn serve_clickhouse(config: &Config, data_dir: PathBuf, parent: Option<Parent>) -> anyhow::Result<()> {
    let engine = embedded_config(config, data_dir)?;
    let (stop, stopping) = shutdown::channel();
    if let Some(parent) = parent {
        // a signal to the whole group (Ctrl-C, systemd) is the parent's matter: it still needs this engine
        let ignored = tokio::spawn(async { while signalled().await.is_ok() {} });
        let served = embedded::Command::serve_as_child(engine, parent.password_stdin, stopping).await;
        ignored.abort();
        return Ok(served?);
    }
    let (bound, address) = tokio::sync::oneshot::channel();
    let serving = tokio::spawn(embedded::run_server(engine, stopping, bound));
    if let Ok(address) = address.await {
        println!("ClickHouse listens on http://{address}");
        signalled().await?;
        stop.fire();
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
        memory_max_bytes: config.embedded.memory_max_bytes.map(|bytes| u64::try_from(bytes.0).unwrap_or(u64::MAX)),
        password: config.clickhouse.password.as_ref().map(|password| password.reveal().to_owned()),
        queries_max: embedded::QUERIES_MAX_DEFAULT,
    })
}

/// How this process starts the engine: itself again, with everything that was configured.
fn engine_command(config: &Config, listen: SocketAddr, data_dir: &Path) -> anyhow::Result<embedded::Command> {
    let mut arguments = vec!["clickhouse".to_owned(), "--parent-watch".to_owned()];
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    option("--listen", listen.to_string());
    option("--data-dir", data_dir.display().to_string());
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
        password,
    })
}

/// The ClickHouse that rows go to: one of our own, or somebody else's.
struct Store {
    client: Client,
    home: Home,
    url: String,
    engine: Option<JoinHandle<Result<(), embedded::NeverStarted>>>,
    data_dir: Option<PathBuf>,
}

impl Store {
    async fn start(config: &Config, metrics: &Metrics, stopping: Shutdown) -> anyhow::Result<Self> {
        if let Some(url) = &config.clickhouse.url {
            let client = Client::new(url, &config.clickhouse);
            return Ok(Self { client, home: Home::Server, url: url.clone(), engine: None, data_dir: None });
        }
        let listen = settle_port(config.embedded.listen).await?;
        let url = format!("http://{listen}");
        let data_dir = clickhouse_dir(config);
        let command = engine_command(config, listen, &data_dir)?;
        let restarts = metrics.embedded_restarts.clone();
        let on_change = move |change| {
            if change == embedded::Supervised::Down {
                restarts.inc();
            }
        };
        let engine = tokio::spawn(embedded::supervise(command, stopping, on_change));
        let client = Client::new(&url, &config.clickhouse);
        Ok(Self { client, home: Home::Embedded, url, engine: Some(engine), data_dir: Some(data_dir) })
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
async fn settle_port(listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    let listener = bind(listen, "embedded.listen").await?;
    Ok(listener.local_addr()?)
}

struct Listeners {
    grpc: TcpListener,
    http: TcpListener,
    health: TcpListener,
    metrics: TcpListener,
}

impl Listeners {
    async fn bind(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            grpc: bind(config.receivers.otlp_grpc.listen, "receivers.otlp_grpc.listen").await?,
            http: bind(config.receivers.http.listen, "receivers.http.listen").await?,
            health: bind(config.admin.health.listen, "admin.health.listen").await?,
            metrics: bind(config.admin.metrics.listen, "admin.metrics.listen").await?,
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

async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    if !address.ip().is_loopback() {
        tracing::warn!(%address, key, "listening beyond this machine without authentication");
    }
    TcpListener::bind(address).await.with_context(|| format!("failed to listen on {address} ({key})"))
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

/// Says that the service is ready; with its own ClickHouse that is once rows can be stored.
async fn announce(addresses: Addresses, warmed: JoinHandle<()>, ready_file: Option<PathBuf>) {
    if addresses.data_dir.is_some() {
        let _panicked_if_not_ok = warmed.await;
    }
    println!("{}", addresses.greeting());
    if let Some(path) = ready_file
        && let Err(error) = addresses.write(&path)
    {
        tracing::error!(%error, path = %path.display(), "failed to write the ready file");
    }
}

/// Learns from the table which chat spans were stored lately, as soon as ClickHouse is there.
async fn warm(client: Client, availability: Availability, duplicates: Duplicates, window: Duration) {
    availability.until_storing().await;
    let mut spans = 0_usize;
    let learned = recent::chat_spans(&client, window, SPANS_MAX_DEFAULT, |workspace, trace, span| {
        duplicates.remember(workspace, trace, span, Clock::System.now());
        spans += 1;
    });
    match learned.await {
        Ok(()) => tracing::debug!(spans, "learned which chat-completions were stored lately"),
        Err(failure) => {
            tracing::warn!(
                why = failure.message,
                "cannot learn which chat-completions were stored before this start; repeats of them are stored again"
            );
        }
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
             curl -s {clickhouse} --data-binary \"SELECT Timestamp, TraceId, SpanName, SpanAttributes['gen_ai.usage.output_tokens'] \
             AS output_tokens FROM {table} ORDER BY Timestamp DESC LIMIT 5 FORMAT PrettyCompactMonoBlock\"\n",
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
async fn in_flight<E: std::error::Error + Send + Sync + 'static>(
    what: &str,
    mut server: JoinHandle<Result<(), E>>,
) -> anyhow::Result<()> {
    match tokio::time::timeout(IN_FLIGHT_TIMEOUT, &mut server).await {
        Ok(ended) => ended?.with_context(|| format!("the {what} listener failed")),
        Err(_) => {
            server.abort();
            tracing::warn!(what, "closed connections whose requests did not end in time");
            Ok(())
        }
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

/// Unlike that of any other process: batches of two processes must never share a token.
fn token_prefix() -> String {
    let mut random = [0; 12];
    if getrandom::fill(&mut random).is_err() {
        // no random source: time and process id are still unlike any other's
        return format!("{:x}-{}", Clock::System.now().nanos(), std::process::id());
    }
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
