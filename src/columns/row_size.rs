//! What a row takes in a block, counted before it is added: every column, never less than it takes, and hardly more.
//!
//! ```text
//! row = what a row takes that has nothing (ROW_BYTES_EMPTY, in a block that has all columns)
//!     + its texts, and the entries of its lists and maps
//! ```

use super::build::map::MapRow;
use super::row_limit::{LENGTH_BYTES_MORE, text_bytes};
use super::scalars::SpanScalars;
use super::table::COLUMNS;
use crate::bounds::BLOCK_HEADER_BYTES_MAX;
use crate::ids::{SpanId, TraceId};
use crate::workspace::Workspace;

const NUMBER_BYTES: usize = size_of::<u64>();
const TRACE_ID_BYTES: usize = 1 + TraceId::HEX;
const SPAN_ID_BYTES: usize = 1 + SpanId::HEX;

/// What a row that has nothing takes in a block that has all columns.
pub(super) const ROW_BYTES_EMPTY: usize = bytes_of_columns(false);

const _: () = assert!(bytes_of_columns(true) <= BLOCK_HEADER_BYTES_MAX);

/// Bytes of all columns: of their names and types with the numbers of columns and rows, or of a row that has nothing.
const fn bytes_of_columns(of_header: bool) -> usize {
    let (mut bytes, mut columns) = (if of_header { 2 * (1 + LENGTH_BYTES_MORE) } else { 0 }, COLUMNS);
    while let [column, rest @ ..] = columns {
        bytes += if of_header {
            2 * (1 + LENGTH_BYTES_MORE) + column.name.len() + column.wire_type.len()
        } else {
            least_bytes(column.wire_type)
        };
        columns = rest;
    }
    bytes
}

/// What a value that is empty, zero or unknown takes.
const fn least_bytes(wire_type: &str) -> usize {
    match wire_type.as_bytes() {
        b"String" => 1,
        b"UInt32" => 4,
        b"UUID" => 16,
        b"Nullable(Bool)" => 2,
        // a number or a list's end, and whether it is unknown
        _ => NUMBER_BYTES + 1,
    }
}

/// What a span takes as a row, but for its own attributes, events and links, and what its call takes.
pub(super) fn scalar_bytes(span: &SpanScalars<'_>, resource: &MapRow, workspace: &Workspace) -> usize {
    let texts = [
        span.trace_state,
        span.name,
        span.kind.literal().as_bytes(),
        span.service_name,
        span.scope_name,
        span.scope_version,
        span.status.literal().as_bytes(),
        span.status_message,
        span.raw_request,
        span.raw_response,
        span.join_state.literal().as_bytes(),
        span.resource_schema_url,
        span.scope_schema_url,
        workspace.as_str().as_bytes(),
    ];
    let scope = span.scope_attributes.map_or(0, MapRow::bytes_len);
    ROW_BYTES_EMPTY
        + TRACE_ID_BYTES
        + 2 * SPAN_ID_BYTES
        + texts.into_iter().map(text_bytes).sum::<usize>()
        + resource.bytes_len()
        + scope
}
