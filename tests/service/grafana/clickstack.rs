//! ClickStack's sources and its dashboard: they have the shape that HyperDX takes, and their expressions run on the tables.
//!
//! Source: hyperdxio/hyperdx, `packages/common-utils/src/types.ts` (`TraceSourceSchema`, `LogSourceSchema`, `TileSchema`),
//! `packages/common-utils/src/macros.ts`, `packages/api/src/setupDefaults.ts`, `packages/app/src/source.ts` (`useSource`: by id alone).

use super::macros::Selection;
use super::{RANGE, Runner, check_columns, check_grid, list, stored_sample, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use support::{Service, project};

/// Members that hold one expression, and what its type begins with.
const TRACE: [(&str, &str); 14] = [
    ("timestampValueExpression", "DateTime64"),
    ("displayedTimestampValueExpression", "DateTime64"),
    ("implicitColumnExpression", "LowCardinality(String)"),
    ("serviceNameExpression", "LowCardinality(String)"),
    ("eventAttributesExpression", "Map("),
    ("resourceAttributesExpression", "Map("),
    ("traceIdExpression", "String"),
    ("spanIdExpression", "String"),
    ("parentSpanIdExpression", "String"),
    ("spanNameExpression", "LowCardinality(String)"),
    ("spanKindExpression", "LowCardinality(String)"),
    ("statusCodeExpression", "LowCardinality(String)"),
    ("statusMessageExpression", "String"),
    ("durationExpression", "UInt64"),
];
const LOG: [(&str, &str); 10] = [
    ("timestampValueExpression", "DateTime64"),
    ("displayedTimestampValueExpression", "DateTime64"),
    ("implicitColumnExpression", "String"),
    ("bodyExpression", "String"),
    ("serviceNameExpression", "LowCardinality(String)"),
    ("severityTextExpression", "LowCardinality(String)"),
    ("eventAttributesExpression", "Map("),
    ("resourceAttributesExpression", "Map("),
    ("traceIdExpression", "String"),
    ("spanIdExpression", "String"),
];

fn read(name: &str) -> Value {
    let text = fs::read_to_string(project().join("deploy/clickstack").join(name)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn described(service: &Service, query: &str) -> Vec<(String, String)> {
    let rows = service.sql().rows(&format!("DESCRIBE TABLE ({query})"), &[]);
    rows.iter().map(|row| (text(row, "/name").to_owned(), text(row, "/type").to_owned())).collect()
}

/// The members of an object, against those that are wanted and those that may be there.
fn check_members(value: &Value, wanted: &[&str], optional: &[&str]) {
    let there: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let missing: Vec<_> = wanted.iter().filter(|name| !there.contains(**name)).collect();
    let unknown: Vec<_> = there.iter().filter(|name| !wanted.contains(name) && !optional.contains(name)).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?} in {value}");
}

fn check_source(service: &Service, source: &Value) {
    let (database, table) = (text(source, "/from/databaseName"), text(source, "/from/tableName"));
    let expressions: &[(&str, &str)] = if text(source, "/kind") == "trace" { &TRACE } else { &LOG };
    let from = format!("FROM {database}.{table}");
    for (member, kind) in expressions {
        let expression = text(source, &format!("/{member}"));
        let columns = described(service, &format!("SELECT {expression} AS x {from}"));
        assert!(columns[0].1.starts_with(kind), "{member}: {expression} is {}", columns[0].1);
    }
    let shown = text(source, "/defaultTableSelectExpression");
    let order = text(source, "/orderByExpression");
    let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {order}") };
    let listed = format!("SELECT {shown} {from} WHERE Timestamp > now() - INTERVAL 5000 DAY{order}");
    let rows = service.sql().rows(&listed, &[]);
    let is_newest_first = rows.is_sorted_by(|one, next| text(one, "/Timestamp") >= text(next, "/Timestamp"));
    assert!(order.is_empty() || is_newest_first, "a search lists the newest first: {order}");
    for list_of in ["/highlightedTraceAttributeExpressions", "/highlightedRowAttributeExpressions"] {
        for attribute in list(source, list_of) {
            check_members(attribute, &["sqlExpression", "alias"], &[]);
            service.sql().rows(&format!("SELECT {} AS x {from} LIMIT 1", text(attribute, "/sqlExpression")), &[]);
        }
    }
    for nested in ["spanEventsValueExpression", "spanLinksValueExpression"] {
        let expression = text(source, &format!("/{nested}"));
        if !expression.is_empty() {
            service.sql().rows(&format!("SELECT `{expression}.Attributes` AS x {from} LIMIT 1"), &[]);
        }
    }
}

/// What a tile made of aggregates or of columns asks, as HyperDX asks it.
///
/// Source: `packages/common-utils/src/core/renderChartConfig.ts` (`aggFnExpr`): whatever is added up is read as a text first.
fn built(config: &Value, table: &str) -> String {
    let condition = text(config, "/where");
    let bounded =
        format!("FROM {table} WHERE Timestamp >= '2026-03-02' AND Timestamp <= '2026-03-05' AND ({condition})");
    if text(config, "/displayType") == "search" {
        return format!("SELECT {} {bounded}", text(config, "/select"));
    }
    let of = |select: &Value| {
        let value = format!("toFloat64OrDefault(toString({}))", text(select, "/valueExpression"));
        match text(select, "/aggFn") {
            "count" => "count()".to_owned(),
            function => format!("{function}({value})"),
        }
    };
    let (group, order) = (text(config, "/groupBy"), text(config, "/orderBy"));
    let columns: Vec<String> =
        list(config, "/select").iter().map(|select| format!("{} AS {}", of(select), text(select, "/alias"))).collect();
    format!("SELECT {}, {group} {bounded} GROUP BY {group} ORDER BY {order}", columns.join(", "))
}

/// A statement of a tile, with a condition in place of the filters of its dashboard.
fn written(config: &Value, filters: &str) -> String {
    let template = text(config, "/sqlTemplate");
    assert!(template.contains("$__filters"), "the filters of the dashboard are for every tile: {template}");
    let expanded = Selection::new(RANGE).expanded(&template.replace("$__filters", filters));
    expanded.unwrap_or_else(|error| panic!("{error}: {template}"))
}

/// How numbers are shown. A sum of money has no format on an axis: it would be cut to whole dollars.
///
/// Source: `packages/common-utils/src/types.ts` (`NumberFormatSchema`), `packages/app/src/HDXMultiSeriesTimeChart.tsx`.
fn check_format(format: &Value, is_plot: bool) {
    if format.is_null() {
        return;
    }
    check_members(format, &["output"], &["currencySymbol", "mantissa", "thousandSeparated", "average", "factor"]);
    let output = text(format, "/output");
    assert!(["currency", "duration", "number"].contains(&output), "{format}");
    assert!(!(is_plot && output == "currency"), "{format}");
}

/// A tile runs, shows something of the sample, and nothing of it for a filter that nothing passes.
fn check_tile(service: &Service, config: &Value, filters: &[Value]) {
    let kind = text(config, "/displayType");
    let panel = match kind {
        "number" => "stat",
        "line" | "stacked_bar" => "timeseries",
        "table" | "search" => "table",
        other => panic!("what a tile {other} shows is not known here"),
    };
    let shared = ["name", "source", "displayType"];
    let is_written = text(config, "/configType") == "sql";
    let own: &[&str] =
        if is_written { &["configType", "connection", "sqlTemplate"] } else { &["select", "where", "whereLanguage"] };
    check_members(config, &[&shared, own].concat(), &["granularity", "groupBy", "orderBy", "numberFormat"]);
    check_format(&config["numberFormat"], panel == "timeseries");
    for select in list(config, "/select") {
        check_format(&select["numberFormat"], false);
    }
    let runner = Runner { service };
    let name = text(config, "/name");
    let sql = if is_written { written(config, "(1=1)") } else { built(config, "otel.otel_traces") };
    runner.check_bounds(&sql, name);
    assert!(!service.sql().rows(&sql, &[]).is_empty(), "{name} shows nothing of the sample");
    check_columns(panel, &runner.columns(&sql)).unwrap_or_else(|why| panic!("{name}: {why}"));
    if is_written && panel != "stat" {
        for filter in filters {
            let nobody = written(config, &format!("({} IN ('nobody'))", text(filter, "/expression")));
            assert_eq!(service.sql().rows(&nobody, &[]), Vec::<Value>::new(), "{name}");
        }
    }
}

/// Whether a text is an `ObjectId` of MongoDB.
fn is_object_id(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[test]
fn clickstacks_sources_and_dashboard_fit_the_tables() {
    let service = Service::start();
    stored_sample(&service);
    let connections = read("connections.json");
    let connection = &connections[0];
    check_members(connection, &["_id", "name", "host", "username", "password"], &[]);
    assert!(is_object_id(text(connection, "/_id")), "{connection}");
    let sources = read("sources.json");
    let members_of = |name: &str| list(&sources, "").iter().map(|source| text(source, name)).collect::<BTreeSet<_>>();
    let (names, ids) = (members_of("/name"), members_of("/_id"));
    assert!(ids.len() == names.len() && ids.iter().all(|id| is_object_id(id)), "{ids:?}");
    for source in list(&sources, "") {
        assert_eq!(source["connection"], connection["name"]);
        let kind = text(source, "/kind");
        let members: Vec<&str> =
            if kind == "trace" { &TRACE[..] } else { &LOG[..] }.iter().map(|(name, _)| *name).collect();
        let wanted =
            [&members[..], &["_id", "name", "kind", "connection", "from", "defaultTableSelectExpression"]].concat();
        let optional = [
            "orderByExpression",
            "durationPrecision",
            "spanEventsValueExpression",
            "spanLinksValueExpression",
            "logSourceId",
            "traceSourceId",
            "highlightedTraceAttributeExpressions",
            "highlightedRowAttributeExpressions",
        ];
        check_members(source, &wanted, &optional);
        for other in ["/logSourceId", "/traceSourceId"] {
            assert!(text(source, other).is_empty() || names.contains(text(source, other)), "{source}");
        }
        if kind == "trace" {
            assert_eq!(source["durationPrecision"], json!(9), "nanoseconds");
        }
        check_source(&service, source);
    }
    let dashboard = read("dashboards/calls.json");
    check_members(&dashboard, &["name", "version", "tags", "filters", "tiles"], &["savedQuery"]);
    for filter in list(&dashboard, "/filters") {
        assert!(ids.contains(text(filter, "/source")), "{filter}");
        service.sql().rows(&format!("SELECT {} FROM otel_traces LIMIT 1", text(filter, "/expression")), &[]);
    }
    let tiles = list(&dashboard, "/tiles");
    check_grid("ClickStack", tiles.iter());
    for one in tiles {
        check_members(one, &["id", "x", "y", "w", "h", "config"], &[]);
        let config = &one["config"];
        assert!(ids.contains(text(config, "/source")), "a dashboard of a folder names its sources by id: {one}");
        assert!(
            config["connection"].is_null() || config["connection"] == connection["_id"],
            "and its connection: {one}"
        );
        check_tile(&service, config, list(&dashboard, "/filters"));
    }
}
