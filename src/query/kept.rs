//! The statements that a request took, kept while it is answered if they are to be shown (`shown.rs`).

use crate::clickhouse::Statement;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::time::Duration;

tokio::task_local! {
    /// The statements of the request that this task answers.
    static STATEMENTS: RefCell<Vec<Value>>;
}

/// Answers a request and keeps its statements meanwhile.
pub(super) async fn keeping<T>(answering: impl Future<Output = T>) -> T {
    STATEMENTS.scope(RefCell::default(), answering).await
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

/// The statements so far, if the request shows them.
pub(super) fn taken() -> Option<Vec<Value>> {
    STATEMENTS.try_with(RefCell::take).ok()
}

/// The answer with its statements, if the request shows them. A list without a frame gets one: `data`.
pub(super) fn beside(body: &Value) -> Option<Value> {
    let statements = taken()?;
    let mut members = match body {
        Value::Object(members) => members.clone(),
        other => Map::from_iter([("data".to_owned(), other.clone())]),
    };
    // what says its statement by itself has it already
    members.entry("sql").or_insert_with(|| statements.into());
    Some(Value::Object(members))
}
