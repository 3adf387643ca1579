//! `POST /api/v1/sql`: a statement that somebody typed. It reads, and reads nothing but tables.
//!
//! ```text
//! text --EXPLAIN AST--> tree: a query, tables and allowed functions, no SETTINGS --> rows
//! ```

use crate::clickhouse::Statement;
use crate::connections::Asking;
use crate::query::answer::{Refusal, json_answer};
use crate::query::request::Api;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde::Deserialize;
use std::sync::Arc;

/// Rows that are shown of an answer.
const ROWS_MAX: u64 = 10_000;
/// Statements that only read. Source: `getID` of ClickHouse's `Parsers/AST*.h`.
const STATEMENTS: [&str; 8] = [
    "SelectWithUnionQuery",
    "SelectIntersectExceptQuery",
    "Explain",
    "DescribeQuery",
    "ShowTables",
    "ShowColumns",
    "ShowCreateTableQuery",
    "ShowCreateViewQuery",
];
/// Table functions that reach nothing but the tables of this ClickHouse.
const FUNCTIONS: [&str; 9] =
    ["numbers", "numbers_mt", "zeros", "generateSeries", "generate_series", "values", "view", "merge", "null"];

/// Functions that reach files, other servers, programs or named collections wherever they stand: `file` is a function of values too, and the right side
/// of `IN` may be a table function. Source: ClickHouse's `src/TableFunctions` and `FunctionFile.cpp`.
const REACHING: [&str; 36] = [
    "file",
    "fileCluster",
    "url",
    "urlCluster",
    "s3",
    "s3Cluster",
    "gcs",
    "cosn",
    "oss",
    "azureBlobStorage",
    "azureBlobStorageCluster",
    "hdfs",
    "hdfsCluster",
    "remote",
    "remoteSecure",
    "cluster",
    "clusterAllReplicas",
    "mysql",
    "postgresql",
    "mongodb",
    "redis",
    "sqlite",
    "odbc",
    "jdbc",
    "ytsaurus",
    "executable",
    "iceberg",
    "icebergLocal",
    "icebergS3",
    "icebergCluster",
    "icebergS3Cluster",
    "deltaLake",
    "deltaLakeCluster",
    "hudi",
    "input",
    "arrowFlight",
];

#[derive(Debug, Deserialize)]
pub(super) struct Question {
    sql: String,
}

pub(super) async fn run(
    State(api): State<Arc<Api>>,
    asking: Option<Extension<Asking>>,
    Json(question): Json<Question>,
) -> Result<Response, Refusal> {
    let _given_up_with_its_client = asking.map(|Extension(asking)| asking.question());
    let sql = question.sql.trim().trim_end_matches(';');
    if sql.is_empty() {
        return Err(Refusal::bad_request("the statement is empty"));
    }
    let explained = api.reads.ask_typed(&format!("EXPLAIN AST {sql}"), ROWS_MAX).await?;
    let lines = explained.get("data").and_then(|rows| rows.as_array()).cloned().unwrap_or_default();
    let tree: Vec<&str> = lines.iter().filter_map(|row| row.get(0)?.as_str()).collect();
    check(&tree)?;
    let answer = api.reads.ask_typed(Statement::new(sql).sql(), ROWS_MAX).await?;
    Ok(json_answer(StatusCode::OK, &answer))
}

/// What a line of the tree is: `Function url (alias a) (children 1)` -> `Function url`.
fn node(line: &str) -> &str {
    line.split_once('(').map_or(line, |(before, _)| before).trim()
}

/// # Errors
/// 400 that says what may not be asked.
fn check(tree: &[&str]) -> Result<(), Refusal> {
    let reads = |node: &str| STATEMENTS.iter().any(|kind| node.split(' ').next() == Some(kind));
    if !tree.first().is_some_and(|line| reads(node(line))) {
        return Err(Refusal::bad_request("only statements that read can be run here: SELECT, DESCRIBE, SHOW, EXPLAIN"));
    }
    if tree.iter().any(|line| node(line) == "Set") {
        return Err(Refusal::bad_request("leave SETTINGS out: the limits of the page hold"));
    }
    let functions = tree.iter().filter_map(|line| node(line).strip_prefix("Function "));
    if let Some(name) = functions.into_iter().find(|name| REACHING.iter().any(|other| other.eq_ignore_ascii_case(name)))
    {
        return Err(Refusal::bad_request(&format!("the function {name} cannot be used here")));
    }
    let pairs = tree.iter().zip(tree.iter().skip(1));
    for (above, line) in pairs {
        let is_source = node(above) == "TableExpression" || node(above).starts_with("DescribeQuery");
        let Some(name) = node(line).strip_prefix("Function ").filter(|_| is_source) else { continue };
        if !FUNCTIONS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(Refusal::bad_request(&format!("the table function {name} cannot be used here")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_reads_tables_is_run() {
        let select =
            |source: &'static str| ["SelectWithUnionQuery (children 1)", " TableExpression (children 1)", source];
        assert_eq!(check(&select("  TableIdentifier otel.otel_traces")), Ok(()));
        assert_eq!(check(&select("  Function numbers (children 1)")), Ok(()));
        for other in ["url", "s3", "remote", "file", "executable", "mysql", "clusterAllReplicas"] {
            let line = format!("  Function {other} (alias x) (children 1)");
            let tree = ["SelectWithUnionQuery (children 1)", " TableExpression (children 1)", line.as_str()];
            assert!(check(&tree).is_err(), "{other}");
        }
        for other in ["file", "FILE", "url", "remote"] {
            let line = format!("   Function {other} (children 1)");
            let tree = ["SelectWithUnionQuery (children 1)", "  ExpressionList (children 1)", line.as_str()];
            assert!(check(&tree).is_err(), "{other}, as a value or at the right of IN");
        }
        assert!(check(&["InsertQuery otel otel_traces (children 1)"]).is_err());
        assert!(check(&["DropQuery otel otel_traces"]).is_err());
        assert!(check(&["SelectWithUnionQuery (children 2)", " Set"]).is_err());
        assert!(check(&[]).is_err());
    }
}
