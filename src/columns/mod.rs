//! Spans as ClickHouse columns: the one list of columns, the builders that hold them, and the Native format.
//!
//! ```text
//! spans.rs     which columns there are, and how a span fills each
//! scalars.rs   what a span has once, and the table's literals
//! row_size.rs  what a row takes in a block, counted before it is added
//! typed.rs     the columns that conventions are brought together in; they lag behind the rows
//! builders.rs  the growing columns, already laid out as Native wants them
//! native.rs    many RowGroups -> one Native block
//! blocks.rs    reads Native blocks back, and cuts rows out of them
//! merge.rs     rows of several blocks as one block
//! selection.rs which of a column's values stay when rows are left out
//! frames.rs    ClickHouse's compressed frames around such blocks
//! ```

pub mod build;
pub mod merge;
pub mod native;
pub mod row_group;
mod row_size;
pub mod scalars;
#[cfg(test)]
pub(crate) mod testing;
pub mod typed;

pub use crate::columns::row_group::{
    ALIASES, Alias, COLUMNS, Column, FILLED, Filled, MapRow, Mark, RAW_REQUEST, RAW_RESPONSE, RowGroup, SEGMENT_ID,
    STANDARD_COLUMNS,
};
pub use row_size::RowTooLarge;
pub use scalars::{SpanKind, SpanScalars, StatusCode};
