//! `GET /traces/{trace_id}/export`: a trace as a file: Markdown for people and agents, JSON as the read API answers it, OTLP/JSON that can
//! be ingested again.
//!
//! ```text
//! keys of the spans, and how large each is --chunks--> their rows, a few MiB at a time --> pieces of text, at most 64 MiB --> the answer
//! ```
//!
//! The whole text is made before the first byte is sent, so that what is too large is refused with a status. Few are made at the same
//! time, and an export keeps its turn until it is sent (`sending.rs`).

mod json;
mod lacking;
mod markdown;
mod otlp;
mod room;
mod row;
mod sending;
mod statements;

use super::row::{Range, SPANS_MAX};
use crate::query::answer::Refusal;
use crate::query::conditions::trace_id;
use crate::query::mode::Mode;
use crate::query::page::Checks;
use crate::query::parameters::Parameters;
use crate::query::request::{Api, workspace};
use crate::workspace::Workspace;
use axum::extract::{Path, RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use row::Key;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Bytes of rows that are read at once, unless one row alone is larger.
const CHUNK_BYTES: u64 = 8 << 20;
/// Rows that are read at once: their ids are parameters of one statement.
const CHUNK_ROWS: usize = 1_000;

/// What a trace is exported as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// For people, and for agents that read text.
    Markdown,
    /// As the read API answers.
    Json,
    /// As it can be ingested again.
    Otlp,
}

impl Format {
    const NAMES: [&str; 3] = ["md", "json", "otlp"];

    fn of(name: &str) -> Self {
        match name {
            "json" => Self::Json,
            "otlp" => Self::Otlp,
            _ => Self::Markdown,
        }
    }

    /// The format that the end of a path asks for, and what is before it.
    pub(super) fn of_suffix(path: &str) -> Option<(&str, Self)> {
        let markdown = path.strip_suffix(".md").map(|id| (id, Self::Markdown));
        markdown.or_else(|| path.strip_suffix(".json").map(|id| (id, Self::Json)))
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Markdown => "text/markdown; charset=utf-8",
            Self::Json | Self::Otlp => "application/json",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Markdown => "md",
            Self::Json => "json",
            Self::Otlp => "otlp.json",
        }
    }
}

/// `GET /traces/{trace_id}/export`
pub(in crate::query) async fn export(
    State(api): State<Arc<Api>>,
    Path((name, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let parameters = Parameters::parse(query.as_deref())?;
    parameters.refuse_others(&["format"])?;
    let mut checks = Checks::new(&parameters);
    let format = checks.word("format", "literal_error", &Format::NAMES).map_or(Format::Markdown, Format::of);
    checks.finish()?;
    file(&api, &workspace, &id, format).await
}

/// A trace as a file.
pub(super) async fn file(api: &Api, workspace: &Workspace, id: &str, format: Format) -> Result<Response, Refusal> {
    let turn = api.reads.export_turn().await?;
    let ids = [trace_id(id)];
    let range: Option<Range> = super::range(api, &ids).await?;
    let keys: Vec<Key> = api.reads.ask(&statements::keys(api, workspace, &ids, range.as_ref())).await?;
    if keys.is_empty() {
        return Err(Refusal::not_found(&format!("Trace {}/{id} not found", workspace.as_str())));
    }
    if u64::try_from(keys.len()).is_ok_and(|spans| spans > SPANS_MAX) {
        let why = format!("the trace has more than {SPANS_MAX} spans, which no export has; read them at /spans");
        return Err(Refusal::too_large(&why));
    }
    room::check(keys.iter().map(|key| key.content_bytes).sum())?;
    let trace = Exported { api, workspace, ids: &ids, range: range.as_ref(), keys: &keys };
    let pieces = match format {
        Format::Markdown => markdown::write(&trace).await?,
        Format::Json => json::write(&trace).await?,
        Format::Otlp => otlp::write(&trace).await?,
    };
    Ok(answer(pieces, &format!("trace-{}.{}", ids.concat(), format.extension()), format.content_type(), turn))
}

/// A trace that is exported.
struct Exported<'a> {
    api: &'a Api,
    workspace: &'a Workspace,
    ids: &'a [String],
    range: Option<&'a Range>,
    /// Its spans, by time.
    keys: &'a [Key],
}

impl Exported<'_> {
    /// What `GET /traces/{trace_id}` answers.
    async fn head(&self, mode: Mode) -> Result<Value, Refusal> {
        let Self { api, workspace, ids, .. } = self;
        let gone = || Refusal::not_found(&format!("Trace {}/{} not found", workspace.as_str(), ids.concat()));
        super::rows(api, workspace, super::Found { ids: ids.to_vec(), range: None }, mode)
            .await?
            .into_iter()
            .next()
            .ok_or_else(gone)
    }

    /// The spans in parts, each of which may be read at once.
    fn chunks(&self) -> impl Iterator<Item = &[Key]> {
        chunks(self.keys)
    }
}

/// Parts of a list in which equal keys are adjacent. Rows are read by their key, so equal keys (copies of a span that are not merged
/// yet) are in one part, even if it is larger then: in two parts, each would have all the copies.
fn chunks(keys: &[Key]) -> impl Iterator<Item = &[Key]> {
    let mut rest = keys;
    std::iter::from_fn(move || {
        let (mut bytes, mut rows) = (0_u64, 0);
        for copies in rest.chunk_by(Key::is_copy_of) {
            let larger = copies.iter().fold(bytes, |sum, key| sum.saturating_add(key.bytes));
            if rows > 0 && (larger > CHUNK_BYTES || rows + copies.len() > CHUNK_ROWS) {
                break;
            }
            (bytes, rows) = (larger, rows + copies.len());
        }
        let (chunk, after) = rest.split_at_checked(rows).filter(|_| rows > 0)?;
        rest = after;
        Some(chunk)
    })
}

/// The pieces, one after the other, as a file of this name.
fn answer(pieces: Vec<String>, name: &str, content_type: &'static str, turn: OwnedSemaphorePermit) -> Response {
    let length: usize = pieces.iter().map(String::len).sum();
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (headers, sending::body(pieces, length, turn)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize, bytes: u64) -> Key {
        Key { span_id: format!("{number:016x}"), started: 7, bytes, content_bytes: bytes }
    }

    #[test]
    fn every_key_is_in_one_chunk_and_copies_of_a_span_are_in_the_same() {
        let numbers =
            |numbers: Vec<usize>, bytes| numbers.into_iter().map(|number| key(number, bytes)).collect::<Vec<_>>();
        let cases = [
            (numbers((0..2_500).collect(), 1), vec![1_000, 1_000, 500]),
            // the thousandth span twice, and then three times
            (numbers((0..1_000).chain([999]).collect(), 1), vec![999, 2]),
            (numbers((0..999).chain([998, 998, 1_000]).collect(), 1), vec![998, 4]),
            (numbers(vec![3; 1_500], 1), vec![1_500]),
            (numbers((0..5).collect(), CHUNK_BYTES / 2), vec![2, 2, 1]),
            (numbers(vec![0, 1, 1, 2], CHUNK_BYTES / 2), vec![1, 2, 1]),
            (numbers((0..3).collect(), CHUNK_BYTES + 1), vec![1, 1, 1]),
            (Vec::new(), Vec::new()),
        ];
        for (keys, want) in cases {
            let chunks: Vec<&[Key]> = chunks(&keys).collect();
            assert_eq!(chunks.concat(), keys);
            assert_eq!(chunks.iter().map(|chunk| chunk.len()).collect::<Vec<_>>(), want);
        }
    }

    #[test]
    fn the_end_of_a_path_may_name_the_format() {
        assert_eq!(Format::of_suffix("abc.md"), Some(("abc", Format::Markdown)));
        assert_eq!(Format::of_suffix("a.b.json"), Some(("a.b", Format::Json)));
        assert_eq!(Format::of_suffix("abc"), None);
    }
}
