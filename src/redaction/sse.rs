//! The text of a stream of events: lines, of which those of data are JSON. Source: WHATWG HTML, "Server-sent events".

/// Whether it is one.
pub(super) fn is_stream(text: &str) -> bool {
    let first = text.trim_start();
    first.starts_with("data:") || (first.starts_with("event:") && text.contains("\ndata:"))
}

/// What a line says, and where that begins in it.
pub(super) fn data_of(line: &str) -> Option<(usize, &str)> {
    let data = line.strip_prefix("data:")?;
    let said = data.trim_start();
    let text = said.trim_end();
    let is_json = text.starts_with(['{', '[']);
    is_json.then_some((line.len() - said.len(), text))
}
