//! Calls without a cost.

use super::client::Client;
use super::errors::Failure;
use crate::time::UnixNanos;
use ::clickhouse::Row;
use serde::Deserialize;

/// Spans that are calls of models. What agents report is the sum of their calls.
const IS_PRICED: &str = "Operation IN ('chat', 'text_completion', 'generate_content', 'embeddings', 'rerank')";

/// A model whose calls have no cost.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct UnpricedModel {
    /// The provider, as calls name it.
    pub provider: String,
    /// The model that answered, else the one asked for.
    pub model: String,
    /// How many of its calls have no cost.
    pub calls: u64,
    /// What they used.
    pub input_tokens: u64,
    /// What they made.
    pub output_tokens: u64,
}

/// The models whose calls since then used tokens and have no cost, most calls first.
///
/// # Errors
/// If ClickHouse is unreachable or refuses.
pub async fn unpriced(client: &Client, since: UnixNanos, limit: usize) -> Result<Vec<UnpricedModel>, Failure> {
    let table = client.table();
    let statement = format!(
        "SELECT toString(Provider) AS provider, if(ResponseModel = '', toString(RequestModel), toString(ResponseModel)) AS model, \
         count() AS calls, ifNull(sum(InputTokens), 0) AS input_tokens, ifNull(sum(OutputTokens), 0) AS output_tokens \
         FROM {table} WHERE {IS_PRICED} AND CostTotal IS NULL AND (InputTokens > 0 OR OutputTokens > 0) \
         AND Timestamp >= fromUnixTimestamp64Nano({}) \
         GROUP BY provider, model ORDER BY calls DESC, provider, model LIMIT {limit}",
        since.nanos()
    );
    client.rows(&statement).await
}
