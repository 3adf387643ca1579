SELECT
    r.Workspace AS Workspace,
    toStartOfHour(r.Timestamp) AS Hour,
    r.Provider AS Provider,
    r.Model AS Model,
    r.Operation AS Operation,
    count() AS Calls,
    countIf(r.IsError) AS Errors,
    sum(r.InputTokens) AS InputTokens,
    sum(r.OutputTokens) AS OutputTokens,
    if(sum(r.InputTokens) IS NULL, sum(r.OutputTokens), sum(r.InputTokens) + ifNull(sum(r.OutputTokens), 0)) AS TotalTokens,
    sum(r.CacheReadTokens) AS CacheReadTokens,
    sum(r.CacheWriteTokens) AS CacheWriteTokens,
    sum(r.ReasoningTokens) AS ReasoningTokens,
    sum(r.InputAudioTokens) AS InputAudioTokens,
    sum(r.OutputAudioTokens) AS OutputAudioTokens,
    sum(r.CostTotal) AS CostTotal,
    sum(r.CostInput) AS CostInput,
    sum(r.CostOutput) AS CostOutput,
    quantile(0.5)(r.Duration) AS DurationP50,
    quantile(0.95)(r.Duration) AS DurationP95,
    quantile(0.99)(r.Duration) AS DurationP99,
    quantile(0.5)(r.TimeToFirstToken) AS TimeToFirstTokenP50,
    quantile(0.95)(r.TimeToFirstToken) AS TimeToFirstTokenP95,
    quantile(0.99)(r.TimeToFirstToken) AS TimeToFirstTokenP99
FROM {{database}}.genai_report_rows AS r FINAL
WHERE r.CountedAs = 'call' AND r.IsDeleted = 0{{in_range}}
GROUP BY Workspace, Hour, Provider, Model, Operation
