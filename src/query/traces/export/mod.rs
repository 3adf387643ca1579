//! `GET /traces/{trace_id}/export`: a trace as a file: Markdown for people and agents, JSON as the read API answers it, OTLP/JSON that can
//! be ingested again.
//!
//! ```text
//! keys of the spans, and how large each is --chunks--> their rows, a few MiB at a time --> pieces of text, at most 64 MiB --> the answer
//! ```
//!
//! The whole text is made before the first byte is sent, so that what is too large is refused with a status. Few are made at the same
//! time, and the turn ends when the last byte has been sent.

mod json;
mod lacking;
mod markdown;
mod otlp;
mod room;
mod row;
mod statements;

use super::row::{Range, SPANS_MAX};
use crate::query::answer::Refusal;
use crate::query::conditions::trace_id;
use crate::query::mode::Mode;
use crate::query::page::Checks;
use crate::query::parameters::Parameters;
use crate::query::request::{Api, workspace};
use crate::workspace::Workspace;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use row::Key;
use serde_json::Value;
use std::convert::Infallible;
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
        super::rows(api, workspace, ids.to_vec(), mode).await?.into_iter().next().ok_or_else(gone)
    }

    /// The spans in parts, each of which may be read at once.
    fn chunks(&self) -> impl Iterator<Item = &[Key]> {
        let mut rest = self.keys;
        std::iter::from_fn(move || {
            let mut bytes = 0_u64;
            let fits = |key: &&Key| {
                bytes = bytes.saturating_add(key.bytes);
                bytes <= CHUNK_BYTES
            };
            let rows = rest.iter().take(CHUNK_ROWS).take_while(fits).count().max(1);
            let (chunk, after) = rest.split_at_checked(rows)?;
            rest = after;
            Some(chunk)
        })
    }
}

/// The pieces, one after the other, as a file of this name. The turn ends when the last was taken.
fn answer(pieces: Vec<String>, name: &str, content_type: &'static str, turn: OwnedSemaphorePermit) -> Response {
    let length: usize = pieces.iter().map(String::len).sum();
    let pieces = futures_util::stream::iter(pieces).map(move |piece| {
        let _held_until_the_end = &turn;
        Ok::<_, Infallible>(Bytes::from(piece))
    });
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_path_may_name_the_format() {
        assert_eq!(Format::of_suffix("abc.md"), Some(("abc", Format::Markdown)));
        assert_eq!(Format::of_suffix("a.b.json"), Some(("a.b", Format::Json)));
        assert_eq!(Format::of_suffix("abc"), None);
    }
}
