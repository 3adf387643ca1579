//! The workspace separates tenants: it is part of a span's identity, and traces of two workspaces never join.

use std::sync::Arc;

/// The resource attribute that names the workspace in rows that Millrace makes itself.
pub const ATTRIBUTE: &str = "millrace.workspace";

/// Longest workspace name in bytes.
pub const WORKSPACE_BYTES_MAX: usize = 64;

/// A workspace name: 1 to 64 of `a-z A-Z 0-9 . _ -`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Workspace(Arc<str>);

/// Why a text is not a workspace name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("workspace must be 1 to 64 of the characters a-z A-Z 0-9 . _ -")]
pub struct WorkspaceError;

impl Workspace {
    /// The workspace of senders that name none.
    pub const DEFAULT: &'static str = "default";

    /// Parses a name from a sender.
    ///
    /// # Errors
    /// If it is empty, too long, or has another character.
    pub fn new(name: &str) -> Result<Self, WorkspaceError> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        if name.is_empty() || name.len() > WORKSPACE_BYTES_MAX || !name.bytes().all(allowed) {
            return Err(WorkspaceError);
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Workspace {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}
