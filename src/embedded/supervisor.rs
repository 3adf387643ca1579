//! The parent's side: the embedded ClickHouse as a child process that is started, watched, restarted and stopped.
//!
//! ```text
//! start ──ready line on stdout──> up ──exits──> wait (0.2 s, doubling to 10 s) ──> start
//!   │                              └ shutdown: its stdin is closed, it stops by itself; killed after 15 s
//!   └ before it was ever up: exits with 78, or for the 5th time ──> NeverStarted
//! ```
//!
//! The child holds the reading end of a pipe as its stdin and stops when that ends: it cannot outlive its parent,
//! however that dies.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin};

use super::config::Config;
use super::engine::sandbox::Fence;
use super::server::listener::{Bound, ServeError, run_server};
use tokio_util::sync::CancellationToken;

const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A child that lived this long was well: the next wait is short again.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// Opening a large data folder takes a while, and nothing is gained by killing it.
const READY_TIMEOUT: Duration = Duration::from_secs(600);
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// What the child exits with when another start would fail as well. Source: `EX_CONFIG` of sysexits.h.
pub const EXIT_PERMANENT: u8 = 78;
/// A first start is given up after this many tries, whatever they fail of.
const FIRST_STARTS_MAX: usize = 5;
/// The end of a dead child's standard error is there at once, unless somebody else holds the pipe.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);
/// What the child's error line begins with.
const ERROR_PREFIX: &str = "millrace: ";
/// What the child prints once it answers, followed by its address, and after a semicolon by the state of its fence.
const READY_PREFIX: &str = "millrace clickhouse listens on ";

/// How the child is started: the executable and its arguments. It must end up in [`serve_as_child`]. Its
/// environment is empty: the parent's holds secrets, and the engine's SQL can read its own.
///
/// [`serve_as_child`]: ChildCommand::serve_as_child
#[derive(Clone)]
pub struct ChildCommand {
    /// This very program, usually.
    pub executable: PathBuf,
    /// `clickhouse --parent-watch ...`, with `--password-stdin` if there is a password, `--own-stdin` if there is a secret.
    pub arguments: Vec<String>,
    /// The first line of the child's stdin.
    pub own_secret: Option<String>,
    /// The next one.
    pub password: Option<String>,
}

/// What happens to the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supervised {
    /// It answers.
    Up(Bound),
    /// It is gone, and will be started again.
    Down,
}

impl ChildCommand {
    /// Runs in the child: reads its secrets from the first lines of stdin if it is to, says the address
    /// on stdout once it is known, stops when stdin ends.
    ///
    /// # Errors
    ///
    /// As [`run_server`].
    pub async fn serve_as_child(
        mut config: Config,
        (own_stdin, password_stdin): (bool, bool),
        stop: CancellationToken,
    ) -> Result<(), ServeError> {
        for (wanted, secret) in [(own_stdin, &mut config.own_secret), (password_stdin, &mut config.password)] {
            if wanted {
                // without the line, the parent died before it was written: never serve unguarded
                let Some(line) = tokio::task::spawn_blocking(first_line).await.ok().flatten() else { return Ok(()) };
                *secret = Some(line);
            }
        }
        let shutdown = CancellationToken::new();
        let trigger = shutdown.clone().drop_guard();
        let (bound, bound_to) = tokio::sync::oneshot::channel();
        let parent = tokio::spawn(async move {
            tokio::select! {
                () = parent_gone() => {}
                () = stop.cancelled() => {}
            }
            drop(trigger);
        });
        let ready = tokio::spawn(async move {
            if let Ok(Bound { address, fence }) = bound_to.await {
                // a parent that does not read is gone: stdin says so
                let _reader_gone = writeln!(std::io::stdout(), "{READY_PREFIX}{address}; {fence}");
            }
        });
        let served = run_server(config, shutdown, bound).await;
        parent.abort();
        ready.abort();
        served
    }
}

fn first_line() -> Option<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).ok()?;
    line.strip_suffix('\n').map(str::to_owned)
}

/// Waits on a thread of its own, which nobody joins: a read of stdin cannot be called off.
async fn parent_gone() {
    let (gone, told) = tokio::sync::oneshot::channel();
    let watcher = std::thread::Builder::new().name("parent-watch".to_owned()).spawn(move || {
        let _ended_or_broken = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _stopping_already = gone.send(());
    });
    if watcher.is_ok() {
        let _thread_panicked = told.await;
    }
}

/// The child was never up, and starting it again does not help.
#[derive(Debug, thiserror::Error)]
#[error("the embedded ClickHouse cannot start: {reason}")]
pub struct NeverStarted {
    /// What the child said last.
    pub reason: String,
}

/// Keeps the child running until `shutdown`; calls `on_change` once for every change.
///
/// Safe to cancel: the child is killed with it.
///
/// # Errors
///
/// If it cannot be started for the first time. After it was up once, it is always started again.
pub async fn supervise(
    command: ChildCommand,
    mut shutdown: CancellationToken,
    on_change: impl Fn(Supervised) + Send + Sync,
) -> Result<(), NeverStarted> {
    let mut backoff = BACKOFF_MIN;
    let mut ever_up = false;
    let mut failed_starts = 0_usize;
    let mut logged = String::new();
    while !shutdown.is_cancelled() {
        let began = Instant::now();
        // what a start says is forwarded once, not each time it fails again
        let forward = Arc::new(AtomicBool::new(failed_starts == 0));
        let Some(ended) = run_once(&command, &mut shutdown, &on_change, forward).await else { return Ok(()) };
        ever_up |= ended.was_up;
        failed_starts = if ended.was_up { 0 } else { failed_starts.saturating_add(1) };
        if !ever_up && (ended.permanent || failed_starts >= FIRST_STARTS_MAX) {
            return Err(NeverStarted { reason: ended.why });
        }
        on_change(Supervised::Down);
        if ended.was_up || ended.why != logged {
            tracing::error!(reason = %ended.why, "embedded clickhouse is down; it is started again");
            logged = ended.why;
        }
        if began.elapsed() > WELL_AFTER {
            backoff = BACKOFF_MIN;
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(backoff) => {}
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
    Ok(())
}

struct Ended {
    was_up: bool,
    permanent: bool,
    why: String,
}

/// One life of the child; `None` when it ended because it was told to.
async fn run_once(
    command: &ChildCommand,
    shutdown: &mut CancellationToken,
    on_change: &(impl Fn(Supervised) + Send + Sync),
    forward: Arc<AtomicBool>,
) -> Option<Ended> {
    let mut child = match start(command) {
        Ok(child) => child,
        Err(error) => {
            return Some(Ended { was_up: false, permanent: false, why: format!("cannot run the program: {error}") });
        }
    };
    // held open while the child is to live; `Child::wait` would close it
    let mut stdin = child.stdin.take();
    let secrets = command.own_secret.iter().chain(&command.password).map(|secret| format!("{secret}\n"));
    if let Some(stdin) = &mut stdin {
        // fits into the pipe; how a child that is gone already ended is seen below
        let _gone_already = stdin.write_all(secrets.collect::<String>().as_bytes()).await;
    }
    let stdout = child.stdout.take();
    let mut said = tokio::spawn(last_words(child.stderr.take(), forward.clone()));
    let up = tokio::select! {
        () = shutdown.cancelled() => return stop(child, stdin).await,
        up = tokio::time::timeout(READY_TIMEOUT, ready(stdout)) => up.ok().flatten(),
    };
    if let Some(bound) = up {
        forward.store(true, Ordering::Release);
        on_change(Supervised::Up(bound));
        tracing::info!(address = %bound.address, fence = %bound.fence, "embedded clickhouse is up");
    } else if let Ok(None) = child.try_wait() {
        // it answers nothing and does not end by itself, or is about to
        let ends = tokio::time::timeout(LAST_WORDS_TIMEOUT, child.wait()).await;
        if ends.is_err() {
            let _ended_meanwhile = child.start_kill();
        }
    }
    let status = tokio::select! {
        () = shutdown.cancelled() => return stop(child, stdin).await,
        status = child.wait() => status,
    };
    let said = tokio::time::timeout(LAST_WORDS_TIMEOUT, &mut said).await;
    let said = said.ok().and_then(Result::ok).flatten();
    let permanent = status.as_ref().is_ok_and(|status| status.code() == Some(i32::from(EXIT_PERMANENT)));
    Some(Ended { was_up: up.is_some(), permanent, why: said.unwrap_or_else(|| describe(status)) })
}

/// Passes on what the child says on standard error; at its end, gives the error it ended with. That line is not passed
/// on: whoever supervises says it.
async fn last_words(stderr: Option<ChildStderr>, forward: Arc<AtomicBool>) -> Option<String> {
    let mut lines = BufReader::new(stderr?).split(b'\n');
    let mut error = None;
    while let Ok(Some(line)) = lines.next_segment().await {
        let text = String::from_utf8_lossy(&line);
        if let Some(said) = text.strip_prefix(ERROR_PREFIX) {
            error = Some(said.to_owned());
        } else if forward.load(Ordering::Acquire) {
            let _nobody_reads = writeln!(std::io::stderr(), "{text}");
        }
    }
    error
}

fn start(command: &ChildCommand) -> std::io::Result<Child> {
    tokio::process::Command::new(&command.executable)
        .args(&command.arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// Waits for the line that says where it listens. The pipe is closed then; the child prints nothing more to it.
async fn ready(stdout: Option<tokio::process::ChildStdout>) -> Option<Bound> {
    let mut lines = BufReader::new(stdout?).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(said) = line.strip_prefix(READY_PREFIX) {
            let (address, fence) = said.split_once("; ")?;
            return Some(Bound { address: address.parse().ok()?, fence: Fence::parse(fence)? });
        }
    }
    None
}

async fn stop(mut child: Child, stdin: Option<ChildStdin>) -> Option<Ended> {
    drop(stdin);
    if tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        tracing::warn!("embedded clickhouse did not stop in time; it is killed");
        let _gone_already = child.kill().await;
    }
    None
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}
