//! `millrace clickhouse`: the embedded ClickHouse alone, for a person or for the parent process that supervises it.

use super::ready::print_line;
use super::stop::signalled;
use crate::config::Config;
use crate::embedded;
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// What the Millrace that started this process writes to its standard input.
#[derive(Debug, Clone, Copy)]
pub struct Parent {
    /// The first line is the secret of the parent's own requests.
    pub own_stdin: bool,
    /// The next line is the password.
    pub password_stdin: bool,
}

/// Runs the embedded ClickHouse alone: until SIGTERM or SIGINT, or, for a parent, until standard input ends.
///
/// # Errors
/// If it fails to start.
pub async fn serve_clickhouse(
    config: &Config,
    data_dir: PathBuf,
    engine_settings: Option<PathBuf>,
    parent: Option<Parent>,
) -> anyhow::Result<()> {
    let mut engine = engine_config(config, data_dir)?;
    if let Some(file) = engine_settings {
        let read = std::fs::read_to_string(&file);
        engine.engine_settings = read.with_context(|| format!("failed to read {}", file.display()))?;
    }
    match parent {
        Some(parent) => serve_parent(engine, parent).await,
        None => serve_person(engine).await,
    }
}

async fn serve_parent(engine: embedded::Config, parent: Parent) -> anyhow::Result<()> {
    // a signal to the whole group (Ctrl-C, systemd) is the parent's matter: it still needs this engine
    let ignored = tokio::spawn(async { while signalled().await.is_ok() {} });
    let stdin = (parent.own_stdin, parent.password_stdin);
    let served = embedded::ChildCommand::serve_as_child(engine, stdin, CancellationToken::new()).await;
    ignored.abort();
    Ok(served?)
}

async fn serve_person(engine: embedded::Config) -> anyhow::Result<()> {
    let stopping = CancellationToken::new();
    let stop = stopping.clone().drop_guard();
    let (bound, address) = tokio::sync::oneshot::channel();
    let serving = tokio::spawn(embedded::run_server(engine, stopping, bound));
    if let Ok(bound) = address.await {
        print_line(&format!("ClickHouse listens on http://{}", bound.address));
        signalled().await?;
        drop(stop);
    }
    Ok(serving.await??)
}

/// Prints the rows of the Parquet file that standard input is.
///
/// # Errors
/// If the engine does not start, or the file cannot be read.
pub fn print_parquet_rows(library: Option<PathBuf>, scratch: &Path) -> anyhow::Result<()> {
    Ok(embedded::parquet::print_rows(&libraries(library)?, scratch)?)
}

/// Where libchdb may be.
fn libraries(configured: Option<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    let executable = std::env::current_exe().context("failed to find the path of this program")?;
    let here = std::env::current_dir().context("failed to find the current directory")?;
    Ok(embedded::library_candidates(configured, None, &executable, &here))
}

fn engine_config(config: &Config, data_dir: PathBuf) -> anyhow::Result<embedded::Config> {
    Ok(embedded::Config {
        listen: config.embedded.listen,
        data_dir,
        library: libraries(config.embedded.library.clone())?,
        memory_max_bytes: config.embedded.memory_max_bytes.map(|bytes| bytes.0),
        password: config.clickhouse.password.as_ref().map(|password| password.reveal().to_owned()),
        own_secret: None,
        engine_settings: String::new(),
        queries_max: config.embedded.queries_max,
    })
}
