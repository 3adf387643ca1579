//! What counting asks of the tables and writes into them: the statements.
//!
//! ```text
//! times      when the spans of some traces began                  otel_traces_trace_id_ts
//! spans      all spans of some traces, light columns              otel_traces
//! stored     what the roll-up tables have of some traces          genai_report_rows, genai_trace_rows
//! write      rows that changed                                    INSERT
//! days, hours  what each has: has anything changed?               system.parts, otel_traces, genai_trace_rows
//! sums       of an hour's GenAI traces: the sum of their rows     otel_traces
//! counted    of an hour's GenAI traces: the sum as it was counted genai_trace_rows
//! ```
//!
//! Each statement names its traces or bounds the time, so nothing is gathered from the shards of a cluster but what it asks for.
//! No shard is left out: when one was added, rows of a trace may be on two.

pub mod rows;

use super::client::{Client, STATEMENT_TIMEOUT, Setting};
use super::cluster::{TABLE, system_table};
use super::endpoints::Repeat;
use super::errors::Failure;
use super::nodes::SKIP_ABSENT;
use super::schema::{REPORT_ROWS, TRACE_ROWS};
use super::superseded;
use crate::ids::TraceId;
use crate::sql::quoted;
use crate::traces::TraceKey;
use ::clickhouse::{Row, RowOwned, RowWrite};
use rows::{ReportRow, SpanRow, Stored, TraceRow};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

/// When spans began, in nanoseconds since 1970.
pub type Began = RangeInclusive<i64>;

/// The times of traces, as Grafana reads them too: a view of ours, or the table of the OpenTelemetry exporter.
const TRACE_TIMES: &str = "otel_traces_trace_id_ts";
/// That table counts in seconds.
const TIMES_STEP_NANOS: i64 = 1_000_000_000;

/// A list of traces is long, and a statement that nobody waits for any more must end.
const SETTINGS: [Setting; 3] = [("max_query_size", "16777216"), ("max_execution_time", "60"), ("max_threads", "2")];
/// Of a replica that is away the others tell.
const REPLICAS_SETTING: Setting = ("skip_unavailable_shards", "1");
/// The walk may not take what others need.
const WALK_SETTINGS: [Setting; 3] =
    [("max_execution_time", "60"), ("max_memory_usage", "536870912"), ("max_threads", "1")];
/// Rows may be of any day. A repeat is not recognised by its bytes: a version makes each write one of its own.
const INSERT_SETTINGS: [Setting; 4] = [
    ("async_insert", "0"),
    ("insert_deduplicate", "0"),
    ("max_partitions_per_insert_block", "0"),
    ("wait_end_of_query", "1"),
];
const SEND_TIMEOUT: Duration = Duration::from_secs(15);

/// When the first and the last span of a trace began.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Times {
    /// Lower-case hex.
    pub trace: String,
    /// In nanoseconds since 1970, as the next.
    pub first: i64,
    /// Not earlier than the last one began.
    pub last: i64,
}

/// What an hour of `otel_traces` has. Another value than before means that something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Row, Deserialize)]
pub struct Hour {
    /// When it begins, in seconds since 1970.
    pub start_secs: i64,
    /// Spans that began in it.
    pub spans: u64,
    /// Of them, those of GenAI.
    pub genai: u64,
    /// Their costs.
    pub costs: u64,
    /// Rows of `genai_trace_rows` that say that a trace began in it.
    pub counted: u64,
}

/// When the day begins of parts that belong to none: a day of 1970 begins at 0.
pub const NO_DAY: i64 = -1;

/// A day of `otel_traces`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Deserialize)]
pub struct Day {
    /// When it begins in the time zone of the server, in seconds since 1970.
    pub start_secs: i64,
    /// Another value than before means that parts changed.
    pub mark: u64,
}

/// The sum of the checksums of a trace's rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Row, Deserialize)]
pub struct Sum {
    /// Its workspace.
    pub workspace: String,
    /// Lower-case hex.
    pub trace: String,
    /// Wrapping.
    pub sum: u64,
    /// When the first of its rows began, in nanoseconds since 1970.
    pub first: i64,
    /// When the last of its rows began.
    pub last: i64,
}

/// A part of the traces of an hour: those that have this place of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Which.
    pub place: u64,
    /// Of how many.
    pub of: u64,
}

/// What makes a row of `otel_traces` another one to those who count. What joining changes is not among it, because rows are counted
/// as if they were joined.
const CHECKSUM: &str = "cityHash64(SpanId, SegmentId, ifNull(CostTotal, 0), PriceId)";

/// The columns of [`SpanRow`], in its order: expression and name.
const SPAN_COLUMNS: [(&str, &str); 49] = [
    ("toUInt64(toUnixTimestamp64Micro(now64(6)))", "read_at"),
    (CHECKSUM, "checksum"),
    ("toString(Workspace)", "workspace"),
    ("TraceId", "trace"),
    ("SpanId", "span"),
    ("ParentSpanId", "parent"),
    ("toString(JoinState)", "join_state"),
    ("toString(SegmentId)", "segment"),
    ("toUnixTimestamp64Nano(Timestamp)", "began"),
    ("toUInt64(Duration)", "duration"),
    ("toString(SpanName)", "name"),
    ("toString(SpanKind)", "kind"),
    ("toString(ServiceName)", "service"),
    ("ScopeName", "scope"),
    ("CAST(StatusCode = 'Error', 'Bool')", "is_error"),
    ("toString(ErrorType)", "error_type"),
    ("if(ErrorMessage = '' AND StatusCode = 'Error', StatusMessage, ErrorMessage)", "error_message"),
    ("toString(Operation)", "operation"),
    ("toString(Provider)", "provider"),
    ("toString(RequestModel)", "request_model"),
    ("toString(ResponseModel)", "response_model"),
    ("ResponseId", "response_id"),
    ("SessionId", "session"),
    ("ConversationId", "conversation"),
    ("UserId", "user"),
    ("toString(AgentName)", "agent"),
    ("toString(WorkflowName)", "workflow"),
    ("InputTokens", "input_tokens"),
    ("OutputTokens", "output_tokens"),
    ("CacheReadTokens", "cache_read_tokens"),
    ("CacheWriteTokens", "cache_write_tokens"),
    ("CacheWrite1hTokens", "cache_write_1h_tokens"),
    ("ReasoningTokens", "reasoning_tokens"),
    ("InputAudioTokens", "input_audio_tokens"),
    ("OutputAudioTokens", "output_audio_tokens"),
    ("CostTotal", "cost_total"),
    ("CostInput", "cost_input"),
    ("CostOutput", "cost_output"),
    ("toString(CostSource)", "cost_source"),
    ("toString(PriceId)", "price_id"),
    ("toString(PriceBook)", "price_book"),
    ("toString(ServiceTier)", "service_tier"),
    ("TimeToFirstToken", "time_to_first_token"),
    ("Streaming", "streaming"),
    ("toString(TimingQuality)", "timing_quality"),
    ("FinishReasons", "finish_reasons"),
    ("FinishReasonsNormalized", "finish_reasons_normalized"),
    ("InputPreview", "input_preview"),
    ("OutputPreview", "output_preview"),
];

/// When the spans of these traces began. There is no entry for a trace that never had a span.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable.
pub async fn times(client: &Client, traces: &[TraceKey]) -> Result<Vec<Times>, Failure> {
    if traces.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT TraceId AS trace, toUnixTimestamp64Nano(toDateTime64(min(Start), 9)) AS first, \
         toUnixTimestamp64Nano(toDateTime64(max(End), 9)) + {TIMES_STEP_NANOS} AS last FROM {}.{TRACE_TIMES} \
         WHERE TraceId IN ({}) GROUP BY TraceId",
        client.database(),
        ids(traces),
    );
    client.rows_with(&sql, &SETTINGS).await
}

/// All rows of these traces that began in that time, of any workspace.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable.
pub async fn spans(client: &Client, traces: &[TraceKey], began: &Began) -> Result<Vec<SpanRow>, Failure> {
    let sql = format!("SELECT {} FROM {} WHERE {}", span_columns(), client.table(), of_traces(traces, began));
    client.rows_with(&sql, &SETTINGS).await
}

/// Of spans of these traces with several rows the one row that stays, whether the others were removed already or not.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable.
pub async fn standing(
    client: &Client,
    traces: &[TraceKey],
    spans: &BTreeSet<String>,
    began: &Began,
) -> Result<Vec<SpanRow>, Failure> {
    let spans: Vec<String> = spans.iter().map(|span| quoted(span)).collect();
    let sql = format!(
        "SELECT {} FROM (SELECT *, {} AS place FROM {} WHERE {} AND SpanId IN ({})) WHERE place = 1 \
         LIMIT 1 BY workspace, trace, span, kind, service",
        span_columns(),
        superseded::place(),
        client.table(),
        of_traces(traces, began),
        spans.join(","),
    );
    client.rows_with(&sql, &SETTINGS).await
}

/// What the roll-up tables have of these traces: rows that began in that time. A row may come several times, with versions.
/// On a cluster that is what any replica has: one that lags would hide a row that has to go.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable.
pub async fn stored(client: &Client, traces: &[TraceKey], began: &Began) -> Result<Vec<Stored>, Failure> {
    let of = |table: &str, key: &str| {
        format!(
            "SELECT toString(Workspace) AS workspace, TraceId AS trace, toUnixTimestamp64Nano(Timestamp) AS began, {key}, \
             Digest AS digest, Version AS version, IsDeleted AS is_deleted FROM {} WHERE {}",
            client.all_replicas_of(table),
            of_traces(traces, began),
        )
    };
    let reports = of(REPORT_ROWS, "SpanId AS span, toString(SpanKind) AS kind, toString(ServiceName) AS service");
    let of_traces = of(TRACE_ROWS, "'' AS span, '' AS kind, '' AS service");
    let settings = [&SETTINGS[..], &[REPLICAS_SETTING]].concat();
    client.rows_with(&format!("{reports} UNION ALL {of_traces}"), &settings).await
}

/// Writes rows of reports.
///
/// # Errors
/// If ClickHouse did not confirm it. It can be repeated.
pub async fn write_reports(client: &Client, rows: &[ReportRow]) -> Result<(), Failure> {
    insert(client, REPORT_ROWS, rows).await
}

/// Writes rows of traces.
///
/// # Errors
/// If ClickHouse did not confirm it. It can be repeated.
pub async fn write_traces(client: &Client, rows: &[TraceRow]) -> Result<(), Failure> {
    insert(client, TRACE_ROWS, rows).await
}

pub(super) async fn insert<R>(client: &Client, table: &str, rows: &[R]) -> Result<(), Failure>
where
    R: RowOwned + RowWrite + Sync + for<'a> Row<Value<'a> = R>,
{
    if rows.is_empty() {
        return Ok(());
    }
    let table = format!("{}.{table}", client.database());
    // the version makes a repeat harmless, at whatever endpoints it is tried
    client.at_any(Repeat::Always, |http| insert_at(http, &table, rows)).await
}

async fn insert_at<R>(http: &::clickhouse::Client, table: &str, rows: &[R]) -> Result<(), Failure>
where
    R: RowOwned + RowWrite + Sync + for<'a> Row<Value<'a> = R>,
{
    let failed = |error| Failure::of(&error);
    // the types are those of the schema, and a test compares them
    let http = http.clone().with_validation(false);
    let insert = http.insert_unescaped::<R>(table).await.map_err(failed)?;
    let insert = insert.with_timeouts(Some(SEND_TIMEOUT), Some(STATEMENT_TIMEOUT));
    let mut insert = INSERT_SETTINGS.iter().fold(insert, |insert, (name, value)| insert.with_setting(*name, *value));
    for row in rows {
        insert.write(row).await.map_err(failed)?;
    }
    insert.end().await.map_err(failed)
}

/// The days that `otel_traces` or `genai_trace_rows` have rows of, and of each what changes whenever the parts of `otel_traces` do:
/// 0 when all of its spans are gone. It costs next to nothing. Parts that belong to no day, because somebody else partitioned the
/// table, are those of [`NO_DAY`].
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable.
pub async fn days(client: &Client) -> Result<Vec<Day>, Failure> {
    let sql = format!(
        "SELECT start_secs, mark FROM (SELECT toUInt32OrZero(extract(partition_id, '([0-9]{{8}})$')) AS day, \
         if(day = 0, {NO_DAY}, toInt64(toUnixTimestamp(toDateTime(YYYYMMDDToDate(day))))) AS start_secs, \
         sumIf(cityHash64(name), table IN ('{TABLE}', '{TABLE}_local')) AS mark FROM {} WHERE active AND database = '{}' \
         AND table IN ('{TABLE}', '{TABLE}_local', '{TRACE_ROWS}', '{TRACE_ROWS}_local') \
         GROUP BY day) ORDER BY start_secs DESC {SKIP_ABSENT}",
        system_table(client.cluster(), "parts"),
        client.database(),
    );
    client.rows(&sql).await
}

/// When the first and the last row of `otel_traces` and `genai_trace_rows` began, in nanoseconds since 1970. Parts know it.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable.
pub async fn ends(client: &Client) -> Result<Began, Failure> {
    // the first time of no rows at all is not 1970
    let of =
        |table: &str| format!("SELECT min(Timestamp) AS first, max(Timestamp) AS last FROM {table} HAVING count() > 0");
    let sql = format!(
        "SELECT toUnixTimestamp64Nano(min(first)), toUnixTimestamp64Nano(max(last)) FROM ({} UNION ALL {})",
        of(&client.table()),
        of(&trace_rows(client)),
    );
    let ends: Vec<(i64, i64)> = client.rows(&sql).await?;
    Ok(ends.first().map_or(0..=0, |(first, last)| *first..=*last))
}

/// What each hour has of which spans began in that time; hours are counted from its beginning, whatever the time zone. Spans may
/// be gone that were counted.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable.
pub async fn hours(client: &Client, began: &Began) -> Result<Vec<Hour>, Failure> {
    let base = began.start() / 1_000_000_000;
    let start_secs =
        format!("{base} + intDiv(toInt64(toUnixTimestamp(Timestamp)) - {base}, 3600) * 3600 AS start_secs");
    let sql = format!(
        "SELECT start_secs, sum(spans) AS spans, sum(genai) AS genai, sum(costs) AS costs, sum(counted) AS counted FROM (\
         SELECT {start_secs}, count() AS spans, countIf(Operation != '') AS genai, \
         sum(cityHash64(ifNull(CostTotal, 0))) AS costs, toUInt64(0) AS counted FROM {} WHERE {time} GROUP BY start_secs \
         UNION ALL SELECT {start_secs}, 0, 0, 0, count() FROM {} WHERE {time} AND IsDeleted = 0 GROUP BY start_secs) \
         GROUP BY start_secs",
        client.table(),
        trace_rows(client),
        time = within_time(began),
    );
    client.rows_with(&sql, &WALK_SETTINGS).await
}

fn trace_rows(client: &Client) -> String {
    format!("{}.{TRACE_ROWS}", client.database())
}

/// The GenAI traces of an hour: those with a GenAI span that began in it. Their rows are summed that began within `of_rows`.
///
/// # Errors
/// If ClickHouse rejects the statement, is unreachable, or needs more than the walk may take.
pub async fn sums(client: &Client, hour: &Began, slice: Slice, of_rows: &Began) -> Result<Vec<Sum>, Failure> {
    let table = client.table();
    // when a shard was added, rows of a trace may be on two
    let global = client.global();
    let sql = format!(
        "SELECT toString(Workspace) AS workspace, TraceId AS trace, sum({CHECKSUM}) AS sum, {FIRST_LAST} FROM {table} WHERE {} \
         AND TraceId {global}IN (SELECT TraceId FROM {table} WHERE {} AND Operation != '' AND {}) \
         GROUP BY workspace, trace HAVING countIf(Operation != '') > 0",
        within_time(of_rows),
        within_time(hour),
        slice.condition(),
    );
    client.rows_with(&sql, &WALK_SETTINGS).await
}

/// The sums of the traces that began within `began`, as they were counted: one entry for each row there is.
///
/// # Errors
/// If ClickHouse rejects the statement, is unreachable, or needs more than the walk may take.
pub async fn counted(client: &Client, began: &Began, slice: Slice) -> Result<Vec<Sum>, Failure> {
    let sql = format!(
        "SELECT toString(Workspace) AS workspace, TraceId AS trace, Checksum AS sum, \
         toUnixTimestamp64Nano(Timestamp) AS first, toUnixTimestamp64Nano(Timestamp) AS last FROM {} FINAL \
         WHERE {} AND {} AND IsDeleted = 0",
        trace_rows(client),
        within_time(began),
        slice.condition(),
    );
    client.rows_with(&sql, &WALK_SETTINGS).await
}

const FIRST_LAST: &str =
    "toUnixTimestamp64Nano(min(Timestamp)) AS first, toUnixTimestamp64Nano(max(Timestamp)) AS last";

impl Slice {
    fn condition(self) -> String {
        format!("cityHash64(TraceId) % {} = {}", self.of, self.place)
    }
}

fn span_columns() -> String {
    let columns = SPAN_COLUMNS.iter().map(|(expression, name)| format!("{expression} AS {name}"));
    columns.collect::<Vec<_>>().join(", ")
}

fn of_traces(traces: &[TraceKey], began: &Began) -> String {
    format!("TraceId IN ({}) AND {}", ids(traces), within_time(began))
}

fn within_time(began: &Began) -> String {
    let [from, to] = [began.start(), began.end()].map(|nanos| format!("fromUnixTimestamp64Nano({nanos})"));
    format!("Timestamp BETWEEN {from} AND {to}")
}

/// The ids of traces, each once, as a list of literals: hex digits.
fn ids(traces: &[TraceKey]) -> String {
    let ids: BTreeSet<TraceId> = traces.iter().map(|(_, trace)| *trace).collect();
    ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",")
}
