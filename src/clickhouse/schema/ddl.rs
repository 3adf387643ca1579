//! The DDL of the tables and views, made from the column list.
//!
//! Clustered by session and trace within the hour (calls of one conversation are neighbours: they compress each other, and
//! a trace is read in one go), partitioned by day so that old days go at once. Keys, codecs, indexes and sizes were chosen by
//! measurement: docs/schema.md.

use super::super::cluster::TABLE;
use super::layout::{Home, Layout};
use crate::columns::{ALIASES, Alias, COLUMNS, Column, FILLED, Filled};
use sha2::{Digest as _, Sha256};

/// Which versions of the schema were applied.
pub(super) const VERSIONS: &str = "millrace_schema";
/// When each trace began and ended: what holds it.
pub(super) const TRACE_TIMES: &str = "otel_traces_trace_times";
/// The same, by the name and the columns that Grafana's data source asks for.
pub(super) const TRACE_ID_TS: &str = "otel_traces_trace_id_ts";
/// What fills it. The exporter of the OpenTelemetry Collector has one of this name too, so there is never a second.
pub(super) const TRACE_ID_TS_MV: &str = "otel_traces_trace_id_ts_mv";

const PARTITION_BY: &str = "toDate(Timestamp)";
const ORDER_BY: &str = "(toStartOfHour(Timestamp), SessionHash, TraceId, Timestamp)";
/// Where a cluster keeps a span: with its trace.
pub(super) const SHARDED_BY: &str = "cityHash64(TraceId)";

/// The skipping indexes of the table: name, expression, type, granularity.
const INDEXES: &[&str] = &[
    "idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1",
    "idx_timestamp Timestamp TYPE minmax GRANULARITY 1",
    "idx_session_id SessionId TYPE bloom_filter(0.001) GRANULARITY 1",
    "idx_service_name ServiceName TYPE set(100) GRANULARITY 1",
    "idx_span_name SpanName TYPE bloom_filter(0.01) GRANULARITY 1",
    "idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
    "idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
    "idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
    "idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
    "idx_duration Duration TYPE minmax GRANULARITY 1",
];

/// Granules of rows with messages would be few and large, so their bytes are bounded; a fresh insert is one file instead of
/// some hundred, and a merged part has a file a column.
const SIZES: [(&str, usize); 4] = [
    ("index_granularity", 8_192),
    ("index_granularity_bytes", 2 << 20),
    ("max_compress_block_size", 2 << 20),
    ("min_bytes_for_wide_part", 32 << 20),
];

/// Recent inserts whose tokens a table remembers: far more than can be in doubt at once.
const DEDUPLICATION_WINDOW: usize = 10_000;
/// And for how long, on a cluster: a journal may wait so long for its ClickHouse.
const DEDUPLICATION_SECONDS: usize = 30 * 24 * 60 * 60;

/// A setting of a table, as `system.tables` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) value: String,
}

impl Setting {
    pub(super) fn new(name: &'static str, value: impl ToString) -> Self {
        Self { name, value: value.to_string() }
    }

    pub(super) fn sql(&self) -> String {
        format!("{} = {}", self.name, self.value)
    }
}

/// What makes a table that holds rows, on the nodes that lack it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Create {
    /// Its name on a node, without the database.
    pub(super) name: String,
    /// Name and definition of each.
    pub(super) columns: Vec<(String, String)>,
    pub(super) indexes: &'static [&'static str],
    pub(super) engine: String,
    pub(super) partition_by: Option<&'static str>,
    pub(super) order_by: &'static str,
    /// What any ClickHouse knows.
    pub(super) settings: Vec<Setting>,
}

/// What some ClickHouse may not take: the table is made without it then, and gets of it what can be had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Extras {
    /// They take the place of others of the same name.
    pub(super) settings: Vec<Setting>,
    pub(super) ttls: Ttls,
}

/// How long rows and texts are kept, as expressions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ttls {
    pub(super) rows: Option<String>,
    /// The columns that have one of their own, and it.
    pub(super) columns: Option<(&'static [&'static str], String)>,
}

impl Ttls {
    fn of_column(&self, name: &str) -> String {
        let of_columns = self.columns.as_ref().filter(|(columns, _)| columns.contains(&name));
        of_columns.map_or(String::new(), |(_, ttl)| format!(" TTL {ttl}"))
    }
}

impl Create {
    /// The statement.
    pub(super) fn sql(&self, layout: &Layout, extras: &Extras) -> String {
        let columns = self.columns.iter().map(|(name, definition)| definition.clone() + &extras.ttls.of_column(name));
        let indexes = self.indexes.iter().map(|index| format!("INDEX {index}"));
        let lines: Vec<_> = columns.chain(indexes).map(|line| format!("    {line}")).collect();
        let is_kept = |setting: &&Setting| extras.settings.iter().all(|extra| extra.name != setting.name);
        let settings: Vec<_> = self.settings.iter().filter(is_kept).chain(&extras.settings).cloned().collect();
        let settings = (!settings.is_empty()).then(|| joined(&settings));
        let clause = |word: &str, of: Option<&str>| of.map_or(String::new(), |of| format!("{word} {of}\n"));
        let all = [
            clause("PARTITION BY", self.partition_by),
            clause("ORDER BY", Some(self.order_by)),
            clause("TTL", extras.ttls.rows.as_deref()),
            clause("SETTINGS", settings.as_deref()),
        ];
        format!(
            "CREATE TABLE IF NOT EXISTS {table}{on_cluster}\n(\n{lines}\n)\nENGINE = {engine}\n{all}",
            table = layout.full(&self.name),
            on_cluster = layout.on_cluster(),
            lines = lines.join(",\n"),
            engine = self.engine,
            all = all.concat().trim_end(),
        )
    }
}

/// What a table of somebody else's making has otherwise: repeats would not be recognised, and, embedded, nothing synced.
pub(super) fn settings(layout: &Layout) -> Vec<Setting> {
    let mut settings = deduplication(layout);
    settings.extend(durability(layout));
    settings
}

/// Without them the embedded engine may lose what it confirmed, and refuse to start, after a power cut.
pub(super) fn durability(layout: &Layout) -> Vec<Setting> {
    let names: &[&'static str] = match layout.home {
        Home::Embedded => &[
            "fsync_after_insert",
            "fsync_part_directory",
            "min_rows_to_fsync_after_merge",
            "min_compressed_bytes_to_fsync_after_merge",
        ],
        Home::Server => &[],
    };
    names.iter().map(|name| Setting::new(name, 1)).collect()
}

/// Without them the table takes no lightweight UPDATE, and chat-completions are not joined to roots that come later. Rows
/// stored before are updated as well. An older ClickHouse does not know them.
pub(super) fn joining() -> [Setting; 2] {
    ["enable_block_number_column", "enable_block_offset_column"].map(|name| Setting::new(name, 1))
}

/// Parts are merged more at once, and so less often: rows are merged a third less often, and a day has half as many parts more.
/// An older ClickHouse does not know it, nor the next. Measured: docs/performance.md.
pub(super) fn merging() -> Setting {
    Setting::new("merge_selector_base", 10)
}

/// The lengths of texts are kept with the texts: in a stream of their own they take a third of the bytes of an ordinary span.
pub(super) fn texts() -> Setting {
    Setting::new("string_serialization_version", "'single_stream'")
}

fn deduplication(layout: &Layout) -> Vec<Setting> {
    if layout.cluster.is_some() {
        vec![
            Setting::new("replicated_deduplication_window", DEDUPLICATION_WINDOW),
            Setting::new("replicated_deduplication_window_seconds", DEDUPLICATION_SECONDS),
        ]
    } else {
        vec![Setting::new("non_replicated_deduplication_window", DEDUPLICATION_WINDOW)]
    }
}

pub(super) fn create_database(layout: &Layout) -> String {
    format!("CREATE DATABASE IF NOT EXISTS {}{}", layout.database, layout.on_cluster())
}

/// The table that holds spans.
pub(super) fn create_spans(layout: &Layout) -> Create {
    let columns = COLUMNS.iter().map(|of| (of.name, column(of)));
    let aliases = ALIASES.iter().map(|of| (of.name, alias(of)));
    let all = columns.chain(aliases).chain(FILLED.iter().map(|of| (of.name, filled(of))));
    let mut of_table: Vec<_> = SIZES.iter().map(|(name, value)| Setting::new(name, value)).collect();
    of_table.push(Setting::new("ttl_only_drop_parts", 1));
    of_table.extend(settings(layout));
    Create {
        name: layout.local(TABLE),
        columns: named(all),
        indexes: INDEXES,
        engine: layout.engine("MergeTree"),
        partition_by: Some(PARTITION_BY),
        order_by: ORDER_BY,
        settings: of_table,
    }
}

/// Columns as [`Create`] has them.
pub(super) fn named<'n>(columns: impl Iterator<Item = (&'n str, String)>) -> Vec<(String, String)> {
    columns.map(|(name, definition)| (name.to_owned(), definition)).collect()
}

pub(super) fn distribute_spans(layout: &Layout) -> Option<String> {
    layout.create_distributed(TABLE, SHARDED_BY)
}

/// A column as `CREATE TABLE` and `ADD COLUMN` take it.
pub(super) fn column(column: &Column) -> String {
    let Column { name, table_type, codec, default, .. } = column;
    let default = if default.is_empty() { String::new() } else { format!(" DEFAULT {default}") };
    format!("`{name}` {table_type}{default} CODEC({codec})")
}

/// The same for one that ClickHouse fills.
pub(super) fn filled(Filled { name, table_type, expression, codec }: &Filled) -> String {
    format!("`{name}` {table_type} DEFAULT {expression} CODEC({codec})")
}

/// The same for one that is computed.
pub(super) fn alias(Alias { name, table_type, expression }: &Alias) -> String {
    format!("`{name}` {table_type} ALIAS {expression}")
}

pub(super) fn create_versions(layout: &Layout) -> Create {
    let columns = [("version", "UInt32"), ("applied_at", "DateTime"), ("program", "String"), ("what", "String")];
    Create {
        name: layout.local(VERSIONS),
        columns: named(columns.into_iter().map(|(name, of_type)| (name, format!("`{name}` {of_type}")))),
        indexes: &[],
        engine: layout.engine("MergeTree"),
        partition_by: None,
        order_by: "version",
        settings: Vec::new(),
    }
}

pub(super) fn distribute_versions(layout: &Layout) -> Option<String> {
    layout.create_distributed(VERSIONS, "version")
}

/// When each trace began and ended. Minimum and maximum do not mind a row that comes twice, nor one that comes late;
/// `DateTime64(9)`, because a `DateTime` would wrap after 2106 and the trace would not be found.
pub(super) fn create_trace_times(layout: &Layout) -> Create {
    let columns = [
        ("TraceId", "String"),
        ("Start", "SimpleAggregateFunction(min, DateTime64(9))"),
        ("End", "SimpleAggregateFunction(max, DateTime64(9))"),
    ];
    let columns = columns.into_iter().map(|(name, of_type)| (name, format!("`{name}` {of_type} CODEC(ZSTD(1))")));
    let mut of_table = vec![Setting::new("index_granularity", 8192)];
    of_table.extend(settings(layout));
    Create {
        name: layout.local(TRACE_TIMES),
        columns: named(columns),
        indexes: &[],
        engine: layout.engine("AggregatingMergeTree"),
        partition_by: None,
        order_by: "TraceId",
        settings: of_table,
    }
}

pub(super) fn distribute_trace_times(layout: &Layout) -> Option<String> {
    layout.create_distributed(TRACE_TIMES, SHARDED_BY)
}

/// Fills `target`, which is the table that holds trace times, with what is inserted from now on.
pub(super) fn create_trace_times_view(layout: &Layout, target: &str) -> String {
    format!(
        "CREATE MATERIALIZED VIEW IF NOT EXISTS {view}{on_cluster} TO {target}\n\
         AS {TIMES_OF_TRACES} FROM {spans} WHERE TraceId != '' GROUP BY TraceId",
        view = layout.full(TRACE_ID_TS_MV),
        on_cluster = layout.on_cluster(),
        target = layout.full(target),
        spans = layout.full(&layout.local(TABLE)),
    )
}

pub(super) const TIMES_OF_TRACES: &str = "SELECT TraceId, min(Timestamp) AS Start, max(Timestamp) AS End";

/// What Grafana asks. It is there only once the times of all traces are: a trace that is missing in it is not found.
pub(super) fn select_trace_id_ts(layout: &Layout) -> String {
    format!("SELECT TraceId, Start, End FROM {}", layout.full(TRACE_TIMES))
}

/// A view, marked with what it was made from: one with another mark is made anew.
pub(super) fn create_view(layout: &Layout, name: &str, select: &str) -> String {
    let (view, on_cluster) = (layout.full(name), layout.on_cluster());
    format!("CREATE OR REPLACE VIEW {view}{on_cluster}\nAS {select}\nCOMMENT '{}'", mark(select))
}

/// The same of one that asks the `system` database: whoever may ask the view needs no right to ask that.
pub(super) fn create_view_of_system(layout: &Layout, name: &str, select: &str) -> String {
    let (view, on_cluster) = (layout.full(name), layout.on_cluster());
    format!(
        "CREATE OR REPLACE VIEW {view}{on_cluster}\nDEFINER = CURRENT_USER SQL SECURITY DEFINER\nAS {select}\nCOMMENT '{}'",
        mark(select)
    )
}

/// Tells one text from another, and that it is ours.
pub(super) fn mark(select: &str) -> String {
    let digest = Sha256::digest(select.as_bytes());
    let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("made by millrace, {digits}")
}

fn joined(settings: &[Setting]) -> String {
    settings.iter().map(Setting::sql).collect::<Vec<_>>().join(", ")
}
