//! What keeps the sources in order: they are read here and not run.
//!
//! ```text
//! layers        a module imports from lower layers only
//! cycles        inside a module no two parts import from each other
//! files         how a file looks: its opening, its length, the place of its tests
//! style         how many values stand in for what is missing, how many assertions there are
//! alerts        each alert has its page in the runbook and names metrics that exist
//! docs          files, links and settings that the documentation names
//! supply_chain  licences, known holes and sources of all dependencies
//!
//! sources       reads the files of src as tokens; names says which modules they name
//! ```

mod alerts;
mod cycles;
mod docs;
mod files;
mod layers;
mod names;
mod sources;
mod style;
mod supply_chain;
