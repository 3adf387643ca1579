//! Headers of a request as text.

use http::HeaderMap;
use http::header::AsHeaderName;

/// The text of a header; `None` if it is absent or is not text.
pub(crate) fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The same, and empty if there is none.
pub(crate) fn text_or_empty(headers: &HeaderMap, name: impl AsHeaderName) -> &str {
    text(headers, name).unwrap_or_default()
}
