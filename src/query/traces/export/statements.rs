//! The statements of an export.

use super::super::row::SPANS_MAX;
use super::super::statements::{push_where, spans};
use super::Exported;
use super::row::{COLUMNS, Key};
use crate::clickhouse::Statement;
use crate::query::expressions::{NAME, STATUS};
use crate::query::request::Api;
use crate::query::traces::row::Range;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use ::clickhouse::Row;
use serde::Deserialize;

/// Failures that are told.
const FAILURES_MAX: u64 = 100;
/// Bytes of each that are told.
const FAILURE_BYTES: u64 = 4 << 10;

/// The keys of all spans, by time; one more than may be exported.
pub(super) fn keys(api: &Api, workspace: &Workspace, ids: &[String], range: Option<&Range>) -> Statement {
    let content = "byteSize(SpanAttributes, ContentAttributes, `Events.Attributes`, `Links.Attributes`, InputMessages, OutputMessages)";
    let mut statement = Statement::new(&format!(
        "SELECT SpanId AS span_id, toUnixTimestamp64Nano(Timestamp) AS started, \
         {content} + byteSize(ResourceAttributes, ScopeAttributes, ToolDefinitions, SystemPrompt) AS bytes, \
         {content} AS content_bytes FROM {}",
        spans(api)
    ));
    push_where(&mut statement, workspace, ids, range);
    statement.push(" ORDER BY Timestamp, SpanId LIMIT ").bind(SPANS_MAX + 1);
    statement
}

/// Rows that have one of these keys, by time; others of the same spans may be among them.
pub(super) fn rows(trace: &Exported<'_>, keys: &[Key]) -> Statement {
    let columns: Vec<String> = COLUMNS.iter().map(|(name, of)| format!("{of} AS {name}")).collect();
    let mut statement = Statement::new(&format!("SELECT {} FROM {}", columns.join(", "), spans(trace.api)));
    push_where(&mut statement, trace.workspace, trace.ids, None);
    let mut times = keys.iter().filter_map(|key| UnixNanos::from_i64(key.started));
    if let Some(first) = times.next() {
        let last = times.fold(first, UnixNanos::max);
        statement.push(" AND Timestamp >= ").bind(first).push(" AND Timestamp <= ").bind(last);
    }
    let mut ids: Vec<String> = keys.iter().map(|key| key.span_id.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    statement.push(" AND SpanId IN ").bind(ids).push(" ORDER BY Timestamp, SpanId");
    statement
}

/// A span that failed.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Failed {
    pub(super) span_id: String,
    pub(super) name: String,
    pub(super) error_type: String,
    pub(super) message: String,
}

/// Those of the trace, the earliest first.
pub(super) fn failures(trace: &Exported<'_>) -> Statement {
    let mut statement = Statement::new(&format!("SELECT SpanId AS span_id, {NAME} AS name, ErrorType AS error_type, "));
    statement.push("substringUTF8(if(ErrorMessage = '', StatusMessage, ErrorMessage), 1, ").bind(FAILURE_BYTES);
    statement.push(&format!(") AS message FROM {}", spans(trace.api)));
    push_where(&mut statement, trace.workspace, trace.ids, trace.range);
    statement.push(&format!(" AND {STATUS} = 'error' ORDER BY Timestamp, SpanId LIMIT ")).bind(FAILURES_MAX);
    statement
}
