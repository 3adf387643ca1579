//! Rows of a Parquet file as lines of JSON, read by the engine in a process of its own.
//!
//! ```text
//! parent  opens the file ──stdin──▶ child: `millrace parquet-rows` ──stdout, a row a line──▶ parent
//! ```
//!
//! The child runs statements that are written here: no SQL and no path of anybody reaches it. It is fenced like the engine of
//! the service, and may read the one file that it has open already. The engine of the service has no part in it.
//! Lines on its standard error that begin with `note: ` are for whoever imports the file.

use super::engine::instance::{Engine, EngineConfig, OpenError, USER_FILES};
use super::engine::libchdb::Connection;
use super::engine::sandbox::{self, Fence};
use super::engine::settings::{Limits, Settings};
use super::server::listener::{find_library, prepared};
use crate::locks::locked;
use crate::random;
use crate::text::on_one_line;
use bytes::Bytes;
use rustix::fs::Mode;
use rustix::process::umask;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::mpsc;

/// What the engine may allocate for it.
const MEMORY_MAX_BYTES: usize = 1 << 30;
/// Bytes that are read of the child at once, and pieces that wait.
const PIECE_BYTES: usize = 64 << 10;
const PIECES_MAX: usize = 4;
/// So much is read of what the child says beside the rows.
const SAID_BYTES_MAX: u64 = 16 << 10;
/// What the reason begins with for which it failed, and a note.
const ERROR_PREFIX: &str = "millrace: ";
const NOTE_PREFIX: &str = "note: ";
/// Columns that a note names.
const COLUMNS_NAMED_MAX: usize = 50;
/// Letters of a name that are said.
const NAME_LETTERS_MAX: usize = 200;
/// The columns whose types the engine reads, and whether it reads all.
const COLUMNS_READ: &str = "DESCRIBE file('/proc/self/fd/0', Parquet) \
     SETTINGS input_format_parquet_skip_columns_with_unsupported_types_in_schema_inference = 1";
const COLUMNS_ALL_READ: &str = "DESCRIBE file('/proc/self/fd/0', Parquet)";
/// All columns, those in structures by their paths, `a.b`.
const PATHS: &str = "SELECT arrayJoin(columns.path) AS name FROM file('/proc/self/fd/0', ParquetMetadata)";
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

/// The rows of a file, as they are read.
#[derive(Debug)]
pub struct Rows {
    /// Pieces of lines, and an error as the last one if the child fails. The child ends when this is dropped.
    pub pieces: mpsc::Receiver<io::Result<Bytes>>,
    /// What should be known of the reading.
    pub notes: Notes,
}

/// What the child says of its reading. All of it is here once the last piece is.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    /// Takes them out.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.0))
    }

    fn add(&self, said: &str) {
        locked(&self.0).extend(said.lines().filter_map(|line| line.strip_prefix(NOTE_PREFIX)).map(str::to_owned));
    }
}

impl Reader {
    /// Starts the child on a file that is open.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn rows(&self, file: File) -> io::Result<Rows> {
        let folder = Scratch(self.scratch.join(format!("millrace-parquet-{}", random::letters())));
        let mut command = Command::new(&self.executable);
        command.arg("parquet-rows").arg("--scratch").arg(&folder.0);
        if let Some(library) = &self.library {
            command.arg("--library").arg(library);
        }
        command.env_clear().stdin(file).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn()?;
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let notes = Notes::default();
        let heard = notes.clone();
        tokio::spawn(async move {
            if let Err(error) = pass_on(child, &sender, &heard).await {
                let _reader_gone = sender.send(Err(error)).await;
            }
            drop(folder);
        });
        Ok(Rows { pieces, notes })
    }
}

/// The child's folder. Both the child and its parent remove it when the child is done.
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

/// Passes on what the child prints, until nobody reads it; why the child failed, if it did.
async fn pass_on(mut child: Child, pieces: &mpsc::Sender<io::Result<Bytes>>, notes: &Notes) -> io::Result<()> {
    let (Some(mut rows), Some(said)) = (child.stdout.take(), child.stderr.take()) else { return Ok(()) };
    let said = tokio::spawn(all_said(said));
    loop {
        let mut piece = bytes::BytesMut::with_capacity(PIECE_BYTES);
        let read = tokio::select! {
            read = rows.read_buf(&mut piece) => read?,
            () = pieces.closed() => return child.kill().await,
        };
        if read == 0 {
            break;
        }
        if pieces.send(Ok(piece.freeze())).await.is_err() {
            return child.kill().await;
        }
    }
    let status = tokio::select! {
        status = child.wait() => status?,
        () = pieces.closed() => return child.kill().await,
    };
    let said = said.await.unwrap_or_default();
    notes.add(&said);
    if status.success() {
        return Ok(());
    }
    let reason = said.lines().find_map(|line| line.strip_prefix(ERROR_PREFIX)).unwrap_or(said.trim());
    Err(io::Error::other(if reason.is_empty() { status.to_string() } else { reason.to_owned() }))
}

/// The first part of what a child says. The rest is read too, so that the child does not wait for its reader.
async fn all_said(mut said: ChildStderr) -> String {
    let mut first = Vec::new();
    let _broken_pipe = (&mut said).take(SAID_BYTES_MAX).read_to_end(&mut first).await;
    let _broken_pipe = tokio::io::copy(&mut said, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&first).into_owned()
}

/// Why no rows are printed.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The engine does not start.
    #[error("reading Parquet needs the embedded ClickHouse")]
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
    // a parent that was killed does not remove it
    let _removed_at_the_end = Scratch(scratch.to_owned());
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
    let fence = sandbox::confine(&data_dir, &library, Some(io::stdin().as_fd()));
    say(of_fence(fence));
    let engine = Engine::open(EngineConfig { data_dir, library, settings, own_secret: None })?;
    let connection = engine.connect().map_err(|error| RowsError::Read(error.to_string()))?;
    say(of_columns(&connection));
    match connection.query(ROWS.as_bytes(), "JSONEachRow", &[]).error {
        Some(error) => Err(RowsError::Read(short(&error))),
        None => Ok(()),
    }
}

fn say(note: Option<String>) {
    if let Some(note) = note {
        let _parent_gone = writeln!(io::stderr(), "{NOTE_PREFIX}{note}");
    }
}

/// Where the kernel lacks a part of the fence, the engine of the service runs and says so; so does this one.
fn of_fence(fence: Fence) -> Option<String> {
    let is_partial = !fence.is_whole();
    is_partial.then(|| {
        format!(
            "what reads Parquet is not wholly confined on this kernel ({fence}): import files of senders that you trust"
        )
    })
}

/// Which columns the engine leaves out because it cannot read their types.
fn of_columns(connection: &Connection) -> Option<String> {
    let why = connection.query(COLUMNS_ALL_READ.as_bytes(), "JSONEachRow", &[]).error?;
    let names = |statement: &str| {
        let answer = connection.query(statement.as_bytes(), "JSONEachRow", &[]);
        answer.error.is_none().then(|| names_in(&answer.bytes))
    };
    // a file of which nothing can be read fails when its rows are
    let read = names(COLUMNS_READ)?;
    let mut missing = names(PATHS).unwrap_or_default();
    missing.retain(|path| !is_within(path, &read));
    missing.iter_mut().for_each(|path| *path = on_one_line(path, NAME_LETTERS_MAX));
    missing.dedup();
    if missing.is_empty() {
        let why = why.rsplit_once("DB::Exception: ").map_or(why.as_str(), |(_, why)| why);
        return Some(format!("columns are left out that the engine cannot read: {}", short(why)));
    }
    let more = missing.len().saturating_sub(COLUMNS_NAMED_MAX);
    missing.truncate(COLUMNS_NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("columns are left out whose types the engine cannot read: {}{more}", missing.join(", ")))
}

/// The member `name` of each line.
fn names_in(lines: &[u8]) -> Vec<String> {
    let rows = lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    rows.filter_map(|row| row.get("name").and_then(Value::as_str).map(str::to_owned)).collect()
}

/// Whether a path is one of the columns, or in one. Names of columns may have dots themselves.
fn is_within(path: &str, columns: &[String]) -> bool {
    columns.iter().any(|column| path.strip_prefix(column).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// `Code: 36. DB::Exception: what is wrong: (in file/uri ...): While executing ...`: the part that a person can use.
fn short(error: &str) -> String {
    let what = error.split_once("DB::Exception: ").map_or(error, |(_, what)| what);
    let line = what.lines().next().unwrap_or_default();
    crate::text::cut(line, 300).to_owned()
}

#[cfg(test)]
pub(crate) mod testing {
    use std::io::Write as _;
    use std::path::Path;
    use std::process::{Command, Stdio};

    /// Writes a script of the shell that can be executed. Another process writes it: while this one has a file open for writing, a
    /// child that another thread starts inherits it, and until that child executes its own program the script cannot be executed
    /// (`ETXTBSY`).
    pub(crate) fn write_script(path: &Path, script: &str) {
        let mut install = Command::new("install");
        install.args(["-m", "700", "/dev/stdin"]).arg(path).stdin(Stdio::piped());
        let mut install = install.spawn().unwrap();
        write!(install.stdin.take().unwrap(), "#!/bin/sh\n{script}\n").unwrap();
        assert!(install.wait().unwrap().success(), "{}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::engine::sandbox::Enforcement;
    use std::fs;

    /// A program that stands in for the child.
    fn program(folder: &Path, script: &str) -> Reader {
        let executable = folder.join("child");
        testing::write_script(&executable, script);
        Reader { executable, library: None, scratch: folder.to_owned() }
    }

    async fn waited_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
        loop {
            match found() {
                Some(found) => return found,
                None => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
    }

    #[tokio::test]
    async fn a_child_whose_rows_nobody_reads_any_more_ends_although_it_prints_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // its folder is the third argument: beside it is its id
        let reader = program(folder.path(), "echo $$ > \"$3.pid\"; mv \"$3.pid\" \"${3%/*}/pid\"; exec sleep 3600");
        let rows = reader.rows(File::open("/dev/null").unwrap()).unwrap();
        let id = waited_for(|| fs::read_to_string(folder.path().join("pid")).ok()).await;
        let process = PathBuf::from(format!("/proc/{}", id.trim()));
        assert!(process.exists());
        drop(rows);
        waited_for(|| (!process.exists()).then_some(())).await;
    }

    #[tokio::test]
    async fn notes_are_there_with_the_last_piece_whether_the_child_fails_or_not() {
        let folder = tempfile::tempdir().unwrap();
        for (code, failure) in [(0, None), (1, Some("it is broken"))] {
            let script = format!("echo 'note: one' >&2; echo '{{}}'; echo 'millrace: it is broken' >&2; exit {code}");
            let mut rows = program(folder.path(), &script).rows(File::open("/dev/null").unwrap()).unwrap();
            assert_eq!(rows.pieces.recv().await.unwrap().unwrap(), "{}\n");
            let last = rows.pieces.recv().await.map(|piece| piece.unwrap_err().to_string());
            assert_eq!((last.as_deref(), rows.notes.take()), (failure, vec!["one".to_owned()]));
        }
    }

    #[test]
    fn a_fence_that_is_not_whole_is_noted() {
        let fence = |files| Fence { files, calls: Enforcement::Full };
        assert_eq!(of_fence(fence(Enforcement::Full)), None);
        let note = of_fence(fence(Enforcement::Partly)).unwrap();
        assert!(note.contains("not wholly confined on this kernel (files partial, calls full)"), "{note}");
    }

    #[test]
    fn a_path_is_within_a_column_whose_name_may_have_dots() {
        let columns = ["id", "context.trace_id", "nested"].map(str::to_owned);
        for path in ["id", "context.trace_id", "nested.a.b"] {
            assert!(is_within(path, &columns), "{path}");
        }
        for path in ["identity", "context", "context.span_id", "nest"] {
            assert!(!is_within(path, &columns), "{path}");
        }
    }
}
