//! The HTTP server: binds, confines itself, opens the engine, serves until told to stop.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::fs::Mode;
use rustix::process::umask;
use tokio::sync::oneshot;

use crate::bounds::ENGINE_MEMORY_MIN;
use crate::connections::browsers::{Browsers, Hosts};
use crate::connections::{self, Pool};
use tokio_util::sync::CancellationToken;

use super::handler::Handler;
use crate::embedded::config::{Config, OWN_QUERIES_MAX};
use crate::embedded::engine::capacity::Capacity;
use crate::embedded::engine::instance::{Engine, EngineConfig, OpenError, USER_FILES};
use crate::embedded::engine::run::Runner;
use crate::embedded::engine::sandbox;
use crate::embedded::engine::sandbox::Fence;
use crate::embedded::engine::sessions::Sessions;
use crate::embedded::engine::settings::{Limits, Settings};
use crate::embedded::server::flush::FlushNotify;
use crate::embedded::server::info::ServerInfo;

/// Most connections at once, and at most half of the descriptors: the engine needs many for its files. One more takes the place
/// of one that is silent or idle.
const CONNECTIONS_MAX: usize = 1024;
/// A client that takes no byte of its answer for this long has lost it, and its query its place.
const STALLED_AFTER: Duration = Duration::from_secs(60);
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Request line and headers: a statement in the URL is part of it.
const HEAD_BYTES_MAX: usize = 1 << 20;
/// How long running queries may go on after stop was said; then they are killed.
const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long killed queries may take to notice, and their clients to be told.
const KILLED_TIMEOUT: Duration = Duration::from_secs(5);
const KILL_PAUSE: Duration = Duration::from_millis(50);
const SESSION_SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Its user reads, writes and enters it; others do nothing.
const DATA_DIR_MODE: u32 = 0o700;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The engine's share of the machine unless configured: a quarter, at most 4 GiB.
const MEMORY_SHARE: usize = 4;
const MEMORY_MAX_BYTES_DEFAULT: usize = 4 << 30;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Without a password, anyone who reaches the port could run any SQL.
    #[error("{0} is not a loopback address, which needs a password")]
    NotLoopback(SocketAddr),
    /// The address cannot be bound.
    #[error("{address} cannot be bound")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The engine does not start.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The threads of the server do not start.
    #[error("threads of the server did not start")]
    Threads(#[source] io::Error),
    /// The server's thread ended by a panic.
    #[error("the server panicked")]
    Panicked,
}

impl ServeError {
    /// Whether another start would fail in the same way, until somebody changes something.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::NotLoopback(_) | Self::Bind { .. } | Self::Open(_) => true,
            Self::Threads(_) | Self::Panicked => false,
        }
    }
}

/// What is known once the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Where it listens.
    pub address: SocketAddr,
    /// What stands around it.
    pub fence: Fence,
}

/// Runs the embedded ClickHouse in this process until `shutdown`; `on_bound` gets the address once it answers.
///
/// The server has threads of its own, confined to the data folder. The system calls of the whole process are confined:
/// afterwards it starts no program and opens no connection. A process can do this once: the engine does not start a
/// second time. The process's working directory becomes the engine's user_files.
///
/// # Errors
///
/// If the address or the data folder cannot be used, or the engine cannot be loaded or opened.
pub async fn run_server(
    config: Config,
    shutdown: CancellationToken,
    on_bound: oneshot::Sender<Bound>,
) -> Result<(), ServeError> {
    if !config.listen.ip().is_loopback() && config.password.is_none() {
        return Err(ServeError::NotLoopback(config.listen));
    }
    let bind = |source| ServeError::Bind { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).map_err(bind)?;
    listener.set_nonblocking(true).map_err(bind)?;
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new()
        .name("clickhouse".to_owned())
        .spawn(move || {
            let result = serve_confined(&config, listener, shutdown, on_bound);
            let _caller_gone = ended.send(result);
        })
        .map_err(ServeError::Threads)?;
    match end.await {
        Ok(served) => served,
        Err(_sender_dropped) => Err(ServeError::Panicked),
    }
}

fn serve_confined(
    config: &Config,
    listener: TcpListener,
    shutdown: CancellationToken,
    on_bound: oneshot::Sender<Bound>,
) -> Result<(), ServeError> {
    // prompts are in it: what is made from here on is this user's alone
    let _mask_before = umask(Mode::RWXG | Mode::RWXO);
    let data_dir = prepared(&config.data_dir)?;
    make_private(&data_dir);
    let library = find_library(&config.library)?;
    // what `file('x')` means; this process has no other use for it
    let user_files = prepared(&data_dir.join(USER_FILES))?;
    std::env::set_current_dir(&user_files).map_err(|source| OpenError::DataDir { path: user_files, source })?;
    let limits = Limits { memory_max_bytes: config.memory_max_bytes.unwrap_or_else(memory_default) };
    // before the fence: afterwards no such file can be made
    let settings =
        Settings::write(&limits, &data_dir.join(USER_FILES), config.own_secret.as_deref(), &config.engine_settings);
    let settings = settings.map_err(|source| OpenError::DataDir { path: data_dir.clone(), source })?;
    let fence = confine(&data_dir, &library);
    let own_secret = config.own_secret.clone();
    let engine = Engine::open(EngineConfig { data_dir, library, settings, own_secret })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("clickhouse-http")
        .max_blocking_threads((config.queries_max.saturating_add(OWN_QUERIES_MAX)).saturating_mul(2).saturating_add(64))
        .build()
        .map_err(ServeError::Threads)?;
    let served = runtime.block_on(serve(config, engine, listener, shutdown, |address| {
        let _nobody_asked = on_bound.send(Bound { address, fence });
    }));
    // queries that would not be stopped end with the process
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

async fn serve(
    config: &Config,
    engine: Engine,
    listener: TcpListener,
    shutdown: CancellationToken,
    on_bound: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    let bind = |source| ServeError::Bind { address: config.listen, source };
    let address = listener.local_addr().map_err(bind)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(bind)?;
    let info = ServerInfo {
        version: engine.version.clone(),
        timezone: engine.timezone.clone(),
        display_name: engine.display_name.clone(),
        tmp_dir: engine.tmp_dir.clone(),
    };
    let sessions = Arc::new(Sessions::default());
    let handler = Arc::new(Handler {
        info,
        runner: Runner { engine: Arc::new(engine), sessions: sessions.clone() },
        capacity: Capacity::new(config.queries_max, OWN_QUERIES_MAX),
        password: config.password.clone(),
        own_secret: config.own_secret.clone(),
        browsers: Browsers::none_allowed(if config.listen.ip().is_loopback() { Hosts::Loopback } else { Hosts::Any }),
    });
    on_bound(address);
    tracing::info!(%address, version = handler.info.version, "embedded clickhouse answers");
    let connections = Pool::new("clickhouse", connections::half_of_the_descriptors(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut sweep = tokio::time::interval(SESSION_SWEEP_EVERY);
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            _tick = sweep.tick() => {
                sessions.expire(Instant::now());
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _peer)) = accepted else {
            // out of file descriptors, most likely: others must close first
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let slot = tokio::select! {
            () = shutdown.cancelled() => break,
            slot = connections.acquire() => slot,
        };
        let requests = slot.requests();
        let _latency_only = stream.set_nodelay(true);
        let (stream, peer) = FlushNotify::new(stream, STALLED_AFTER, handler.capacity.demand());
        let handler = handler.clone();
        let service = service_fn(move |request| {
            let (handler, peer, requests) = (handler.clone(), peer.clone(), requests.clone());
            async move { Ok::<_, std::convert::Infallible>(requests.answer(handler.answer(request, peer)).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_READ_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                _client_left_or_answer_broken = connection => {}
                () = slot.evicted() => {}
            }
        });
    }
    drain(graceful, handler.runner.engine.clone()).await;
    Ok(())
}

/// Lets requests in flight end by themselves for a moment, then ends them. Statements whose clients have left count too.
async fn drain(graceful: GracefulShutdown, engine: Arc<Engine>) {
    let answered = async {
        graceful.shutdown().await;
        while engine.is_busy() {
            tokio::time::sleep(KILL_PAUSE).await;
        }
    };
    tokio::pin!(answered);
    if tokio::time::timeout(IN_FLIGHT_TIMEOUT, &mut answered).await.is_ok() {
        return;
    }
    let killing = engine.clone();
    let killed = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        // one may only just be starting, or not notice at once
        while killing.is_busy() && began.elapsed() < KILLED_TIMEOUT {
            killing.kill_all();
            std::thread::sleep(KILL_PAUSE);
        }
    });
    let _panicked_if_not_ok = killed.await;
    let _client_does_not_read = tokio::time::timeout(IN_FLIGHT_TIMEOUT, answered).await;
}

/// An absolute path to a folder that is there: the engine resolves relative ones by rules of its own.
pub(in crate::embedded) fn prepared(data_dir: &Path) -> Result<PathBuf, OpenError> {
    let failed = |source| OpenError::DataDir { path: data_dir.to_owned(), source };
    std::fs::create_dir_all(data_dir).map_err(failed)?;
    data_dir.canonicalize().map_err(failed)
}

/// Closes a folder that others could open, whoever made it so. One that belongs to somebody else stays as it is.
fn make_private(data_dir: &Path) {
    if let Err(error) = std::fs::set_permissions(data_dir, std::fs::Permissions::from_mode(DATA_DIR_MODE)) {
        tracing::warn!(%error, path = %data_dir.display(), "the embedded clickhouse's folder may be open to other users");
    }
}

/// The first candidate that is there.
pub(in crate::embedded) fn find_library(candidates: &[PathBuf]) -> Result<PathBuf, OpenError> {
    let found = candidates.iter().find(|path| path.is_file());
    // a bare name is for the loader to find
    let found = found.or_else(|| candidates.iter().find(|path| path.components().count() == 1));
    let found = found.ok_or_else(|| {
        let looked_at: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
        OpenError::NoLibrary { looked_at: looked_at.join(", ") }
    })?;
    Ok(found.canonicalize().unwrap_or_else(|_bare_name| found.clone()))
}

fn confine(data_dir: &Path, library: &Path) -> Fence {
    let fence = sandbox::confine(data_dir, library, None);
    if fence.is_whole() {
        tracing::debug!(%fence, "embedded clickhouse is confined");
    } else {
        tracing::warn!(%fence, "embedded clickhouse is not wholly confined: SQL may reach out of it on this kernel");
    }
    fence
}

/// What the engine may allocate unless it is configured: a quarter of the machine's memory, at most 4 GiB, and no less than it
/// needs for the largest insert.
#[must_use]
pub fn memory_default() -> usize {
    // "MemTotal:       24094176 kB"
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<usize>().ok()
    });
    let share = |kib: usize| kib.saturating_mul(1024) / MEMORY_SHARE;
    total.map_or(MEMORY_MAX_BYTES_DEFAULT, |kib| share(kib).clamp(ENGINE_MEMORY_MIN, MEMORY_MAX_BYTES_DEFAULT))
}
