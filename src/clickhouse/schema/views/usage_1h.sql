{{with_settled}}SELECT
    u.Workspace AS Workspace,
    u.Hour AS Hour,
    u.Provider AS Provider,
    u.Model AS Model,
    u.Operation AS Operation,
    u.Calls AS Calls,
    u.Errors AS Errors,
    u.InputTokens AS InputTokens,
    u.OutputTokens AS OutputTokens,
    if(u.InputTokens IS NULL, u.OutputTokens, u.InputTokens + ifNull(u.OutputTokens, 0)) AS TotalTokens,
    u.CacheReadTokens AS CacheReadTokens,
    u.CacheWriteTokens AS CacheWriteTokens,
    u.ReasoningTokens AS ReasoningTokens,
    u.InputAudioTokens AS InputAudioTokens,
    u.OutputAudioTokens AS OutputAudioTokens,
    u.CostTotal AS CostTotal,
    u.CostInput AS CostInput,
    u.CostOutput AS CostOutput,
    u.DurationP50 AS DurationP50,
    u.DurationP95 AS DurationP95,
    u.DurationP99 AS DurationP99,
    u.TimeToFirstTokenP50 AS TimeToFirstTokenP50,
    u.TimeToFirstTokenP95 AS TimeToFirstTokenP95,
    u.TimeToFirstTokenP99 AS TimeToFirstTokenP99
FROM
(
    {{settled_hours}}SELECT
        {{hours_of_calls}}
    FROM {{database}}.genai_report_rows AS r FINAL
    WHERE r.CountedAs = 'call' AND r.IsDeleted = 0{{not_settled}}{{in_range}}
    GROUP BY {{hour_key}}
) AS u
