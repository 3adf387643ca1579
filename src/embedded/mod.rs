//! The embedded ClickHouse: the real engine as a shared library, behind the documented HTTP interface.
//!
//! ```text
//! parent: supervise ──starts, watches, stops──> child: `millrace clickhouse`
//!                                                └ run_server
//!    listener  binds to loopback, puts up the fence (sandbox, system_calls), opens the engine
//!    server    HTTP: guard -> request -> body -> what kind of statement (wire) -> run (engine) -> respond
//!    run       rows come out through a pipe, an INSERT's data goes in through a channel
//!    job       one statement on its connection (sessions): settings put up before, taken down after
//!    allowed   what a statement from outside may be and name, read off the engine's own tree of it
//!    instance  the data folder, connections, KILL
//!    settings  what the engine is started with, and what its user may do
//!    libchdb   the binding, the only unsafe code
//!
//! import: parquet::Reader ──starts──> child: `millrace parquet-rows`, an engine of its own for one file
//! ```

mod config;
mod engine;
pub mod parquet;
mod server;
pub(crate) mod supervisor;
mod wire;

pub use crate::embedded::config::{Config, QUERIES_MAX_DEFAULT, library_candidates, own_secret};
pub use crate::embedded::engine::instance::OpenError;
pub use crate::embedded::engine::sandbox::{Enforcement, Fence};
pub use crate::embedded::server::guard::OWN_HEADER;
pub use crate::embedded::server::listener::{Bound, ServeError, memory_default, run_server};
pub use crate::embedded::supervisor::{ChildCommand, EXIT_PERMANENT, NeverStarted, Supervised, supervise};

/// How a statement of the SQL port is read before the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadStatement {
    /// Where it ends, or where the rows of an INSERT begin.
    pub end: usize,
    /// What the engine gets of a query: with an output clause of ours, and reading only.
    pub sent: Option<String>,
}

/// Reads a statement as the SQL port does, without an engine. Nothing if the port refuses it.
#[must_use]
pub fn read_statement(text: &[u8]) -> Option<ReadStatement> {
    let statement = wire::inspect::inspect(text).ok()?;
    let _what_the_engine_is_asked = wire::claim::Claim::new(text, &statement);
    Some(match statement {
        wire::statement::Statement::Insert(insert) => ReadStatement { end: insert.data_at, sent: None },
        wire::statement::Statement::Command(command) => ReadStatement { end: command.end, sent: None },
        wire::statement::Statement::Rows(rows) => {
            let sent = |text: &str| rows.with_output(text, "INTO OUTFILE '/dev/fd/3'", Some(1));
            ReadStatement { end: rows.end(), sent: str::from_utf8(text).ok().map(sent) }
        }
    })
}
