//! What belongs to a user, a session or a trace, found and removed from every table.
//!
//! ```text
//! traces     those in which the user or the session is, a page at a time      SELECT DISTINCT TraceId ..
//! remove     all rows of a page of traces                                     ALTER TABLE .. DELETE, awaited
//! remove_by_attributes   log records, data points and scores that name it themselves
//! remove_scores          what was said of a page of traces
//! ```
//!
//! The mutation rewrites the parts that have such rows, so that nothing of them is left on disk. Each statement can be repeated, and spans
//! go last: a deletion that was broken off finds what is left.
//!
//! Source: clickhouse.com/docs, "ALTER TABLE ... DELETE Statement".

use super::client::{Client, Setting};
use super::errors::Failure;
use super::schema::{REPORT_ROWS, TRACE_ROWS};
use crate::columns::Table;
use crate::ids::TraceId;
use crate::sql::quoted;
use crate::telemetry::RowKind;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use ::clickhouse::Row;
use serde::Deserialize;
use std::time::Duration;

/// Traces that one statement is about, at most.
pub const TRACES_MAX: usize = 1_000;
/// A mutation rewrites whole parts.
const MUTATION_TIMEOUT: Duration = Duration::from_secs(3_600);
/// Waits for all replicas.
const MUTATION_SETTINGS: [Setting; 3] =
    [("mutations_sync", "2"), ("max_query_size", "16777216"), ("max_execution_time", "3600")];

/// Attributes that name a user. Sources: OpenTelemetry semantic conventions, Langfuse, OpenInference, Claude Code.
pub const USER_KEYS: [&str; 4] = ["user.id", "enduser.id", "langfuse.user.id", "user.email"];
/// Attributes that name a session.
pub const SESSION_KEYS: [&str; 4] = ["session.id", "gen_ai.conversation.id", "langfuse.session.id", "conversation.id"];

/// Whose rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A trace.
    Trace(TraceId),
    /// All traces of a user.
    User(String),
    /// All traces of a session.
    Session(String),
}

/// What is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// In this workspace alone.
    pub workspace: Workspace,
    /// Whose rows.
    pub subject: Subject,
    /// Only what began before then.
    pub before: Option<UnixNanos>,
}

/// Tables with rows of traces, in the order in which they are removed.
const TABLES_OF_TRACES: [&str; 4] = [Table::Logs.name(), REPORT_ROWS, TRACE_ROWS, Table::Traces.name()];

#[derive(Debug, Row, Deserialize)]
struct Id {
    id: String,
}

#[derive(Debug, Row, Deserialize)]
struct Count {
    rows: u64,
}

impl Deletion {
    fn in_workspace(&self) -> String {
        format!("Workspace = {}", quoted(self.workspace.as_str()))
    }

    /// Of a row of spans, or of what was counted of them.
    fn in_columns(&self, table: &str) -> String {
        let is_of_spans = table == Table::Traces.name();
        match &self.subject {
            Subject::Trace(trace) => format!("TraceId = '{trace}'"),
            Subject::User(user) if is_of_spans => {
                format!("(UserId = {0} OR {1})", quoted(user), in_map("SpanAttributes", user, &USER_KEYS))
            }
            Subject::Session(session) if is_of_spans => {
                format!("(SessionId = {0} OR {1})", quoted(session), in_map("SpanAttributes", session, &SESSION_KEYS))
            }
            Subject::User(user) => format!("UserId = {}", quoted(user)),
            Subject::Session(session) => format!("SessionId = {}", quoted(session)),
        }
    }

    /// Of a row that no trace leads to; nothing for a trace, to which all of its rows lead.
    fn in_attributes(&self, table: Table) -> Option<String> {
        let before = self.before.map_or_else(String::new, |before| {
            format!(" AND {} < fromUnixTimestamp64Nano({})", table.time_column(), before.nanos())
        });
        if table.row_kind() == RowKind::Scores {
            let named = match &self.subject {
                Subject::Trace(_) => return None,
                Subject::User(user) => format!("CreatedBy = {}", quoted(user)),
                Subject::Session(session) => format!("SessionId = {}", quoted(session)),
            };
            return Some(format!("{} AND {named}{before}", self.in_workspace()));
        }
        let map = if table == Table::Logs { "LogAttributes" } else { "Attributes" };
        let (value, keys) = match &self.subject {
            Subject::Trace(_) => return None,
            Subject::User(user) => (user, USER_KEYS),
            Subject::Session(session) => (session, SESSION_KEYS),
        };
        Some(format!("{} AND {}{before}", self.in_workspace(), in_map(map, value, &keys)))
    }
}

fn in_map(map: &str, value: &str, keys: &[&str]) -> String {
    let value = quoted(value);
    let any = keys.iter().map(|key| format!("{map}['{key}'] = {value}"));
    format!("({})", any.collect::<Vec<_>>().join(" OR "))
}

/// A page of traces of the deletion, as their columns hold them, that come after the trace `after`.
///
/// # Errors
/// If ClickHouse rejects a statement or is unreachable.
pub async fn traces(client: &Client, deletion: &Deletion, after: &str) -> Result<Vec<String>, Failure> {
    let of = |table: &str| {
        format!(
            "SELECT TraceId AS id FROM {}.{table} WHERE {} AND TraceId > '{after}' AND {}",
            client.database(),
            deletion.in_workspace(),
            deletion.in_columns(table),
        )
    };
    let tables = [of(Table::Traces.name()), of(REPORT_ROWS)].join(" UNION ALL ");
    let sql = format!("SELECT DISTINCT id FROM ({tables}) WHERE id != '' ORDER BY id LIMIT {TRACES_MAX}");
    let ids: Vec<Id> = client.rows(&sql).await?;
    Ok(ids.into_iter().map(|row| row.id).collect())
}

/// Those of a page that the deletion is about: traces that began before its time.
///
/// # Errors
/// As above.
pub async fn begun_before(client: &Client, deletion: &Deletion, page: &[String]) -> Result<Vec<String>, Failure> {
    let Some(before) = deletion.before else { return Ok(page.to_vec()) };
    let of = |table: &str| {
        let (database, those) = (client.database(), of_traces(deletion, page));
        format!("SELECT TraceId AS id, Timestamp FROM {database}.{table} WHERE {those}")
    };
    let tables = [of(Table::Traces.name()), of(REPORT_ROWS)].join(" UNION ALL ");
    let sql = format!(
        "SELECT id FROM ({tables}) GROUP BY id HAVING min(Timestamp) < fromUnixTimestamp64Nano({}) ORDER BY id",
        before.nanos()
    );
    let ids: Vec<Id> = client.rows_with(&sql, &MUTATION_SETTINGS[1..]).await?;
    Ok(ids.into_iter().map(|row| row.id).collect())
}

fn of_traces(deletion: &Deletion, traces: &[String]) -> String {
    let list = traces.iter().map(|trace| quoted(trace)).collect::<Vec<_>>().join(",");
    format!("{} AND TraceId IN ({list})", deletion.in_workspace())
}

/// How many rows these traces have, by table.
///
/// # Errors
/// As above.
pub async fn count(
    client: &Client,
    deletion: &Deletion,
    traces: &[String],
) -> Result<Vec<(&'static str, u64)>, Failure> {
    let mut counts = Vec::new();
    for table in TABLES_OF_TRACES {
        counts.push((table, count_where(client, table, &of_traces(deletion, traces)).await?));
    }
    Ok(counts)
}

async fn count_where(client: &Client, table: &str, condition: &str) -> Result<u64, Failure> {
    let sql = format!("SELECT count() AS rows FROM {}.{table} WHERE {condition}", client.database());
    let counted: Vec<Count> = client.rows_with(&sql, &MUTATION_SETTINGS[1..]).await?;
    Ok(counted.into_iter().map(|row| row.rows).sum())
}

/// Removes all rows of these traces.
///
/// # Errors
/// As above; some of it may have been done.
pub async fn remove(client: &Client, deletion: &Deletion, traces: &[String]) -> Result<(), Failure> {
    for table in TABLES_OF_TRACES {
        remove_where(client, table, &of_traces(deletion, traces)).await?;
    }
    Ok(())
}

async fn remove_where(client: &Client, table: &str, condition: &str) -> Result<(), Failure> {
    let sql = format!("ALTER TABLE {} DELETE WHERE {condition}", client.holding(table));
    client.execute_with(&sql, &MUTATION_SETTINGS, MUTATION_TIMEOUT).await
}

/// What was said of the spans of these traces, and for a user of their sessions: how many, by table; and removes them, if it `is_real`.
/// Spans are there still.
///
/// # Errors
/// As above.
pub async fn remove_scores(
    client: &Client,
    deletion: &Deletion,
    traces: &[String],
    is_real: bool,
) -> Result<Vec<(&'static str, u64)>, Failure> {
    let (database, those) = (client.database(), of_traces(deletion, traces));
    let global = client.global();
    let spans = Table::Traces.name();
    let mut counts = Vec::new();
    for table in Table::ALL.into_iter().filter(|table| table.row_kind() == RowKind::Scores) {
        // a mutation asks nothing: it names those that have any
        let said = |column: &str, condition: &str| {
            format!(
                "SELECT DISTINCT {column} AS id FROM {database}.{} WHERE {} AND {condition} AND {column} != '' \
                 AND {column} {global}IN (SELECT {column} FROM {database}.{spans} WHERE {those})",
                table.name(),
                deletion.in_workspace(),
            )
        };
        let mut any = vec![those.clone()];
        for (column, condition) in [("SpanId", "1"), ("SessionId", "SpanId = ''")] {
            if column == "SessionId" && !matches!(deletion.subject, Subject::User(_)) {
                continue;
            }
            let ids: Vec<Id> = client.rows_with(&said(column, condition), &MUTATION_SETTINGS[1..]).await?;
            if !ids.is_empty() {
                let list = ids.iter().map(|row| quoted(&row.id)).collect::<Vec<_>>().join(",");
                any.push(format!("{} AND {condition} AND {column} IN ({list})", deletion.in_workspace()));
            }
        }
        let condition = format!("({})", any.join(" OR "));
        let rows = count_where(client, table.name(), &condition).await?;
        if rows > 0 && is_real {
            remove_where(client, table.name(), &condition).await?;
        }
        counts.push((table.name(), rows));
    }
    Ok(counts)
}

/// Log records, data points and scores that name the user or the session themselves: how many, by table; and removes them, if it `is_real`.
///
/// # Errors
/// As above.
pub async fn remove_by_attributes(
    client: &Client,
    deletion: &Deletion,
    is_real: bool,
) -> Result<Vec<(&'static str, u64)>, Failure> {
    let mut counts = Vec::new();
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Traces) {
        let Some(condition) = deletion.in_attributes(table) else { continue };
        let rows = count_where(client, table.name(), &condition).await?;
        if rows > 0 && is_real {
            remove_where(client, table.name(), &condition).await?;
        }
        counts.push((table.name(), rows));
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_wherever_it_stands() {
        let deletion = Deletion {
            workspace: Workspace::default(),
            subject: Subject::User("o'brien\\".to_owned()),
            before: UnixNanos::from_i64(7),
        };
        let condition = deletion.in_columns("otel_traces");
        assert!(
            condition.starts_with(r"(UserId = 'o\'brien\\' OR (SpanAttributes['user.id'] = 'o\'brien\\'"),
            "{condition}"
        );
        let condition = deletion.in_attributes(Table::Annotations).unwrap();
        assert!(condition.contains(r"CreatedBy = 'o\'brien\\' AND CreatedAt < "), "{condition}");
        let condition = deletion.in_attributes(Table::MetricsSum).unwrap();
        assert!(condition.ends_with(" AND TimeUnix < fromUnixTimestamp64Nano(7)"), "{condition}");
    }
}
