//! `GET .../calls/savings`: what it saved that tokens were read from caches, by the prices of today's book at the time of the calls.
//!
//! ```text
//! calls with tokens from a cache, by provider, model and tier     the price of the average call without its cache, less the price with it
//! ```

use super::calls;
use super::range::Calls;
use crate::clickhouse::Statement;
use crate::genai::prices::{PriceQuery, Prices};
use crate::genai::usage::Usage;
use crate::query::answer::{Refusal, json_answer};
use crate::query::request::{Api, workspace};
use crate::reloadable::Reloadable;
use crate::time::UnixNanos;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

/// Rows of an answer.
const ROWS_MAX: u64 = 200;

/// What answers the question.
pub(super) struct Savings {
    pub(super) api: Api,
    /// What calls are priced by, if they are.
    pub(super) prices: Reloadable<Option<Prices>>,
}

/// `GET .../calls/savings?since&until`: a row for each provider, model and tier, those with the most tokens from caches first.
pub(super) async fn savings(
    State(of): State<Arc<Savings>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let parameters = calls::parameters(query.as_deref(), &[])?;
    let calls = Calls::read(&workspace, &parameters, of.api.reads.clock.now())?;
    let table = of.api.reads.client().full_name("genai_calls");
    let mut statement = Statement::new(&format!(
        "SELECT toString(Provider) AS provider, toString(Model) AS model, toString(ServiceTier) AS tier, count() AS calls, \
         sum(InputTokens) AS input_tokens, sum(CacheReadTokens) AS cache_read_tokens, \
         sum(CacheWriteTokens) AS cache_write_tokens, toUnixTimestamp64Nano(max(Timestamp)) AS last FROM {table}"
    ));
    calls.push(&mut statement);
    statement
        .push(" AND CacheReadTokens > 0 GROUP BY provider, model, tier ORDER BY cache_read_tokens DESC, model LIMIT ");
    statement.bind(ROWS_MAX);
    let rows = of.api.reads.ask_json(&statement).await?;
    let prices = of.prices.kept();
    let rows: Vec<Value> = rows.iter().map(|row| row_of(row, prices.as_ref().as_ref())).collect();
    Ok(json_answer(StatusCode::OK, &json!({"rows": rows, "sql": statement.shown()})))
}

/// `saved` is null where the model has no price.
fn row_of(row: &Value, prices: Option<&Prices>) -> Value {
    let text = |name: &str| row.get(name).and_then(Value::as_str).map_or("", |text| text);
    let saved = prices.and_then(|prices| saved(prices, row, [text("provider"), text("model"), text("tier")]));
    json!({
        "provider": text("provider"), "model": text("model"), "tier": text("tier"), "calls": row.get("calls"),
        "cache_read_tokens": row.get("cache_read_tokens"), "saved": saved,
    })
}

/// US dollars. Prices may depend on how long the input of a call is, so the average call is priced.
fn saved(prices: &Prices, row: &Value, [provider, model, tier]: [&str; 3]) -> Option<f64> {
    let number = |name: &str| row.get(name).and_then(Value::as_u64);
    let calls = number("calls").filter(|calls| *calls > 0)?;
    let each = |name: &str| number(name).map(|sum| sum / calls);
    let cached = Usage {
        input: each("input_tokens"),
        cache_read: each("cache_read_tokens"),
        cache_write: each("cache_write_tokens"),
        ..Usage::default()
    };
    let at = row.get("last").and_then(Value::as_i64).and_then(UnixNanos::from_i64)?;
    let cost = |usage: &Usage| {
        let query = PriceQuery { provider, response_model: model, request_model: "", service_tier: tier, at, usage };
        let [_, input, _] = prices.quote(&query).ok()?.cost;
        input.to_string().parse::<f64>().ok()
    };
    let fresh = Usage { cache_read: None, ..cached };
    let calls = f64::from(u32::try_from(calls).map_or(u32::MAX, |calls| calls));
    Some((cost(&fresh)? - cost(&cached)?) * calls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_a_cache_saved_is_the_difference_of_the_prices_of_the_same_tokens() {
        let prices = Prices::new(Vec::new(), &BTreeMap::new()).unwrap();
        let row = |provider: &str, model: &str| {
            json!({"provider": provider, "model": model, "tier": "", "calls": 10, "input_tokens": 20_000_000, "cache_read_tokens": 10_000_000,
                "cache_write_tokens": null, "last": 1_780_272_000_000_000_000_i64})
        };
        // 2.50 a million, and 1.25 from a cache
        let saved = |row: &Value| row_of(row, Some(&prices))["saved"].as_f64();
        let of_gpt = saved(&row("openai", "gpt-4o")).unwrap();
        assert!((of_gpt - 12.5).abs() < 1e-9, "{of_gpt}");
        assert_eq!(saved(&row("nobody", "no-model-of-this-name")), None);
        assert_eq!(row_of(&row("openai", "gpt-4o"), None)["saved"], Value::Null);
    }
}
