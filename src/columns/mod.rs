//! What is received as ClickHouse columns: the lists of columns, the builders that hold them, and the Native format.
//!
//! ```text
//! tables.rs     the tables; lists.rs the columns of each; column.rs one column
//! table.rs      which columns that of spans has; logs.rs, metrics.rs, scores.rs the others
//! group.rs      what rows of any table have in common; rows.rs either kind
//! records.rs    rows of any other table than that of spans; values.rs one column of them
//! row_group.rs  how a span fills a row of them: scalars.rs what it has once, nested.rs its events and links
//! typed.rs      the columns of a call, whatever its convention; they have rows only up to the last value
//! row_limit.rs  how large a row may be
//! row_size.rs   what a row takes in a block, counted before it is added
//! build/        the growing columns; column_data.rs what one has for the rows of a group
//! native/       RowGroups -> Native blocks and ClickHouse's compressed frames, and back
//! merge.rs      rows of several blocks as one block
//! ```

mod build;
mod column;
mod column_data;
mod group;
mod lists;
pub mod logs;
pub mod merge;
pub mod metrics;
pub mod native;
mod nested;
mod records;
mod row_group;
mod row_limit;
mod row_size;
mod rows;
mod scalars;
pub mod scores;
mod table;
mod tables;
#[cfg(test)]
pub(crate) mod testing;
pub mod typed;
mod values;

pub use build::map::MapRow;
pub use column::{At, Column, at};
pub use group::Group;
pub use records::Records;
pub use row_group::{Mark, Place, RowGroup, SpareGroups};
pub use row_limit::RowTooLarge;
pub use rows::Rows;
pub use scalars::{SpanKind, SpanScalars, StatusCode};
pub use table::{ALIASES, Alias, COLUMNS, FILLED, Filled, RAW_REQUEST, RAW_RESPONSE, SEGMENT_ID, STANDARD_COLUMNS};
pub use tables::Table;
