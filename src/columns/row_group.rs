//! How a span fills a row of the columns that `table.rs` lists.

use super::build::fixed::Fixed64;
use super::build::map::{Map, MapMark, MapRow};
use super::build::strings::Strings;
use super::column_data::{ColumnData, Every};
use super::nested::{Events, EventsMark, Links, LinksMark};
use super::row_limit::{RowTooLarge, fitting};
use super::row_size::scalar_bytes;
use super::scalars::{SpanScalars, StatusCode};
use super::table::{SOURCES, Source};
use super::typed::{CallSink, Entries, Filled, Kind, SpanView, TypedColumns, push_text};
use crate::genai::plausible::Tally;
use crate::ids::{SpanId, TraceId};
use crate::time::UnixNanos;
use crate::workspace::Workspace;

/// Rows of spans as columns, from one request; many of them make one block.
///
/// A span is added in steps: [`begin`](Self::begin), its attributes, events and links as they come, then
/// [`finish`](Self::finish), or [`roll_back`](Self::roll_back) when it turns out to be invalid.
#[derive(Debug, Default)]
pub struct RowGroup {
    rows: usize,
    /// What each row takes in a block, at most.
    row_bytes: Vec<usize>,
    /// Their sum.
    counted_bytes: usize,
    /// One a row, beside its ids; not a column.
    fingerprints: Vec<u64>,
    /// The days that its spans began on, as days since 1970: each is a partition of the table. Sorted.
    days: Vec<i64>,
    timestamp: Fixed64,
    trace_id: Strings,
    span_id: Strings,
    parent_span_id: Strings,
    trace_state: Strings,
    span_name: Strings,
    span_kind: Strings,
    service_name: Strings,
    resource_attributes: Map,
    scope_name: Strings,
    scope_version: Strings,
    span_attributes: Map,
    duration: Fixed64,
    status_code: Strings,
    status_message: Strings,
    events: Events,
    links: Links,
    raw_request: Strings,
    raw_response: Strings,
    workspace: Workspace,
    typed: TypedColumns,
    /// Attributes that are content; it lags like the typed columns.
    content_attributes: Map,
    /// The span under way has something that a typed column may come of.
    is_typed: bool,
}

/// Where an unfinished span began.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    span_attributes: MapMark,
    content: MapMark,
    events: EventsMark,
    links: LinksMark,
}

impl RowGroup {
    /// An empty group for a request of so many bytes: the first span's attributes have room.
    #[must_use]
    pub fn for_request_of(bytes: usize, workspace: Workspace) -> Self {
        Self { span_attributes: Map::for_row_of(bytes), workspace, ..Self::default() }
    }

    /// Number of finished spans.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The days that its spans began on, as days since 1970, sorted: the partitions that an insert of it touches.
    #[must_use]
    pub fn days(&self) -> &[i64] {
        &self.days
    }

    /// How many days there would be with a span that begins at `start`.
    #[must_use]
    pub fn days_with(&self, start: UnixNanos) -> usize {
        self.days.len() + usize::from(self.days.binary_search(&start.day()).is_err())
    }

    /// Trace and span id of each row, as their columns hold them: lower-case hex.
    pub fn ids(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.trace_id.iter().zip(self.span_id.iter())
    }

    /// The kinds of its spans, as the column holds them.
    pub fn kinds(&self) -> impl Iterator<Item = &[u8]> {
        self.span_kind.iter()
    }

    /// The workspace of all its spans.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// When its spans began, in nanoseconds since 1970.
    pub fn begins(&self) -> impl Iterator<Item = i64> {
        self.timestamp.i64s()
    }

    /// What each row's report said, as a hash: reports of one span that say the same have the same.
    #[must_use]
    pub fn fingerprints(&self) -> &[u64] {
        &self.fingerprints
    }

    /// Bytes held, which is about what the rows take in a block.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        SOURCES
            .iter()
            .map(|source| {
                let content = self.column(*source);
                content.ends.iter().map(|ends| size_of_val(*ends)).sum::<usize>()
                    + content.leaves.iter().map(|leaf| leaf.len()).sum::<usize>()
            })
            .sum::<usize>()
            + size_of_val(self.fingerprints.as_slice())
    }

    /// Bytes that the rows take in a block, at most; each column counts.
    #[must_use]
    pub fn counted_bytes(&self) -> usize {
        self.counted_bytes
    }

    /// What each row takes in a block, at most.
    pub(super) fn row_bytes(&self) -> &[usize] {
        &self.row_bytes
    }

    /// What the span under way takes as a row, but for what `typed_bytes` counts.
    fn bytes_of_row(&self, mark: Mark, span: &SpanScalars<'_>, resource: &MapRow) -> usize {
        scalar_bytes(span, resource, &self.workspace) + self.bytes_since(mark)
    }

    /// What fills a column.
    pub(super) fn column(&self, source: Source) -> ColumnData<'_> {
        match source {
            Source::Timestamp => ColumnData::plain(self.timestamp.bytes()),
            Source::TraceId => ColumnData::plain(self.trace_id.bytes()),
            Source::SpanId => ColumnData::plain(self.span_id.bytes()),
            Source::ParentSpanId => ColumnData::plain(self.parent_span_id.bytes()),
            Source::TraceState => ColumnData::plain(self.trace_state.bytes()),
            Source::SpanName => ColumnData::plain(self.span_name.bytes()),
            Source::SpanKind => ColumnData::plain(self.span_kind.bytes()),
            Source::ServiceName => ColumnData::plain(self.service_name.bytes()),
            Source::ResourceAttributes => ColumnData::map(&self.resource_attributes),
            Source::ScopeName => ColumnData::plain(self.scope_name.bytes()),
            Source::ScopeVersion => ColumnData::plain(self.scope_version.bytes()),
            Source::SpanAttributes => ColumnData::map(&self.span_attributes),
            Source::Duration => ColumnData::plain(self.duration.bytes()),
            Source::StatusCode => ColumnData::plain(self.status_code.bytes()),
            Source::StatusMessage => ColumnData::plain(self.status_message.bytes()),
            Source::EventsTimestamp => ColumnData::array(self.events.ends.as_slice(), self.events.timestamp.bytes()),
            Source::EventsName => ColumnData::array(self.events.ends.as_slice(), self.events.name.bytes()),
            Source::EventsAttributes => ColumnData::array_of_maps(self.events.ends.as_slice(), &self.events.attributes),
            Source::LinksTraceId => ColumnData::array(self.links.ends.as_slice(), self.links.trace_id.bytes()),
            Source::LinksSpanId => ColumnData::array(self.links.ends.as_slice(), self.links.span_id.bytes()),
            Source::LinksTraceState => ColumnData::array(self.links.ends.as_slice(), self.links.trace_state.bytes()),
            Source::LinksAttributes => ColumnData::array_of_maps(self.links.ends.as_slice(), &self.links.attributes),
            Source::RawRequest => ColumnData::plain(self.raw_request.bytes()),
            Source::RawResponse => ColumnData::plain(self.raw_response.bytes()),
            Source::SegmentId => ColumnData::every(Every::Segment),
            Source::Workspace => ColumnData::every(Every::Text(self.workspace.as_str())),
            Source::FinishReasons => ColumnData::lagging_lists(&self.typed.finish_reasons),
            Source::FinishReasonsNormalized => ColumnData::lagging_lists(&self.typed.finish_reasons_normalized),
            Source::Streaming => ColumnData::nullable(&self.typed.streaming),
            Source::RequestParameters => ColumnData::lagging_map(&self.typed.request_parameters),
            Source::ContentAttributes => ColumnData::lagging_map(&self.content_attributes),
            Source::JoinState => ColumnData::lagging_text(&self.typed.join_state),
            Source::SpanFlags => {
                ColumnData::plain(self.typed.flags.bytes()).lagging(self.typed.flags.len(), [(0, 4), (0, 0)])
            }
            Source::ScopeAttributes => ColumnData::lagging_map(&self.typed.scope_attributes),
            Source::ResourceSchemaUrl => ColumnData::lagging_text(&self.typed.resource_schema_url),
            Source::ScopeSchemaUrl => ColumnData::lagging_text(&self.typed.scope_schema_url),
            Source::InputPreview => ColumnData::lagging_text(&self.typed.input_preview),
            Source::OutputPreview => ColumnData::lagging_text(&self.typed.output_preview),
            Source::Text(column) => ColumnData::lagging_text(self.typed.text(column)),
            Source::Count(column) => ColumnData::nullable(self.typed.count(column)),
            Source::Cost(column) => ColumnData::nullable(self.typed.cost(column)),
        }
    }

    /// Bytes of the attributes, content, events and links that were added since `mark`.
    fn bytes_since(&self, mark: Mark) -> usize {
        let entries = |map: &Map, mark| {
            let (keys, values) = map.since(mark);
            keys.len() + values.len()
        };
        entries(&self.span_attributes, mark.span_attributes)
            + entries(&self.content_attributes, mark.content)
            + self.events.bytes_since(mark.events)
            + self.links.bytes_since(mark.links)
    }

    /// Starts a span.
    #[must_use]
    pub fn begin(&self) -> Mark {
        Mark {
            span_attributes: self.span_attributes.mark(),
            content: self.content_attributes.mark(),
            events: self.events.mark(),
            links: self.links.mark(),
        }
    }

    /// Adds an attribute to the span under way.
    pub fn attribute(&mut self, key: &[u8], value: &[u8]) {
        self.span_attributes.push(key, value);
    }

    /// The attributes of the span under way: those that are not content, and those that are.
    #[must_use]
    pub fn entries_since(&self, mark: Mark) -> (Entries<'_>, Entries<'_>) {
        let attributes = Entries::since(&self.span_attributes, mark.span_attributes);
        (attributes, Entries::since(&self.content_attributes, mark.content))
    }

    /// Adds an attribute of which a typed column may come.
    #[inline]
    pub fn attribute_of(&mut self, kind: Kind, key: &[u8], value: &[u8]) {
        match kind {
            Kind::Ordinary => return self.span_attributes.push(key, value),
            Kind::Typed => self.span_attributes.push(key, value),
            Kind::Content => self.content_attributes.push(key, value),
        }
        self.is_typed = true;
    }

    /// Says that something else than an attribute may fill a typed column of the span under way: an event.
    pub fn mark_typed(&mut self) {
        self.is_typed = true;
    }

    /// Adds an attribute to the event under way; [`event`](Self::event) closes it.
    pub fn event_attribute(&mut self, key: &[u8], value: &[u8]) {
        self.events.attributes.push(key, value);
    }

    /// Adds an event, with the attributes given since the last one.
    pub fn event(&mut self, at: UnixNanos, name: &[u8]) {
        self.events.push(at, name);
    }

    /// Adds an attribute to the link under way; [`link`](Self::link) closes it.
    pub fn link_attribute(&mut self, key: &[u8], value: &[u8]) {
        self.links.attributes.push(key, value);
    }

    /// Adds a link, with the attributes given since the last one.
    pub fn link(&mut self, trace_id: TraceId, span_id: SpanId, trace_state: &[u8]) {
        self.links.push(trace_id, span_id, trace_state);
    }

    /// How many calls had something that cannot be true, by rule.
    #[must_use]
    pub fn implausible(&self) -> Tally {
        self.typed.implausible
    }

    /// What the span under way has of a call, and where the call goes. `None` for a span without one, which most are.
    /// Its attributes are complete.
    pub fn view<'g>(
        &'g mut self,
        mark: Mark,
        span: &SpanScalars<'g>,
        resource: &MapRow,
    ) -> Option<(SpanView<'g>, CallSink<'g>)> {
        // whatever a failed span has may say what kind of failure it was
        if !self.is_typed && span.status != StatusCode::Error {
            return None;
        }
        let repeated = self.drop_repeated(mark);
        let row_bytes = self.bytes_of_row(mark, span, resource);
        let content = Entries::since(&self.content_attributes, mark.content);
        let view = SpanView {
            attributes: Entries::since(&self.span_attributes, mark.span_attributes),
            content,
            events: self.events.since(mark.events),
            start: span.start,
            duration_nanos: span.duration_nanos,
            name: span.name,
            scope_name: span.scope_name,
            is_error: span.status == StatusCode::Error,
            status_message: span.status_message,
        };
        Some((view, CallSink { columns: &mut self.typed, row: self.rows, row_bytes, repeated, content }))
    }

    /// Where the call of the span under way goes, for a caller that has made the call already.
    pub fn sink(&mut self, mark: Mark, span: &SpanScalars<'_>, resource: &MapRow) -> CallSink<'_> {
        let repeated = self.drop_repeated(mark);
        let row_bytes = self.bytes_of_row(mark, span, resource);
        let content = Entries::since(&self.content_attributes, mark.content);
        CallSink { columns: &mut self.typed, row: self.rows, row_bytes, repeated, content }
    }

    /// Ends the span under way, whose typed columns a [`CallSink`] has filled or are empty; returns how many attributes were
    /// dropped because a later one had the same key.
    ///
    /// # Errors
    /// If no block takes a row of that size. The span is still under way, to be [rolled back](Self::roll_back).
    pub fn finish(
        &mut self,
        mark: Mark,
        span: &SpanScalars<'_>,
        resource: &MapRow,
        filled: Option<Filled>,
    ) -> Result<usize, RowTooLarge> {
        let (bytes, repeated) = match filled {
            Some(filled) => {
                self.content_attributes.leave_out(mark.content, &filled.held_attributes);
                (filled.row_bytes, filled.repeated)
            }
            None => {
                let repeated = self.drop_repeated(mark);
                (fitting(self.bytes_of_row(mark, span, resource))?, repeated)
            }
        };
        self.is_typed = false;
        let content = &mut self.content_attributes;
        if content.has_more_than(mark.content) {
            content.pad_to(self.rows, mark.content);
            content.close_row();
        }
        if let Err(place) = self.days.binary_search(&span.start.day()) {
            self.days.insert(place, span.start.day());
        }
        self.timestamp.push(span.start.nanos().to_le_bytes());
        self.trace_id.push(&span.trace_id.hex());
        self.span_id.push(&span.span_id.hex());
        match span.parent {
            Some(parent) => self.parent_span_id.push(&parent.hex()),
            None => self.parent_span_id.push(b""),
        }
        self.trace_state.push(span.trace_state);
        self.span_name.push(span.name);
        self.span_kind.push(span.kind.literal().as_bytes());
        self.service_name.push(span.service_name);
        self.resource_attributes.push_row(resource);
        self.scope_name.push(span.scope_name);
        self.scope_version.push(span.scope_version);
        self.finish_rare(span);
        self.span_attributes.close_row();
        self.duration.push(span.duration_nanos.to_le_bytes());
        self.status_code.push(span.status.literal().as_bytes());
        self.status_message.push(span.status_message);
        self.events.close_row();
        self.links.close_row();
        self.raw_request.push(span.raw_request);
        self.raw_response.push(span.raw_response);
        self.fingerprints.push(span.fingerprint);
        self.rows += 1;
        self.row_bytes.push(bytes);
        self.counted_bytes += bytes;
        debug_assert!(self.is_even(), "each column has a value for each row");
        Ok(repeated)
    }

    /// Whether each column that does not lag has as many rows as the group.
    fn is_even(&self) -> bool {
        let texts = [
            &self.trace_id,
            &self.span_id,
            &self.parent_span_id,
            &self.trace_state,
            &self.span_name,
            &self.span_kind,
            &self.service_name,
            &self.scope_name,
            &self.scope_version,
            &self.status_code,
            &self.status_message,
            &self.raw_request,
            &self.raw_response,
        ];
        let lists = [self.resource_attributes.ends(), self.span_attributes.ends()];
        let numbers = [self.timestamp.len(), self.duration.len(), self.fingerprints.len(), self.row_bytes.len()];
        let nested = [self.events.ends.len(), self.links.ends.len()];
        let lengths = texts.map(Strings::len).into_iter().chain(lists.map(<[u64]>::len)).chain(numbers).chain(nested);
        lengths.into_iter().all(|length| length == self.rows)
    }

    /// Of several attributes of the span under way that have one key the last stays; returns how many went.
    fn drop_repeated(&mut self, mark: Mark) -> usize {
        let repeated = self.span_attributes.keep_last_of_each_key(mark.span_attributes);
        if !self.content_attributes.has_more_than(mark.content) {
            return repeated;
        }
        repeated + self.content_attributes.keep_last_of_each_key(mark.content)
    }

    /// What few spans have, and is not an attribute.
    fn finish_rare(&mut self, span: &SpanScalars<'_>) {
        let (row, typed) = (self.rows, &mut self.typed);
        for (column, text) in [
            (&mut typed.join_state, span.join_state.literal().as_bytes()),
            (&mut typed.resource_schema_url, span.resource_schema_url),
            (&mut typed.scope_schema_url, span.scope_schema_url),
        ] {
            if !text.is_empty() {
                push_text(column, row, text);
            }
        }
        if span.flags != 0 {
            typed.flags.pad_to(row);
            typed.flags.push(span.flags.to_le_bytes());
        }
        if let Some(attributes) = span.scope_attributes.filter(|attributes| attributes.entries() > 0) {
            typed.scope_attributes.pad_to(row, typed.scope_attributes.mark());
            typed.scope_attributes.push_row(attributes);
        }
    }

    /// Makes room for as many rows like those there are as `unread` bytes of a request may bring, when one took `read`.
    ///
    /// What columns repeat can make rows much larger than the request, so the room is at most twice the bytes unread.
    pub fn reserve_alike(&mut self, read: usize, unread: usize) {
        let Some(row_bytes) = self.counted_bytes.checked_div(self.rows) else { return };
        let rows = (unread / read.max(1)).min(unread.saturating_mul(2) / row_bytes.max(1));
        // rows are not quite alike, and outgrowing the room would double it
        let more = rows + rows / 8;
        for column in [
            &mut self.trace_id,
            &mut self.span_id,
            &mut self.parent_span_id,
            &mut self.trace_state,
            &mut self.span_name,
            &mut self.span_kind,
            &mut self.service_name,
            &mut self.scope_name,
            &mut self.scope_version,
            &mut self.status_code,
            &mut self.status_message,
            &mut self.events.name,
            &mut self.raw_request,
            &mut self.raw_response,
        ] {
            column.reserve_alike(self.rows, more);
        }
        for column in [&mut self.resource_attributes, &mut self.span_attributes, &mut self.events.attributes] {
            column.reserve_alike(self.rows, more);
        }
        for column in [&mut self.timestamp, &mut self.duration, &mut self.events.timestamp] {
            column.reserve_alike(self.rows, more);
        }
        self.events.ends.reserve(more);
        self.links.ends.reserve(more);
        self.fingerprints.reserve(more);
        self.content_attributes.reserve_alike(self.rows, more);
        self.typed.reserve_alike(self.rows, more);
    }

    /// Forgets the span under way.
    pub fn roll_back(&mut self, mark: Mark) {
        self.is_typed = false;
        self.content_attributes.truncate(mark.content);
        self.span_attributes.truncate(mark.span_attributes);
        self.events.truncate(mark.events);
        self.links.truncate(mark.links);
    }
}

mod content;
mod places;
mod reused;
mod selected;

pub use places::Place;
pub use reused::SpareGroups;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rolled_back_span_leaves_nothing() {
        let mut rows = RowGroup::default();
        let mark = rows.begin();
        rows.attribute(b"k", b"v");
        rows.event_attribute(b"e", b"v");
        rows.event(UnixNanos::new(1).unwrap(), b"event");
        rows.link(TraceId::new([1; 16]).unwrap(), SpanId::new([1; 8]).unwrap(), b"");
        rows.event_attribute(b"left open", b"v");
        rows.roll_back(mark);
        assert_eq!((rows.rows(), rows.bytes_len()), (0, 0));
    }
}
