//! What every answer says about the server.

use std::path::PathBuf;

/// What answers say about the server.
#[derive(Debug, Clone)]
pub(crate) struct ServerInfo {
    pub(crate) version: String,
    pub(crate) timezone: String,
    pub(crate) display_name: String,
    pub(crate) tmp_dir: PathBuf,
}
