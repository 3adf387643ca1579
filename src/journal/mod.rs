//! The journal: what "acknowledged" rests on. **The log is the insert**: a segment is a file of ClickHouse's own compressed
//! frames, each one Native block; a commit writes one or a few of them and syncs once; ClickHouse gets it as it lies on disk.
//!
//! ```text
//! rows -> writer -> active segment -> sealed -> queue of the backlog -> segment -> loaded -> ClickHouse
//!
//! writing   writer.rs        commit and seal
//!           active.rs        the segments that rows are added to
//!           open_segments.rs those of one table
//!           displaced.rs     what happens when the folder is removed under a running journal
//! opening   config.rs  open.rs
//!           recover.rs       the start after whatever happened before
//!           replay.rs        what it tells the dedup index
//!           identities.rs    which rows a segment has, read without them
//! files     disk.rs          what is asked of a file system
//!           folder.rs        the machine's: a folder that is locked, and known to be the one that was opened
//!           format.rs        a segment's file: its header, its frames, what its name says
//!           segment_file.rs  the file of a segment that waits, which is read even if somebody removed it
//!           records.rs       beside the rows, what the dedup index knows them by
//!           archive.rs       the same of segments that are gone
//!           ledger.rs        what was acknowledged, to compare with what is found
//!           aside.rs         what is found and is not what it should be
//!           dead_letters.rs  rows that ClickHouse refuses for good
//! sending   backlog.rs       what committer, exporter and health share
//!           queue.rs         which segments wait, which is next
//!           sealed.rs  segment.rs  loaded.rs    one that waits, one that was taken, what it holds
//!           frames.rs        its frames, in memory or in its file
//!           parts.rs         reads a file part by part
//!           retained.rs      segments that ClickHouse has, kept a little
//!           waiters.rs       senders that wait until ClickHouse has their spans
//!           view.rs          all of it in numbers
//! ```
//!
//! Source: ClickHouse documentation, "Native".

mod active;
mod archive;
mod aside;
mod backlog;
mod config;
mod dead_letters;
mod disk;
mod displaced;
mod error;
mod folder;
mod format;
mod frames;
mod identities;
mod ledger;
mod loaded;
mod open;
mod open_segments;
mod parts;
mod queue;
mod records;
mod recover;
mod replay;
mod retained;
mod sealed;
mod segment;
mod segment_file;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod view;
mod waiters;
mod waiting;
mod writer;

pub use aside::{Aside, Asides, Reason};
pub use backlog::Backlog;
pub use config::{Compression, Config, Options};
pub use dead_letters::{DeadLetter, DeadLetterReason, DeadLetters};
pub use disk::{Appendable, Disk, Entry, FileId, Folder, MachineDisk, Overwritable, Readable};
pub use error::{CommitError, Full, Gone, OpenError};
pub use folder::MachineFolder;
pub use format::Unreadable;
pub use frames::{Frames, Shape};
pub use loaded::{InDoubt, LoadError, Loaded, Part, RowsLost, Whole};
pub use open::Unread;
pub use queue::{History, Order};
pub use records::IsNew;
pub use recover::Recovered;
pub use replay::{Replay, ReplayedRows};
pub use sealed::Held;
pub use segment::Segment;
pub use view::{ActiveView, BacklogView};
pub use waiters::{Outcome, SettleObserver, Waiter};
pub use writer::{Committed, Journal, Lane};
