//! What a request became: rows, and the spans that are not among them.

use crate::columns::{Records, RowGroup};
use crate::ids::{SpanId, TraceId};
use crate::time::UnixNanos;

/// How the sender wrote the request; only the words of a message depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Binary protobuf.
    Protobuf,
    /// OTLP/JSON.
    Json,
}

/// What a request became.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The valid spans.
    pub rows: Box<RowGroup>,
    /// What evaluators say of them in events.
    pub evaluations: Option<Box<Records>>,
    /// How many spans are not among them.
    pub rejected: usize,
    /// The first few reasons, each naming its span.
    pub reasons: Vec<String>,
    /// The spans without a parent, to which captured calls may be joined.
    pub roots: Vec<Root>,
    /// Attributes dropped because a later one of the same span had the same key.
    pub attributes_repeated: usize,
}

/// What a request became whose rows are not spans.
#[derive(Debug, Default)]
pub struct DecodedRecords {
    /// The valid items, by table.
    pub groups: Vec<Box<Records>>,
    /// Spans made of log records that report a call, a tool or a turn.
    pub spans: Option<Box<RowGroup>>,
    /// How many items are not among them.
    pub rejected: usize,
    /// The first few reasons, each naming its item.
    pub reasons: Vec<String>,
    /// Attributes dropped because a later one of the same item had the same key.
    pub attributes_repeated: usize,
}

/// A span without a parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// When it began.
    pub start: UnixNanos,
    /// What its column `SessionId` has.
    pub session: Option<String>,
}
