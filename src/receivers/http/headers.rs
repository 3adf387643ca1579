//! Headers that all receivers read, as HTTP headers or as gRPC metadata.

use crate::pipeline::Ack;
use crate::workspace::Workspace;
use axum::http::{HeaderMap, header};
use std::time::Duration;

/// Names the workspace of an OTLP request: an HTTP header, a gRPC metadata key.
pub(crate) const WORKSPACE_HEADER: &str = "x-millrace-workspace";

/// Names what the answer to a request waits for, if that is more than the receiver's own: `memory`, `durable`, `stored`.
pub(crate) const ACK_HEADER: &str = "x-millrace-ack";

/// How long a sender should wait before it tries again. Senders give up after 6 to 10 s, so it is short.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The media type of a request, without parameters, in lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split_once(';').map_or(value, |(essence, _parameters)| essence);
    Some(essence.trim().to_ascii_lowercase())
}

/// The workspace that a request's header, or metadata, names.
///
/// # Errors
/// If the name is not that of a workspace.
pub(crate) fn workspace(headers: &HeaderMap) -> Result<Workspace, String> {
    let Some(name) = headers.get(WORKSPACE_HEADER) else { return Ok(Workspace::default()) };
    Workspace::new(&String::from_utf8_lossy(name.as_bytes())).map_err(|error| format!("{WORKSPACE_HEADER}: {error}"))
}

/// What an answer waits for: what the receiver is set to, or more if the request asks for it.
///
/// # Errors
/// If the header has none of the three values.
pub(crate) fn ack_wanted(headers: &HeaderMap, own: Ack) -> Result<Ack, String> {
    let Some(asked) = headers.get(ACK_HEADER) else { return Ok(own) };
    let asked = asked.to_str().ok().and_then(Ack::parse);
    asked.map(|asked| asked.max(own)).ok_or_else(|| format!("{ACK_HEADER} must be memory, durable or stored"))
}
