//! Where the rows of an OTLP request go: into one workspace, or each resource into the one that an attribute of it names.

use super::error::ExportError;
use crate::access::Principal;
use crate::otlp::{self, Encoding, Signal, parts_by_attribute, transcode};
use crate::redaction::Redaction;
use crate::workspace::Workspace;
use std::borrow::Cow;

/// Where rows go.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
    /// Into this workspace.
    One(Workspace),
    /// Into those that their resources name, as far as this sender may write there.
    Named(Principal),
}

/// A workspace, and the request with what goes there.
pub(super) type Part<'r> = (Workspace, Cow<'r, [u8]>);

impl Destination {
    /// How many copies of a request are made at most, beside the one that is decoded.
    pub(super) fn copies(&self, redaction: &Redaction) -> usize {
        match self {
            Self::One(workspace) => usize::from(redaction.of(workspace).is_some()),
            Self::Named(_) => 2,
        }
    }

    /// The workspace, if it is known before the request is read.
    pub(super) fn workspace(&self) -> Option<&Workspace> {
        match self {
            Self::One(workspace) => Some(workspace),
            Self::Named(_) => None,
        }
    }

    /// The parts of a request, each with its workspace.
    pub(super) fn parts<'r>(
        self,
        signal: Signal,
        request: &'r [u8],
        encoding: Encoding,
        attribute: Option<&str>,
    ) -> Result<Vec<Part<'r>>, ExportError> {
        let (principal, attribute) = match (self, attribute) {
            (Self::One(workspace), _) => return Ok(vec![(workspace, Cow::Borrowed(request))]),
            (Self::Named(principal), Some(attribute)) => (principal, attribute),
            (Self::Named(principal), None) => {
                let workspace = Workspace::default();
                principal.is_in(workspace.as_str())?;
                return Ok(vec![(workspace, Cow::Borrowed(request))]);
            }
        };
        let place = |value: Option<&str>| -> Result<Workspace, ExportError> {
            let named = value.map(Workspace::new).transpose();
            let workspace =
                named.map_err(|error| ExportError::Workspace(format!("resource attribute {attribute}: {error}")))?;
            let workspace = workspace.unwrap_or_default();
            principal.is_in(workspace.as_str())?;
            Ok(workspace)
        };
        if encoding == Encoding::Json {
            let read = transcode(request, signal, otlp::Limits::default().depth)?;
            return match parts_by_attribute(read.protobuf(), signal, attribute)?.as_slice() {
                [one] => Ok(vec![(place(one.value.as_deref())?, Cow::Borrowed(request))]),
                _ => Err(ExportError::Workspace(format!(
                    "in JSON, all resources of a request must have the same {attribute}; send protobuf, or a request for each"
                ))),
            };
        }
        let parts = parts_by_attribute(request, signal, attribute)?;
        // all are looked at before anything is stored
        parts.into_iter().map(|part| Ok((place(part.value.as_deref())?, part.request))).collect()
    }
}
