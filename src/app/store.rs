//! The ClickHouse that rows go to: the embedded one, which this process starts and supervises, or an external one.

use super::listeners::bind;
use crate::clickhouse::schema::{Home, Layout, Schema};
use crate::clickhouse::{Client, Urls};
use crate::config::Config;
use crate::embedded;
use crate::telemetry::Metrics;
use anyhow::Context as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Where the embedded engine keeps its data.
#[must_use]
pub fn clickhouse_dir(config: &Config) -> PathBuf {
    config.data_dir.join("clickhouse")
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

/// A client for a command: of the configured ClickHouse, or of the embedded one of a running Millrace. Its endpoints are checked
/// until the command's runtime ends.
#[must_use]
pub fn client(config: &Config) -> Client {
    let client = match &config.clickhouse.url {
        Some(urls) => Client::new(urls, &config.clickhouse),
        None => Client::new(&format!("http://{}", config.embedded.listen), &config.clickhouse),
    };
    tokio::spawn(client.endpoints().clone().watch());
    client
}

/// A ClickHouse that is not started yet.
pub(super) struct Store {
    pub(super) client: Client,
    /// The same as somebody from outside: what the embedded engine refuses others, it refuses here too.
    pub(super) visitor: Client,
    pub(super) urls: Urls,
    embedded: Option<Embedded>,
}

struct Embedded {
    data_dir: PathBuf,
    command: embedded::ChildCommand,
    /// The fence around the engine, once it is up.
    fence: watch::Sender<Option<embedded::Fence>>,
}

impl Store {
    /// # Errors
    /// If the port of the embedded engine is taken.
    pub(super) fn new(config: &Config, metrics: &Metrics) -> anyhow::Result<Self> {
        if let Some(urls) = &config.clickhouse.url {
            let client = Client::new(urls, &config.clickhouse).with_latency(metrics.latency.clone());
            let visitor = client.clone();
            return Ok(Self { client, visitor, urls: urls.clone(), embedded: None });
        }
        let listen = settle_port(config.embedded.listen)?;
        let url = format!("http://{listen}");
        let data_dir = clickhouse_dir(config);
        let own_secret = embedded::own_secret();
        let client = Client::new(&url, &config.clickhouse)
            .with_header(embedded::OWN_HEADER, &own_secret)
            .with_latency(metrics.latency.clone());
        let visitor = Client::new(&url, &config.clickhouse).with_latency(metrics.latency.clone());
        let command = engine_command(config, listen, &data_dir, own_secret)?;
        let (fence, _no_reader_yet) = watch::channel(None);
        Ok(Self { client, visitor, urls: Urls::from(&url), embedded: Some(Embedded { data_dir, command, fence }) })
    }

    /// The folder of the embedded engine.
    pub(super) fn data_dir(&self) -> Option<&Path> {
        self.embedded.as_ref().map(|embedded| &*embedded.data_dir)
    }

    /// The fence around the embedded engine, once it is up.
    pub(super) fn fence(&self) -> Option<watch::Receiver<Option<embedded::Fence>>> {
        self.embedded.as_ref().map(|embedded| embedded.fence.subscribe())
    }

    /// Starts the embedded engine, if it is one, and keeps it running until `stopping`.
    pub(super) fn spawn(self, metrics: &Metrics, stopping: CancellationToken) -> Engine {
        let restarts = metrics.embedded_restarts.clone();
        Engine(self.embedded.map(|Embedded { command, fence, .. }| {
            let on_change = move |change| match change {
                embedded::Supervised::Up(bound) => {
                    fence.send_replace(Some(bound.fence));
                }
                embedded::Supervised::Down => restarts.inc(),
            };
            tokio::spawn(embedded::supervise(command, stopping, on_change))
        }))
    }
}

/// The supervisor of the embedded engine; nothing for an external ClickHouse.
pub(super) struct Engine(pub(super) Option<JoinHandle<Result<(), embedded::NeverStarted>>>);

impl Engine {
    /// Waits until the supervisor gives up; never returns for an external ClickHouse.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        let Some(supervisor) = &mut self.0 else { return std::future::pending().await };
        supervisor.await.context("the supervisor of the embedded ClickHouse failed")??;
        anyhow::bail!("the supervisor of the embedded ClickHouse ended by itself")
    }

    pub(super) async fn stopped(self) {
        let Some(supervisor) = self.0 else { return };
        match supervisor.await {
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

/// How this process starts the engine: itself again, with everything that was configured.
fn engine_command(
    config: &Config,
    listen: SocketAddr,
    data_dir: &Path,
    own_secret: String,
) -> anyhow::Result<embedded::ChildCommand> {
    let mut arguments = ["clickhouse", "--parent-watch", "--own-stdin"].map(str::to_owned).to_vec();
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    option("--listen", listen.to_string());
    option("--data-dir", data_dir.display().to_string());
    option("--queries-max", config.embedded.queries_max.to_string());
    option("--log-level", config.log.level.word().to_owned());
    option("--log-format", config.log.format.word().to_owned());
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
    Ok(embedded::ChildCommand {
        executable: std::env::current_exe().context("failed to find the path of this program")?,
        arguments,
        own_secret: Some(own_secret),
        password,
    })
}
