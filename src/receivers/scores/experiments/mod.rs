//! Experiments, their groups, and what the sessions that were logged for them come to.
//!
//! ```text
//! groups.rs       /experiment-groups
//! handlers.rs     /experiments, which 0.3.0 of the reference calls /evaluations, and says more of
//! naming.rs       whose words an answer has
//! shown.rs        experiments as they are answered
//! listing.rs      their list: which of them, in which order
//! measures.rs     sorts and filters by what their sessions come to
//! rollups.rs      what their sessions come to
//! sessions.rs     /experiments/{name}/sessions
//! comparison.rs   /experiments/{name}/comparison
//! ```

pub(super) mod comparison;
pub(super) mod groups;
pub(super) mod handlers;
mod listing;
mod measures;
mod naming;
mod rollups;
pub(super) mod sessions;
mod shown;
