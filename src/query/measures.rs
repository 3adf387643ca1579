//! What is told of calls, and what they are told apart by: the same expressions wherever calls are measured, so that the same question
//! has the same answer in the read API and on the page.
//!
//! Calls are those of `genai_calls`, each counted once whoever reported it.

/// What calls are told apart by: the name in a question, and the column of `genai_calls`.
pub(super) const GROUPINGS: [(&str, &str); 9] = [
    ("model", "Model"),
    ("user", "UserId"),
    ("session", "SessionId"),
    ("agent", "AgentName"),
    ("provider", "Provider"),
    ("operation", "Operation"),
    ("service", "ServiceName"),
    ("source", "CostSource"),
    ("tier", "ServiceTier"),
];

/// What is told of calls. Times are nanoseconds, costs US dollars, speed tokens a second; what no call reports is null.
pub(super) const MEASURES: &str = "count() AS calls, countIf(IsError) AS errors, sum(InputTokens) AS input_tokens, \
     sum(OutputTokens) AS output_tokens, sum(TotalTokens) AS total_tokens, sum(CacheReadTokens) AS cache_read_tokens, \
     sum(CacheWriteTokens) AS cache_write_tokens, sum(ReasoningTokens) AS reasoning_tokens, toFloat64(sum(CostTotal)) AS cost, \
     toFloat64(sumIf(CostTotal, CostSource = 'computed')) AS cost_computed, \
     toFloat64(sumIf(CostTotal, CostSource != 'computed')) AS cost_given, countIf(CostTotal IS NULL) AS unpriced, \
     avg(Duration) AS mean, \
     quantileOrNull(0.5)(Duration) AS p50, quantileOrNull(0.95)(Duration) AS p95, quantileOrNull(0.99)(Duration) AS p99, \
     quantileOrNull(0.5)(TimeToFirstToken) AS ttft_p50, quantileOrNull(0.95)(TimeToFirstToken) AS ttft_p95, \
     toFloat64(sumIf(OutputTokens, Duration > 0)) * 1e9 / nullIf(toFloat64(sumIf(Duration, OutputTokens > 0)), 0) AS tokens_per_second, \
     toUnixTimestamp64Milli(min(Timestamp)) AS first, toUnixTimestamp64Milli(max(Timestamp)) AS last";

/// The column of a grouping, by its name in a question.
pub(super) fn column(grouping: &str) -> Option<&'static str> {
    GROUPINGS.iter().find(|(name, _)| *name == grouping).map(|(_, column)| *column)
}

/// The names of all groupings.
pub(super) fn groupings() -> [&'static str; GROUPINGS.len()] {
    GROUPINGS.map(|(name, _)| name)
}
