//! What keeps the sources in order: they are read here and not run.
//!
//! ```text
//! layers        a module imports from lower layers only; how a file opens; `unsafe` in one file
//! supply_chain  licences, known holes and sources of all dependencies
//! ```

mod layers;
mod supply_chain;
