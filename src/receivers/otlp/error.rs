//! Why the items of an OTLP request were not stored, or not all of them.

use crate::access::{Denied, OverQuota};
use crate::otlp::DecodeError;
use crate::otlp::json::JsonError;
use crate::pipeline::IngestError;

/// No item of a request was stored, or not all of them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// Its resources name workspaces that it may not write into.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Or that there cannot be.
    #[error("{0}")]
    Workspace(String),
    /// Or that have used too much.
    #[error(transparent)]
    OverQuota(#[from] OverQuota),
}

impl ExportError {
    /// Whether the sender should try again.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self, Self::Ingest(reason) if reason.is_retryable())
    }

    pub(crate) fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::Ingest(IngestError::NeverFits { .. })
                | Self::Malformed(DecodeError::TooLarge { .. } | DecodeError::TooMany { .. })
        )
    }
}
