//! THE column list of `otel_traces`, and how a span fills it.
//!
//! First the 22 columns of the OpenTelemetry ClickHouse exporter, with its names, types and literals, because Grafana
//! and ClickStack find traces by them; then our own. The DDL, the insert and the tests all read [`COLUMNS`]. A new column
//! goes to the end: tables made before get it by `ALTER TABLE`. Columns that ClickHouse fills or computes are
//! in [`FILLED`] and [`ALIASES`].
//!
//! Source: opentelemetry-collector-contrib, exporter/clickhouseexporter, the traces table.

use super::row_size::{RowTooLarge, typed_bytes};
use super::scalars::{SpanScalars, StatusCode};
use super::typed::{Costs, Counts, Entries, Event, Kind, Normalise, SpanView, Texts, TypedColumns, push_text};
use crate::bounds::ROW_BYTES_MAX;
use crate::columns::build::builders::{
    Fixed64, Lists, Map, MapMark, Nullable, Strings, StringsIter, StringsMark, as_u64, end_at,
};
use crate::columns::build::selection::Selection;
use crate::ids::{SpanId, TraceId};
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use std::ops::Range;

/// One column of the table.
pub struct Column {
    /// Its name; `Events.Name` is the nested form.
    pub name: &'static str,
    /// Its type in the table.
    pub table_type: &'static str,
    /// Its compression codec in the table.
    pub codec: &'static str,
    /// What rows have that were stored before there was this column; empty for the type's own default.
    pub default: &'static str,
    /// Its type in the blocks that Millrace sends; ClickHouse turns plain strings into its dictionary form.
    pub wire_type: &'static str,
    pub(super) data: fn(&RowGroup) -> Data<'_>,
}

impl Column {
    /// Whether a row has a list or map of values.
    pub(super) fn is_list(&self) -> bool {
        self.wire_type.starts_with("Array(") || self.wire_type.starts_with("Map(")
    }
}

/// A column's content in a [`RowGroup`]: up to two levels of cumulative ends, then up to two runs of leaf bytes.
#[derive(Default)]
pub(super) struct Data<'a> {
    pub(super) ends: [&'a [u64]; 2],
    pub(super) leaves: [&'a [u8]; 2],
    /// For a column that lags behind the group's rows.
    pub(super) lag: Option<Lag>,
    /// What every row has.
    pub(super) every: Every<'a>,
}

/// How a column that lags is filled up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lag {
    /// Rows that it has.
    pub(super) rows: usize,
    /// What a missing row adds to each run of leaf bytes: this byte, so many times.
    pub(super) pads: [(u8, usize); 2],
}

/// A value that all rows share, or that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Every<'a> {
    /// Each row has its own.
    #[default]
    Own,
    /// All rows have this text.
    Text(&'a str),
    /// All have the id of the segment that the block goes to.
    Segment,
}

impl<'a> Data<'a> {
    fn plain(bytes: &'a [u8]) -> Self {
        Self { leaves: [bytes, &[]], ..Self::default() }
    }

    fn every(every: Every<'a>) -> Self {
        Self { every, ..Self::default() }
    }

    fn map(map: &'a Map) -> Self {
        Self { ends: [map.ends(), &[]], leaves: [map.keys(), map.values()], ..Self::default() }
    }

    fn array(ends: &'a [u64], bytes: &'a [u8]) -> Self {
        Self { ends: [ends, &[]], leaves: [bytes, &[]], ..Self::default() }
    }

    fn array_of_maps(ends: &'a [u64], map: &'a Map) -> Self {
        Self { ends: [ends, map.ends()], leaves: [map.keys(), map.values()], ..Self::default() }
    }

    fn lagging(mut self, rows: usize, pads: [(u8, usize); 2]) -> Self {
        self.lag = Some(Lag { rows, pads });
        self
    }

    fn lagging_text(column: &'a Strings) -> Self {
        Self::plain(column.bytes()).lagging(column.len(), [(0, 1), (0, 0)])
    }

    fn lagging_lists(lists: &'a Lists) -> Self {
        Self::array(lists.ends(), lists.items()).lagging(lists.ends().len(), [(0, 0); 2])
    }

    fn lagging_map(map: &'a Map) -> Self {
        Self::map(map).lagging(map.ends().len(), [(0, 0); 2])
    }

    fn nullable<const W: usize>(column: &'a Nullable<W>) -> Self {
        let leaves = [column.nulls(), column.values()];
        Self { leaves, ..Self::default() }.lagging(column.nulls().len(), [(1, 1), (0, W)])
    }

    /// Whether there is nothing in it that a row without the column would not have.
    pub(super) fn is_absent(&self) -> bool {
        self.lag.is_some_and(|lag| lag.rows == 0)
    }
}

macro_rules! columns {
    ($($name:expr, $table_type:literal as $wire_type:literal $(default $default:literal)?, $codec:literal, $data:expr;)*) => {
        /// Every column, in the order of the table and of the blocks.
        pub const COLUMNS: &[Column] = &[$(Column {
            name: $name,
            table_type: $table_type,
            wire_type: $wire_type,
            codec: $codec,
            default: concat!($($default)?),
            data: $data,
        }),*];
    };
}

columns! {
    "Timestamp", "DateTime64(9)" as "DateTime64(9)", "Delta(8), ZSTD(1)", |g| Data::plain(g.timestamp.bytes());
    "TraceId", "String" as "String", "ZSTD(1)", |g| Data::plain(g.trace_id.bytes());
    "SpanId", "String" as "String", "ZSTD(1)", |g| Data::plain(g.span_id.bytes());
    "ParentSpanId", "String" as "String", "ZSTD(1)", |g| Data::plain(g.parent_span_id.bytes());
    "TraceState", "String" as "String", "ZSTD(1)", |g| Data::plain(g.trace_state.bytes());
    "SpanName", "LowCardinality(String)" as "String", "ZSTD(1)", |g| Data::plain(g.span_name.bytes());
    "SpanKind", "LowCardinality(String)" as "String", "ZSTD(1)", |g| Data::plain(g.span_kind.bytes());
    "ServiceName", "LowCardinality(String)" as "String", "ZSTD(1)", |g| Data::plain(g.service_name.bytes());
    "ResourceAttributes", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(1)",
        |g| Data::map(&g.resource_attributes);
    "ScopeName", "String" as "String", "ZSTD(1)", |g| Data::plain(g.scope_name.bytes());
    "ScopeVersion", "String" as "String", "ZSTD(1)", |g| Data::plain(g.scope_version.bytes());
    "SpanAttributes", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(1)",
        |g| Data::map(&g.span_attributes);
    "Duration", "UInt64" as "UInt64", "T64, ZSTD(1)", |g| Data::plain(g.duration.bytes());
    "StatusCode", "LowCardinality(String)" as "String", "ZSTD(1)", |g| Data::plain(g.status_code.bytes());
    "StatusMessage", "String" as "String", "ZSTD(1)", |g| Data::plain(g.status_message.bytes());
    "Events.Timestamp", "Array(DateTime64(9))" as "Array(DateTime64(9))", "ZSTD(1)",
        |g| Data::array(&g.events.ends, g.events.timestamp.bytes());
    "Events.Name", "Array(LowCardinality(String))" as "Array(String)", "ZSTD(1)",
        |g| Data::array(&g.events.ends, g.events.name.bytes());
    "Events.Attributes", "Array(Map(LowCardinality(String), String))" as "Array(Map(String, String))", "ZSTD(1)",
        |g| Data::array_of_maps(&g.events.ends, &g.events.attributes);
    "Links.TraceId", "Array(String)" as "Array(String)", "ZSTD(1)",
        |g| Data::array(&g.links.ends, g.links.trace_id.bytes());
    "Links.SpanId", "Array(String)" as "Array(String)", "ZSTD(1)",
        |g| Data::array(&g.links.ends, g.links.span_id.bytes());
    "Links.TraceState", "Array(String)" as "Array(String)", "ZSTD(1)",
        |g| Data::array(&g.links.ends, g.links.trace_state.bytes());
    "Links.Attributes", "Array(Map(LowCardinality(String), String))" as "Array(Map(String, String))", "ZSTD(1)",
        |g| Data::array_of_maps(&g.links.ends, &g.links.attributes);
    RAW_REQUEST, "String" as "String", "ZSTD(3)", |g| Data::plain(g.raw_request.bytes());
    RAW_RESPONSE, "String" as "String", "ZSTD(3)", |g| Data::plain(g.raw_response.bytes());
    // the insert that a row came with, so that what is in doubt after a power cut can be asked
    SEGMENT_ID, "UUID" as "UUID", "ZSTD(1)", |_g| Data::every(Every::Segment);
    "Workspace", "LowCardinality(String)" as "String"
        default "if(ResourceAttributes['millrace.workspace'] = '', 'default', ResourceAttributes['millrace.workspace'])",
        "ZSTD(1)", |g| Data::every(Every::Text(g.workspace.as_str()));
    "SessionId", "String" as "String", "ZSTD(1)", |g| Data::lagging_text(g.typed.text(Texts::SessionId));
    "ConversationId", "String" as "String", "ZSTD(1)", |g| Data::lagging_text(g.typed.text(Texts::ConversationId));
    "UserId", "String" as "String", "ZSTD(1)", |g| Data::lagging_text(g.typed.text(Texts::UserId));
    "Operation", "LowCardinality(String)" as "String", "ZSTD(1)",
        |g| Data::lagging_text(g.typed.text(Texts::Operation));
    "Provider", "LowCardinality(String)" as "String", "ZSTD(1)", |g| Data::lagging_text(g.typed.text(Texts::Provider));
    "RequestModel", "LowCardinality(String)" as "String", "ZSTD(1)",
        |g| Data::lagging_text(g.typed.text(Texts::RequestModel));
    "ResponseModel", "LowCardinality(String)" as "String", "ZSTD(1)",
        |g| Data::lagging_text(g.typed.text(Texts::ResponseModel));
    "ResponseId", "String" as "String", "ZSTD(1)", |g| Data::lagging_text(g.typed.text(Texts::ResponseId));
    "FinishReasons", "Array(LowCardinality(String))" as "Array(String)", "ZSTD(1)",
        |g| Data::lagging_lists(&g.typed.finish_reasons);
    "FinishReasonsNormalized", "Array(LowCardinality(String))" as "Array(String)", "ZSTD(1)",
        |g| Data::lagging_lists(&g.typed.finish_reasons_normalized);
    "InputTokens", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)",
        |g| Data::nullable(g.typed.count(Counts::InputTokens));
    "OutputTokens", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)",
        |g| Data::nullable(g.typed.count(Counts::OutputTokens));
    "CacheReadTokens", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)",
        |g| Data::nullable(g.typed.count(Counts::CacheReadTokens));
    "CacheWriteTokens", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)",
        |g| Data::nullable(g.typed.count(Counts::CacheWriteTokens));
    "ReasoningTokens", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)",
        |g| Data::nullable(g.typed.count(Counts::ReasoningTokens));
    "InputAudioTokens", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)",
        |g| Data::nullable(g.typed.count(Counts::InputAudioTokens));
    "OutputAudioTokens", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)",
        |g| Data::nullable(g.typed.count(Counts::OutputAudioTokens));
    "CostTotal", "Nullable(Decimal(18, 12))" as "Nullable(Decimal(18, 12))", "ZSTD(1)",
        |g| Data::nullable(g.typed.cost(Costs::Total));
    "CostInput", "Nullable(Decimal(18, 12))" as "Nullable(Decimal(18, 12))", "ZSTD(1)",
        |g| Data::nullable(g.typed.cost(Costs::Input));
    "CostOutput", "Nullable(Decimal(18, 12))" as "Nullable(Decimal(18, 12))", "ZSTD(1)",
        |g| Data::nullable(g.typed.cost(Costs::Output));
    "CostSource", "LowCardinality(String)" as "String", "ZSTD(1)",
        |g| Data::lagging_text(g.typed.text(Texts::CostSource));
    "TimeToFirstToken", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)",
        |g| Data::nullable(g.typed.count(Counts::TimeToFirstToken));
    "Streaming", "Nullable(Bool)" as "Nullable(Bool)", "ZSTD(1)", |g| Data::nullable(&g.typed.streaming);
    "ToolName", "LowCardinality(String)" as "String", "ZSTD(1)", |g| Data::lagging_text(g.typed.text(Texts::ToolName));
    "ToolCallId", "String" as "String", "ZSTD(1)", |g| Data::lagging_text(g.typed.text(Texts::ToolCallId));
    "AgentName", "LowCardinality(String)" as "String", "ZSTD(1)",
        |g| Data::lagging_text(g.typed.text(Texts::AgentName));
    "WorkflowName", "LowCardinality(String)" as "String", "ZSTD(1)",
        |g| Data::lagging_text(g.typed.text(Texts::WorkflowName));
    "ErrorType", "LowCardinality(String)" as "String", "ZSTD(1)",
        |g| Data::lagging_text(g.typed.text(Texts::ErrorType));
    "ErrorMessage", "String" as "String", "ZSTD(1)", |g| Data::lagging_text(g.typed.text(Texts::ErrorMessage));
    "RequestParameters", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(1)",
        |g| Data::lagging_map(&g.typed.request_parameters);
    "InputMessages", "String" as "String", "ZSTD(3)", |g| Data::lagging_text(g.typed.text(Texts::InputMessages));
    "OutputMessages", "String" as "String", "ZSTD(3)", |g| Data::lagging_text(g.typed.text(Texts::OutputMessages));
    "ToolDefinitions", "String" as "String", "ZSTD(3)", |g| Data::lagging_text(g.typed.text(Texts::ToolDefinitions));
    "SystemPrompt", "String" as "String", "ZSTD(3)", |g| Data::lagging_text(g.typed.text(Texts::SystemPrompt));
    "ContentAttributes", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(3)",
        |g| Data::lagging_map(&g.typed.content);
    "TimingQuality", "LowCardinality(String)" as "String", "ZSTD(1)",
        |g| Data::lagging_text(g.typed.text(Texts::TimingQuality));
    "JoinState", "LowCardinality(String)" as "String", "ZSTD(1)", |g| Data::lagging_text(&g.typed.join_state);
    "SpanFlags", "UInt32" as "UInt32", "ZSTD(1)",
        |g| Data::plain(g.typed.flags.bytes()).lagging(g.typed.flags.len(), [(0, 4), (0, 0)]);
    "ScopeAttributes", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(1)",
        |g| Data::lagging_map(&g.typed.scope_attributes);
    "ResourceSchemaUrl", "LowCardinality(String)" as "String", "ZSTD(1)",
        |g| Data::lagging_text(&g.typed.resource_schema_url);
    "ScopeSchemaUrl", "LowCardinality(String)" as "String", "ZSTD(1)",
        |g| Data::lagging_text(&g.typed.scope_schema_url);
}

/// A column that ClickHouse fills when a row is inserted.
#[derive(Debug, Clone, Copy)]
pub struct Filled {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub table_type: &'static str,
    /// What it is filled with.
    pub expression: &'static str,
    /// Its compression codec.
    pub codec: &'static str,
}

/// The columns that ClickHouse fills.
pub const FILLED: &[Filled] = &[
    // part of the key, so that a conversation whose calls are traces of their own lies together. A key cannot change when a
    // pair joins later and its session does, so a pair that named no session has what is derived from its trace, whether its
    // root came before or after it: this is not for finding sessions. MATERIALIZED would not allow that change.
    Filled {
        name: "SessionHash",
        table_type: "UInt64",
        expression: "multiIf(SessionId = '', 0, JoinState IN ('waiting', 'joined', 'given') AND ConversationId = '', \
                     cityHash64(concat('session_', substring(TraceId, 1, 16))), cityHash64(SessionId))",
        codec: "ZSTD(1)",
    },
];

/// A column that ClickHouse computes when it is read.
#[derive(Debug, Clone, Copy)]
pub struct Alias {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub table_type: &'static str,
    /// What it is.
    pub expression: &'static str,
}

/// The columns that are computed.
pub const ALIASES: &[Alias] = &[
    Alias {
        name: "AllAttributes",
        table_type: "Map(LowCardinality(String), String)",
        // what is canonical already is held by its typed column alone
        expression: "mapUpdate(mapFilter((k, v) -> v != '', CAST(map('gen_ai.input.messages', InputMessages, \
                     'gen_ai.output.messages', OutputMessages, 'gen_ai.tool.definitions', ToolDefinitions), \
                     'Map(LowCardinality(String), String)')), mapConcat(SpanAttributes, ContentAttributes))",
    },
    Alias {
        name: "TotalTokens",
        table_type: "Nullable(UInt64)",
        // an embedding and a ranking have no output
        expression: "InputTokens + if(Operation IN ('embeddings', 'rerank'), ifNull(OutputTokens, 0), OutputTokens)",
    },
];

/// The request of a captured chat-completion, as it was sent; empty for all other spans.
pub const RAW_REQUEST: &str = "RawRequest";
/// Its response; of a stream its chunks.
pub const RAW_RESPONSE: &str = "RawResponse";
/// The segment of the journal, and so the insert, that a row came with.
pub const SEGMENT_ID: &str = "SegmentId";
/// The columns that are not ours, which come first.
pub const STANDARD_COLUMNS: usize = 22;

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
    /// The span under way has something that a typed column may come of.
    is_typed: bool,
    /// The session of the last span finished.
    last_session: Vec<u8>,
}

#[derive(Debug, Default)]
struct Events {
    ends: Vec<u64>,
    timestamp: Fixed64,
    name: Strings,
    attributes: Map,
}

#[derive(Debug, Default)]
struct Links {
    ends: Vec<u64>,
    trace_id: Strings,
    span_id: Strings,
    trace_state: Strings,
    attributes: Map,
}

impl Events {
    /// Those added since `mark`.
    fn since(&self, mark: Mark) -> Vec<Event<'_>> {
        if self.timestamp.len() == mark.events {
            return Vec::new();
        }
        let names = StringsIter(self.name.since(mark.event_names));
        let mut entries = Entries::since(&self.attributes, mark.event_attributes);
        let mut before = mark.events.checked_sub(1).map_or(0, |event| end_at(self.attributes.ends(), event));
        let ends = (mark.events..self.timestamp.len()).map(|event| end_at(self.attributes.ends(), event));
        let times = self.timestamp.i64s_from(mark.events);
        let at = |nanos: i64| u64::try_from(nanos).ok().and_then(UnixNanos::new).unwrap_or_default();
        names
            .zip(ends)
            .zip(times)
            .map(|((name, end), nanos)| {
                let attributes = entries.split_front(end - std::mem::replace(&mut before, end));
                Event { at: at(nanos), name, attributes }
            })
            .collect()
    }

    /// Bytes of those added since `mark`: a time, a name, the end of its attributes, and those.
    fn bytes_since(&self, mark: Mark) -> usize {
        let (keys, values) = self.attributes.since(mark.event_attributes);
        let events = self.timestamp.len().saturating_sub(mark.events);
        events * 2 * size_of::<u64>() + self.name.since(mark.event_names).len() + keys.len() + values.len()
    }

    fn selected(&self, kept: &Selection) -> Self {
        let (ends, items) = kept.items(|row| end_at(&self.ends, row));
        Self {
            ends,
            timestamp: self.timestamp.selected(&items),
            name: self.name.selected(&items),
            attributes: self.attributes.selected(&items),
        }
    }
}

impl Links {
    /// Bytes of those added since `mark`: two ids, a trace state, the end of its attributes, and those.
    fn bytes_since(&self, mark: Mark) -> usize {
        let (keys, values) = self.attributes.since(mark.link_attributes);
        let ids = [self.trace_id.since(mark.link_trace_ids), self.span_id.since(mark.link_span_ids)];
        let states = self.trace_state.since(mark.link_trace_states);
        let ends = self.attributes.rows_since(mark.link_attributes) * size_of::<u64>();
        ends + ids.iter().map(|ids| ids.len()).sum::<usize>() + states.len() + keys.len() + values.len()
    }

    fn selected(&self, kept: &Selection) -> Self {
        let (ends, items) = kept.items(|row| end_at(&self.ends, row));
        Self {
            ends,
            trace_id: self.trace_id.selected(&items),
            span_id: self.span_id.selected(&items),
            trace_state: self.trace_state.selected(&items),
            attributes: self.attributes.selected(&items),
        }
    }
}

fn fitting(row_bytes: usize) -> Result<usize, RowTooLarge> {
    if row_bytes <= ROW_BYTES_MAX { Ok(row_bytes) } else { Err(RowTooLarge { bytes: row_bytes }) }
}

fn day_of(nanos: i64) -> Option<i64> {
    u64::try_from(nanos).ok().and_then(UnixNanos::new).map(UnixNanos::day)
}

/// One row of a map column, kept to be repeated: the attributes of a resource.
#[derive(Debug, Default)]
pub struct MapRow(Map);

impl MapRow {
    /// An empty row with room for the attributes of a message of so many bytes.
    #[must_use]
    pub fn for_message_of(bytes: usize) -> Self {
        Self(Map::for_row_of(bytes))
    }

    /// Adds an entry.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.0.push(key, value);
    }

    /// Keeps the last of several entries with the same key; says how many went.
    pub fn keep_last_of_each_key(&mut self) -> usize {
        self.0.keep_last_of_each_key(Map::default().mark())
    }

    /// Number of entries.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.0.entries()
    }

    /// Bytes that one repetition adds.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.0.bytes_len()
    }
}

/// Where an unfinished span began.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    span_attributes: MapMark,
    content: MapMark,
    events: usize,
    event_names: StringsMark,
    event_attributes: MapMark,
    link_trace_ids: StringsMark,
    link_span_ids: StringsMark,
    link_trace_states: StringsMark,
    link_attributes: MapMark,
}

impl RowGroup {
    /// An empty group for a request of so many bytes: the first span's attributes have room.
    #[must_use]
    pub fn for_request_of(bytes: usize, workspace: Workspace) -> Self {
        Self { span_attributes: Map::for_row_of(bytes), workspace, ..Self::default() }
    }

    /// What the column `SessionId` has for the last finished span.
    #[must_use]
    pub fn last_session(&self) -> &[u8] {
        &self.last_session
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
        COLUMNS
            .iter()
            .map(|column| {
                let data = (column.data)(self);
                data.ends.iter().map(|ends| size_of_val(*ends)).sum::<usize>()
                    + data.leaves.iter().map(|leaf| leaf.len()).sum::<usize>()
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

    pub(super) fn workspace_name(&self) -> &[u8] {
        self.workspace.as_str().as_bytes()
    }

    /// Bytes of the attributes, content, events and links that were added since `mark`.
    pub(super) fn bytes_since(&self, mark: Mark) -> usize {
        let entries = |map: &Map, mark| {
            let (keys, values) = map.since(mark);
            keys.len() + values.len()
        };
        entries(&self.span_attributes, mark.span_attributes)
            + entries(&self.typed.content, mark.content)
            + self.events.bytes_since(mark)
            + self.links.bytes_since(mark)
    }

    /// Starts a span.
    #[must_use]
    pub fn begin(&self) -> Mark {
        Mark {
            span_attributes: self.span_attributes.mark(),
            content: self.typed.content.mark(),
            events: self.events.timestamp.len(),
            event_names: self.events.name.mark(),
            event_attributes: self.events.attributes.mark(),
            link_trace_ids: self.links.trace_id.mark(),
            link_span_ids: self.links.span_id.mark(),
            link_trace_states: self.links.trace_state.mark(),
            link_attributes: self.links.attributes.mark(),
        }
    }

    /// Adds an attribute to the span under way.
    pub fn attribute(&mut self, key: &[u8], value: &[u8]) {
        self.span_attributes.push(key, value);
    }

    /// Adds an attribute of which a typed column may come.
    #[inline]
    pub fn attribute_of(&mut self, kind: Kind, key: &[u8], value: &[u8]) {
        match kind {
            Kind::Ordinary => return self.span_attributes.push(key, value),
            Kind::Typed => self.span_attributes.push(key, value),
            Kind::Content => self.typed.content.push(key, value),
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
        self.events.timestamp.push_i64(at.nanos());
        self.events.name.push(name);
        self.events.attributes.close_row();
    }

    /// Adds an attribute to the link under way; [`link`](Self::link) closes it.
    pub fn link_attribute(&mut self, key: &[u8], value: &[u8]) {
        self.links.attributes.push(key, value);
    }

    /// Adds a link, with the attributes given since the last one.
    pub fn link(&mut self, trace_id: TraceId, span_id: SpanId, trace_state: &[u8]) {
        self.links.trace_id.push(&trace_id.hex());
        self.links.span_id.push(&span_id.hex());
        self.links.trace_state.push(trace_state);
        self.links.attributes.close_row();
    }

    /// Ends the span under way; says how many attributes were dropped because a later one had the same key. `normalise`
    /// fills the typed columns, if something of the span was said to be for them.
    ///
    /// # Errors
    /// When no block takes a row of that size. The span is still under way, to be [rolled back](Self::roll_back).
    pub fn finish(
        &mut self,
        mark: Mark,
        span: &SpanScalars<'_>,
        resource: &MapRow,
        normalise: impl Into<Option<Normalise>>,
    ) -> Result<usize, RowTooLarge> {
        let mut repeated = self.span_attributes.keep_last_of_each_key(mark.span_attributes);
        self.last_session.clear();
        // whatever a failed span has may say what kind of failure it was
        let bytes = if std::mem::take(&mut self.is_typed) || span.status == StatusCode::Error {
            repeated += self.typed.content.keep_last_of_each_key(mark.content);
            self.finish_typed(mark, span, resource, normalise.into())?
        } else {
            fitting(self.bytes_of_row(mark, span, resource))?
        };
        if let Err(place) = self.days.binary_search(&span.start.day()) {
            self.days.insert(place, span.start.day());
        }
        self.timestamp.push_i64(span.start.nanos());
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
        self.resource_attributes.push_row(&resource.0);
        self.scope_name.push(span.scope_name);
        self.scope_version.push(span.scope_version);
        self.finish_rare(span);
        self.span_attributes.close_row();
        self.duration.push_u64(span.duration_nanos);
        self.status_code.push(span.status.literal().as_bytes());
        self.status_message.push(span.status_message);
        self.events.ends.push(as_u64(self.events.timestamp.len()));
        self.links.ends.push(as_u64(self.links.trace_id.len()));
        self.raw_request.push(span.raw_request);
        self.raw_response.push(span.raw_response);
        self.fingerprints.push(span.fingerprint);
        self.rows += 1;
        self.row_bytes.push(bytes);
        self.counted_bytes += bytes;
        Ok(repeated)
    }

    /// Fills the typed columns, if the row fits; gives its bytes.
    fn finish_typed(
        &mut self,
        mark: Mark,
        span: &SpanScalars<'_>,
        resource: &MapRow,
        normalise: Option<Normalise>,
    ) -> Result<usize, RowTooLarge> {
        let mut bytes = self.bytes_of_row(mark, span, resource);
        if let Some(normalise) = normalise {
            // the view borrows the content, and what comes of it goes beside it
            let sent = std::mem::take(&mut self.typed.content);
            let view = SpanView {
                attributes: Entries::since(&self.span_attributes, mark.span_attributes),
                content: Entries::since(&sent, mark.content),
                events: self.events.since(mark),
                start: span.start,
                name: span.name,
                scope_name: span.scope_name,
                is_error: span.status == StatusCode::Error,
                status_message: span.status_message,
            };
            let mut typed = normalise(&view);
            if !span.session.is_empty() {
                typed.set_text(Texts::SessionId, span.session);
            }
            // what a typed column holds is not kept a second time
            bytes = (bytes + typed_bytes(&typed)).saturating_sub(view.content.bytes_of(&typed.held_by_columns));
            if bytes <= ROW_BYTES_MAX {
                self.typed.push(self.rows, &typed);
                self.last_session.extend_from_slice(typed.text(Texts::SessionId));
            }
            let held_by_columns = typed.held_by_columns;
            self.typed.content = sent;
            self.typed.content.leave_out(mark.content, &held_by_columns);
        }
        let bytes = fitting(bytes)?;
        let content = &mut self.typed.content;
        if content.has_more_than(mark.content) {
            content.pad_to(self.rows, mark.content);
            content.close_row();
        }
        Ok(bytes)
    }

    /// What few spans have, and is no attribute.
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
            typed.flags.push(span.flags);
        }
        if let Some(attributes) = span.scope_attributes.filter(|attributes| attributes.entries() > 0) {
            typed.scope_attributes.pad_to(row, typed.scope_attributes.mark());
            typed.scope_attributes.push_row(&attributes.0);
        }
    }

    /// The same rows but for those at the positions `drop`, which are sorted. No span is under way.
    #[must_use]
    pub fn without(&self, drop: &[usize]) -> Self {
        self.selected(&Selection::of(self.rows, |row| drop.binary_search(&row).is_err()))
    }

    /// The rows at these positions. No span is under way.
    pub(super) fn rows_at(&self, positions: Range<usize>) -> Self {
        self.selected(&Selection::of_run(positions))
    }

    fn selected(&self, kept: &Selection) -> Self {
        let timestamp = self.timestamp.selected(kept);
        let mut days: Vec<i64> = timestamp.i64s().filter_map(day_of).collect();
        days.sort_unstable();
        days.dedup();
        let row_bytes = kept.pick(&self.row_bytes);
        Self {
            rows: kept.len(),
            counted_bytes: row_bytes.iter().sum(),
            row_bytes,
            fingerprints: kept.pick(&self.fingerprints),
            days,
            timestamp,
            trace_id: self.trace_id.selected(kept),
            span_id: self.span_id.selected(kept),
            parent_span_id: self.parent_span_id.selected(kept),
            trace_state: self.trace_state.selected(kept),
            span_name: self.span_name.selected(kept),
            span_kind: self.span_kind.selected(kept),
            service_name: self.service_name.selected(kept),
            resource_attributes: self.resource_attributes.selected(kept),
            scope_name: self.scope_name.selected(kept),
            scope_version: self.scope_version.selected(kept),
            span_attributes: self.span_attributes.selected(kept),
            duration: self.duration.selected(kept),
            status_code: self.status_code.selected(kept),
            status_message: self.status_message.selected(kept),
            events: self.events.selected(kept),
            links: self.links.selected(kept),
            raw_request: self.raw_request.selected(kept),
            raw_response: self.raw_response.selected(kept),
            workspace: self.workspace.clone(),
            typed: self.typed.selected(self.rows, kept),
            is_typed: false,
            last_session: Vec::new(),
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
        for ends in [&mut self.events.ends, &mut self.links.ends, &mut self.fingerprints] {
            ends.reserve(more);
        }
        self.typed.reserve_alike(self.rows, more);
    }

    /// Forgets the span under way.
    pub fn roll_back(&mut self, mark: Mark) {
        self.is_typed = false;
        self.typed.content.truncate(mark.content);
        self.span_attributes.truncate(mark.span_attributes);
        self.events.timestamp.truncate(mark.events);
        self.events.name.truncate(mark.event_names);
        self.events.attributes.truncate(mark.event_attributes);
        self.links.trace_id.truncate(mark.link_trace_ids);
        self.links.span_id.truncate(mark.link_span_ids);
        self.links.trace_state.truncate(mark.link_trace_states);
        self.links.attributes.truncate(mark.link_attributes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_the_exporter_come_first_then_ours_each_once() {
        let mut names: Vec<_> = COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!((names[0], names[STANDARD_COLUMNS - 1]), ("Timestamp", "Links.Attributes"));
        assert_eq!(
            names[STANDARD_COLUMNS..STANDARD_COLUMNS + 4],
            ["RawRequest", "RawResponse", "SegmentId", "Workspace"]
        );
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COLUMNS.len());
    }

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

    #[test]
    fn a_resource_attribute_given_twice_keeps_the_last() {
        let mut row = MapRow::default();
        row.push(b"a", b"1");
        row.push(b"a", b"2");
        assert_eq!(row.keep_last_of_each_key(), 1);
        assert_eq!((row.entries(), row.0.keys(), row.0.values()), (1, &b"\x01a"[..], &b"\x012"[..]));
    }
}
