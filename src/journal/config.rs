//! How a journal is kept, and how it is opened.

use crate::sizes::ByteSize;
use crate::time::UnixNanos;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How the journal is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Bytes on disk; absent = 10 GiB or 80 % of what is free at the start, whichever is less.
    pub max_bytes: Option<ByteSize>,
    /// A segment is sealed when it has this many rows.
    pub segment_rows: usize,
    /// A segment is sealed when it has this many bytes before compression.
    pub segment_bytes: ByteSize,
    /// How rows are compressed in the journal, and on their way to ClickHouse.
    pub compression: Compression,
}

/// How rows are compressed in the journal, and on their way to ClickHouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Large rows are not while ClickHouse is on this machine and keeps up; all others are.
    #[default]
    Auto,
    /// All rows are.
    Lz4,
    /// No rows are.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_bytes: None,
            segment_rows: 100_000,
            segment_bytes: ByteSize::mib(32),
            compression: Compression::default(),
        }
    }
}

/// How to open a journal.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its folder.
    pub dir: PathBuf,
    /// Its bounds.
    pub config: Config,
    /// The database of the tables that its rows are for.
    pub database: String,
    /// Unlike that of any other opening.
    pub origin: u64,
    /// Secret of the keys of reports.
    pub secret: u64,
    /// Keys of reports that are kept after their segments are gone, about.
    pub keys_max: usize,
    /// When it is opened.
    pub now: UnixNanos,
    /// Which start of the machine this is; unknown = every start is another.
    pub boot: Option<String>,
    /// Make the next segment's file in a thread while the present one is written.
    pub prepare_ahead: bool,
    /// ClickHouse is on this machine, so that bytes on the way to it cost little.
    pub clickhouse_is_here: bool,
}

impl Options {
    /// What the files of this run say about the start of the machine; nothing when that is unknown.
    pub(super) fn boot_bytes(&self) -> &[u8] {
        self.boot.as_deref().map_or(&[], str::as_bytes)
    }
}
