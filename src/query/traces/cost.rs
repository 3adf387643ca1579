//! `GET /traces/{trace_id}/cost`: what each call of a trace cost, of what that is made, and where it is from.

use super::row::Range;
use super::statements::push_where;
use crate::clickhouse::Statement;
use crate::query::answer::{Refusal, json_answer};
use crate::query::conditions::trace_id;
use crate::query::request::{Api, workspace};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

/// Most calls that are listed: those that cost most.
const CALLS_MAX: u64 = 1_000;

/// What is said of a call, by the columns of `genai_calls`.
const COLUMNS: &str = "c.SpanId AS span_id, c.Model AS model, c.Provider AS provider, c.Operation AS operation, \
     formatDateTime(c.Timestamp, '%Y-%m-%dT%H:%i:%S.%fZ', 'UTC') AS started_at, round(c.Duration / 1e6, 3) AS duration_ms, \
     c.InputTokens AS input_tokens, c.CacheReadTokens AS cached_tokens, c.CacheWriteTokens AS cache_write_tokens, \
     c.OutputTokens AS output_tokens, c.ReasoningTokens AS reasoning_tokens, toFloat64(c.CostTotal) AS cost_usd, \
     toFloat64(c.CostInput) AS cost_input_usd, toFloat64(c.CostOutput) AS cost_output_usd, c.CostSource AS cost_source, \
     c.PriceId AS price_id, c.PriceBook AS price_book, c.ServiceTier AS service_tier";

/// `GET /traces/{trace_id}/cost`
pub(in crate::query) async fn cost(
    State(api): State<Arc<Api>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let ids = [trace_id(&id)];
    let range: Option<Range> = super::range(&api, &ids).await?;
    let among = |statement: &mut Statement| {
        let calls = api.reads.client().full_name("genai_calls");
        statement.push(&format!(" FROM {calls} AS c"));
        push_where(statement, &workspace, &ids, range.as_ref());
    };
    let mut sums = Statement::new(
        "SELECT count() AS calls, countIf(c.CostTotal IS NULL) AS calls_without_cost, toFloat64(sum(c.CostTotal)) AS cost_usd",
    );
    among(&mut sums);
    let sums = api.reads.ask_json(&sums).await?.into_iter().next();
    let mut calls = Statement::new(&format!("SELECT {COLUMNS}"));
    among(&mut calls);
    calls.push(" ORDER BY c.CostTotal DESC NULLS LAST, c.Timestamp, c.SpanId LIMIT ").bind(CALLS_MAX);
    let calls = api.reads.ask_json(&calls).await?;
    let Some(sums) = sums.filter(|_| !calls.is_empty()) else {
        let why = format!("Trace {}/{id} has no calls, or is not there", workspace.as_str());
        return Err(Refusal::not_found(&why));
    };
    let calls: Vec<Value> = calls.into_iter().map(explained).collect();
    Ok(json_answer(StatusCode::OK, &json!({"trace_id": ids.concat(), "sums": sums, "calls": calls})))
}

/// A call with a sentence on where its cost is from.
fn explained(call: Value) -> Value {
    let mut call = match call {
        Value::Object(call) => call,
        other => return other,
    };
    let text = |name: &str| call.get(name).and_then(Value::as_str).unwrap_or_default();
    let (source, price, book) = (text("cost_source"), text("price_id"), text("price_book"));
    let why = if call.get("cost_usd").is_none_or(Value::is_null) {
        "not known: the sender gave no cost, and the book has no price for this model, provider and time".to_owned()
    } else if price.is_empty() {
        format!("given by the sender ({source})")
    } else {
        format!("computed of the tokens with the price {price} of {book}")
    };
    call.insert("explanation".to_owned(), why.into());
    Value::Object(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_says_where_it_is_from() {
        let of = |call: Value| explained(call)["explanation"].as_str().unwrap().to_owned();
        assert!(of(json!({"cost_usd": null})).starts_with("not known"));
        assert_eq!(of(json!({"cost_usd": 1, "cost_source": "usage", "price_id": ""})), "given by the sender (usage)");
        let computed = json!({"cost_usd": 1, "price_id": "a/b", "price_book": "book 1"});
        assert_eq!(of(computed), "computed of the tokens with the price a/b of book 1");
    }
}
