//! Experiments, their groups, and what the sessions that were logged for them come to.
//!
//! ```text
//! groups.rs       /experiment-groups
//! handlers.rs     /experiments, which later releases of the reference call /evaluations
//! listing.rs      their list: which of them, in which order
//! rollups.rs      what their sessions come to
//! sessions.rs     /experiments/{name}/sessions
//! ```

pub(super) mod groups;
pub(super) mod handlers;
mod listing;
mod rollups;
pub(super) mod sessions;
