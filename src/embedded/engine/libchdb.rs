//! libchdb, the ClickHouse engine as a shared library: opened at run time, behind a safe API.
//!
//! ```text
//! Library::open -> &'static Library     dlopen, once a process; never closed, its threads live on
//!    └ Connection                       a session of its own: settings, current database, temporary tables
//!        ├ query    one statement; what it prints comes back as bytes (results of any size: see `run.rs`)
//!        └ insert   one INSERT whose rows are appended in pieces
//! ```
//!
//! Every call blocks: call it on a blocking thread. Source of the declarations: chdb-core `programs/local/chdb.h`, 26.7.

#![expect(unsafe_code, reason = "the one binding to a C library, opened at run time; everything it exports is safe")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::NonNull;

use crate::embedded::wire::claim::{Analysis, QueryClass};

type RawConnection = *mut c_void;
type RawResult = *mut c_void;
type RawInsert = *mut c_void;

/// The functions this service calls, each as declared in `chdb.h`.
pub(crate) struct Library {
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut RawConnection,
    close: unsafe extern "C" fn(*mut RawConnection),
    query: unsafe extern "C" fn(
        RawConnection,
        *const c_char,
        usize,
        *const c_char,
        usize,
        *const *const c_char,
        *const usize,
        *const *const c_char,
        *const usize,
        usize,
    ) -> RawResult,
    classify:
        unsafe extern "C" fn(RawConnection, *const c_char, usize, *const c_char, usize, *mut RawAnalysis) -> c_int,
    insert: unsafe extern "C" fn(RawConnection, *const c_char, usize, *const c_char, usize) -> RawInsert,
    insert_append: unsafe extern "C" fn(RawInsert, *const c_void, usize) -> c_int,
    insert_done: unsafe extern "C" fn(RawInsert) -> RawResult,
    insert_error: unsafe extern "C" fn(RawInsert) -> *const c_char,
    insert_destroy: unsafe extern "C" fn(RawInsert),
    result_destroy: unsafe extern "C" fn(RawResult),
    result_buffer: unsafe extern "C" fn(RawResult) -> *const c_char,
    result_length: unsafe extern "C" fn(RawResult) -> usize,
    result_error: unsafe extern "C" fn(RawResult) -> *const c_char,
    result_elapsed: unsafe extern "C" fn(RawResult) -> f64,
    result_rows: unsafe extern "C" fn(RawResult) -> u64,
    result_bytes: unsafe extern "C" fn(RawResult) -> u64,
    storage_rows: unsafe extern "C" fn(RawResult) -> u64,
    storage_bytes: unsafe extern "C" fn(RawResult) -> u64,
    rows_written: unsafe extern "C" fn(RawResult) -> u64,
    bytes_written: unsafe extern "C" fn(RawResult) -> u64,
}

/// Why the library cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", with_causes(.0))]
pub(crate) struct LibraryError(#[from] libloading::Error);

/// The loader's own words are the cause, not the error.
fn with_causes(error: &libloading::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl Library {
    /// Opens the shared library and keeps it for the life of the process.
    pub(crate) fn open(path: &Path) -> Result<&'static Self, LibraryError> {
        // SAFETY: the operator names the file and vouches for it being libchdb; its initialisers ask nothing of us.
        let library = unsafe { libloading::Library::new(path) }?;
        let library: &'static libloading::Library = Box::leak(Box::new(library));
        // SAFETY: declared in chdb.h as `void (int)`; called before any other function, as it asks to be.
        unsafe {
            let quiet = library.get::<unsafe extern "C" fn(c_int)>(b"chdb_set_signal_handlers_enabled\0")?;
            quiet(0);
        }
        Ok(Box::leak(Box::new(Self::resolve(library)?)))
    }

    fn resolve(library: &'static libloading::Library) -> Result<Self, LibraryError> {
        macro_rules! function {
            ($name:literal) => {{
                // SAFETY: the field this goes into has the type that chdb.h declares under this name.
                let symbol = unsafe { library.get($name) }?;
                *symbol
            }};
        }
        Ok(Self {
            connect: function!(b"chdb_connect\0"),
            close: function!(b"chdb_close_conn\0"),
            query: function!(b"chdb_query_with_params_n\0"),
            classify: function!(b"chdb_classify_query_n\0"),
            insert: function!(b"chdb_stream_insert_n\0"),
            insert_append: function!(b"chdb_stream_append\0"),
            insert_done: function!(b"chdb_stream_done\0"),
            insert_error: function!(b"chdb_stream_insert_error\0"),
            insert_destroy: function!(b"chdb_destroy_insert_stream\0"),
            result_destroy: function!(b"chdb_destroy_query_result\0"),
            result_buffer: function!(b"chdb_result_buffer\0"),
            result_length: function!(b"chdb_result_length\0"),
            result_error: function!(b"chdb_result_error\0"),
            result_elapsed: function!(b"chdb_result_elapsed\0"),
            result_rows: function!(b"chdb_result_rows_read\0"),
            result_bytes: function!(b"chdb_result_bytes_read\0"),
            storage_rows: function!(b"chdb_result_storage_rows_read\0"),
            storage_bytes: function!(b"chdb_result_storage_bytes_read\0"),
            rows_written: function!(b"chdb_result_rows_written\0"),
            bytes_written: function!(b"chdb_result_bytes_written\0"),
        })
    }

    /// Opens a connection; the first one boots the engine with these arguments. `None` when the engine refuses, and
    /// it does not say why (it prints the reason to standard error).
    pub(crate) fn connect(&'static self, arguments: &[CString]) -> Option<Connection> {
        let mut pointers: Vec<*mut c_char> = arguments.iter().map(|text| text.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `count` NUL-terminated strings that outlive the call; chdb copies them and does not write to them.
        let handle = unsafe { (self.connect)(count, pointers.as_mut_ptr()) };
        Some(Connection { library: self, handle: NonNull::new(handle)? })
    }

    /// Copies what a result holds and frees it.
    fn take(&self, result: RawResult) -> Outcome {
        if result.is_null() {
            return Outcome { error: Some("the engine gave no result".to_owned()), ..Outcome::default() };
        }
        // SAFETY: `result` is live until `result_destroy` below, which is called once; buffer and error belong to it
        // and are copied before; a buffer holds `length` bytes or is null.
        unsafe {
            let (buffer, length) = ((self.result_buffer)(result), (self.result_length)(result));
            let bytes = if buffer.is_null() || length == 0 {
                Vec::new()
            } else {
                std::slice::from_raw_parts(buffer.cast::<u8>(), length).to_vec()
            };
            let outcome = Outcome {
                bytes,
                error: text((self.result_error)(result)),
                elapsed_seconds: (self.result_elapsed)(result),
                result_rows: (self.result_rows)(result),
                result_bytes: (self.result_bytes)(result),
                read_rows: (self.storage_rows)(result),
                read_bytes: (self.storage_bytes)(result),
                written_rows: (self.rows_written)(result),
                written_bytes: (self.bytes_written)(result),
            };
            (self.result_destroy)(result);
            outcome
        }
    }
}

/// How a statement ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What it printed, in the format asked for.
    pub(crate) bytes: Vec<u8>,
    /// The engine's own text, `Code: 60. DB::Exception: ...`; `None` when all went well.
    pub(crate) error: Option<String>,
    pub(crate) elapsed_seconds: f64,
    pub(crate) result_rows: u64,
    pub(crate) result_bytes: u64,
    pub(crate) read_rows: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_rows: u64,
    pub(crate) written_bytes: u64,
}

/// What `chdb_classify_query_n` fills in.
#[repr(C)]
struct RawAnalysis {
    /// Of this struct, in bytes.
    size: u32,
    statements: u32,
    flags: u32,
    class: u32,
}

impl RawAnalysis {
    const UNKNOWN: Self = Self { size: 16, statements: 0, flags: 0, class: 4 };

    fn read(&self) -> Analysis {
        let class = match self.class {
            0 => QueryClass::ReadOnly,
            1 | 2 => QueryClass::Mutating,
            3 => QueryClass::Control,
            _ => QueryClass::Unknown,
        };
        Analysis { statements: self.statements, class, flags: self.flags }
    }
}

/// One session with the engine. It runs one statement at a time; a second caller waits.
pub(crate) struct Connection {
    library: &'static Library,
    /// What `chdb_connect` returned: points to the connection itself. Closed once, on drop.
    handle: NonNull<RawConnection>,
}

// SAFETY: chdb locks a mutex of the connection in every call (`client_mutex` in ChdbClient.cpp), keeps nothing in
// thread-local storage between calls, and documents closing as thread-safe.
unsafe impl Send for Connection {}

impl Connection {
    /// Runs one statement; `parameters` fill its `{name:Type}` places, for this call only.
    pub(crate) fn query(&self, sql: &[u8], format: &str, parameters: &[(String, String)]) -> Outcome {
        let pointers = |pick: fn(&(String, String)) -> &String| -> (Vec<*const c_char>, Vec<usize>) {
            parameters.iter().map(|pair| (pick(pair).as_ptr().cast(), pick(pair).len())).unzip()
        };
        let (names, name_sizes) = pointers(|pair| &pair.0);
        let (values, value_sizes) = pointers(|pair| &pair.1);
        // SAFETY: the handle is live; every pointer comes with its length, outlives the call and is only read.
        let result = unsafe {
            (self.library.query)(
                *self.handle.as_ref(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names.as_ptr(),
                name_sizes.as_ptr(),
                values.as_ptr(),
                value_sizes.as_ptr(),
                parameters.len(),
            )
        };
        self.library.take(result)
    }

    /// Asks the engine's parser what a text would do in this session.
    pub(crate) fn classify(&self, sql: &[u8]) -> Analysis {
        let mut analysis = RawAnalysis::UNKNOWN;
        // SAFETY: as in `query`; `analysis` is as large as its first field says, and is written during the call only.
        let state = unsafe {
            let target = std::ptr::null();
            (self.library.classify)(
                *self.handle.as_ref(),
                sql.as_ptr().cast(),
                sql.len(),
                target,
                0,
                std::ptr::from_mut(&mut analysis),
            )
        };
        if state == 0 { analysis } else { RawAnalysis::UNKNOWN }.read()
    }

    /// Begins an INSERT without its FORMAT clause; the rows follow in `format`. The connection is busy until the
    /// stream is finished or dropped.
    pub(crate) fn insert(&mut self, sql: &[u8], format: &str) -> Result<InsertStream<'_>, String> {
        // SAFETY: as in `query`.
        let handle = unsafe {
            (self.library.insert)(
                *self.handle.as_ref(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
            )
        };
        let stream = InsertStream { connection: self, handle };
        match stream.error() {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: live until here; nothing borrows it any more.
        unsafe { (self.library.close)(self.handle.as_ptr()) }
    }
}

/// An INSERT under way. Dropped before [`finish`](Self::finish), it is cancelled: rows already written as parts stay.
pub(crate) struct InsertStream<'a> {
    connection: &'a mut Connection,
    handle: RawInsert,
}

impl InsertStream<'_> {
    /// Gives the engine more bytes; blocks while its queue (16 pieces) is full. False when it takes no more:
    /// `finish` says why.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> bool {
        // SAFETY: the stream is live; the engine copies the bytes before it returns.
        unsafe { (self.connection.library.insert_append)(self.handle, bytes.as_ptr().cast(), bytes.len()) == 0 }
    }

    /// Ends the data and waits until the engine has stored it.
    pub(crate) fn finish(self) -> Outcome {
        // SAFETY: the stream is live; `drop` frees it afterwards, as chdb.h demands.
        let result = unsafe { (self.connection.library.insert_done)(self.handle) };
        self.connection.library.take(result)
    }

    fn error(&self) -> Option<String> {
        if self.handle.is_null() {
            return Some("the engine gave no insert stream".to_owned());
        }
        // SAFETY: the stream is live, and its error text belongs to it.
        unsafe { text((self.connection.library.insert_error)(self.handle)) }
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: the only place that frees it; an unfinished stream is cancelled by this call.
            unsafe { (self.connection.library.insert_destroy)(self.handle) }
        }
    }
}

/// Copies a NUL-terminated text, if there is one.
///
/// # Safety
///
/// `pointer` is null or points to a NUL-terminated string that is live during the call.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: promised by the caller.
    let text = unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned();
    (!text.is_empty()).then_some(text)
}
