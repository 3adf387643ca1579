//! What is put right after rows are stored: calls that wait for the root of their trace, and rows that a fuller report replaces.

pub mod joining;
pub mod superseded;
