//! Rows of a Parquet file as lines of JSON, read by the engine in a process of its own.
//!
//! ```text
//! parent  opens the file ──stdin──▶ child: `millrace parquet-rows` ──stdout, a row a line──▶ parent
//! ```
//!
//! The child runs one statement, which is written here: no SQL and no path of anybody reaches it. It is fenced like the engine of
//! the service, and may read the one file that it has open already. The engine of the service has no part in it.

use super::engine::instance::{Engine, EngineConfig, OpenError, USER_FILES};
use super::engine::sandbox;
use super::engine::settings::{Limits, Settings};
use super::server::listener::{find_library, prepared};
use crate::random;
use bytes::Bytes;
use rustix::fs::Mode;
use rustix::process::umask;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// What the engine may allocate for it.
const MEMORY_MAX_BYTES: usize = 1 << 30;
/// Bytes that are read of the child at once, and pieces that wait.
const PIECE_BYTES: usize = 64 << 10;
const PIECES_MAX: usize = 4;
/// Of what the child says when it fails.
const REASON_BYTES_MAX: u64 = 4 << 10;
/// What its reason begins with.
const ERROR_PREFIX: &str = "millrace: ";
/// Rows in the order of the file, so that the same file gives the same bytes.
const ROWS: &str = "SELECT * FROM file('/proc/self/fd/0', Parquet) INTO OUTFILE '/proc/self/fd/1' APPEND FORMAT JSONEachRow \
     SETTINGS input_format_parquet_preserve_order = 1, input_format_parquet_skip_columns_with_unsupported_types_in_schema_inference = 1, \
     max_threads = 2, max_block_size = 2048, output_format_json_quote_64bit_integers = 0, output_format_json_validate_utf8 = 1, \
     date_time_output_format = 'iso', session_timezone = 'UTC'";

/// How the child is started.
#[derive(Debug, Clone)]
pub struct Reader {
    /// This very program: its command `parquet-rows` must end up in [`print_rows`].
    pub executable: PathBuf,
    /// libchdb, where it is configured.
    pub library: Option<PathBuf>,
    /// Where the child has its folder, while it runs.
    pub scratch: PathBuf,
}

impl Reader {
    /// Starts the child on a file that is open; pieces of lines, and an error as the last one if it fails.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn rows(&self, file: File) -> io::Result<mpsc::Receiver<io::Result<Bytes>>> {
        let folder = Scratch(self.scratch.join(format!("millrace-parquet-{}", random::letters())));
        let mut command = Command::new(&self.executable);
        command.arg("parquet-rows").arg("--scratch").arg(&folder.0);
        if let Some(library) = &self.library {
            command.arg("--library").arg(library);
        }
        command.env_clear().stdin(file).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn()?;
        let (pieces, rows) = mpsc::channel(PIECES_MAX);
        tokio::spawn(async move {
            if let Err(error) = pass_on(child, &pieces).await {
                let _reader_gone = pieces.send(Err(error)).await;
            }
            drop(folder);
        });
        Ok(rows)
    }
}

/// The child's folder, which goes with it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %self.0.display(), "a folder of the reader of Parquet cannot be removed");
        }
    }
}

/// Passes on what the child prints; how it ended, if that was no good end.
async fn pass_on(mut child: Child, pieces: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let (Some(mut rows), Some(said)) = (child.stdout.take(), child.stderr.take()) else { return Ok(()) };
    let said = tokio::spawn(async move {
        let mut reason = Vec::new();
        let _broken_pipe = said.take(REASON_BYTES_MAX).read_to_end(&mut reason).await;
        String::from_utf8_lossy(&reason).into_owned()
    });
    loop {
        let mut piece = bytes::BytesMut::with_capacity(PIECE_BYTES);
        if rows.read_buf(&mut piece).await? == 0 {
            break;
        }
        if pieces.send(Ok(piece.freeze())).await.is_err() {
            return child.kill().await;
        }
    }
    let status = child.wait().await?;
    if status.success() {
        return Ok(());
    }
    let said = said.await.unwrap_or_default();
    let reason = said.lines().find_map(|line| line.strip_prefix(ERROR_PREFIX)).unwrap_or(said.trim());
    Err(io::Error::other(if reason.is_empty() { status.to_string() } else { reason.to_owned() }))
}

/// Why no rows are printed.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The engine does not start.
    #[error("reading Parquet needs the embedded ClickHouse: {0}")]
    Open(#[from] OpenError),
    /// The file cannot be read.
    #[error("it cannot be read as Parquet: {0}")]
    Read(String),
    /// The thread of the engine does not start, or panicked.
    #[error("the reader of Parquet did not start")]
    Thread,
}

/// Runs in the child: prints the rows of the file that standard input is.
///
/// # Errors
/// If the engine does not start or the file cannot be read.
pub fn print_rows(library: &[PathBuf], scratch: &Path) -> Result<(), RowsError> {
    // the fence holds for the thread that puts it up and those that it begets
    std::thread::scope(|scope| scope.spawn(|| print_confined(library, scratch)).join())
        .map_err(|_| RowsError::Thread)?
}

fn print_confined(library: &[PathBuf], scratch: &Path) -> Result<(), RowsError> {
    // rows may be spilled there: they are this user's alone
    let _mask_before = umask(Mode::RWXG | Mode::RWXO);
    let data_dir = prepared(scratch)?;
    let library = find_library(library)?;
    let limits = Limits { memory_max_bytes: MEMORY_MAX_BYTES };
    let settings = Settings::write(&limits, &data_dir.join(USER_FILES), None, "");
    let settings = settings.map_err(|source| OpenError::DataDir { path: data_dir.clone(), source })?;
    let _logged_if_not_whole = sandbox::confine(&data_dir, &library, Some(io::stdin().as_fd()));
    let engine = Engine::open(EngineConfig { data_dir, library, settings, own_secret: None })?;
    let connection = engine.connect().map_err(|error| RowsError::Read(error.to_string()))?;
    match connection.query(ROWS.as_bytes(), "JSONEachRow", &[]).error {
        Some(error) => Err(RowsError::Read(short(&error))),
        None => Ok(()),
    }
}

/// `Code: 36. DB::Exception: what is wrong: (in file/uri ...): While executing ...`: the part that a person can use.
fn short(error: &str) -> String {
    let what = error.split_once("DB::Exception: ").map_or(error, |(_, what)| what);
    let line = what.lines().next().map_or("", |line| line);
    crate::text::cut(line, 300).to_owned()
}
