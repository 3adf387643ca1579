//! What only the page asks: series and breakdowns of calls, what its lists show of traces, a span with all of its columns, the schema, what is
//! stored. Each answer has the statement that made it, for "Show SQL".
//!
//! ```text
//! {"rows": [...], "sql": "SELECT ...", "elapsed_ms": 12}
//! ```
//!
//! The columns have the names that they have in the tables, or plain ones; docs/page.md describes the paths.

mod calls;
mod catalog;
mod range;
mod savings;
mod span;
pub(super) mod tail;
mod traces;
mod typed;

use super::answer::{Refusal, json_answer};
use super::request::Api;
use crate::access::routes::{Guard, Routes};
use crate::access::{Needs, Scope};
use crate::clickhouse::Statement;
use crate::genai::prices::Prices;
use crate::reloadable::Reloadable;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

const READ: Needs = Needs::InWorkspace(Scope::Read);
/// It tells of all workspaces.
const READ_ALL: Needs = Needs::Everywhere(Scope::Read);

/// Every path that only the page asks.
#[must_use]
pub fn routes(api: Api, guard: &Guard) -> Routes {
    Routes::new(guard)
        .get("/api/v1/workspaces", READ_ALL, catalog::workspaces)
        .get("/api/v1/schema", READ_ALL, catalog::schema)
        .get("/api/v1/storage", READ_ALL, catalog::storage)
        .post("/api/v1/sql", READ_ALL, typed::run)
        .get("/api/v1/workspaces/{workspace}/calls/series", READ, calls::series)
        .get("/api/v1/workspaces/{workspace}/calls/breakdown", READ, calls::breakdown)
        .get("/api/v1/workspaces/{workspace}/calls/errors", READ, calls::errors)
        .get("/api/v1/workspaces/{workspace}/tools", READ, calls::tools)
        .get("/api/v1/workspaces/{workspace}/traces/facts", READ, traces::facts)
        .get("/api/v1/workspaces/{workspace}/traces/{trace_id}/spans/{span_id}", READ, span::one)
        .with_state(Arc::new(api))
}

/// What caches saved, which needs prices.
#[must_use]
pub fn savings_routes(api: Api, prices: Reloadable<Option<Prices>>, guard: &Guard) -> Routes {
    Routes::new(guard)
        .get("/api/v1/workspaces/{workspace}/calls/savings", READ, savings::savings)
        .with_state(Arc::new(savings::Savings { api, prices }))
}

/// Asks, and answers with the rows and the statement.
async fn answer(api: &Api, statement: &Statement) -> Result<Response, Refusal> {
    let started = Instant::now();
    let rows = api.reads.ask_json(statement).await?;
    let elapsed = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(json_answer(StatusCode::OK, &json!({"rows": rows, "sql": statement.shown(), "elapsed_ms": elapsed})))
}
