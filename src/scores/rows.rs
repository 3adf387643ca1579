//! Annotations and evaluator results as rows of their tables.

use super::annotation::{Annotation, Said};
use super::check::TextOrNumber;
use super::result::EvaluatorResult;
use crate::columns::scores::{self, annotation, result};
use crate::columns::{Records, RowTooLarge, Table};
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use serde_json::Value;

/// What is said of a score when it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Its id.
    pub id: String,
    /// Who made it; empty if that is not known.
    pub created_by: String,
    /// When it was made.
    pub created_at: UnixNanos,
    /// When this row is written: the latest counts.
    pub written_at: UnixNanos,
    /// Whether the row says that there is none any more.
    pub is_deleted: bool,
}

impl Stamp {
    /// Of what is new.
    #[must_use]
    pub fn new(id: String, created_by: String, now: UnixNanos) -> Self {
        let now = to_microseconds(now);
        Self { id, created_by, created_at: now, written_at: now, is_deleted: false }
    }
}

/// Times are told in microseconds, so no more is kept.
#[must_use]
pub fn to_microseconds(time: UnixNanos) -> UnixNanos {
    UnixNanos::from_i64(time.nanos() - time.nanos().rem_euclid(1_000)).unwrap_or(time)
}

/// An annotation as a row.
///
/// # Errors
/// If it is too large for one.
pub fn of_annotation(workspace: &Workspace, said: &Annotation, stamp: &Stamp) -> Result<Records, RowTooLarge> {
    let mut row = Records::new(Table::Annotations, workspace.clone());
    let Annotation { session_id, span_id, said } = said;
    begin(&mut row, stamp, [session_id, span_id.as_deref().unwrap_or_default(), ""]);
    row.text(annotation::KIND, said.kind().as_bytes());
    match said {
        Said::Feedback(value) => row.text(annotation::VALUE_TEXT, value.as_bytes()),
        Said::Note(text) => row.text(annotation::TEXT, text.as_bytes()),
        Said::Metadata(metadata) => {
            row.text(annotation::METADATA, Value::Object(metadata.clone()).to_string().as_bytes());
        }
        Said::Label { name, value } => {
            row.text(annotation::NAME, name.as_deref().unwrap_or_default().as_bytes());
            match value {
                TextOrNumber::Text(text) => {
                    row.text(annotation::VALUE_TYPE, b"text");
                    row.text(annotation::VALUE_TEXT, text.as_bytes());
                }
                TextOrNumber::Number(number) => {
                    row.text(annotation::VALUE_TYPE, b"numeric");
                    row.fixed(annotation::VALUE_NUMERIC, number.to_le_bytes());
                }
            }
        }
    }
    row.fixed(annotation::VERSION, version(stamp));
    row.fixed(annotation::IS_DELETED, [u8::from(stamp.is_deleted)]);
    row.finish(stamp.created_at, 0)?;
    Ok(row)
}

/// A result as a row.
///
/// # Errors
/// If it is too large for one.
pub fn of_result(workspace: &Workspace, found: &EvaluatorResult, stamp: &Stamp) -> Result<Records, RowTooLarge> {
    let mut row = Records::new(Table::EvaluatorResults, workspace.clone());
    put_result(&mut row, found, stamp, 0)?;
    Ok(row)
}

/// Adds a result to rows of results; `content` is a hash of what its sender said of it.
///
/// # Errors
/// If it is too large for a row, which is still under way then.
pub fn put_result(row: &mut Records, found: &EvaluatorResult, stamp: &Stamp, content: u128) -> Result<(), RowTooLarge> {
    begin(row, stamp, [&found.session_id, &found.span_id, &found.trace_id]);
    row.text(result::NAME, found.name.as_bytes());
    row.text(result::DATA_TYPE, found.data_type.word().as_bytes());
    if let Some(value) = found.value {
        row.fixed(result::VALUE, value.to_le_bytes());
    }
    row.text(result::STRING_VALUE, found.string_value.as_bytes());
    row.text(result::COMMENT, found.comment.as_bytes());
    row.fixed(result::VERSION, version(stamp));
    row.fixed(result::IS_DELETED, [u8::from(stamp.is_deleted)]);
    row.finish(stamp.created_at, content)
}

fn begin(row: &mut Records, stamp: &Stamp, [session, span, trace]: [&str; 3]) {
    row.fixed(scores::CREATED_AT, stamp.created_at.nanos().to_le_bytes());
    row.text(scores::ID, stamp.id.as_bytes());
    row.text(scores::SESSION_ID, session.as_bytes());
    row.text(scores::SPAN_ID, span.as_bytes());
    row.text(scores::TRACE_ID, trace.as_bytes());
    row.text(scores::CREATED_BY, stamp.created_by.as_bytes());
}

fn version(stamp: &Stamp) -> [u8; 8] {
    (stamp.written_at.nanos() / 1_000).max(0).unsigned_abs().to_le_bytes()
}
