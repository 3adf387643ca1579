//! The rows that counting reads and writes, as RowBinary has them. Each field has the name of its column, or of its expression
//! in `mod.rs`.

use crate::columns::native::frames::checksum_of;
use ::clickhouse::Row;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::{self, Formatter};
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A text that a row hands on to others: however many have it, it is kept once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name(Arc<str>);

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for Name {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Name;

            fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Name, E> {
                Ok(text.into())
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// What counting has to know of a row of `otel_traces`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Row, Deserialize)]
pub struct SpanRow {
    /// When it was read, in microseconds since 1970, by the clock of the server.
    pub read_at: u64,
    /// What of it makes it another row: see `CHECKSUM` in `mod.rs`.
    pub checksum: u64,
    /// Its workspace.
    pub workspace: String,
    /// Lower-case hex, as all ids.
    pub trace: String,
    /// Its id.
    pub span: String,
    /// Its parent; empty for none.
    pub parent: String,
    /// `JoinState`.
    pub join_state: String,
    /// The segment it came with, as a UUID.
    pub segment: String,
    /// When it began, in nanoseconds since 1970.
    pub began: i64,
    /// How long it took, in nanoseconds.
    pub duration: u64,
    /// `SpanName`.
    pub name: String,
    /// `SpanKind`.
    pub kind: String,
    /// `ServiceName`.
    pub service: String,
    /// `ScopeName`.
    pub scope: String,
    /// `StatusCode` is `Error`.
    pub is_error: bool,
    /// `ErrorType`.
    pub error_type: String,
    /// `ErrorMessage`, or of a failed span the description of its status.
    pub error_message: String,
    /// `Operation`.
    pub operation: String,
    /// `Provider`.
    pub provider: String,
    /// `RequestModel`.
    pub request_model: String,
    /// `ResponseModel`.
    pub response_model: String,
    /// `ResponseId`.
    pub response_id: String,
    /// `SessionId`.
    pub session: Name,
    /// `ConversationId`.
    pub conversation: Name,
    /// `UserId`.
    pub user: Name,
    /// `AgentName`.
    pub agent: Name,
    /// `WorkflowName`.
    pub workflow: Name,
    /// `InputTokens`, and so the next ones.
    pub input_tokens: Option<u64>,
    /// Of the answer.
    pub output_tokens: Option<u64>,
    /// Of the input.
    pub cache_read_tokens: Option<u64>,
    /// Of the input.
    pub cache_write_tokens: Option<u64>,
    /// Of those written, what is kept for an hour.
    pub cache_write_1h_tokens: Option<u64>,
    /// Of the answer.
    pub reasoning_tokens: Option<u64>,
    /// Of the input.
    pub input_audio_tokens: Option<u64>,
    /// Of the answer.
    pub output_audio_tokens: Option<u64>,
    /// In 1e-12 US dollars.
    pub cost_total: Option<i64>,
    /// In 1e-12 US dollars.
    pub cost_input: Option<i64>,
    /// In 1e-12 US dollars.
    pub cost_output: Option<i64>,
    /// `CostSource`.
    pub cost_source: String,
    /// `PriceId`.
    pub price_id: String,
    /// `PriceBook`.
    pub price_book: String,
    /// `ServiceTier`.
    pub service_tier: String,
    /// In nanoseconds.
    pub time_to_first_token: Option<u64>,
    /// `Streaming`.
    pub streaming: Option<bool>,
    /// `TimingQuality`.
    pub timing_quality: String,
    /// `FinishReasons`.
    pub finish_reasons: Vec<String>,
    /// `FinishReasonsNormalized`.
    pub finish_reasons_normalized: Vec<String>,
    /// `InputPreview`
    pub input_preview: String,
    /// `OutputPreview`
    pub output_preview: String,
}

/// A row of `genai_report_rows`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Row, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "each is the column of its name: schema/rollups.rs says what it holds")]
pub struct ReportRow {
    pub workspace: String,
    pub timestamp: i64,
    pub trace_id: String,
    pub span_id: String,
    pub span_kind: String,
    pub service_name: String,
    pub parent_span_id: String,
    pub span_name: String,
    pub duration: Option<u64>,
    pub operation: String,
    pub counted_as: String,
    pub counted_in: String,
    pub provider: String,
    pub request_model: String,
    pub response_model: String,
    pub model: String,
    pub response_id: String,
    pub session_id: Name,
    pub conversation_id: Name,
    pub user_id: Name,
    pub agent_name: Name,
    pub workflow_name: Name,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub total_tokens: Option<u64>,
    pub cache_read_tokens: Option<u64>,
    pub cache_write_tokens: Option<u64>,
    pub cache_write_1h_tokens: Option<u64>,
    pub reasoning_tokens: Option<u64>,
    pub input_audio_tokens: Option<u64>,
    pub output_audio_tokens: Option<u64>,
    pub cost_total: Option<i64>,
    pub cost_input: Option<i64>,
    pub cost_output: Option<i64>,
    pub cost_source: String,
    pub price_id: String,
    pub price_book: String,
    pub service_tier: String,
    pub time_to_first_token: Option<u64>,
    pub streaming: Option<bool>,
    pub timing_quality: String,
    pub finish_reasons: Vec<String>,
    pub finish_reasons_normalized: Vec<String>,
    pub is_error: u8,
    pub error_type: String,
    pub error_message: String,
    pub reported_by: Vec<String>,
    pub reports: u64,
    pub digest: u64,
    pub version: u64,
    pub is_deleted: u8,
}

/// A row of `genai_trace_rows`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Row, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "each is the column of its name: schema/rollups.rs says what it holds")]
pub struct TraceRow {
    pub workspace: String,
    pub timestamp: i64,
    pub trace_id: String,
    pub duration: u64,
    pub root_span_id: String,
    pub root_name: String,
    pub root_service: String,
    pub is_orphan: u8,
    pub spans: u64,
    pub errors: u64,
    pub calls: u64,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub total_tokens: Option<u64>,
    pub cache_read_tokens: Option<u64>,
    pub cache_write_tokens: Option<u64>,
    pub cache_write_1h_tokens: Option<u64>,
    pub reasoning_tokens: Option<u64>,
    pub cost_total: Option<i128>,
    pub models: Vec<String>,
    pub providers: Vec<String>,
    pub agents: Vec<String>,
    pub workflows: Vec<String>,
    pub session_id: Name,
    pub user_id: Name,
    pub input_preview: String,
    pub output_preview: String,
    pub checksum: u64,
    pub digest: u64,
    pub version: u64,
    pub is_deleted: u8,
}

/// What tells a row of the roll-up tables from others of its trace. Of a trace itself, span, kind and service are empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// When it began, in nanoseconds since 1970.
    pub began: i64,
    /// The span.
    pub span: String,
    /// Its kind.
    pub kind: String,
    /// Its service.
    pub service: String,
}

/// A row that one of the roll-up tables has: which, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Stored {
    /// Its workspace.
    pub workspace: String,
    /// Its trace.
    pub trace: String,
    /// When it began, in nanoseconds since 1970.
    pub began: i64,
    /// The span; empty for the row of the trace itself.
    pub span: String,
    /// Its kind.
    pub kind: String,
    /// Its service.
    pub service: String,
    /// Of what it holds.
    pub digest: u64,
    /// When the rows that it follows from were read.
    pub version: u64,
    /// Whether it says that there is no such row any more.
    pub is_deleted: u8,
}

impl Stored {
    /// What tells it from others of its trace.
    #[must_use]
    pub fn key(&self) -> Key {
        let Self { began, span, kind, service, .. } = self.clone();
        Key { began, span, kind, service }
    }
}

impl ReportRow {
    /// What tells it from others of its trace.
    #[must_use]
    pub fn key(&self) -> Key {
        Key {
            began: self.timestamp,
            span: self.span_id.clone(),
            kind: self.span_kind.clone(),
            service: self.service_name.clone(),
        }
    }
}

impl TraceRow {
    /// What tells it from others of its trace, of which there are none but those of earlier times.
    #[must_use]
    pub fn key(&self) -> Key {
        Key { began: self.timestamp, span: String::new(), kind: String::new(), service: String::new() }
    }
}

/// A hash of what a row holds: rows without their version have the same if they say the same.
#[must_use]
pub fn digest_of(row: &impl Hash) -> u64 {
    let mut bytes = Bytes::default();
    row.hash(&mut bytes);
    bytes.finish()
}

/// What is hashed, as bytes: unlike the hasher of the standard library, CityHash is the same in every version.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = checksum_of(&self.0);
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}
