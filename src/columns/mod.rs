//! Spans as ClickHouse columns: the one list of columns, the builders that hold them, and the Native format.
//!
//! ```text
//! table.rs      which columns there are
//! row_group.rs  how a span fills a row of them: scalars.rs what it has once, nested.rs its events and links
//! typed.rs      the columns of a call, whatever its convention; they have rows only up to the last value
//! row_limit.rs  how large a row may be
//! row_size.rs   what a row takes in a block, counted before it is added
//! build/        the growing columns; column_data.rs what one has for the rows of a group
//! native/       RowGroups -> Native blocks and ClickHouse's compressed frames, and back
//! merge.rs      rows of several blocks as one block
//! ```

mod build;
mod column_data;
pub mod merge;
pub mod native;
mod nested;
mod row_group;
mod row_limit;
mod row_size;
mod scalars;
mod table;
#[cfg(test)]
pub(crate) mod testing;
pub mod typed;

pub use build::map::MapRow;
pub use row_group::{Mark, Place, RowGroup, SpareGroups};
pub use row_limit::RowTooLarge;
pub use scalars::{SpanKind, SpanScalars, StatusCode};
pub use table::{
    ALIASES, Alias, COLUMNS, Column, FILLED, Filled, RAW_REQUEST, RAW_RESPONSE, SEGMENT_ID, STANDARD_COLUMNS,
};
