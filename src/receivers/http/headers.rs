//! Headers that all receivers read, as HTTP headers or as gRPC metadata.

use crate::access::{Denied, Principal};
use crate::pipeline::Ack;
use crate::workspace::Workspace;
use axum::http::{HeaderMap, HeaderValue, header};
use std::time::Duration;

/// Names the workspace of an OTLP request: an HTTP header, a gRPC metadata key.
pub(crate) const WORKSPACE_HEADER: &str = "x-millrace-workspace";

/// Names what the answer to a request waits for, if that is more than the receiver's own: `memory`, `durable`, `stored`.
pub(crate) const ACK_HEADER: &str = "x-millrace-ack";

/// Says that a request can wait: `background` is put off while others need the room. Imports send it.
pub(crate) const PRIORITY_HEADER: &str = "x-millrace-priority";

/// Names the import that captured calls are of.
pub(crate) const IMPORT_HEADER: &str = "x-millrace-import";

/// Longest name of an import.
const IMPORT_BYTES_MAX: usize = 64;

/// How long a sender should wait before it tries again. Senders give up after 6 to 10 s, so it is short.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The media type of a request, without parameters, in lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split_once(';').map_or(value, |(essence, _parameters)| essence);
    Some(essence.trim().to_ascii_lowercase())
}

/// Whether a request says that it can wait.
pub(crate) fn can_wait(headers: &HeaderMap) -> bool {
    headers.get(PRIORITY_HEADER).is_some_and(|priority| priority.as_bytes().eq_ignore_ascii_case(b"background"))
}

/// The import that a request is of, if it names one as Millrace names them.
pub(crate) fn import_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(IMPORT_HEADER)?.to_str().ok()?;
    let fits = (1..=IMPORT_BYTES_MAX).contains(&id.len());
    (fits && id.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'-')).then_some(id)
}

/// Why the headers of a request cannot be honoured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// One has a value that is not valid.
    #[error("{0}")]
    Invalid(String),
    /// Who sends it may not write there.
    #[error(transparent)]
    Denied(#[from] Denied),
}

/// The value of a header; whoever stands before us might have looked at the other one of two.
fn the_only<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h HeaderValue>, Unfit> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    match values.next() {
        Some(_) => Err(Unfit::Invalid(format!("{name} must be there once"))),
        None => Ok(value),
    }
}

/// The workspace of a request: the one that its header, or metadata, names, else that of its sender; `None` if nothing of that names one.
///
/// # Errors
/// If the name is not that of a workspace, or there are two, or the sender may not write into it.
pub(crate) fn workspace(headers: &HeaderMap, principal: &Principal) -> Result<Option<Workspace>, Unfit> {
    let Some(name) = the_only(headers, WORKSPACE_HEADER)? else { return Ok(principal.own_workspace().cloned()) };
    let workspace = Workspace::new(&String::from_utf8_lossy(name.as_bytes()))
        .map_err(|error| Unfit::Invalid(format!("{WORKSPACE_HEADER}: {error}")))?;
    principal.is_in(workspace.as_str())?;
    Ok(Some(workspace))
}

/// What an answer waits for: what the receiver is set to, or more if the request asks for it.
///
/// # Errors
/// If the header has none of the three values, or is there twice.
pub(crate) fn ack_wanted(headers: &HeaderMap, own: Ack) -> Result<Ack, Unfit> {
    let Some(asked) = the_only(headers, ACK_HEADER)? else { return Ok(own) };
    let asked = asked.to_str().ok().and_then(Ack::parse);
    let wanted = asked.map(|asked| asked.max(own));
    wanted.ok_or_else(|| Unfit::Invalid(format!("{ACK_HEADER} must be memory, durable or stored")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_values_none_is_chosen() {
        let headers = |name: &'static str, values: &[&'static str]| -> HeaderMap {
            values.iter().map(|value| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
        };
        let named = |values: &[&'static str]| workspace(&headers(WORKSPACE_HEADER, values), &Principal::anyone());
        assert_eq!(named(&[]).unwrap(), None);
        assert_eq!(named(&["a"]).unwrap(), Workspace::new("a").ok());
        assert!(matches!(named(&["a", "b"]), Err(Unfit::Invalid(_))));
        assert!(matches!(named(&["a", "a"]), Err(Unfit::Invalid(_))));
        let asked = |values: &[&'static str]| ack_wanted(&headers(ACK_HEADER, values), Ack::Memory);
        assert_eq!(asked(&["stored"]).unwrap(), Ack::Stored);
        assert!(matches!(asked(&["stored", "memory"]), Err(Unfit::Invalid(_))));
    }
}
