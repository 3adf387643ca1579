//! Why spans are not taken.

/// Spans were not taken, or not as far as was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// Other requests hold the memory; it will be free again.
    #[error("ingest buffer is full (waiting for disk or ClickHouse); retry later")]
    Full,
    /// Others come first.
    #[error(
        "what came before waits for ClickHouse, and this request says that it can wait (x-millrace-priority: background); try again"
    )]
    Yields,
    /// The file system of the journal is full.
    #[error("the disk of Millrace's journal is full; try again")]
    DiskFull,
    /// The operating system cannot create a file.
    #[error("Millrace cannot make a file for its journal; try again")]
    NoFile,
    /// ClickHouse is away for so long that the journal is as large as it may be.
    #[error("Millrace's journal has reached journal.max_bytes while it waits for ClickHouse; try again")]
    JournalFull,
    /// The folder of the journal is not the one that was opened.
    #[error(
        "the folder of Millrace's journal was removed, renamed or replaced, and another cannot take its place; put it back or \
         restart Millrace; try again"
    )]
    JournalGone,
    /// The disk failed.
    #[error("Millrace's journal failed, so nothing more is taken; try again")]
    JournalFailed,
    /// Spans of too many days far from today have come lately.
    #[error(
        "spans of too many days far from today have come lately, and each day is a partition of the table \
         (receivers.timestamps.days_per_hour); try again"
    )]
    ManyDays,
    /// What earlier runs accepted is still being read: until that is over a repeat would not be recognised.
    #[error("Millrace is starting: it reads what waits in its journal; try again")]
    Starting,
    /// The service is stopping.
    #[error("Millrace is stopping; try again")]
    Stopping,
    /// They are on disk, and ClickHouse did not take them in time.
    #[error("the spans are safe on disk but not yet in ClickHouse; a repeat is recognised and stored once")]
    NotStoredYet,
    /// ClickHouse refuses some of the insert that they went with.
    #[error(
        "ClickHouse refused spans of the insert that these went with, kept as dead letters; a repeat is recognised"
    )]
    DeadLettered,
    /// The disk takes too long. They may be safe or not.
    #[error("Millrace's disk did not answer in time; try again, a repeat is recognised")]
    NotDurableYet,
    /// A new call came with the key of another one.
    #[error("this Idempotency-Key came before with another body; give each call a key of its own")]
    KeyReused,
    /// Even an empty channel has not enough room.
    #[error("the request takes {bytes} bytes, more than the {max} that memory.limit allows; send smaller batches")]
    NeverFits {
        /// What the request takes.
        bytes: usize,
        /// All there is.
        max: usize,
    },
}

impl IngestError {
    /// Whether the sender should try again.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        !matches!(self, Self::NeverFits { .. } | Self::KeyReused)
    }

    /// What admission may be closed for.
    pub(super) const CLOSABLE: [Self; 6] =
        [Self::DiskFull, Self::NoFile, Self::JournalFull, Self::JournalGone, Self::JournalFailed, Self::Starting];
}
