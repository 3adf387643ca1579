//! How large things may be on their way from a request to ClickHouse: each bound once, and why each fits into the next.
//!
//! ```text
//! request    64 MiB                compressed, and decompressed
//!   row      64 MiB                one span in a block; a larger one is refused by its receiver
//!   rows     memory.limit / 4      of one request, at most 128 MiB; what would be more is refused by its receiver
//! group       4 MiB of rows, and   what one commit takes: many small requests, or one large one after a few small ones
//!            the rows of a request
//! block      16 MiB or one row     a group is cut between rows; each block is one frame in the journal
//! frame      a block as LZ4 has it at worst a tenth larger
//! segment    journal.segment_bytes sealed before a commit that would make it larger; a larger commit has one of its own
//! insert     a segment             whole, or (when in doubt) block by block
//! ```
//!
//! Bytes are those of the Native format before compression, counted by `RowGroup` as a row is finished, for every column. What a
//! receiver acknowledges is within these bounds, so it can be written, read back, and stored by an engine with the least
//! memory that may be configured. `const` assertions below hold each bound to the next; `Config::check` holds what is
//! configured to them.

use std::time::Duration;

const MIB: usize = 1 << 20;

/// Bytes of a request, compressed and decompressed. Source: OTLP 1.11.0 recommends 64 MiB.
pub const REQUEST_BYTES_MAX: usize = 64 * MIB;
/// Spans of a request.
pub const REQUEST_SPANS_MAX: usize = 100_000;
/// Levels of nested arrays and objects, lists and maps, in whatever comes in; the outermost counts as 1.
pub const DEPTH_MAX: usize = 32;
/// Bytes of one row. Its block and the frame around it are in memory at once, so it is no larger than a request.
pub const ROW_BYTES_MAX: usize = 64 * MIB;
/// Bytes of the rows of one request, however much memory there is: what all spans of a resource repeat can make them
/// larger than the request.
pub const REQUEST_ROWS_BYTES_MAX: usize = 128 * MIB;
/// Bytes of rows that a commit takes before it takes no more: a few milliseconds of work, so that those after it do not wait
/// long.
pub const GROUP_BYTES: usize = 4 * MIB;
/// Bytes of the rows of a block, unless it is a single row.
pub const BLOCK_BYTES: usize = 16 * MIB;
/// Bytes of a block beside its rows: the names and types of its columns.
pub const BLOCK_HEADER_BYTES_MAX: usize = 16 << 10;
/// Bytes of a block.
pub const BLOCK_BYTES_MAX: usize = max(BLOCK_BYTES, ROW_BYTES_MAX) + BLOCK_HEADER_BYTES_MAX;
/// Bytes that a frame holds. A frame of the journal is one block.
pub const FRAME_CONTENT_BYTES_MAX: usize = BLOCK_BYTES_MAX;
/// Bytes of a frame: LZ4 makes bytes that it cannot compress larger.
pub const FRAME_BYTES_MAX: usize = FRAME_CONTENT_BYTES_MAX + FRAME_CONTENT_BYTES_MAX / 10 + 64;
/// Bytes that one commit adds to a segment.
pub const COMMIT_BYTES_MAX: usize = commit_bytes(GROUP_BYTES + REQUEST_ROWS_BYTES_MAX);

/// Most that `journal.segment_bytes` may be: more does not make inserts cheaper.
pub const SEGMENT_BYTES_MAX: usize = 512 * MIB;
/// Bytes of a segment's file that are read: compression makes no file twice as large, nor do the records beside its rows.
pub const SEGMENT_FILE_BYTES_MAX: usize = 2 * SEGMENT_BYTES_MAX;
/// Most that `journal.segment_rows` may be.
pub const SEGMENT_ROWS_MAX: usize = 1_000_000;
/// Rows of an insert that ClickHouse makes one block of, which its token counts as one (`max_insert_block_size`).
pub const INSERT_ROWS_MAX: usize = 10_000_000;

/// Least memory that an embedded engine may be given (`embedded.memory_max_bytes`).
pub const ENGINE_MEMORY_MIN: usize = 256 * MIB;
/// What an engine of least memory takes as one insert. Measured with libchdb 26.7 and `min_columns_to_activate_adaptive_write_buffer`
/// at 1: a segment of 134 MiB of few rows, and a row of 64 MiB, in 256 MiB; one of 263 MiB in 768 MiB. What an engine has no memory
/// for, because it is at other things or the rows are many, it gets in parts.
pub const ENGINE_INSERT_BYTES: usize = 134 * MIB;
/// An engine takes one insert of this part of its memory, should that be more.
pub const ENGINE_INSERT_SHARE: usize = 4;

/// Least that `memory.limit` may be.
pub const MEMORY_LIMIT_MIN: usize = 4 * MIB;
/// Most that `memory.limit` may be: no machine has more, so a larger one has a wrong unit.
pub const MEMORY_LIMIT_MAX: usize = 1 << 40;
/// Least that `journal.max_bytes` may be.
pub const JOURNAL_BYTES_MIN: usize = MIB;
/// Most that `exporter.concurrency` may be.
pub const INSERTS_AT_ONCE_MAX: usize = 256;
/// Most that `exporter.flush_after` and `joiner.interval` may be.
pub const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Most that `embedded.queries_max` may be: each takes threads.
pub const QUERIES_AT_ONCE_MAX: usize = 10_000;
/// Least that `query.max_execution_time` may be.
pub const READ_TIME_MIN: Duration = Duration::from_millis(100);
/// And most.
pub const READ_TIME_MAX: Duration = Duration::from_secs(600);
/// Least that `query.max_memory` may be: less is not enough for one page.
pub const READ_MEMORY_MIN: usize = 64 << 20;
/// Most that `query.concurrency` may be: each takes threads of ClickHouse.
pub const READS_AT_ONCE_MAX: usize = 1_000;
/// Most that `joiner.batch` may be: a statement of 16 MiB names them all.
pub const JOIN_BATCH_MAX: usize = 100_000;
/// Most that `dedup.max_spans` may be, 8 GB.
pub const DEDUP_SPANS_MAX: usize = 1_000_000_000;

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

const fn min(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

/// Bytes of requests and rows on their way to the disk.
#[must_use]
pub const fn pipeline_bytes(memory_limit: usize) -> usize {
    memory_limit / 2
}

/// Bytes of the segments that are sent at once.
#[must_use]
pub const fn exported_bytes(memory_limit: usize) -> usize {
    memory_limit / 2
}

/// Bytes of answers to records one a line that their senders have not read; they are not in the pipeline's part, so that
/// unread answers do not keep senders from sending.
#[must_use]
pub const fn answer_bytes(memory_limit: usize) -> usize {
    memory_limit / 16
}

/// Bytes that decoders of bodies without an end may take of [`pipeline_bytes`].
#[must_use]
pub const fn decoder_bytes(memory_limit: usize) -> usize {
    pipeline_bytes(memory_limit) / 2
}

/// Bytes that the rows of one request may come to.
#[must_use]
pub const fn request_rows_bytes(memory_limit: usize) -> usize {
    min(memory_limit / 4, REQUEST_ROWS_BYTES_MAX)
}

/// Bytes that a commit of so many bytes of rows comes to. Of its blocks each but the last is full, or stands before a row that did
/// not fit: two in a row hold more than [`BLOCK_BYTES`].
#[must_use]
pub const fn commit_bytes(rows_bytes: usize) -> usize {
    let blocks_max = (rows_bytes / BLOCK_BYTES).saturating_mul(2).saturating_add(2);
    rows_bytes.saturating_add(blocks_max.saturating_mul(BLOCK_HEADER_BYTES_MAX))
}

/// Bytes that one insert may come to.
#[must_use]
pub const fn insert_bytes(segment_bytes: usize) -> usize {
    max(segment_bytes, COMMIT_BYTES_MAX)
}

/// What an embedded engine takes as one insert.
#[must_use]
pub const fn engine_insert_bytes(memory_max_bytes: usize) -> usize {
    max(ENGINE_INSERT_BYTES, memory_max_bytes / ENGINE_INSERT_SHARE)
}

// a row is in one block, a block in one frame, and a frame is one that ClickHouse reads (`DBMS_MAX_COMPRESSED_SIZE`)
const _: () = assert!(ROW_BYTES_MAX + BLOCK_HEADER_BYTES_MAX <= BLOCK_BYTES_MAX);
const _: () = assert!(BLOCK_BYTES + BLOCK_HEADER_BYTES_MAX <= BLOCK_BYTES_MAX);
const _: () = assert!(BLOCK_BYTES_MAX <= FRAME_CONTENT_BYTES_MAX);
const _: () = assert!(FRAME_BYTES_MAX <= 1 << 30);
// a request of one span that fills it is a row; the rows of a request may be one row
const _: () = assert!(REQUEST_BYTES_MAX <= ROW_BYTES_MAX && ROW_BYTES_MAX <= REQUEST_ROWS_BYTES_MAX);
// what the smallest channel takes is an entry of a commit; whatever is committed fits into a segment, and that into an insert
const _: () = assert!(request_rows_bytes(usize::MAX) <= REQUEST_ROWS_BYTES_MAX);
const _: () = assert!(COMMIT_BYTES_MAX <= SEGMENT_BYTES_MAX);
const _: () = assert!(COMMIT_BYTES_MAX <= ENGINE_INSERT_BYTES);
const _: () = assert!(SEGMENT_ROWS_MAX + REQUEST_SPANS_MAX < INSERT_ROWS_MAX);
