//! The tables of records: log records, data points of metrics, and scores. Columns, keys and indexes of the first two are those of the
//! OpenTelemetry exporter, whose dashboards find them there; our columns come after. Of scores the latest row of each key counts.

use super::ddl::{self, Create, Setting};
use super::layout::Layout;
use crate::columns::{Alias, Table, logs};

/// What a table of records is beside its columns.
struct Shape {
    /// `MergeTree`, or one with a prefix and its arguments.
    engine: (&'static str, &'static str),
    partition_by: Option<&'static str>,
    order_by: &'static str,
    /// Where a cluster keeps a row: always in the same place, so that an insert that is repeated comes to the same shards.
    sharded_by: &'static str,
    indexes: &'static [&'static str],
    aliases: &'static [&'static [Alias]],
}

const LOGS: Shape = Shape {
    engine: ("MergeTree", ""),
    partition_by: Some("toDate(Timestamp)"),
    order_by: "(toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp)",
    sharded_by: "if(TraceId = '', cityHash64(Timestamp, Body), cityHash64(TraceId))",
    indexes: &[
        "idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1",
        "idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_scope_attr_key mapKeys(ScopeAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_scope_attr_value mapValues(ScopeAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_log_attr_key mapKeys(LogAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_log_attr_value mapValues(LogAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_lower_body lower(Body) TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 8",
        // for conditions on `TimestampTime`
        "idx_timestamp Timestamp TYPE minmax GRANULARITY 1",
    ],
    aliases: &logs::ALIASES,
};

/// The same for all tables of metrics.
const METRICS: Shape = Shape {
    engine: ("MergeTree", ""),
    partition_by: Some("toDate(TimeUnix)"),
    order_by: "(ServiceName, MetricName, toStartOfHour(TimeUnix), cityHash64(Attributes), TimeUnix)",
    sharded_by: "cityHash64(ServiceName, MetricName, Attributes)",
    indexes: &[
        "idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_scope_attr_key mapKeys(ScopeAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_scope_attr_value mapValues(ScopeAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_attr_key mapKeys(Attributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_attr_value mapValues(Attributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_time_minmax TimeUnix TYPE minmax GRANULARITY 1",
    ],
    aliases: &[],
};

/// Scores are few, are changed long after they were made, and are asked for by what they are about: so they have no days.
const REPLACING: (&str, &str) = ("ReplacingMergeTree", "Version, IsDeleted");
const CREATED: &str = "idx_created CreatedAt TYPE minmax GRANULARITY 1";
const TRACE: &str = "idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1";
const SPAN: &str = "idx_span_id SpanId TYPE bloom_filter(0.001) GRANULARITY 1";

const ANNOTATIONS: Shape = Shape {
    engine: REPLACING,
    partition_by: None,
    order_by: "(Workspace, SessionId, SpanId, AnnotationId)",
    sharded_by: "cityHash64(Workspace, SessionId, SpanId, AnnotationId)",
    indexes: &["idx_annotation_id AnnotationId TYPE bloom_filter(0.001) GRANULARITY 1", SPAN, TRACE, CREATED],
    aliases: &[],
};

const EVALUATOR_RESULTS: Shape = Shape {
    engine: REPLACING,
    partition_by: None,
    order_by: "(Workspace, SessionId, SpanId, Name)",
    sharded_by: "cityHash64(Workspace, SessionId, SpanId, Name)",
    indexes: &["idx_result_id EvaluatorResultId TYPE bloom_filter(0.001) GRANULARITY 1", SPAN, TRACE, CREATED],
    aliases: &[],
};

fn shape(table: Table) -> Option<&'static Shape> {
    match table {
        Table::Traces => None,
        Table::Logs => Some(&LOGS),
        Table::MetricsGauge
        | Table::MetricsSum
        | Table::MetricsHistogram
        | Table::MetricsExponentialHistogram
        | Table::MetricsSummary => Some(&METRICS),
        Table::Annotations => Some(&ANNOTATIONS),
        Table::EvaluatorResults => Some(&EVALUATOR_RESULTS),
    }
}

/// What makes the table, and on a cluster the one that spreads it.
pub(super) fn create(layout: &Layout, table: Table) -> Option<(Create, Option<String>)> {
    let shape = shape(table)?;
    Some((create_local(layout, table, shape), layout.create_distributed(table.name(), shape.sharded_by)))
}

/// Its columns: name, type and definition of each.
pub(super) fn columns(table: Table) -> Vec<(&'static str, &'static str, String)> {
    let columns = table.columns().iter().map(|column| (column.name, column.table_type, ddl::column(column)));
    let aliases = shape(table).into_iter().flat_map(|shape| shape.aliases.iter().copied().flatten());
    columns.chain(aliases.map(|alias| (alias.name, alias.table_type, ddl::alias(alias)))).collect()
}

/// Its settings; a table that the exporter made lacks some.
pub(super) fn settings(layout: &Layout) -> Vec<Setting> {
    ddl::settings(layout).into_iter().chain([ddl::merging(), ddl::texts()]).collect()
}

fn create_local(layout: &Layout, table: Table, shape: &Shape) -> Create {
    let aliases = shape.aliases.iter().copied().flatten().map(|of| (of.name, ddl::alias(of)));
    let columns = table.columns().iter().map(|of| (of.name, ddl::column(of))).chain(aliases);
    let mut settings = vec![Setting::new("index_granularity", 8_192), Setting::new("ttl_only_drop_parts", 1)];
    settings.extend(ddl::settings(layout));
    Create {
        name: layout.local(table.name()),
        columns: ddl::named(columns),
        indexes: shape.indexes,
        engine: layout.engine_with(shape.engine.0, shape.engine.1),
        partition_by: shape.partition_by,
        order_by: shape.order_by,
        settings,
    }
}
