//! Rows of imports, by their workspace and the resource attribute that names the import. Any sender may send that attribute, so the
//! workspace is part of every condition: rows of another one are not of the import.

use super::client::{Client, Setting};
use super::errors::Failure;
use crate::columns::Table;
use crate::documents::atif::rewards;
use crate::formats::ATTRIBUTE;
use crate::sql::quoted;
use crate::telemetry::RowKind;
use crate::workspace::Workspace;
use ::clickhouse::Row;
use serde::Deserialize;
use std::time::Duration;

/// A mutation rewrites whole parts.
const MUTATION_TIMEOUT: Duration = Duration::from_secs(3_600);
const MUTATION_SETTINGS: [Setting; 2] = [("mutations_sync", "2"), ("max_execution_time", "3600")];
/// Imports that one statement is about, at most.
const IMPORTS_MAX: usize = 500;
/// Evaluator results that are read at once, so that their list does not grow with the import.
const RESULTS_MAX: usize = 5_000;
/// Bytes of the list in the statement that removes them. A statement may have 256 KiB (`max_query_size`); the embedded engine raises that for nobody.
const LIST_BYTES_MAX: usize = 200 << 10;

#[derive(Debug, Row, Deserialize)]
struct Id {
    id: String,
}

#[derive(Debug, Row, Deserialize)]
struct Extent {
    rows: u64,
    first: i64,
    last: i64,
}

/// How many rows of an import a table has, and of which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Where.
    pub table: Table,
    /// How many.
    pub rows: u64,
    /// Times of the first and the last, in nanoseconds.
    pub between: (i64, i64),
}

/// An import.
#[derive(Debug, Clone, Copy)]
pub struct Import<'i> {
    /// Names it.
    pub id: &'i str,
    /// Where its rows are.
    pub workspace: &'i Workspace,
}

/// What tells an evaluator result from all others.
#[derive(Debug, Clone, Row, Deserialize)]
struct Reported {
    trace_id: String,
    span_id: String,
    /// Where it is about a session and no trace.
    session_id: String,
    name: String,
    created_by: String,
    version: u64,
}

/// The same of a row of results.
const RESULT: &str = "(TraceId, SpanId, if(TraceId = '', SessionId, ''), Name, toString(CreatedBy), Version)";

impl Reported {
    fn quoted(&self) -> String {
        let parts = [&self.trace_id, &self.span_id, &self.session_id, &self.name, &self.created_by];
        format!("({},{})", parts.map(|part| quoted(part)).join(","), self.version)
    }
}

/// What a query selects of rows that tell of results, in the order of [`RESULT`].
fn select([span, session, name, time]: [&str; 4]) -> String {
    format!(
        "SELECT TraceId, {span}, {session}, {name}, toString(ServiceName), toUInt64(intDiv(toUnixTimestamp64Nano({time}), 1000))"
    )
}

/// The span that a log record is about: without a trace it is about none.
const SPAN_OF_RECORD: &str = "if(TraceId = '', '', SpanId)";
/// The session that a log record without a trace is about.
const SESSION_OF_RECORD: &str = "if(TraceId = '', if(LogAttributes['gen_ai.conversation.id'] = '', LogAttributes['session.id'], \
    LogAttributes['gen_ai.conversation.id']), '')";
/// A log record that reports a result. Its event is named by a field or, in older SDKs, by an attribute.
const IS_REPORT: &str =
    "if(EventName = '', LogAttributes['event.name'], toString(EventName)) = 'gen_ai.evaluation.result'";

/// Name and time of the results that events and attributes of a span report. An event may have the time of its span
/// (`otlp/protobuf/evaluations.rs`).
const REPORTS: &str = "arrayConcat(\
    arrayFlatten(arrayMap((event, at, said) -> if(event = 'gen_ai.evaluation.result', \
    [(said['gen_ai.evaluation.name'], at), (said['gen_ai.evaluation.name'], Timestamp)], []), \
    Events.Name, Events.Timestamp, Events.Attributes)), \
    arrayMap(key -> (SpanAttributes[key], Timestamp), arrayFilter(key -> match(key, \
    '^(evaluations[.][0-9]+[.]evaluation|annotations[.][0-9]+[.]annotation)[.]name$'), mapKeys(SpanAttributes))))";

impl Import<'_> {
    /// The condition for its rows.
    fn rows(&self) -> String {
        let workspace = quoted(self.workspace.as_str());
        format!("Workspace = {workspace} AND {} = {}", attribute(), quoted(self.id))
    }

    /// What is stored of it, by table.
    ///
    /// # Errors
    /// If ClickHouse rejects a statement or is unreachable.
    pub async fn extent(&self, client: &Client) -> Result<Vec<Stored>, Failure> {
        let mut all = Vec::new();
        for table in Table::ALL.into_iter().filter(|table| table.row_kind() != RowKind::Scores) {
            let (time, name) = (table.time_column(), table.name());
            let nanos = |bound: &str| format!("toInt64(toUnixTimestamp64Nano(toDateTime64({bound}({time}), 9)))");
            let sql = format!(
                "SELECT count() AS rows, {} AS first, {} AS last FROM {}.{name} WHERE {}",
                nanos("min"),
                nanos("max"),
                client.database(),
                self.rows()
            );
            let found: Vec<Extent> = client.rows(&sql).await?;
            let rows = found.into_iter().filter(|extent| extent.rows > 0);
            all.extend(rows.map(|of| Stored { table, rows: of.rows, between: (of.first, of.last) }));
        }
        Ok(all)
    }

    /// Removes what is stored of it: evaluator results first, since only the rows that made them say which they are.
    ///
    /// # Errors
    /// As above; some of it may have been done.
    pub async fn remove(&self, client: &Client, stored: &[Stored]) -> Result<(), Failure> {
        for of in stored {
            let (time, (first, last)) = (of.table.time_column(), of.between);
            let rows = format!(
                "{} AND {time} >= fromUnixTimestamp64Nano({first}) AND {time} <= fromUnixTimestamp64Nano({last})",
                self.rows()
            );
            for made in self.results(client, of.table, &rows) {
                self.remove_results(client, &made).await?;
            }
            let sql = format!("ALTER TABLE {} DELETE WHERE {rows}", client.holding(of.table.name()));
            client.execute_with(&sql, &MUTATION_SETTINGS, MUTATION_TIMEOUT).await?;
        }
        Ok(())
    }

    /// Conditions for the results that rows of a table made. Those name no import themselves, but who wrote them, and when, is what the
    /// rows say, so a result of the same name from elsewhere stays.
    fn results(&self, client: &Client, of: Table, rows: &str) -> Vec<String> {
        let (table, global) = (client.full_name(of.name()), client.global());
        let of_records = || {
            let select =
                select([SPAN_OF_RECORD, SESSION_OF_RECORD, "LogAttributes['gen_ai.evaluation.name']", "Timestamp"]);
            format!("{RESULT} {global}IN ({select} FROM {table} WHERE {rows} AND {IS_REPORT})")
        };
        let of_spans = || {
            let select = select(["SpanId", "''", "result.1", "result.2"]);
            format!(
                "{RESULT} {global}IN ({select} FROM {table} ARRAY JOIN {REPORTS} AS result WHERE {rows} AND result.1 != '')"
            )
        };
        // rewards of a trajectory: results about the span of its verifier, by whoever reads trajectories
        let of_trajectories = || {
            format!(
                "CreatedBy = {by} AND (TraceId, SpanId) {global}IN (SELECT TraceId, SpanId FROM {table} WHERE {rows} AND SpanName = {verifier})",
                by = quoted(rewards::CREATED_BY),
                verifier = quoted(rewards::VERIFIER),
            )
        };
        match of {
            Table::Logs => vec![of_records()],
            Table::Traces => vec![of_spans(), of_trajectories()],
            _ => Vec::new(),
        }
    }

    /// Removes evaluator results, in the order of what tells them apart. A mutation is told which: its condition may not ask other
    /// tables, whose rows are elsewhere on a cluster.
    async fn remove_results(&self, client: &Client, made: &str) -> Result<(), Failure> {
        let (table, workspace) = (Table::EvaluatorResults.name(), quoted(self.workspace.as_str()));
        let mut after = String::new();
        loop {
            let sql = format!(
                "SELECT DISTINCT TraceId AS trace_id, SpanId AS span_id, if(TraceId = '', SessionId, '') AS session_id, Name AS name, \
                 toString(CreatedBy) AS created_by, Version AS version FROM {} WHERE Workspace = {workspace} AND {made}{after} \
                 ORDER BY {RESULT} LIMIT {RESULTS_MAX}",
                client.full_name(table)
            );
            let some: Vec<Reported> = client.rows(&sql).await?;
            for list in lists(&some) {
                let sql = format!(
                    "ALTER TABLE {} DELETE WHERE Workspace = {workspace} AND {RESULT} IN ({list})",
                    client.holding(table)
                );
                client.execute_with(&sql, &MUTATION_SETTINGS, MUTATION_TIMEOUT).await?;
            }
            match some.last() {
                Some(last) if some.len() == RESULTS_MAX => after = format!(" AND {RESULT} > {}", last.quoted()),
                _ => return Ok(()),
            }
        }
    }
}

/// The results in lists, each as long as a statement may be.
fn lists(results: &[Reported]) -> Vec<String> {
    let mut lists: Vec<String> = Vec::new();
    for key in results.iter().map(Reported::quoted) {
        match lists.last_mut() {
            Some(list) if list.len() + key.len() < LIST_BYTES_MAX => {
                list.push(',');
                list.push_str(&key);
            }
            _ => lists.push(key),
        }
    }
    lists
}

fn attribute() -> String {
    format!("ResourceAttributes['{ATTRIBUTE}']")
}

/// Those of these imports that have rows of spans in a workspace.
///
/// # Errors
/// If ClickHouse rejects a statement or is unreachable.
pub async fn stored(client: &Client, workspace: &Workspace, imports: &[String]) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for some in imports.chunks(IMPORTS_MAX) {
        let list = some.iter().map(|id| quoted(id)).collect::<Vec<_>>().join(",");
        let sql = format!(
            "SELECT DISTINCT {0} AS id FROM {1}.{2} WHERE Workspace = {3} AND {0} IN ({list})",
            attribute(),
            client.database(),
            Table::Traces.name(),
            quoted(workspace.as_str())
        );
        let ids: Vec<Id> = client.rows(&sql).await?;
        found.extend(ids.into_iter().map(|row| row.id));
    }
    Ok(found)
}
