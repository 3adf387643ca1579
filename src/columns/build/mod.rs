//! Columns that grow row by row, already in ClickHouse's Native layout.

pub mod builders;
pub(crate) mod selection;
