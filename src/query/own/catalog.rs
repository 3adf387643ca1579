//! `GET /api/v1/workspaces`, `/schema`, `/storage`: which workspaces there are, what can be asked in SQL, and what the tables take.

use super::answer;
use crate::clickhouse::Statement;
use crate::query::answer::Refusal;
use crate::query::request::Api;
use axum::extract::State;
use axum::response::Response;
use std::sync::Arc;

/// The workspaces that have spans, those with the most first.
pub(super) async fn workspaces(State(api): State<Arc<Api>>) -> Result<Response, Refusal> {
    let table = api.reads.client().full_name("otel_traces");
    let statement = Statement::new(&format!(
        "SELECT Workspace AS workspace, count() AS spans FROM {table} GROUP BY Workspace ORDER BY spans DESC, workspace LIMIT 1000"
    ));
    answer(&api, &statement).await
}

/// Tables and views of the database, with their columns.
pub(super) async fn schema(State(api): State<Arc<Api>>) -> Result<Response, Refusal> {
    let mut statement = Statement::new(
        "SELECT table, groupArray(name) AS columns, groupArray(type) AS types FROM \
         (SELECT table, name, type FROM system.columns WHERE database = ",
    );
    statement.bind(api.reads.client().database().to_string());
    statement.push(" ORDER BY table, position) GROUP BY table ORDER BY table");
    answer(&api, &statement).await
}

/// The tables of the database that have rows, the largest first. In a cluster: on the server that is asked.
pub(super) async fn storage(State(api): State<Arc<Api>>) -> Result<Response, Refusal> {
    let mut statement = Statement::new(
        "SELECT name AS table, total_rows AS rows, total_bytes AS bytes FROM system.tables WHERE database = ",
    );
    statement.bind(api.reads.client().database().to_string());
    statement.push(" AND total_rows > 0 ORDER BY bytes DESC, table LIMIT 1000");
    answer(&api, &statement).await
}
