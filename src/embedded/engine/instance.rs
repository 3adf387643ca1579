//! The engine on its data folder: opened once a process, connections for each request, queries found and killed.
//!
//! ```text
//! DATA_DIR/millrace.lock        held while the engine runs: one process a folder
//! DATA_DIR/user_files/          what `file('x')` reads and writes
//! DATA_DIR/tmp/                 spilled results; emptied at each start
//! DATA_DIR/{data,metadata,store,...}  the engine's own
//! ```

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::libchdb::{Connection, Library};
use super::settings::Settings;
use crate::embedded::wire::allowed;
use crate::embedded::wire::allowed::Parsed;
use crate::embedded::wire::errors::QueryError;
use crate::embedded::wire::statement;
use crate::locks::locked;
use crate::sql::code;
use crate::sql::quoted;

/// The folder of relative paths in SQL, inside the data folder.
pub(crate) const USER_FILES: &str = "user_files";
/// The engine of a parent that was killed lets go of the folder a moment after it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The library is nowhere.
    #[error("libchdb was not found at any of {looked_at}; `make libchdb` installs it")]
    NoLibrary {
        /// Every place, separated by commas.
        looked_at: String,
    },
    /// The library is there, but is not one that can be used.
    #[error("{path} is not a usable libchdb: {reason}")]
    Library {
        /// Which file.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// Another process has this data folder open.
    #[error("{0} is locked: another process uses this data folder")]
    Locked(PathBuf),
    /// The data folder cannot be used.
    #[error("{path} cannot be used")]
    DataDir {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The engine refuses the data folder; it prints why to standard error.
    #[error("the engine did not open {0} (its reason is on standard error)")]
    Refused(PathBuf),
    /// The engine starts, but answers nothing.
    #[error("the engine did not report its version: {0}")]
    Silent(String),
}

/// What the engine is opened with.
pub(crate) struct EngineConfig {
    pub(crate) data_dir: PathBuf,
    pub(crate) library: PathBuf,
    pub(crate) settings: Settings,
    /// What hides Millrace's own queries from others.
    pub(crate) own_secret: Option<String>,
}

/// The open engine.
pub(crate) struct Engine {
    library: &'static Library,
    arguments: Vec<CString>,
    pub(crate) tmp_dir: PathBuf,
    pub(crate) version: String,
    pub(crate) timezone: String,
    pub(crate) display_name: String,
    /// Client's query id -> the marker in the query's `log_comment`. Ids of running queries only.
    running: Mutex<HashMap<String, String>>,
    /// Every one that the engine knows.
    table_functions: Vec<String>,
    /// Keeps the engine up between requests: it stops when its last connection closes.
    _first: Mutex<Connection>,
    own_secret: Option<String>,
    _settings: Settings,
    _lock: File,
}

impl Engine {
    /// Opens the engine. Blocks: 0.1 s for an empty folder.
    pub(crate) fn open(config: EngineConfig) -> Result<Self, OpenError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| OpenError::DataDir { path, source }
        };
        let data_dir = &config.data_dir;
        let lock = lock(data_dir)?;
        let tmp_dir = data_dir.join("tmp");
        if tmp_dir.exists() {
            std::fs::remove_dir_all(&tmp_dir).map_err(failed(&tmp_dir))?;
        }
        std::fs::create_dir_all(&tmp_dir).map_err(failed(&tmp_dir))?;
        let library = Library::open(&config.library)
            .map_err(|error| OpenError::Library { path: config.library.clone(), reason: error.to_string() })?;
        let arguments = [
            "millrace".to_owned(),
            format!("--path={}", data_dir.display()),
            format!("--tmp_path={}/", tmp_dir.display()),
            format!("--config-file={}", config.settings.path().display()),
            // as the server has it: "selec" is a syntax error there, not a column
            "--implicit_select=0".to_owned(),
            // connections are refused by the sandbox: ten tries would only take two minutes to say so
            "--http_max_tries=1".to_owned(),
        ];
        let arguments: Vec<CString> =
            arguments.into_iter().map(CString::new).collect::<Result<_, _>>().map_err(|_nul| OpenError::DataDir {
                path: data_dir.clone(),
                source: io::Error::from(io::ErrorKind::InvalidFilename),
            })?;
        let first = library.connect(&arguments).ok_or_else(|| OpenError::Refused(data_dir.clone()))?;
        let [version, timezone, display_name] = about(&first)?;
        let table_functions = table_functions(&first)?;
        Ok(Self {
            library,
            arguments,
            tmp_dir,
            version,
            timezone,
            display_name,
            running: Mutex::default(),
            table_functions,
            _first: Mutex::new(first),
            own_secret: config.own_secret,
            _settings: config.settings,
            _lock: lock,
        })
    }

    /// A fresh session. Costs 0.2 ms.
    pub(crate) fn connect(&self) -> Result<Connection, QueryError> {
        self.library
            .connect(&self.arguments)
            .ok_or_else(|| QueryError::new(code::ABORTED, "The engine opens no connection"))
    }

    /// Lets the engine itself read a statement, and refuses it if it is or names what is not allowed. Runs nothing of it.
    ///
    /// On a connection of its own: settings of the one that will run it could cut short what is seen here.
    pub(crate) fn look_at(&self, statement: &str) -> Result<(), QueryError> {
        let connection = self.connect()?;
        let given = [("millrace_statement".to_owned(), escaped_parameter(statement))];
        // one statement, or an error; and no comments, no letter case and no quotes that are read in two ways
        let written = connection.query(WRITE_AGAIN.as_bytes(), "RawBLOB", &given);
        if let Some(error) = &written.error {
            return Err(QueryError::from_engine(&without_scope(error)));
        }
        let text = String::from_utf8_lossy(&written.bytes);
        let explain = format!("EXPLAIN AST {}", allowed::without_parameters(&text));
        let tree = connection.query(explain.as_bytes(), "TSVRaw", &[]);
        if let Some(error) = &tree.error {
            return Err(QueryError::from_engine(error));
        }
        let tree = String::from_utf8_lossy(&tree.bytes);
        allowed::check(&Parsed { text: &text, tree: &tree }, &self.table_functions)
    }

    /// A session that sees Millrace's own queries too.
    fn connect_as_owner(&self) -> Result<Connection, QueryError> {
        let connection = self.connect()?;
        if let Some(secret) = &self.own_secret {
            let owner = format!("SET log_comment = {}", quoted(&marked_comment("", secret)));
            let set = connection.query(owner.as_bytes(), "TabSeparated", &[]);
            if let Some(error) = set.error {
                return Err(QueryError::from_engine(&error));
            }
        }
        Ok(connection)
    }

    /// Notes a query under its client's id; false when one with that id runs already.
    pub(crate) fn note_running(&self, query_id: &str, marker: &str) -> bool {
        let mut running = self.running();
        if running.contains_key(query_id) {
            return false;
        }
        running.insert(query_id.to_owned(), marker.to_owned());
        true
    }

    pub(crate) fn note_finished(&self, query_id: &str) {
        self.running().remove(query_id);
    }

    /// Replaces the ids that clients gave to running queries by those that the engine gave them.
    pub(crate) fn with_engine_ids(&self, statement: &str) -> String {
        let running = self.running().clone();
        statement::replace_strings(statement, |literal| {
            let marker = running.get(literal)?;
            let connection = self.connect().ok()?;
            let find = format!("SELECT query_id FROM system.processes WHERE {} LIMIT 1", has_marker(marker));
            let id = String::from_utf8(connection.query(find.as_bytes(), "RawBLOB", &[]).bytes).ok()?;
            (!id.is_empty()).then_some(id)
        })
    }

    /// Asks the engine to stop the query with this marker; true when there was one.
    pub(crate) fn kill(&self, marker: &str) -> bool {
        let Ok(connection) = self.connect_as_owner() else { return false };
        let kill = format!("KILL QUERY WHERE {} ASYNC", has_marker(marker));
        !connection.query(kill.as_bytes(), "TabSeparated", &[]).bytes.is_empty()
    }

    /// Asks the engine to stop every query but this one.
    pub(crate) fn kill_all(&self) {
        if let Ok(connection) = self.connect_as_owner() {
            let _what_was_killed = connection.query(b"KILL QUERY WHERE 1 ASYNC", "TabSeparated", &[]);
        }
    }

    /// Whether a client's query runs.
    pub(crate) fn is_busy(&self) -> bool {
        !self.running().is_empty()
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, String>> {
        locked(&self.running)
    }
}

/// The `log_comment` of a query: the client's own, if any, and what finds the query among the running ones. (Its text
/// would not do: a statement with parameters is listed as the engine prints it, without comments. Nor does chdb let a
/// query's id be chosen.)
pub(crate) fn marked_comment(comment: &str, marker: &str) -> String {
    format!("{comment}{}millrace:{marker}", if comment.is_empty() { "" } else { " " })
}

fn has_marker(marker: &str) -> String {
    format!("endsWith(Settings['log_comment'], 'millrace:{marker}')")
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("millrace.lock");
    let failed = |source| OpenError::DataDir { path: path.clone(), source };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_TIMEOUT => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked(dir.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
}

const WRITE_AGAIN: &str = "SELECT formatQuerySingleLine({millrace_statement:String})";

/// As the engine reads a parameter. Source: ClickHouse `ReplaceQueryParameterVisitor`, `readEscapedString`.
fn escaped_parameter(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
}

/// The error without the statement of ours that it happened in; the name of its code stays.
fn without_scope(error: &str) -> String {
    let Some((what, ours)) = error.split_once(": In scope SELECT formatQuerySingleLine") else {
        return error.to_owned();
    };
    let name = ours.rfind('(').and_then(|at| ours.get(at..)).map_or("", str::trim_end);
    format!("{} {name}", what.trim_end())
}

fn table_functions(connection: &Connection) -> Result<Vec<String>, OpenError> {
    let asked = connection.query(b"SELECT name FROM system.table_functions", "TabSeparatedRaw", &[]);
    match asked.error {
        Some(error) => Err(OpenError::Silent(error)),
        None => Ok(String::from_utf8_lossy(&asked.bytes).lines().map(str::to_owned).collect()),
    }
}

fn about(connection: &Connection) -> Result<[String; 3], OpenError> {
    let asked = connection.query(b"SELECT version(), timezone(), displayName()", "TabSeparatedRaw", &[]);
    let text = String::from_utf8_lossy(&asked.bytes).trim_end().to_owned();
    let fields: Vec<String> = text.split('\t').map(str::to_owned).collect();
    fields.try_into().map_err(|_other| {
        OpenError::Silent(match asked.error {
            Some(error) => error,
            None => text,
        })
    })
}
