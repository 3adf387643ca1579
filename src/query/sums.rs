//! Sums over calls of a model, each counted once, whoever reported it and however often: of the view `genai_calls`.

use ::clickhouse::Row;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The columns of [`Sums`] but for its key.
pub(super) const COLUMNS: &str = "sum(InputTokens) AS input_tokens, sum(OutputTokens) AS output_tokens, \
     sum(CacheReadTokens) AS cached_tokens, sum(TotalTokens) AS total_tokens, toFloat64(sum(CostTotal)) AS cost_total, \
     toFloat64(sum(CostInput)) AS cost_input, toFloat64(sum(CostOutput)) AS cost_output";

/// A sum over the calls of a trace, as a row `t` of `genai_traces` has it.
pub(super) struct OfTrace {
    /// Its name in a search.
    pub(super) search: &'static str,
    /// Its name in a filter.
    pub(super) filter: Option<&'static str>,
    /// Its name in a statement that joins it with a trace.
    pub(super) joined: &'static str,
    pub(super) expression: &'static str,
}

const fn of_trace(
    search: &'static str,
    filter: Option<&'static str>,
    joined: &'static str,
    expression: &'static str,
) -> OfTrace {
    OfTrace { search, filter, joined, expression }
}

/// All of them.
pub(super) const OF_TRACE: [OfTrace; 6] = [
    of_trace("cached_tokens", Some("cached_tokens"), "sum_cached_tokens", "t.CacheReadTokens"),
    of_trace("cost", Some("cost_usd"), "sum_cost", "toFloat64(t.CostTotal)"),
    of_trace("input_tokens", Some("input_tokens"), "sum_input_tokens", "t.InputTokens"),
    of_trace("output_tokens", Some("output_tokens"), "sum_output_tokens", "t.OutputTokens"),
    of_trace("reasoning_tokens", None, "sum_reasoning_tokens", "t.ReasoningTokens"),
    of_trace("tokens", Some("total_tokens"), "sum_total_tokens", "t.TotalTokens"),
];

/// Sums over the calls of a trace, or of all that was asked for.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Sums {
    pub(super) trace_id: String,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cached_tokens: Option<u64>,
    total_tokens: Option<u64>,
    cost_total: Option<f64>,
    cost_input: Option<f64>,
    cost_output: Option<f64>,
}

impl Sums {
    /// As they are answered; what no call reports is left out.
    pub(super) fn put(&self, answer: &mut Map<String, Value>) {
        let counts = [
            ("input_tokens", self.input_tokens),
            ("output_tokens", self.output_tokens),
            ("cached_tokens", self.cached_tokens),
            ("total_tokens", self.total_tokens),
        ];
        let costs =
            [("cost_usd", self.cost_total), ("cost_input_usd", self.cost_input), ("cost_output_usd", self.cost_output)];
        let counts = counts.into_iter().filter_map(|(name, count)| Some((name, Value::from(count?))));
        let costs = costs.into_iter().filter_map(|(name, cost)| Some((name, Value::from(cost?))));
        answer.extend(counts.chain(costs).map(|(name, value)| (name.to_owned(), value)));
    }
}
