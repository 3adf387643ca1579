//! The table of the specification: every source of every column.
