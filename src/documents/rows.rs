//! The rows of a document: spans, evaluator results, and roots to which captured calls may be joined.

use super::span::DocumentSpan;
use crate::bounds::{REQUEST_ROWS_BYTES_MAX, REQUEST_SPANS_MAX};
use crate::columns::{MapRow, Mark, Records, RowGroup, RowTooLarge, SpanScalars, Table};
use crate::conventions;
use crate::genai::prices::Prices;
use crate::genai::semconv;
use crate::ids::{SpanId, TraceId};
use crate::numbers::to_u64;
use crate::scores::EvaluatorResult;
use crate::scores::rows::{Stamp, put_result};
use crate::time::UnixNanos;
use crate::workspace;
use std::hash::Hasher as _;
use twox_hash::XxHash3_64;

/// How much one document may become.
#[derive(Debug, Clone, Copy)]
pub struct DocumentBounds {
    /// Spans.
    pub spans: usize,
    /// Bytes of rows.
    pub bytes: usize,
}

impl Default for DocumentBounds {
    fn default() -> Self {
        Self { spans: REQUEST_SPANS_MAX, bytes: REQUEST_ROWS_BYTES_MAX }
    }
}

/// A document becomes more than one may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// One row.
    #[error("the span {name:?} is too large: {why}; send less text")]
    Row {
        /// The span's name.
        name: String,
        /// How large it is.
        why: RowTooLarge,
    },
    /// All rows.
    #[error("the document becomes more than {0} spans; send it in parts")]
    Spans(usize),
    /// All bytes.
    #[error("the document becomes more than {0} bytes of rows; send it in parts")]
    Bytes(usize),
}

/// A span without a parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRoot {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// When it began.
    pub start: UnixNanos,
    /// The session that it names.
    pub session: Option<String>,
}

/// The rows of documents of one workspace.
#[derive(Debug)]
pub struct DocumentRows<'p> {
    /// Spans.
    pub spans: Box<RowGroup>,
    /// Evaluator results.
    pub results: Box<Records>,
    /// Spans without a parent.
    pub roots: Vec<DocumentRoot>,
    prices: Option<&'p Prices>,
    bounds: DocumentBounds,
    /// Name and version of the instrumentation scope of its spans.
    scope_name: &'static str,
    /// One more attribute of the resource of its spans.
    mark: Option<(&'static str, &'p str)>,
}

impl<'p> DocumentRows<'p> {
    /// No rows yet; `spans` is empty.
    #[must_use]
    pub fn new(spans: Box<RowGroup>, prices: Option<&'p Prices>, bounds: DocumentBounds) -> Self {
        let results = Box::new(Records::new(Table::EvaluatorResults, spans.workspace().clone()));
        Self { spans, results, roots: Vec::new(), prices, bounds, scope_name: "", mark: None }
    }

    /// Gives the resource of all spans one more attribute.
    pub fn mark(&mut self, key: &'static str, value: &'p str) {
        self.mark = Some((key, value));
    }

    pub(super) fn begin(&mut self, scope_name: &'static str) {
        self.scope_name = scope_name;
    }

    /// Adds the row of a span.
    pub(super) fn put(&mut self, span: &DocumentSpan<'_>) -> Result<(), TooMuch> {
        if self.spans.rows() >= self.bounds.spans {
            return Err(TooMuch::Spans(self.bounds.spans));
        }
        let mark = self.spans.begin();
        if let Err(why) = self.row(span, mark) {
            self.spans.roll_back(mark);
            return Err(TooMuch::Row { name: span.name.chars().take(100).collect(), why });
        }
        if self.spans.counted_bytes() > self.bounds.bytes {
            return Err(TooMuch::Bytes(self.bounds.bytes));
        }
        if span.parent.is_none() {
            let session = span.attributes.iter().find(|(key, _)| key == semconv::SESSION_ID);
            self.roots.push(DocumentRoot {
                trace_id: span.trace_id,
                span_id: span.span_id,
                start: span.start,
                session: session.map(|(_, value)| value.clone().into_owned()),
            });
        }
        Ok(())
    }

    /// Adds an evaluator result.
    pub(super) fn put_result(&mut self, found: &EvaluatorResult, by: &str, now: UnixNanos) -> Result<(), TooMuch> {
        let stamp = Stamp::new(found.id(self.spans.workspace().as_str()), by.to_owned(), now);
        put_result(&mut self.results, found, &stamp, 0).map_err(|why| {
            self.results.roll_back();
            TooMuch::Row { name: found.name.chars().take(100).collect(), why }
        })
    }

    fn row(&mut self, span: &DocumentSpan<'_>, mark: Mark) -> Result<(), RowTooLarge> {
        let rows = &mut self.spans;
        let mut resource = MapRow::default();
        resource.push(b"service.name", span.service_name.as_bytes());
        if let Some((key, value)) = self.mark {
            resource.push(key.as_bytes(), value.as_bytes());
        }
        resource.push(workspace::ATTRIBUTE.as_bytes(), rows.workspace().as_str().as_bytes());
        for (key, value) in &span.attributes {
            rows.attribute_of(conventions::kind(key.as_bytes()), key.as_bytes(), value.as_bytes());
        }
        let scalars = SpanScalars {
            duration_nanos: span.end.map_or(0, |end| end.nanos_since(span.start)),
            parent: span.parent,
            name: span.name.as_bytes(),
            kind: span.kind,
            service_name: span.service_name.as_bytes(),
            scope_name: self.scope_name.as_bytes(),
            scope_version: env!("CARGO_PKG_VERSION").as_bytes(),
            status: span.status,
            status_message: span.status_message.as_bytes(),
            scope_schema_url: semconv::SCHEMA_URL.as_bytes(),
            fingerprint: fingerprint(span),
            ..SpanScalars::new(span.start, span.trace_id, span.span_id)
        };
        let mut filled = None;
        if let Some((view, sink)) = rows.view(mark, &scalars, &resource) {
            let mut call = conventions::normalise(&view);
            if let Some(prices) = self.prices {
                prices.complete(&mut call, span.start);
            }
            filled = Some(sink.fill(&call)?);
        }
        rows.finish(mark, &scalars, &resource, filled)?;
        Ok(())
    }
}

/// The same for reports that say the same.
fn fingerprint(span: &DocumentSpan<'_>) -> u64 {
    let mut hash = XxHash3_64::default();
    let mut part = |bytes: &[u8]| {
        hash.write(&to_u64(bytes.len()).to_le_bytes());
        hash.write(bytes);
    };
    part(span.name.as_bytes());
    part(span.service_name.as_bytes());
    part(span.status.literal().as_bytes());
    part(span.status_message.as_bytes());
    part(span.parent.as_ref().map_or(&[], |parent| parent.bytes()));
    if span.is_timed {
        part(&span.start.nanos().to_le_bytes());
        part(&span.end.map_or(0, UnixNanos::nanos).to_le_bytes());
    }
    for (key, value) in &span.attributes {
        part(key.as_bytes());
        part(value.as_bytes());
    }
    hash.finish()
}
