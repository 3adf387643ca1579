//! `show=sql`: an answer has the statements that it took, beside what it answers.
//!
//! ```text
//! GET /traces?show=sql   {"data": [...], ..., "sql": [{"statement": "SELECT ...", "elapsed_ms": 3.1}, ...]}
//! ```
//!
//! A statement is shown with its values, ready to be pasted; it is sent with its values apart from the text.

use super::answer::Refusal;
use crate::clickhouse::Statement;
use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::time::Duration;

/// The parameter.
const NAME: &str = "show";

tokio::task_local! {
    /// The statements of the request that this task answers.
    static STATEMENTS: RefCell<Vec<Value>>;
}

/// Keeps the statement, if the request shows them.
pub(super) fn note(statement: &Statement, elapsed: Duration) {
    let milliseconds = elapsed.as_secs_f64() * 1e3;
    let keep = |list: &RefCell<Vec<Value>>| {
        list.borrow_mut().push(json!({"statement": statement.shown(), "elapsed_ms": milliseconds}));
    };
    // most requests show none
    let _not_shown = STATEMENTS.try_with(keep);
}

/// The answer with its statements, if the request shows them. A list without a frame gets one: `data`.
pub(super) fn beside(body: &Value) -> Option<Value> {
    let statements = STATEMENTS.try_with(RefCell::take).ok()?;
    let mut members = match body {
        Value::Object(members) => members.clone(),
        other => Map::from_iter([("data".to_owned(), other.clone())]),
    };
    members.insert("sql".to_owned(), statements.into());
    Some(Value::Object(members))
}

/// Answers a request; takes `show` off its URL first.
pub async fn layer(mut request: Request, next: Next) -> Response {
    let Some(query) = request.uri().query().filter(|query| query.contains(NAME)) else { return next.run(request).await };
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let Some((_, value)) = pairs.iter().rev().find(|(name, _)| name == NAME) else { return next.run(request).await };
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    if value != "sql" {
        return Refusal::bad_request("show must be sql: the answer has its statements then").into_response();
    }
    let rest = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs.iter().filter(|(name, _)| name != NAME))
        .finish();
    match without(request.uri(), &rest) {
        Some(uri) => *request.uri_mut() = uri,
        None => return Refusal::bad_request("the query string cannot be read").into_response(),
    }
    STATEMENTS.scope(RefCell::default(), next.run(request)).await
}

/// The URL with another query string.
fn without(uri: &Uri, query: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    let path_and_query = if query.is_empty() { uri.path().to_owned() } else { format!("{}?{query}", uri.path()) };
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
    Uri::from_parts(parts).ok()
}
