//! Columns that grow row by row, already laid out as ClickHouse's Native format wants them, so that making a block is copying.
//!
//! ```text
//! fixed.rs      W bytes, little endian, per value
//! strings.rs    varint length, bytes, per value
//! nullable.rs   a byte per value, 1 for unknown | W bytes per value
//! lists.rs      ends (u64, cumulative) | items
//! map.rs        ends (u64, cumulative) | keys | values
//!
//! varint.rs     lengths and the strings after them        ends.rs     where each row's items end
//! selection.rs  which of a column's values stay           repeated.rs whether a key comes twice
//! reserve.rs    room for rows like those there are
//! ```
//!
//! Source: ClickHouse documentation, "Native" format; arrays are stored as cumulative ends followed by their flattened
//! items, a Map as an array of (key, value) with keys and values apart.

pub(crate) mod ends;
pub(crate) mod fixed;
pub(crate) mod lists;
pub(crate) mod map;
pub(crate) mod nullable;
mod repeated;
mod reserve;
pub(crate) mod selection;
pub(crate) mod strings;
pub(crate) mod varint;
